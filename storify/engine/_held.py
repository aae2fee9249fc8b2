"""What is done under the lock: replace the file, back it up, put it away.

Each step leaves the database whole; `file` shows the order of a commit.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from storify.engine import _disk
from storify.engine._backups import BackupFolder
from storify.engine._place import Place
from storify.engine._reading import Reading, read_state
from storify.engine._record import Record, Sum, settle_record, write_record
from storify.engine._verdict import Main, Verdict
from storify.engine.protocol import Clock, version_of
from storify.exceptions import CorruptionError
from storify.logger import LoggerLike

__all__ = ["Held"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Held(NamedTuple):
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

        Not durable: a power cut brings a record back that fits this state as well.
        """
        if self.writable:
            place = self.place
            with self._or_warn("note the checksum of"):
                write_record(place.record, record, place.prefix, durable=False)

    @contextmanager
    def _or_warn(self, doing: str) -> Generator[None]:
        """Log the failure of a step that no data depend on."""
        try:
            yield
        except OSError as err:
            self.log.warning(f"cannot {doing} {self.place.link!r}: {err}")

    def require_writable(self, now: Reading) -> None:
        """Respect the mode of a file that its folder would let us replace.

        Raises:
            PermissionError: The file is there and may not be written.
        """
        if now.main is not None and not os.access(self.place.main, os.W_OK):
            path = self.place.link
            raise PermissionError(errno.EACCES, "the file is read-only", path)

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
            OSError: A step failed.
        """
        place = self.place
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
        with self._or_warn("note the checksum of"):
            settle_record(place.record, record.settled())
        return found

    def replace(
        self, now: Reading, payload: bytes, kept: int, *, rotten: bool
    ) -> _disk.Found:
        """Install a new state; the one before it is among the *kept* backups.

        A *rotten* file is kept aside instead. After a failure all is as before.
        """
        self.require_writable(now)
        backup, made = None, False
        main, current = now.main, now.current
        if rotten and main is not None:
            self.keep_corrupt(main)
        elif main is not None and main.payload is not None:
            current = self.sum_of(now, main)
            # The same content once more must not push other states out.
            if kept and main.payload != payload:
                backup, made = self.folder.keep(
                    self.place.main, main.payload, current.time, link=True
                )
        try:
            found = self.install(now, payload, current)
        except BaseException:
            if made and backup is not None and self._still_linked(backup):
                _disk.discard(self.folder.file(f"{backup}.mpack"))
            raise
        self.prune(kept, backup)
        return found

    def _still_linked(self, backup: str) -> bool:
        """Whether the main file was not replaced, so that the backup is no use."""
        main = link = None
        with suppress(OSError):  # the error that led here is the one to raise
            main = _disk.look(self.place.main)
            link = _disk.look(self.folder.file(f"{backup}.mpack"))
        return main is not None and link is not None and main.inode == link.inode

    def back_up(self, kept: int) -> str | None:
        """Copy the present state into the backups; see `Engine.backup`."""
        now = self.read()
        if now.verdict is Verdict.ABSENT:
            return None
        main = now.main
        if main is None or main.payload is None or now.verdict is Verdict.ROTTEN:
            msg = (
                f"cannot back up {self.place.link!r}: {now.wrong}; "
                f"load it, so that it is recovered"
            )
            raise CorruptionError(msg, [now.wrong])
        time = self.sum_of(now, main).time
        backup, _ = self.folder.keep(self.place.main, main.payload, time, link=False)
        self.prune(kept, backup)
        return backup

    def set_aside(self) -> str | None:
        """Move the main file to ``<time>.corrupt``; see `Engine.set_aside`."""
        main, kept = self.place.main, None
        try:
            if _disk.look(main) is not None:
                kept = self.folder.keep_corrupt(main, None, self.clock)
        except _disk.NotRegularFileError:
            # A folder or FIFO can have no second name.
            kept = self.folder.free_name(self.clock, ".corrupt")
            _disk.move(main, kept)
            _disk.sync_directory(self.place.directory)
        self._drop()
        return kept

    def destroy(self, *, backups: bool) -> None:
        """Remove the file, and the *backups* or else not; see `Engine.destroy`."""
        now = self.read()
        main = now.main
        if main is not None and not backups:
            if main.payload is None or now.verdict is Verdict.ROTTEN:
                self.keep_corrupt(main)
            else:
                time = self.sum_of(now, main).time
                self.folder.keep(self.place.main, main.payload, time, link=True)
                _disk.sync_directory(self.place.backups)
        self._drop()
        if backups:
            self.folder.erase()

    def keep_corrupt(self, main: Main) -> None:
        """Give a damaged main file a second name among the backups."""
        kept = self.folder.keep_corrupt(self.place.main, main.payload, self.clock)
        self.log.warning(f"the damaged file is kept as {kept!r}")

    def _drop(self) -> None:
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
        with self._or_warn("prune the backups of"):
            self.folder.prune(kept, good)

    def sweep(self) -> None:
        """Remove what a crash left, if possible; see `Place.sweep`."""
        with self._or_warn("clean up beside"):
            self.place.sweep(self.log)
