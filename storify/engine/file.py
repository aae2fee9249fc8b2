"""The file engine: one snapshot file, replaced whole by each commit.

A commit, with what a crash after each step leaves::

    lock; check that the file is still at the base
    write and sync the new bytes under a random name    old state, a leftover
    link the old file into the backups                  old state
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
from contextlib import contextmanager, suppress
from typing import TypeVar

from storify.engine import _disk, _recovery
from storify.engine._backups import BackupFolder, stamp_of
from storify.engine._held import Held
from storify.engine._known import Known
from storify.engine._lock import Lock, Mode
from storify.engine._place import Place, place_of, stem_of
from storify.engine._rename import finish_rename, rename_pending
from storify.engine._verdict import Verdict, read_main
from storify.engine.protocol import (
    BackupInfo,
    Clock,
    Commit,
    Loaded,
    Version,
    utc_now,
    version_of,
)
from storify.exceptions import (
    CorruptionError,
    DatabaseLoadError,
    DatabaseReadOnlyError,
)
from storify.logger import LoggerLike

__all__ = ["FileEngine"]

T = TypeVar("T")

DEFAULT_BACKUPS = 5
LOCK_TIMEOUT_S = 30.0


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
        self._backups_directory = (
            None if backups_directory is None else os.path.abspath(backups_directory)
        )
        self._log = log
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._known = Known()
        self._swept = False

    @property
    def location(self) -> str:
        """The absolute path of the main file, links not followed."""
        return self._path

    @property
    def identity(self) -> str:
        """The main file's path, links followed."""
        return self._place().main

    @property
    def backup_location(self) -> str:
        """The folder of the backups; it is made when it is needed."""
        return self._place().backups

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
        with self._holding("look" if self.readonly else "read") as held:
            try:
                if held.writable and not self._swept:
                    self._swept = True
                    held.sweep()
                found = _recovery.load(held, parse, self.max_backups)
            except _disk.NotRegularFileError as err:
                msg = f"cannot load {self._path!r}: {err.strerror}; move it away"
                raise DatabaseLoadError(msg) from err
        if found is None:
            return None
        loaded, looked = found
        self._known.at(loaded.version, looked)
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
            backup, made = None, False
            main, current = now.main, now.current
            if rotten and main is not None:
                held.keep_corrupt(main)
            elif main is not None and main.payload is not None:
                current = held.sum_of(now, main)
                # The same content once more must not push other states out.
                if self.max_backups and main.digest != version:
                    backup, made = held.folder.keep(
                        held.place.main, main.payload, current.time, link=True
                    )
            try:
                found = held.install(now, payload, current)
            except BaseException:
                if made and backup is not None and self._still_linked(held, backup):
                    _disk.discard(held.folder.file(f"{backup}.mpack"))
                raise
            self._known.at(version, found)
            held.prune(self.max_backups, backup)
            return version

    def _still_linked(self, held: Held, backup: str) -> bool:
        """Whether the main file was not replaced, so that the backup is no use."""
        main = link = None
        with suppress(OSError):  # the error that led here is the one to raise
            main = _disk.look(held.place.main)
            link = _disk.look(held.folder.file(f"{backup}.mpack"))
        return main is not None and link is not None and main.inode == link.inode

    def changed_since(self, version: Version | None) -> bool:
        """Whether the file holds another state; one stat if it was not touched.

        Takes no lock. A file that was only touched is read once.
        """
        place = self._place()
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
        place = self._place()
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
            now = held.read()
            if now.verdict is Verdict.ABSENT:
                return None
            main = now.main
            if main is None or main.payload is None or now.verdict is Verdict.ROTTEN:
                msg = (
                    f"cannot back up {self._path!r}: {now.wrong}; "
                    f"load it, so that it is recovered"
                )
                raise CorruptionError(msg, [now.wrong])
            time = held.sum_of(now, main).time
            backup, _ = held.folder.keep(
                held.place.main, main.payload, time, link=False
            )
            held.prune(self.max_backups, backup)
            return backup

    def backups(self) -> list[BackupInfo]:
        """All backups, newest first; ``legacy`` ones last. Takes no lock."""
        return self._folder(self._place()).infos()

    def backup_path(self, backup_id: str) -> str:
        """The file of a backup.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        folder = self._folder(self._place())
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
        folder = self._folder(self._place())
        return folder.read(folder.find(backup_id))

    def save_unsaved(self, payload: bytes) -> str:
        """Write a state that cannot be committed beside the backups.

        Takes no lock. If the folder is not writable the system's folder for
        temporary files is used.

        Raises:
            OSError: Neither could be written.
        """
        place = self._place()
        folder = self._folder(place)
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
            place = held.place
            kept = None
            try:
                if _disk.look(place.main) is not None:
                    kept = held.folder.keep_corrupt(place.main, None, self._clock)
            except _disk.NotRegularFileError:
                # A folder or FIFO can have no second name.
                kept = held.folder.free_name(self._clock, ".corrupt")
                _disk.move(place.main, kept)
                _disk.sync_directory(place.directory)
            held.drop()
            self._known = Known()
            return kept

    def destroy(self, *, backups: bool = False) -> None:
        """Remove the file; its last state joins the backups, or all are erased.

        A crash on the way leaves the whole database or its backup. A database
        that does not exist is no error.
        """
        with self._writing("destroy") as held:
            now = held.read()
            main = now.main
            if main is not None and not backups:
                if main.payload is None or now.verdict is Verdict.ROTTEN:
                    held.keep_corrupt(main)
                else:
                    time = held.sum_of(now, main).time
                    held.folder.keep(held.place.main, main.payload, time, link=True)
                    _disk.sync_directory(held.place.backups)
            held.drop()
            self._known = Known()
            if backups:
                held.folder.erase()
        if backups:
            self._erase_folder(held.place)

    def _erase_folder(self, place: Place) -> None:
        # A stranger's file keeps the folder, and then its lock may stay too.
        if _disk.list_names(place.backups) == [".lock"]:
            _disk.remove(place.lock)
            _disk.remove_directory(place.backups)

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
        with self._holding("write") as held:
            yield held

    @contextmanager
    def _holding(self, mode: Mode) -> Generator[Held]:
        place = self._place()
        lock = Lock(place.lock, self._lock_timeout_s, self._path)
        if lock.mine(self):
            yield self._held(place, writable=lock.exclusive())
            return
        if mode == "read" and not self._anything(place):
            # Looking for a database that does not exist creates nothing.
            mode = "look"
        while True:
            with lock.held(self, mode) as writable:
                if not (writable and rename_pending(place)):
                    yield self._held(place, writable=writable)
                    return
            # Only without our lock: the rename needs it.
            finish_rename(place, self._log, self._lock_timeout_s)
            place = self._place()
            lock = Lock(place.lock, self._lock_timeout_s, self._path)

    def _anything(self, place: Place) -> bool:
        return (
            os.path.lexists(place.main)
            or os.path.lexists(place.record)
            or rename_pending(place)
        )

    def _held(self, place: Place, *, writable: bool) -> Held:
        folder = self._folder(place)
        return Held(place, folder, self._log, self._clock, writable)

    def _place(self) -> Place:
        return place_of(self._path, self._backups_directory)

    def _folder(self, place: Place) -> BackupFolder:
        return BackupFolder(place.backups, place.prefix, self._log)


def _nearest(directory: str) -> str:
    """The folder itself or the nearest one above it that exists."""
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        directory = os.path.dirname(directory)
    return directory
