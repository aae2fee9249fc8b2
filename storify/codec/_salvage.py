"""The whole entries in the bytes of a damaged root, found by their structure alone.

A damaged stretch is skipped up to the next place from where entries follow one
another. What tells such a place from one inside a value: its keys are texts, or
of a kind that was there before, none is there twice, none is found inside the
values beside it, as the fields of records are, and the number of entries fits.

A change inside a text or a number that leaves the structure whole cannot be seen
here; checksums are the engine's.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, NamedTuple

from msgpack import Unpacker, unpackb
from msgpack.exceptions import OutOfData

from . import _frames

_MOST_SEARCHED: Final = 1 << 20
"""How far a damaged stretch may reach: each byte of it is tried."""
_ENOUGH: Final = 3
"""So many entries one after the other are no accident."""
_WINDOW_BYTES: Final = 1 << 12
"""What is looked at first; `_ends` copies it for each byte that is tried."""

_REMEMBERED: Final = 1 << 12
"""Of so many places is kept what begins there."""

Entry = tuple[bytes, bytes]


def _kinds() -> Iterator[str]:
    names = {0xC4: "bin", 0xC7: "ext", 0xCA: "float", 0xCC: "int", 0xD4: "ext"}
    names |= {0xD9: "str", 0xDC: "array", 0xDE: "map", 0xE0: "int", 0xC0: "other"}
    names |= {0x00: "int", 0x80: "map", 0x90: "array", 0xA0: "str"}
    name = ""
    for byte in range(256):
        name = names.get(byte, name)
        yield name


_KIND: Final = tuple(_kinds())
"""By the first byte of a value; see the MessagePack specification."""
_USUAL_KINDS: Final = frozenset({"str", "bin"})
"""What keys may be though few of the kind were seen before."""
_SEARCHED_ON: Final = 1 << 16
"""How far a place is looked for that is better than one whose count is wrong."""


def _is_whole(*parts: bytes) -> bool:
    """Tell whether bytes can be decoded, their texts too, by nobody's hooks."""
    try:
        for each in parts:
            _frames.check(each)
            # All as tuples, since any of them may be the key of a map.
            unpackb(
                each,
                timestamp=0,
                strict_map_key=False,
                use_list=False,
                object_pairs_hook=tuple,
            )
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _is_entry(key: bytes, value: bytes) -> bool:
    """Tell whether a pair is one of a root, going by what a key can be."""
    kind = _KIND[key[0]]
    # No dict and no list is a key; a tuple is an array with a marker.
    if kind == "map" or (kind == "array" and _KIND[(key[1:2] or b"\0")[0]] != "ext"):
        return False
    return _is_whole(key, value)


def _ends(payload: bytes, most: int | None = None) -> list[int]:
    """The ends of up to *most* values one after the other, until one is damaged."""
    unpacker = Unpacker(max_buffer_size=len(payload) + 1)
    unpacker.feed(payload)
    ends: list[int] = []
    try:
        while most is None or len(ends) < most:
            unpacker.skip()
            end = unpacker.tell()
            if end > len(payload):
                break
            ends.append(end)
    except (OutOfData, ValueError):
        pass  # what is whole before it counts
    return ends


def _pairs(payload: bytes, ends: list[int]) -> Iterator[Entry]:
    starts = [0, *ends[1::2]]
    for start, middle, end in zip(starts, ends[::2], ends[1::2], strict=False):
        yield payload[start:middle], payload[middle:end]


def salvage(payload: bytes) -> list[Entry | None]:
    """Return the entries of a damaged root that are whole, None for what is not."""
    if not _frames.is_map(payload):
        return [None]
    try:
        at, count = _frames.read_header(payload)
    except ValueError:
        return [None]
    found: list[Entry | None] = []
    keys: set[bytes] = set()
    places = _Places(payload)
    while at < len(payload):
        rest = payload[at:]
        ends = _ends(rest)
        whole = 0
        for key, value in _pairs(rest, ends):
            # Zeros are entries of zeros, by their structure.
            if key in keys or not _is_entry(key, value):
                break
            keys.add(key)
            found.append((key, value))
            whole += 1
            at += len(key) + len(value)
        if at == len(payload):
            break
        found.append(None)
        # A pair that can be parted but not decoded has an end.
        ahead = ends[2 * whole + 1] - len(rest) if len(ends) > 2 * whole + 1 else 0
        after = _next_entry(places, at + 1, ahead, found, count)
        if after is None:
            return found
        at = after
    # Cut between two entries, so that all the others are whole.
    return [*found, None] if None not in found and len(found) < count else found


def salvage_items(payload: bytes) -> list[bytes | None] | None:
    """Return the first items of a damaged list root, as `Codec.salvage_items` says.

    Nothing tells where an item begins but the end of the one before: behind a place
    that is no item there are none to be found. What was read before that place is
    taken up to the first item of a kind that was not there before: a length that was
    changed makes other items of what follows.
    """
    count = _frames.claimed(payload)
    if not _frames.is_array(payload) or count is None:
        return None
    rest = payload[_frames.read_header(payload)[0] :]
    ends = _ends(rest, count)
    parts = [rest[at:end] for at, end in zip([0, *ends], ends, strict=False)]
    if len(ends) < count or (ends and ends[-1] < len(rest)):
        kinds = [_KIND[each[0]] for each in parts]
        known = set(kinds[:_ENOUGH])
        odd = (at for at, kind in enumerate(kinds) if kind not in known)
        parts = parts[: next(odd, None)]
    return [each if _is_whole(each) else None for each in parts]


class _Start(NamedTuple):
    """The first entries from a place on: their keys, and of what kinds these are."""

    keys: list[bytes]
    kinds: frozenset[str]

    def may_follow(self, near: Mapping[bytes, bytes], kinds: frozenset[str]) -> bool:
        """Tell whether they are likely the first ones after the entries *near*."""
        return (
            self.kinds <= kinds
            and near.keys().isdisjoint(self.keys)
            and not any(self.keys[0] in value for value in near.values())
        )


class _Places:
    """The places in a damaged root where something begins, found out once.

    The search goes over many places again for each damaged stretch, so what does
    not depend on what was found before is kept: the cost would be a square.
    """

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        #: Not 0 where no entries can begin.
        self._hopeless = bytearray(len(payload))
        self._starts: dict[int, _Start] = {}
        self._rests: dict[int, tuple[bool, int]] = {}

    def start_at(self, at: int) -> _Start | None:
        """Return the first entries from a place on, if there can be any."""
        if self._hopeless[at]:
            return None
        found = self._starts.get(at)
        if found is not None:
            return found
        pairs = _first_pairs(self.payload, at)
        if not _are_pairs(pairs) or any(pairs[0][0] in value for _, value in pairs[1:]):
            self._hopeless[at] = 1
            return None
        keys = [key for key, _ in pairs]
        found = _Start(keys, frozenset(_KIND[key[0]] for key in keys))
        if len(self._starts) < _REMEMBERED and sum(map(len, keys)) < _WINDOW_BYTES:
            self._starts[at] = found
        return found

    def rest(self, at: int) -> tuple[bool, int]:
        """Tell whether all is whole from a place on, and how many values follow."""
        found = self._rests.get(at)
        if found is None:
            ends = _ends(self.payload[at:])
            found = at + ends[-1] == len(self.payload), len(ends)
            if len(self._rests) < _REMEMBERED:
                self._rests[at] = found
        return found


def _next_entry(
    places: _Places, start: int, ahead: int, found: list[Entry | None], count: int
) -> int | None:
    """The next place from *start* on at which entries follow one another again.

    *ahead* is a place to try first, counted from the end; *count* is how many entries
    there should be, if that can be believed.
    """
    payload = places.payload
    known = [each for each in found if each is not None]
    seen = Counter(_KIND[key[0]] for key, _ in known)
    kinds = _USUAL_KINDS.union(kind for kind in seen if seen[kind] >= _ENOUGH)
    last = min(len(payload), start + _MOST_SEARCHED)
    most = count - len(known) - 1
    near = dict(known[-_ENOUGH:])
    second_best = None
    for at in chain([len(payload) + ahead] if ahead else (), range(start, last)):
        if second_best is not None and at > second_best + _SEARCHED_ON:
            break
        if _KIND[payload[at]] not in kinds:
            continue
        first = places.start_at(at)
        if first is None or not first.may_follow(near, kinds):
            continue
        size = len(first.keys)
        if size < _ENOUGH and not 0 <= most - size < _ENOUGH:
            continue
        is_whole, values = places.rest(at)
        if not is_whole:
            return at  # there is more damage, so the number tells nothing
        if values % 2 == 0:
            if values // 2 <= most:
                return at
            second_best = at if second_best is None else second_best
    return second_best


def _are_pairs(pairs: list[Entry]) -> bool:
    # The keys first: what looks like entries is mostly one byte, over and over.
    return (
        bool(pairs)
        and len({key for key, _ in pairs}) == len(pairs)
        and all(_is_entry(key, value) for key, value in pairs)
    )


def _first_pairs(payload: bytes, at: int) -> list[Entry]:
    """Some entries from *at* on, all that there are to the end, or none."""
    size = _WINDOW_BYTES
    while True:
        window = payload[at : at + size]
        ends = _ends(window, 2 * _ENOUGH)
        if len(ends) == 2 * _ENOUGH:
            return list(_pairs(window, ends))
        if not ends or not _is_whole(window[: ends[0]]):
            return []
        if at + size >= len(payload):
            at_end = len(ends) % 2 == 0 and ends[-1] == len(window)
            return list(_pairs(window, ends)) if at_end else []
        if not _is_cut_short(window[ends[-1] :]):
            return []
        size *= 16


def _is_cut_short(payload: bytes) -> bool:
    unpacker = Unpacker(max_buffer_size=len(payload) + 1)
    unpacker.feed(payload)
    try:
        unpacker.skip()
    except OutOfData:
        return True
    except ValueError:
        return False
    return False
