"""What a file may hold: the extension codes, the two shapes that they come in, errors.

A *scalar* is one extension value with a payload. A *container* is an array led
by a marker, an extension value without payload: ``[marker, item, ...]``. Nested
values are never nested payloads, because each ``unpackb`` inside an ``ext_hook``
takes 42 KB of C stack and a hostile file could kill the interpreter.
"""

from collections.abc import Callable
from typing import Any, Final

from msgpack import ExtType

__all__ = ["MARKERS", "DecodeError", "Ext", "ext", "new_tuple"]


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
