"""The options of a model class, checked when the class is made."""

import inspect
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import (
    Any,
    ForwardRef,
    Literal,
    NamedTuple,
    NewType,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

import attrs

from storify.exceptions import ModelError

from .evolution import VERSION_KEY, Migration, migrations_in
from .fields import options_of

__all__ = [
    "ClassOptions",
    "class_of",
    "class_options",
    "definitions",
    "is_model",
    "is_model_class",
    "own_annotations",
    "read_options",
]

EXTRA = ("keep", "forbid")


class ClassOptions(NamedTuple):  # made in a seventh of a dataclass's time
    """What storify keeps about one model class, in ``cls.__storify__``.

    Attributes:
        keyname: What ``_keyname()`` gives unless it is overridden.
        was: Earlier keynames, still read.
        version: The schema version; written as ``_v`` when above 0.
        extra: Whether unknown names are kept or refused.
        dropped: Retired names, read and thrown away.
        declared: Whether attrs made the class.
        attributes: The attrs fields as attrs made them, of a declared class.
        migrations: The steps between versions.
        scope: Types that were visible in the function that made the class.
    """

    keyname: str
    was: tuple[str, ...] = ()
    version: int = 0
    extra: Literal["keep", "forbid"] = "keep"
    dropped: frozenset[str] = frozenset()
    declared: bool = False
    attributes: "tuple[attrs.Attribute[Any], ...]" = ()
    migrations: Mapping[int, Migration] = types.MappingProxyType({})
    scope: Mapping[str, Any] = types.MappingProxyType({})


class _Definitions:
    """Counts the model classes made, so that a search knows when to look again."""

    count = 0


definitions: _Definitions = _Definitions()


def class_options(cls: type) -> ClassOptions:
    """Give the options of a model class."""
    found: ClassOptions = vars(cls)["__storify__"]
    return found


def class_of(value: object) -> type[Any]:
    """Give the class of a value of which nothing else is known."""
    return type(value)


def is_model_class(cls: object) -> bool:
    """Tell whether *cls* is a subclass of Model."""
    return isinstance(cls, type) and hasattr(cls, "__storify__")


def is_model(obj: object) -> bool:
    """Tell whether *obj* is an object of a Model class."""
    return hasattr(type(obj), "__storify__")


def read_options(
    cls: type,
    *,
    keyname: str | None,
    was: str | Sequence[str],
    version: int | None,
    extra: Literal["keep", "forbid"] | None,
    dropped: str | Iterable[str],
) -> ClassOptions:
    """Check the class line's own options and complete them from the bases.

    Raises:
        ModelError: An option that makes no sense, or a class that cannot work.
    """
    _refuse_remade(cls)
    bases = [class_options(b) for b in cls.__mro__[1:] if "__storify__" in vars(b)]
    names = (was,) if isinstance(was, str) else tuple(was)
    for name in cast("tuple[object, ...]", (keyname, *names)):
        if name is not None and (not isinstance(name, str) or not name):
            msg = f"class {cls.__qualname__}: a keyname must be a str that is not empty"
            raise ModelError(msg)
    if version is None:
        version = bases[0].version
    if type(version) is not int or version < 0:
        msg = f"class {cls.__qualname__}: version= must be an int from 0"
        raise ModelError(msg)
    if extra is None:
        extra = bases[0].extra
    if extra not in EXTRA:
        msg = f"class {cls.__qualname__}: extra= must be one of {', '.join(EXTRA)}"
        raise ModelError(msg)
    retired = {dropped} if isinstance(dropped, str) else set(dropped)
    return ClassOptions(
        keyname=keyname or f"__{cls.__name__}__",
        was=names,
        version=version,
        extra=extra,
        dropped=frozenset(retired).union(*(base.dropped for base in bases)),
        migrations=migrations_in(cls),
        declared=_is_declared(cls),
        scope=_enclosing_types(cls),
    )


def check_names(cls: type, options: ClassOptions) -> None:
    """Refuse fields of *cls* that would meet under one name on disk.

    Raises:
        ModelError: The name is used twice, or is the version's.
    """
    owners: dict[str, str] = {}
    for attribute in options.attributes:
        ours = options_of(attribute)
        if not ours.stored:
            continue
        for key in (ours.key or attribute.name, *ours.was):
            if key == VERSION_KEY:
                msg = f"{cls.__qualname__}.{attribute.name}: {key!r} holds the version"
                raise ModelError(msg)
            other = owners.setdefault(key, attribute.name)
            if other != attribute.name:
                msg = (
                    f"{cls.__qualname__}: the fields {other} and {attribute.name} "
                    f"share the name {key!r} on disk; change key= or was="
                )
                raise ModelError(msg)


def _refuse_remade(cls: type) -> None:
    """Refuse a copy of a class that a decorator makes, and slots that hide data."""
    body = vars(cls)
    if "__attrs_attrs__" in body or "__dataclass_fields__" in body:
        msg = (
            f"{cls.__qualname__} is a Model: do not decorate it with attrs or "
            "dataclass; give the options in the class line"
        )
        raise ModelError(msg)
    slots = body.get("__slots__", ())
    if set((slots,) if isinstance(slots, str) else slots) - {"__dict__", "__weakref__"}:
        msg = f"{cls.__qualname__} is a Model: __slots__ would hide its data; drop them"
        raise ModelError(msg)


def own_annotations(cls: type) -> dict[str, Any]:
    """Give the annotations of the class body as they are, strings unresolved."""
    if sys.version_info >= (3, 14):  # pragma: no cover -- no such Python tested here
        import annotationlib  # noqa: PLC0415 -- new in 3.14

        return annotationlib.get_annotations(
            cls, format=annotationlib.Format.FORWARDREF
        )
    found: dict[str, Any] = vars(cls).get("__annotations__", {})
    return found


def is_classvar(hint: object) -> bool:
    """Tell whether an annotation, maybe a string, declares a class variable."""
    text = hint if isinstance(hint, str) else str(hint)
    return text.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar"))


def _is_declared(cls: type) -> bool:
    """Tell whether attrs should make *cls*: it has fields and no own ``__init__``."""
    for base in cls.__mro__:
        if "__storify__" in vars(base) and class_options(base).declared:
            return True  # attrs made this one's __init__, if it has one
        if base is not cls and "__storify__" not in vars(base):
            continue  # a plain mixin: like a dataclass, we do not call its __init__
        if "__init__" in vars(base):
            return False
        if any(not is_classvar(hint) for hint in own_annotations(base).values()):
            return not _has_handwritten_init(base)
    return False


def _has_handwritten_init(cls: type) -> bool:
    for base in cls.__mro__[1:]:
        if "__storify__" in vars(base):
            if class_options(base).declared:
                return False
            if "__init__" in vars(base):
                return True
    return False


def _enclosing_types(cls: type) -> dict[str, Any]:
    """Keep the types visible where a class inside a function was made.

    Only types and modules: a frame's other locals may be large, and a class
    lives long.
    """
    if "<locals>" not in cls.__qualname__:
        return {}
    found: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None and (
        frame.f_globals.get("__name__") == __name__
        or frame.f_code.co_name == "__init_subclass__"
    ):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name != "<module>":
        for name, value in frame.f_locals.items():
            if _is_type_like(value):
                found.setdefault(name, value)
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            break  # the function itself; what went before were class bodies
        frame = frame.f_back
    return found


def _is_type_like(value: object) -> bool:
    return (
        isinstance(
            value,
            (type, types.ModuleType, types.UnionType, TypeVar, NewType, ForwardRef),
        )
        or get_origin(value) is not None
        or bool(get_args(value))
    )
