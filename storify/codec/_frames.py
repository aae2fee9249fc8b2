"""The frames of the values in a payload, found without decoding any.

A root is a map header and then key, value, key, value; so the entries of a map
can be parted and joined as bytes. `skip` runs at 2 GB/s, a fortieth of the time
of decoding, and needs no memory, whatever a header claims.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, chain, count, repeat, starmap
from operator import itemgetter
from typing import Any, Final

from msgpack import Unpacker, packb, unpackb
from msgpack.exceptions import OutOfData, StackError

from ._builtin import DecodeError
from ._reader import Reader

MAX_DEPTH: Final = 500
"""How many containers may lie in one another on the wire, the root included."""

# The scanner itself stops at 1024 levels. Put inside so many arrays of one item,
# a payload reaches that limit exactly where it passes the depth that is left.
_SCANNER_DEPTH: Final = 1024
_ONE: Final = b"\x91"

# Without its C extension it calls itself for each level, and stops where Python's own
# limit is: at any depth, which says nothing about the data.
_IS_PYTHON: Final = Unpacker.__module__ == "msgpack.fallback"

# An extension of 4 GB - 1 with its type byte overflows in msgpack's skip(), which
# then takes it for an empty one (seen in 1.2.4). Only the reader sees through it.
_OVERFLOWING: Final = b"\xc9\xff\xff\xff\xff"

_SAMPLE_BYTES: Final = 1 << 16
#: After so many hits a byte is not rare if there was one in each KiB.
_FOUND_OFTEN: Final = 64

_MAPS: Final = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_ARRAYS: Final = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})


def find(payload: bytes, mark: bytes) -> int:
    """Find *mark* as ``payload.find`` does, ten times faster where it is rare.

    One byte is looked for by ``memchr``, several are not: so the first or the last of
    it, whichever a sample has less of. Where that is not rare after all, the rest is
    searched in the common way.
    """
    sample = payload[:_SAMPLE_BYTES]
    back = len(mark) - 1 if sample.count(mark[-1]) < sample.count(mark[0]) else 0
    rare = mark[back]
    at = back
    for found in count():
        if found > _FOUND_OFTEN and at < found << 10:
            break
        at = payload.find(rare, at)
        if at < 0 or payload.startswith(mark, at - back):
            return at if at < 0 else at - back
        at += 1
    return payload.find(mark, at - back)


def is_map(payload: bytes) -> bool:
    return payload[:1] != b"" and payload[0] in _MAPS


def is_array(payload: bytes) -> bool:
    return payload[:1] != b"" and payload[0] in _ARRAYS


def read_header(payload: bytes) -> tuple[int, int]:
    """Return the size and the count of a map or array header; ValueError if it is cut."""
    head = payload[0]
    if head < 0xA0:  # noqa: PLR2004 - a fixmap or fixarray, in the MessagePack spec
        return 1, head & 0x0F
    size = 2 if head in (0xDC, 0xDE) else 4
    if len(payload) <= size:
        msg = "the header is cut short"
        raise ValueError(msg)
    return 1 + size, int.from_bytes(payload[1 : 1 + size], "big")


def claimed(payload: bytes) -> int | None:
    """Return how many entries or items a damaged root says it has; None if illegible."""
    if not (is_map(payload) or is_array(payload)):
        return None
    try:
        return read_header(payload)[1]
    except ValueError:
        return None


def _scanner(payload: bytes, before: bytes = b"") -> Unpacker:
    unpacker = Unpacker(max_buffer_size=len(before) + len(payload) + 1)
    if before:  # not joined: it may be short, and the payload long
        unpacker.feed(before)
    unpacker.feed(payload)
    return unpacker


def is_deep(payload: bytes, room: int = MAX_DEPTH) -> bool:
    """Tell whether a whole value nests more than *room* containers."""
    if len(payload) <= room:
        return False  # each level takes a byte
    try:
        _scanner(payload, _ONE * (_SCANNER_DEPTH - room)).skip()
    except OutOfData:
        return False
    except StackError:
        return not _IS_PYTHON or _is_deep_by_hand(payload, room)
    except ValueError:
        return True
    return False


def _is_deep_by_hand(payload: bytes, room: int) -> bool:
    try:
        _end_by_hand(payload, room)
    except DecodeError:
        return True
    return False


def _end_by_hand(payload: bytes, room: int) -> int:
    """Return where the first value ends, without a call for each container in it."""
    reader = Reader(most=room)
    try:
        reader.read(payload)
    except KeyError as error:  # a head byte that the spec does not use
        raise _explain(error) from None
    return reader.tell()


def check(payload: bytes) -> None:
    """Refuse bytes that are not exactly one value within `MAX_DEPTH`.

    Raises:
        DecodeError: Cut short, followed by more, too deep, or no MessagePack.
    """
    scanner = _scanner(payload)
    try:
        scanner.skip()
        end = scanner.tell()
    except (OutOfData, ValueError) as error:
        if not (_IS_PYTHON and isinstance(error, StackError)):
            raise _explain(error) from None
        end = _end_by_hand(payload, MAX_DEPTH)
    if end != len(payload):
        msg = "there is more after the end of the data"
        raise DecodeError(msg)
    if is_deep(payload):
        raise _explain(StackError())
    if _OVERFLOWING in payload:
        Reader().read(payload)


def _explain(error: Exception) -> DecodeError:
    """Say what the scanner met, without the data that its own errors may hold."""
    if isinstance(error, OutOfData):
        return DecodeError("the data end too early")
    if isinstance(error, StackError):
        return DecodeError(f"the data nest more than {MAX_DEPTH} containers")
    return DecodeError("the data are no MessagePack")


def check_joined(joined: bytes, blobs: Sequence[bytes]) -> bool:
    """Tell whether each of *blobs*, which *joined* holds, is exactly one value."""
    try:
        ends = _ends(_scanner(joined), len(blobs))
    except (ValueError, OutOfData):
        return False
    return ends == list(accumulate(map(len, blobs)))


def _ends(scanner: Unpacker, count: int) -> list[int]:
    """Skip *count* values and return where each ends."""
    # The C way to call skip(), tell(), skip(), tell(), ...: half of a loop's time.
    skips = starmap(scanner.skip, repeat((), count))
    tells = starmap(scanner.tell, repeat((), count))
    return [end for _, end in zip(skips, tells, strict=True)]


def split(payload: bytes) -> dict[bytes, bytes]:
    """Part a root into key bytes and value bytes, in order; values are not looked into.

    A list root is one value under the key ``b""``.

    Raises:
        DecodeError: The payload is no whole map or array.
    """
    if not is_map(payload):
        check(payload)
        if not is_array(payload):
            msg = "the data are neither a map nor an array"
            raise DecodeError(msg)
        return {b"": payload}
    return dict(_pairs(payload))


def part_all(entries: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Part the bytes of so many entries of a map root, in order.

    Raises:
        DecodeError: They are not as many entries.
    """
    return _pairs(map_header(count) + entries)


def part_some(begin: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """Part the entries of a map root, at most so many, that are whole in *begin*.

    Raises:
        DecodeError: What comes next is no entry, or can be told only in the whole.
    """
    if find(begin, _OVERFLOWING) >= 0:
        raise _explain(ValueError())
    scanner = _scanner(begin)
    bounds = [0]
    try:
        for _ in range(2 * most):
            scanner.skip()
            bounds.append(scanner.tell())
    except OutOfData:
        del bounds[len(bounds) - 1 | 1 :]  # a key alone is no entry
    except ValueError as error:
        raise _explain(error) from None
    return _cut(begin, bounds)


def _pairs(payload: bytes) -> list[tuple[bytes, bytes]]:
    return _cut(payload, spans(payload))


def _cut(payload: bytes, bounds: list[int]) -> list[tuple[bytes, bytes]]:
    pairs = zip(bounds[:-1:2], bounds[1::2], bounds[2::2], strict=True)
    return [(payload[start:mid], payload[mid:end]) for start, mid, end in pairs]


def spans(payload: bytes) -> list[int]:
    """Return where each key and value of a map root begins, and where the last ends."""
    if find(payload, _OVERFLOWING) >= 0:
        check(payload)
    scanner = _scanner(payload)
    try:
        parts = 2 * scanner.read_map_header()
        bounds = [scanner.tell(), *_ends(scanner, parts)]
    except (OutOfData, ValueError) as error:
        raise _explain(error) from None
    if bounds[-1] != len(payload):
        msg = "there is more after the end of the data"
        raise DecodeError(msg)
    return bounds


def items(payload: bytes) -> list[bytes]:
    """Part a list root, which is whole, into its items."""
    scanner = _scanner(payload)
    count = scanner.read_array_header()
    start = scanner.tell()
    ends = _ends(scanner, count)
    return [payload[at:end] for at, end in zip([start, *ends], ends, strict=False)]


def join(entries: Mapping[bytes, bytes]) -> bytes:
    """Put entries together again: a map root, or the list root under ``b""``."""
    if b"" in entries:
        return entries[b""]
    parts = chain.from_iterable(entries.items())
    return b"".join(chain((map_header(len(entries)),), parts))


#: The first bytes of a text and of an integer: those that say all, and the longer ones.
_TEXTS: Final = frozenset(range(0xA0, 0xC0)), frozenset((0xD9, 0xDA, 0xDB))
_INTEGERS: Final = (
    frozenset((*range(0x80), *range(0xE0, 0x100))),
    frozenset((*range(0xCC, 0xD4),)),
)


def kind_of_keys(keys: Collection[bytes]) -> str:
    """Return ``str`` or ``int`` if all keys are of it and in the least bytes, else ""."""
    firsts = set(map(itemgetter(0), keys))
    for name, (short, long) in (("str", _TEXTS), ("int", _INTEGERS)):
        if firsts and firsts <= short | long:
            doubtful = (key for key in keys if key[0] in long)
            shortest = firsts <= short or all(map(_is_shortest, doubtful))
            return name if shortest and _are_legible(keys) else ""
    return ""


def _is_shortest(key: bytes) -> bool:
    try:
        return packb(unpackb(key)) == key
    except ValueError:
        return False


def plain_keys(keys: Sequence[bytes]) -> list[Any]:
    """Decode keys that are all of one type, of which `kind_of_keys` tells."""
    scanner = Unpacker(max_buffer_size=0)
    scanner.feed(b"".join(keys))
    return list(starmap(scanner.unpack, repeat((), len(keys))))


def _are_legible(keys: Collection[bytes]) -> bool:
    scanner = Unpacker(max_buffer_size=0)
    scanner.feed(b"".join(keys))
    try:
        deque(starmap(scanner.unpack, repeat((), len(keys))), 0)
    except (ValueError, OutOfData):
        return False
    return scanner.tell() == sum(map(len, keys))


def map_header(count: int) -> bytes:
    """Begin a map of *count* pairs, in the least bytes as msgpack does."""
    return _header(count, 0x80, 0xDE)


def array_header(count: int) -> bytes:
    """Begin an array of *count* items, in the least bytes as msgpack does."""
    return _header(count, 0x90, 0xDC)


def _header(count: int, short: int, long: int) -> bytes:
    if count < 1 << 4:
        return bytes([short | count])
    if count < 1 << 16:
        return bytes([long]) + count.to_bytes(2, "big")
    return bytes([long + 1]) + count.to_bytes(4, "big")
