"""The file engine: a main file, a journal of what changed since, older states.

::

    commit ---- the file is under 1 MiB, the change is most of it,
       |        the journal is half as large, or 64 MiB ------------------> main file anew
       |                                                         (`checkpoint`)
       `------- else ------------------------------------------> one more frame
                                                                 (`append`)
    idle ------ our own frames, 256 KiB and a 64th of it -----> main file anew
    close ----- a file under 1 MiB with frames of our own ----> main file anew

So a commit to a large database costs what it changes, a small one is one whole
file after each commit, and the main file is at every instant a root that any
MessagePack reader opens: the newest state, or the one before the journal.

Every writer takes the lock, looks whether the files are as it knows them (two
calls to the disk), and reads them only if they are not. What is read is verified:
`state`, `replay`; what is damaged is rebuilt: `recovery`; what another program
wrote is brought in: `foreign`.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from datetime import datetime
from functools import partial, wraps
from itertools import chain
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from storify.engine.file import history, recovery, retire, vfs
from storify.engine.file.append import append, has_second_copy, ops_of, second_copy
from storify.engine.file.changes import changes_since
from storify.engine.file.checkpoint import Written, replace, write
from storify.engine.file.delta import Delta
from storify.engine.file.errors import SaidLater, explain
from storify.engine.file.fold import Unread, write_by_blocks, written_after
from storify.engine.file.foreign import bring_in, seen
from storify.engine.file.held import Access, Held
from storify.engine.file.index import DamagedError
from storify.engine.file.lock import Hold, Mode
from storify.engine.file.log import Op
from storify.engine.file.past import indexed, open_past
from storify.engine.file.paths import stem_of
from storify.engine.file.recovery import Loaded
from storify.engine.file.renaming import rename_pending
from storify.engine.file.replay import Corruption
from storify.engine.file.root import after, index_of
from storify.engine.file.snapshot import (
    Files,
    FileSnapshot,
    index_anew,
    note_index,
    open_snapshot,
)
from storify.engine.file.state import Known, State, Tail, UnsteadyError, Verdict
from storify.engine.moment import Keep, Moment, stamp_of
from storify.engine.protocol import (
    LOCK_TIMEOUT_S,
    BackupInfo,
    Clock,
    Commit,
    Format,
    Newer,
    Problem,
    Salvaged,
    Snapshot,
    Sync,
    Version,
    WholeSnapshot,
    apply,
    utc_now,
)
from storify.exceptions import (
    CorruptionError,
    DatabaseLoadError,
    DatabaseReadOnlyError,
)
from storify.logger import LoggerLike
from storify.threads import uncut as plain_uncut

__all__ = ["FOLDED_FROM_BYTES", "JOURNALED_FROM_BYTES", "FileEngine"]

JOURNALED_FROM_BYTES = 1 << 20
"""Smaller files are written whole: that takes 1-5 ms, and then they are complete."""

LONGEST_LOG_BYTES = 1 << 26
"""A journal is folded at half the size of the file, or at this: what it takes to open it
where its index does not count grows with it."""

FOLDED_FROM_BYTES = 1 << 18
"""A shorter journal stays in idle moments: some 800 records of 300 bytes, which an opening
reads in milliseconds."""


P = ParamSpec("P")
T = TypeVar("T")


def uncut(
    method: Callable[Concatenate["FileEngine", P], T],
) -> Callable[Concatenate["FileEngine", P], T]:
    """Make a method run as one piece; what the system refuses is told of in full."""

    @wraps(method)
    def run(self: "FileEngine", /, *args: P.args, **keywords: P.kwargs) -> T:
        try:
            return method(self, *args, **keywords)
        except OSError as err:
            explain(err, self._access.paths())
            raise

    return plain_uncut(run)


class FileEngine:
    """One database in one file, with its backups in a folder beside it.

    Files are private to the user (0600, folders 0700) unless the file that is
    replaced had another mode or owner. Nothing is created before the first
    commit, except the lock folder of a file that exists.

    Args:
        path: The main file; need not exist, nor its folder.
        root_format: How a root parts into entries.
        backups_directory: The folder of backups, lock and checksums; by default
            ``.backups/<name>`` beside the file. All who open the file must agree.
        log: Told of recoveries and damaged files; never of stored values.
        clock: Gives the times in backup names.
        lock_timeout_s: How long to wait for another writer.
        readonly: Never write anything, not even a repair.
        keep: Which older states are kept.
        sync: Whether each commit is durable when it returns.
        journal: Whether changes may be kept apart from the main file; without
            it, that is written whole at each commit.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        root_format: Format,
        backups_directory: str | os.PathLike[str] | None = None,
        log: LoggerLike,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        readonly: bool = False,
        keep: Keep | int | None = None,
        sync: Sync = "commit",
        journal: bool = True,
    ) -> None:
        self.keep: Keep = Keep.of(keep)
        self.streams: bool = False
        self.readonly = readonly
        self._path = os.path.abspath(path)
        if backups_directory is not None:
            backups_directory = os.path.abspath(backups_directory)
        self._log = SaidLater(log)
        self._access = Access(
            self._path, backups_directory, root_format, self._log, clock, lock_timeout_s
        )
        self._format = root_format
        self._clock = clock
        self._each_synced = sync == "commit"
        self._journal = journal
        self._known = Known()
        self._swept = False

    @property
    def location(self) -> str:
        """The absolute path, links not followed."""
        return self._path

    @property
    def identity(self) -> str:
        """The main file's path, links followed."""
        return self._access.paths().main

    @property
    def backup_location(self) -> str:
        """The folder of the backups; it is made when it is needed."""
        return self._access.paths().backups

    # Loading

    @uncut
    def open(self) -> Snapshot | None:
        """Open the state by its index, if the file is as it was when that was written.

        That takes no lock and reads what was committed since the file was written
        whole. Else all is read, of a large file in parts, and recovered if need be: see
        `load`.
        """
        self._sweep_once()
        opened = open_snapshot(self._access, self._known, self._recover)
        return self.load() if opened is None else opened

    @uncut
    def load(self) -> Snapshot | None:
        """Read the file and its journal, or rebuild them if they are damaged.

        A repair is durable on return and logged with the backup that was used.
        Where nothing may be written, what was rebuilt is served and the files stay.

        Raises:
            DatabaseLoadError: As `Engine.open` says. What another program wrote is
                brought in, with a warning, if it is whole (`foreign`).
            CorruptionError: No backup is usable; the files are untouched.
            DatabaseLockedError: As `Engine.open` says.
            OSError: The file cannot be read, for want of permission perhaps.
        """
        loaded = self._load()
        try:
            return self._opened(loaded)
        except CorruptionError:  # since it was read
            return self._opened(self._load())

    def _load(self) -> Loaded | WholeSnapshot | None:
        access = self._access
        try:
            self._sweep_once()
            mode: Mode = "repair"
            with suppress(UnsteadyError):
                if not rename_pending(access.paths()):
                    held = access.seen()
                    now = held.read()
                    if recovery.is_whole(now):
                        return recovery.load(held, self._known, self.keep, now)
                    # What is only to be noted is worth no wait.
                    mode = "repair" if recovery.is_damaged(now) else "try"
            with access.held("look" if self.readonly else mode) as held:
                return recovery.load(held, self._known, self.keep)
        except vfs.NotRegularFileError as err:
            msg = f"cannot load {self._path!r}: {err.strerror}; move it away"
            raise DatabaseLoadError(msg) from err

    def _opened(self, loaded: Loaded | WholeSnapshot | None) -> Snapshot | None:
        """Open what was found, and write the index of the main file anew."""
        if not isinstance(loaded, Loaded):
            return loaded
        held, (version, kept, backup) = self._access.seen(), loaded
        is_noted = kept.path == held.paths.main and not self.readonly
        read = indexed(self._format, kept)
        if read is None:
            entries = self._read_at_once(held, kept, is_noted=is_noted)
            return WholeSnapshot(version, entries, backup)
        if is_noted:
            found = kept.source.found
            with suppress(OSError):  # a reader may write nothing
                note_index(held, lambda _, __: read.payload, kept.digest, found)
        again = partial(recovery.as_it_was, self._access, version, kept, self.load)
        return FileSnapshot(version, read.files, again, backup)

    def _read_at_once(
        self, held: Held, kept: history.Kept, *, is_noted: bool
    ) -> dict[bytes, bytes]:
        payload, digest = kept.read()
        try:
            entries = self._format.split(payload)
        except ValueError as err:
            msg = (
                f"cannot load {self._path!r}: the file is undamaged, but cannot be "
                f"read here: {err}"
            )
            raise DatabaseLoadError(msg) from err
        if is_noted:
            index_anew(held, digest, kept.source.found, entries)
        try:
            for frame in chain(kept.frames, kept.later):
                apply(entries, frame.changes(entries))
        except ValueError as err:
            msg = f"cannot load {self._path!r}: its journal does not fit it: {err}"
            raise DatabaseLoadError(msg) from err
        return entries

    def _recover(self, version: Version, digest: str, files: Files) -> Snapshot:
        """Open a state anew of which something is damaged."""
        path, kept = self._access.paths().main, None
        with suppress(DamagedError):
            frames = files.log.frames(digest)
            kept = history.Kept(self._path, path, files.main, digest, frames)
        return recovery.as_it_was(self._access, version, kept, self.load)

    def _sweep_once(self) -> None:
        """Remove what a crash left, if nobody is writing now."""
        if self.readonly or self._swept:
            return
        self._swept = True
        if self._access.paths().leftovers():
            with self._access.held("try") as held:
                if held.writable:
                    held.sweep()

    # Committing

    @uncut
    def commit(self, commit: Commit) -> Version:
        """Bring in the changes, durable on return with ``sync="commit"``.

        Raises:
            StaleVersionError: As `Engine.commit` says; so do the others.
            DatabaseReadOnlyError: Opened with ``readonly=True``.
            DatabaseLockedError: Another writer held the lock for too long.
            CorruptionError: The main file is damaged and cannot be rebuilt.
            OSError: Disk full, not writable or broken. The old state and all
                backups stand, and another try may succeed.
        """
        self._require_writable("commit to")
        hold, held = self._access.begin("write")
        try:
            known, version = self._known, None
            ops = self._ops(commit)
            # If nobody has written since, the files need not be read.
            if commit.base is not None and known.version == commit.base:
                if not ops:
                    version = self._rewrite(held, commit)
                elif known.has_main(held.paths):
                    version = self._append(held, None, commit, ops)
            if version is not None:
                return version
            # Else catch up, and see whether the base is still the present state.
            now = self._read(held, commit.base)
            # Not on top of an attempt of ours that came through: differences are
            # to the base.
            if ops and known.version == now.version == commit.base:
                version = self._append(held, now, commit, ops)
            if version is not None:
                return version
            return self._replace(held, now, self._written(held, now, commit), commit)
        finally:
            if hold is not None:
                hold.release()

    def _rewrite(self, held: Held, commit: Commit) -> Version | None:
        """Write a file anew that is as it was known, without reading it whole.

        From what is remembered of a small one, or block by block from a large one;
        None, and nothing was done, if that cannot be.
        """
        resting = self._known.at_rest(held.paths, commit.base)
        if resting is not None:
            now, source = resting.now, resting.now.main and resting.now.main.source
            before = source and source.read(0, source.found.size)
            new = after(
                self._format, dict(resting.entries), commit.changes, before or None
            )
            last = self._known.tail.moment
            return self._replace(held, now, write(held, now, new), commit, last)
        if self._known.size_bytes < JOURNALED_FROM_BYTES:
            return None  # it is read as a whole, and remembered for the next commit
        unread = Unread.open(held, self._known)
        if unread is None:
            return None
        with closing(unread):
            written = write_by_blocks(held, unread, commit.changes)
            if written is None:
                return None
            return self._replace(held, unread.now, written, commit)

    def _ops(self, commit: Commit) -> list[Op]:
        """The changes as a frame has them; none if there must be no frame."""
        known = self._known
        if (
            not self._journal
            or commit.compact
            or commit.base is None
            or known.suspect
            or (self._each_synced and known.size_bytes < JOURNALED_FROM_BYTES)
        ):
            return []
        ops = ops_of(commit)
        most = min(known.size_bytes // 2, LONGEST_LOG_BYTES)
        room = max(JOURNALED_FROM_BYTES, most) - known.tail.size
        return ops if sum(map(_size, ops)) <= room else []

    def _append(
        self, held: Held, now: State | None, commit: Commit, ops: list[Op]
    ) -> Version | None:
        if not os.access(held.paths.main, os.W_OK):
            return None  # the error is told where the file is replaced
        # What nobody has written to since, and can be rebuilt, need not be read for it.
        known = self._known
        small = known.size_bytes < JOURNALED_FROM_BYTES
        if not known.tail.seq and (small or not has_second_copy(held, known)):
            now = now or self._unread(held) or held.read()
            if now.verdict in {Verdict.CORRUPT, Verdict.LOST} or now.left is not None:
                return None  # it is written anew
            second_copy(held, now, self.keep, is_noted=not small)
        return append(held, self._known, commit, ops, sync=self._each_synced)

    def _unread(self, held: Held) -> State | None:
        """The state that a read would find, if that is known without one."""
        unread = Unread.open(held, self._known)
        if unread is None:
            return None
        unread.close()
        return unread.now

    def _read(self, held: Held, base: Version | None) -> State:
        """Read the files, which are not as they were known, and judge the base."""
        now = bring_in(held, held.read())
        self._known.check_base(held.paths, now, base, self._log)
        if now.main is not None and now.verdict is not Verdict.CORRUPT:
            now = recovery.mend(held, now)
            self._known.check_base(held.paths, now, base, self._log)
            if now.journal.corruption is Corruption.NONE:
                recovery.know(self._known, now)
        return now

    def _replace(
        self,
        held: Held,
        now: State,
        written: Written,
        commit: Commit,
        last: Moment | None = None,
    ) -> Version:
        known = self._known
        version = Version(written.digest)
        if not commit.undone_on_error:
            known.attempt(commit.base, version)
        small = written.found.size < JOURNALED_FROM_BYTES
        keep = self.keep
        manifest, moment = replace(held, now, written, keep, small=small, last=last)
        known.at(
            version, written.digest, written.found, Tail(moment=moment), ours=False
        )
        if small and not now.journal.frames:
            new, hashes, is_indexed = written.new, written.hashes, last is None
            known.rest(held.paths, new, hashes, manifest, is_indexed=is_indexed)
        return version

    def _written(self, held: Held, now: State, commit: Commit) -> Written:
        """Write the root after a commit under a random name."""
        main = now.main
        if main is not None and now.verdict is not Verdict.CORRUPT:
            return written_after(held, now, main, commit.changes)
        if now.verdict is Verdict.ABSENT:
            return write(held, now, after(self._format, {}, commit.changes))
        if commit.whole is None:
            msg = f"cannot commit to {self._path!r}: {now.wrong}; load it first"
            raise CorruptionError(msg, [now.wrong])
        new = after(self._format, commit.whole(), ())
        return write(held, now, new._replace(changes=commit.changes))

    def changes_since(self, version: Version | None) -> Newer | None:
        """The changes committed since; two looks at the disk if there are none.

        Takes no lock. A file that was only touched is read once.
        """
        known = self._known
        if version is not None and known.version == version:
            # It is asked often, and leaves nothing that an interrupt could.
            with suppress(OSError):
                if known.is_still(self._access.paths()):
                    return None
        return self._changes_since(version)

    @uncut
    def _changes_since(self, version: Version | None) -> Newer | None:
        return changes_since(self._access, self._known, version)

    @uncut
    def sync(self) -> None:
        """Make the frames durable that are not."""
        known = self._known
        if not self.unsynced():
            return
        paths = self._access.paths()
        try:
            vfs.sync_file(paths.journal)
        except FileNotFoundError:
            return  # folded into the main file by somebody, durable with it
        except OSError:
            known.suspect = True
            raise
        known.tail = known.tail._replace(all_synced=True)

    def unsynced(self) -> bool:
        """Whether a frame of ours is not synced yet."""
        return self._known.ours and not self._known.tail.all_synced

    def writable(self) -> bool:
        """Whether a commit would find the permissions that it needs."""
        if self.readonly:
            return False
        paths = self._access.paths()
        if os.path.lexists(paths.main) and not os.access(paths.main, os.W_OK):
            return False
        return all(
            os.access(_nearest(directory), os.W_OK | os.X_OK)
            for directory in (paths.directory, paths.backups)
        )

    # Backups

    @uncut
    def backup(self) -> str | None:
        """Copy the present state into the backups, durable; give its id.

        Raises:
            CorruptionError: The file is damaged; load it first.
            OSError: Nothing was added.
        """
        with self._writing("back up") as held:
            return retire.back_up(held, self.keep, self._unread(held))

    @uncut
    def backups(self) -> list[BackupInfo]:
        """All older states, newest first; ``legacy`` ones last. Takes no lock."""
        held = self._access.seen()
        return history.backups(held, self._unread(held) or seen(held, held.read()))

    @uncut
    def backup_path(self, backup_id: str) -> str:
        """The file of a backup, or of the journal that a commit is in.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        held = self._access.seen()
        path = held.folder.own_file(backup_id)
        return path or history.path_of(held, seen(held, held.read()), backup_id)

    @uncut
    def state(self, which: str | datetime) -> Snapshot:
        """Open an older state, verified by its checksum.

        Raises:
            As `Engine.state`.
        """
        held = self._access.seen()
        if isinstance(which, datetime):
            kept = history.state_at(held, seen(held, held.read()), which)
        elif held.folder.own_file(which) is not None:
            kept = history.Kept.backup(held, held.folder.find(which))
        else:
            kept = history.state_of(held, seen(held, held.read()), which)
        return open_past(self._format, kept)

    @uncut
    def verify(self) -> list[Problem]:
        """Read everything that is kept and give what is wrong; changes nothing."""
        from storify.engine.file.verify import verify  # noqa: PLC0415 -- few programs need it

        return verify(self._access.seen())

    @uncut
    def salvage(self) -> Salvaged | None:
        """Return what can be saved, entry by entry; changes nothing."""
        from storify.engine.file.salvage import salvage  # noqa: PLC0415 -- few programs need it

        return salvage(self._access.seen())

    @uncut
    def save_unsaved(self, payload: bytes) -> str:
        """Write a state that cannot be committed beside the backups.

        Takes no lock. If the folder is not writable the system's folder for
        temporary files is used.

        Raises:
            OSError: Neither could be written.
        """
        held = self._access.seen()
        paths = held.paths
        if not self.readonly:
            try:
                vfs.make_directory(paths.backups)
                path = held.folder.free_name(self._clock, ".unsaved.mpack")
                vfs.replace_bytes(path, payload, paths.prefix)
            except OSError as err:
                self._log.warning(f"cannot write into {paths.backups!r}: {err}")
            else:
                return path
        stamp = stamp_of(self._clock())
        prefix = f"storify-{stem_of(paths.main)[:50]}-{stamp}-"
        path, _ = vfs.write_temporary(
            vfs.temporary_folder(), prefix, payload, suffix=".unsaved.mpack"
        )
        return path

    @uncut
    def set_aside(self) -> str | None:
        """Move the main file to ``<time>.corrupt`` and drop its checksum.

        A crash on the way leaves the damaged file where it was.
        """
        with self._writing("set aside") as held:
            kept = retire.set_aside(held)
            self._known = Known()
            return kept

    @uncut
    def destroy(self, *, backups: bool = False) -> None:
        """Remove the files; the last state joins the backups, or all are erased.

        A crash on the way leaves the whole database or its backup. A database
        that does not exist is no error.
        """
        with self._writing("destroy") as held:
            retire.destroy(held, backups=backups)
            self._known = Known()
        if backups:
            held.paths.clear()

    @uncut
    def purge(self) -> None:
        """Erase all backups, unsaved and damaged states too; the database stays.

        Raises:
            CorruptionError: The file is damaged, and may need them; load it first.
            OSError: Some may be there still.
        """
        with self._writing("purge") as held:
            now = bring_in(held, held.read())
            retire.require_whole(held, now, "purge")
            self._fold(held, now)
            retire.purge(held)

    @uncut
    def close(self) -> None:
        """Leave no journal of ours beside a small file; the engine may be used again.

        Frames that others have appended meanwhile are folded too. The journal of a
        large file stays: reading it takes the next opening less time than writing the
        file takes now.

        Raises:
            OSError: They stay in the journal, which is durable all the same.
        """
        resting, self._known.resting = self._known.resting, None
        found = None if resting is None else resting.now.found
        if resting is not None and found is not None and not resting.is_indexed:
            held = self._access.seen()
            index = partial(index_of, self._format, resting.entries)
            with held.or_warn("note the entries of"):
                note_index(held, index, resting.now.digest, found)
        if not self._known.ours or self.readonly:
            return
        if self._known.size_bytes >= JOURNALED_FROM_BYTES:
            self.sync()
            self._known.ours = False
            return
        try:
            with self._writing("fold") as held:
                now = held.read()
                if now.digest == self._known.digest:
                    self._fold(held, now)
        except OSError:
            self.sync()
            raise
        self._known.ours = False

    def committed_at(self) -> datetime | None:
        """The time of the commit that was opened or made last."""
        moment = self._known.tail.moment
        return None if moment is None else moment.clock

    def is_worth_folding(self) -> bool:
        """Whether there is a journal of ours that an idle moment is well spent on."""
        known = self._known
        least = max(FOLDED_FROM_BYTES, known.size_bytes // 64)
        return known.ours and not self.readonly and known.tail.size >= least

    def _fold(self, held: Held, now: State) -> None:
        main = now.main
        if now.verdict is Verdict.TRUSTED and main is not None and now.journal.frames:
            written = written_after(held, now, main, ())
            # It is the same state, so it makes no commit of ours stale.
            self._known.attempt(self._known.version, Version(written.digest))
            replace(held, now, written, self.keep)

    # Locking

    def locked(self) -> AbstractContextManager[None]:
        """Keep other writers out; see `Engine.locked`."""
        return _Locked(self)

    def is_locked_by_caller(self) -> bool:
        """Whether the caller is inside `locked` of this file, by any engine."""
        return self._access.is_locked_by_caller()

    @uncut
    def lock(self) -> Hold | None:
        """Take the lock for a block; None if the caller has it already."""
        self._require_writable("lock")
        return self._access.take()

    def _writing(self, doing: str) -> AbstractContextManager[Held]:
        self._require_writable(doing)
        return self._access.held("write")

    def _require_writable(self, doing: str) -> None:
        if self.readonly:
            msg = f"cannot {doing} {self._path!r}: it was opened with readonly=True"
            raise DatabaseReadOnlyError(msg)


class _Locked:
    """A ``with`` block that has the lock of an engine; it has it no longer than that.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: FileEngine) -> None:
        self._engine = engine
        self._holds: list[Hold | None] = []

    def __enter__(self) -> None:
        self._holds.append(self._engine.lock())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _release_last(self._holds)


@plain_uncut
def _release_last(holds: list[Hold | None]) -> None:
    hold = holds.pop() if holds else None
    if hold is not None:
        hold.release()


def _size(op: Op) -> int:
    key, value = op
    if isinstance(value, Delta):
        return len(key) + sum(len(edit.data) for edit in value.edits)
    return len(key) + len(value or b"")


def _nearest(directory: str) -> str:
    """The folder itself or the nearest one above it that exists."""
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        directory = os.path.dirname(directory)
    return directory
