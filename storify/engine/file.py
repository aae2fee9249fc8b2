"""The file engine: one snapshot file, replaced whole by each commit.

A commit, with what a crash after each step leaves::

    lock; check that the file is still at the base
    link the old file into the backups                  old state
    write and sync the new bytes under a random name    old state, a leftover
    note old and new checksum in `.sum`, durable        old state
    rename over the main file                           new state, or old after
    sync the folder                                     ...a power cut; new state
    note the new checksum alone; prune the backups      new state

So the main file is whole at every instant, each state that was acknowledged is
either the main file or among the backups, and what is read can be verified.
"""

import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from storify.engine import _disk, _recovery
from storify.engine._access import Access
from storify.engine._backups import stamp_of
from storify.engine._held import Held
from storify.engine._known import Known
from storify.engine._place import stem_of
from storify.engine._verdict import read_main
from storify.engine.protocol import (
    DEFAULT_BACKUPS,
    LOCK_TIMEOUT_S,
    BackupInfo,
    Clock,
    Commit,
    Loaded,
    Version,
    utc_now,
    version_of,
)
from storify.exceptions import (
    DatabaseLoadError,
    DatabaseReadOnlyError,
)
from storify.logger import LoggerLike

__all__ = ["FileEngine"]

T = TypeVar("T")


class FileEngine:
    """One database in one file, with its backups in a folder beside it.

    Files are private to the user (0600, folders 0700) unless the file that is
    replaced had another mode or owner. Nothing is created before the first
    commit, except the lock folder of a file that exists.

    Args:
        path: The main file; need not exist, nor its folder.
        backups_directory: The folder of backups, lock and checksums; by default
            ``.backups/<name>`` beside the file. All who open the file must agree.
        log: Told of recoveries and damaged files; never of stored values.
        clock: Gives the times in backup names.
        lock_timeout_s: How long to wait for another writer.
        readonly: Never write anything, not even a repair.
        max_backups: How many snapshots are kept; 0 makes none at a commit.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        backups_directory: str | os.PathLike[str] | None = None,
        log: LoggerLike,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        readonly: bool = False,
        max_backups: int = DEFAULT_BACKUPS,
    ) -> None:
        self.max_backups = max_backups
        self.readonly = readonly
        self._path = os.path.abspath(path)
        if backups_directory is not None:
            backups_directory = os.path.abspath(backups_directory)
        self._access = Access(self._path, backups_directory, log, clock, lock_timeout_s)
        self._log = log
        self._clock = clock
        self._known = Known()
        self._swept = False

    @property
    def location(self) -> str:
        """The absolute path of the main file, links not followed."""
        return self._path

    @property
    def identity(self) -> str:
        """The main file's path, links followed."""
        return self._access.place().main

    @property
    def backup_location(self) -> str:
        """The folder of the backups; it is made when it is needed."""
        return self._access.place().backups

    # Loading

    def load(self, parse: Callable[[bytes], T]) -> Loaded[T] | None:
        """Read the file, or the newest good backup if it is damaged or lost.

        A repair is durable on return and logged with the backup that was used.
        Where nothing may be written, the backup is served and the file stays.

        Raises:
            DatabaseLoadError: As `Engine.load` says. A file that another program
                wrote is taken over, with a warning, if it parses.
            CorruptionError: No backup is usable; the files are untouched.
            DatabaseLockedError: As `Engine.load` says.
            OSError: The file cannot be read, for want of permission perhaps.
        """
        with self._access.held("look" if self.readonly else "read") as held:
            try:
                if held.writable and not self._swept:
                    self._swept = True
                    held.sweep()
                loaded, found = _recovery.load(held, parse, self.max_backups)
            except _disk.NotRegularFileError as err:
                msg = f"cannot load {self._path!r}: {err.strerror}; move it away"
                raise DatabaseLoadError(msg) from err
            if loaded is not None:
                self._known.at(loaded.version, found)
            return loaded

    # Committing

    def commit(self, commit: Commit) -> Version:
        """Replace the file by ``commit.payload()``, durable on return.

        Raises:
            StaleVersionError: As `Engine.commit` says; so do the others.
            DatabaseReadOnlyError: Opened with ``readonly=True``.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: Disk full, not writable or broken. The old file and all
                backups stand, and another try may succeed.
        """
        with self._writing("commit to") as held:
            now = held.read()
            rotten = self._known.check_base(held.place, now, commit.base, self._log)
            payload = commit.payload()
            version = version_of(payload)
            self._known.attempt(commit.base, version)
            found = held.replace(now, payload, self.max_backups, rotten=rotten)
            self._known.at(version, found)
            return version

    def changed_since(self, version: Version | None) -> bool:
        """Whether the file holds another state; one stat if it was not touched.

        Takes no lock. A file that was only touched is read once.
        """
        place = self._access.place()
        found = _disk.look(place.main)
        if found is None or version is None:
            return found is not None or version is not None
        known = self._known
        if known.version == version and found.signature() == known.signature:
            return False
        main = read_main(place.main)
        if main is None or not known.counts_as(Version(main.digest), version):
            return True
        if main.digest == known.version:
            known.signature = main.found.signature()
        return False

    def writable(self) -> bool:
        """Whether a commit would find the permissions that it needs."""
        if self.readonly:
            return False
        place = self._access.place()
        if os.path.lexists(place.main) and not os.access(place.main, os.W_OK):
            return False
        return all(
            os.access(_nearest(directory), os.W_OK | os.X_OK)
            for directory in (place.directory, place.backups)
        )

    # Backups

    def backup(self) -> str | None:
        """Copy the present state into the backups, durable; give its id.

        Raises:
            CorruptionError: The file is damaged; load it first.
            OSError: Nothing was added.
        """
        with self._writing("back up") as held:
            return held.back_up(self.max_backups)

    def backups(self) -> list[BackupInfo]:
        """All backups, newest first; ``legacy`` ones last. Takes no lock."""
        return self._access.folder(self._access.place()).infos()

    def backup_path(self, backup_id: str) -> str:
        """The file of a backup.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        folder = self._access.folder(self._access.place())
        path = folder.file(folder.find(backup_id).name)
        if _disk.look(path) is None:
            msg = "no such backup"
            raise FileNotFoundError(2, msg, path)
        return path

    def read_backup(self, backup_id: str) -> bytes:
        """The bytes of a backup, verified by the hash in its name.

        Raises:
            FileNotFoundError: There is no such backup.
            CorruptionError: It is damaged.
        """
        folder = self._access.folder(self._access.place())
        return folder.read(folder.find(backup_id))

    def save_unsaved(self, payload: bytes) -> str:
        """Write a state that cannot be committed beside the backups.

        Takes no lock. If the folder is not writable the system's folder for
        temporary files is used.

        Raises:
            OSError: Neither could be written.
        """
        place = self._access.place()
        folder = self._access.folder(place)
        if not self.readonly:
            try:
                _disk.make_directory(place.backups)
                path = folder.free_name(self._clock, ".unsaved.mpack")
                _disk.replace_bytes(path, payload, place.prefix)
            except OSError as err:
                self._log.warning(f"cannot write into {place.backups!r}: {err}")
            else:
                return path
        stamp = stamp_of(self._clock())
        prefix = f"storify-{stem_of(place.main)[:50]}-{stamp}-"
        path, _ = _disk.write_temporary(
            tempfile.gettempdir(), prefix, payload, suffix=".unsaved.mpack"
        )
        return path

    def set_aside(self) -> str | None:
        """Move the main file to ``<time>.corrupt`` and drop its checksum.

        A crash on the way leaves the damaged file where it was.
        """
        with self._writing("set aside") as held:
            kept = held.set_aside()
            self._known = Known()
            return kept

    def destroy(self, *, backups: bool = False) -> None:
        """Remove the file; its last state joins the backups, or all are erased.

        A crash on the way leaves the whole database or its backup. A database
        that does not exist is no error.
        """
        with self._writing("destroy") as held:
            held.destroy(backups=backups)
            self._known = Known()
        if backups:
            held.place.clear()

    def close(self) -> None:
        """Nothing is held between calls; the engine may even be used again."""

    # Locking

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other writers out; see `Engine.locked`."""
        with self._writing("lock"):
            yield

    @contextmanager
    def _writing(self, doing: str) -> Generator[Held]:
        if self.readonly:
            msg = f"cannot {doing} {self._path!r}: it was opened with readonly=True"
            raise DatabaseReadOnlyError(msg)
        with self._access.held("write") as held:
            yield held


def _nearest(directory: str) -> str:
    """The folder itself or the nearest one above it that exists."""
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        directory = os.path.dirname(directory)
    return directory
