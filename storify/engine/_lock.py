"""One writer at a time: a lock file between processes, a mutex between threads.

``flock`` by hand instead of a package: it takes 5 µs, and the two dangers are
cured here. The lock file is opened without following links, and after the lock
is had, the file is compared with its path: it may have been deleted, or moved
with its folder, while we waited.

A lock is held for one operation, or one transaction, never for a lifetime: one
program may open a database twice. A forked child starts with all locks free.
"""

import errno
import os
import stat
import sys
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from storify.engine import _disk
from storify.exceptions import DatabaseLockedError

if sys.platform == "win32":  # pragma: no cover - Windows only
    import msvcrt
else:
    import fcntl

__all__ = ["Lock", "Mode"]

Mode = Literal["write", "read", "look"]
"""``write`` must have the lock; ``read`` takes it if the folder allows; ``look``
never creates a file for it."""

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.05
# The folder or its file system does not let us write.
NO_PERMISSION = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class _Exclusion:
    """The side of one lock file that is inside this process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.mutex = threading.Lock()
        self.thread: int | None = None
        self.holder: object = None
        self.exclusive = False
        self.fd: int | None = None


_exclusions: "weakref.WeakValueDictionary[str, _Exclusion]" = (
    weakref.WeakValueDictionary()
)
_registry_mutex = threading.Lock()


def _exclusion(path: str) -> _Exclusion:
    with _registry_mutex:
        return _exclusions.setdefault(path, _Exclusion())


def _forget_parent() -> None:
    """Free every lock in a forked child: the parent's threads hold them, not ours."""
    global _registry_mutex  # noqa: PLW0603 - may be held by a thread that is gone
    _registry_mutex = threading.Lock()
    for exclusion in list(_exclusions.values()):
        if exclusion.fd is not None:
            # Only closed: an unlock would free the lock of the parent too.
            os.close(exclusion.fd)
        exclusion.reset()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forget_parent)


class Lock:
    """The lock of one database, taken with `held`.

    Args:
        path: The lock file; made with its folder when it is first taken.
        timeout_s: How long to wait for another holder.
        what: The database, for the message.
    """

    def __init__(self, path: str, timeout_s: float, what: str) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self.what = what
        self._exclusion = _exclusion(path)

    def mine(self, holder: object) -> bool:
        """Whether this thread holds the lock for *holder* already."""
        exclusion = self._exclusion
        return exclusion.thread == threading.get_ident() and exclusion.holder is holder

    def exclusive(self) -> bool:
        """Whether whoever holds the lock may write."""
        return self._exclusion.exclusive

    @contextmanager
    def held(self, holder: object, mode: Mode = "write") -> Generator[bool]:
        """Hold the lock in a ``with`` block; does not nest.

        Yields:
            Whether the holder may write; False only in the reading modes.

        Raises:
            DatabaseLockedError: Somebody else held it for the whole timeout.
            OSError: The lock file could not be made; not in the reading modes.
        """
        exclusion, pid = self._exclusion, os.getpid()
        if exclusion.thread == threading.get_ident():
            if mode != "write":
                # A reader needs no lock to find a whole file.
                yield False
                return
            # Waiting for ourselves would only end with the timeout.
            msg = "another instance in this thread is inside `locked`"
            raise self._refusal(msg)
        deadline = time.monotonic() + self.timeout_s
        mutex = exclusion.mutex
        if not mutex.acquire(timeout=self.timeout_s):
            msg = "another thread of this process holds it"
            raise self._refusal(msg)
        try:
            fd, writable = self._take(mode, deadline)
            exclusion.fd = fd
            exclusion.thread, exclusion.holder = threading.get_ident(), holder
            exclusion.exclusive = writable
            try:
                yield writable
            finally:
                # A child that was forked inside the block has nothing to release.
                if os.getpid() == pid:
                    exclusion.fd = exclusion.thread = exclusion.holder = None
                    if fd is not None:
                        os.close(fd)
        finally:
            mutex.release()

    def _refusal(self, why: str) -> DatabaseLockedError:
        return DatabaseLockedError(
            f"cannot lock {self.what!r}: {why}; "
            f"waited {self.timeout_s:g} s, try again when it is free"
        )

    def _take(self, mode: Mode, deadline: float) -> tuple[int | None, bool]:
        while True:
            fd, writable = self._open(mode)
            if fd is None:
                return None, False
            try:
                self._wait(fd, deadline, shared=not writable)
                same = self._names(fd)
            except BaseException:
                os.close(fd)
                raise
            if same:
                return fd, writable
            os.close(fd)

    def _open(self, mode: Mode) -> tuple[int | None, bool]:
        flags = _disk.NOFOLLOW | _disk.NONBLOCK | _disk.CLOEXEC
        if mode != "look":
            try:
                return self._create(os.O_RDWR | os.O_CREAT | flags), True
            except OSError as err:
                if mode == "write" or err.errno not in NO_PERMISSION:
                    raise
        try:
            return os.open(self.path, os.O_RDONLY | flags), False
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None, False

    def _create(self, flags: int) -> int:
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            _disk.make_directory(os.path.dirname(self.path))
            return os.open(self.path, flags, 0o600)

    def _wait(self, fd: int, deadline: float, *, shared: bool) -> None:
        pause = FIRST_PAUSE_S
        while not _try_lock(fd, shared=shared):
            left = deadline - time.monotonic()
            if left <= 0:
                msg = "another process holds it"
                raise self._refusal(msg)
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _names(self, fd: int) -> bool:
        """Whether the path still names the file that was locked."""
        locked = os.fstat(fd)
        if not stat.S_ISREG(locked.st_mode):
            raise _disk.NotRegularFileError(errno.EINVAL, "not a file", self.path)
        try:
            named = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(locked, named)


if sys.platform == "win32":  # pragma: no cover - Windows only

    def _try_lock(fd: int, *, shared: bool) -> bool:
        del shared  # there is one kind only
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as err:
            if err.errno in {errno.EACCES, errno.EDEADLK}:
                return False
            raise
        return True

else:

    def _try_lock(fd: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(
                fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
            )
        except BlockingIOError:
            return False
        return True
