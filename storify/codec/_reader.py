"""A reader beside msgpack's own, for the little that it refuses, and exact times.

Strings that are not UTF-8, malformed timestamps, and maps whose keys Python
cannot hash make the C reader give up the whole file. This one keeps each of
those as it is, so one value never costs the rest. It is iterative, so depth
costs no stack, and 20 to 70 times slower; the C reader is always tried first.

Timestamps that a datetime cannot hold, the C reader rounds: they are found before.
"""

import re
import struct
from collections.abc import Callable
from functools import cache
from itertools import chain
from struct import unpack
from typing import Any, Final, NamedTuple

from msgpack import ExtType, Timestamp, unpackb

from ._builtin import DecodeError, Ext, ext, read_timestamp, timestamp_to_datetime

_FLOATS: Final = {0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d")}
_UNSIGNED: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED: Final = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_STRINGS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINARIES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_CONSTANTS: Final[dict[int, bool | None]] = {0xC0: None, 0xC2: False, 0xC3: True}


ExtHook = Callable[[int, bytes], object]
ListHook = Callable[[list[Any]], object]
DictHook = Callable[[dict[Any, Any]], object]


class KeptKey:
    """A map key that cannot be hashed here; it is written back as it was.

    It stands for a key of a class that this program lacks, or for one that no
    Python program could have written. Two of the same bytes are equal.

    Attributes:
        tree: The key, decoded as far as it goes.
    """

    __slots__ = ("_wire", "tree")

    def __init__(self, tree: object, wire: bytes) -> None:
        self.tree: object = tree
        self._wire = wire

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptKey) and self._wire == other._wire

    def __hash__(self) -> int:
        return hash(self._wire)

    def __repr__(self) -> str:
        return f"KeptKey({self.tree!r})"

    def lowered(self) -> object:
        """Return the key as the packer is to write it."""
        return _without_buffers(self.tree)


def _without_buffers(tree: object) -> object:
    """Return *tree* with each bytearray as the extension that the packer skips."""
    if isinstance(tree, bytearray):
        return ext(Ext.BYTEARRAY, bytes(tree))
    if type(tree) is list:
        items: list[object] = tree  # pyright: ignore[reportUnknownVariableType] # of any
        return [_without_buffers(each) for each in items]
    return tree


class _Frame:
    """A container that is being read: how much it still lacks, and what it has."""

    __slots__ = ("is_map", "items", "lacking", "start", "starts")

    def __init__(self, lacking: int, start: int, *, is_map: bool) -> None:
        self.lacking = lacking
        self.start = start
        self.is_map = is_map
        self.items: list[Any] = []
        self.starts: list[int] = []


class Reader:
    """Reads one value, calling the same hooks as msgpack's reader does.

    *most* is how many containers may lie in one another, if it was not checked.
    """

    def __init__(
        self,
        decode_ext: ExtHook = ext,
        decode_list: ListHook | None = None,
        structure: DictHook | None = None,
        *,
        most: int | None = None,
    ) -> None:
        self._decode_ext = decode_ext
        self._decode_list = decode_list
        self._structure = structure
        self._most = most
        self._payload = b""
        self._at = 0

    def read(self, payload: bytes, *, is_root: bool = False) -> object:
        """Read *payload*, which `_frames.check` has found to be one value.

        A root map is not given to *structure*.

        Raises:
            DecodeError: A length runs past the end after all, or it is too deep.
        """
        self._payload = payload
        self._at = 0
        frames = [_Frame(1, 0, is_map=False)]
        while True:
            frame = frames[-1]
            if frame.lacking:
                frame.lacking -= 1
                start = self._at
                value = self._read_one()
                if isinstance(value, _Frame):
                    if len(frames) - 1 == self._most:
                        msg = f"the data nest more than {self._most} containers"
                        raise DecodeError(msg)
                    frames.append(value)
                    continue
            elif len(frames) > 1:
                frames.pop()
                hook = None if is_root and len(frames) == 1 else self._structure
                start, value = frame.start, self._close(frame, hook)
                frame = frames[-1]
            else:
                return frame.items[0]
            frame.items.append(value)
            if frame.is_map:
                frame.starts += (start, self._at)

    def tell(self) -> int:
        return self._at

    def _close(self, frame: _Frame, structure: DictHook | None) -> object:
        items = frame.items
        if not frame.is_map:
            return items if self._decode_list is None else self._decode_list(items)
        made: dict[Any, Any] = {}
        starts = frame.starts
        for index in range(0, len(items), 2):
            key = items[index]
            try:
                hash(key)
            except TypeError:
                begin, end = starts[2 * index : 2 * index + 2]
                key = KeptKey(key, self._payload[begin:end])
            made[key] = items[index + 1]
        return made if structure is None else structure(made)

    def _take(self, size: int) -> bytes:
        begin, end = self._at, self._at + size
        if end > len(self._payload):
            msg = "the data end too early"
            raise DecodeError(msg)
        self._at = end
        return self._payload[begin:end]

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "big", signed=signed)

    def _read_one(self) -> object:  # noqa: PLR0911 - a table of the spec
        start = self._at
        head = self._number(1)
        if head < 0x80:  # noqa: PLR2004 - the ranges of the MessagePack spec
            return head
        if head >= 0xE0:  # noqa: PLR2004 - idem
            return head - 0x100
        if head < 0x90:  # noqa: PLR2004 - idem
            return _Frame(2 * (head & 0x0F), start, is_map=True)
        if head < 0xA0:  # noqa: PLR2004 - idem
            return _Frame(head & 0x0F, start, is_map=False)
        if head < 0xC0:  # noqa: PLR2004 - idem
            return _read_text(self._take(head & 0x1F))
        if head in _CONSTANTS:
            return _CONSTANTS[head]
        return self._read_sized(head, start)

    def _read_sized(self, head: int, start: int) -> object:  # noqa: PLR0911 - a table of the spec
        if size := _UNSIGNED.get(head):
            return self._number(size)
        if size := _SIGNED.get(head):
            return self._number(size, signed=True)
        if float_ := _FLOATS.get(head):
            return float_.unpack(self._take(float_.size))[0]
        if size := _STRINGS.get(head):
            return _read_text(self._take(self._number(size)))
        if size := _BINARIES.get(head):
            return self._take(self._number(size))
        if size := _ARRAYS.get(head):
            return _Frame(self._number(size), start, is_map=False)
        if size := _MAPS.get(head):
            return _Frame(2 * self._number(size), start, is_map=True)
        if size := _EXTENSIONS.get(head):
            return self._read_ext(self._number(size))
        return self._read_ext(_FIXED_EXTENSIONS[head])

    def _read_ext(self, size: int) -> object:
        code = self._number(1, signed=True)
        data = self._take(size)
        if code == Ext.TIMESTAMP:
            return read_timestamp(data)
        return self._decode_ext(code, data)


def _read_text(data: bytes) -> str | bytes:
    """Read a string; one that no encoding explains stays the bytes that it is.

    Releases before this one, and other languages, wrote lone surrogates and raw
    bytes into strings.
    """
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data


# --- timestamps that a datetime cannot hold exactly ----------------------------

TIMESTAMP_CODE: Final = 0xFF
# The nanoseconds of the two longer timestamps; the short one has none. The last
# two bits of the first belong to the seconds.
_STAMP_64: Final = rb"\xd7\xff(?=(.{4}))"
_STAMP_96: Final = rb"\xc7\x0c\xff(?=(.{4}))"
# Lengths in a form that no library writes; the scan leaves them to the reader.
_ODD_STAMPS: Final = (b"\xc7\x08\xff", b"\x00\x08\xff", b"\x00\x0c\xff")
_HEAD_OF_32: Final = b"\xd6\xff"
_HEAD_OF_64: Final = b"\xd7\xff"
# All other forms but the short one end so.
_END_OF_64: Final = b"\x08\xff"
_END_OF_96: Final = b"\x0c\xff"


@cache
def _stamps(text: bytes) -> re.Pattern[bytes]:
    """Compile a pattern when it is needed: it takes time of each start."""
    return re.compile(text, re.DOTALL)


def find_odd_stamps(payload: bytes) -> list[int]:
    """Return where there may be timestamps that a datetime cannot hold exactly.

    The C reader rounds them without a word. Other bytes that look like one, as
    some in a float do, only cost time.
    """
    ends = payload.count(TIMESTAMP_CODE)
    if not ends or ends == payload.count(_HEAD_OF_32):
        return []  # mostly, at a third of the time of what follows
    found: list[int] = []
    if payload.find(_END_OF_64) >= 0 or payload.find(_END_OF_96) >= 0:
        for odd in _ODD_STAMPS:
            found += [match.start() for match in re.finditer(odd, payload)]
        found += _find_fractions(payload, _STAMP_96, 1000, {0})
    if payload.find(_HEAD_OF_64) >= 0:
        found += _find_fractions(payload, _STAMP_64, 4000, {0, 1, 2, 3})
    return found


def _find_fractions(
    payload: bytes, stamp: bytes, unit: int, whole: set[int]
) -> list[int]:
    pattern = _stamps(stamp)
    heads: list[bytes] = pattern.findall(payload)
    numbers = unpack(f">{len(heads)}I", b"".join(heads))
    # All in C: there is one in most records, and hardly ever an odd one.
    if whole.issuperset(map(unit.__rmod__, numbers)):
        return []
    places = (match.start() for match in pattern.finditer(payload))
    pairs = zip(places, numbers, strict=True)
    return [at for at, number in pairs if number % unit not in whole]


def unpack_exactly(
    payload: bytes,
    decode_ext: ExtHook,
    decode_list: ListHook | None,
    structure: DictHook | None,
    count_kept: Callable[[], object],
) -> Any:
    """Decode by the C reader, but make the datetimes here, where they are exact."""

    def exact(value: object) -> object:
        if type(value) is not Timestamp:
            return value
        made = timestamp_to_datetime(value)
        if made is value:
            count_kept()
        return made

    def list_hook(items: list[Any]) -> object:
        if Timestamp in set(map(type, items)):
            items = [exact(item) for item in items]
        return items if decode_list is None else decode_list(items)

    def object_hook(made: dict[Any, Any]) -> object:
        if Timestamp in set(map(type, chain(made, made.values()))):
            made = {exact(key): exact(value) for key, value in made.items()}
        return made if structure is None else structure(made)

    (value,) = unpackb(
        b"\x91" + payload,  # so that a lone timestamp passes a hook, too
        timestamp=0,
        strict_map_key=False,
        ext_hook=decode_ext,
        list_hook=list_hook,
        object_hook=object_hook,
    )
    return value


# --- what a value is that could not be built here, to show it to somebody -------------

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
