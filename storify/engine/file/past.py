"""A state that has no index, asked for single keys: one of the past, as a rule.

::

    opened    the root file is read once, in parts: hashed, and an index is made of it;
              so is one of the commits on top
    asked     an entry or an op is read where it lies, and checked (`snapshot`)

Nothing is given of a file before its checksum is known to be right. The index is in
memory: some 20 bytes for each entry. A main file whose index does not count is read in
the same way, and so are the backups that may give a lost one.

A small file is read as a whole, and so is one that cannot be asked: a root without keys,
one of keys that may have other bytes, one that another program wrote in its own way.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.held import Held
from storify.engine.file.history import Kept
from storify.engine.file.index import DamagedError, Index, IndexBuilder
from storify.engine.file.log_index import log_of
from storify.engine.file.replay import replay
from storify.engine.file.snapshot import Files, FileSnapshot, has_room
from storify.engine.file.state import version_after
from storify.engine.file.vfs import PART_BYTES
from storify.engine.protocol import Format, Snapshot, Version, WholeSnapshot
from storify.exceptions import CorruptionError

__all__ = [
    "Indexed",
    "Rebuilt",
    "check_whole",
    "in_bytes",
    "indexed",
    "main_as_it_was",
    "open_past",
    "rebuilds",
    "root_of",
]

Entry = tuple[bytes, bytes]

WHOLE_BYTES = 1 << 20
"""Smaller files are read whole: that is simpler, and as fast."""


def open_past(
    root_format: Format, kept: Kept, version: Version | None = None
) -> Snapshot:
    """Open a state that is kept.

    Args:
        root_format: How a root parts into entries.
        kept: What it is made of.
        version: Names it, if it has another name than by that.

    Raises:
        ValueError: It is no root.
        CorruptionError: It is damaged.
        OSError: It cannot be read now.
    """
    found = indexed(root_format, kept)
    whole = partial(_whole, root_format, kept, version)
    if found is None:
        return whole()
    return FileSnapshot(version or _name(kept, found.digest), found.files, whole)


def _name(kept: Kept, digest: str) -> Version:
    return version_after(digest, kept.frames[-1] if kept.frames else None)


def _whole(root_format: Format, kept: Kept, version: Version | None) -> WholeSnapshot:
    """Read all of a state.

    Raises:
        As `open_past`.
    """
    payload, digest = kept.read()
    frames = chain(kept.frames, kept.later)
    entries, notes = replay(root_format.split(payload), frames)
    if notes:
        msg = f"cannot rebuild a state of {kept.link!r}: {notes[0]}"
        raise CorruptionError(msg, notes)
    return WholeSnapshot(version or _name(kept, digest), entries)


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
        if kept.later:
            log = log and log_of(kept.later, root_format, log)
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


def check_whole(root_format: Format, kept: Kept) -> str:
    """Decode a root file to its end, and return its sha256 in hex.

    Raises:
        ValueError: It is not whole.
        CorruptionError: It is not what it must be.
        OSError: It cannot be read now.
    """

    def check(part: list[Entry]) -> None:
        root_format.check(root_format.join(dict(part)))

    found = _read_once(root_format, kept, check)
    if found is not None and found[1]:
        return found[0]
    # Other keys may be one for Python, wherever they stand.
    payload, digest = kept.read()
    root_format.check(payload)
    return digest


def _hashed(parts: Iterable[bytes]) -> str:
    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _read_once(
    root_format: Format, kept: Kept, take: Callable[[list[Entry]], object]
) -> tuple[str, str] | None:
    """Take the entries of a large root file, about a mebibyte at a time.

    Returns:
        Its sha256, in hex, and the one type of its keys: `Format.keyed`. None if it must
        be read whole to be judged.

    Raises:
        CorruptionError: It is not what it must be.
        OSError: It cannot be read now.
    """
    if kept.source.found.size < WHOLE_BYTES:
        return None
    digest, kinds = sha256(), set[str]()
    try:
        for part in _parted(root_format, kept, digest.update):
            kinds.add(root_format.keyed(dict(part)))
            take(part)
    except ValueError:
        deque(kept.parts(), 0)  # it must be whole before it is in memory whole
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


class Rebuilt(NamedTuple):
    """A state that the backups give.

    Attributes:
        kept: A backup, and the commits on top of it.
        digest: The sha256 of the root that it is, in hex.
        stamp: When it was committed; None if that is unknown.
    """

    kept: Kept
    digest: str
    stamp: str | None


def rebuilds(
    held: Held, since: str | None
) -> Iterator[Rebuilt | tuple[str, Exception]]:
    """The newest states that the backups give, each with all its commits.

    Yields:
        States, newest first, and the errors of those that are not usable.
    """
    for entry in held.folder.candidates(since):
        try:
            kept = Kept.backup(held, entry)
            digest = check_whole(held.root_format, kept)
        except (OSError, ValueError, CorruptionError) as err:
            yield held.folder.file(entry.name), err
            continue
        frames = held.folder.frames(entry) if entry.digest else ()
        if frames:
            after = kept._replace(frames=frames)
            with suppress(CorruptionError):  # then the backup alone counts
                whole = _hashed(root_of(held.root_format, after))
                yield Rebuilt(after, whole, frames[-1].stamp)
                continue
        yield Rebuilt(kept, digest, entry.stamp or None)


def root_of(root_format: Format, kept: Kept) -> Iterator[bytes]:
    """Iterate over the root that a state is, in parts.

    Raises:
        As `open_past`.
    """
    if kept.frames:
        yield from in_bytes(root_format, open_past(root_format, kept))
    else:
        yield from kept.parts()


def main_as_it_was(held: Held, digest: str) -> Kept | None:
    """Find a main file by its sha256; None if no backup gives it.

    Raises:
        OSError: This process cannot read a backup now.
    """
    for entry in held.folder.entries():
        if entry.digest and digest.startswith(entry.digest):
            try:
                held.folder.check(entry)
                return Kept.backup(held, entry)
            except (OSError, CorruptionError) as err:
                vfs.raise_if_passing(err)
    for found in rebuilds(held, None):
        if not isinstance(found, Rebuilt):
            vfs.raise_if_passing(found[1])
        elif found.digest == digest:
            return found.kept
    return None
