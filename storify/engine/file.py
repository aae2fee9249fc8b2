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

import errno
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from storify.engine import _disk
from storify.engine._backups import BackupFolder, stamp_of
from storify.engine._lock import Lock, Mode
from storify.engine._place import Place, place_of, stem_of
from storify.engine._record import (
    DamagedRecordError,
    Record,
    Sum,
    read_record,
    write_record,
)
from storify.engine._rename import finish_rename, rename_pending
from storify.engine._verdict import Main, Verdict, judge, read_main
from storify.engine.protocol import (
    BackupInfo,
    Clock,
    Commit,
    Loaded,
    StaleVersionError,
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
UNLOCKED_TRIES = 5
# Errors of the process, not of the file: an older backup would be a needless loss.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Held:
    """What an operation works on: the paths, and whether it may write."""

    place: Place
    folder: BackupFolder
    writable: bool


@dataclass(frozen=True, slots=True)
class _Reading:
    """The main file and its record, read together and judged."""

    main: Main | None
    record: Record | None
    verdict: Verdict
    known: Sum | None
    wrong: str


@dataclass(slots=True)
class _Memory:
    """What this instance knows of the disk since its last load or commit.

    Attributes:
        version: The state it loaded or committed.
        signature: How the main file looked then.
        base: The base of commits that failed late.
        attempts: The states that those commits may have left on disk: when the
            rename went well and the sync after it failed, nobody can tell. They
            are our own, so they never make a commit stale.
    """

    version: Version | None = None
    signature: object = None
    base: Version | None = None
    attempts: set[Version] = field(default_factory=set[Version])

    def at(self, version: Version, found: _disk.Found | None) -> None:
        """Note a state that is known to be on disk."""
        self.version = version
        self.signature = None if found is None else found.signature()
        self.attempts.clear()

    def attempt(self, base: Version | None, version: Version) -> None:
        """Note a state that may come to be on disk."""
        if base != self.base:
            self.attempts.clear()
        self.base = base
        self.attempts.add(version)

    def counts_as(self, version: Version, base: Version | None) -> bool:
        """Whether a state on disk is *base*, or came from it by ourselves."""
        return version == base or (base == self.base and version in self.attempts)


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
        self._memory = _Memory()
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
                self._sweep(held)
                return self._load(held, parse)
            except _disk.NotRegularFileError as err:
                msg = f"cannot load {self._path!r}: {err.strerror}; move it away"
                raise DatabaseLoadError(msg) from err

    def _load(self, held: _Held, parse: Callable[[bytes], T]) -> Loaded[T] | None:
        now = self._read(held)
        main, wrong = now.main, now.wrong
        if now.verdict is Verdict.ABSENT:
            return None
        if main is not None and main.payload is not None:
            if now.verdict is Verdict.TRUSTED:
                return self._trusted(held, now, main, main.payload, parse)
            if now.verdict is not Verdict.ROTTEN:
                try:
                    value = parse(main.payload)
                except ValueError as err:
                    wrong = f"{wrong}: {err}" if wrong else str(err)
                else:
                    self._adopt(held, now, main)
                    return self._loaded(main.payload, value, main.found)
        return self._recover(held, now, wrong, parse)

    def _trusted(
        self,
        held: _Held,
        now: _Reading,
        main: Main,
        payload: bytes,
        parse: Callable[[bytes], T],
    ) -> Loaded[T]:
        try:
            value = parse(payload)
        except ValueError as err:
            # The bytes are those that were committed: an older state would be a
            # silent loss, and replacing the file a real one.
            msg = (
                f"cannot load {self._path!r}: the file is undamaged, "
                f"but cannot be read here: {err}"
            )
            raise DatabaseLoadError(msg) from err
        record, known = now.record, now.known
        if record is not None and known is not None:
            self._settle(held, record, known, main.found)
        return self._loaded(payload, value, main.found)

    def _loaded(
        self,
        payload: bytes,
        value: T,
        found: _disk.Found | None,
        recovered_from: str | None = None,
    ) -> Loaded[T]:
        version = version_of(payload)
        self._memory.at(version, found)
        return Loaded(version, payload, value, recovered_from)

    def _settle(
        self, held: _Held, record: Record, known: Sum, found: _disk.Found
    ) -> None:
        """Finish the note of a commit that was cut off, or of a copied folder."""
        current = Sum(found.size, found.mtime_ns, known.sha256, known.time)
        if record.current != current:
            self._note(held, Record(current, None, record.since))

    def _adopt(self, held: _Held, now: _Reading, main: Main) -> None:
        """Take over a file that we have not written."""
        if now.verdict is Verdict.FOREIGN:
            self._log.warning(
                f"{self._path!r} was changed by another program; it can be read "
                f"and is taken over, the state before it is in the backups if one "
                f"was made"
            )
        since = None if now.record is None else now.record.since
        if held.writable:
            self._note(held, Record(self._sum_of(held, main), None, since))

    def _sum_of(self, held: _Held, main: Main) -> Sum:
        """The sum of a state whose commit we have not seen; its file's time counts."""
        seconds, nanoseconds = divmod(main.found.mtime_ns, 10**9)
        microseconds = nanoseconds // 1000
        try:
            time = EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
        except OverflowError:
            time = EPOCH
        stamp = held.folder.next_stamp(lambda: time, None)
        return Sum(main.found.size, main.found.mtime_ns, main.digest, stamp)

    def _note(self, held: _Held, record: Record) -> None:
        """Write the record if possible; the data are safe without it.

        Not synced: a power cut brings a record back that has this state as next.
        """
        if not held.writable:
            return
        try:
            place = held.place
            write_record(place.record, record, place.prefix, durable=False)
        except OSError as err:
            self._log.warning(f"cannot note the checksum of {self._path!r}: {err}")

    def _read(self, held: _Held) -> _Reading:
        for _ in range(UNLOCKED_TRIES):
            main = read_main(held.place.main)
            damaged, record = False, None
            try:
                record = read_record(held.place.record)
            except DamagedRecordError as err:
                self._log.warning(f"{err}; the file is judged without it")
                damaged = True
            verdict, known, wrong = judge(main, record)
            if verdict is Verdict.ABSENT and damaged:
                verdict, wrong = Verdict.LOST, "the file is missing"
            # Without the lock, a commit may run between the two reads.
            if held.writable or verdict is Verdict.TRUSTED or _unmoved(held, main):
                return _Reading(main, record, verdict, known, wrong)
        msg = f"cannot load {self._path!r}: it changes all the time; try again"
        raise DatabaseLoadError(msg)

    # Recovery

    def _recover(
        self, held: _Held, now: _Reading, wrong: str, parse: Callable[[bytes], T]
    ) -> Loaded[T]:
        causes = [f"{self._path}: {wrong}"]
        since = None if now.record is None else now.record.since
        for entry in held.folder.candidates(since):
            path = held.folder.file(entry.name)
            try:
                payload = held.folder.read(entry)
                value = parse(payload)
            except OSError as err:
                if err.errno in PASSING:
                    raise
                causes.append(f"{path}: {err}")
                continue
            except (ValueError, CorruptionError) as err:
                causes.append(f"{path}: {err}")
                continue
            self._log.warning(
                f"{self._path!r} is damaged ({wrong}); using backup {path!r}"
            )
            for cause in causes[1:]:
                self._log.warning(f"a newer backup was not usable: {cause}")
            found = self._repair(held, now, payload)
            return self._loaded(payload, value, found, recovered_from=path)
        msg = (
            f"cannot load {self._path!r}: {wrong}; no backup is usable, "
            f"{len(causes) - 1} tried; the files are left as they are"
        )
        raise CorruptionError(msg, causes)

    def _repair(self, held: _Held, now: _Reading, payload: bytes) -> _disk.Found | None:
        """Put a good state in place of a damaged one; a failure is only logged.

        The good state is in the backups anyway, and the next load repeats this.
        """
        unrepaired = None if now.main is None else now.main.found
        if not held.writable:
            return unrepaired
        # A file that does not parse must not pass for acknowledged after a crash.
        noted = now.verdict in {Verdict.ROTTEN, Verdict.LOST}
        current = now.record.current if noted and now.record is not None else None
        try:
            if now.main is not None:
                self._keep_corrupt(held, now.main)
            found = self._install(held, now, payload, current)
        except OSError as err:
            self._log.warning(f"cannot repair {self._path!r}: {err}; it stays damaged")
            return unrepaired
        self._tidy(held, None)
        return found

    def _keep_corrupt(self, held: _Held, main: Main) -> None:
        kept = held.folder.keep_corrupt(held.place.main, main.payload, self._clock)
        self._log.warning(f"the damaged file is kept as {kept!r}")

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
            now = self._read(held)
            rotten = self._check_base(now, commit.base)
            payload = commit.payload()
            version = version_of(payload)
            self._memory.attempt(commit.base, version)
            backup, made = None, False
            main = now.main
            current = None if now.record is None else now.record.current
            if rotten and main is not None:
                self._keep_corrupt(held, main)
            elif main is not None and main.payload is not None:
                current = self._known_or_new(held, now, main)
                # The same content once more must not push other states out.
                if self.max_backups and main.digest != version:
                    backup, made = held.folder.keep(
                        held.place.main, main.payload, current.time, link=True
                    )
            try:
                found = self._install(held, now, payload, current)
            except BaseException:
                if made and backup is not None and self._still_linked(held, backup):
                    _disk.discard(held.folder.file(f"{backup}.mpack"))
                raise
            self._memory.at(version, found)
            self._tidy(held, backup)
            return version

    def _still_linked(self, held: _Held, backup: str) -> bool:
        """Whether the main file was not replaced, so that the backup is no use."""
        main = link = None
        with suppress(OSError):  # the error that led here is the one to raise
            main = _disk.look(held.place.main)
            link = _disk.look(held.folder.file(f"{backup}.mpack"))
        return main is not None and link is not None and main.inode == link.inode

    def _check_base(self, now: _Reading, base: Version | None) -> bool:
        """Raise unless the main file is at *base*; True if it is rotten since."""
        main = now.main
        if now.verdict is Verdict.ABSENT:
            if base is None:
                return False
            msg = f"{self._path!r} was removed or renamed"
            raise StaleVersionError(msg)
        if main is not None and self._memory.counts_as(Version(main.digest), base):
            return False
        # What was acknowledged last, going by the record.
        noted = [] if now.record is None else now.record.sums()
        ours = any(
            self._memory.counts_as(Version(known.sha256), base) for known in noted
        )
        if ours and now.verdict is Verdict.LOST:
            self._log.warning(f"{self._path!r} was missing; it is written anew")
            return False
        if ours and now.verdict is Verdict.ROTTEN:
            self._log.warning(
                f"{self._path!r} is damaged ({now.wrong}); it is written anew"
            )
            return True
        msg = f"{self._path!r} was changed since version {base}"
        raise StaleVersionError(msg)

    def _known_or_new(self, held: _Held, now: _Reading, main: Main) -> Sum:
        return now.known or self._sum_of(held, main)

    def _install(
        self, held: _Held, now: _Reading, payload: bytes, current: Sum | None
    ) -> _disk.Found:
        """Write, note, rename, sync; nothing is left behind on failure.

        *current* is the state that counts until the rename.
        """
        place = held.place
        _disk.make_directory(place.directory)
        stamp = held.folder.next_stamp(self._clock, current.time if current else None)
        since = None if now.record is None else now.record.since
        if now.verdict is Verdict.ABSENT:
            since = stamp
        temporary, found = _disk.write_temporary(
            place.directory,
            place.prefix,
            payload,
            None if now.main is None else now.main.found,
        )
        try:
            new = Sum(found.size, found.mtime_ns, version_of(payload), stamp)
            record = Record(current, new, since)
            write_record(place.record, record, place.prefix)
            _disk.put_in_place(temporary, place.main)
        except BaseException:
            _disk.discard(temporary)
            raise
        _disk.sync_directory(place.directory)
        self._note(held, record.settled())
        return found

    def _tidy(self, held: _Held, backup: str | None) -> None:
        try:
            held.folder.prune(self.max_backups, backup)
        except OSError as err:
            self._log.warning(f"cannot prune the backups of {self._path!r}: {err}")

    def changed_since(self, version: Version | None) -> bool:
        """Whether the file holds another state; one stat if it was not touched.

        Takes no lock. A file that was only touched is read once.
        """
        place = self._place()
        found = _disk.look(place.main)
        if found is None or version is None:
            return found is not None or version is not None
        memory = self._memory
        if memory.version == version and found.signature() == memory.signature:
            return False
        main = read_main(place.main)
        if main is None or not memory.counts_as(Version(main.digest), version):
            return True
        if main.digest == memory.version:
            memory.signature = main.found.signature()
        return False

    def writable(self) -> bool:
        """Whether a commit would find the permissions that it needs."""
        if self.readonly:
            return False
        place = self._place()
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
            now = self._read(held)
            if now.verdict is Verdict.ABSENT:
                return None
            main = now.main
            if main is None or main.payload is None or now.verdict is Verdict.ROTTEN:
                msg = (
                    f"cannot back up {self._path!r}: {now.wrong}; "
                    f"load it, so that it is recovered"
                )
                raise CorruptionError(msg, [now.wrong])
            time = self._known_or_new(held, now, main).time
            backup, _ = held.folder.keep(
                held.place.main, main.payload, time, link=False
            )
            self._tidy(held, backup)
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
            self._drop(held)
            return kept

    def destroy(self, *, backups: bool = False) -> None:
        """Remove the file; its last state joins the backups, or all are erased.

        A crash on the way leaves the whole database or its backup. A database
        that does not exist is no error.
        """
        with self._writing("destroy") as held:
            now = self._read(held)
            main = now.main
            if main is not None and not backups:
                if main.payload is None or now.verdict is Verdict.ROTTEN:
                    self._keep_corrupt(held, main)
                else:
                    time = self._known_or_new(held, now, main).time
                    held.folder.keep(held.place.main, main.payload, time, link=True)
                    _disk.sync_directory(held.place.backups)
            self._drop(held)
            if backups:
                held.folder.erase()
        if backups:
            self._erase_folder(held.place)

    def _drop(self, held: _Held) -> None:
        """Remove the record, then the main file: never a loss in between."""
        place = held.place
        if _disk.remove(place.record):
            _disk.sync_directory(place.backups)
        if _disk.remove(place.main):
            _disk.sync_directory(place.directory)
        if place.link != place.main and os.path.islink(place.link):
            _disk.remove(place.link)
            _disk.sync_directory(os.path.dirname(place.link))
        self._memory = _Memory()

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
    def _writing(self, doing: str) -> Generator[_Held]:
        if self.readonly:
            msg = f"cannot {doing} {self._path!r}: it was opened with readonly=True"
            raise DatabaseReadOnlyError(msg)
        with self._holding("write") as held:
            yield held

    @contextmanager
    def _holding(self, mode: Mode) -> Generator[_Held]:
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

    def _held(self, place: Place, *, writable: bool) -> _Held:
        return _Held(place, self._folder(place), writable)

    def _place(self) -> Place:
        return place_of(self._path, self._backups_directory)

    def _folder(self, place: Place) -> BackupFolder:
        return BackupFolder(place.backups, place.prefix, self._log)

    def _sweep(self, held: _Held) -> None:
        if self._swept or not held.writable:
            return
        self._swept = True
        try:
            held.place.sweep(self._log)
        except OSError as err:
            self._log.warning(f"cannot clean up beside {self._path!r}: {err}")


def _unmoved(held: _Held, main: Main | None) -> bool:
    found = _disk.look(held.place.main)
    if found is None or main is None:
        return found is None and main is None
    return found.signature() == main.found.signature()


def _nearest(directory: str) -> str:
    """The folder itself or the nearest one above it that exists."""
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        directory = os.path.dirname(directory)
    return directory
