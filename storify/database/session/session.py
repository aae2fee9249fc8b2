"""The unit of work: live data, the durable state they came from, and flush.

A session holds everything that saving needs and nothing that the user holds,
so a `Database` that is collected can still be flushed by its session.

Change is found by truth, not by flags: a flush encodes what was handed out, set
or deleted since and compares it with the bytes it was loaded from or last
committed as (`Root`). Nested mutation at any depth is therefore always saved,
what nobody looked at costs nothing, and without changes nothing is written.

Writers meet by compare-and-swap. A commit names the version it was made
against; if the engine has moved on, it refuses, and the session merges by key
(`merge`) and tries again, this time with other writers locked out.

A call may end anywhere, by Ctrl-C or the handler of a signal, and a handler may call
the same session. What is encoded is the caller's work and leaves no trace until it is
committed; that, and what is then known of the durable state, is done as one piece in a
saver thread (`storify.threads`). A flush that finds itself overtaken begins anew.

Nothing here opens a file; the engine may be a folder, memory or a server.
"""

import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from storify.codec import Codec
from storify.database.session import shutdown
from storify.database.session.merge import Side, catch_up, read_present
from storify.database.session.root import Pending, Refused, Root
from storify.database.session.saving import Saving, Syncing
from storify.database.session.transaction import Transactional
from storify.engine import (
    Commit,
    Engine,
    Snapshot,
    StaleVersionError,
    Version,
    difference,
    entries_of,
)
from storify.exceptions import (
    ConflictError,
    DatabaseLoadError,
    DatabaseLockedError,
    DuplicateKeyError,
    UnstorableError,
)
from storify.logger import LoggerLike, report
from storify.threads import Job, is_given_up, without_collector

__all__ = ["Constraint", "Constraints", "Session"]

#: How often a flush merges and tries again before it gives other writers way.
_MERGES = 100
#: So many changes make work for the collector that is none of its own.
_MANY = 1000


def _nothing() -> None:
    """Nothing follows."""


class Constraint(Protocol):
    """An observer that may refuse a change, as the unique index of a database."""

    def admit(self, key: Any, record: Any) -> None:
        """Raise if *record* must not be put under *key*, as far as it is known."""
        ...

    def check(self, keys: list[Any]) -> None:
        """Raise if what is under *keys* now must not be saved."""
        ...


class Constraints:
    """Constraints, each as long as somebody else holds it.

    Attributes:
        held: References to them; empty if there are none.
    """

    def __init__(self) -> None:
        self.held: list[weakref.ref[Constraint]] = []

    def add(self, constraint: Constraint) -> None:
        """Ask *constraint* from now on."""
        self.held.append(weakref.ref(constraint, self.held.remove))

    def admit(self, key: Any, record: Any) -> None:
        """Raise if *record* must not be put under *key*, as far as it is known."""
        for constraint in self._alive():
            constraint.admit(key, record)

    def check(self, pending: Pending) -> None:
        """Raise if one of the changes must not be saved."""
        keys = [
            pending.keys[key] for key, value in pending.changes if value is not None
        ]
        for constraint in self._alive() if keys else ():
            constraint.check(keys)

    def _alive(self) -> list[Constraint]:
        found = [each() for each in tuple(self.held)]
        return [constraint for constraint in found if constraint is not None]


class Session(Transactional):
    """One open database: its live root and the state it is based on.

    Attributes:
        data: The live root, a `Data` or a list.
        root: The same with what is known of its durable state.
        version: Names that state; None if there is none.
        lock: Held by load, flush, close and transactions; users take it for
            changes of several records that must be saved together.
        saving: When commits are synced, and the clock.
        syncing: What is not synced yet.
        last_error: Why the last autosave failed, None if it did not.
        flushed_at_s: When flush was last tried, on the clock.
        is_inherited: Whether this is a forked child of the process that opened it.
        forks: How many forks it is away from that one.
        was_told_of_fork: Whether it was said that such a child saves nothing.
        constraints: Asked before something is saved.

    Args:
        name: For messages.
        engine: Where the durable state lives.
        codec: Values to bytes and back.
        log: For what the owner of the data should know.
        initial: The root of a database that does not exist yet. A list is used as
            it is, a dict is copied.
        readonly: Whether the database must exist and must not be written.
        saving: When commits are synced, and the clock.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        codec: Codec,
        log: LoggerLike,
        initial: dict[Any, Any] | list[Any],
        *,
        readonly: bool = False,
        saving: Saving | None = None,
    ) -> None:
        self.engine = engine
        self.log = log
        self.readonly = readonly
        self.last_error: Exception | None = None
        self.saving: Saving = saving or Saving()
        self.flushed_at_s: float = self.saving.clock()
        self.syncing: Syncing = Syncing(engine, self.saving)
        self.codec = codec
        #: Is entered while values are encoded to be saved.
        self.encoding: AbstractContextManager[None] = nullcontext()
        self.constraints: Constraints = Constraints()
        self.is_inherited: bool = False
        self.forks: int = 0
        self.was_told_of_fork: bool = False
        self.version: Version | None = None
        shutdown.finish_orphans(engine)
        found = self._open_present(name)
        if found is None:
            root = Root.made(initial, codec, self.saving.cache_bytes)
        else:
            root, self.version = found
        super().__init__(name, root)
        #: The root at the moment of the fork, and what it was then.
        self._forked: tuple[Root, object] = (root, None)
        shutdown.remember(self)

    # -- reading ---------------------------------------------------------------

    def load(self) -> None:
        """Replace the live root by the durable state; unsaved changes are dropped.

        A database that does not exist keeps its live root.

        Raises:
            DatabaseLoadError: No usable copy; the live root is unchanged.
            FileNotFoundError: It does not exist and was opened read-only.
        """
        with self.lock:
            found = self._open_present(self.name)
            if found is not None:
                self.take(*found)

    def _open_present(self, name: str) -> tuple[Root, Version] | None:
        snapshot = self.engine.open()
        if snapshot is not None:
            return self.open(snapshot), snapshot.version
        if not self.readonly:
            return None
        msg = (
            f"cannot open database {name!r} read-only: "
            f"{self.engine.location} does not exist"
        )
        raise FileNotFoundError(msg)

    def take(self, root: Root, version: Version | None) -> None:
        """Take another live root, which is based on a state."""

        def take() -> None:
            self.use(root)
            self.version = version

        self.run_uncut(take)

    def open(self, snapshot: Snapshot) -> Root:
        """Make a root of a durable state.

        Raises:
            DatabaseLoadError: It is undamaged, but cannot be read here.
        """
        try:
            return Root.opened(snapshot, self.codec, self.saving.cache_bytes)
        except ValueError as error:
            # The bytes are those that were committed: an older state would be a
            # silent loss, and replacing the file a real one.
            msg = (
                f"cannot load {self.engine.location!r}: the file is undamaged, "
                f"but cannot be read here: {error}"
            )
            raise DatabaseLoadError(msg) from error

    def make(
        self, content: dict[Any, Any] | list[Any], over: Mapping[bytes, bytes]
    ) -> Root:
        """Make a root in place of one of the other kind; it is not durable yet.

        Args:
            content: What is in it.
            over: The durable entries of the other one.
        """
        return Root.made(content, self.codec, self.saving.cache_bytes, over)

    def replace(self, root: dict[Any, Any] | list[Any]) -> None:
        """Replace the whole live content; it is saved by the next flush."""
        content = dict(root) if isinstance(root, dict) else root

        def replace() -> None:
            if root is self.data:
                return
            if not self.root.replace(content):
                self.use(self.make(content, over=self.root.durable()))
            self.data = self.root.live

        with self.lock:
            self.finish_cut_off()
            self.run_uncut(replace)

    def dirty(self) -> set[Any]:
        """The keys that a flush would write or delete.

        For a list root it is ``{None}`` when the list differs. A database that
        does not exist yet is dirty in every key.
        """
        with self.lock:
            self.finish_cut_off()
            pending, refused = self.begin_look()
            pending.drop()
            changed = {pending.keys[key] for key, _ in pending.changes}
            if refused and isinstance(self.data, list):
                return {None}
            return changed | refused.keys()

    # -- writing ---------------------------------------------------------------

    def flush(self, *, compact: bool = False) -> bool:
        """Make the live data durable; give whether anything was written.

        Changes that others committed to keys not changed here are adopted.

        Args:
            compact: Leave one whole root.

        Raises:
            ConflictError, DuplicateKeyError, UnstorableError, OSError,
            DatabaseLockedError, RuntimeError: Nothing was written; memory is as it
            was, and dirty.
        """
        with self.lock:
            self.finish_cut_off()
            return self.flush_held(compact=compact)

    def flush_held(self, *, compact: bool) -> bool:
        """`flush`, by who holds the lock and has finished what was cut off.

        Raises:
            ConflictError, …: As `flush`.
        """
        if self.root.slots.touched_count() >= _MANY:
            # What is made for so many records is gone before anybody walks through it.
            return without_collector(partial(self._flush, compact=compact))
        return self._flush(compact=compact)

    def _flush(self, *, compact: bool) -> bool:
        others_out: AbstractContextManager[None] | None = None
        try:
            for _ in range(_MERGES):
                pending = self.begin_flush("flush")
                must = self.version is None or bool(pending.changes) or compact
                try:
                    if not self.save(pending, compact=compact):
                        continue
                    if must or not catch_up(self, "flush"):
                        return must
                except StaleVersionError:
                    if others_out is None:
                        # Beaten once: now it is our turn, or whoever flushes
                        # often would beat us again and again.
                        others_out = self.locked()
                        others_out.__enter__()
                    catch_up(self, "flush")
                except DuplicateKeyError:
                    # Another writer may have mended it.
                    if not catch_up(self, "flush"):
                        raise
        finally:
            if others_out is not None:
                others_out.__exit__(None, None, None)
        msg = (
            f"cannot flush database {self.name!r}: other writers committed "
            f"{_MERGES} times meanwhile; try again"
        )
        raise ConflictError(msg)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other writers out for a ``with`` block; see `Engine.locked`."""
        return _OthersOut(self)

    def begin_flush(self, doing: str) -> Pending:
        """Return what is to be saved; the lock is held.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """
        try:
            with self.encoding:
                pending = self.root.begin_flush()
        except UnstorableError as error:
            msg = f"cannot {doing} database {self.name!r}: {error}"
            raise UnstorableError(msg, error.path) from error
        if pending.moved and self.root.moved_much(pending):
            self._shorten(pending)
        return pending

    def begin_look(self) -> tuple[Pending, Refused]:
        """Return what is to be saved, and what cannot be stored; the lock is held.

        Raises:
            RuntimeError: Another thread kept changing the data.
        """
        with self.encoding:
            pending, refused = self.root.begin_look()
        if pending.moved and self.root.moved_much(pending):
            self._shorten(pending)
        return pending, refused

    def _shorten(self, pending: Pending) -> None:
        """Leave out the keys that were deleted and set again to no effect.

        It reads the durable state, for its order, and is done only where many
        keys moved or there are few.
        """
        snapshot = read_present(self.engine)
        if snapshot is not None and snapshot.version == self.version:
            old = self.root.canonical_entries(entries_of(snapshot))
            new = self.root.entries(pending.changes)
            pending.changes = difference(old.items(), new.items())

    def save(
        self,
        pending: Pending,
        *,
        compact: bool = False,
        then: Callable[[], None] = _nothing,
    ) -> bool:
        """Commit what is to be saved, if there is something, and take it for durable.

        Args:
            pending: The changes.
            compact: Leave one whole root.
            then: What follows at once, as the end of a transaction.

        Returns:
            False if a handler of a signal was faster, and nothing was written.

        Raises:
            StaleVersionError: Another writer was faster.
            OSError, DatabaseLockedError, DuplicateKeyError: Nothing was written.
        """
        commit: Commit | None = None
        if pending.changes or self.version is None or compact:
            if self.constraints.held:
                self.constraints.check(pending)
            is_ours = not self.root.canonical_keys.in_file
            commit = Commit(
                self.version,
                pending.changes if is_ours else self.root.for_file(pending.changes),
                stored=pending.stored,
                compact=compact,
                whole=lambda: self.root.entries(pending.changes),
                # The block of a transaction is.
                undone_on_error=then is not _nothing,
            )
        save = partial(self._save, pending, commit, then)
        if len(pending.changes) >= _MANY:
            save = partial(without_collector, save)
        # What nobody has touched is not worth a look by another thread.
        at_once = commit is None and pending.is_empty and then is _nothing
        is_saved = save() if at_once else self.run_uncut(save)
        if is_saved and commit is not None:
            if self.saving.sync == "interval":
                self.syncing.sync_what_is_due()
            self.make_room()
        return is_saved

    def make_room(self) -> None:
        """Let go of what was read or saved, if it is much: the file gives it again."""
        if not self.root.slots.is_crowded() or self.root.depth():
            return
        try:
            pages = self.engine.open()
            if pages is not None and pages.kind and pages.version == self.version:
                self.root.renew(pages)
            else:
                self.root.make_do()
        except (OSError, MemoryError, DatabaseLoadError, DatabaseLockedError) as error:
            # What was to be saved is; it only takes more memory.
            self.log.debug(f"{self.engine.location} cannot be read now: {error!r}")

    def _save(
        self, pending: Pending, commit: Commit | None, then: Callable[[], None]
    ) -> bool:
        if not pending.is_newest():
            return False
        if commit is not None:
            if is_given_up():
                msg = f"saving database {self.name!r} was given up; nothing was written"
                raise DatabaseLockedError(msg)
            self.version = self.engine.commit(commit)
            if self.saving.sync == "interval":
                self.syncing.note_commit()
        pending.done()
        if then is not _nothing:
            then()
        self.last_error = None
        self.flushed_at_s = self.saving.clock()
        return True

    def reload(self, keep: Side | None) -> None:
        """Adopt what others committed; what was changed here stays unsaved.

        Args:
            keep: Whose value a key has that was changed on both sides.

        Raises:
            ConflictError: There is one and *keep* is None; nothing was adopted.
        """
        with self.lock:
            catch_up(self, "reload", keep)

    def durable(self) -> dict[bytes, bytes]:
        """The entries of the present durable state, read anew."""
        return entries_of(read_present(self.engine))

    # -- the end ---------------------------------------------------------------

    def sync(self) -> None:
        """Make durable what was committed with ``sync="interval"``.

        Raises:
            OSError: The next call tries again.
        """
        self.syncing.sync()

    def close(self) -> None:
        """Release the engine; nothing is flushed, what was committed is synced.

        Raises:
            OSError: The committed state is durable all the same.
        """
        shutdown.forget(self)
        self.root.let_go()
        if not self.is_inherited:
            self.engine.close()

    # -- in the background -----------------------------------------------------

    def autosave(self) -> bool:
        """Flush for the autosave; give whether it was flushed.

        If there was nothing to save it is an idle moment: a long journal is folded.

        An error is kept and logged, not raised: a thread has nobody to raise it to.
        Skipped while somebody else holds the lock: it is changing records that belong
        together.
        """
        frame = sys._getframe()  # noqa: SLF001 - whose end is that of the turn
        turn = None if self.is_inherited else self.lock.take(frame, timeout_s=0)
        if turn is None or turn.frame is not frame:
            return False
        try:
            self.finish_cut_off()
            if self.in_transaction:
                return False
            before = self.version
            self.flush()
            if self.version == before and self.engine.is_worth_folding():
                self.flush(compact=True)
        except Exception as error:  # noqa: BLE001 - as above
            self._keep_error(error, "autosave")
            self.flushed_at_s = self.saving.clock()
            return False
        finally:
            turn.end()
        return True

    def autosync(self) -> float:
        """Sync what is due, and give the seconds until more is."""
        if self.syncing.due_in_s() <= 0 and not self.is_inherited:
            try:
                self.syncing.sync()
            except OSError as error:
                self._keep_error(error, "background sync")
                self.syncing.put_off()
        return self.syncing.due_in_s()

    def _keep_error(self, error: Exception, doing: str) -> None:
        # First kept, then told: another thread may come with the same error meanwhile.
        before, self.last_error = self.last_error, error
        if repr(before) != repr(error):
            report(
                self.log, f"{doing} of database {self.name!r} failed: {error}", error
            )

    # -- in a forked child -----------------------------------------------------

    def after_fork(self) -> None:
        """Let go, in a forked child, of what the parent holds and saves.

        A transaction of another thread is undone: it does not live here.
        """
        self._job = None
        self.forks += 1
        if self.in_transaction and not self.lock.is_mine():
            # By the one thread that there is; a signal waits until it is done.
            undo = Job(partial(self.roll_back_to, 0))
            undo.run()
            undo.result()
        self._forked = self.root, self.root.mark()
        self.is_inherited = True

    def is_changed_by_child(self) -> bool:
        """Whether a forked child changed what it inherited, and did not save it."""
        root, mark = self._forked
        changed = root.changed_since(mark) if root is self.root else None
        if changed is not None and not changed:
            return False
        try:
            dirty = self.dirty()
        except RuntimeError:
            return True
        return bool(dirty if changed is None else dirty & changed)

    def words_about_fork(self) -> str:
        """The sentence about such changes, which is said once."""
        self.was_told_of_fork = True
        return (
            f"database {self.name!r} was opened before this process was forked: what "
            f"the child changes of it is saved by flush() and transactions alone, not "
            f"in the background and not at its end; open it in the child"
        )


class _OthersOut:
    """A ``with`` block that has the lock of the engine.

    A handler of a signal that has such a block waits until this one has it: else this
    one would take the handler's for its own, and go on without when that ends.

    Args:
        session: The session; its lock is held.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = session.engine.locked()

    def __enter__(self) -> None:
        self._session.run_uncut(self._lock.__enter__)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.__exit__(kind, error, traceback)
