"""A root on its way to a file: its bytes in order, a block at a time.

What is written is hashed and indexed on the way, so a large root is never in memory as
a whole.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

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
    "Next",
    "after",
    "index_of",
    "next_root",
]


class Next(NamedTuple):
    """A state that is to be written.

    Attributes:
        parts: Its root, in order; they can be taken once.
        changes: What it changes of the state before.
        make_index: Makes the index, of how the file looks and its sha256, when all parts
            were taken.
        payload: The root, if it is small.
        entries: The same, parted.
    """

    parts: Iterable[bytes]
    changes: Changes
    make_index: Callable[[Found, str], bytes | None] | None = None
    payload: bytes | None = None
    entries: dict[bytes, bytes] | None = None


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
    payload = None if before is None else _with_one(before, entries, changes)
    apply(entries, changes)
    if (
        payload is not None
        or b"" in entries
        or sum(map(len, entries.values())) < PART_BYTES
    ):
        payload = payload or root_format.join(entries)
        index = partial(index_of, root_format, entries)
        return Next((payload,), changes, index, payload, entries)
    builder = IndexBuilder(is_list=False)
    head = root_format.head(len(entries))
    parts = map(builder.take, in_parts(entries.items()))

    def build(found: Found, digest: str) -> bytes | None:
        return builder.build(found, digest, root_format.keyed(entries))

    return Next(chain((head,), chain.from_iterable(parts)), changes, build)


def _with_one(
    before: bytes, entries: dict[bytes, bytes], changes: Changes
) -> bytes | None:
    """Return a root with one other value; None if more changes, or other than that.

    All around it is copied at once: to join the entries takes several times as long.
    """
    key, value = next(iter(changes)) if len(changes) == 1 else (b"", None)
    old = entries.get(key)
    if not key or value is None or old is None or len(value) >= PART_BYTES:
        return None
    keys, values = list(entries), list(entries.values())
    next_at = keys.index(key) + 1
    behind = sum(map(len, keys[next_at:])) + sum(map(len, values[next_at:]))
    end = len(before) - behind
    whole = memoryview(before)
    return b"".join((whole[: end - len(old)], value, whole[end:]))


def index_of(
    root_format: Format, entries: dict[bytes, bytes], found: Found, digest: str
) -> bytes | None:
    """Return the index of a main file; None if it is too large for one."""
    is_list = b"" in entries
    items = root_format.items(entries[b""]) if is_list else None
    kind = LIST_KIND if is_list else root_format.keyed(entries)
    return build_index(entries, items, found, digest, kind)
