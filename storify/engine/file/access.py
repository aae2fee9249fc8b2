"""The way to the files of one database: find them, take the lock, go to work."""

import os
from types import TracebackType

from storify.engine.file.backups import BackupFolder
from storify.engine.file.held import Held
from storify.engine.file.lock import Hold, Lock, Mode
from storify.engine.file.paths import Place, place_of
from storify.engine.file.renaming import finish_rename, rename_pending
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

    def place(self) -> Place:
        """Find the files; links may lead elsewhere than before."""
        # Two looks tell that they do not, in a tenth of the time of following them.
        if self._place is None or not _leads_to(self.path, self._place.main):
            self._place = place_of(self.path, self.backups_directory)
        return self._place

    def folder(self, place: Place) -> BackupFolder:
        """The backups, for calls that need no lock."""
        return BackupFolder(place.backups, place.prefix, self.log)

    def seen(self) -> Held:
        """Look at the files without the lock: what is read may change meanwhile."""
        return self._held(self.place(), writable=False)

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
            if hold is None or not rename_pending(place):
                return hold, self._held(place, writable=is_mine or hold is not None)
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

    def _held(self, place: Place, *, writable: bool) -> Held:
        folder = self.folder(place)
        return Held(place, folder, self.root_format, self.log, self.clock, writable)


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
        return os.path.samestat(os.stat(path), os.lstat(main))
    except OSError:
        return False
