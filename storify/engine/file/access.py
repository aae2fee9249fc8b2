"""The way to the files of one database: find them, take the lock, go to work."""

import os
import stat
from types import TracebackType
from typing import NamedTuple

from storify.engine.file.backups import BackupFolder
from storify.engine.file.held import Held
from storify.engine.file.lock import Hold, Lock, Mode
from storify.engine.file.paths import Place, place_of
from storify.engine.file.renaming import finish_rename
from storify.engine.protocol import Clock, Format
from storify.logger import LoggerLike

__all__ = ["Access"]


class _Found(NamedTuple):
    """The files of a database.

    Attributes:
        place: Where they are.
        lock: Their lock.
        seen: They in the hands of who only looks;
        held: and of who has the lock.
    """

    place: Place
    lock: Lock
    seen: Held
    held: Held


class Access:
    """What an instance needs to work on its database; also the lock's holder.

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
        # A look tells that they do not, in a tenth of the time of following them.
        found = self._found
        if found is None or not _leads_to(self.path, found.place.main):
            place = place_of(self.path, self.backups_directory)
            lock = Lock(place.lock, self.lock_timeout_s, self.path, place.main)
            folder = BackupFolder(place.backups, place.prefix, self.log)
            shared = place, folder, self.root_format, self.log, self.clock
            found = _Found(
                place, lock, Held(*shared, writable=False), Held(*shared, writable=True)
            )
            self._found = found
        return found

    def place(self) -> Place:
        """Find the files."""
        return self.find().place

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
            place, lock, seen, held = self.find()
            is_mine = lock.mine(self)
            hold: Hold | None = None
            if mode != "look" and not is_mine:
                hold = lock.take(self, mode, is_of_block=is_of_block)
            if hold is None:
                return None, held if is_mine else seen
            if not os.path.lexists(place.intent):  # no rename is under way, or cut off
                return hold, held
            # Only without our lock: the rename needs it.
            hold.release()
            finish_rename(place, self.log, self.lock_timeout_s)

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


def _leads_to(path: str, main: str) -> bool:
    try:
        found = os.lstat(main)
        if path == main:
            return not stat.S_ISLNK(found.st_mode)
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False
