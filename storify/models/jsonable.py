"""Objects as JSON and back by their annotations.

JSON has few types, so a value is written as the text or list that its annotation reads
back: a datetime in ISO 8601, bytes in base64, an enum by its values. What has no such
form is refused with its path. Where an annotation says ``Any``, what comes back is what
JSON has.

Objects are made by calling their class: converters, validators and defaults are its own.
"""

import base64
import datetime as dt
import enum
import json
import math
import re
import types
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import PurePath
from typing import Any, Final, NoReturn, TypeVar, cast
from uuid import UUID

import attrs

from storify.exceptions import ModelLoadError, UnstorableError

from .fields import options_of
from .hints import (
    Anything,
    Instance,
    Items,
    Later,
    OneOf,
    Pairs,
    Record,
    Shape,
    Tuple,
    Union,
    describe,
    field_step,
    key_step,
)
from .options import class_of, class_options, is_model, is_model_class
from .registry import Registry
from .state import Unloaded, stored_fields

T = TypeVar("T")

_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: Deeper trees would end Python's stack in `json` itself.
_DEEP: Final = 200

# --- out ------------------------------------------------------------------------------


def jsonable(
    value: Any,
    path: str = "$",
    *,
    exact: bool = False,
    ask: Callable[[Any], Any] | None = None,
) -> Any:
    """Return a value as a tree of what JSON has.

    Args:
        value: Any storable value.
        path: Where it stands, for the error.
        exact: Write what most readers do not know, so that it comes back: the name of
            a time zone behind a datetime.
        ask: Asked first for each value that JSON does not have: gives a tree for it, or
            `NotImplemented`.

    Raises:
        UnstorableError: There is no form for a part of it; it carries the path.
    """
    return _Out(exact=exact, ask=ask).plain(value, path, _DEEP)


def to_json(obj: Any, *, indent: int | None = None) -> str:
    """Return an object as JSON: its public attributes, all the way down.

    Args:
        obj: An object of a model, or any storable value.
        indent: As of `json.dumps`.

    Raises:
        UnstorableError: JSON has no form for a part of it; it carries the path.
    """
    return json.dumps(jsonable(obj), indent=indent, ensure_ascii=False, allow_nan=False)


def _no_form(path: str, value: object, why: str = "") -> NoReturn:
    cause = why or f"JSON has no form for a {type(value).__qualname__}"
    msg = f"cannot write {path} as JSON: {cause}"
    raise UnstorableError(msg, path)


class _Out:
    def __init__(self, *, exact: bool, ask: Callable[[Any], Any] | None) -> None:
        self._exact = exact
        self._ask = ask

    def plain(self, value: Any, path: str, deep: int) -> Any:  # noqa: C901, PLR0911, PLR0912 - one for each kind
        """Return one value as JSON has it."""
        kind = class_of(value)
        if value is None or kind is bool or kind is int or kind is str:
            return value
        if self._ask is not None:
            answer = self._ask(value)
            if answer is not NotImplemented:
                return answer
        if deep == 0:
            _no_form(path, value, f"it is nested more than {_DEEP} deep")
        if is_model(value):
            return self._fields(stored_fields(value), path, deep)
        match value:
            case Unloaded():
                ((_, fields),) = value.items()
                return self._fields(fields, path, deep)
            case enum.Enum():
                return self._member(value)
            case str():
                return str(value)
            case bool():
                return bool(value)
            case int():
                return int(value)
            case float():
                return float(value) if math.isfinite(value) else _not_finite(value)
            case Decimal() | UUID() | PurePath():
                return str(value)
            case Fraction():
                return f"{value.numerator}/{value.denominator}"
            case complex():
                return str(value)
            case bytes() | bytearray():
                return base64.b64encode(value).decode("ascii")
            case dt.datetime():
                return self._datetime(value)
            case dt.date() | dt.time():
                return value.isoformat()
            case dt.timedelta():
                return _duration(value)
            case _:
                return self._holder(value, kind, path, deep)

    def _holder(self, value: Any, kind: type[Any], path: str, deep: int) -> Any:
        if kind in {range, slice}:
            bounds = value.start, value.stop, value.step
            return [self.plain(each, path, deep - 1) for each in bounds]
        if issubclass(kind, dict):
            return self._pairs(value, path, deep)
        if "_fields" in dir(kind) and issubclass(kind, tuple):
            if kind.__module__.startswith("msgpack"):
                _no_form(path, value, "its class is not known here")
            return self._fields(value._asdict(), path, deep)
        if issubclass(kind, (list, tuple, deque, set, frozenset)):
            where = "*" if issubclass(kind, (set, frozenset)) else None
            found = [
                self.plain(item, f"{path}[{where or index}]", deep - 1)
                for index, item in enumerate(value)
            ]
            return sorted(found, key=repr) if where else found
        if kind.__module__ == "ipaddress":
            return str(value)
        names = names_of(kind)
        if names is None:
            _no_form(path, value)
        there = {name: getattr(value, name) for name in names}
        return self._fields(there, path, deep)

    def _fields(self, fields: Any, path: str, deep: int) -> dict[str, Any]:
        if not _is_dict(fields):
            _no_form(path, fields)
        found: dict[str, Any] = {}
        for name, value in fields.items():
            where = path + field_step(name)
            if not isinstance(name, str):
                _no_form(where, name, "the name of a field is no text")
            found[name] = self.plain(value, where, deep - 1)
        return found

    def _pairs(self, value: dict[Any, Any], path: str, deep: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            where = path + key_step(key)
            text = self.plain(key, where, deep - 1)
            name = text if isinstance(text, str) else json.dumps(text)
            if name in found:
                _no_form(where, key, f"another key is {name!r} in JSON, too")
            found[name] = self.plain(item, where, deep - 1)
        return found

    def _member(self, value: enum.Enum) -> Any:
        return value.value if goes_by_value(type(value)) else value.name

    def _datetime(self, value: dt.datetime) -> str:
        text = value.isoformat()
        zone: Any = value.tzinfo
        name = getattr(zone, "key", None)
        return f"{text}[{name}]" if self._exact and name else text


def _not_finite(value: float) -> str:
    return next(
        text for text, known in _NOT_FINITE.items() if repr(known) == repr(value)
    )


@cache
def goes_by_value(cls: type[enum.Enum]) -> bool:
    """Whether an enum is written by its values: where each is a text or number."""
    return issubclass(cls, enum.Flag) or all(
        type(member.value) in {int, str} for member in cls
    )


def _is_dict(value: Any) -> bool:
    """Tell it of a value, and type checkers nothing."""
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def names_of(cls: Any) -> list[str] | None:
    """Return the fields of a class that is a record; None of any other."""
    if hasattr(cls, "__attrs_attrs__"):
        return [each.name for each in cls.__attrs_attrs__]
    return list(getattr(cls, "__dataclass_fields__", ())) or None


_DURATION: Final = re.compile(
    r"(?P<sign>-?)P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+)(?:\.(?P<micros>\d{1,6}))?S)?)?"
)


def _duration(value: dt.timedelta) -> str:
    """Return a span in ISO 8601, exactly."""
    sign = "-" if value < dt.timedelta(0) else ""
    size = abs(value)
    seconds, micros = size.seconds, size.microseconds
    rest = f"{seconds}.{micros:06}" if micros else str(seconds)
    return f"{sign}P{size.days}DT{rest}S"


def _span(text: str) -> dt.timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or text in {"P", "-P"}:
        raise ValueError(text)
    number = {
        name: int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds")
    }
    micros = int((found["micros"] or "").ljust(6, "0"))
    size = dt.timedelta(**number, microseconds=micros)
    return -size if found["sign"] else size


# --- back -----------------------------------------------------------------------------


class _Unfit(Exception):  # noqa: N818 - a signal inside this module
    def __init__(self, path: str, wanted: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if why else path)
        self.path = path
        self.wanted = wanted
        self.why = why


_zone_text: Final = re.compile(r"(?P<time>.*)\[(?P<zone>[\w+/-]+)\]")


def _moment(text: str) -> dt.datetime:
    found = _zone_text.fullmatch(text)
    if found is None:
        return dt.datetime.fromisoformat(text)
    from zoneinfo import ZoneInfo  # noqa: PLC0415 -- it takes 2 ms

    zone = ZoneInfo(found["zone"])
    made = dt.datetime.fromisoformat(found["time"])
    local = made.replace(tzinfo=zone)
    # The offset tells which of two equal hours it is.
    return local if local.utcoffset() == made.utcoffset() else local.replace(fold=1)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii"), validate=True)


def _bytearray(text: str) -> bytearray:
    return bytearray(_bytes(text))


#: What reads a text, by the class that is wanted.
_FROM_TEXT: Final[Mapping[Any, Callable[[str], Any]]] = {
    bytes: _bytes,
    bytearray: _bytearray,
    dt.datetime: _moment,
    dt.date: dt.date.fromisoformat,
    dt.time: dt.time.fromisoformat,
    dt.timedelta: _span,
    Decimal: Decimal,
    Fraction: Fraction,
    complex: complex,
    UUID: UUID,
}

_SEQUENCES: Final[Mapping[Any, Callable[[Any], Any]]] = {
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    deque: deque,
}


class Reader:
    """Reads trees of JSON as values of one type.

    Args:
        hint: The type, as an annotation.
        registry: Knows the classes; one of its own unless given.
    """

    def __init__(self, hint: Any, registry: Registry | None = None) -> None:
        if registry is None:
            registry = Registry()
            registry.register_hint(hint)
        self._registry = registry
        self._shape = registry.shape_of(hint)
        self.hint = hint

    def read(self, tree: Any, path: str = "$", *, keep_unknown: bool = False) -> Any:
        """Return the value that a tree stands for.

        Args:
            tree: What JSON has.
            path: Where it stands, for the error.
            keep_unknown: Keep fields that a model does not know, as loading does.

        Raises:
            ModelLoadError: It stands for none; the error names the place.
        """
        return self.read_as(tree, self._shape, path, keep_unknown=keep_unknown)

    def read_as(
        self, tree: Any, shape: Shape, path: str = "$", *, keep_unknown: bool = False
    ) -> Any:
        """Return the value of a shape that a tree stands for; as `read`."""
        try:
            return self._read(tree, shape, path, keep_unknown)
        except _Unfit as error:
            why = f"; {error.why}" if error.why else ""
            msg = f"{error.path}: expected {error.wanted}{why}"
            raise ModelLoadError(msg, error.path) from error
        except RecursionError as error:
            msg = f"{path}: it is nested too deep"
            raise ModelLoadError(msg, path) from error

    def _read(self, tree: Any, shape: Shape, path: str, keep: bool) -> Any:  # noqa: PLR0911 - one for each shape
        match shape:
            case Anything():
                return tree
            case Later():
                return self._read(tree, shape.get(), path, keep)
            case Union(arms):
                return self._union(tree, shape, arms, path, keep)
            case OneOf(values):
                return self._one_of(tree, shape, values, path)
            case Items(cls, item):
                return self._items(tree, shape, cls, item, path, keep)
            case Tuple(items):
                return self._tuple(tree, shape, items, path, keep)
            case Pairs(cls, key, value):
                return self._pairs(tree, shape, (cls, key, value), path, keep)
            case Record(_, keys, required):
                return self._typed_dict(tree, shape, keys, required, path, keep)
            case Instance(cls, args):
                return self._instance(tree, shape, cls, args, path, keep)

    def _union(
        self, tree: Any, shape: Shape, arms: Iterable[Shape], path: str, keep: bool
    ) -> Any:
        """Read by the arm whose value is written as this tree, or the first that fits."""
        found: list[Any] = []
        deepest: _Unfit | None = None
        for arm in arms:
            try:
                value = self._read(tree, arm, path, keep)
            except _Unfit as error:
                if deepest is None or len(error.path) > len(deepest.path):
                    deepest = error
                continue
            kind = class_of(tree)
            if class_of(value) is kind and value == tree and kind is not dict:
                return value
            found.append(value)
        if not found:
            if deepest is not None and deepest.path != path:
                raise deepest
            raise _unfit(tree, shape, path)
        return next((value for value in found if _is_written_as(value, tree)), found[0])

    @staticmethod
    def _one_of(tree: Any, shape: Shape, values: Iterable[Any], path: str) -> Any:
        for value in values:
            written = jsonable(value)
            if type(written) is type(tree) and written == tree:
                return value
        raise _unfit(tree, shape, path)

    def _items(
        self, tree: Any, shape: Shape, cls: Any, item: Shape, path: str, keep: bool
    ) -> Any:
        if not _is_list(tree):
            raise _unfit(tree, shape, path)
        found = [
            self._read(each, item, f"{path}[{index}]", keep)
            for index, each in enumerate(tree)
        ]
        make = next((m for kind, m in _SEQUENCES.items() if cls is kind), None)
        if make is None:
            is_set = cls.__name__ in {"Set", "MutableSet"}
            return set(found) if is_set else found
        try:
            return make(found)
        except TypeError as error:
            raise _Unfit(path, describe(shape), str(error)) from error

    def _tuple(
        self, tree: Any, shape: Shape, items: tuple[Shape, ...], path: str, keep: bool
    ) -> Any:
        if not _is_list(tree) or len(tree) != len(items):
            raise _unfit(tree, shape, path)
        pairs = zip(tree, items, strict=True)
        return tuple(
            self._read(each, item, f"{path}[{index}]", keep)
            for index, (each, item) in enumerate(pairs)
        )

    def _pairs(
        self,
        tree: Any,
        shape: Shape,
        parts: tuple[type, Shape, Shape],
        path: str,
        keep: bool,
    ) -> Any:
        if not _is_dict(tree):
            raise _unfit(tree, shape, path)
        cls, key_shape, item = parts
        found: dict[Any, Any] = {}
        for text, each in tree.items():
            where = path + key_step(text)
            found[self._key(text, key_shape, where)] = self._read(
                each, item, where, keep
            )
        if cls in {OrderedDict, Counter}:
            return cast("Any", cls)(found)
        return found

    def _key(self, text: str, shape: Shape, path: str) -> Any:
        """Read a key, which is a text in JSON, whatever it was."""
        try:
            return self._read(text, shape, path, keep=False)
        except _Unfit:
            try:
                tree = json.loads(text)
            except ValueError:
                raise _unfit(text, shape, path) from None
            return self._read(tree, shape, path, keep=False)

    def _typed_dict(
        self,
        tree: Any,
        shape: Shape,
        keys: Mapping[str, Shape],
        required: frozenset[str],
        path: str,
        keep: bool,
    ) -> dict[str, Any]:
        if not _is_dict(tree):
            raise _unfit(tree, shape, path)
        given = tree
        for name in required:
            if name not in given:
                raise _Unfit(path + key_step(name), "a value", "it is missing")
        found: dict[str, Any] = {}
        for name, value in given.items():
            where = path + key_step(name)
            if name not in keys:
                raise _Unfit(where, "nothing", f"{describe(shape)} has no such key")
            found[name] = self._read(value, keys[name], where, keep)
        return found

    def _instance(  # noqa: C901, PLR0911, PLR0912 - one for each kind
        self,
        tree: Any,
        shape: Shape,
        cls: Any,
        args: tuple[Any, ...],
        path: str,
        keep: bool,
    ) -> Any:
        kind = class_of(tree)
        if cls is types.NoneType:
            if tree is None:
                return None
        elif is_model_class(cls):
            return self._model(tree, shape, cls, args, path, keep)
        elif issubclass(cls, enum.Enum):
            return _member_of(tree, shape, cls, path)
        elif cls is bool:
            if kind is bool:
                return tree
        elif issubclass(cls, str):
            if kind is str:
                return tree if cls is str else cls(tree)
        elif issubclass(cls, int):
            if kind is int:
                return tree if cls is int else cls(tree)
        elif issubclass(cls, float):
            if kind is float or kind is int:
                return cls(tree)
            if kind is str and tree in _NOT_FINITE:
                return cls(_NOT_FINITE[tree])
        elif cls in {range, slice}:
            if kind is list and len(tree) == 3:  # noqa: PLR2004 - start, stop, step
                return _called(cls, tree, shape, path)
        elif names_of(cls) is not None or hasattr(cls, "_fields"):
            return self._plain_class(tree, shape, cls, path, keep)
        elif issubclass(cls, (list, dict, set, frozenset, tuple, deque)):
            return _container(tree, shape, cls, path)
        elif kind is str:
            return _from_text(tree, shape, cls, path)
        raise _unfit(tree, shape, path)

    def _plain_class(
        self, tree: Any, shape: Shape, cls: Any, path: str, keep: bool
    ) -> Any:
        if not _is_dict(tree):
            raise _unfit(tree, shape, path)
        shapes = self._registry.shapes_of_plain(cls)
        fields: dict[str, Any] = {}
        for name, value in tree.items():
            where = path + field_step(name)
            if name not in shapes:
                raise _Unfit(where, "nothing", f"{cls.__qualname__} has no such field")
            fields[name] = self._read(value, shapes[name], where, keep)
        return _made(cls, fields, path)

    def _model(  # noqa: C901 - a field may be there in several ways
        self,
        tree: Any,
        shape: Shape,
        cls: Any,
        args: tuple[Any, ...],
        path: str,
        keep: bool,
    ) -> Any:
        if not _is_dict(tree):
            raise _unfit(tree, shape, path)
        shapes = self._registry.shapes_of_model(cls, args)
        options = class_options(cls)
        given: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for name, value in tree.items():
            where = path + field_step(name)
            if name in shapes and not name.startswith("_"):
                given[name] = self._read(value, shapes[name], where, keep)
            elif options.declared and (
                not keep or name.startswith("_") or options.extra == "forbid"
            ):
                raise _Unfit(where, "nothing", f"{cls.__qualname__} has no such field")
            else:
                unknown[name] = value
        if not options.declared:
            return self._handwritten(cls, given | unknown, path)
        later: dict[str, Any] = {}
        arguments: dict[str, Any] = {}
        for attribute in options.attributes:
            if attribute.name in given:
                value = given[attribute.name]
                if attribute.init:
                    arguments[attribute.alias or attribute.name] = value
                else:
                    later[attribute.name] = value
            elif (
                attribute.init
                and attribute.default is attrs.NOTHING
                and options_of(attribute).stored
            ):
                where = path + field_step(attribute.name)
                wanted = shapes.get(attribute.name)
                kind = "a value" if wanted is None else describe(wanted)
                raise _Unfit(where, kind, "it is missing")
        made = _made(cls, arguments, path)
        for name, value in (later | unknown).items():
            object.__setattr__(made, name, value)
        return made

    def _handwritten(self, cls: Any, fields: dict[str, Any], path: str) -> Any:
        """Make an object of a class that declares no fields as loading does."""
        keyname = self._registry.keyname_of(cls)
        made = self._registry.structure({keyname: fields})
        if not isinstance(made, cls):
            raise _Unfit(path, cls.__qualname__, "it cannot be loaded")
        return made


def _is_written_as(value: Any, tree: Any) -> bool:
    try:
        return bool(jsonable(value, exact=True) == tree)
    except UnstorableError:
        return False


def _unfit(tree: Any, shape: Shape, path: str) -> _Unfit:
    return _Unfit(path, describe(shape), f"found {_kind(tree)}")


def _kind(tree: Any) -> str:
    """Return what a tree is, in the words of JSON; never its value."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    if tree is None:
        return "null"
    return kinds.get(class_of(tree), "a number")


def _called(cls: Any, arguments: Iterable[Any], shape: Shape, path: str) -> Any:
    try:
        return cls(*arguments)
    except (TypeError, ValueError) as error:
        raise _Unfit(path, describe(shape), str(error)) from error


def _made(cls: Any, fields: dict[str, Any], path: str) -> Any:
    try:
        return cls(**fields)
    except _Unfit:
        raise
    except Exception as error:  # the class's own code ran
        # A validator of attrs says of which field it tells.
        given: Iterable[Any] = error.args
        names = [a.name for a in given if class_of(a) is attrs.Attribute]
        where = path + "".join(map(field_step, names[:1]))
        why = str(error.args[0]) if error.args else type(error).__name__
        raise _Unfit(where, f"what {cls.__qualname__} takes", why) from error


def _container(tree: Any, shape: Shape, cls: Any, path: str) -> Any:
    """Read a collection whose items may be anything."""
    wanted: Any = dict if issubclass(cls, dict) else list
    if class_of(tree) is not wanted:
        raise _unfit(tree, shape, path)
    return tree if cls is wanted else _called(cls, (tree,), shape, path)


def _member_of(tree: Any, shape: Shape, cls: type[enum.Enum], path: str) -> enum.Enum:
    if goes_by_value(cls):
        for member in cls:
            if type(member.value) is type(tree) and member.value == tree:
                return member
        if issubclass(cls, enum.Flag) and type(tree) is int:
            try:
                return cls(tree)
            except ValueError as error:
                raise _unfit(tree, shape, path) from error
    if isinstance(tree, str) and tree in cls.__members__:
        return cls[tree]
    raise _unfit(tree, shape, path)


def _from_text(text: str, shape: Shape, cls: Any, path: str) -> Any:
    read = _FROM_TEXT.get(cls)
    try:
        if read is not None:
            return read(text)
        if issubclass(cls, PurePath):
            return cls(text)
        if cls.__module__ == "ipaddress":
            make: Any = {"A": ip_address, "N": ip_network, "I": ip_interface}[
                cls.__name__[4]
            ]
            made = make(text)
            if type(made) is cls:
                return made
        elif issubclass(cls, (bytes, bytearray)):
            return cls(_bytes(text))
    except (ValueError, InvalidOperation, LookupError, ArithmeticError) as error:
        raise _Unfit(path, describe(shape), "found another text") from error
    raise _unfit(text, shape, path)


@cache
def reader_of(hint: Any) -> Reader:
    """Return the reader of a type; the same one each time."""
    return Reader(hint)


def from_json(cls: type[T], text: str | bytes) -> T:
    """Return the object of *cls* that `to_json` wrote as *text*.

    Its class is called, so that converters, validators and defaults are its own. What
    is no field of it, or begins with an underscore, is refused.

    Args:
        cls: A model class, or any type that can be stored, as ``list[User]``.
        text: JSON.

    Raises:
        ModelLoadError: It does not fit the class; the error names the place.
        ValueError: It is no JSON.
    """
    hint: Any = cls
    try:
        tree = json.loads(text)
    except RecursionError as error:
        msg = "$: it is nested too deep"
        raise ModelLoadError(msg, "$") from error
    found: T = reader_of(hint).read(tree)
    return found
