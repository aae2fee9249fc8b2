"""The main file after its journal, made block by block, in flat memory.

::

    main file   block block block ...        each read, checked by its checksum, parted
    log         what was set and deleted     in memory
                  |
    new file    head, entries in order, new ones at the end

Only for a file that looks as it did when we knew it, whose index counts. Its sha256 is
looked at as well when the last block was read, and before the new file gets its name:
so what has rotted is never written anew with a good checksum. Whatever is wrong, the
files are read as a whole, judged and recovered.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain
from typing import Protocol, Self
from zlib import crc32

from storify.engine.file import vfs
from storify.engine.file.held import Held
from storify.engine.file.index import LIST_KIND, Block, Index, IndexBuilder
from storify.engine.file.known import Known
from storify.engine.file.manifest import DamagedRecordError, read_record
from storify.engine.file.replay import Harm, read_journal
from storify.engine.file.root import Next, in_parts
from storify.engine.file.snapshot import DamagedError, changes_of, last_set
from storify.engine.file.state import Reading
from storify.engine.file.verdict import Main, Verdict
from storify.engine.protocol import Change

__all__ = ["Unread"]


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class Unread:
    """A large main file that is as we knew it, and its journal; it is read in parts.

    Attributes:
        now: What a read would find; the payload is empty.

    Args:
        held: The files.
        now: The same.
        main: The main file.
        index: Its index.
    """

    def __init__(
        self, held: Held, now: Reading, main: vfs.OpenFile, index: Index
    ) -> None:
        self.now: Reading = now
        self._format = held.root_format
        self._main = main
        self._index = index

    @classmethod
    def open(cls, held: Held, known: Known) -> Self | None:
        """Open the files; None if they must be read as a whole.

        Raises:
            OSError: They cannot be read now.
        """
        place = held.place
        if not vfs.CAN_READ_PARTS or not known.is_still(place):
            return None
        try:
            record = read_record(place.record)
            main = vfs.OpenFile(place.main)
        except (DamagedRecordError, OSError):
            return None  # what is wrong is said where it is read whole
        current = None if record is None else record.current
        index = None
        if (
            current is not None
            and current.sha256 == known.digest
            and current.fits(main.found)
            and main.found.signature() == known.signature
        ):
            index = Index.open(place.index, known.digest, main.found)
        if index is None:
            main.close()
            return None
        journal = read_journal(place.journal, place.mirror, known.digest)
        seen = Main(b"", known.digest, main.found)
        now = Reading(seen, record, Verdict.TRUSTED, current, "", journal)
        found = cls(held, now, main, index)
        if journal.harm is not Harm.NONE or now.version != known.version:
            found.close()
            return None
        return found

    def close(self) -> None:
        """Let go of the files."""
        self._main.close()
        self._index.close()

    def after(self, changes: Sequence[Change]) -> Next | None:
        """Return the root after the journal and *changes*; None if it must be read whole.

        Raises:
            DamagedError: The file is damaged; so may taking the parts say.
        """
        kind, blocks = self._index.kind, self._index.blocks()
        if kind in {"", LIST_KIND} or blocks is None:
            return None
        frames = self.now.journal.frames
        before = changes_of(self._format, self._index, self._main, frames)
        new = {key: value for key, value in changes if value is not None}
        if (
            before is None
            or any(not key for key, _ in changes)
            or (new and self._format.keyed(new) != kind)
        ):
            return None
        every = [*before, *changes]
        deleted = {key for key, value in every if value is None}
        last = last_set(every)
        count = len(last) + sum(
            key not in deleted and key not in last
            for key, _ in chain.from_iterable(map(self._part, blocks))
        )
        builder = IndexBuilder(is_list=False)

        def build(found: vfs.Found, digest: str) -> bytes | None:
            return builder.build(found, digest, kind)

        return Next(self._parts(blocks, count, deleted, last, builder), changes, build)

    def _parts(
        self,
        blocks: list[Block],
        count: int,
        deleted: set[bytes],
        last: dict[bytes, bytes],
        builder: IndexBuilder,
    ) -> Iterator[bytes]:
        yield self._format.head(count)
        end = blocks[0].offset if blocks else self._main.found.size
        seen = sha256(self._read(0, end))
        entries = self._entries(blocks, seen, deleted, last)
        for part in in_parts(entries):
            builder.add(part)
            yield b"".join(chain.from_iterable(part))
        if seen.hexdigest() != self.now.digest:
            raise DamagedError

    def _entries(
        self,
        blocks: list[Block],
        seen: "_Hash",
        deleted: set[bytes],
        last: dict[bytes, bytes],
    ) -> Iterator[tuple[bytes, bytes]]:
        for block in blocks:
            entries = self._part(block)
            seen.update(b"".join(chain.from_iterable(entries)))
            for key, value in entries:
                if key not in deleted:
                    yield key, last.pop(key, value)
        yield from last.items()

    def _part(self, block: Block) -> list[tuple[bytes, bytes]]:
        entries = self._read(block.offset, block.size)
        if crc32(entries) != block.crc:
            raise DamagedError
        return self._format.part_all(entries, block.entries)

    def _read(self, start: int, size: int) -> bytes:
        try:
            return self._main.read(start, size)
        except OSError as err:
            vfs.raise_if_passing(err)
            raise DamagedError from err
