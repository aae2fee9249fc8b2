"""The classes that a codec knows: the builtin ones and those that were registered.

A file holds a *key*, never an import path. It is looked up among the classes that
were registered; a key that is not there, or a value that does not fit its class,
stays the extension value or the list that it is in the file.

Neither ``__init__`` nor ``__new__`` of a registered class runs: what is stored is the
state, and running a constructor on it a second time could change or refuse it.
"""

import enum
import itertools
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Generic, NoReturn, TypeVar

from msgpack import ExtType, Timestamp

from storify._python import beside, if_loaded
from storify.exceptions import DuplicateKeynameError, ModelError, UnstorableError

from ._builtin import (
    CONTAINER_DECODERS,
    CONTAINER_ENCODERS,
    FACTORIES,
    MARKERS,
    SCALAR_DECODERS,
    SCALAR_ENCODERS,
    Ext,
    decode_defaultdict,
    encode_defaultdict,
    ext,
    late_encoder,
    new_tuple,
)
from ._reader import KeptKey

T = TypeVar("T")


class CustomType(Generic[T]):
    """A way to write and read values of one class; never changed.

    Attributes:
        cls: The class; its subclasses are not included.
        encode: Gives a storable value that holds all of an object.
        decode: Builds the object from it. What it raises means that the stored
            value does not fit: it is then kept as it is.
        key: The tag in files, by default the class's ``__name__``.
    """

    __slots__ = ("cls", "decode", "encode", "key")

    # By hand: a dataclass takes 1 ms of each start.
    def __init__(
        self,
        cls: type[T],
        encode: Callable[[T], Any],
        decode: Callable[[Any], T],
        key: str = "",
    ) -> None:
        self.cls: Final = cls
        self.encode: Final = encode
        self.decode: Final = decode
        self.key: Final[str] = key or cls.__name__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CustomType):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        parts = map("{}={!r}".format, ("cls", "encode", "decode", "key"), self._parts())
        return f"CustomType({', '.join(parts)})"

    def _parts(self) -> tuple[object, ...]:
        return self.cls, self.encode, self.decode, self.key


def full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def is_replaced(old: type, new: type) -> bool:
    """Tell whether *new* is *old* defined again, as in a notebook.

    It has the same name in the same module, where *old* has it no more.
    """
    if full_name(old) != full_name(new):
        return False
    found: Any = sys.modules.get(old.__module__)
    for name in old.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not old


def check_names(fields: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse fields that the class lacks: building it would lose them."""
    if fields.keys() - known:
        msg = "unknown fields"
        raise ValueError(msg)


def refuse_others(cls: type, names: Iterable[str]) -> None:
    """Refuse an object of *cls* with attributes *names*, which would not come back."""
    for name in names:
        msg = (
            f"a {full_name(cls)} has the attribute {name!r}, which is no field of it,"
            " so it would not come back; make it a field, begin its name with an"
            " underscore, or register CustomType(cls, encode, decode) in"
            " Storify(types=[...])"
        )
        raise UnstorableError(msg, f"$.{name}")


def describe(cls: type, key: str) -> CustomType[Any]:
    """Find out how *cls* is stored; a `ModelError` if only a `CustomType` could say it."""
    if "__attrs_attrs__" in cls.__dict__:
        attributes = cls.__dict__["__attrs_attrs__"]
        return _record(cls, key, [attribute.name for attribute in attributes], {})
    if "__dataclass_fields__" in cls.__dict__:
        import dataclasses  # noqa: PLC0415 -- who made the class has loaded it

        record: Any = cls
        fields = dataclasses.fields(record)
        makers: dict[str, Callable[[], Any]] = {}
        for field in fields:
            if field.default is not dataclasses.MISSING:
                makers[field.name] = partial(_same, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                makers[field.name] = field.default_factory
        return _record(cls, key, [field.name for field in fields], makers)
    if issubclass(cls, path := if_loaded("pathlib", "PurePath")):
        # A path is made by its class alone; there is no state to go around it.
        return _subclass(cls, key, path, str, _call, stored=str)
    for base, (copy, build) in _BASES.items():
        if issubclass(cls, base):
            return _subclass(cls, key, base, copy, build, stored=base)
    msg = (
        f"cannot register {full_name(cls)}: it is no enum, namedtuple, dataclass or"
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
            f"cannot register {full_name(cls)}: it is a record and a subclass of a"
            " builtin at once; use CustomType(cls, encode, decode)"
        )
        raise ModelError(msg)
    known = frozenset(names)
    others = beside(cls, names)

    def encode(value: object) -> dict[str, Any]:
        refuse_others(cls, others(value))
        try:
            return {name: getattr(value, name) for name in names}
        except AttributeError as error:
            name = next((n for n in names if not hasattr(value, n)), error.name)
            msg = (
                f"a {full_name(cls)} lacks its field {name!r}, so it could not be"
                " loaded; set it, or delete the object"
            )
            raise UnstorableError(msg, f"$.{name}") from error

    def decode(fields: dict[str, Any]) -> object:
        check_names(fields, known)
        value: object = _object.__new__(cls)
        for name in names:
            item = fields[name] if name in fields else makers[name]()
            # Also for a frozen class, and past any property or validator.
            object.__setattr__(value, name, item)
        return value

    return CustomType(cls, encode, decode, key)


_object: Any = object


def _is_plain(cls: type) -> bool:
    """Tell whether ``object.__new__`` can make *cls*."""
    return not any(
        issubclass(cls, base)
        for base in (*_BASES, if_loaded("pathlib", "PurePath"), type, BaseException)
    )


def _subclass(
    cls: type,
    key: str,
    base: type,
    copy: Callable[[Any], Any],
    build: Callable[[type, Any], Any],
    *,
    stored: Any,
) -> CustomType[Any]:
    """Store a subclass as a value of its base, and rebuild it past its own code."""
    slots = [name for k in cls.__mro__ for name in _slots(k, base)]
    try:
        is_rebuilt = type(build(cls, stored())) is cls
    except Exception:  # noqa: BLE001 - classes made in C refuse the way around them
        is_rebuilt = False
    if not is_rebuilt:
        msg = (
            f"cannot register {full_name(cls)}: it cannot be rebuilt from a"
            f" {stored.__name__}; use CustomType(cls, encode, decode)"
        )
        raise ModelError(msg)

    def encode(value: object) -> object:
        if getattr(value, "__dict__", None) or any(hasattr(value, n) for n in slots):
            msg = (
                f"a {full_name(cls)} with attributes of its own; register"
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
    if issubclass(base, cls) or issubclass(cls, if_loaded("pathlib", "PurePath")):
        return ()  # a path's slots are caches of its text
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


# Untyped, so that their methods apply to any items.
_counter: Any = Counter
_default: Any = defaultdict
_deque: Any = deque
_dict: Any = dict
_list: Any = list
_ordered: Any = OrderedDict
_set: Any = set


def _fill(base: Any, fill: Callable[[Any, Any], object]) -> Callable[..., Any]:
    def build(cls: type, value: Any) -> Any:
        made = base.__new__(cls)
        fill(made, value)
        return made

    return build


def _make(base: Any) -> Callable[..., Any]:
    def build(cls: type, value: Any) -> Any:
        return base.__new__(cls, value)

    return build


def _call(cls: type, value: Any) -> Any:
    return cls(value)


def _fill_default(made: Any, value: Any) -> None:
    _default.__init__(made, value.default_factory, value)


def _fill_deque(made: Any, value: Any) -> None:
    _deque.__init__(made, value, value.maxlen)


def _copy_counter(value: Any) -> Any:
    made = _counter()
    _dict.update(made, value)
    return made


_ALL: Final = slice(None)
_tuple: Any = tuple
# Base to (an exact copy in the base, an object of the subclass from it). The
# order matters: a subclass before its own base.
_BASES: Final[dict[type, tuple[Callable[[Any], Any], Callable[..., Any]]]] = {
    OrderedDict: (OrderedDict, _fill(_ordered, _ordered.update)),
    defaultdict: (
        lambda v: _default(v.default_factory, v),
        _fill(_default, _fill_default),
    ),
    Counter: (_copy_counter, _fill(_counter, _dict.update)),
    dict: (_dict.copy, _fill(_dict, _dict.update)),
    list: (_list.copy, _fill(_list, _list.extend)),
    tuple: (lambda v: _tuple.__getitem__(v, _ALL), _make(tuple)),
    set: (lambda v: _set().union(v), _fill(_set, _set.update)),
    frozenset: (frozenset[Any]().union, _make(frozenset)),
    deque: (lambda v: _deque(v, v.maxlen), _fill(_deque, _fill_deque)),
    str: (str.__str__, _make(str)),
    int: (int.__index__, _make(int)),
    float: (float.__float__, _make(float)),
    complex: (complex.__complex__, _make(complex)),
    bytes: (lambda v: bytes.__getitem__(v, _ALL), _make(bytes)),
    bytearray: (bytearray, _fill(bytearray, bytearray.extend)),
}


# --- the table of classes ------------------------------------------------------

Encoder = Callable[[Any], Any]

_CUSTOM: Final = MARKERS[Ext.CUSTOM]
_NAMEDTUPLE: Final = MARKERS[Ext.NAMEDTUPLE]
_ENUM: Final = Ext.ENUM
_NATIVE: Final = (type(None), bool, int, float, str, bytes, bytearray, list, dict)


class TypeTable:
    """Every class that the codec knows by itself, and the hooks that read them.

    Attributes:
        encoders: Exact class to shallow encoder; what it gives is packed further.
        singles: The same for those that give one extension value each time; what
            the user registered otherwise raises a KeyError.
        keys: Registered class to the key that files hold.
        hooked: Classes that are stored by hooks of the user's.

    Args:
        judge: Told of each object that is built of a registered class, but of enums.
    """

    def __init__(self, judge: Callable[[object], object]) -> None:
        self._judge = judge
        self.encoders: dict[type, Encoder] = {**SCALAR_ENCODERS, **CONTAINER_ENCODERS}
        self.singles: dict[type, Encoder] = {**SCALAR_ENCODERS}
        del self.singles[int]  # which the packer writes by itself, mostly
        self.keys: dict[type, str] = {}
        self.hooked: set[type] = set()
        self.encoders[defaultdict] = partial(encode_defaultdict, keys=self.keys)
        self._classes: dict[str, type] = {}
        self._members: dict[bytes, enum.Enum] = {}
        self._named: dict[str, Callable[[Any], object]] = {}
        #: Counts what is kept because it cannot be read here; atomic.
        self.count_kept: Callable[[], int] = itertools.count().__next__
        self._scalars = {**SCALAR_DECODERS, Ext.ENUM: self._decode_enum}
        #: Told of each object that is built of a registered class.
        self._watchers: tuple[Callable[[object], object], ...] = ()
        self._watching = threading.Lock()
        self._containers = {
            **CONTAINER_DECODERS,
            Ext.DEFAULTDICT: self._decode_defaultdict,
            Ext.NAMEDTUPLE: self._decode_named,
            Ext.CUSTOM: self._decode_named,
        }

    def register(
        self, type_: type | CustomType[Any], *, may_replace: bool = False
    ) -> None:
        """Learn a class, as `Codec.register` says; a later `CustomType` holds."""
        custom = type_ if isinstance(type_, CustomType) else None
        cls: Any = type_ if custom is None else custom.cls
        key = cls.__name__ if custom is None else custom.key
        if custom is None and (cls in _NATIVE or self.find(cls)):
            return  # it is stored already, perhaps by hooks of the user's
        if cls in _NATIVE or (self.find(cls) and cls not in self.keys):
            msg = f"cannot register {full_name(cls)}: it is stored exactly already"
            raise ModelError(msg)
        described: CustomType[Any] | None = None
        if (
            custom is None
            and not issubclass(cls, enum.Enum)
            and not _is_namedtuple(cls)
        ):
            described = describe(cls, key)
        other = self._classes.get(key) or FACTORIES.get(key)
        is_again = may_replace and other is not None and is_replaced(other, cls)
        if other is not None and other is not cls and not is_again:
            msg = (
                f"type key {key!r} is claimed by both {full_name(other)} and"
                f" {full_name(cls)}; give one of them CustomType(..., key=...)"
            )
            raise DuplicateKeynameError(msg)
        if "\0" in key:
            msg = f"cannot register {full_name(cls)}: its key holds a NUL"
            raise ModelError(msg)
        if custom is not None:
            self._add_custom(custom)
            self.hooked.add(cls)
        elif issubclass(cls, enum.Enum):
            self._add_enum(cls, key)
        elif _is_namedtuple(cls):
            self._add_namedtuple(cls, key)
        elif described is not None:
            self._add_custom(described)
        self.keys[cls] = key
        self._classes[key] = cls

    def find(self, kind: type) -> Encoder | None:
        """Return the encoder of a class, if it is known by now."""
        encoder = self.encoders.get(kind)
        if encoder is None and (encoder := late_encoder(kind)) is not None:
            self.singles[kind] = self.encoders[kind] = encoder
        return encoder

    def decode_ext(self, code: int, data: bytes) -> object:
        """Read an extension value: the ``ext_hook``.

        A marker stays a marker, for `decode_list` to see.
        """
        if code == _ENUM:  # the usual one in records: three calls less
            member = self._members.get(data)
            if member is not None:
                return member
        if not data and (marker := MARKERS.get(code)) is not None:
            return marker
        decoder = self._scalars.get(code)
        if decoder is None:
            self.count_kept()
            return ext(code, data)
        try:
            return decoder(data)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is kept
            self.count_kept()
            return ext(code, data)

    def decode_list(self, items: list[Any]) -> object:
        """Build the container that a marker announces: the ``list_hook``."""
        if not items or type(first := items[0]) is not ExtType or first[1]:
            return items
        decoder = self._containers.get(first[0])
        if decoder is None:
            self.count_kept()
            return items
        try:
            return decoder(items)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is kept
            self.count_kept()
            return items

    def kept(self, value: object) -> str | None:
        """Tell what kept *value* from being read, as `Codec.kept` says."""
        if isinstance(value, KeptKey):
            return self.kept(value.tree) or ""
        if isinstance(value, Timestamp):
            return ""
        items: list[Any] = value if type(value) is list else [value]  # pyright: ignore[reportUnknownVariableType] # of any
        first = items[0] if items else None
        if type(first) is not ExtType or (items is value and first.data):
            return None
        key: object = ""
        if items is not value and first.code == Ext.ENUM:
            key = first.data.partition(b"\0")[0].decode("utf-8", "replace")
        elif len(items) > 1 and first.code in {Ext.NAMEDTUPLE, Ext.CUSTOM}:
            key = items[1]
        return key if isinstance(key, str) and key not in self._classes else ""

    # --- enums -----------------------------------------------------------------
    def _add_enum(self, cls: type[enum.Enum], key: str) -> None:
        tag = key.encode() + b"\0"
        if issubclass(cls, enum.Flag):
            encode = self.encoders[cls] = partial(_encode_flag, tag + b"=")
            self.singles[cls] = encode
            return
        written = {
            name: ext(Ext.ENUM, tag + b"." + name.encode("utf-8", "surrogatepass"))
            for name in cls.__members__
        }
        self._members |= {
            written[name].data: member for name, member in cls.__members__.items()
        }
        encode_member: Encoder = lambda member: written[  # noqa: E731 - typed
            member._name_
        ]  # five times as fast as .name
        self.encoders[cls] = self.singles[cls] = encode_member

    def _decode_enum(self, data: bytes) -> enum.Enum:
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
    def _add_namedtuple(self, cls: Any, key: str) -> None:
        names: tuple[str, ...] = cls._fields
        defaults: dict[str, Any] = cls._field_defaults
        others = beside(cls, names)

        def encode(value: Any) -> list[Any]:
            refuse_others(cls, others(value))
            return [_NAMEDTUPLE, key, dict(zip(names, value, strict=True))]

        def decode(fields: dict[str, Any]) -> object:
            check_names(fields, names)
            values = [fields[n] if n in fields else defaults[n] for n in names]
            made: object = new_tuple(cls, values)
            return made

        self.encoders[cls] = encode
        self._named[key] = decode

    def _add_custom(self, custom: CustomType[Any]) -> None:
        key, inner = custom.key, custom.encode
        self.singles[custom.cls] = _refuse
        self.encoders[custom.cls] = lambda value: [_CUSTOM, key, inner(value)]
        self._named[key] = custom.decode

    def _decode_named(self, items: list[Any]) -> object:
        _, key, value = items
        made = self._named[key](value)
        self._judge(made)
        for note in self._watchers:
            note(made)
        return made

    @contextmanager
    def watch(self, note: Callable[[object], object]) -> Generator[None]:
        """Have *note* called with what is decoded, as `Codec.watch` says."""
        with self._watching:
            self._watchers = (*self._watchers, note)
        try:
            yield
        finally:
            with self._watching:
                self._watchers = tuple(w for w in self._watchers if w is not note)

    def _decode_defaultdict(self, items: list[Any]) -> object:
        return decode_defaultdict(items, self._classes.__getitem__)


def _refuse(_: object) -> NoReturn:
    raise KeyError


def _is_namedtuple(cls: Any) -> bool:
    return "_fields" in dir(cls) and issubclass(cls, tuple)


def _encode_flag(tag: bytes, value: enum.Flag) -> ExtType:
    number: int = value.value
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return ext(Ext.ENUM, tag + number.to_bytes(size, "big", signed=True))
