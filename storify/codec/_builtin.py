"""Values of Python's own types that MessagePack lacks, to its own and back.

A *scalar* becomes one extension value with a payload. A *container* becomes an array led
by a marker, an extension value without payload: ``[marker, item, ...]``. Nested
values are never nested payloads, because each ``unpackb`` inside an ``ext_hook``
takes 42 KB of C stack and a hostile file could kill the interpreter.

An encoder gives these, or raises ``UnstorableError`` (without a path) for a value that
would not come back equal. It is shallow: it gives ``[marker, live item, ...]``, and
the packer goes on into the items.

A decoder gives the value, or raises anything at all: the caller then keeps what is in
the file as it is, so what this machine cannot read survives. For the same reason
decoders are strict: they take only what the encoder would write again. Those of
containers get the array with its items decoded already.
"""

import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, cast

from msgpack import ExtType, Timestamp

from storify._python import if_loaded
from storify.exceptions import UnstorableError

if TYPE_CHECKING:
    from decimal import Decimal
    from fractions import Fraction
    from uuid import UUID


# --- the extension codes, and what comes in them --------------------------------------


class Ext:
    """The codes as they stand in files; ``docs/format.md`` is their reference."""

    TIMESTAMP: Final = -1
    DATETIME: Final = 1
    AWARE_DATETIME: Final = 2
    DATE: Final = 3
    TIME: Final = 4
    TIMEDELTA: Final = 5
    INT: Final = 6
    DECIMAL: Final = 7
    UUID: Final = 8
    TUPLE: Final = 9
    SET: Final = 10
    FROZENSET: Final = 11
    COMPLEX: Final = 12
    FRACTION: Final = 13
    BYTEARRAY: Final = 14
    ENUM: Final = 15
    NAMEDTUPLE: Final = 16
    DEQUE: Final = 17
    ORDERED_DICT: Final = 18
    DEFAULTDICT: Final = 19
    COUNTER: Final = 20
    PATH: Final = 21
    IP: Final = 22
    RANGE: Final = 23
    SLICE: Final = 24
    CUSTOM: Final = 25
    ESCAPED: Final = 26
    TEXT: Final = 27
    ELLIPSIS: Final = 28


_tuple: Any = tuple
new_tuple: Callable[..., Any] = _tuple.__new__


def ext(code: int, data: bytes) -> ExtType:
    """Make an ``ExtType`` of any code in a third of its constructor's time.

    The constructor also refuses the negative codes, which a file may hold.
    """
    made: ExtType = new_tuple(ExtType, (code, data))
    return made


# One shared marker per code: it is immutable, and a file holds very many.
MARKERS: Final[dict[int, ExtType]] = {
    code: ext(code, b"")
    for code in (
        Ext.TUPLE,
        Ext.SET,
        Ext.FROZENSET,
        Ext.NAMEDTUPLE,
        Ext.DEQUE,
        Ext.ORDERED_DICT,
        Ext.DEFAULTDICT,
        Ext.COUNTER,
        Ext.RANGE,
        Ext.SLICE,
        Ext.CUSTOM,
        Ext.ESCAPED,
    )
}


class DecodeError(ValueError):
    """Bytes that are no whole MessagePack value of the kind that was asked for.

    The message says why and holds nothing of the data.
    """


# --- encoders and decoders ------------------------------------------------------------

_SURROGATES: Final = "surrogatepass"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATE_BYTES: Final = 10  # of a datetime; a time has 6
_TIME_BYTES: Final = 6
_new: Final = object.__new__


def _check(condition: object) -> None:
    """Refuse what the encoder would not have written."""
    if not condition:
        msg = "not what the encoder writes"
        raise ValueError(msg)


# --- datetime, date, time, timedelta -------------------------------------------
def _encode_zone(zone: tzinfo) -> bytes:
    """Name *zone*: ``u`` UTC, ``z`` + IANA key, ``o``/``n`` + offset (+ name)."""
    if zone is UTC:
        return b"u"
    kind = type(zone)
    named = if_loaded("zoneinfo", "ZoneInfo")
    is_named = kind is named
    if is_named:
        key: str = cast("Any", zone).key
        try:
            # An object from a file or stream claims a key that may not be its own;
            # only such a one cannot be reduced.
            if named(key) is not zone:
                zone.__reduce__()
            return b"z" + key.encode()
        except Exception as error:
            msg = "a ZoneInfo that was not made from an IANA key; use ZoneInfo(key)"
            raise UnstorableError(msg) from error
    if kind is timezone:
        # The arguments it was made from: equality ignores the name.
        fixed: Any = zone  # typeshed lacks the pickle protocol
        offset, *name = fixed.__getinitargs__()
        micros = struct.pack(">q", offset // timedelta(microseconds=1))
        if not name:
            return b"o" + micros
        return b"".join((b"n", micros, name[0].encode("utf-8", _SURROGATES)))
    msg = (
        f"time zone of type {kind.__module__}.{kind.__qualname__}; use"
        " zoneinfo.ZoneInfo or datetime.timezone"
    )
    raise UnstorableError(msg)


# A missing zone costs a search of the disk, 0.1 ms. A hostile file may name any
# number; after so many the names that exist are asked for once.
_MISSES: Final = 500
_missing: Final[set[str]] = set()


@cache
def _zones_here() -> frozenset[str]:
    from zoneinfo import available_timezones  # noqa: PLC0415 -- it takes 2 ms

    return frozenset(available_timezones())


def _load_zone(key: str) -> tzinfo | None:
    if len(_missing) >= _MISSES and key not in _zones_here():
        return None
    # Not within: if it cannot be loaded now, nothing is known of the zone.
    from zoneinfo import ZoneInfo  # noqa: PLC0415 -- it takes 2 ms

    try:
        return ZoneInfo(key)
    except (ValueError, LookupError, OSError):
        _missing.add(key)
        return None


@lru_cache(maxsize=1024)  # also remembers what is missing: looking costs 50 us
def _find_zone(data: bytes) -> tzinfo | None:
    kind, rest = data[:1], data[1:]
    try:
        if kind == b"u" and not rest:
            return UTC
        if kind == b"z":
            return _load_zone(rest.decode())
        (micros,) = struct.unpack_from(">q", rest)
        offset = timedelta(microseconds=micros)
        if kind == b"o" and len(rest) == struct.calcsize(">q"):
            return timezone(offset)
        if kind == b"n":
            return timezone(offset, rest[8:].decode("utf-8", _SURROGATES))
    except (ValueError, ArithmeticError, struct.error):
        pass
    return None


def _decode_zone(data: bytes) -> tzinfo:
    zone = _find_zone(data)
    if zone is None:
        msg = "no such time zone here"
        raise LookupError(msg)
    return zone


def _state(value: Any) -> bytes:
    """Return the bytes that a datetime or time pickles to, the fold in them."""
    state: bytes = value.__reduce_ex__(4)[1][0]
    return state


def _encode_datetime(value: datetime) -> ExtType | Timestamp:
    """Write UTC as MessagePack does, and what that would lose as its state.

    The packer knows the three forms of a timestamp. `Timestamp.__init__` is left
    out: it checks what is sure here, and a datetime would cost twice as much.
    """
    zone = value.tzinfo
    if zone is None:
        return ext(Ext.DATETIME, _state(value))
    if zone is not UTC or value.fold:
        return ext(Ext.AWARE_DATETIME, _state(value) + _encode_zone(zone))
    since = value - _EPOCH
    stamp = _new(Timestamp)
    stamp.seconds = since.days * 86400 + since.seconds
    stamp.nanoseconds = since.microseconds * 1000
    return stamp


def timestamp_to_datetime(stamp: Timestamp) -> datetime | Timestamp:
    """Return the datetime of *stamp*, or *stamp* itself where that would round it."""
    micros, rest = divmod(stamp.nanoseconds, 1000)
    if rest:
        return stamp
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=micros)
    except OverflowError:
        return stamp


def read_timestamp(data: bytes) -> datetime | Timestamp | ExtType:
    """Read the payload of extension -1, kept as it is where it is no timestamp."""
    try:
        stamp = Timestamp.from_bytes(data)
    except ValueError:
        return ext(Ext.TIMESTAMP, data)
    return timestamp_to_datetime(stamp)


# Typed for their pickle form: the state, and a zone or nothing.
_datetime_of_state: Any = datetime
_time_of_state: Any = time


def _decode_datetime(data: bytes) -> datetime:
    _check(len(data) == _STATE_BYTES)
    # The state is trusted by the constructor; replace() is what checks it.
    value: datetime = _datetime_of_state(data)
    return value.replace()


def _decode_aware_datetime(data: bytes) -> datetime:
    zone = _decode_zone(data[_STATE_BYTES:])
    value: datetime = _datetime_of_state(data[:_STATE_BYTES], zone)
    return value.replace()


def _encode_date(value: date) -> ExtType:
    return ext(Ext.DATE, struct.pack(">HBB", value.year, value.month, value.day))


def _encode_time(value: time) -> ExtType:
    state, zone = _state(value), value.tzinfo
    return ext(Ext.TIME, state if zone is None else state + _encode_zone(zone))


def _decode_time(data: bytes) -> time:
    _check(len(data) >= _TIME_BYTES)
    state, zone = data[:_TIME_BYTES], data[_TIME_BYTES:]
    zones = (_decode_zone(zone),) if zone else ()
    value: time = _time_of_state(state, *zones)
    return value.replace()


def _encode_timedelta(value: timedelta) -> ExtType:
    parts = (value.days, value.seconds, value.microseconds)
    return ext(Ext.TIMEDELTA, struct.pack(">iII", *parts))


def _decode_timedelta(data: bytes) -> timedelta:
    parts = struct.unpack(">iII", data)
    value = timedelta(*parts)
    _check((value.days, value.seconds, value.microseconds) == parts)
    return value


# --- numbers -------------------------------------------------------------------
def encode_int(value: int) -> ExtType:
    """Write an integer that needs more than 64 bits, in two's complement."""
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return ext(Ext.INT, value.to_bytes(size, "big", signed=True))


def _decode_int(data: bytes) -> int:
    value = int.from_bytes(data, "big", signed=True)
    _check(not -(1 << 63) <= value < 1 << 64)
    return value


def _decode_decimal(data: bytes) -> "Decimal":
    from decimal import Decimal  # noqa: PLC0415 -- it takes 1 ms

    text = data.decode("ascii")
    value = Decimal(text)
    _check(str(value) == text)
    return value


# Below 640 digits, the least that sys.set_int_max_str_digits() can be set to.
_DECIMAL_BITS: Final = 2048
# Fraction() takes the greatest common divisor, whose time grows with the square:
# without a limit, a file of a few MB could take hours to open.
_FRACTION_BITS: Final = 1 << 16
_FRACTION_BYTES: Final = 2 * _FRACTION_BITS // 4 + 16


def _encode_fraction(value: "Fraction") -> ExtType:
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    if bits > _FRACTION_BITS:
        msg = f"a Fraction of {bits} bits; at most {_FRACTION_BITS} are stored"
        raise UnstorableError(msg)
    form = "d" if bits <= _DECIMAL_BITS else "#x"
    text = f"{value.numerator:{form}}/{value.denominator:{form}}"
    return ext(Ext.FRACTION, text.encode())


def _decode_fraction(data: bytes) -> "Fraction":
    from fractions import Fraction  # noqa: PLC0415 -- it takes 1 ms

    _check(len(data) <= _FRACTION_BYTES)
    numerator, denominator = data.decode("ascii").split("/")
    base = 16 if denominator.startswith("0x") else 10
    value = Fraction(int(numerator, base), int(denominator, base))
    _check(_encode_fraction(value).data == data)
    return value


def _decode_uuid(data: bytes) -> "UUID":
    from uuid import UUID  # noqa: PLC0415 -- it takes 1 ms

    return UUID(bytes=data)


# --- text, bytes and names -----------------------------------------------------
def encode_text(value: str) -> ExtType:
    """Write a string with lone surrogates, which UTF-8 cannot hold."""
    return ext(Ext.TEXT, value.encode("utf-8", _SURROGATES))


def encode_bytearray(value: bytearray) -> ExtType:
    """Write a bytearray; the C packer alone would write plain bytes."""
    return ext(Ext.BYTEARRAY, bytes(value))


def _decode_ellipsis(data: bytes) -> EllipsisType:
    _check(data == b".")
    return ...


_PATHS: Final = {
    "PurePosixPath": b"p",
    "PureWindowsPath": b"w",
    "PosixPath": b"P",
    "WindowsPath": b"W",
}
_PATH_NAMES: Final = {tag: name for name, tag in _PATHS.items()}


def _encode_path(value: Any) -> ExtType:
    name, text = type(value).__name__, str(value)
    # "./c:x" is a relative file, but its text names a drive on some versions.
    windows = if_loaded("pathlib", "PureWindowsPath")
    if isinstance(value, windows) and windows(text) != value:
        msg = f"a {name} whose text is another path"
        raise UnstorableError(msg)
    return ext(Ext.PATH, _PATHS[name] + text.encode("utf-8", _SURROGATES))


def _decode_path(data: bytes) -> object:
    import pathlib  # noqa: PLC0415 -- it takes 3 ms

    text = data[1:].decode("utf-8", _SURROGATES)
    value = getattr(pathlib, _PATH_NAMES[data[:1]])(text)
    _check(str(value) == text)
    return value


_ADDRESSES: Final = {
    "IPv4Address": b"4",
    "IPv6Address": b"6",
    "IPv4Network": b"n",
    "IPv6Network": b"N",
    "IPv4Interface": b"i",
    "IPv6Interface": b"I",
}
_ADDRESS_NAMES: Final = {tag: name for name, tag in _ADDRESSES.items()}


def _encode_address(value: object) -> ExtType:
    tag = _ADDRESSES[type(value).__name__]
    return ext(Ext.IP, tag + str(value).encode("utf-8", _SURROGATES))


def _decode_address(data: bytes) -> object:
    import ipaddress  # noqa: PLC0415 -- it takes 1 ms

    text = data[1:].decode("utf-8", _SURROGATES)
    value = getattr(ipaddress, _ADDRESS_NAMES[data[:1]])(text)
    _check(str(value) == text)
    return value


SCALAR_ENCODERS: Final[dict[type, Callable[[Any], ExtType | Timestamp]]] = {
    datetime: _encode_datetime,
    date: _encode_date,
    time: _encode_time,
    timedelta: _encode_timedelta,
    int: encode_int,
    complex: lambda value: ext(Ext.COMPLEX, struct.pack(">dd", value.real, value.imag)),
    EllipsisType: lambda _: ext(Ext.ELLIPSIS, b"."),
}

#: By names: most programs never load these modules, and who has a value has.
_LATE: Final[dict[str, tuple[str, Callable[[Any], ExtType]]]] = {
    "Decimal": ("decimal", lambda value: ext(Ext.DECIMAL, str(value).encode())),
    "Fraction": ("fractions", _encode_fraction),
    "UUID": ("uuid", lambda value: ext(Ext.UUID, value.bytes)),
    **dict.fromkeys(_PATHS, ("pathlib", _encode_path)),
    **dict.fromkeys(_ADDRESSES, ("ipaddress", _encode_address)),
}


def late_encoder(kind: type) -> Callable[[Any], ExtType] | None:
    """Return the encoder of a class that is not in `SCALAR_ENCODERS`, if there is one."""
    module, encoder = _LATE.get(kind.__name__, ("", None))
    return encoder if if_loaded(module, kind.__name__) is kind else None


def is_late_scalar(kind: type) -> bool:
    """Whether a class is one of those; its values are never changed."""
    return late_encoder(kind) is not None


SCALAR_DECODERS: Final[dict[int, Callable[[bytes], object]]] = {
    Ext.DATETIME: _decode_datetime,
    Ext.AWARE_DATETIME: _decode_aware_datetime,
    Ext.DATE: lambda data: date(*struct.unpack(">HBB", data)),
    Ext.TIME: _decode_time,
    Ext.TIMEDELTA: _decode_timedelta,
    Ext.INT: _decode_int,
    Ext.DECIMAL: _decode_decimal,
    Ext.UUID: _decode_uuid,
    Ext.COMPLEX: lambda data: complex(*struct.unpack(">dd", data)),
    Ext.FRACTION: _decode_fraction,
    Ext.BYTEARRAY: bytearray,
    Ext.PATH: _decode_path,
    Ext.IP: _decode_address,
    Ext.TEXT: lambda data: data.decode("utf-8", _SURROGATES),
    Ext.ELLIPSIS: _decode_ellipsis,
}


# --- containers ----------------------------------------------------------------

_TUPLE: Final = MARKERS[Ext.TUPLE]
_DEQUE: Final = MARKERS[Ext.DEQUE]
_RANGE: Final = MARKERS[Ext.RANGE]
_SLICE: Final = MARKERS[Ext.SLICE]
_ORDERED_DICT: Final = MARKERS[Ext.ORDERED_DICT]
_DEFAULTDICT: Final = MARKERS[Ext.DEFAULTDICT]
_COUNTER: Final = MARKERS[Ext.COUNTER]

# What a defaultdict may call; a name in a file never leads to any other code.
FACTORIES: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (list, dict, set, int, str, float, tuple, bool, frozenset, bytes)
}
_FACTORY_NAMES: Final = {kind: name for name, kind in FACTORIES.items()}

# Types that sort totally among themselves, in an order that a reader expects.
_SORTABLE: Final = ({int}, {str}, {bytes})


_dict: Any = dict  # untyped, so that update() takes a Counter of anything


def sort_plainly(items: set[Any] | frozenset[Any]) -> list[Any] | None:
    """Sort items of one simple type; None if their order must be made otherwise."""
    kinds = set(map(type, items))
    if len(items) < 2 or kinds in _SORTABLE:  # noqa: PLR2004 - one item has no order
        return sorted(items)
    return None


def _decode_set(items: list[Any]) -> set[Any]:
    value = set(items[1:])
    _check(len(value) == len(items) - 1)
    return value


def _decode_frozenset(items: list[Any]) -> frozenset[Any]:
    value = frozenset(items[1:])
    _check(len(value) == len(items) - 1)
    return value


def _decode_deque(items: list[Any]) -> deque[Any]:
    _, maxlen, *rest = items
    # A shorter maxlen would drop items without a word.
    _check(maxlen is None or (type(maxlen) is int and maxlen >= len(rest)))
    return deque(rest, maxlen)


def _decode_range(items: list[Any]) -> range:
    _, start, stop, step = items
    _check(type(start) is type(stop) is type(step) is int)
    return range(start, stop, step)


def _decode_slice(items: list[Any]) -> slice:
    _, start, stop, step = items
    return slice(start, stop, step)


def _decode_counter(items: list[Any]) -> Counter[Any]:
    value: Counter[Any] = Counter()
    # Not Counter(mapping): it adds, so it would change counts that are no numbers.
    _dict.update(value, _only_dict(items[1:]))
    return value


def encode_defaultdict(
    value: defaultdict[Any, Any], keys: dict[type, str]
) -> list[Any]:
    """Write a defaultdict with its factory's name: a builtin's or one of *keys*."""
    factory = value.default_factory
    # `in` a dict of classes needs a hashable factory; any other is refused below.
    name = None
    if factory is not None:
        if isinstance(factory, type):
            name = _FACTORY_NAMES.get(factory) or keys.get(factory)
        if name is None:
            msg = (
                "a defaultdict whose factory is not None, a builtin such as list,"
                " or a class given as Storify(types=[...])"
            )
            raise UnstorableError(msg)
    return [_DEFAULTDICT, name, dict(value)]


def decode_defaultdict(
    items: list[Any], classes: Callable[[str], type]
) -> defaultdict[Any, Any]:
    """Rebuild a defaultdict; *classes* finds the class of a registered key."""
    _, name, *rest = items
    if name is None:
        return defaultdict(None, _only_dict(rest))
    return defaultdict(FACTORIES.get(name) or classes(name), _only_dict(rest))


def _decode_escaped(items: list[Any]) -> dict[Any, Any]:
    _, key, value = items
    _check(type(key) is str)
    return {key: value}


def _only_dict(items: list[Any]) -> dict[Any, Any]:
    (value,) = items
    _check(type(value) is dict)
    return value  # type: ignore[no-any-return] # _check raised for any other


# Sets are not here: sorting what they hold may need the codec itself.
CONTAINER_ENCODERS: Final[dict[type, Callable[[Any], list[Any]]]] = {
    tuple: lambda value: [_TUPLE, *value],
    deque: lambda value: [_DEQUE, value.maxlen, *value],
    range: lambda value: [_RANGE, value.start, value.stop, value.step],
    slice: lambda value: [_SLICE, value.start, value.stop, value.step],
    OrderedDict: lambda value: [_ORDERED_DICT, dict(value)],
    Counter: lambda value: [_COUNTER, dict(value)],
}

CONTAINER_DECODERS: Final[dict[int, Callable[[list[Any]], object]]] = {
    Ext.TUPLE: lambda items: tuple(items[1:]),
    Ext.SET: _decode_set,
    Ext.FROZENSET: _decode_frozenset,
    Ext.DEQUE: _decode_deque,
    Ext.RANGE: _decode_range,
    Ext.SLICE: _decode_slice,
    Ext.ORDERED_DICT: lambda items: OrderedDict(_only_dict(items[1:])),
    Ext.COUNTER: _decode_counter,
    Ext.ESCAPED: _decode_escaped,
}
