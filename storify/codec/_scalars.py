"""Single values that MessagePack lacks, as extension values and back.

An encoder gives an ``ExtType``, or raises ``UnstorableError`` (without a path)
for a value that would not come back equal. A decoder gives the value, or raises
anything at all: the caller then keeps the extension value as it is, so a payload
that this machine cannot read survives. For the same reason decoders are strict:
they take only what the encoder would write again.
"""

import ipaddress
import struct
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import (
    PosixPath,
    PurePath,
    PurePosixPath,
    PureWindowsPath,
    WindowsPath,
)
from types import EllipsisType
from typing import Any, Final, cast
from uuid import UUID

from msgpack import ExtType, Timestamp

from storify.exceptions import UnstorableError

from ._ext import Ext, ext

__all__ = [
    "SCALAR_DECODERS",
    "SCALAR_ENCODERS",
    "encode_bytearray",
    "encode_int",
    "encode_text",
    "read_timestamp",
    "timestamp_to_datetime",
]

_SURROGATES: Final = "surrogatepass"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATE_BYTES: Final = 10  # of a datetime; a time has 6
_TIME_BYTES: Final = 6
_new: Final = object.__new__


def _check(condition: object) -> None:
    """Refuse a payload that the encoder would not have written."""
    if not condition:
        msg = "not a payload of this type"
        raise ValueError(msg)


# --- datetime, date, time, timedelta -------------------------------------------
def _encode_zone(zone: tzinfo) -> bytes:
    """Name *zone*: ``u`` UTC, ``z`` + IANA key, ``o``/``n`` + offset (+ name)."""
    if zone is UTC:
        return b"u"
    kind = type(zone)
    # Who has such a zone has loaded the module, and most programs have none.
    named: Any = getattr(sys.modules.get("zoneinfo"), "ZoneInfo", None)
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


def _decode_date(data: bytes) -> date:
    return date(*struct.unpack(">HBB", data))


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


def _encode_decimal(value: Decimal) -> ExtType:
    return ext(Ext.DECIMAL, str(value).encode())


def _decode_decimal(data: bytes) -> Decimal:
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


def _encode_fraction(value: Fraction) -> ExtType:
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    if bits > _FRACTION_BITS:
        msg = f"a Fraction of {bits} bits; at most {_FRACTION_BITS} are stored"
        raise UnstorableError(msg)
    form = "d" if bits <= _DECIMAL_BITS else "#x"
    text = f"{value.numerator:{form}}/{value.denominator:{form}}"
    return ext(Ext.FRACTION, text.encode())


def _decode_fraction(data: bytes) -> Fraction:
    _check(len(data) <= _FRACTION_BYTES)
    numerator, denominator = data.decode("ascii").split("/")
    base = 16 if denominator.startswith("0x") else 10
    value = Fraction(int(numerator, base), int(denominator, base))
    _check(_encode_fraction(value).data == data)
    return value


def _encode_complex(value: complex) -> ExtType:
    return ext(Ext.COMPLEX, struct.pack(">dd", value.real, value.imag))


def _decode_complex(data: bytes) -> complex:
    return complex(*struct.unpack(">dd", data))


# --- text, bytes and names -----------------------------------------------------
def encode_text(value: str) -> ExtType:
    """Write a string with lone surrogates, which UTF-8 cannot hold."""
    return ext(Ext.TEXT, value.encode("utf-8", _SURROGATES))


def _decode_text(data: bytes) -> str:
    return data.decode("utf-8", _SURROGATES)


def encode_bytearray(value: bytearray) -> ExtType:
    """Write a bytearray; the C packer alone would write plain bytes."""
    return ext(Ext.BYTEARRAY, bytes(value))


def _encode_uuid(value: UUID) -> ExtType:
    return ext(Ext.UUID, value.bytes)


def _decode_uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def _encode_ellipsis(_: EllipsisType) -> ExtType:
    return ext(Ext.ELLIPSIS, b".")


def _decode_ellipsis(data: bytes) -> EllipsisType:
    _check(data == b".")
    return ...


_PATHS: Final[dict[type[PurePath], bytes]] = {
    PurePosixPath: b"p",
    PureWindowsPath: b"w",
    PosixPath: b"P",
    WindowsPath: b"W",
}
_PATH_KINDS: Final = {tag: kind for kind, tag in _PATHS.items()}


def _encode_path(value: PurePath) -> ExtType:
    kind, text = type(value), str(value)
    # "./c:x" is a relative file, but its text names a drive on some versions.
    if isinstance(value, PureWindowsPath) and PureWindowsPath(text) != value:
        msg = f"a {kind.__name__} whose text is another path"
        raise UnstorableError(msg)
    return ext(Ext.PATH, _PATHS[kind] + text.encode("utf-8", _SURROGATES))


def _decode_path(data: bytes) -> PurePath:
    text = data[1:].decode("utf-8", _SURROGATES)
    value = _PATH_KINDS[data[:1]](text)
    _check(str(value) == text)
    return value


_Address = (
    ipaddress.IPv4Address
    | ipaddress.IPv6Address
    | ipaddress.IPv4Network
    | ipaddress.IPv6Network
    | ipaddress.IPv4Interface
    | ipaddress.IPv6Interface
)
_ADDRESSES: Final[dict[type[_Address], bytes]] = {
    ipaddress.IPv4Address: b"4",
    ipaddress.IPv6Address: b"6",
    ipaddress.IPv4Network: b"n",
    ipaddress.IPv6Network: b"N",
    ipaddress.IPv4Interface: b"i",
    ipaddress.IPv6Interface: b"I",
}
_ADDRESS_KINDS: Final = {tag: kind for kind, tag in _ADDRESSES.items()}


def _encode_address(value: _Address) -> ExtType:
    return ext(
        Ext.IP, _ADDRESSES[type(value)] + str(value).encode("utf-8", _SURROGATES)
    )


def _decode_address(data: bytes) -> _Address:
    text = data[1:].decode("utf-8", _SURROGATES)
    value = _ADDRESS_KINDS[data[:1]](text)
    _check(str(value) == text)
    return value


SCALAR_ENCODERS: Final[dict[type, Callable[[Any], ExtType | Timestamp]]] = {
    datetime: _encode_datetime,
    date: _encode_date,
    time: _encode_time,
    timedelta: _encode_timedelta,
    int: encode_int,
    Decimal: _encode_decimal,
    Fraction: _encode_fraction,
    complex: _encode_complex,
    UUID: _encode_uuid,
    EllipsisType: _encode_ellipsis,
    **dict.fromkeys(_PATHS, _encode_path),
    **dict.fromkeys(_ADDRESSES, _encode_address),
}

SCALAR_DECODERS: Final[dict[int, Callable[[bytes], object]]] = {
    Ext.DATETIME: _decode_datetime,
    Ext.AWARE_DATETIME: _decode_aware_datetime,
    Ext.DATE: _decode_date,
    Ext.TIME: _decode_time,
    Ext.TIMEDELTA: _decode_timedelta,
    Ext.INT: _decode_int,
    Ext.DECIMAL: _decode_decimal,
    Ext.UUID: _decode_uuid,
    Ext.COMPLEX: _decode_complex,
    Ext.FRACTION: _decode_fraction,
    Ext.BYTEARRAY: bytearray,
    Ext.PATH: _decode_path,
    Ext.IP: _decode_address,
    Ext.TEXT: _decode_text,
    Ext.ELLIPSIS: _decode_ellipsis,
}
