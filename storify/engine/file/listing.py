"""The names in a folder of databases, listed only where a look-up needs them.

A name that is on disk as it was asked for is found by one look. Only for a name that
is not there do others count: those that some file system takes for it, since they
differ by case or normal form. They are found in a list, which serves until the folder
changes.
"""

import os
import sys
import time
from typing import Final, NamedTuple

from storify.engine.file import vfs
from storify.engine.file.paths import BACKUPS, SUFFIX
from storify.engine.names import collation_key

__all__ = ["Listing", "Names"]

#: A folder that was changed more recently may change again under the same time: the
#: clocks of file systems tick every 10 ms, those of FAT every two seconds.
_SETTLED_AFTER_NS: Final = 3_000_000_000

_Stamp = tuple[int, int, int] | None


class Names(NamedTuple):
    """What may be names of databases, as they stand on disk.

    Attributes:
        files: Those of main files.
        folders: Those of folders of backups.
    """

    files: frozenset[str]
    folders: frozenset[str]

    def all(self) -> frozenset[str]:
        """All of them."""
        return self.files | self.folders


class Listing:
    """The names in one folder, read anew when it has changed.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._last: tuple[object, Names, dict[str, list[str]]] | None = None

    def names(self) -> Names:
        """All names."""
        return self._read()[0]

    def like(self, name: str) -> list[str]:
        """The names that some file system takes for this one, sorted."""
        return self._read()[1].get(collation_key(name), [])

    def _read(self) -> tuple[Names, dict[str, list[str]]]:
        folders = self._directory, os.path.join(self._directory, BACKUPS)
        # Before the look: what changes after it has another stamp.
        now_ns = time.time_ns()
        stamps = tuple(map(_stamp, folders))
        if self._last is not None and self._last[0] == stamps:
            return self._last[1], self._last[2]
        names = _list(*folders)
        twins: dict[str, list[str]] = {}
        for name in sorted(names.all()):
            twins.setdefault(collation_key(name), []).append(name)
        settled = all(_is_settled(stamp, now_ns) for stamp in stamps)
        self._last = (stamps, names, twins) if settled else None
        return names, twins


def _list(files: str, backups: str) -> Names:
    return Names(
        frozenset(
            name[: -len(SUFFIX)]
            for name in vfs.list_names(files)
            if name.endswith(SUFFIX)
        ),
        frozenset(vfs.list_seen(backups)),
    )


def _stamp(folder: str) -> _Stamp:
    """What changes when a name comes or goes; None for a folder that is not there."""
    try:
        found = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


def _is_settled(stamp: _Stamp, now_ns: int) -> bool:
    # Windows does not note the time at all, on some of its file systems.
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return False
    return stamp is None or stamp[2] < now_ns - _SETTLED_AFTER_NS
