"""The main file after its journal, made block by block, in flat memory.

::

    main file   block block block ...        each read, checked by its checksum, parted
    log         what was set and deleted     each read by its index, and checked
                  |
    new file    head, entries in order, new ones at the end

Only for a file that looks as it did when we knew it, whose index counts, or that was
read once to make one. Its sha256 is looked at as well when the last block was read, and
before the new file gets its name: so what has rotted is never written anew with a good
checksum. A block of which a commit
replaces everything, as a large value, is not read; then the checksums of the others
stand for themselves. Whatever is wrong, the files are read as a whole, judged and
recovered.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from typing import Final, Self

from storify.engine.file import vfs
from storify.engine.file.checkpoint import Written, write
from storify.engine.file.held import Held
from storify.engine.file.history import Kept
from storify.engine.file.index import (
    Block,
    DamagedError,
    Index,
    IndexBuilder,
    Row,
    in_parts,
)
from storify.engine.file.log_index import open_log
from storify.engine.file.manifest import DamagedManifestError, read_manifest
from storify.engine.file.past import indexed
from storify.engine.file.replay import Corruption, read_journal
from storify.engine.file.root import Next, next_root
from storify.engine.file.snapshot import Files, Spared, version_of_log
from storify.engine.file.state import Known, Main, State, Verdict
from storify.engine.protocol import Changes

__all__ = ["Unread", "write_by_blocks", "written_after"]

#: The places of so many keys are looked up; for more, all is read to count them.
_FEW: Final = 64


class Unread:
    """A large main file that is whole, and its journal; it is read in parts.

    Attributes:
        now: What a read would find.

    Args:
        held: The files.
        now: The same.
        files: The main file and its journal.
    """

    def __init__(self, held: Held, now: State, files: Files) -> None:
        self.now: State = now
        self._format = held.root_format
        self._files = files

    @classmethod
    def open(cls, held: Held, known: Known) -> Self | None:
        """Open the files; None if they must be read as a whole.

        Raises:
            OSError: They cannot be read now.
        """
        paths = held.paths
        if not vfs.CAN_READ_PARTS or not known.is_still(paths):
            return None
        try:
            manifest = read_manifest(paths.manifest)
            main = vfs.OpenFile(paths.main)
        except (DamagedManifestError, OSError):
            return None  # what is wrong is said where it is read whole
        current = None if manifest is None else manifest.current
        index = log = None
        if (
            current is not None
            and current.sha256 == known.digest
            and current.fits(main.found)
            and main.found.signature == known.signature
        ):
            index = Index.open(paths.index, known.digest, main.found, is_ours=True)
        if index is not None:
            log = open_log(paths, known.digest, held.root_format)
        if index is None or log is None:
            main.close()
            return None
        journal = read_journal(paths.journal, paths.mirror, known.digest)
        seen = Main(known.digest, main.found)
        now = State(seen, manifest, Verdict.TRUSTED, current, "", journal)
        found = cls(held, now, Files(main, index, log, held.root_format))
        is_known = now.version == known.version == version_of_log(known.digest, log)
        if journal.corruption is not Corruption.NONE or not is_known:
            found.close()
            return None
        return found

    @classmethod
    def read(cls, held: Held, now: State) -> Self | None:
        """Read the files, which may be others than we knew; None as of `open`.

        Raises:
            CorruptionError: They were changed meanwhile.
            OSError: They cannot be read now.
        """
        if now.main is None or now.verdict is Verdict.CORRUPT:
            return None
        kept = Kept.main(held, now.main, now.journal.frames)
        found = indexed(held.root_format, kept)
        return None if found is None else cls(held, now, found.files)

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def after(self, changes: Changes) -> Next | None:
        """Return the root after the journal and *changes*; None if it must be read whole.

        Raises:
            DamagedError: A file is damaged; so may taking the parts say.
        """
        files, kind = self._files, self._files.index.kind
        blocks = files.index.blocks()
        new = {key: value for key, value in changes if value is not None}
        if (
            not files.is_keyed
            or blocks is None
            or any(not key for key, _ in changes)
            or (new and self._format.keyed(new) != kind)
        ):
            return None
        start = blocks[0].offset if blocks else files.main.found.size
        spared: Spared = {}
        if files.log.rows or len(changes) > _FEW:
            count = sum(1 for _ in self._entries(changes, _nothing, spared))
        else:
            places = {key: files.place(key) for key in dict(changes)}
            spared = _spared(blocks, places)
            count = len(files.index) + _growth(changes, places)
        builder = IndexBuilder(is_list=False)

        def build(found: vfs.Found, digest: str) -> bytes | None:
            return builder.build(found, digest, kind)

        parts = self._parts(start, count, changes, builder, spared)
        return Next(parts, changes, build)

    def _parts(
        self,
        start: int,
        count: int,
        changes: Changes,
        builder: IndexBuilder,
        spared: Spared,
    ) -> Iterator[bytes]:
        yield self._format.head(count)
        seen = sha256(self._files.main.read(0, start))
        entries = self._entries(changes, _nothing if spared else seen.update, spared)
        for part in in_parts(entries):
            yield from builder.take(part)
        if not spared and seen.hexdigest() != self.now.digest:
            raise DamagedError

    def _entries(
        self,
        changes: Changes,
        note: Callable[[bytes], object],
        spared: Spared,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries after the journal and *changes*.

        Args:
            changes: What comes on top.
            note: Told each block of the main file that is read.
            spared: Those that are not.
        """
        deleted = {key for key, value in changes if value is None}
        last = last_set(changes)
        try:
            for key, value in chain.from_iterable(self._files.items(note, spared)):
                if key not in deleted:
                    yield key, last.pop(key, value)
        except OSError as err:
            vfs.raise_if_passing(err)
            raise DamagedError from err
        yield from last.items()


def written_after(held: Held, now: State, main: Main, changes: Changes) -> Written:
    """Write the root after a journal and *changes* under a random name.

    Raises:
        CorruptionError: The files were changed since they were read.
        OSError: They cannot be read now, or it cannot be written.
    """
    unread = Unread.read(held, now)
    written = None if unread is None else write_by_blocks(held, unread, changes)
    if written is not None:
        return written
    payload, _ = Kept.main(held, main).read()
    return write(
        held, now, next_root(held.root_format, payload, now.journal.frames, changes)
    )


def write_by_blocks(held: Held, unread: Unread, changes: Changes) -> Written | None:
    """Write the same root block by block; None, and nothing was done, if that cannot be."""
    with suppress(DamagedError):
        new = unread.after(changes)
        if new is not None:
            return write(held, unread.now, new)
    return None


def last_set(changes: Changes) -> dict[bytes, bytes]:
    """Return what keys were set to, those that are new in the order of the root."""
    found: dict[bytes, bytes] = {}
    for key, value in changes:
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


def _spared(blocks: Sequence[Block], places: Mapping[bytes, Row | None]) -> Spared:
    """Return the blocks of which every entry has its place among *places*."""
    keys = {row.offset: key for key, row in places.items() if row is not None}
    offsets = sorted(keys)
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for block in blocks if keys else ():
        first = bisect_left(offsets, block.offset)
        last = bisect_left(offsets, block.offset + block.size)
        if last - first == block.entries:
            found[block.offset] = [(keys[at], b"") for at in offsets[first:last]]
    return found


def _growth(changes: Changes, places: Mapping[bytes, Row | None]) -> int:
    """Return how many keys more there are after *changes*."""
    after = {key: value is not None for key, value in changes}
    return sum(is_set - (places[key] is not None) for key, is_set in after.items())


def _nothing(_: bytes) -> None:
    return None
