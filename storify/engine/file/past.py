"""A state that has no index, asked for single keys: one of the past, as a rule.

::

    opened    the root file is read once, in parts: hashed, and an index is made of it;
              so is one of the commits on top
    asked     an entry or an op is read where it lies, and checked (`snapshot`)

Nothing is given of a file before its checksum is known to be right. The index is in
memory: some 20 bytes for each entry.

A small file is read as a whole, and so is one that cannot be asked: a root without keys,
one of keys that may have other bytes, one that another program wrote in its own way.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from storify.engine.file.history import Kept
from storify.engine.file.index import DamagedError, Index, IndexBuilder
from storify.engine.file.log_index import log_of
from storify.engine.file.replay import replay
from storify.engine.file.snapshot import Files, FileSnapshot, has_room
from storify.engine.file.state import version_after
from storify.engine.file.vfs import PART_BYTES
from storify.engine.protocol import Format, Snapshot, WholeSnapshot
from storify.exceptions import CorruptionError

__all__ = ["Indexed", "check_whole", "in_bytes", "indexed", "open_past"]

Entry = tuple[bytes, bytes]

WHOLE_BYTES = 1 << 20
"""Smaller files are read whole: that is simpler, and as fast."""


def open_past(root_format: Format, kept: Kept) -> Snapshot:
    """Open a state that is kept.

    Raises:
        ValueError: It is no root.
        CorruptionError: It is damaged.
        OSError: It cannot be read now.
    """
    last = kept.frames[-1] if kept.frames else None
    found = None
    if kept.source.found.size >= WHOLE_BYTES:
        found = indexed(root_format, kept)
    if found is not None:
        version = version_after(found.digest, last)
        return FileSnapshot(version, found.files, lambda: _whole(root_format, kept)[1])
    digest, entries = _whole(root_format, kept)
    return WholeSnapshot(version_after(digest, last), entries)


def _whole(root_format: Format, kept: Kept) -> tuple[str, dict[bytes, bytes]]:
    """Return the sha256 of the root file, and all entries of the state.

    Raises:
        As `open_past`.
    """
    payload, digest = kept.read()
    entries, notes = replay(root_format.split(payload), kept.frames)
    if notes:
        msg = f"cannot rebuild a state of {kept.link!r}: {notes[0]}"
        raise CorruptionError(msg, notes)
    return digest, entries


class Indexed(NamedTuple):
    """A state that was read once.

    Attributes:
        files: What is asked from now on.
        digest: The sha256 of the root file, in hex.
        payload: The index that was made of it.
    """

    files: Files
    digest: str
    payload: bytes


def indexed(root_format: Format, kept: Kept) -> Indexed | None:
    """Read a state once, in parts; None if it must be read whole.

    Raises:
        CorruptionError: It is damaged.
        OSError: It cannot be read now.
    """
    if not has_room():
        return None
    builder = IndexBuilder(is_list=False)
    found = _read_once(root_format, kept, lambda part: deque(builder.take(part), 0))
    if found is None or not found[1]:
        return None
    payload = builder.build(kept.source.found, *found)
    index = None if payload is None else Index.of(payload, kept.source.found)
    if payload is None or index is None:
        return None
    with suppress(DamagedError):  # what is wrong is said where it is read whole
        log = log_of(kept.frames, root_format)
        files = None if log is None else Files(kept.source, index, log, root_format)
        if files and files.is_keyed and not _has_twins(files, root_format.part):
            return Indexed(files, found[0], payload)
    return None


def _has_twins(files: Files, part: Callable[[bytes], Entry]) -> bool:
    """Whether a key is there twice, which another program may have done."""
    for rows in files.index.twins():
        keys = {part(files.entry(row))[0] for row in rows}
        if len(keys) < len(rows):
            return True
    return False


def check_whole(root_format: Format, kept: Kept) -> None:
    """Decode a root file to its end.

    Raises:
        ValueError: It is not whole.
        CorruptionError: It is not what it must be.
        OSError: It cannot be read now.
    """

    def check(part: list[Entry]) -> None:
        root_format.check(root_format.join(dict(part)))

    found = None
    if kept.source.found.size >= WHOLE_BYTES:
        found = _read_once(root_format, kept, check)
    if found is None or not found[1]:
        # Other keys may be one for Python, wherever they stand.
        root_format.check(kept.read()[0])


def _read_once(
    root_format: Format, kept: Kept, take: Callable[[list[Entry]], object]
) -> tuple[str, str] | None:
    """Take the entries of a root file, about a mebibyte at a time.

    Returns:
        Its sha256, in hex, and the one type of its keys: `Format.keyed`. None if it must
        be read whole to be judged.

    Raises:
        CorruptionError: It is not what it must be.
        OSError: It cannot be read now.
    """
    digest, kinds = sha256(), set[str]()
    try:
        for part in _parted(root_format, kept, digest.update):
            kinds.add(root_format.keyed(dict(part)))
            take(part)
    except ValueError:
        return None
    kept.check(digest.hexdigest())
    return digest.hexdigest(), kinds.pop() if len(kinds) == 1 else ""


def _parted(
    root_format: Format, kept: Kept, note: Callable[[bytes], object]
) -> Iterator[list[Entry]]:
    """Iterate over the entries of a root file in parts; *note* is told all bytes.

    Raises:
        ValueError: It is no root with keys, or another program wrote it.
    """
    window = kept.source.read(0, PART_BYTES)
    note(window)
    at, left = len(window), root_format.claimed(window)
    head = b"" if left is None else root_format.head(left)
    if left is None or not window.startswith(head):
        msg = "it does not begin as what we write"
        raise ValueError(msg)
    window = window[len(head) :]
    while left or window:
        part = root_format.part_some(window, left)
        left -= len(part)
        window = window[sum(map(len, chain.from_iterable(part))) :]
        more = kept.source.read(at, max(PART_BYTES, len(window)))
        if not part and not (left and more):
            msg = "it ends too early, or there is more"
            raise ValueError(msg)
        note(more)
        at += len(more)
        window += more
        if part:
            yield part


def in_bytes(root_format: Format, state: Snapshot) -> Iterator[bytes]:
    """Iterate over the root that a state is, in parts."""
    parts = state.items()
    first = next(parts, None) or ()
    # A root without keys is one value.
    yield b"" if first and not first[0][0] else root_format.head(len(state))
    for part in chain((first,), parts):
        yield b"".join(chain.from_iterable(part))
