"""The steps of an operation that holds the lock: install, note, keep aside.

Each leaves the database whole. `Held.install` is the one that replaces it::

    write and sync the new bytes under a random name    old state, a leftover
    note old and new checksum in `.sum`, durable        old state
    rename over the main file                           new state, or old after
    sync the folder                                     ...a power cut; new state
    note the new checksum alone                         new state
"""

import errno
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storify.engine import _disk
from storify.engine._backups import BackupFolder
from storify.engine._place import Place
from storify.engine._reading import Reading, read_state
from storify.engine._record import Record, Sum, write_record
from storify.engine._verdict import Main, Verdict
from storify.engine.protocol import Clock, version_of
from storify.logger import LoggerLike

__all__ = ["Held"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Held:
    """The files of one database in the hands of one operation.

    Attributes:
        place: Where they are.
        folder: The backups.
        log: Told what could not be done and does no harm.
        clock: Gives the times in names.
        writable: Whether the lock was had for writing.
    """

    place: Place
    folder: BackupFolder
    log: LoggerLike
    clock: Clock
    writable: bool

    def read(self) -> Reading:
        """Read the main file and its record; see `read_state`."""
        return read_state(self.place, self.log, locked=self.writable)

    def sum_of(self, now: Reading, main: Main) -> Sum:
        """What is known of a state, or what can be if we have not seen its commit."""
        return now.known or self.new_sum(main)

    def new_sum(self, main: Main) -> Sum:
        """The sum of a state whose commit we have not seen; its file's time counts."""
        seconds, nanoseconds = divmod(main.found.mtime_ns, 10**9)
        microseconds = nanoseconds // 1000
        try:
            time = EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
        except OverflowError:
            time = EPOCH
        stamp = self.folder.next_stamp(lambda: time, None)
        return Sum(main.found.size, main.found.mtime_ns, main.digest, stamp)

    def note(self, record: Record) -> None:
        """Write the record if possible; the data are safe without it.

        Not synced: a power cut brings a record back that has this state as next.
        """
        if not self.writable:
            return
        place = self.place
        try:
            write_record(place.record, record, place.prefix, durable=False)
        except OSError as err:
            self.log.warning(f"cannot note the checksum of {place.link!r}: {err}")

    def install(
        self,
        now: Reading,
        payload: bytes,
        current: Sum | None,
        stamp: str | None = None,
    ) -> _disk.Found:
        """Make *payload* the state, durable; nothing is left behind on failure.

        Args:
            now: What is there.
            payload: The new state.
            current: The state that counts until the rename.
            stamp: When the new state was committed; now, unless given.

        Raises:
            PermissionError: The file is there and may not be written. The folder
                would let it be replaced, but that is not what its mode says.
            OSError: A step failed.
        """
        place = self.place
        if now.main is not None and not os.access(place.main, os.W_OK):
            raise PermissionError(errno.EACCES, "the file is read-only", place.link)
        _disk.make_directory(place.directory)
        if stamp is None:
            after = None if current is None else current.time
            stamp = self.folder.next_stamp(self.clock, after)
        since = stamp if now.verdict is Verdict.ABSENT else now.since
        temporary, found = _disk.write_temporary(
            place.directory, place.prefix, payload, now.found
        )
        try:
            new = Sum(found.size, found.mtime_ns, version_of(payload), stamp)
            record = Record(current, new, since)
            write_record(place.record, record, place.prefix)
            _disk.put_in_place(temporary, place.main)
        except BaseException:
            _disk.discard(temporary)
            raise
        _disk.sync_directory(place.directory)
        self.note(record.settled())
        return found

    def keep_corrupt(self, main: Main) -> None:
        """Give a damaged main file a second name among the backups."""
        kept = self.folder.keep_corrupt(self.place.main, main.payload, self.clock)
        self.log.warning(f"the damaged file is kept as {kept!r}")

    def drop(self) -> None:
        """Remove the record, then the main file: never a loss in between."""
        place = self.place
        if _disk.remove(place.record):
            _disk.sync_directory(place.backups)
        if _disk.remove(place.main):
            _disk.sync_directory(place.directory)
        if place.link != place.main and os.path.islink(place.link):
            _disk.remove(place.link)
            _disk.sync_directory(os.path.dirname(place.link))

    def prune(self, kept: int, good: str | None) -> None:
        """Delete old backups if possible; see `BackupFolder.prune`."""
        try:
            self.folder.prune(kept, good)
        except OSError as err:
            self.log.warning(f"cannot prune the backups of {self.place.link!r}: {err}")

    def sweep(self) -> None:
        """Remove what a crash left, if possible; see `Place.sweep`."""
        try:
            self.place.sweep(self.log)
        except OSError as err:
            self.log.warning(f"cannot clean up beside {self.place.link!r}: {err}")
