"""A disk that remembers: each change is written down, for a simulated power cut.

`Recorder` stands in for ``os``, as in `storify.testing._crash.faults`. It syncs
nothing really: what a power cut would take is the model's to say.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from storify.engine.file import vfs
from storify.testing._crash.faults import replaced
from storify.testing._crash.power import read

__all__ = ["Entry", "Recorder", "recorded"]

Entry: TypeAlias = tuple[Any, ...]
"""One change: its kind, the path, and what else belongs to it."""


class Recorder:
    """The os module, with a log of what changes the disk.

    Args:
        lies: Whether the disk syncs nothing.
        met: Paths that the model knows; what else is found on the disk is logged
            as it is, if the set is given.
    """

    def __init__(self, lies: bool = False, met: set[str] | None = None) -> None:
        self.log: list[Entry] = []
        self.fds: dict[int, str] = {}
        self.lies = lies
        self.met = met

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _meet(self, path: str) -> None:
        """Log what is there already when we first hear of it, its folders first."""
        if self.met is None or path in self.met:
            return
        self._meet(os.path.dirname(path))
        if os.path.exists(path):
            self.met.add(path)
            self.log.append(("found", path, read(Path(path))))

    def _note(self, kind: str, path: str, *more: Any, new: str = "") -> None:
        if new and self.met is not None:
            self.met.add(new)
        self.log.append((kind, path, *more))

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open; note new files."""
        self._meet(path)
        new = flags & os.O_CREAT and not os.path.exists(path)
        fd = os.open(path, flags, mode)
        self.fds[fd] = path
        if new:
            self._note("create", path, new=path)
        elif flags & os.O_TRUNC:
            self._note("cut", path, 0, os.fstat(fd).st_mtime_ns)
        return fd

    def write(self, fd: int, data: Any) -> int:
        """Write; note the bytes."""
        count = os.write(fd, data)
        found = os.fstat(fd)
        self._note("write", self.fds[fd], bytes(data[:count]), found.st_mtime_ns)
        return count

    def fsync(self, fd: int) -> None:
        """Note it; the real one is not needed."""
        if not self.lies:
            self._note("fsync", self.fds[fd])

    def fdatasync(self, fd: int) -> None:
        """As `fsync`: the size is data, and times are not looked at."""
        self.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut; note it."""
        os.ftruncate(fd, size)
        self._note("cut", self.fds[fd], size, os.fstat(fd).st_mtime_ns)

    def replace(self, old: str, new: str) -> None:
        """Rename; note it."""
        self._meet(old)
        Path(old).replace(new)
        self._note("rename", old, new, new=new)

    def rename(self, old: str, new: str) -> None:
        """Rename; note it."""
        self._meet(old)
        Path(old).rename(new)
        self._note("rename", old, new, new=new)

    def link(self, old: str, new: str) -> None:
        """Link; note it."""
        self._meet(old)
        self._meet(os.path.dirname(new))
        os.link(old, new)
        self._note("link", old, new, new=new)

    def unlink(self, path: str) -> None:
        """Unlink; note it."""
        self._meet(path)
        Path(path).unlink()
        self._note("unlink", path)

    def rmdir(self, path: str) -> None:
        """Remove; note it."""
        self._meet(path)
        Path(path).rmdir()
        self._note("unlink", path)

    def mkdir(self, path: str, mode: int) -> None:
        """Make; note it."""
        self._meet(os.path.dirname(path))
        Path(path).mkdir(mode)
        self._note("mkdir", path, new=path)


@contextmanager
def recorded(recorder: Recorder) -> Generator[Recorder]:
    """Let the engine run on a disk that remembers."""
    with replaced(vfs, "os", recorder):
        yield recorder
