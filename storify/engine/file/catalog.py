"""A folder of databases: ``<name>.mpack`` each, with backups in ``.backups/``."""

import os
import sys
import time
from contextlib import suppress
from typing import Final, NamedTuple

from storify.engine.file import vfs
from storify.engine.file.engine import FileEngine
from storify.engine.file.errors import SaidLater
from storify.engine.file.manifest import DamagedManifestError, read_manifest
from storify.engine.file.paths import BACKUPS, INTENT, RECORD, SUFFIX, paths_of
from storify.engine.file.renaming import finish_rename, rename
from storify.engine.moment import Keep
from storify.engine.names import check_name, check_new_name, collation_key, is_name
from storify.engine.protocol import (
    LOCK_TIMEOUT_S,
    Clock,
    Format,
    Sync,
    utc_now,
)
from storify.exceptions import DatabaseNameError
from storify.logger import LoggerLike
from storify.threads import uncut

__all__ = ["FileCatalog"]

#: A folder that was changed more recently may change again under the same time: the
#: clocks of file systems tick every 10 ms, those of FAT every two seconds.
_SETTLED_AFTER_NS: Final = 3_000_000_000

_Stamp = tuple[int, int, int] | None


class FileCatalog:
    """The databases of one folder, created by `create` or the first commit.

    Args:
        directory: The folder; need not exist.
        root_format: How a root parts into entries.
        log: Told of recoveries and settled renames.
        clock: Gives the times in backup names.
        lock_timeout_s: How long to wait for another writer.
        keep: Which older states are kept.
        sync: Whether each commit is durable when it returns.
        journal: Whether changes may be kept apart from the main file.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        root_format: Format,
        log: LoggerLike,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        keep: Keep | int | None = None,
        sync: Sync = "commit",
        journal: bool = True,
    ) -> None:
        self._format = root_format
        self._keep = Keep.of(keep)
        self._sync: Sync = sync
        self._journal = journal
        self._directory = os.path.abspath(directory)
        self._log = SaidLater(log)
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._listing = _Listing(self._directory)

    @property
    def location(self) -> str:
        """The absolute path of the folder."""
        return self._directory

    @uncut
    def create(self) -> None:
        """Make the folder and its parents, private to the user, if missing.

        Raises:
            OSError: It cannot be made, or a file has its name.
        """
        vfs.make_directory(self._directory)

    def engine(self, name: str, *, readonly: bool = False) -> FileEngine:
        """The engine of a database that exists or is to be created.

        Raises:
            DatabaseNameError: The name is unsafe or unportable; or no database
                has it, and one has a name that differs only by case or form.
        """
        return FileEngine(
            self._path(self._resolve(name)),
            root_format=self._format,
            log=self._log,
            clock=self._clock,
            lock_timeout_s=self._lock_timeout_s,
            readonly=readonly,
            keep=self._keep,
            sync=self._sync,
            journal=self._journal,
        )

    @uncut
    def names(self) -> list[str]:
        """The databases, sorted, also those whose file is lost but recoverable.

        Files whose names storify would not open are left out. A name is in normal
        form C, unless there is another file of that name.
        """
        self._finish_rename()
        names = self._listing.names()
        lost = {name for name in names.folders - names.files if self._opens(name)}
        return _spelled(lost.union(filter(is_name, names.files)))

    def nameless(self) -> dict[str, str]:
        """The files that are named as no database of today, by their stems."""
        return {
            stem: os.path.join(self._directory, stem + SUFFIX)
            for stem in sorted(self._listing.names().files)
            if not is_name(stem)
        }

    def exists(self, name: str) -> bool:
        """Whether there is such a database; its file may be lost but recoverable.

        Raises:
            DatabaseNameError: No database can have this name.
        """
        self._finish_rename()
        return self._found(name) is not None

    @uncut
    def rename(self, old: str, new: str) -> None:
        """Rename a database and its backups; a crash on the way loses neither.

        An open instance of it must be closed before: it would find its database
        removed. Backups of a former database *new* are put aside.

        Raises:
            FileNotFoundError: There is no *old*, or its file is lost; load it,
                so that it is recovered.
            FileExistsError: There is a *new*.
            DatabaseNameError: *new* is not allowed.
            DatabaseLockedError: One of them was in use for too long.
            OSError: Not done, or cut off and finished by the next call.
        """
        self._finish_rename()
        source = self._found(old)
        if source is None:
            raise FileNotFoundError(2, "no such database", self._path(check_name(old)))
        target = self._found(new)
        if target is not None:
            raise FileExistsError(17, "the database exists already", self._path(target))
        others = [name for name in self._like(new) if name != source]
        target = check_new_name(new, others)
        rename(self._root(), source, target, self._log, self._lock_timeout_s)

    @uncut
    def remove(self, name: str) -> None:
        """Destroy a database; its last state joins its backups, which stay.

        Raises:
            FileNotFoundError: There is no such database.
            DatabaseNameError: No database can have this name.
        """
        found = self._found(name)
        if found is None:
            raise FileNotFoundError(2, "no such database", self._path(check_name(name)))
        self.engine(found).destroy()

    def close(self) -> None:
        """Nothing is held."""

    def _root(self) -> str:
        return os.path.realpath(self._directory)

    def _path(self, name: str) -> str:
        """The main file of a checked name, surely inside the folder."""
        root = self._root()
        path = os.path.join(root, name + SUFFIX)
        if os.path.dirname(path) != root:
            msg = f"bad database name {name!r}: it leads out of {root!r}"
            raise DatabaseNameError(msg)
        return path

    def _resolve(self, name: str) -> str:
        found = self._found(name)
        return check_new_name(name, self._like(name)) if found is None else found

    def _like(self, name: str) -> list[str]:
        """The databases that some file system takes for this one."""
        self._finish_rename()
        return _spelled({each for each in self._listed(name) if self._opens(each)})

    @uncut
    def _listed(self, name: str) -> list[str]:
        return self._listing.like(name)

    def _found(self, name: str) -> str | None:
        """The name as it is on disk: as given, or in another normal form."""
        normal = check_name(name)
        for spelling in dict.fromkeys((name, normal)):
            if self._there(spelling):
                return spelling
        if normal.isascii():
            return None  # it has no other form
        others = [each for each in self._listed(normal) if self._is_form(each, normal)]
        return next(iter(others), None)

    def _is_form(self, stem: str, normal: str) -> bool:
        return self._opens(stem) and check_name(stem) == normal

    def _there(self, name: str) -> bool:
        if os.path.lexists(os.path.join(self._directory, name + SUFFIX)):
            return True
        # There is no link that could lead to other backups.
        manifest = os.path.join(self._directory, BACKUPS, name, RECORD)
        try:
            os.lstat(manifest)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return _tells_of_a_state(manifest)

    def _opens(self, stem: str) -> bool:
        return is_name(stem) and self._there(stem)

    def _finish_rename(self) -> None:
        if os.path.lexists(os.path.join(self._directory, BACKUPS, INTENT)):
            paths = paths_of(os.path.join(self._root(), "any" + SUFFIX))
            with suppress(PermissionError):  # a folder that may only be read
                uncut(finish_rename)(paths, self._log, self._lock_timeout_s)


@uncut
def _tells_of_a_state(manifest: str) -> bool:
    try:
        found = read_manifest(manifest)
    except (DamagedManifestError, OSError):
        # Then the main file was committed once.
        return True
    return found is not None and found.current is not None


def _spelled(names: set[str]) -> list[str]:
    """Names in normal form C, unless there is another one of that name; sorted."""
    return sorted(
        {name if check_name(name) in names else check_name(name) for name in names}
    )


# --- the names in a folder, listed only where a look-up needs them -------------------
#
# A name that is on disk as it was asked for is found by one look. Only for a name that
# is not there do others count: those that some file system takes for it, since they
# differ by case or normal form. They are found in a list, which serves until the folder
# changes.


class _Names(NamedTuple):
    """The possible names of databases, as they stand on disk.

    Attributes:
        files: Those of main files.
        folders: Those of folders of backups.
    """

    files: frozenset[str]
    folders: frozenset[str]

    def all(self) -> frozenset[str]:
        """All of them."""
        return self.files | self.folders


class _Listing:
    """The names in one folder, read anew when it has changed.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._last: tuple[object, _Names, dict[str, list[str]]] | None = None

    def names(self) -> _Names:
        """All names."""
        return self._read()[0]

    def like(self, name: str) -> list[str]:
        """The names that some file system takes for this one, sorted."""
        return self._read()[1].get(collation_key(name), [])

    def _read(self) -> tuple[_Names, dict[str, list[str]]]:
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


def _list(files: str, backups: str) -> _Names:
    return _Names(
        frozenset(
            name[: -len(SUFFIX)]
            for name in vfs.list_names(files)
            if name.endswith(SUFFIX)
        ),
        frozenset(vfs.list_seen(backups)),
    )


def _stamp(folder: str) -> _Stamp:
    """A stamp that changes as names come or go; None for a folder that is not there."""
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
