"""The difference between two versions of one large value.

A value of megabytes in which little changed is committed as the parts that did:
what stands before and after them is the same, and where nothing moved, so are
most pages in between. Where a list grew or shrank, its head and what was added or
taken are two parts. Other changes that move what follows at several places are kept
as one stretch from the first to the last.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["DELTA_FROM_BYTES", "Delta", "Edit", "delta_of"]

DELTA_FROM_BYTES = 1 << 16
"""Smaller values are written whole: a frame of 64 KiB takes as long to sync."""

_PAGE_BYTES = 1 << 12
_MOST_OF_AN_EDIT = 1 << 20
_COUNT_BYTES = 4
_SIZES = struct.Struct(">QQI")
_EDIT = struct.Struct(">QII")
_WORTH_IT = 2
#: So many places tell whether it is worth while to look at all.
_SAMPLES = 32
_SAMPLE_BYTES = 64


class Edit(NamedTuple):
    """One stretch of bytes.

    Attributes:
        start: Where it begins in the old value.
        removed: How many bytes go.
        data: What takes their place.
    """

    start: int
    removed: int
    data: bytes


class Delta(NamedTuple):
    """The edit that makes the new value of the old one.

    Attributes:
        old_size: Of the value that it applies to, in bytes.
        new_size: Of the value that it gives.
        old_crc: Of the value that it applies to, and to no other.
        edits: In order, not overlapping.
    """

    old_size: int
    new_size: int
    old_crc: int
    edits: tuple[Edit, ...]

    def apply(self, old: bytes) -> bytes:
        """Return the new value.

        Raises:
            ValueError: *old* is not the value that it was made from.
        """
        if len(old) != self.old_size or zlib.crc32(old) != self.old_crc:
            msg = "a delta of another value"
            raise ValueError(msg)
        parts: list[bytes] = []
        at = 0
        for start, removed, data in self.edits:
            parts += (old[at:start], data)
            at = start + removed
        parts.append(old[at:])
        new = b"".join(parts)
        if len(new) != self.new_size:
            msg = "a delta does not fit its value"
            raise ValueError(msg)
        return new

    def encode(self) -> bytes:
        """Write it down; `decode` is the inverse."""
        parts = [_SIZES.pack(self.old_size, self.new_size, self.old_crc)]
        for start, removed, data in self.edits:
            parts += (_EDIT.pack(start, removed, len(data)), data)
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes) -> "Delta":
        """Read what `encode` wrote.

        Raises:
            ValueError: It did not write this.
        """
        if len(payload) < _SIZES.size:
            msg = "a delta is cut short"
            raise ValueError(msg)
        old_size, new_size, old_crc = _SIZES.unpack_from(payload)
        edits: list[Edit] = []
        at, reached = _SIZES.size, 0
        while at < len(payload):
            if len(payload) - at < _EDIT.size:
                msg = "a delta is cut short"
                raise ValueError(msg)
            start, removed, size = _EDIT.unpack_from(payload, at)
            at += _EDIT.size
            if (
                size > len(payload) - at
                or start < reached
                or start + removed > old_size
            ):
                msg = "a delta is damaged"
                raise ValueError(msg)
            edits.append(Edit(start, removed, payload[at : at + size]))
            at, reached = at + size, start + removed
        return cls(old_size, new_size, old_crc, tuple(edits))


def delta_of(old: bytes, new: bytes) -> Delta | None:
    """Return the difference; None if it is not worth it."""
    if _differs_all_over(old, new):
        return None
    most = min(len(old), len(new))
    prefix = _same_until(old, new, 0, most)
    if len(old) == len(new):
        suffix = _same_from_end(old, new, most - prefix)
        pages = _pages(old, new, prefix, len(new) - suffix)
        edits = _as_far_as_worth_it(pages, len(new))
    else:
        edits = tuple(_stretches(old, new, prefix, most))
    size = sum(len(edit.data) + _EDIT.size for edit in edits)
    limit = (1 << 32) - 1
    fits = all(max(edit.removed, len(edit.data)) <= limit for edit in edits)
    if not fits or size * _WORTH_IT >= len(new):
        return None
    return Delta(len(old), len(new), zlib.crc32(old), edits)


def _differs_all_over(old: bytes, new: bytes) -> bool:
    """Whether it does at all places that are looked at, of two values of one size."""
    step = max(len(new) // _SAMPLES, 1)
    places = range(step // 2, len(new), step)
    return len(old) == len(new) and all(
        old[at : at + _SAMPLE_BYTES] != new[at : at + _SAMPLE_BYTES] for at in places
    )


def _stretches(old: bytes, new: bytes, start: int, most: int) -> Iterator[Edit]:
    """The differences from *start* on of values of two sizes: one stretch as a rule.

    Before what is added to a list, or taken from it, the number of its items changes.
    """
    after = start + _COUNT_BYTES
    same_until = _same_until(old, new, after, most) if after < most else 0
    if same_until > after:
        yield Edit(start, _COUNT_BYTES, new[start:after])
        start = same_until
    suffix = _same_from_end(old, new, most - start)
    yield Edit(start, len(old) - suffix - start, new[start : len(new) - suffix])


def _as_far_as_worth_it(edits: Iterator[Edit], size: int) -> tuple[Edit, ...]:
    """Take edits until they are too much, so that the rest need not be looked for."""
    taken: list[Edit] = []
    left = size // _WORTH_IT + 1
    for edit in edits:
        taken.append(edit)
        left -= len(edit.data) + _EDIT.size
        if left <= 0:
            break
    return tuple(taken)


def _same_until(old: bytes, new: bytes, start: int, most: int) -> int:
    """The offset from *start* on of the first other byte; by halves, compared in C."""
    # Not by halves of the whole at once: mostly they differ early.
    low, high = start, min(start + _PAGE_BYTES, most)
    while high < most and old[low:high] == new[low:high]:
        low, high = high, min(2 * high, most)
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_from_end(old: bytes, new: bytes, most: int) -> int:
    """The number of last bytes that are the same."""
    old_end, new_end = len(old), len(new)
    low, high = 0, min(_PAGE_BYTES, most)
    while high < most and (
        old[old_end - high : old_end - low] == new[new_end - high : new_end - low]
    ):
        low, high = high, min(2 * high, most)
    while low < high:
        middle = (low + high + 1) // 2
        one = old[old_end - middle : old_end - low]
        if one == new[new_end - middle : new_end - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _pages(old: bytes, new: bytes, start: int, end: int) -> Iterator[Edit]:
    """The pages that differ, neighbours joined."""
    first: int | None = None
    for at in range(start, end, _PAGE_BYTES):
        stop = min(at + _PAGE_BYTES, end)
        if first is not None and at - first >= _MOST_OF_AN_EDIT:
            yield Edit(first, at - first, new[first:at])
            first = None
        if old[at:stop] == new[at:stop]:
            if first is not None:
                yield Edit(first, at - first, new[first:at])
                first = None
        elif first is None:
            first = at
    if first is not None:
        yield Edit(first, end - first, new[first:end])
