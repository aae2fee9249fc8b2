"""Gaps of Python: late imports, the newest `typing`, a look at attributes."""

import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from storify.threads import without_collector

__all__ = [
    "Defaults",
    "TypeVar",
    "beside",
    "computed_by",
    "if_loaded",
    "late",
    "override",
    "slots_of",
]


# --- public names that are imported when they are used --------------------------------
#
# `import storify` takes as long as what it loads, and most programs use little of it. So
# a package names where its names are, and each is loaded with the first access to it
# (PEP 562). Type checkers see the plain imports beside that.
#
# What saves data at the end of a program is never loaded so: whoever can open a database
# has loaded all that closes it. A file that is imported then might not be there any more.


def late(
    package: str, homes: Mapping[str, str], rest: str
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package.

    Args:
        package: The name of the package.
        homes: In which module a name is. One without a name there is the module.
        rest: The module of all other names of the package's ``__all__``.
    """
    namespace = vars(sys.modules[package])

    def get(name: str) -> object:
        home = homes.get(name, rest)
        if name not in homes and name not in namespace["__all__"]:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=sys.modules[package])
        module = without_collector(partial(import_module, home))
        found = module if home == f"{package}.{name}" else getattr(module, name)
        namespace[name] = found
        return found

    def names() -> list[str]:
        return sorted({*namespace, *homes, *namespace["__all__"]})

    return get, names


# --- what the newest `typing` has, for all releases of Python -------------------------
#
# typing_extensions has it too, and takes 3 ms of each start. Type checkers take it from
# there.

if TYPE_CHECKING:
    from typing_extensions import TypeVar, override
else:

    def _type_var(name: str, **options: Any) -> Any:
        """Make a type variable, which may have a default."""
        has_default = "default" in options
        default = options.pop("default", None)
        made = typing.TypeVar(name, **options)
        made.__module__ = sys._getframe(1).f_globals["__name__"]  # noqa: SLF001 -- as typing does
        if has_default:
            made.__default__ = default
        return made

    def _override(method: Any) -> Any:
        """Mark a method that overrides one."""
        return method

    TypeVar = typing.TypeVar if sys.version_info >= (3, 13) else _type_var
    override = getattr(typing, "override", _override)


class Defaults:
    """The base of generic classes whose last parameters have defaults.

    So ``Database[User]`` is one of text keys at run time, too, before Python 3.13.
    """

    if not TYPE_CHECKING and sys.version_info < (3, 13):

        def __class_getitem__(cls, given: Any) -> Any:
            """Return the class with these parameters, and with the defaults of others."""
            all_given = given if isinstance(given, tuple) else (given,)
            others = cls.__parameters__[len(all_given) :]
            if all_given and all(hasattr(each, "__default__") for each in others):
                all_given += tuple(each.__default__ for each in others)
            # not super()'s: that of collections.abc knows no parameters
            return _generic.__get__(None, cls)(all_given)


_generic: Any = vars(typing.Generic)["__class_getitem__"]


# --- what an object holds in its attributes: computed ones, slots, what is no field ---


class _Nothing:
    """A stand-in for classes and marks of modules that nobody has loaded."""


def if_loaded(module: str, name: str) -> Any:
    """Return what a module has, or what nothing is: who has such a value has loaded it.

    So what a program does not use takes no time when it starts.
    """
    return getattr(sys.modules.get(module), name, _Nothing)


def computed_by(cls: type[Any]) -> frozenset[str]:
    """Return the names that descriptors like ``cached_property`` of *cls* fill in."""
    return frozenset(
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if hasattr(cast("Any", type(value)), "__get__")
        and not callable(value)
        and not isinstance(value, (classmethod, staticmethod))
    )


def slots_of(cls: type[Any]) -> list[str]:
    """Return the slots that the class body of *cls* names, but for Python's own."""
    slots = vars(cls).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return [name for name in names if name not in {"__dict__", "__weakref__"}]


def beside(cls: type[Any], fields: Iterable[str]) -> Callable[[object], list[str]]:
    """Make what lists the public attributes of an object beside its *fields*.

    Args:
        cls: The exact class of the objects.
        fields: The names that are stored.
    """
    slots = [name for base in cls.__mro__ for name in slots_of(base)]
    fields = frozenset(fields)
    known = fields | computed_by(cls).difference(slots)
    lost = set(slots) - fields - _cached_in_slots(cls)
    lost = {name for name in lost if not name.startswith("_")}

    def find(obj: object) -> list[str]:
        state: dict[str, Any] = getattr(obj, "__dict__", {})
        if state.keys() <= known and not lost:
            return []
        found = [n for n in state if n not in known and not n.startswith("_")]
        return found + [name for name in sorted(lost) if hasattr(obj, name)]

    return find


def _cached_in_slots(cls: type[Any]) -> set[str]:
    """Return the cached properties that attrs turned into slots.

    They are nowhere but in the default of a parameter of its ``__getattr__``.
    """
    import inspect  # noqa: PLC0415 -- attrs has loaded it, and most programs need none

    found: set[str] = set()
    for base in cls.__mro__:
        getter = vars(base).get("__getattr__")
        if "__attrs_attrs__" in vars(base) and inspect.isfunction(getter):
            parameters = inspect.signature(getter).parameters
            if "cached_properties" in parameters:
                found |= set(parameters["cached_properties"].default)
    return found
