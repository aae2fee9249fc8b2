"""Annotations: resolved lazily, then parsed into shapes that can be checked.

A shape says what values an annotation admits. Only what the codec can store has
one: an allow-list, so that ``Callable`` or a lock is refused when the class is
registered and not when the first value is saved.
"""

import collections
import datetime as dt
import enum
import os
import re
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import (
    Any,
    ClassVar,
    NoReturn,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

import attrs

from storify._python import if_loaded
from storify.exceptions import DuplicateKeynameError, ModelError, StorifyError

from .options import (
    class_of,
    class_options,
    is_classvar,
    is_model_class,
    own_annotations,
)

SCALARS: frozenset[type] = frozenset(
    {
        types.NoneType, bool, int, float, complex, str, bytes, bytearray,
        dt.datetime, dt.date, dt.time, dt.timedelta, range, slice,
    }
)  # fmt: skip
"""The classes without parts that the codec stores by itself, and `MORE_SCALARS`."""

MORE_SCALARS: Mapping[str, tuple[str, ...]] = {
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "pathlib": (
        *("PurePath", "PurePosixPath", "PureWindowsPath"),
        *("Path", "PosixPath", "WindowsPath"),
    ),
    "ipaddress": (
        *("IPv4Address", "IPv4Network", "IPv4Interface"),
        *("IPv6Address", "IPv6Network", "IPv6Interface"),
    ),
}
"""Others by module and name. Whoever annotates with one has loaded the module."""

# Roles rather than classes: a value's own class decides whether it can be stored.
ROLES: frozenset[type] = frozenset(
    {
        enum.Enum, enum.IntEnum, enum.StrEnum, enum.Flag, enum.IntFlag,
        abc.Hashable, abc.Sized, os.PathLike,
    }
)  # fmt: skip
MORE_ROLES: Mapping[str, tuple[str, ...]] = {
    "numbers": ("Number", "Complex", "Real", "Rational", "Integral"),
}

ITEMS = frozenset(
    {
        list, set, frozenset, collections.deque, abc.Sequence, abc.MutableSequence,
        abc.Collection, abc.Iterable, abc.Reversible, abc.Container, abc.Set,
        abc.MutableSet,
    }
)  # fmt: skip
PAIRS = frozenset(
    {
        dict, collections.OrderedDict, collections.defaultdict, abc.Mapping,
        abc.MutableMapping,
    }
)  # fmt: skip

QUALIFIERS: frozenset[Any] = frozenset(
    {typing.Final, typing.Required, typing.NotRequired}
)


def loaded(*named: Mapping[str, tuple[str, ...]]) -> set[type]:
    """Return those of the classes whose modules are loaded: nobody has another."""
    return {
        vars(sys.modules[module])[name]
        for table in named
        for module, names in table.items()
        for name in names
        if name in vars(sys.modules.get(module, types))
    }


def _typing_modules() -> tuple[Any, ...]:
    """Return `typing`, and typing_extensions if anybody uses it: it takes 2 ms."""
    other = sys.modules.get("typing_extensions")
    return (typing,) if other is None else (typing, other)


def _special_forms(name: str) -> tuple[Any, ...]:
    """Return what *name* means in them; each may have a form of its own, or none."""
    return tuple(
        getattr(each, name) for each in _typing_modules() if hasattr(each, name)
    )


class Unsupported(Exception):  # noqa: N818 -- a signal inside this package
    """An annotation that admits values which cannot be stored."""


class UnresolvedError(ModelError):
    """A name in an annotation that is not defined, at least not yet."""


@dataclass_transform(frozen_default=True, eq_default=False)
class _Shape:
    """The base of shapes: a frozen dataclass, in a thirtieth of its time.

    There are many, and a dataclass takes 0.3 ms of ``import storify``.
    """

    _names: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls._names = tuple(cls.__annotations__)
        type.__setattr__(cls, "__match_args__", cls._names)  # mypy: not by `=`

    def __init__(self, *args: Any, **named: Any) -> None:
        vars(self).update(zip(self._names, args, strict=False), **named)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = f"a shape is never changed, as by {name}"
        raise AttributeError(msg)


class Anything(_Shape):
    """``Any``, ``object``, type variables, protocols: the codec decides."""


class Instance(_Shape):
    """Objects of a class; *args* parametrise a generic model."""

    cls: type
    args: tuple[Any, ...] = ()


class Union(_Shape):
    """A value of any of the arms."""

    arms: "tuple[Shape, ...]"


class OneOf(_Shape):
    """``Literal``: one of these very values."""

    values: tuple[Any, ...]


class Items(_Shape):
    """A collection with one kind of item, also ``tuple[T, ...]``."""

    cls: type
    item: "Shape"


class Tuple(_Shape):
    """A tuple of fixed length."""

    items: "tuple[Shape, ...]"


class Pairs(_Shape):
    """A mapping."""

    cls: type
    key: "Shape"
    value: "Shape"


class Record(_Shape):
    """A ``TypedDict``."""

    name: str
    keys: "Mapping[str, Shape]"
    required: frozenset[str]


class Later(_Shape):
    """A recursive alias or TypedDict, met inside itself."""

    name: str
    get: "Callable[[], Shape]"
    memo: dict[str, Any]

    def __init__(self, name: str, get: "Callable[[], Shape]") -> None:
        super().__init__(name, get, {})


Shape = Anything | Instance | Union | OneOf | Items | Tuple | Pairs | Record | Later

ANYTHING = Anything()


def parts_of(shape: Shape) -> "Iterable[Shape]":
    """Return the shapes that stand in a shape; what objects hold is not looked at."""
    match shape:
        case Union(parts) | Tuple(parts):
            return parts
        case Items(_, item):
            return (item,)
        case Pairs(_, key, value):
            return (key, value)
        case Record(_, keys):
            return keys.values()
        case _:
            return ()


def arms_of(shape: Shape) -> "Iterator[Shape]":
    """Return the arms of a union, also of those within it; else *shape* itself."""
    if isinstance(shape, Union):
        for arm in shape.arms:
            yield from arms_of(arm)
    else:
        yield shape


Lookup = Callable[[type, str], type | None]
"""Finds the class that a name in an annotation of a class means, or None."""


def describe(shape: Shape) -> str:  # noqa: PLR0911 -- one for each shape
    """Return *shape* as an annotation would be written."""
    match shape:
        case Anything():
            return "Any"
        case Instance(cls, args):
            name = "None" if cls is types.NoneType else cls.__qualname__
            inner = ", ".join(map(text_of, args))
            return f"{name}[{inner}]" if args else name
        case Union(arms):
            return " | ".join(describe(arm) for arm in arms)
        case OneOf(values):
            return f"Literal[{', '.join(map(repr, values))}]"
        case Items(cls, item):
            rest = ", ..." if cls is tuple else ""
            return f"{cls.__name__}[{describe(item)}{rest}]"
        case Tuple(items):
            return f"tuple[{', '.join(map(describe, items)) or '()'}]"
        case Pairs(cls, key, value):
            return f"{cls.__name__}[{describe(key)}, {describe(value)}]"
        case Record(name) | Later(name):
            return name


def text_of(hint: object) -> str:
    """Return an annotation as it would be written."""
    plain = isinstance(hint, type) and get_origin(hint) is None
    return cast("type", hint).__qualname__ if plain else str(hint)


def name_beside(value: Any, wanted: str) -> str:
    """Return the name of the class of *value*, which is not what *wanted* says."""
    kind = class_of(value)
    name, module = kind.__name__, kind.__module__
    # another class of a name that stands in it, as numpy's bool beside ``bool | None``
    is_named = module != "builtins" and name in re.findall(r"\w+", wanted)
    return f"{module}.{name}" if is_named else name


def key_step(key: object) -> str:
    """Write the step to the value of *key*: a key is part of a place, no secret."""
    try:
        return f"[{key!r}]"
    except Exception:  # noqa: BLE001 -- a repr may fail, as that of a huge int does
        return f"[<{type(key).__qualname__}>]"


def field_step(name: object) -> str:
    """Write the step to a field, whose stored name may be anything."""
    if isinstance(name, str) and name.isidentifier():
        return f".{name}"
    return key_step(name)


# --- resolving names --------------------------------------------------------------


def resolve(cls: type, lookup: Lookup, args: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the annotations of *cls* and its bases with all names resolved.

    Names are looked up in the module of the class that wrote them, the function
    around it, the class itself, then with *lookup*. Type variables are replaced
    by what *args* or a generic base gives them.

    Raises:
        UnresolvedError: A name is not defined, with the class and the field.
    """
    return {name: find() for name, find in annotations(cls, lookup, args).items()}


def annotations(
    cls: type, lookup: Lookup, args: tuple[Any, ...] = ()
) -> dict[str, Callable[[], Any]]:
    """Return what resolves each annotation of *cls* and its bases, as `resolve` does."""
    bindings = _bindings(cls, args)
    found: dict[str, Callable[[], Any]] = {}
    for base in reversed(cls.__mro__):
        if base.__module__ == "builtins" or base.__dict__.get("_is_protocol"):
            continue
        bound = bindings.get(base, {})
        for name, raw in own_annotations(base).items():
            if is_classvar(raw):
                found.pop(name, None)
            else:
                found[name] = partial(_resolved, base, name, raw, lookup, bound)
    return found


def _resolved(
    base: type, name: str, raw: Any, lookup: Lookup, bound: Mapping[Any, Any]
) -> Any:
    return substitute(_evaluate(base, name, raw, lookup), bound)


def _evaluate(base: type, name: str, raw: Any, lookup: Lookup) -> Any:
    if isinstance(raw, type) and not get_args(raw):
        return raw
    module = sys.modules.get(base.__module__)
    names: dict[str, Any] = {
        p.__name__: p for p in getattr(base, "__type_params__", ())
    }
    if "__storify__" in vars(base):
        names |= class_options(base).scope
    names[base.__name__] = base
    # get_type_hints takes a class apart; this one has just the annotation
    shell = type(base.__name__, (), {"__annotations__": {name: raw}})
    while True:
        try:
            return typing.get_type_hints(
                shell, vars(module) if module else {}, names, include_extras=True
            )[name]
        except NameError as err:
            missing = err.name or ""
            known = None if missing in names else lookup(base, missing)
            if known is None:
                msg = (
                    f"{base.__qualname__}.{name}: the annotation names {missing!r}, "
                    "which is not defined in its module; import it there, not only "
                    "for type checkers"
                )
                raise UnresolvedError(msg) from err
            names[missing] = known
        except (TypeError, SyntaxError, AttributeError) as err:
            msg = f"{base.__qualname__}.{name}: the annotation cannot be read: {err}"
            raise ModelError(msg) from err


def _bindings(cls: type, args: tuple[Any, ...]) -> dict[type, dict[Any, Any]]:
    """Tell for each generic class above *cls* what its type variables stand for."""
    parameters = getattr(cls, "__parameters__", ())
    # one that stands for several types, as ``*Ts``, is not told from the others
    is_simple = all(isinstance(each, TypeVar) for each in parameters)
    own = dict(zip(parameters, args, strict=False)) if is_simple else {}
    found = {cls: own}
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        if isinstance(origin, type) and origin not in {typing.Generic, object}:
            inner = tuple(substitute(arg, own) for arg in get_args(base))
            found |= {
                k: v for k, v in _bindings(origin, inner).items() if v or k not in found
            }
    return found


def substitute(hint: Any, bindings: Mapping[Any, Any]) -> Any:
    """Replace the type variables in *hint*."""
    if not bindings:
        return hint
    if isinstance(hint, TypeVar):
        return bindings.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(bindings.get(p, p) for p in parameters)]


# --- parsing ----------------------------------------------------------------------


def _pass_over(_: type) -> None:
    """Take a class that was met before."""


def _as_it_is(cls: type) -> type:
    return cls


class Parser:
    """Parses annotations of one registry and tells it which classes it met.

    Args:
        model: Called with each Model class found.
        other: Called with each other class that the codec must be told of
            (enum, dataclass, namedtuple, subclass of a builtin); it raises for
            one that cannot be stored.
        newest: Gives the class that took the place of one that was defined again.

    Attributes:
        arguments: What parametrises models, for each that was met: ``Box[int]``.
    """

    def __init__(
        self,
        model: Callable[[type], object] = _pass_over,
        other: Callable[[type], object] = _pass_over,
        newest: Callable[[type], type] = _as_it_is,
    ) -> None:
        self._model = model
        self._other = other
        self._newest = newest
        self._recursive: dict[Any, Shape | None] = {}
        self.arguments: dict[type, list[tuple[Any, ...]]] = {}

    def parse(  # noqa: PLR0911 -- a table of the forms there are
        self, hint: Any, owner: type | None = None
    ) -> Shape:
        """Return the shape of a resolved annotation, in which ``Self`` means *owner*.

        Raises:
            Unsupported: It admits what cannot be stored.
        """
        if hint is Any:  # first: it is a class since Python 3.11
            return ANYTHING
        if hint is None:
            return Instance(types.NoneType)
        if isinstance(hint, type) and get_origin(hint) is None:
            return self._class(hint)
        if isinstance(hint, (str, typing.ForwardRef)):
            msg = "a name that is not resolved"
            raise Unsupported(msg)
        if isinstance(hint, TypeVar):
            if hint.__constraints__:
                return self._union(hint.__constraints__, owner)
            return (
                ANYTHING
                if hint.__bound__ is None
                else self.parse(hint.__bound__, owner)
            )
        if isinstance(hint, typing.NewType):
            return self.parse(hint.__supertype__, owner)
        if isinstance(hint, _special_forms("TypeAliasType")):
            return self._alias(hint, hint, owner)
        if isinstance(hint, if_loaded("dataclasses", "InitVar")):
            msg = "InitVar is for dataclasses; use field(stored=False)"
            raise Unsupported(msg)
        return self._special(hint, owner)

    def _special(  # noqa: PLR0911 -- a table, as above
        self, hint: Any, owner: type | None
    ) -> Shape:
        origin, args = get_origin(hint), get_args(hint)
        if hint in _special_forms("Self") and owner is not None:
            return Instance(owner)
        if hint is typing.LiteralString:
            return Instance(str)
        if hint is typing.Final:
            return ANYTHING
        if hint is typing.Tuple:  # noqa: UP006 -- bare it has no arguments, as tuple[()]
            return self._class(tuple)
        if origin in {typing.Union, types.UnionType}:
            return self._union(args, owner)
        if origin is typing.Annotated or origin in QUALIFIERS | {
            *_special_forms("ReadOnly")
        }:
            return self.parse(args[0], owner)
        if origin is typing.Literal:
            return self._literal(args)
        if isinstance(origin, _special_forms("TypeAliasType")):
            return self._alias(hint, origin, owner)
        if isinstance(origin, type):
            return self._generic(origin, args, owner)
        msg = "no stored value fits it"
        raise Unsupported(msg)

    def _literal(self, values: tuple[Any, ...]) -> Shape:
        for value in values:
            if isinstance(value, enum.Enum):
                self._class(type(value))
        return OneOf(values)

    def _union(self, hints: tuple[Any, ...], owner: type | None) -> Shape:
        arms = tuple(self.parse(hint, owner) for hint in hints)
        return (
            ANYTHING if any(isinstance(arm, Anything) for arm in arms) else Union(arms)
        )

    def _alias(self, hint: Any, alias: Any, owner: type | None) -> Shape:
        def parse() -> Shape:
            bindings = dict(zip(alias.__type_params__, get_args(hint), strict=False))
            return self.parse(substitute(_alias_value(alias), bindings), owner)

        return self._once(hint, str(hint), parse)

    def _once(self, key: Any, name: str, parse: Callable[[], Shape]) -> Shape:
        """Parse what may contain itself."""
        if key in self._recursive:
            known = self._recursive[key]
            return known or Later(name, lambda: cast("Shape", self._recursive[key]))
        self._recursive[key] = None
        try:
            shape = parse()
        except BaseException:
            del self._recursive[key]
            raise
        self._recursive[key] = shape
        return shape

    def _generic(
        self, origin: type, args: tuple[Any, ...], owner: type | None
    ) -> Shape:
        if origin is tuple:
            return self._tuple(args, owner)
        if origin in ITEMS:
            return Items(origin, self.parse(args[0], owner) if args else ANYTHING)
        if origin in PAIRS:
            key, value = args or (Any, Any)
            return Pairs(origin, self.parse(key, owner), self.parse(value, owner))
        if origin is collections.Counter:
            key = self.parse(args[0], owner) if args else ANYTHING
            return Pairs(origin, key, Instance(int))
        if is_model_class(origin):
            origin = self._newest(origin)
            for arg in args:
                self.parse(arg, owner)
            self._model(origin)
            met = self.arguments.setdefault(origin, [])
            if args not in met:
                met.append(args)
            return Instance(origin, args)
        for arg in args:  # no check asks for it, but there may be values of it
            with suppress(Unsupported):
                self.parse(arg, owner)
        return self._class(origin)

    def _tuple(self, args: tuple[Any, ...], owner: type | None) -> Shape:
        if len(args) == 2 and args[1] is ...:  # noqa: PLR2004 -- tuple[T, ...]
            return Items(tuple, self.parse(args[0], owner))
        if any(
            get_origin(a) is typing.Unpack or getattr(a, "__unpacked__", False)
            for a in args
        ):
            return Items(tuple, ANYTHING)
        return Tuple(tuple(self.parse(arg, owner) for arg in args))

    def _class(  # noqa: C901, PLR0911 -- a table, as above
        self, cls: type[Any]
    ) -> Shape:
        cls = self._newest(cls)
        if cls is object or vars(cls).get("_is_protocol"):
            return ANYTHING
        if is_model_class(cls):
            self._model(cls)
            return Instance(cls, _default_arguments(cls))
        if cls in SCALARS or cls in ROLES or cls in loaded(MORE_SCALARS, MORE_ROLES):
            return Instance(cls)
        if cls is tuple:
            return Items(tuple, ANYTHING)
        if cls in ITEMS or cls in PAIRS or cls is collections.Counter:
            return self._generic(cls, (), None)
        if any(each.is_typeddict(cls) for each in _typing_modules()):
            return self._once(cls, cls.__qualname__, lambda: self._typed_dict(cls))
        if _is_role(cls):
            return Instance(cls)
        if cls.__module__ == "collections.abc" or issubclass(cls, type):
            msg = "no stored value fits it"
            raise Unsupported(msg)
        try:
            self._other(cls)
        except DuplicateKeynameError:
            raise  # storable, but not under its name
        except (StorifyError, TypeError, ValueError) as err:
            raise Unsupported(str(err)) from err
        return Instance(cls)

    def _typed_dict(self, cls: type) -> Shape:
        typed: Any = cls
        hints = _typing_modules()[-1].get_type_hints(typed, include_extras=True)
        keys = {name: self.parse(hint) for name, hint in hints.items()}
        required = {
            name
            for name, hint in hints.items()
            # an annotation in a string hides its qualifier from Python
            if _is_required(hint, otherwise=name in typed.__required_keys__)
        }
        return Record(cls.__qualname__, keys, frozenset(required))


def _is_required(hint: Any, *, otherwise: bool) -> bool:
    """Tell whether the annotation of a key says that it must be there."""
    while (origin := get_origin(hint)) is not None:
        if origin in _special_forms("NotRequired"):
            return False
        if origin in _special_forms("Required"):
            return True
        if origin is not typing.Annotated and origin not in _special_forms("ReadOnly"):
            break
        hint = get_args(hint)[0]
    return otherwise


def _default_arguments(cls: type[Any]) -> tuple[Any, ...]:
    """Return what the type variables of a class stand for where it gives no arguments.

    That of a variable without a default is itself, as it stands for anything.
    """
    variables = getattr(cls, "__parameters__", ())
    if not variables:
        return ()
    defaults = [getattr(each, "__default__", None) for each in variables]
    none = {None, *_special_forms("NoDefault")}
    found = [
        each if default in none else default
        for each, default in zip(variables, defaults, strict=True)
    ]
    return () if found == list(variables) else tuple(found)


def _alias_value(alias: Any) -> Any:
    """Return what a type alias stands for, with names in strings resolved."""
    module = sys.modules.get(alias.__module__)
    names = {alias.__name__: alias, **{p.__name__: p for p in alias.__type_params__}}
    shell = type("Alias", (), {"__annotations__": {"value": alias.__value__}})
    try:
        hints = typing.get_type_hints(
            shell, vars(module) if module else {}, names, include_extras=True
        )
    except NameError as err:
        msg = f"{alias}: {err}"
        raise Unsupported(msg) from err
    return hints["value"]


def _is_role(cls: type) -> bool:
    """Tell whether *cls* is a class of the user's that only models fill.

    An abstract class or a mixin, as in ``class Circle(Shape, Model)``.
    """
    if cls.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return False
    if bool(getattr(cls, "__abstractmethods__", None)):
        return True
    return any(is_model_class(sub) for sub in subclasses(cls))


def subclasses(cls: type) -> Iterator[type]:
    """Return the classes below *cls*, in the order of their definition."""
    below: list[type] = type.__subclasses__(cls)
    for sub in below:
        yield sub
        yield from subclasses(sub)


def refuse_unstorable(cls: type[Any]) -> None:
    """Raise unless *cls* is a kind of class that a codec could register.

    The default of ``Registry(register_type=)``.

    Raises:
        TypeError: Neither enum, dataclass, attrs class nor subclass of a scalar
            or builtin container.
    """
    if (
        issubclass(cls, (enum.Enum, tuple, list, dict, set, frozenset))
        or issubclass(cls, tuple(SCALARS - {types.NoneType, bool, range, slice}))
        or issubclass(cls, tuple(loaded(MORE_SCALARS)))
        or hasattr(cls, "__dataclass_fields__")
        or attrs.has(cls)
    ):
        return
    msg = f"{cls.__qualname__} is no Model and no type that storify knows"
    raise TypeError(msg)
