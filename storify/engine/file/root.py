"""A root on its way to a file: its bytes in order, a block at a time.

What is written is hashed and indexed on the way, so a large root is never in memory as
a whole.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from storify.engine.file.index import (
    LIST_KIND,
    IndexBuilder,
    build_index,
    in_parts,
)
from storify.engine.file.log import Frame
from storify.engine.file.replay import replay
from storify.engine.file.vfs import PART_BYTES, Found
from storify.engine.protocol import Changes, Format, apply

__all__ = [
    "HASHED_BYTES",
    "Hash",
    "Next",
    "after",
    "hashed",
    "index_of",
    "next_root",
]


HASHED_BYTES: Final = 1 << 15
"""The hashes of a root are so many bytes apart: copying one takes a tenth of hashing that."""

if TYPE_CHECKING:
    from hashlib import _Hash as Hash
else:
    Hash = type(sha256())


class Next(NamedTuple):
    """A state that is to be written.

    Attributes:
        parts: Its root, in order; they can be taken once.
        changes: What it changes of the state before.
        make_index: Makes the index, of how the file looks and its sha256, when all parts
            were taken.
        payload: The root, if it is small.
        entries: The same, parted.
        same_bytes: How many at its begin are those of the root before, if that is known.
    """

    parts: Iterable[bytes]
    changes: Changes
    make_index: Callable[[Found, str], bytes | None] | None = None
    payload: bytes | None = None
    entries: dict[bytes, bytes] | None = None
    same_bytes: int = 0


def next_root(
    root_format: Format,
    before: bytes,
    frames: Sequence[Frame],
    changes: Changes,
) -> Next:
    """Build the root after *changes* to a main file and its journal."""
    entries, _ = replay(root_format.split(before), frames)
    return after(root_format, entries, changes)


def after(
    root_format: Format,
    entries: dict[bytes, bytes],
    changes: Changes,
    before: bytes | None = None,
) -> Next:
    """Bring changes into *entries*, in place, and make the root of them.

    Args:
        root_format: How a root parts into entries.
        entries: Those of the state before.
        changes: What is to change.
        before: The root of that state, if it is small and in memory.
    """
    payload, same_bytes = None, 0
    if before is not None:
        payload, same_bytes = _with_one(before, entries, changes)
    if payload is None:
        apply(entries, changes)
    if (
        payload is not None
        or b"" in entries
        or sum(map(len, entries.values())) < PART_BYTES
    ):
        payload = payload or root_format.join(entries)
        index = partial(index_of, root_format, entries)
        return Next((payload,), changes, index, payload, entries, same_bytes)
    builder = IndexBuilder(is_list=False)
    head = root_format.head(len(entries))
    parts = map(builder.take, in_parts(entries.items()))

    def build(found: Found, digest: str) -> bytes | None:
        return builder.build(found, digest, root_format.keyed(entries))

    return Next(chain((head,), chain.from_iterable(parts)), changes, build)


def _with_one(
    before: bytes, entries: dict[bytes, bytes], changes: Changes
) -> tuple[bytes | None, int]:
    """Bring in one other value, and return the root with it, and where it begins.

    None and 0, and nothing was done, if more changes, or other than that. All around
    the value is copied at once: to join the entries takes several times as long.
    """
    key, value = next(iter(changes)) if len(changes) == 1 else (b"", None)
    old = entries.get(key)
    if not key or value is None or old is None or len(value) >= PART_BYTES:
        return None, 0
    keys, values = list(entries), list(entries.values())
    next_at = keys.index(key) + 1
    behind = sum(map(len, keys[next_at:])) + sum(map(len, values[next_at:]))
    end = len(before) - behind
    start, whole = end - len(old), memoryview(before)
    entries[key] = value
    return b"".join((whole[:start], value, whole[end:])), start


def hashed(payload: bytes, known: Sequence[Hash] = ()) -> list[Hash]:
    """Hash a root: what it begins with, each 32 KiB more of it, and at last all.

    Args:
        payload: The root.
        known: The hashes of what it begins with, if it is as another root there.
    """
    hashes, rest = list(known), memoryview(payload)
    for start in range(len(hashes) * HASHED_BYTES, len(payload) or 1, HASHED_BYTES):
        hashes.append(hashes[-1].copy() if hashes else sha256())
        hashes[-1].update(rest[start : start + HASHED_BYTES])
    return hashes


def index_of(
    root_format: Format, entries: dict[bytes, bytes], found: Found, digest: str
) -> bytes | None:
    """Return the index of a main file; None if it is too large for one."""
    is_list = b"" in entries
    items = root_format.items(entries[b""]) if is_list else None
    kind = LIST_KIND if is_list else root_format.keyed(entries)
    return build_index(entries, items, found, digest, kind)
