"""A state of a file that is asked for single keys, in place of being read whole.

::

    key ---- committed since? ---- the log, in memory
       `---- in the index? ------- an entry of the main file: read, checked, given

A file counts as what it was when its manifest and its index were written, if it looks
as it did then: size, times, inode. Who copies it, edits it or puts an old one back gets
a file that looks otherwise, and is read whole and judged.

What is damaged is never given: an entry whose checksum is wrong makes the state be
loaded as a whole, which recovers it.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Final
from weakref import WeakSet

from storify.engine.file import vfs
from storify.engine.file.access import Access
from storify.engine.file.held import Held
from storify.engine.file.history import root_with
from storify.engine.file.index import LIST_KIND, Index
from storify.engine.file.known import Known, Tail
from storify.engine.file.log import Frame
from storify.engine.file.manifest import DamagedRecordError, Sum, read_record
from storify.engine.file.paths import Place
from storify.engine.file.renaming import rename_pending
from storify.engine.file.replay import Harm, Journal, read_journal
from storify.engine.file.root import index_of
from storify.engine.file.state import Loaded, version_after
from storify.engine.moment import moment_of
from storify.engine.protocol import (
    Change,
    Changes,
    Format,
    Version,
    apply,
    version_of,
)
from storify.exceptions import CorruptionError

__all__ = [
    "PAGED_FROM_BYTES",
    "DamagedError",
    "FileSnapshot",
    "changes_of",
    "descriptors_held",
    "index_anew",
    "is_indexed",
    "last_set",
    "note_index",
    "open_snapshot",
]

PAGED_FROM_BYTES = 1 << 15
"""Smaller files are read whole: that is as fast."""

#: So many entries are given at once of what had to be loaded.
_MANY: Final = 256

#: So many files are held open at most; others are read whole.
_MOST: Final = 100

_open: "WeakSet[FileSnapshot]" = WeakSet()


class FileSnapshot:
    """A state of one file; see `Snapshot`.

    Args:
        version: Names the state.
        digest: The sha256 of the main file, in hex.
        main: The main file.
        index: Where its entries lie.
        changes: What was committed on top of it.
        access: The way to the files.
        recover: Loads the present state, recovered if it is damaged.
    """

    def __init__(
        self,
        version: Version,
        digest: str,
        main: vfs.OpenFile,
        index: Index,
        changes: Changes,
        access: Access,
        recover: Callable[[], Loaded | None],
    ) -> None:
        self.version: Version = version
        self.kind: str = index.kind
        self._digest = digest
        self._main = main
        self._index = index
        self._changes = changes
        self._since = dict(changes)
        #: Keys that were deleted since, and perhaps set again: they go last.
        self._deleted = {key for key, value in changes if value is None}
        self._access = access
        self._recover = recover
        #: The whole state, once it had to be loaded.
        self._entries: dict[bytes, bytes] | None = None
        self._count: int | None = None
        _open.add(self)

    def __len__(self) -> int:
        if self._count is None:
            there = sum(self._in_file(key) is not None for key in self._since)
            now = sum(value is not None for value in self._since.values())
            self._count = len(self._index) + now - there
        # What had to be loaded counts by itself.
        return self._count if self._entries is None else len(self._entries)

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a value; None if there is no such key.

        Raises:
            CorruptionError: They are damaged and in no backup.
            OSError: They cannot be read now.
        """
        if self._entries is not None:
            return self._entries.get(key)
        if key in self._since:
            return self._since[key]
        return self._in_file(key)

    def _in_file(self, key: bytes) -> bytes | None:
        try:
            return _entry(self._main, self._index, key)
        except DamagedError:
            return self._recovered().get(key)

    def items(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Iterate over keys and values in order, a block of the file at a time.

        Raises:
            CorruptionError: They are damaged and in no backup.
            OSError: They cannot be read now.
        """
        done = 0
        since, deleted = self._since, self._deleted
        last = last_set(self._changes)
        for block in self._blocks():
            if block is None:  # damaged: what was recovered goes on where this stopped
                rest = islice(self._recovered().items(), done, None)
                while some := list(islice(rest, _MANY)):
                    yield some
                return
            found: list[tuple[bytes, bytes]] = []
            for entry in block if since else ():
                key = entry[0]
                if key in deleted:
                    continue
                found.append((key, last.pop(key)) if key in since else entry)
            done += len(found) if since else len(block)
            yield found if since else block
        yield list(last.items())

    def _blocks(self) -> Iterator[list[tuple[bytes, bytes]] | None]:
        """Iterate over the entries of the main file; None, and no more, if damaged."""
        blocks = None if self._entries is not None else self._index.blocks()
        if blocks is None:
            yield None
            return
        for block in blocks:
            entries = self._main.read(block.offset, block.size)
            if zlib.crc32(entries) != block.crc:
                yield None
                return
            yield self._access.root_format.part_all(entries, block.entries)

    def _recovered(self) -> dict[bytes, bytes]:
        if self._entries is None:
            loaded = self.load()
            self._entries = apply(
                self._access.root_format.split(loaded.payload), loaded.changes
            )
        return self._entries

    def load(self) -> Loaded:
        """Return the same state as a whole.

        Raises:
            CorruptionError: It is damaged and cannot be rebuilt as it was.
            OSError: It cannot be read now.
        """
        payload = self._main.read(0, self._main.found.size)
        if sha256(payload).hexdigest() == self._digest:
            return Loaded(self.version, payload, self._changes)
        past = root_with(self._access.seen(), self._digest)
        if past is not None:
            return Loaded(self.version, past, self._changes)
        loaded = self._recover()  # it may be healed by what is left of it
        if loaded is not None and loaded.version == self.version:
            return loaded
        msg = (
            f"{self._access.path!r} was damaged or written over since it was opened, "
            f"and no backup holds what it was; db.reload() takes what is there now"
        )
        raise CorruptionError(msg)

    def close(self) -> None:
        """Let go of the files; nothing can be read any more."""
        _open.discard(self)
        self._main.close()
        self._index.close()

    def descriptors(self) -> set[int]:
        """The descriptors that it has, for reading."""
        return {self._main.fileno(), self._index.fileno()}


def descriptors_held() -> set[int]:
    """The descriptors of all states that are open in this process."""
    return {fd for snapshot in list(_open) for fd in snapshot.descriptors()}


def last_set(changes: Changes) -> dict[bytes, bytes]:
    """Return what keys were set to, those that are new in the order of the root."""
    found: dict[bytes, bytes] = {}
    for key, value in changes:
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


class DamagedError(Exception):
    """An entry, or the index, has a wrong checksum."""


def _entry(main: vfs.OpenFile, index: Index, key: bytes) -> bytes | None:
    """Return the value of a key in a main file; None if it is not there.

    Raises:
        DamagedError: It cannot be told by the index.
    """
    rows = index.find(key)
    if rows is None:
        raise DamagedError
    for row in rows:
        entry = main.read(row.offset, row.size)
        if zlib.crc32(entry) != row.crc:
            raise DamagedError
        if entry.startswith(key):  # no key begins as another one does
            return entry[len(key) :]
    return None


class _Under:
    """The entries of a main file under the frames that are brought in."""

    def __init__(self, index: Index, main: vfs.OpenFile) -> None:
        self._index, self._main = index, main
        self.over: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value as the frames so far leave it; None if it is not there."""
        if key in self.over:
            return self.over[key]
        return _entry(self._main, self._index, key)


def open_snapshot(
    access: Access, known: Known, recover: Callable[[], Loaded | None]
) -> FileSnapshot | None:
    """Open the present state; None where it must be read whole to be judged.

    Args:
        access: The way to the files.
        known: What is known of them; it is brought up to the state.
        recover: Loads the present state, recovered if it is damaged.

    Raises:
        OSError: A file could not be read now.
    """
    place = access.place()
    if not vfs.CAN_READ_PARTS or len(_open) >= _MOST or rename_pending(place):
        return None
    main = _open_main(place)
    if main is None:
        return None
    snapshot = _over(access, known, place, main, recover)
    if snapshot is None:
        main.close()
    return snapshot


def _open_main(place: Place) -> vfs.OpenFile | None:
    try:
        main = vfs.OpenFile(place.main)
    except OSError:
        return None  # what is wrong is said where it is read whole
    if main.found.size < PAGED_FROM_BYTES:
        main.close()
        return None
    return main


def _over(
    access: Access,
    known: Known,
    place: Place,
    main: vfs.OpenFile,
    recover: Callable[[], Loaded | None],
) -> FileSnapshot | None:
    current = _acknowledged(place, main.found)
    if current is None:
        return None
    index = Index.open(place.index, current.sha256, main.found)
    if index is None:
        return None
    journal = read_journal(place.journal, place.mirror, current.sha256)
    changes = None
    if index.kind not in {"", LIST_KIND} and journal.harm is Harm.NONE:
        changes = changes_of(access.root_format, index, main, journal.frames)
    found = vfs.look(place.main)
    if (
        changes is None
        or found is None
        or found.signature() != main.found.signature()
        or found.ctime_ns != main.found.ctime_ns
    ):
        index.close()
        return None
    version = version_after(current.sha256, journal.last)
    known.at(version, current.sha256, found, _tail(journal, current), ours=False)
    return FileSnapshot(version, current.sha256, main, index, changes, access, recover)


def _acknowledged(place: Place, found: vfs.Found) -> Sum | None:
    """What was noted of a main file that looks as it did when that was noted."""
    try:
        record = read_record(place.record)
    except (DamagedRecordError, OSError):
        return None
    if record is None or record.next is not None or record.current is None:
        return None
    return record.current if record.current.fits(found) else None


def changes_of(
    root_format: Format, index: Index, main: vfs.OpenFile, frames: tuple[Frame, ...]
) -> Changes | None:
    """What frames change; None if the keys cannot be looked up with it."""
    under = _Under(index, main)
    changes: list[Change] = []
    for frame in frames:
        try:
            these = frame.changes(under)
        except (ValueError, DamagedError):
            return None
        changes += these
        under.over.update(these)
    values = {key: value for key, value in changes if value is not None}
    if values and root_format.keyed(values) != index.kind:
        return None
    return changes


def _tail(journal: Journal, current: Sum) -> Tail:
    found, last = journal.found, journal.last
    if found is None or last is None:
        return Tail(found, moment=moment_of(current.time))
    return Tail(found, found.size, last.seq, last.moment, last.durable)


def is_indexed(place: Place, digest: str) -> bool:
    """Whether the main file is known to be whole without reading it."""
    found = vfs.look(place.main)
    index = None if found is None else Index.open(place.index, digest, found)
    if index is not None:
        index.close()
    return index is not None


def index_anew(held: Held, known: Known, loaded: Loaded) -> None:
    """Write the index of a main file that was read whole, if it has none that counts."""
    found = vfs.look(held.place.main)
    if (
        found is None
        or found.size < PAGED_FROM_BYTES
        or found.signature() != known.signature
        or version_of(loaded.payload) != known.digest
    ):
        return
    if is_indexed(held.place, known.digest):
        return
    # A reader may write nothing; what is no root is said where it is decoded.
    with suppress(ValueError, OSError):
        entries = held.root_format.split(loaded.payload)
        index = partial(index_of, held.root_format, entries)
        note_index(held, index, known.digest, found)


def note_index(
    held: Held,
    index: Callable[[vfs.Found, str], bytes | None],
    digest: str,
    found: vfs.Found,
) -> None:
    """Write the index of a main file; the data are safe without it.

    Args:
        held: The files.
        index: Makes it, of how the main file looks and its sha256.
        digest: That of the main file, in hex.
        found: How it looked when it was found to have that.

    Raises:
        OSError: There is none.
    """
    place = held.place
    now = vfs.look(place.main)  # a rename has moved the change time
    if now is None or now.signature() != found.signature():
        return
    payload = index(now, digest)
    if payload is not None:
        vfs.write_spare(place.index, payload)
