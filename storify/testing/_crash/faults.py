"""A disk that fails at one chosen call.

`FaultyOs` stands in for the ``os`` module inside ``storify.engine.file.vfs`` and
``lock``. It counts the calls and does one thing at call number *n*: raise an
errno, write only a part, or "kill" the program: raise a BaseException and fail
every later call, as if the process were gone.
"""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from storify.engine.file import lock, vfs

__all__ = ["CALLS", "Fault", "FaultyOs", "Killed", "injected", "replaced"]

CALLS = frozenset(
    {
        "open",
        "read",
        "write",
        "fsync",
        "fdatasync",
        "ftruncate",
        "lseek",
        "close",
        "replace",
        "rename",
        "link",
        "unlink",
        "mkdir",
        "rmdir",
        "listdir",
        "lstat",
        "fstat",
        "fchmod",
        "fchown",
    }
)
"""The calls that can fail; any other is passed on uncounted."""


class Killed(BaseException):
    """The program ended here."""


@dataclass
class Fault:
    """What happens at one call.

    Attributes:
        at: The number of the call, from 1.
        what: An errno, or ``"kill"``, ``"tear"`` or ``"short"``.
        under: What does the calls: ``os``, or something that stands in for it.
        within: The folder whose calls count; None for all. What other databases
            of the process do elsewhere is left alone.
        count: How many calls there were.
        dead: Whether the program has ended: every further call raises `Killed`.
        trace: The names of the calls.
        fds: What the program has open, and the paths.
    """

    at: int
    what: int | str
    under: Any = os
    within: str | None = None
    count: int = 0
    dead: bool = False
    trace: list[str] = field(default_factory=list[str])
    fds: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def struck(self) -> bool:
        """Whether the call was reached."""
        return self.count >= self.at

    def call(self, name: str, *args: Any, track: bool = True, **kwargs: Any) -> Any:
        """Do a call, or what happens instead."""
        path = self.place(args[0])
        if path is None:
            return getattr(os, name)(*args, **kwargs)
        if self.dead:
            raise Killed
        self.count += 1
        self.trace.append(name)
        self.note(name, path, args)
        if self.count == self.at:
            self.strike(name, args)
            # It is a write that takes only a part.
            args = (args[0], bytes(args[1])[: max(1, len(args[1]) // 2)])
        # A lock is not part of what a disk keeps.
        result = getattr(self.under if track else os, name)(*args, **kwargs)
        if name == "open" and track:
            self.fds[result] = path
        elif name == "close":
            self.fds.pop(args[0], None)
        return result

    def place(self, what: int | str) -> str | None:
        """The path that a call is about; None if the call does not count."""
        if self.within is None:
            return self.fds.get(what, "") if isinstance(what, int) else what
        if isinstance(what, int):
            return self.fds.get(what)
        return what if f"{what}{os.sep}".startswith(self.within + os.sep) else None

    def note(self, name: str, path: str, args: tuple[Any, ...]) -> None:
        """Hear of a call before it is done."""

    def strike(self, name: str, args: tuple[Any, ...]) -> None:
        """Let the fault happen; it returns only for a short write."""
        if self.what == "short":
            return
        if self.what == "tear" and name == "write":
            self.under.write(args[0], bytes(args[1])[: len(args[1]) // 2])
        if isinstance(self.what, str):
            self.die()
        if name == "close":
            # The kernel frees the number even if it reports an error.
            os.close(args[0])
            self.fds.pop(args[0], None)
        raise OSError(self.what, os.strerror(self.what))

    def die(self) -> NoReturn:
        """End the program."""
        self.dead = True
        raise Killed


class FaultyOs:
    """The os module with faults in the calls that touch the disk."""

    def __init__(self, fault: Fault, spared: frozenset[str] = frozenset()) -> None:
        self._fault = fault
        self._spared = spared

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS or name in self._spared:
            return getattr(os, name)
        # What is closed by the real os is left to it.
        track = "close" not in self._spared

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._fault.call(name, *args, track=track, **kwargs)

        return call


@contextmanager
def replaced(owner: object, name: str, stand_in: object) -> Generator[None]:
    """Let an attribute be something else for a while."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def injected(fault: Fault) -> Generator[Fault]:
    """Let the engine run on a faulty disk."""
    # A dead process holds no lock, so the lock is always given back.
    lock_os = FaultyOs(fault, frozenset({"close", "fstat"}))
    with ExitStack() as stack:
        stack.enter_context(replaced(vfs, "os", FaultyOs(fault)))
        stack.enter_context(replaced(lock, "os", lock_os))
        try:
            yield fault
        finally:
            for fd in fault.fds:
                os.close(fd)
            fault.fds.clear()
