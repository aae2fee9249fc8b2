"""A state of a file that is asked for single keys, in place of being read whole.

::

    key ---- in the index of the log? ---- an op of the journal: read, checked, given
       `---- in the index? --------------- an entry of the main file: the same

A file counts as what it was when its manifest and its index were written, if it looks
as it did then: size, times, inode. Who copies it, edits it or puts an old one back gets
a file that looks otherwise, and is read whole and judged.

What is damaged is never given: an entry whose checksum is wrong makes the state be
loaded as a whole, which recovers it.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Final
from weakref import ref

from storify.engine.file import vfs
from storify.engine.file.held import Access, Held
from storify.engine.file.index import LIST_KIND, DamagedError, Index, Row
from storify.engine.file.log_index import Log, open_log
from storify.engine.file.manifest import DamagedManifestError, Sum, read_manifest
from storify.engine.file.paths import Paths
from storify.engine.file.renaming import rename_pending
from storify.engine.file.root import index_of
from storify.engine.file.state import Known, Tail, version_after
from storify.engine.moment import moment_of
from storify.engine.protocol import Format, Snapshot, Version, each_entry

__all__ = [
    "PAGED_FROM_BYTES",
    "DamagedError",
    "FileSnapshot",
    "Files",
    "Spared",
    "descriptors_held",
    "has_room",
    "index_anew",
    "is_indexed",
    "note_index",
    "open_snapshot",
    "version_of_log",
]

PAGED_FROM_BYTES = 1 << 15
"""Smaller files are read whole: that is as fast."""

#: So many entries are given at once of what had to be loaded.
_MANY: Final = 256

#: So many files are held open at most; others are read whole.
_MOST: Final = 100


Spared = Mapping[int, list[tuple[bytes, bytes]]]
"""Blocks of a main file by where they begin, and what is given in their place."""


def _nothing(_: bytes) -> None:
    return None


#: The states that hold their files open, by their ids. One that is dropped is taken out
#: by C alone: an interrupt of Python code there would leave its place taken for ever.
_open: "dict[int, ref[FileSnapshot]]" = {}


class Files:
    """A main file and its journal, with what tells where their entries lie.

    Args:
        main: The main file.
        index: Where its entries lie.
        log: What was committed on top of it.
        root_format: How a root parts into entries.
    """

    def __init__(
        self, main: vfs.AnyFile, index: Index, log: Log, root_format: Format
    ) -> None:
        self.main = main
        self.index = index
        self.log = log
        self._format = root_format

    @property
    def is_keyed(self) -> bool:
        """Whether every key can be found by its bytes.

        Raises:
            DamagedError: A file is damaged.
        """
        kind = self.index.kind
        if kind in {"", LIST_KIND} or not self.log.kinds <= {kind}:
            return False
        # What a difference makes is not known before it is made.
        for key in dict.fromkeys(self.log.delta_keys()):
            value = self.get(key)
            if value is not None and self._format.keyed({key: value}) != kind:
                return False
        return True

    def count(self) -> int:
        """Count the keys.

        Raises:
            DamagedError: A file is damaged.
        """
        return len(self.index) + self.log.difference(self.in_main)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if there is no such key.

        Raises:
            DamagedError: A file is damaged.
        """
        return self.log.get(key, self.in_main)

    def in_main(self, key: bytes) -> bytes | None:
        """Return the value that a key has in the main file; None if it is not there.

        Raises:
            DamagedError: It cannot be told by the index.
        """
        rows = self.index.find(key)
        if rows is None:
            raise DamagedError
        for entry in map(self.entry, rows):
            if entry.startswith(key):  # no key begins as another one does
                return entry[len(key) :]
        return None

    def entry(self, row: Row) -> bytes:
        """Return the bytes of an entry of the main file.

        Raises:
            DamagedError: They are damaged.
        """
        entry = self.main.read(row.offset, row.size)
        if zlib.crc32(entry) != row.crc:
            raise DamagedError
        return entry

    def place(self, key: bytes) -> Row | None:
        """The place of a key's entry in the main file; its value is not looked at.

        Raises:
            DamagedError: It cannot be told by the index.
        """
        rows = self.index.find(key)
        if rows is None:
            raise DamagedError
        for row in rows:
            if self.main.read(row.offset, len(key)) == key:
                return row
        return None

    def items(
        self,
        note: Callable[[bytes], object] = _nothing,
        spared: Spared = MappingProxyType({}),
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """Iterate over keys and values in order, a block of the main file at a time.

        Args:
            note: Told each block as it stands in the main file.
            spared: What is given for blocks that need not be read.

        Raises:
            DamagedError: A file is damaged.
        """
        return self.log.over(self._blocks(note, spared), self.in_main)

    def _blocks(
        self, note: Callable[[bytes], object], spared: Spared
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        blocks = self.index.blocks()
        if blocks is None:
            raise DamagedError
        for block in blocks:
            if block.offset in spared:
                yield spared[block.offset]
                continue
            entries = self.main.read(block.offset, block.size)
            if zlib.crc32(entries) != block.crc:
                raise DamagedError
            note(entries)
            yield self._format.part_all(entries, block.entries)

    def close(self) -> None:
        """Let go of them."""
        self.main.close()
        self.index.close()
        self.log.close()

    def descriptors(self) -> set[int]:
        """The descriptors that they have, for reading."""
        found = {self.main.fileno(), self.index.fileno()} | self.log.descriptors()
        return found - {-1}


class FileSnapshot:
    """A state of one file; see `Snapshot`.

    Attributes:
        version: As given.
        kind: The one type of its keys.
        recovered_from: The backup that was used because the state itself was lost or
            damaged; None in the normal case.

    Args:
        version: Names the state.
        files: The main file and its journal.
        recover: Opens the same state anew, of what is whole, if a file is damaged.
        recovered_from: As given.
    """

    def __init__(
        self,
        version: Version,
        files: Files,
        recover: Callable[[], Snapshot],
        recovered_from: str | None = None,
    ) -> None:
        self.version: Version = version
        self.kind: str = files.index.kind
        self.recovered_from: str | None = recovered_from
        self._recover = recover
        self._files = files
        #: What is asked in place of the files, once one of them is damaged.
        self._recovered: Snapshot | None = None
        self._count: int | None = None
        _open[id(self)] = ref(self, partial(_open.pop, id(self)))
        for fd in self.descriptors():
            vfs.forget(fd)  # a forked child asks them as well

    def __len__(self) -> int:
        if self._recovered is None and self._count is None:
            try:
                self._count = self._files.count()
            except DamagedError:
                self._recovery()
        if self._recovered is not None:
            return len(self._recovered)
        return self._count or 0

    def __bool__(self) -> bool:
        # Without counting, where more keys were there than can be gone.
        is_counted = self._recovered is not None or self._count is not None
        files = self._files
        return (not is_counted and len(files.index) > files.log.rows) or len(self) > 0

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a value; None if there is no such key.

        Raises:
            CorruptionError: They are damaged and in no backup.
            OSError: They cannot be read now.
        """
        if self._recovered is not None:
            return self._recovered.get(key)
        try:
            return self._files.get(key)
        except DamagedError:
            return self._recovery().get(key)

    def items(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Iterate over keys and values in order, a block of the file at a time.

        Raises:
            CorruptionError: They are damaged and in no backup.
            OSError: They cannot be read now.
        """
        done = 0
        if self._recovered is None:
            try:
                for some in self._files.items():
                    yield some
                    done += len(some)
            except DamagedError:
                pass  # what is recovered goes on where this stopped
            else:
                self._count = done
                return
        rest = islice(each_entry(self._recovery()), done, None)
        while some := list(islice(rest, _MANY)):
            yield some

    def _recovery(self) -> Snapshot:
        if self._recovered is None:
            self._recovered = self._recover()
        return self._recovered

    def close(self) -> None:
        """Let go of the files; nothing can be read any more."""
        _open.pop(id(self), None)
        self._files.close()
        if self._recovered is not None:
            self._recovered.close()

    def descriptors(self) -> set[int]:
        """The descriptors that it has, for reading."""
        return self._files.descriptors()


def has_room() -> bool:
    """Whether one more state may hold its files open."""
    return vfs.CAN_READ_PARTS and len(_open) < _MOST


def descriptors_held() -> set[int]:
    """The descriptors of all states that are open in this process."""
    found = [each() for each in list(_open.values())]
    return {fd for each in found if each is not None for fd in each.descriptors()}


Recover = Callable[[Version, str, Files], Snapshot]


def open_snapshot(
    access: Access, known: Known, recover: Recover
) -> FileSnapshot | None:
    """Open the present state; None where it must be read whole to be judged.

    Args:
        access: The way to the files.
        known: What is known of them; it is brought up to the state.
        recover: Opens a state anew that was the present one, by its version, the sha256
            of its main file, and its files.

    Raises:
        OSError: A file could not be read now.
    """
    paths = access.paths()
    if not has_room() or rename_pending(paths):
        return None
    main = _open_main(paths)
    if main is None:
        return None
    snapshot = _over(access, known, paths, main, recover)
    if snapshot is None:
        main.close()
    return snapshot


def _open_main(paths: Paths) -> vfs.OpenFile | None:
    try:
        main = vfs.OpenFile(paths.main)
    except OSError:
        return None  # what is wrong is said where it is read whole
    if main.found.size < PAGED_FROM_BYTES:
        main.close()
        return None
    return main


def _over(
    access: Access,
    known: Known,
    paths: Paths,
    main: vfs.OpenFile,
    recover: Recover,
) -> FileSnapshot | None:
    current = _acknowledged(paths, main.found)
    if current is None:
        return None
    seen = current.sha256, main.found.signature
    is_ours = (known.digest, known.signature) == seen
    index = Index.open(paths.index, current.sha256, main.found, is_ours=is_ours)
    if index is None:
        return None
    log = open_log(paths, current.sha256, access.root_format)
    if log is None:
        index.close()
        return None
    files = Files(main, index, log, access.root_format)
    found = vfs.look(paths.main)
    if (
        found is None
        or found.signature != main.found.signature
        or found.ctime_ns != main.found.ctime_ns
        or not _is_keyed(files)
    ):
        files.close()
        return None
    version = version_of_log(current.sha256, log)
    known.at(version, current.sha256, found, _tail(log, current), ours=False)
    again = partial(recover, version, current.sha256, files)
    return FileSnapshot(version, files, again)


def _is_keyed(files: Files) -> bool:
    try:
        return files.is_keyed
    except DamagedError:
        return False  # what is wrong is said where it is read whole


def version_of_log(digest: str, log: Log) -> Version:
    """Name the state of a main file with the last commit on top of it."""
    last = log.last
    if last is None:
        return version_after(digest, None)
    return Version(f"{digest}+{last.seq}.{last.crc:08x}")


def _acknowledged(paths: Paths, found: vfs.Found) -> Sum | None:
    """The `Sum` of a main file that looks as it did when that was noted."""
    try:
        manifest = read_manifest(paths.manifest)
    except (DamagedManifestError, OSError):
        return None
    if manifest is None or manifest.next is not None or manifest.current is None:
        return None
    return manifest.current if manifest.current.fits(found) else None


def _tail(log: Log, current: Sum) -> Tail:
    found, last = log.found, log.last
    if found is None or last is None:
        return Tail(found, moment=moment_of(current.time))
    return Tail(found, found.size, last.seq, log.moment, log.is_durable)


def is_indexed(paths: Paths, digest: str) -> bool:
    """Whether the main file is known to be whole without reading it."""
    found = vfs.look(paths.main)
    index = None if found is None else Index.open(paths.index, digest, found)
    if index is not None:
        index.close()
    return index is not None


def index_anew(
    held: Held, digest: str, found: vfs.Found, entries: dict[bytes, bytes]
) -> None:
    """Write the index of a main file that was read whole, if it has none that counts."""
    if found.size < PAGED_FROM_BYTES or is_indexed(held.paths, digest):
        return
    # A reader may write nothing; what has other keys is said where it is decoded.
    with suppress(ValueError, OSError):
        note_index(held, partial(index_of, held.root_format, entries), digest, found)


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
    paths = held.paths
    now = vfs.look(paths.main)  # a rename has moved the change time
    if now is None or now.signature != found.signature:
        return
    payload = index(now, digest)
    if payload is not None:
        vfs.write_spare(paths.index, payload)
