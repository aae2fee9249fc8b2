"""A C packer together with the checks that make its output trustworthy.

The packer asks ``default`` for each object that it does not know. After that its
bytes are scanned, at the speed of memory, for what it cannot tell apart:

* a plain dict that looks like a record: the tags in the bytes are counted and
  compared with the records that were written;
* a bytearray or memoryview, which it writes as bytes: looked for in the values
  whose bytes hold one that can begin binary data;
* a list that another thread changed while ``default`` ran;
* too deep nesting, which the reader would refuse.

A writer may be used by one call at a time; the codec keeps a pool of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, compress, repeat
from operator import is_
from typing import Any, Final, cast

from msgpack import ExtType, Packer, Timestamp

from storify.exceptions import UnstorableError

from ._frames import MAX_DEPTH, check_joined, is_deep
from ._scalars import SCALAR_ENCODERS

__all__ = [
    "Writer",
    "find_wrappers",
    "holds_buffer",
    "rough_tag_pattern",
    "tag_pattern",
]

_BUFFERS: Final[frozenset[type]] = frozenset({bytearray, memoryview})
_HOLDERS: Final[frozenset[type]] = frozenset({dict, list})
# Looked for as numbers: `b"\x81" in` costs ten times as much.
_ONE_KEY: Final = 0x81
_BIN_8: Final = 0xC4
_BIN_16: Final = 0xC5
_BIN_32: Final = 0xC6
_NATIVE: Final = {type(None), bool, int, float, str, bytes, ExtType, Timestamp}
_SCALARS: Final = _NATIVE | SCALAR_ENCODERS.keys()
#: What the walk for buffers needs no encoder for.
_PLAIN: Final = _SCALARS | _HOLDERS

Encoder = Callable[[Any], Any]
Unstructure = Callable[[Any], dict[str, Any] | None]


def _nothing(_: object) -> None:
    return None


def holds_buffer(
    roots: Iterable[object], lower: Callable[[object], object] = _nothing
) -> bool:
    """Tell whether a bytearray or memoryview lies anywhere in *roots*.

    Level by level at C speed: 0.05-0.2 us a value, where a walk in Python
    takes ten times as long. Only exact dicts and lists are gone into: an object
    of another kind leads to its class, and from there to everything. *lower*
    gives what is written for such an object.
    """
    items: Sequence[object] = list(roots)
    kinds = set(map(type, items))
    while not kinds <= _SCALARS:
        if kinds & _BUFFERS:
            return True
        if not kinds <= _PLAIN:
            items = [item for item in items if type(item) not in _SCALARS]
            items = [i if type(i) in _HOLDERS else lower(i) for i in items]
        kinds = set(map(type, _inside(items)))
        # The lowest level is the largest; there is no need to hold it.
        items = [] if kinds <= _SCALARS else list(_inside(items))
    return False


def _inside(items: Sequence[Any]) -> Iterator[object]:
    """Iterate over what exact lists and dicts among *items* hold, all of it in C.

    Not gc.get_referents(): since Python 3.13 it skips what an object's own
    ``__dict__`` holds.
    """
    lists: list[list[object]] = _of_kind(list, items)
    dicts: list[dict[object, object]] = _of_kind(dict, items)
    values_of: Callable[[Any], Iterable[object]] = cast("Any", dict).values
    values = map(values_of, dicts)
    return chain(
        chain.from_iterable(lists),
        chain.from_iterable(dicts),
        chain.from_iterable(values),
    )


def _of_kind(kind: type, items: Sequence[Any]) -> list[Any]:
    return list(compress(items, map(is_, map(type, items), repeat(kind))))


# What follows the key of a wrapper: a map, or an array that is read as a dict.
_TAG_TAIL: Final = (
    rb"(?=[\x80-\x8f\xde\xdf]|[\x90-\x9f]\xc7\x00|\xdc..\xc7\x00|\xdd.{4}\xc7\x00)"
)


# Patterns are compiled when first needed, and kept short: one that tells all of this
# by itself takes a program 5 ms, which is more than all else that it does at its start.
@cache
def _key_pattern(header: bytes) -> re.Pattern[bytes]:
    """Match *header* where a text of any length follows.

    One for each header, as a pattern that begins with a choice is five times slower.
    """
    return re.compile(re.escape(header) + rb"(?=[\xa0-\xbf\xd9-\xdb])", re.DOTALL)


@cache
def _tail_pattern() -> re.Pattern[bytes]:
    return re.compile(_TAG_TAIL, re.DOTALL)


# A map of one pair, as msgpack writes it and as others may.
_HEADERS: Final = (b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01")
# A text whose length is in its first byte.
_SHORT_TEXT: Final = 0xA0
# How most maps begin.
_MAPS: Final = frozenset(bytes((head,)) for head in range(0x80, 0x90))
_LONG_TEXT: Final = 0xD9


def find_wrappers(payload: bytes) -> Iterator[int]:
    """Return where a map begins that may be a wrapper of any key, in any form.

    It may also be other bytes that look so, as some in floats and texts do.
    """
    for header in _HEADERS:
        if payload.find(header) >= 0:
            for match in _key_pattern(header).finditer(payload):
                at = match.end()
                head = payload[at]
                if head >= _LONG_TEXT or _is_map(payload, at + 1 + head - _SHORT_TEXT):
                    yield match.start()


def _is_map(payload: bytes, at: int) -> bool:
    """Tell whether a map, or an array that is read as a dict, begins there."""
    return (
        payload[at : at + 1] in _MAPS or _tail_pattern().match(payload, at) is not None
    )


def rough_tag_pattern(packed_keys: Iterable[bytes]) -> re.Pattern[bytes]:
    """Match wherever `tag_pattern` does, and where no map follows the key.

    It is compiled in a tenth of the time.
    """
    known = b"".join(b"|" + re.escape(key) for key in packed_keys)
    heads = rb"(?:[\xa2-\xbf]|\xd9.|\xda..|\xdb.{4})__"
    return re.compile(rb"\x81(?=%s%s)" % (heads, known), re.DOTALL)


def tag_pattern(packed_keys: Iterable[bytes]) -> re.Pattern[bytes]:
    """Match where a one-key map begins whose key is a tag: ``__...`` or one of these.

    The shorter tags are matched to their end, to see that a map follows. That
    the longer ones are not only makes for a few look-alikes too many.
    """
    short = (rb"\x%x__.{%d}" % (0xA0 | size, size - 2) for size in range(2, 32))
    known = map(re.escape, packed_keys)
    tags = b"|".join(key + _TAG_TAIL for key in (*short, *known))
    return re.compile(rb"\x81(?:%s|(?:\xd9.|\xda..|\xdb.{4})__)" % tags, re.DOTALL)


class Writer:
    """Packs values and vouches for the bytes.

    Args:
        encoders: Exact class to shallow encoder. Live.
        wraps: Exact class of records to what gives their wrapper. Live.
        unstructure: Asked for all else: gives the wrapper of a record, or None.
    """

    def __init__(
        self,
        encoders: Mapping[type, Encoder],
        wraps: Mapping[type, Unstructure],
        unstructure: Unstructure,
    ) -> None:
        self._records = 0
        self._asked = False
        encoder_of, wrap_of = encoders.get, wraps.get

        # Each call here is a tenth of what a small record costs. So the records
        # are only counted: to keep what is made for them costs a third more.
        def default(value: object) -> object:
            kind = type(value)
            encoder = encoder_of(kind)
            if encoder is not None:
                self._asked = True
                return encoder(value)
            wrapper = wrap_of(kind, unstructure)(value)
            if wrapper is None:
                msg = "unknown type"  # the careful encoder says it with the path
                raise UnstorableError(msg)
            self._records += 1
            return wrapper

        self._lower = default
        # Without strict_types, a subclass would silently become its base.
        self.pack = Packer(strict_types=True, default=default).pack
        # For trees all of whose datetimes are in UTC: it would shift any other.
        native = Packer(strict_types=True, default=default, datetime=True)
        self.pack_lowered = native.pack

    def reset(self) -> None:
        """Forget what was packed, before the next call."""
        self._records = 0
        self._asked = False

    @property
    def was_asked(self) -> bool:
        """Whether the packer met anything that it does not write by itself."""
        return self._asked or self._records > 0

    def looks_plain(self, blob: bytes) -> bool:
        """Tell at once that one small value needs none of the checks of `doubt`."""
        return (
            not self._asked
            and not self._records
            and len(blob) < MAX_DEPTH
            and _ONE_KEY not in blob
            and _BIN_8 not in blob
            and _BIN_16 not in blob
            and _BIN_32 not in blob
        )

    def doubt(
        self,
        values: Sequence[object],
        blobs: Sequence[bytes],
        room: int,
        holds_only: Callable[[bytes, int], bool],
    ) -> Iterable[int]:
        """Return the indices of the *blobs* that may not read back as their *values*.

        Args:
            values: What was packed.
            blobs: The bytes of each.
            room: How deep each may be.
            holds_only: Tells whether so many records begin in some bytes, and nothing
                else that looks like one.

        Raises:
            RuntimeError: Another thread changed a list meanwhile; try again.
        """
        joined = b"".join(blobs)
        if (self._asked or self._records) and not check_joined(joined, blobs):
            msg = "list changed size during iteration"
            raise RuntimeError(msg)
        may_hold = self._records > 0 or _ONE_KEY in joined
        if may_hold and not holds_only(joined, self._records):
            return range(len(blobs))
        doubtful: list[int] = []
        # Written out: a generator would cost more than the search.
        if _BIN_8 in joined or _BIN_16 in joined or _BIN_32 in joined:
            doubtful = [
                index
                for index, blob in enumerate(blobs)
                if _BIN_8 in blob or _BIN_16 in blob or _BIN_32 in blob
            ]
            if not holds_buffer((values[index] for index in doubtful), self._lower):
                doubtful = []  # mostly a byte inside a float
        if max(map(len, blobs)) > room:
            sizes = enumerate(blobs)
            doubtful += [i for i, b in sizes if len(b) > room and is_deep(b, room)]
        return doubtful
