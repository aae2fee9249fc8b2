"""The way to the files of one database: find them, take the lock, go to work."""

import os
import stat
from types import TracebackType

from storify.engine.file.backups import BackupFolder
from storify.engine.file.held import Held
from storify.engine.file.lock import Hold, Lock, Mode
from storify.engine.file.paths import Place, place_of
from storify.engine.file.renaming import finish_rename
from storify.engine.protocol import Clock, Format
from storify.logger import LoggerLike

__all__ = ["Access"]


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
        self._place: Place | None = None
        #: For work on the files of that place: without its lock, and with it.
        self._seen: Held
        self._held: Held

    def place(self) -> Place:
        """Find the files; links may lead elsewhere than before."""
        # A look tells that they do not, in a tenth of the time of following them.
        place = self._place
        if place is None or not _leads_to(self.path, place.main):
            place = self._place = place_of(self.path, self.backups_directory)
            folder = BackupFolder(place.backups, place.prefix, self.log)
            shared = place, folder, self.root_format, self.log, self.clock
            self._seen = Held(*shared, writable=False)
            self._held = Held(*shared, writable=True)
        return place

    def seen(self) -> Held:
        """Look at the files without the lock: what is read may change meanwhile."""
        self.place()
        return self._seen

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
            place, lock = self._lock()
            is_mine = lock.mine(self)
            hold: Hold | None = None
            if mode != "look" and not is_mine:
                hold = lock.take(self, mode, is_of_block=is_of_block)
            if hold is None:
                return None, self._held if is_mine else self._seen
            if not os.path.lexists(place.intent):  # no rename is under way, or cut off
                return hold, self._held
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
        return self._lock()[1].is_of_callers_block()

    def _lock(self) -> tuple[Place, Lock]:
        place = self.place()
        return place, Lock(place.lock, self.lock_timeout_s, self.path, place.main)


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
