"""The disks of the test kit: one that fails, one that remembers, one without power.

`FaultyOs` stands in for the ``os`` module inside ``storify.engine.file.vfs`` and
``lock``. It counts the calls and does one thing at call number *n*: raise an
errno, write only a part, or "kill" the program: raise a BaseException and fail
every later call, as if the process were gone.
"""

import os
import random
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

from storify.engine.file import lock, vfs

CALLS = frozenset(
    (
        *("open", "read", "write", "fsync", "fdatasync", "ftruncate", "lseek", "close"),
        *("replace", "rename", "link", "unlink", "mkdir", "rmdir", "listdir"),
        *("lstat", "fstat", "fchmod", "fchown", "utime"),
    )
)
"""The calls that can fail; any other is passed on uncounted."""


class Killed(BaseException):
    """The program ended here."""


@dataclass
class Fault:
    """The fault at one call.

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


# --- a disk that remembers: each change is written down, for a simulated power cut ----
#
# `Recorder` stands in for ``os``, as `FaultyOs` does. It syncs nothing really: what a power cut would take is the model's to say.

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
        count = os.write(fd, data)
        found = os.fstat(fd)
        self._note("write", self.fds[fd], bytes(data[:count]), found.st_mtime_ns)
        return count

    def fsync(self, fd: int) -> None:
        """Note it; the real one is not needed."""
        if not self.lies:
            self._note("fsync", self.fds[fd])

    def fdatasync(self, fd: int) -> None:
        """A sync as `fsync`: the size is data, and times are not looked at."""
        self.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)
        self._note("cut", self.fds[fd], size, os.fstat(fd).st_mtime_ns)

    def utime(self, fd: int, *, ns: tuple[int, int]) -> None:
        os.utime(fd, ns=ns)
        self._note("time", self.fds[fd], os.fstat(fd).st_mtime_ns)

    def replace(self, old: str, new: str) -> None:
        self._meet(old)
        Path(old).replace(new)
        self._note("rename", old, new, new=new)

    def rename(self, old: str, new: str) -> None:
        self._meet(old)
        Path(old).rename(new)
        self._note("rename", old, new, new=new)

    def link(self, old: str, new: str) -> None:
        self._meet(old)
        self._meet(os.path.dirname(new))
        os.link(old, new)
        self._note("link", old, new, new=new)

    def unlink(self, path: str) -> None:
        self._meet(path)
        Path(path).unlink()
        self._note("unlink", path)

    def rmdir(self, path: str) -> None:
        self._meet(path)
        Path(path).rmdir()
        self._note("unlink", path)

    def mkdir(self, path: str, mode: int) -> None:
        self._meet(os.path.dirname(path))
        Path(path).mkdir(mode)
        self._note("mkdir", path, new=path)


@contextmanager
def recorded(recorder: Recorder) -> Generator[Recorder]:
    """Let the engine run on a disk that remembers."""
    with replaced(vfs, "os", recorder):
        yield recorder


# --- a power cut, simulated: what was not synced may be lost, in any combination ------
#
# `Model` plays the changes that a `Recorder` wrote down, up to a point, and says what
# a disk may then hold: file bytes since the last sync are there, missing, half there,
# or zeros in part or all; of the changes of a folder since its last sync, none, all,
# some first ones or any subset took place.

WAYS = ("synced", "all", "half", "zeros", "late", "early")
"""What a power cut may do to bytes that are not synced."""

_BYTES = {
    "synced": "lost",
    "all": "there",
    "half": "half there",
    "zeros": "zeros",
    "late": "zeros in their first half",
    "early": "zeros in their second half",
    "chance": "there in part",
}
_NAMES = {"none": "lost", "all": "there", "chance": "there in part"}


class Way(NamedTuple):
    """One way in which a power cut goes.

    Attributes:
        files: Of `WAYS`, or ``"chance"``: another one for each file.
        names: Which changes of names took place: ``"none"``, ``"all"``, ``"chance"``.
        seed: Of the chance.
    """

    files: str
    names: str
    seed: int = 0

    def __str__(self) -> str:
        return f"unsynced bytes {_BYTES[self.files]}, names {_NAMES[self.names]}"


@dataclass(eq=False)
class File:
    """Bytes, those that are surely on disk, and the time."""

    data: bytes = b""
    synced: bytes = b""
    mtime_ns: int = 0
    synced_mtime_ns: int = 0

    def sync(self) -> None:
        self.synced, self.synced_mtime_ns = self.data, self.mtime_ns

    def time_after(self, how: str) -> int:
        """The time that may be there after a power cut, in one of `WAYS`."""
        return self.synced_mtime_ns if how == "synced" else self.mtime_ns

    def after(self, how: str) -> bytes:
        """The bytes that may be there after a power cut, in one of `WAYS`."""
        if how == "synced":
            return self.synced
        if how == "all" or self.synced is self.data:
            return self.data
        kept = self.data[: _common(self.synced, self.data)]
        new = self.data[len(kept) :]
        half = len(new) // 2
        left = {
            "half": new[:half],
            # The size is on disk, the pages are not, or only some of them.
            "zeros": bytes(len(new)),
            "late": bytes(half) + new[half:],
            "early": new[:half] + bytes(len(new) - half),
        }
        return kept + left[how]


def _common(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


Node: TypeAlias = "File | Folder"
Change: TypeAlias = "tuple[str, Node | None, str | None]"


@dataclass(eq=False)
class Folder:
    """Names now, names that are surely on disk, and the changes between."""

    names: dict[str, Node] = field(default_factory=dict[str, Node])
    synced: dict[str, Node] = field(default_factory=dict[str, Node])
    pending: list[Change] = field(default_factory=list[Change])

    def change(
        self, name: str, node: "Node | None", moved_from: str | None = None
    ) -> None:
        """Note and apply a change of the names."""
        self.pending.append((name, node, moved_from))
        _apply(self.names, (name, node, moved_from))

    def sync(self) -> None:
        self.synced = dict(self.names)
        self.pending.clear()

    def adopt(self, name: str, node: Node) -> None:
        """Learn of a name that was there, durable, before anybody looked."""
        known = self.names.setdefault(name, node)
        if known is node:
            self.synced[name] = node
        elif isinstance(known, Folder) and isinstance(node, Folder):
            for child, below in node.names.items():
                known.adopt(child, below)

    def fingerprint(self) -> frozenset[tuple[Any, ...]]:
        """The same for folders that hold the same, and hardly for others.

        Bytes keep their hash: to look once more at what did not change is cheap.
        """
        return frozenset(
            (name, node.fingerprint())
            if isinstance(node, Folder)
            else (name, node.mtime_ns, len(node.data), hash(node.data))
            for name, node in self.names.items()
        )


def _apply(names: dict[str, Node], change: Change) -> None:
    name, node, moved_from = change
    if moved_from is not None:
        names.pop(moved_from, None)
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def read(path: Path) -> Node:
    """A file or folder on disk as a model, all of it synced."""
    if not path.is_dir():
        data, mtime_ns = path.read_bytes(), path.stat().st_mtime_ns
        return File(data, data, mtime_ns, mtime_ns)
    folder = Folder()
    for child in path.iterdir():
        folder.names[child.name] = read(child)
    folder.sync()
    return folder


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable, not secret


class Model:
    """The disk as it may be after a power cut.

    Args:
        root: The folder that is watched.
        top: What is in it, all of it synced; read from the disk unless given.
    """

    def __init__(self, root: Path, top: Folder | None = None) -> None:
        self.root = root
        found = read(root) if top is None else top
        assert isinstance(found, Folder), root  # noqa: S101 - one is watched
        self.top = found

    def _find(self, path: Path) -> Node:
        node: Node = self.top
        for part in path.relative_to(self.root).parts:
            node = _folder(node).names[part]
        return node

    def play(self, entry: tuple[Any, ...]) -> None:
        """Apply one entry of the log."""
        kind, path, *rest = entry
        if kind in {"ack", "sync"}:
            return
        path = Path(path)
        if kind == "fsync":
            self._find(path).sync()
            return
        folder, name = _folder(self._find(path.parent)), path.name
        if kind == "found":
            # A copy: the log may be played once more.
            folder.adopt(name, deepcopy(rest[0]))
        elif kind == "create":
            folder.change(name, File())
        elif kind == "mkdir":
            folder.change(name, Folder())
        elif kind == "unlink":
            folder.change(name, None)
        elif kind == "link":
            target = Path(rest[0])
            beside = _folder(self._find(target.parent))
            beside.change(target.name, folder.names[name])
        elif kind == "rename":
            target = Path(rest[0])
            assert target.parent == path.parent, target  # noqa: S101 - as it is done
            folder.change(target.name, folder.names[name], name)
        elif kind == "time":
            file = folder.names[name]
            assert isinstance(file, File)  # noqa: S101 - of a file alone
            file.mtime_ns = rest[0]
        else:
            self._write(kind, folder.names[name], *rest)

    @staticmethod
    def _write(kind: str, node: Node, what: Any, mtime_ns: int) -> None:
        assert isinstance(node, File)  # noqa: S101 - a folder takes no bytes
        node.data = node.data + what if kind == "write" else node.data[:what]
        node.mtime_ns = mtime_ns

    @staticmethod
    def ways(seed: int, samples: int = 6) -> list[Way]:
        """The ways in which the power cut may go; the same seed gives the same ones."""
        regular = [Way(files, names) for files in WAYS for names in ("none", "all")]
        return regular + [
            Way("chance", "chance", seed * 1000 + sample) for sample in range(samples)
        ]

    def after(self, way: Way) -> Folder:
        """The content of the disk after a power cut now."""
        chance = _chance(way.seed)
        names = way.names
        if names == "chance":
            names = chance.choice(["first", "any"])
        return _cut(self.top, way.files, names, chance)

    def outcomes(self, seed: int, samples: int = 6) -> Iterator[Folder]:
        """The contents that the disk may have now."""
        return map(self.after, self.ways(seed, samples))


def replay(log: Iterable[tuple[Any, ...]], root: Path) -> Model:
    """Return the disk after all of a log that began with an empty folder."""
    model = Model(root, Folder())
    for entry in log:
        model.play(entry)
    return model


def _folder(node: Node) -> Folder:
    assert isinstance(node, Folder)  # noqa: S101 - only folders hold names
    return node


def _cut(folder: Folder, files: str, names: str, chance: random.Random) -> Folder:
    pending = folder.pending
    if names == "none":
        pending = []
    elif names == "first":
        pending = pending[: chance.randint(0, len(pending))]
    elif names == "any":
        pending = [change for change in pending if chance.random() < 0.5]  # noqa: PLR2004 - a coin
    found = dict(folder.synced)
    for change in pending:
        _apply(found, change)
    left = Folder()
    for name, node in found.items():
        if isinstance(node, Folder):
            left.names[name] = _cut(node, files, names, chance)
        else:
            how = chance.choice(WAYS) if files == "chance" else files
            data = node.after(how)
            mtime_ns = node.time_after(how)
            left.names[name] = File(data, data, mtime_ns, mtime_ns)
    left.sync()
    return left


def write_folder(folder: Folder, path: Path) -> None:
    path.mkdir()
    for name, node in folder.names.items():
        if isinstance(node, Folder):
            write_folder(node, path / name)
        else:
            (path / name).write_bytes(node.data)
            os.utime(path / name, ns=(node.mtime_ns, node.mtime_ns))
