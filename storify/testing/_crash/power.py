"""A power cut, simulated: what was not synced may be lost, in any combination.

`Model` plays the changes that a `Recorder` wrote down, up to a point, and says what
a disk may then hold: file bytes since the last sync are there, missing, half there,
or zeros in part or all; of the changes of a folder since its last sync, none, all,
some first ones or any subset took place.
"""

import os
import random
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

__all__ = ["WAYS", "File", "Folder", "Model", "Way", "read", "replay", "write_folder"]

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
    """How many bytes at the start are the same."""
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
        """Make the names surely on disk."""
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
    """Apply one change to a dict of names."""
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
        data = path.read_bytes()
        return File(data, data, path.stat().st_mtime_ns)
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
            self._sync(self._find(path))
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
        else:
            self._write(kind, folder.names[name], *rest)

    @staticmethod
    def _sync(node: Node) -> None:
        if isinstance(node, Folder):
            node.sync()
        else:
            node.synced = node.data

    @staticmethod
    def _write(kind: str, node: Node, what: Any, mtime_ns: int) -> None:
        assert isinstance(node, File)  # noqa: S101 - a folder takes no bytes
        node.data = node.data + what if kind == "write" else node.data[:what]
        node.mtime_ns = mtime_ns

    @staticmethod
    def ways(seed: int, samples: int = 6) -> list[Way]:
        """How the power cut may go; the same seed gives the same ways."""
        regular = [Way(files, names) for files in WAYS for names in ("none", "all")]
        return regular + [
            Way("chance", "chance", seed * 1000 + sample) for sample in range(samples)
        ]

    def after(self, way: Way) -> Folder:
        """What the disk holds after a power cut now."""
        chance = _chance(way.seed)
        names = way.names
        if names == "chance":
            names = chance.choice(["first", "any"])
        return _cut(self.top, way.files, names, chance)

    def outcomes(self, seed: int, samples: int = 6) -> Iterator[Folder]:
        """What the disk may hold now."""
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
            left.names[name] = File(data, data, node.mtime_ns)
    left.sync()
    return left


def write_folder(folder: Folder, path: Path) -> None:
    """Put a model on the real disk."""
    path.mkdir()
    for name, node in folder.names.items():
        if isinstance(node, Folder):
            write_folder(node, path / name)
        else:
            (path / name).write_bytes(node.data)
            os.utime(path / name, ns=(node.mtime_ns, node.mtime_ns))
