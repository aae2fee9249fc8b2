"""The disk steps: every call that changes or reads a stored byte is here.

Each step raises the `OSError` of the call that failed and leaves a whole file
behind, old or new. The order of the steps is what keeps data: bytes are synced
before a name points to them, and the folder is synced after.

Rejected: ``O_TMPFILE`` with ``linkat`` (cannot replace a file), mapping files
into memory (a foreign truncation kills the process with SIGBUS).
"""

import contextlib
import errno
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from operator import call
from typing import Any, Final

__all__ = [
    "CAN_READ_PARTS",
    "AnyFile",
    "Found",
    "NotRegularFileError",
    "OpenFile",
    "Whole",
    "append_bytes",
    "append_frame",
    "append_spare",
    "closed",
    "cut",
    "discard",
    "forget",
    "hard_link",
    "list_names",
    "list_seen",
    "look",
    "make_directory",
    "move",
    "opened",
    "owner_of",
    "put_in_place",
    "raise_if_passing",
    "read_bytes",
    "read_parts",
    "remove",
    "remove_directory",
    "replace_bytes",
    "source",
    "sync_directory",
    "sync_file",
    "take_after",
    "temporary_folder",
    "write_spare",
    "write_temporary",
]

# Windows has neither the flags nor the need: it opens no FIFO by path.
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK = getattr(os, "O_NONBLOCK", 0)
CLOEXEC = getattr(os, "O_CLOEXEC", 0)
BINARY = getattr(os, "O_BINARY", 0)
DIRECTORY = getattr(os, "O_DIRECTORY", 0)

# Of the real os, for files that stay open: one that stands in for it may be gone when
# they are closed.
_open, _close, _fstat = os.open, os.close, os.fstat

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC | BINARY
_APPENDING = os.O_WRONLY | os.O_APPEND | NOFOLLOW | NONBLOCK | CLOEXEC | BINARY

CAN_READ_PARTS = hasattr(os, "pread")
"""Whether an `OpenFile` can be had here."""

_CAN_SET_TIMES = os.utime in os.supports_fd

CHUNK_BYTES = 1 << 24
READ_BYTES = 1 << 30
PART_BYTES = 1 << 20

TEMPORARY_SUFFIX = ".tmp"

# What a file system without hard links answers, or one that forbids this one.
NO_LINKS = frozenset(
    {
        errno.EPERM,
        errno.EXDEV,
        errno.EMLINK,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
    }
)

# --- which descriptors are ours, so that a forked child can let go of them ---------
#
# A child gets a copy of each descriptor that is open at the moment of the fork. One of a
# lock would keep the lock, as long as the child lives; so a descriptor is known from
# before anybody else can fork to after it is closed.

#: How long a fork waits for a descriptor that is being opened: it may be on a network.
_PATIENCE_S: Final = 5.0

_ours: set[int] = set()

#: Let forked children keep a descriptor, which reads alone; or it is closed. In C.
forget: Final[Callable[[int], None]] = _ours.discard


class _Changing:
    """A block that keeps forks away while a descriptor comes or goes.

    Attributes:
        lock: Held meanwhile, and by a fork.
        is_forking: Whether a fork has it.
    """

    lock = threading.RLock()
    is_forking = False


def opened(how: Callable[..., int], *args: Any) -> int:
    """Open a descriptor."""
    with _Changing.lock:
        fd = how(*args)
        _ours.add(fd)
        return fd


def closed(how: Callable[[int], object], fd: int) -> None:
    """Close a descriptor."""
    with _Changing.lock:
        _ours.discard(fd)
        how(fd)


def _before_fork() -> None:
    _Changing.is_forking = _Changing.lock.acquire(timeout=_PATIENCE_S)


def _after_fork() -> None:
    if _Changing.is_forking:
        _Changing.is_forking = False
        _Changing.lock.release()


def _forget_parent() -> None:
    _Changing.lock = threading.RLock()
    _Changing.is_forking = False
    for fd in _ours:
        try:
            # Only closed: an unlock would free the lock of the parent too.
            _close(fd)
        except OSError:  # closed by the program, which closes all that it finds
            continue
    _ours.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_forget_parent,
    )


# --- what is there ----------------------------------------------------------------

# Errors of the process, not of the file: an older state would be a needless loss.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


def raise_if_passing(err: Exception) -> None:
    """Raise an error again that is one of the process, not of the file."""
    if isinstance(err, OSError) and err.errno in PASSING:
        raise err


class NotRegularFileError(OSError):
    """A folder, FIFO, socket or device stands where a file should be."""


class Found:
    """The identity, size and time of a file, for comparing.

    Attributes:
        signature: Equal signatures mean: not replaced and not written to. The change
            time is no part of it: a hard link, which every backup is, moves that.
    """

    __slots__ = (
        *("ctime_ns", "gid", "inode", "mode", "mtime_ns", "signature", "size", "uid"),
    )

    def __init__(self, result: os.stat_result) -> None:
        self.inode: tuple[int, int] = (result.st_dev, result.st_ino)
        self.size: int = result.st_size
        self.mtime_ns: int = result.st_mtime_ns
        self.ctime_ns: int = result.st_ctime_ns
        self.mode: int = stat.S_IMODE(result.st_mode)
        self.uid: int = result.st_uid
        self.gid: int = result.st_gid
        self.signature: object = (self.inode, self.size, self.mtime_ns)


def _require_regular(result: os.stat_result, path: str) -> Found:
    if stat.S_ISREG(result.st_mode):
        return Found(result)
    code = errno.EISDIR if stat.S_ISDIR(result.st_mode) else errno.EINVAL
    raise NotRegularFileError(code, "not a regular file", path)


def look(path: str) -> Found | None:
    """Stat a regular file; None if there is nothing.

    Raises:
        NotRegularFileError: Something else is there, a symbolic link too.
    """
    try:
        result = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(result.st_mode):
        _require_regular(result, path)
    return Found(result)


def owner_of(path: str) -> Found | None:
    """Look whose something is, whatever it is; None if there is nothing to see."""
    try:
        return Found(os.lstat(path))
    except OSError:
        return None


def read_bytes(path: str, start: int = 0) -> tuple[bytes, Found]:
    """Read a regular file from *start* on, never waiting, never following a link.

    Raises:
        FileNotFoundError: Nothing is there.
        NotRegularFileError: It is no file. A FIFO does not hang the caller.
    """
    try:
        return _read_once(path, start)
    except OSError as err:
        if err.errno != errno.EIO or isinstance(err, NotRegularFileError):
            raise
    # A passing fault must not make a good file count as damaged.
    return _read_once(path, start)


def _read_once(path: str, start: int) -> tuple[bytes, Found]:
    # Looked at before it is opened: opening a device may act on it.
    seen = os.lstat(path)
    if not stat.S_ISREG(seen.st_mode):
        _require_regular(seen, path)
    fd = opened(os.open, path, os.O_RDONLY | NONBLOCK | NOFOLLOW | CLOEXEC | BINARY)
    try:
        found = _require_regular(os.fstat(fd), path)
        parts: list[bytes] = []
        if start:
            os.lseek(fd, start, os.SEEK_SET)
        # Room for one byte more, so that a file that grows meanwhile is seen. In one
        # piece as a rule: joining costs as much as reading.
        room = max(found.size - start, 0) + 1
        while part := os.read(fd, min(room, READ_BYTES)):
            parts.append(part)
            room = max(room - len(part), CHUNK_BYTES >> 8)
    finally:
        closed(os.close, fd)
    return b"".join(parts), found


def read_parts(path: str) -> Generator[bytes]:
    """Read a regular file in order, a mebibyte at a time.

    It is open until the end: who may not come so far closes what this returns.

    Raises:
        FileNotFoundError: Nothing is there.
        NotRegularFileError: It is no file.
    """
    _require_regular(os.lstat(path), path)
    fd = opened(os.open, path, os.O_RDONLY | NONBLOCK | NOFOLLOW | CLOEXEC | BINARY)
    try:
        while part := os.read(fd, PART_BYTES):
            yield part
    finally:
        closed(os.close, fd)


class OpenFile:
    """A regular file that is read in parts; what takes its name is another one.

    A forked child has it as well if it is one that `forget` was told of: reading at a
    place moves nothing that is shared.

    Attributes:
        found: How it looked when it was opened.

    Args:
        path: The file; a symbolic link is not followed.

    Raises:
        FileNotFoundError: Nothing is there.
        NotRegularFileError: It is no file.
    """

    # Of one that an interrupt cut off before it was opened, or looked at.
    _fd = -1
    _inode: tuple[int, int] | None = None

    def __init__(self, path: str) -> None:
        seen = os.lstat(path)
        if not stat.S_ISREG(seen.st_mode):
            _require_regular(seen, path)
        flags = os.O_RDONLY | NONBLOCK | NOFOLLOW | CLOEXEC | BINARY
        self._fd = opened(_open, path, flags)
        now = _fstat(self._fd)
        self._inode = (now.st_dev, now.st_ino)
        self.found: Found = _require_regular(now, path)

    def read(self, start: int, size: int) -> bytes:
        """Read *size* bytes from *start* on; fewer where the file ends.

        Raises:
            OSError: The disk cannot read them.
        """
        parts: list[bytes] = []
        while size and (part := self._pread(min(size, READ_BYTES), start)):
            parts.append(part)
            start += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _pread(self, size: int, start: int) -> bytes:
        try:
            return os.pread(self._fd, size, start)
        except OSError as err:
            if err.errno != errno.EIO:
                raise
        # A passing fault must not make a good file count as damaged.
        return os.pread(self._fd, size, start)

    def fileno(self) -> int:
        """Return its descriptor; -1 if it is closed."""
        return self._fd

    def close(self) -> None:
        """Let go of it; it cannot be read any more."""
        fd = self._fd
        if fd < 0:
            return
        # A program that becomes a daemon closes all that it finds, and what it opens
        # then may have this number.
        try:
            now = _fstat(fd)
            is_ours = self._inode in {None, (now.st_dev, now.st_ino)}
        except OSError as err:  # or a disk that does not answer
            is_ours = err.errno != errno.EBADF
        gone = (partial(setattr, self, "_fd", -1), partial(forget, fd))
        # In one call of C, which no interrupt cuts in half.
        steps = (*gone, partial(_close, fd)) if is_ours else gone
        deque(map(call, steps), 0)

    def __del__(self) -> None:
        try:
            self.close()
        finally:  # what comes in between is dropped by Python, the descriptor is not
            self.close()


class Whole:
    """A file that was read at once."""

    def __init__(self, payload: bytes, found: Found) -> None:
        self._payload = payload
        self.found: Found = found

    def read(self, start: int, size: int) -> bytes:
        """Return *size* bytes from *start* on; fewer where they end."""
        return self._payload[start : start + size]

    def fileno(self) -> int:
        """Return -1: it has no descriptor."""
        return -1

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


AnyFile = OpenFile | Whole
"""What is read in parts."""


def source(path: str) -> AnyFile:
    """Return what reads a regular file in parts.

    Raises:
        As `OpenFile`.
    """
    return OpenFile(path) if CAN_READ_PARTS else Whole(*read_bytes(path))


def _sync(fd: int) -> None:
    # On each system, so that what stands in for `os` hears of it.
    os.fsync(fd)
    if sys.platform == "darwin":  # pragma: no cover - macOS only
        import fcntl  # noqa: PLC0415 - does not exist on Windows

        # Plain fsync leaves the bytes in the drive's cache there.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)


def _sync_data(fd: int) -> None:
    # The times of the file need not be durable; its size is data.
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:  # pragma: no cover - Linux only in our tests
        _sync(fd)


def sync_directory(path: str) -> None:
    """Make the names in a folder durable."""
    if sys.platform == "win32":  # pragma: no cover - Windows syncs names by itself
        return
    fd = opened(os.open, path, os.O_RDONLY | DIRECTORY | CLOEXEC)
    try:
        _sync(fd)
    finally:
        closed(os.close, fd)


def make_directory(path: str, owner: Found | None = None) -> None:
    """Make a folder and its parents, durable.

    Private to its owner, and, where it is made in a folder that a group may write, to
    that group: see `take_after`. A folder that exists is left as it is.

    Args:
        path: The folder.
        owner: Whose it is to be; else whose the folder is that it is made in.
    """
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for new in reversed(missing):
        try:
            os.mkdir(new, 0o700)
        except FileExistsError:
            # Another process may be making the same folder.
            if not os.path.isdir(new):
                code = errno.ENOTDIR
                raise NotADirectoryError(code, os.strerror(code), new) from None
        else:
            take_after(new, os.path.dirname(new), owner if new == path else None)
        sync_directory(os.path.dirname(new))


#: What lets a group write, and gives new files in a folder to its group.
_GROUP = stat.S_IRWXG | stat.S_ISGID


def take_after(new: int | str, directory: str, owner: Found | None = None) -> None:
    """Hand a file or folder that was just made to whom it belongs.

    That is who has the folder that it was made in: so what root makes there is its
    owner's still, and what a member of a group makes in the group's folder is the
    group's. A folder that no group may write makes what is private.

    Args:
        new: What was made, with the mode 0600 or 0700; a descriptor if it is a file.
        directory: The folder that it was made in.
        owner: Whose it is to be instead.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows inherits from the folder
        return
    made, around = os.stat(new), os.stat(directory)
    # Where each keeps what is his, as in /tmp, nothing is shared.
    shared = around.st_mode & stat.S_IWGRP and not around.st_mode & stat.S_ISVTX
    uid, gid = around.st_uid, around.st_gid
    if owner is not None:
        uid, gid = owner.uid, owner.gid
    if made.st_uid != uid and not os.geteuid():
        _give(new, uid, gid)
    elif shared and made.st_gid != around.st_gid:
        _give(new, -1, around.st_gid)
    if shared:
        bits = _GROUP & around.st_mode if stat.S_ISDIR(made.st_mode) else 0o060
        with contextlib.suppress(PermissionError):  # it was given away
            os.chmod(new, stat.S_IMODE(made.st_mode) | bits)


def _give(new: int | str, uid: int, gid: int) -> None:
    # Only root may give a file away, and to a group its members; keeping it is better
    # than not saving.
    with contextlib.suppress(OSError):
        os.chown(new, uid, gid)


def list_names(path: str) -> list[str]:
    """The names in a folder; none if it does not exist."""
    try:
        with _Changing.lock:  # it has a descriptor as long as it lasts
            return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_seen(path: str) -> list[str]:
    """The names in a folder; none if this process may not look into it."""
    try:
        return list_names(path)
    except PermissionError:
        return []


def _write_all(fd: int, payload: bytes) -> None:
    left = memoryview(payload)
    while left:
        # write() may take less than it was given, at a full disk for one.
        count = os.write(fd, left[:CHUNK_BYTES])
        if count <= 0:
            raise OSError(errno.EIO, "write() took nothing")
        left = left[count:]


def temporary_folder() -> str:
    """The system's folder for temporary files, as `tempfile` finds it.

    Not by an import of that: it takes 3 ms of each start, and when it is needed, its
    file might not be there any more.
    """
    known = sys.modules.get("tempfile")
    if known is not None:
        return str(known.gettempdir())  # which the program may have set
    if os.name == "nt":  # pragma: no cover - Windows only
        usual = [os.path.expandvars(r"%LOCALAPPDATA%\Temp"), r"c:\temp", r"c:\tmp"]
    else:
        usual = ["/tmp", "/var/tmp", "/usr/tmp"]  # noqa: S108 - as tempfile does
    named = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    places = (os.path.abspath(each) for each in (*filter(None, named), *usual))
    return next((each for each in places if _takes_files(each)), os.getcwd())


def _takes_files(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def write_temporary(
    directory: str,
    prefix: str,
    payload: bytes | Iterable[bytes],
    like: Found | None = None,
    suffix: str = TEMPORARY_SUFFIX,
    time_ns: Callable[[int], int] | None = None,
) -> tuple[str, Found]:
    """Write durable bytes under a random name, for `put_in_place`.

    Args:
        directory: The folder of the file to be replaced: a rename across file
            systems fails, and a copy is not atomic.
        prefix: Starts the name, so that leftovers of a crash are found.
        payload: All bytes, or their parts in order.
        like: The file to be replaced, whose mode and owner are taken over.
        suffix: Ends the name.
        time_ns: Makes the time that it is to have of the time that it has; a file
            system may refuse that, or round it.

    Raises:
        OSError: Nothing is left behind. Never try again on the same file: after
            a failed fsync the kernel calls the lost pages clean.
    """
    path = f"{directory}{os.sep}{prefix}{os.urandom(8).hex()}{suffix}"
    fd = opened(os.open, path, _NEW, 0o600)
    try:
        try:
            if like is None:
                take_after(fd, directory)
            else:
                _take_over(fd, like)
            for part in (payload,) if isinstance(payload, bytes) else payload:
                _write_all(fd, part)
            if time_ns is not None:
                _set_time(fd, time_ns)
            _sync(fd)
            found = Found(os.fstat(fd))
        finally:
            closed(os.close, fd)
    except BaseException:
        discard(path)
        raise
    return path, found


def _set_time(fd: int, time_ns: Callable[[int], int]) -> None:
    if not _CAN_SET_TIMES:  # pragma: no cover - Windows
        return
    found = os.fstat(fd)
    try:
        os.utime(fd, ns=(found.st_atime_ns, time_ns(found.st_mtime_ns)))
    except (OSError, OverflowError):
        return  # who asks looks whether it has come to be


def _take_over(fd: int, like: Found) -> None:
    if sys.platform == "win32":  # pragma: no cover - Windows inherits from the folder
        return
    mine = os.fstat(fd)
    if (mine.st_uid, mine.st_gid) != (like.uid, like.gid):
        # Only root may give a file away; keeping it is better than not saving.
        with contextlib.suppress(PermissionError):
            os.fchown(fd, like.uid, like.gid)
    if stat.S_IMODE(mine.st_mode) != like.mode:
        os.fchmod(fd, like.mode)


def put_in_place(temporary: str, path: str) -> None:
    """Return synced bytes their final name, replacing what has it.

    The name is durable only after `sync_directory`.
    """
    os.replace(temporary, path)


def replace_bytes(
    path: str,
    payload: bytes | Iterable[bytes],
    prefix: str,
    *,
    durable: bool = True,
    like: Found | None = None,
) -> None:
    """Make *path* hold exactly *payload*, or leave it as it was.

    Durable on return; with ``durable=False`` a power cut may bring the old bytes
    back, but still never a mix. *like* is the file whose owner and mode it takes.
    """
    directory = os.path.dirname(path)
    temporary, _ = write_temporary(directory, prefix, payload, like)
    try:
        put_in_place(temporary, path)
    except BaseException:
        discard(temporary)
        raise
    if durable:
        sync_directory(directory)


def write_spare(path: str, *parts: bytes) -> None:
    """Write a file that carries checksums of its own and is only a help.

    It is missing for a moment. Nothing is synced, and a crash may leave anything. The old file is removed, not
    replaced: ext4 writes out a file that takes the place of another.
    """
    try:
        fd = opened(os.open, path, _NEW, 0o600)
    except FileExistsError:
        remove(path)
        fd = opened(os.open, path, _NEW, 0o600)
    try:
        take_after(fd, path.rpartition(os.sep)[0])
        if sum(map(len, parts)) < PART_BYTES:
            parts = (b"".join(parts),)
        for part in parts:
            _write_all(fd, part)
    finally:
        closed(os.close, fd)


def append_bytes(path: str, payload: bytes) -> int:
    """Append to a file that exists; not synced, and torn by a crash perhaps.

    Returns:
        Its size now, in bytes.
    """
    fd = opened(os.open, path, _APPENDING)
    try:
        _write_all(fd, payload)
        return os.fstat(fd).st_size
    finally:
        closed(os.close, fd)


def append_frame(
    path: str, payload: bytes, before: Found, *, sync: bool
) -> Found | None:
    """Append to a file that looks as it did *before*; durable on return if *sync*.

    Returns:
        How the file looks now; None, and nothing was done, if it looked different, or
        is gone.

    Raises:
        OSError: The file was cut back to its size, as far as that went. Never append
            to it again: after a failed sync the kernel calls lost pages clean.
    """
    try:
        fd = opened(os.open, path, _APPENDING)
    except FileNotFoundError:
        return None
    try:
        now = os.fstat(fd)
        if (
            (now.st_dev, now.st_ino) != before.inode
            or now.st_size != before.size
            or now.st_mtime_ns != before.mtime_ns
        ):
            return None
        try:
            _write_all(fd, payload)
            if sync:
                _sync_data(fd)
            return Found(os.fstat(fd))
        except BaseException:
            # The first error is the one to raise; a tail that stays is torn.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, before.size)
            raise
    finally:
        closed(os.close, fd)


def append_spare(path: str, payload: bytes, size: int) -> bool:
    """Append to a file of exactly *size* bytes that is only a help; see `write_spare`.

    Returns:
        Whether it was done: it had that size.
    """
    fd = opened(os.open, path, _APPENDING)
    try:
        if os.fstat(fd).st_size != size:
            return False
        _write_all(fd, payload)
        return True
    finally:
        closed(os.close, fd)


def cut(path: str, size: int) -> Found:
    """Drop what a file holds beyond *size* bytes, durable; give how it looks now."""
    fd = opened(os.open, path, os.O_WRONLY | NOFOLLOW | NONBLOCK | CLOEXEC | BINARY)
    try:
        _require_regular(os.fstat(fd), path)
        os.ftruncate(fd, size)
        _sync(fd)
        return Found(os.fstat(fd))
    finally:
        closed(os.close, fd)


def sync_file(path: str) -> None:
    """Make the bytes of a file durable."""
    fd = opened(os.open, path, os.O_WRONLY | NOFOLLOW | NONBLOCK | CLOEXEC | BINARY)
    try:
        _sync_data(fd)
    finally:
        closed(os.close, fd)


def hard_link(path: str, link: str) -> bool:
    """Link a file under a second name; False where the file system has no links.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(path, link)
    except OSError as err:
        if err.errno in NO_LINKS:
            return False
        raise
    return True


def move(old: str, new: str) -> None:
    """Rename a file or folder within one folder, durable."""
    os.rename(old, new)
    sync_directory(os.path.dirname(new))


def remove(path: str) -> bool:
    """Remove a name; False if it was not there. Durable after a sync."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_directory(path: str) -> None:
    """Remove an empty folder; one that is not empty or not there stays so."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as err:
        if err.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def discard(temporary: str) -> None:
    """Remove a temporary file on the way out of a failure."""
    # The first error is the one to raise; what stays is swept at the next load.
    with contextlib.suppress(OSError):
        os.unlink(temporary)
