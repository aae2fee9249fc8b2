"""One writer at a time: a lock file between processes, an owner within this one.

``flock`` by hand instead of a package: it takes 5 µs, and the two dangers are
cured here. The lock file is opened without following links, and after the lock
is had, the file is compared with its path: it may have been deleted, or moved
with its folder, while we waited.

A lock is held for one operation, or one transaction, never for a lifetime: one
program may open a database twice. It belongs to a caller (`storify.threads`), so what
is done for it in other threads goes through; and it is held as long as somebody has
its `Hold`. A forked child starts with all locks free.

All of it runs in saver threads, where no signal ends a call halfway.
"""

import errno
import os
import stat
import sys
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Literal

from storify.engine.file import vfs
from storify.engine.file.vfs import closed, opened
from storify.exceptions import DatabaseLockedError
from storify.threads import caller, is_given_up

if sys.platform == "win32":  # pragma: no cover - Windows only
    import msvcrt
else:
    import fcntl

__all__ = ["Hold", "Lock", "Mode"]

Mode = Literal["write", "repair", "try", "look"]
"""``write`` must have the lock and waits for it; ``repair`` waits, and does without it
where the folder does not allow it; ``try`` takes it if it is free; ``look`` never."""

# How long to wait before looking again: who has waited longer looks more often, so that
# nobody is beaten by others again and again.
FIRST_PAUSE_S = 0.002
LAST_PAUSE_S = 0.0002
#: After how long it looks as often as it will.
IMPATIENT_S = 0.4
_OPENING = os.O_RDWR | vfs.NOFOLLOW | vfs.NONBLOCK | vfs.CLOEXEC
# The folder or its file system does not let us write.
NO_PERMISSION = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOLCK})


class Hold:
    """A lock that is had, until it is released or nobody has this any more.

    Attributes:
        who: Its caller.
        holder: For which instance.
        is_of_block: Whether it is had as long as a block of the caller's runs; else it
            is for one operation, which is under way.
    """

    __slots__ = ("__weakref__", "_fd", "holder", "is_of_block", "who")

    def __init__(
        self, fd: int, who: object, holder: object, *, is_of_block: bool
    ) -> None:
        self._fd: int | None = fd
        self.who: object = who
        self.holder: object = holder
        self.is_of_block: bool = is_of_block

    def is_held(self) -> bool:
        """Whether it is had still."""
        return self._fd is not None

    def release(self) -> None:
        """Release it; not in a forked child, which has none."""
        fd, self._fd = self._fd, None
        if fd is not None:
            _unlock(fd)
            closed(os.close, fd)

    def __del__(self) -> None:
        if self._fd is not None:
            self.release()


#: What is or was held in this process, by the path of the lock file.
_holds: "dict[str, weakref.ref[Hold]]" = {}
#: Held by saver threads alone, and never while one waits.
_taking = threading.Lock()


def _forget_parent() -> None:
    """Free every lock in a forked child: the parent has them."""
    global _taking  # noqa: PLW0603 - may be held by a thread that is gone
    _taking = threading.Lock()
    for path in list(_holds):
        hold = _held(path)
        if hold is not None:
            hold._fd = None  # noqa: SLF001 - one module; it is closed with all others
    _holds.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forget_parent)


def _held(path: str) -> Hold | None:
    """The descriptors of a lock file that are held now."""
    ref = _holds.get(path)
    hold = None if ref is None else ref()
    return hold if hold is not None and hold.is_held() else None


class Lock:
    """The lock of one database, taken with `held` or `take`.

    Args:
        path: The lock file; made with its folder when it is first taken.
        timeout_s: How long to wait for another holder.
        what: The database, for the message.
        main: The file that it is for, if it is for one: its folder is that one's owner's.
    """

    def __init__(
        self, path: str, timeout_s: float, what: str, main: str | None = None
    ) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self.what = what
        self.main = main

    def mine(self, holder: object) -> bool:
        """Whether the caller has the lock for *holder* already."""
        hold = _held(self.path)
        return hold is not None and hold.holder is holder and hold.who is caller().who

    def is_of_callers_block(self) -> bool:
        """Whether a block of the caller's has the lock, for whatever instance."""
        hold = _held(self.path)
        return hold is not None and hold.is_of_block and hold.who is caller().who

    @contextmanager
    def held(self, holder: object) -> Generator[None]:
        """Hold the lock in a ``with`` block; does not nest.

        Raises:
            DatabaseLockedError: Somebody else held it for the whole timeout.
            OSError: The lock file could not be made.
        """
        hold = self.take(holder)
        try:
            yield
        finally:
            if hold is not None:
                hold.release()

    def take(
        self, holder: object, mode: Mode = "write", *, is_of_block: bool = False
    ) -> Hold | None:
        """Take the lock; None only in the modes that do without it.

        Args:
            holder: For which instance.
            mode: Whether to wait for it, and to fail without it.
            is_of_block: Whether it is for a block of the caller's.

        Raises:
            DatabaseLockedError: Somebody else held it for the whole timeout.
            OSError: The lock file could not be made.
        """
        begun_s = time.monotonic()
        while True:
            try:
                found = self._try(holder, is_of_block=is_of_block)
            except DatabaseLockedError:
                if mode == "write":
                    raise
                return None
            except OSError as error:
                if mode == "write" or error.errno not in NO_PERMISSION:
                    raise
                return None
            if isinstance(found, Hold):
                return found
            if mode == "try":
                return None
            waited_s = time.monotonic() - begun_s
            if waited_s >= self.timeout_s or is_given_up():
                raise self._refusal(found, waited_s)
            pause_s = max(FIRST_PAUSE_S * (1 - waited_s / IMPATIENT_S), LAST_PAUSE_S)
            time.sleep(min(pause_s, self.timeout_s - waited_s))

    def _refusal(self, why: str, waited_s: float) -> DatabaseLockedError:
        return DatabaseLockedError(
            f"cannot lock {self.what!r}: {why}; "
            f"waited {waited_s:.2g} s, try again when it is free"
        )

    def _try(self, holder: object, *, is_of_block: bool) -> Hold | str:
        """Take the lock if it is free; else say who has it."""
        who = caller().who
        with _taking:
            other = _held(self.path)
            if other is not None:
                if other.who is who and other.is_of_block:
                    # Waiting for ourselves would only end with the timeout.
                    msg = "another instance of this caller is inside `locked`"
                    raise self._refusal(msg, 0)
                return "another thread of this process holds it"
            try:
                fd = opened(os.open, self.path, _OPENING)
            except FileNotFoundError:
                fd = self._made()
            try:
                is_had = _try_lock(fd) and self._names(fd)
            except BaseException:
                closed(os.close, fd)
                raise
            if not is_had:
                closed(os.close, fd)
                return "another process holds it"
            hold = Hold(fd, who, holder, is_of_block=is_of_block)
            _holds[self.path] = weakref.ref(hold)
            return hold

    def _made(self) -> int:
        """Make the lock file and open it."""
        directory = os.path.dirname(self.path)
        owner = None if self.main is None else vfs.owner_of(self.main)
        vfs.make_directory(directory, owner)
        fd = opened(os.open, self.path, _OPENING | os.O_CREAT, 0o600)
        # Another process may be making it as well: each gives it away alike.
        with suppress(OSError):
            vfs.take_after(fd, directory)
        return fd

    def _names(self, fd: int) -> bool:
        """Whether the path still names the file that was locked."""
        locked = os.fstat(fd)
        if not stat.S_ISREG(locked.st_mode):
            raise vfs.NotRegularFileError(errno.EINVAL, "not a file", self.path)
        try:
            named = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return (locked.st_ino, locked.st_dev) == (named.st_ino, named.st_dev)


if sys.platform == "win32":  # pragma: no cover - Windows only

    def _try_lock(fd: int) -> bool:
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as err:
            if err.errno in {errno.EACCES, errno.EDEADLK}:
                return False
            raise
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        # Closing alone would leave it to a child that has a copy of the descriptor.
        fcntl.flock(fd, fcntl.LOCK_UN)
