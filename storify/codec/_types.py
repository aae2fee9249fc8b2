"""Classes of the user's: enums, namedtuples, dataclasses, subclasses, custom scalars.

A file holds a *key*, never an import path. It is looked up among the classes that
were registered; a key that is not there, or a value that does not fit its class,
stays the extension value or the list that it is in the file.
"""

import dataclasses
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import PurePath
from typing import Any, Final, Generic, TypeVar, cast

from msgpack import ExtType

from storify.exceptions import DuplicateKeynameError, ModelError, UnstorableError

from ._containers import (
    CONTAINER_DECODERS,
    CONTAINER_ENCODERS,
    FACTORIES,
    decode_defaultdict,
    encode_defaultdict,
)
from ._ext import MARKERS, Ext, ext
from ._scalars import SCALAR_DECODERS, SCALAR_ENCODERS

__all__ = ["CustomType", "TypeTable"]

T = TypeVar("T")
Encoder = Callable[[Any], Any]

_CUSTOM: Final = MARKERS[Ext.CUSTOM]
_NAMEDTUPLE: Final = MARKERS[Ext.NAMEDTUPLE]
_NATIVE: Final = (type(None), bool, int, float, str, bytes, bytearray, list, dict)


@dataclasses.dataclass(frozen=True, slots=True)
class CustomType(Generic[T]):
    """How values of one class are written and read.

    Attributes:
        cls: The class; its subclasses are not included.
        encode: Gives a storable value that holds all of an object.
        decode: Builds the object from it. What it raises means that the stored
            value does not fit: it is then kept as it is.
        key: The tag in files, by default the class's ``__name__``.
    """

    cls: type[T]
    encode: Callable[[T], Any]
    decode: Callable[[Any], T]
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.cls.__name__)


class TypeTable:
    """Every class that the codec knows by itself, and the hooks that read them.

    Attributes:
        encoders: Exact class to shallow encoder; what it gives is packed further.
        keys: Registered class to the key that files hold.
    """

    def __init__(self) -> None:
        self.encoders: dict[type, Encoder] = {**SCALAR_ENCODERS, **CONTAINER_ENCODERS}
        self.keys: dict[type, str] = {}
        self.encoders[defaultdict] = partial(encode_defaultdict, keys=self.keys)
        self._classes: dict[str, type] = {}
        self._members: dict[bytes, enum.Enum] = {}
        self._named: dict[str, Callable[[Any], object]] = {}
        self._scalars = {**SCALAR_DECODERS, Ext.ENUM: self._decode_enum}
        self._containers = {
            **CONTAINER_DECODERS,
            Ext.DEFAULTDICT: self._decode_defaultdict,
            Ext.NAMEDTUPLE: self._decode_named,
            Ext.CUSTOM: self._decode_named,
        }

    def register(self, type_: type | CustomType[Any]) -> None:
        """Learn a class; the same one twice is fine, and the later way holds.

        Raises:
            DuplicateKeynameError: Another class has its key.
            ModelError: A class that needs a `CustomType` to say how it is stored.
        """
        custom = type_ if isinstance(type_, CustomType) else None
        cls: type = type_ if custom is None else custom.cls  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] # the other half of the union
        key = cls.__name__ if custom is None else custom.key
        if cls in _NATIVE or (cls in self.encoders and cls not in self.keys):
            if custom is None:
                return
            msg = f"cannot register {_name(cls)}: it is stored exactly already"
            raise ModelError(msg)
        other = self._classes.get(key) or FACTORIES.get(key)
        if other is not None and other is not cls:
            msg = (
                f"type key {key!r} is claimed by both {_name(other)} and"
                f" {_name(cls)}; give one of them CustomType(..., key=...)"
            )
            raise DuplicateKeynameError(msg)
        if "\0" in key:
            msg = f"cannot register {_name(cls)}: its key holds a NUL"
            raise ModelError(msg)
        if custom is not None:
            self._add_custom(custom)
        elif issubclass(cls, enum.Enum):
            self._add_enum(cls, key)
        elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
            self._add_namedtuple(cast("type[Any]", cls), key)
        else:
            self._add_custom(_describe(cls, key))
        self.keys[cls] = key
        self._classes[key] = cls

    def decode_ext(self, code: int, data: bytes) -> object:
        """Read an extension value: the ``ext_hook``.

        A marker stays a marker, for `decode_list` to see.
        """
        if not data and (marker := MARKERS.get(code)) is not None:
            return marker
        decoder = self._scalars.get(code)
        if decoder is None:
            return ext(code, data)
        try:
            return decoder(data)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is kept
            return ext(code, data)

    def decode_list(self, items: list[Any]) -> object:
        """Build the container that a marker announces: the ``list_hook``."""
        if not items or type(first := items[0]) is not ExtType or first[1]:
            return items
        decoder = self._containers.get(first[0])
        if decoder is None:
            return items
        try:
            return decoder(items)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is kept
            return items

    # --- enums -----------------------------------------------------------------
    def _add_enum(self, cls: type[enum.Enum], key: str) -> None:
        tag = key.encode() + b"\0"
        if issubclass(cls, enum.Flag):
            self.encoders[cls] = partial(_encode_flag, tag + b"=")
            return
        written = {
            name: ext(Ext.ENUM, tag + b"." + name.encode("utf-8", "surrogatepass"))
            for name in cls.__members__
        }
        self._members |= {
            written[name].data: member for name, member in cls.__members__.items()
        }
        self.encoders[cls] = lambda member: written[member._name_]  # noqa: SLF001 - its canonical name, five times as fast as .name

    def _decode_enum(self, data: bytes) -> enum.Enum:
        member = self._members.get(data)
        if member is not None:
            return member
        key, _, rest = data.partition(b"\0")
        cls = self._classes[key.decode()]
        if rest[:1] != b"=" or not issubclass(cls, enum.Flag):
            msg = f"{cls.__name__} has no such member"
            raise ValueError(msg)
        value = int.from_bytes(rest[1:], "big", signed=True)
        flag = cls(value)
        if flag.value != value:  # a boundary that drops the bits it does not know
            msg = f"{cls.__name__} has no such flags"
            raise ValueError(msg)
        return flag

    # --- classes that hold something --------------------------------------------
    def _add_namedtuple(self, cls: type[Any], key: str) -> None:
        names: tuple[str, ...] = cls._fields
        defaults: dict[str, Any] = cls._field_defaults

        def encode(value: Any) -> list[Any]:
            return [_NAMEDTUPLE, key, dict(zip(names, value, strict=True))]

        def decode(fields: dict[str, Any]) -> object:
            _check_names(fields, names)
            values = [fields[n] if n in fields else defaults[n] for n in names]
            return tuple.__new__(cls, values)

        self.encoders[cls] = encode
        self._named[key] = decode

    def _add_custom(self, custom: CustomType[Any]) -> None:
        key, inner = custom.key, custom.encode
        self.encoders[custom.cls] = lambda value: [_CUSTOM, key, inner(value)]
        self._named[key] = custom.decode

    def _decode_named(self, items: list[Any]) -> object:
        _, key, value = items
        return self._named[key](value)

    def _decode_defaultdict(self, items: list[Any]) -> object:
        return decode_defaultdict(items, self._classes.__getitem__)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _check_names(fields: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse fields that the class lacks: building it would lose them."""
    if fields.keys() - known:
        msg = "unknown fields"
        raise ValueError(msg)


def _encode_flag(tag: bytes, value: enum.Flag) -> ExtType:
    number: int = value.value
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return ext(Ext.ENUM, tag + number.to_bytes(size, "big", signed=True))


# --- how a plain class is taken apart and rebuilt, without running its code ------
def _describe(cls: type, key: str) -> CustomType[Any]:
    if "__attrs_attrs__" in cls.__dict__:
        attributes = cls.__dict__["__attrs_attrs__"]
        return _record(cls, key, [attribute.name for attribute in attributes], {})
    if "__dataclass_fields__" in cls.__dict__:
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportUnknownVariableType] # seen above
        makers: dict[str, Callable[[], Any]] = {}
        for field in fields:  # pyright: ignore[reportUnknownVariableType] # as above
            if field.default is not dataclasses.MISSING:
                makers[field.name] = partial(_same, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                makers[field.name] = field.default_factory
        return _record(cls, key, [field.name for field in fields], makers)  # pyright: ignore[reportUnknownVariableType] # as above
    for base, (copy, build) in _BASES.items():
        if issubclass(cls, base):
            return _subclass(cls, key, base, copy, build)
    msg = (
        f"cannot register {_name(cls)}: it is no enum, namedtuple, dataclass or"
        " subclass of a builtin; use CustomType(cls, encode, decode)"
    )
    raise ModelError(msg)


def _same(value: T) -> T:
    return value


def _record(
    cls: type, key: str, names: list[str], makers: dict[str, Callable[[], Any]]
) -> CustomType[Any]:
    """Store a class as ``{field: value}``, shallow, with its values live."""
    if not _is_plain(cls):
        msg = (
            f"cannot register {_name(cls)}: it is a record and a subclass of a"
            " builtin at once; use CustomType(cls, encode, decode)"
        )
        raise ModelError(msg)
    known = frozenset(names)

    def encode(value: object) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    def decode(fields: dict[str, Any]) -> object:
        _check_names(fields, known)
        value = object.__new__(cls)
        for name in names:
            item = fields[name] if name in fields else makers[name]()
            # Also for a frozen class, and past any property or validator.
            object.__setattr__(value, name, item)
        return value

    return CustomType(cls, encode, decode, key)


def _is_plain(cls: type) -> bool:
    """Tell whether ``object.__new__`` can make *cls*."""
    return not any(issubclass(cls, base) for base in (*_BASES, type, BaseException))


def _subclass(
    cls: type,
    key: str,
    base: type,
    copy: Callable[[Any], Any],
    build: Callable[[type, Any], Any],
) -> CustomType[Any]:
    """Store a subclass as a value of its base, and rebuild it past its own code."""
    slots = [name for k in cls.__mro__ for name in _slots(k, base)]
    stored = str if base is PurePath else base

    def encode(value: object) -> object:
        if getattr(value, "__dict__", None) or any(hasattr(value, n) for n in slots):
            msg = (
                f"a {_name(cls)} with attributes of its own; register"
                " CustomType(cls, encode, decode) for it in Storify(types=[...])"
            )
            raise UnstorableError(msg)
        return copy(value)

    def decode(value: object) -> object:
        if type(value) is not stored:
            msg = f"not a value of {stored.__name__}"
            raise ValueError(msg)
        return build(cls, value)

    return CustomType(cls, encode, decode, key)


def _slots(cls: type, base: type) -> Iterable[str]:
    if issubclass(base, cls) or issubclass(cls, PurePath):
        return ()  # a path's slots are caches of its text
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _fill(base: type, fill: Callable[[Any, Any], object]) -> Callable[..., Any]:
    def build(cls: type, value: Any) -> Any:
        made = base.__new__(cls)
        fill(made, value)
        return made

    return build


def _make(base: type) -> Callable[..., Any]:
    return partial(_call_new, base.__new__)


def _call_new(new: Callable[..., Any], cls: type, value: Any) -> Any:
    return new(cls, value)


def _call(cls: type, value: Any) -> Any:
    return cls(value)


def _build_defaultdict(cls: type, value: defaultdict[Any, Any]) -> Any:
    made: Any = defaultdict.__new__(cls)  # pyright: ignore[reportUnknownVariableType] # of no known items
    defaultdict.__init__(made, value.default_factory, value)
    return made


def _build_deque(cls: type, value: deque[Any]) -> Any:
    made: Any = deque.__new__(cls)  # pyright: ignore[reportUnknownVariableType] # of no known items
    deque.__init__(made, value, value.maxlen)
    return made


def _copy_counter(value: Counter[Any]) -> Counter[Any]:
    made: Counter[Any] = Counter()
    dict.update(made, value)
    return made


_ALL: Final = slice(None)
# Base to (an exact copy in the base, an object of the subclass from it). The
# order matters: a subclass before its own base.
_BASES: Final[dict[type, tuple[Callable[[Any], Any], Callable[..., Any]]]] = {
    OrderedDict: (OrderedDict, _fill(OrderedDict, OrderedDict.update)),
    defaultdict: (lambda v: defaultdict(v.default_factory, v), _build_defaultdict),
    Counter: (_copy_counter, _fill(Counter, dict.update)),
    dict: (dict.copy, _fill(dict, dict.update)),
    list: (list.copy, _fill(list, list.extend)),
    tuple: (lambda v: tuple.__getitem__(v, _ALL), _make(tuple)),
    set: (lambda v: set().union(v), _fill(set, set.update)),
    frozenset: (lambda v: frozenset().union(v), _make(frozenset)),
    deque: (lambda v: deque(v, v.maxlen), _build_deque),
    str: (str.__str__, _make(str)),
    int: (int.__index__, _make(int)),
    float: (float.__float__, _make(float)),
    complex: (complex.__complex__, _make(complex)),
    bytes: (lambda v: bytes.__getitem__(v, _ALL), _make(bytes)),
    bytearray: (bytearray, _fill(bytearray, bytearray.extend)),
    # A path is made by its class alone; there is no state to go around it.
    PurePath: (str, _call),
}
