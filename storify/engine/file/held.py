"""The way to the files of one database: find them, take the lock, go to work.

What changes them stands in `checkpoint` (a whole new main file), `append` (one
more frame) and `retire` (putting it away); what they share is here.
"""

import errno
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.backups import BackupFolder
from storify.engine.file.lock import Hold, Lock, Mode
from storify.engine.file.manifest import Manifest, Sum, write_manifest
from storify.engine.file.paths import Paths, paths_of
from storify.engine.file.renaming import finish_rename
from storify.engine.file.state import Main, State, read_state
from storify.engine.moment import (
    Keep,
    Moment,
    moment_of,
    next_moment,
    stamp_of,
    went_back,
)
from storify.engine.protocol import Clock, Format
from storify.logger import LoggerLike

__all__ = ["Access", "Held"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Held(NamedTuple):
    """The files of one database in the hands of one operation.

    Attributes:
        paths: Where they are.
        folder: The backups.
        root_format: How a root parts into entries.
        log: Told what could not be done and does no harm.
        clock: Gives the times in names.
        writable: Whether the lock was had for writing.
    """

    paths: Paths
    folder: BackupFolder
    root_format: Format
    log: LoggerLike
    clock: Clock
    writable: bool

    def read(self) -> State:
        """Read the files; see `read_state`."""
        return read_state(self.paths, self.log, locked=self.writable)

    def sum_of(self, now: State, main: Main) -> Sum:
        """The `Sum` of a state, or what can be known of it if we missed its commit."""
        return now.known or self.new_sum(now, main)

    def new_sum(self, now: State, main: Main) -> Sum:
        """The sum of a state whose commit we have not seen; its file's time counts.

        Unless that cannot be: the time of a file may be set to anything.
        """
        stamp = stamp_of(*self.moment_of_file(self.last_moment(now.stamp), main.found))
        return Sum(main.found.size, main.found.mtime_ns, main.digest, stamp)

    def moment_of_file(self, last: Moment | None, found: vfs.Found) -> Moment:
        """The time a file was written, after the last commit; right after, if unknown.

        The time of a file can be set to anything.
        """
        now = self.clock().astimezone(UTC)
        earliest = now if last is None else last.clock
        with suppress(OverflowError):
            written = EPOCH + timedelta(microseconds=found.mtime_ns // 1000)
            if last is None or last.clock < written <= now:
                earliest = min(written, now)
        return next_moment(last, earliest)

    def next_moment(self, last: Moment | None) -> Moment:
        """The moment of a new commit after the last one; a clock set back is told."""
        now = self.clock().astimezone(UTC)
        if last is None or (now > last.order and now > last.clock):
            return Moment(now, now)  # as long as the clock goes forward
        if went_back(last, now):
            self.log.warning(
                f"the clock was set back: it says {now:%Y-%m-%d %H:%M:%S} UTC, the "
                f"last state of {self.paths.link!r} is of "
                f"{last.clock:%Y-%m-%d %H:%M:%S}; see that it is right now; states of "
                f"the time in between may be found by their ids alone, which "
                f"db.backups.list gives"
            )
        return next_moment(last, now)

    def last_moment(self, after: str | None) -> Moment | None:
        """The time of the last commit of all that are known.

        Args:
            after: The stamp of the present state; None if there is none.
        """
        newest = self.folder.newest()
        last = moment_of(after or "")
        if newest is None:
            return last
        # A database that was destroyed may have had more commits than backups.
        frames = self.folder.frames(newest) if last is None else ()
        before = frames[-1].moment if frames else moment_of(newest.stamp)
        if last is None or before is None:
            return last or before
        return last._replace(order=max(last.order, before.order))

    def note(self, manifest: Manifest) -> None:
        """Write the manifest if possible; the data are safe without it.

        Not durable: a power cut brings a manifest back that fits this state as well.
        """
        if self.writable:
            paths = self.paths
            with self.or_warn("note the checksum of"):
                write_manifest(paths.manifest, manifest, paths.prefix, durable=False)

    def or_warn(self, doing: str) -> "_OrWarn":
        """Log the failure of a step that no data depend on, in a ``with`` block."""
        return _OrWarn(self, doing)

    def warn(self, doing: str, error: OSError) -> None:
        """Log such a failure."""
        self.log.warning(f"cannot {doing} {self.paths.link!r}: {error}")

    def require_writable(self, now: State) -> None:
        """Respect the mode of a file that its folder would let us replace.

        Raises:
            PermissionError: The file is there and may not be written.
        """
        if now.main is not None and not os.access(self.paths.main, os.W_OK):
            path = self.paths.link
            raise PermissionError(errno.EACCES, "the file is read-only", path)

    def keep_corrupt(self) -> None:
        """Link a damaged main file under a second name among the backups."""
        kept = self.folder.keep_corrupt(self.paths.main, self.clock)
        self.log.warning(f"the damaged file is kept as {kept!r}")

    def keep_damaged_journal(self, payload: bytes) -> None:
        """Keep the bytes of a journal, or the end of one, that do not count."""
        if payload:
            with self.or_warn("keep the damaged journal of"):
                path = self.folder.free_name(self.clock, ".corrupt")
                vfs.replace_bytes(path, payload, self.paths.prefix)
                self.log.warning(f"the damaged part of the journal is kept as {path!r}")

    def put_journal_away(self, spare: bytes = b"") -> str:
        """Move a journal that does not count to the backups, durable; give its path.

        Args:
            spare: What it holds, if there is but its mirror.

        Raises:
            OSError: It is where it was.
        """
        payload = spare
        with suppress(FileNotFoundError):
            payload, _ = vfs.read_bytes(self.paths.journal)
        path = self.folder.free_name(self.clock, ".corrupt")
        vfs.replace_bytes(path, payload, self.paths.prefix)
        self.drop_journal()
        return path

    def drop_journal(self) -> None:
        """Remove the journal and what helps it: its frames count no more.

        Not synced: a journal that comes back names another main file as its base.
        """
        with self.or_warn("remove the journal of"):
            vfs.remove(self.paths.log_index)
            vfs.remove(self.paths.mirror)
            vfs.remove(self.paths.journal)

    def forget_journal(self) -> None:
        """Remove a journal whose base may be, or come to be, there again.

        Durable on return: if it came back, its frames would count.

        Raises:
            OSError: It may be there still.
        """
        vfs.remove(self.paths.log_index)
        if vfs.remove(self.paths.mirror):
            vfs.sync_directory(self.paths.backups)
        if vfs.remove(self.paths.journal):
            vfs.sync_directory(self.paths.directory)

    def prune(self, keep: Keep, good: str | None, *, again: bool = False) -> None:
        """Delete old backups if possible; see `BackupFolder.prune`."""
        try:
            self.folder.prune(keep, good, self.clock, again=again)
        except OSError as error:
            self.warn("prune the backups of", error)

    def sweep(self) -> None:
        """Remove what a crash left, if possible; see `Place.sweep`."""
        with self.or_warn("clean up beside"):
            self.paths.sweep(self.log)


class _OrWarn:
    """A ``with`` block whose `OSError` is but logged.

    Args:
        held: The files.
        doing: What the block does.
    """

    __slots__ = ("_doing", "_held")

    def __init__(self, held: Held, doing: str) -> None:
        self._held = held
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, OSError):
            return False
        self._held.warn(self._doing, error)
        return True


# --- how an operation gets them ------------------------------------------------------


class _Found(NamedTuple):
    """The files of a database.

    Attributes:
        paths: Where they are.
        lock: Their lock.
        seen: They in the hands of who only looks;
        held: and of who has the lock.
    """

    paths: Paths
    lock: Lock
    seen: Held
    held: Held


class Access:
    """The files, the state and the lock of one instance at work on its database.

    Attributes:
        path: The main file, as it was given.
        backups_directory: The folder of backups, if it is not the usual one.
        root_format: How a root parts into entries.
        log: Told what happens.
        clock: Gives the times in names.
        lock_timeout_s: How long to wait for another writer.
    """

    def __init__(
        self,
        path: str,
        backups_directory: str | None,
        root_format: Format,
        log: LoggerLike,
        clock: Clock,
        lock_timeout_s: float,
    ) -> None:
        self.path = path
        self.backups_directory = backups_directory
        self.root_format = root_format
        self.log = log
        self.clock = clock
        self.lock_timeout_s = lock_timeout_s
        self._found: _Found | None = None

    def find(self) -> _Found:
        """Find the files; links may lead elsewhere than before."""
        found = self._found
        if found is not None:
            # A look tells that they do not, in a tenth of the time of following them.
            try:
                main = os.lstat(found.paths.main)
                if self.path == found.paths.main:
                    is_there = not stat.S_ISLNK(main.st_mode)
                else:
                    is_there = os.path.samestat(os.stat(self.path), main)
            except OSError:
                is_there = False
            if is_there:
                return found
        paths = paths_of(self.path, self.backups_directory)
        lock = Lock(paths.lock, self.lock_timeout_s, self.path, paths.main)
        folder = BackupFolder(paths.backups, paths.prefix, self.log)
        shared = paths, folder, self.root_format, self.log, self.clock
        found = _Found(
            paths, lock, Held(*shared, writable=False), Held(*shared, writable=True)
        )
        self._found = found
        return found

    def paths(self) -> Paths:
        """Find the files."""
        return self.find().paths

    def seen(self) -> Held:
        """Look at the files without the lock: what is read may change meanwhile."""
        return self.find().seen

    def held(self, mode: Mode) -> "_InHand":
        """Hold the lock in a ``with`` block, with any cut-off rename settled.

        It nests for one caller. Only for saver threads: see `take`.
        """
        return _InHand(self, mode)

    def begin(
        self, mode: Mode, *, is_of_block: bool = False
    ) -> tuple[Hold | None, Held]:
        """Take the lock, unless the caller has it or does without, and find the files.

        Args:
            mode: Whether the lock is needed.
            is_of_block: Whether it is for a block of the caller's, not one operation.

        Raises:
            As `Lock.take`.
        """
        while True:
            paths, lock, seen, held = self.find()
            is_mine = lock.mine(self)
            hold: Hold | None = None
            if mode != "look" and not is_mine:
                hold = lock.take(self, mode, is_of_block=is_of_block)
            if hold is None:
                return None, held if is_mine else seen
            if not os.path.lexists(paths.intent):  # no rename is under way, or cut off
                return hold, held
            # Only without our lock: the rename needs it.
            hold.release()
            finish_rename(paths, self.log, self.lock_timeout_s)

    def take(self) -> Hold | None:
        """Take the lock for a block; None if the caller has it already.

        Raises:
            As `Lock.take`.
        """
        return self.begin("write", is_of_block=True)[0]

    def is_locked_by_caller(self) -> bool:
        """Whether a block of the caller's has the lock."""
        return self.find().lock.is_of_callers_block()


class _InHand:
    """A ``with`` block that works on the files.

    Args:
        access: The way to them.
        mode: Whether it needs the lock.
    """

    __slots__ = ("_access", "_hold", "_mode")

    def __init__(self, access: Access, mode: Mode) -> None:
        self._access = access
        self._mode: Mode = mode
        self._hold: Hold | None = None

    def __enter__(self) -> Held:
        self._hold, held = self._access.begin(self._mode)
        return held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hold is not None:
            self._hold.release()
