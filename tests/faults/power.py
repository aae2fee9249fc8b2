"""A power cut, simulated: what was not synced may be lost, in any combination.

`Recorder` stands in for ``os`` and writes down each change, and `Model` plays
the changes up to a point and says what a disk may then hold: file bytes since
the last sync are there, missing, half there, or zeros in part or all; of the
changes of a folder since its last sync, none, all, some first ones or any subset
took place.
"""

import copy
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storify.engine import _disk


@dataclass(eq=False)
class File:
    """Bytes, those that are surely on disk, and the time."""

    data: bytes = b""
    synced: bytes = b""
    mtime_ns: int = 0

    def after(self, how: str) -> bytes:
        """The bytes that may be there after a power cut, in one of `WAYS`."""
        if how == "synced":
            return self.synced
        pairs = zip(self.synced, self.data, strict=False)
        same = next((at for at, (a, b) in enumerate(pairs) if a != b), None)
        kept = (
            min(self.synced, self.data, key=len) if same is None else self.data[:same]
        )
        new = self.data[len(kept) :]
        half = len(new) // 2
        return kept + {
            "all": new,
            "half": new[:half],
            # The size is on disk, the pages are not, or only the later ones.
            "zeros": bytes(len(new)),
            "late": bytes(half) + new[half:],
        }.get(how, new)


#: What a power cut may do to bytes that are not synced.
WAYS = ("synced", "all", "half", "zeros", "late")


@dataclass(eq=False)
class Folder:
    """Names now, names that are surely on disk, and the changes between."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    synced: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[tuple[str, "File | Folder | None", str | None]] = field(
        default_factory=list
    )

    def change(self, name, node, moved_from=None):
        """Note and apply a change of the names."""
        self.pending.append((name, node, moved_from))
        apply(self.names, (name, node, moved_from))

    def sync(self):
        """Make the names surely on disk."""
        self.synced = dict(self.names)
        self.pending.clear()


def apply(names, change):
    """Apply one change to a dict of names."""
    name, node, moved_from = change
    if moved_from is not None:
        names.pop(moved_from, None)
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def read_folder(path: Path) -> Folder:
    """A folder on disk as a model, all of it synced."""
    folder = Folder()
    for child in path.iterdir():
        if child.is_dir():
            folder.names[child.name] = read_folder(child)
        else:
            data = child.read_bytes()
            folder.names[child.name] = File(data, data, child.stat().st_mtime_ns)
    folder.sync()
    return folder


class Recorder:
    """The os module, with a log of what changes the disk."""

    def __init__(self, lies: bool = False) -> None:
        self.log: list[tuple[object, ...]] = []
        self.fds: dict[int, str] = {}
        self.lies = lies

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, path, flags, mode=0o777):
        """Open; note new files."""
        fd = os.open(path, flags, mode)
        self.fds[fd] = path
        if flags & os.O_EXCL:
            self.log.append(("create", path))
        return fd

    def write(self, fd, data):
        """Write; note the bytes."""
        count = os.write(fd, data)
        found = os.fstat(fd)
        self.log.append(("write", self.fds[fd], bytes(data[:count]), found.st_mtime_ns))
        return count

    def fsync(self, fd):
        """Note it; the real one is not needed."""
        if not self.lies:
            self.log.append(("fsync", self.fds[fd]))

    def fdatasync(self, fd):
        """As `fsync`: the size is data, and times are not looked at."""
        self.fsync(fd)

    def ftruncate(self, fd, size):
        """Cut; note it."""
        os.ftruncate(fd, size)
        self.log.append(("cut", self.fds[fd], size, os.fstat(fd).st_mtime_ns))

    def replace(self, old, new):
        """Rename; note it."""
        Path(old).replace(new)
        self.log.append(("rename", old, new))

    def rename(self, old, new):
        """Rename; note it."""
        Path(old).rename(new)
        self.log.append(("rename", old, new))

    def link(self, old, new):
        """Link; note it."""
        os.link(old, new)
        self.log.append(("link", old, new))

    def unlink(self, path):
        """Unlink; note it."""
        Path(path).unlink()
        self.log.append(("unlink", path))

    def rmdir(self, path):
        """Remove; note it."""
        Path(path).rmdir()
        self.log.append(("unlink", path))

    def mkdir(self, path, mode):
        """Make; note it."""
        Path(path).mkdir(mode)
        self.log.append(("mkdir", path))


@contextmanager
def recorded(recorder: Recorder) -> Iterator[Recorder]:
    """Let the engine run on a disk that remembers."""
    _disk.os = recorder
    try:
        yield recorder
    finally:
        _disk.os = os


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable, not secret


class Model:
    """The disk as it may be after a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = read_folder(root)

    def _find(self, path: Path):
        node = self.top
        for part in path.relative_to(self.root).parts:
            node = node.names[part]
        return node

    def play(self, entry) -> None:
        """Apply one entry of the log."""
        kind, path, *rest = entry
        if kind in {"ack", "sync"}:
            return
        path = Path(path)
        folder = None if path == self.root else self._find(path.parent)
        name = path.name
        if kind == "create":
            folder.change(name, File())
        elif kind == "mkdir":
            folder.change(name, Folder())
        elif kind == "write":
            node = folder.names[name]
            node.data += rest[0]
            node.mtime_ns = rest[1]
        elif kind == "cut":
            node = folder.names[name]
            node.data = node.data[: rest[0]]
            node.mtime_ns = rest[1]
        elif kind == "fsync":
            node = self._find(path)
            if isinstance(node, Folder):
                node.sync()
            else:
                node.synced = node.data
        elif kind == "link":
            target = Path(rest[0])
            self._find(target.parent).change(target.name, folder.names[name])
        elif kind == "rename":
            target = Path(rest[0])
            assert target.parent == path.parent
            folder.change(target.name, folder.names[name], name)
        else:
            folder.change(name, None)

    def outcomes(self, seed: int, samples: int = 6) -> Iterator["Folder"]:
        """What the disk may hold now."""
        for files in WAYS:
            for names in ("none", "all"):
                yield self._cut(self.top, files, names, _chance(seed))
        for sample in range(samples):
            chance = _chance(seed * 1000 + sample)
            names = chance.choice(["first", "any"])
            yield self._cut(self.top, "chance", names, chance)

    def _cut(self, folder, files, names, chance):
        pending = folder.pending
        if names == "none":
            pending = []
        elif names == "first":
            pending = pending[: chance.randint(0, len(pending))]
        elif names == "any":
            pending = [change for change in pending if chance.random() < 0.5]
        found = dict(folder.synced)
        for change in pending:
            apply(found, change)
        left = Folder()
        for name, node in found.items():
            if isinstance(node, Folder):
                left.names[name] = self._cut(node, files, names, chance)
            else:
                how = chance.choice(WAYS) if files == "chance" else files
                data = node.after(how)
                left.names[name] = File(data, data, node.mtime_ns)
        left.sync()
        return copy.copy(left)


def write_folder(folder: Folder, path: Path) -> None:
    """Put a model on the real disk."""
    path.mkdir()
    for name, node in folder.names.items():
        if isinstance(node, Folder):
            write_folder(node, path / name)
        else:
            (path / name).write_bytes(node.data)
            os.utime(path / name, ns=(node.mtime_ns, node.mtime_ns))
