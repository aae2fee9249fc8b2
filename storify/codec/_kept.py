"""What a value is that could not be built here, to show it to somebody."""

from typing import Any, NamedTuple

from msgpack import ExtType, Timestamp

from ._format import Ext
from ._reader import KeptKey

__all__ = ["Unbuilt", "unbuilt"]

_NAMES = {code: name.lower() for name, code in vars(Ext).items() if name.isupper()}


class Unbuilt(NamedTuple):
    """A value of a class, or a code, that is not known here.

    Attributes:
        name: The key of its class, or what its code stands for.
        member: The member of an enum; an empty text for any other value.
        content: What is in it, as far as it could be decoded.
    """

    name: str
    member: str
    content: Any


def unbuilt(value: object) -> Unbuilt | None:
    """Tell what stands for a value that could not be built; None for any other."""
    match value:
        case KeptKey():
            return unbuilt(value.tree) or Unbuilt("key", "", value.tree)
        case Timestamp():
            return Unbuilt("timestamp", "", f"{value.seconds}.{value.nanoseconds:09}")
        case ExtType(code, data):
            return _extension(code, data)
        case _:
            return _container(value)


def _kind(value: object) -> type[Any]:
    return type(value)


def _container(value: Any) -> Unbuilt | None:
    """Tell of a list that a marker leads."""
    if _kind(value) is not list or not value or _kind(value[0]) is not ExtType:
        return None
    marker: Any = value[0]
    code, data = marker
    if data:
        return None
    items: list[Any] = value[1:]
    is_named = code in {Ext.NAMEDTUPLE, Ext.CUSTOM} and len(items) > 1
    if is_named and isinstance(items[0], str):
        return Unbuilt(items[0], "", items[1])
    return Unbuilt(_NAMES.get(code, f"extension {code}"), "", items)


def _extension(code: int, data: bytes) -> Unbuilt:
    if code != Ext.ENUM:
        return Unbuilt(_NAMES.get(code, f"extension {code}"), "", data)
    key, _, member = data.partition(b"\0")
    name = key.decode("utf-8", "replace")
    if member[:1] == b"=":
        number = int.from_bytes(member[1:], "big", signed=True)
        return Unbuilt(name, str(number), number)
    text = member[1:].decode("utf-8", "replace")
    return Unbuilt(name, text, text)
