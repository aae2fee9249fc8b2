"""A disk that fails at one chosen call, and the scenarios it is used on.

`FaultyOs` stands in for the ``os`` module inside ``storify.engine._disk`` and
``_lock``. It counts the calls and does one thing at call number *n*: raise an
errno, write only a part, or "kill" the program: raise a BaseException and fail
every later call, as if the process were gone.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults.database import commit, flip, grow, parse, state
from storify.engine import Commit, FileEngine, _disk, _lock

CALLS = frozenset(
    {
        "open",
        "read",
        "write",
        "fsync",
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


class Killed(BaseException):
    """The program ended here."""


@dataclass
class Fault:
    """What happens at one call: an errno, or "kill", "tear" or "short"."""

    at: int
    what: int | str
    count: int = 0
    dead: bool = False
    trace: list[str] = field(default_factory=list)
    fds: set[int] = field(default_factory=set)

    @property
    def struck(self):
        """Whether the call was reached."""
        return self.count >= self.at

    def call(self, name, *args, track=True, **kwargs):
        """Do a call, or what happens instead."""
        if self.dead:
            raise Killed
        real = getattr(os, name)
        self.count += 1
        self.trace.append(name)
        if self.count == self.at:
            self.strike(name, args)
            if name == "write":
                args = (args[0], bytes(args[1])[: max(1, len(args[1]) // 2)])
        result = real(*args, **kwargs)
        if name == "open" and track:
            self.fds.add(result)
        elif name == "close":
            self.fds.discard(args[0])
        return result

    def strike(self, name, args):
        """Let the fault happen."""
        if self.what == "short":
            return
        if self.what == "tear" and name == "write":
            os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
        if isinstance(self.what, str):
            self.dead = True
            raise Killed
        if name == "close":
            # The kernel frees the number even if it reports an error.
            os.close(args[0])
            self.fds.discard(args[0])
        raise OSError(self.what, os.strerror(self.what))


class FaultyOs:
    """The os module with faults in the calls that touch the disk."""

    def __init__(self, fault: Fault, spared: frozenset[str] = frozenset()) -> None:
        self._fault = fault
        self._spared = spared

    def __getattr__(self, name):
        if name not in CALLS or name in self._spared:
            return getattr(os, name)
        # Who closes by the real os is left to it.
        track = "close" not in self._spared
        return lambda *args, **kwargs: self._fault.call(
            name, *args, track=track, **kwargs
        )


@contextmanager
def injected(fault: Fault) -> Iterator[Fault]:
    """Let the engine run on a faulty disk."""
    _disk.os = FaultyOs(fault)
    # A dead process holds no lock, so the lock is always given back.
    _lock.os = FaultyOs(fault, frozenset({"close", "fstat"}))
    try:
        yield fault
    finally:
        _disk.os = _lock.os = os
        for fd in fault.fds:
            os.close(fd)
        fault.fds.clear()


@dataclass(frozen=True)
class Scenario:
    """One thing done to a database.

    Attributes:
        prepare: Makes the database, on a good disk.
        act: What may be cut off.
        before: Generations that may be found if it was.
        after: The generation that must be found if it was not.
        loses: Whether the database was damaged before, so that warnings are due.
    """

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[FileEngine], object]
    before: frozenset[int | None]
    after: int | None
    loses: bool = False

    def __str__(self) -> str:
        return self.name


def _rot(folder: Path) -> None:
    grow(folder, 3)
    flip(folder / "users.mpack")


def _lose(folder: Path) -> None:
    grow(folder, 3)
    (folder / "users.mpack").unlink()


def _foreign(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "users.mpack").write_bytes(state(3))


def _restore(engine: FileEngine) -> None:
    oldest = engine.backups()[-1]
    loaded = engine.load(parse)
    assert loaded is not None
    payload = engine.read_backup(oldest.id)
    engine.commit(Commit(loaded.version, {}, lambda: payload))


def _load(engine: FileEngine) -> None:
    engine.load(parse)


SCENARIOS = [
    Scenario("first", lambda _: None, lambda e: commit(e, 1), frozenset({None}), 1),
    Scenario("second", lambda f: grow(f, 1), lambda e: commit(e, 2), frozenset({1}), 2),
    Scenario(
        "seventh", lambda f: grow(f, 6), lambda e: commit(e, 7), frozenset({6}), 7
    ),
    Scenario("destroy", lambda f: grow(f, 3), FileEngine.destroy, frozenset({3}), None),
    Scenario(
        "erase",
        lambda f: grow(f, 3),
        lambda e: e.destroy(backups=True),
        frozenset({3}),
        None,
    ),
    Scenario("backup", lambda f: grow(f, 3), FileEngine.backup, frozenset({3}), 3),
    Scenario("restore", lambda f: grow(f, 3), _restore, frozenset({3}), 1),
    Scenario("adopt", _foreign, _load, frozenset({3}), 3),
    Scenario("recovery", _rot, _load, frozenset({2}), 2, loses=True),
    Scenario("loss", _lose, _load, frozenset({2}), 2, loses=True),
    Scenario("set aside", _rot, FileEngine.set_aside, frozenset({2}), None, loses=True),
]
