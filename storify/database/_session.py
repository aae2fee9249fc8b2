"""The unit of work: live data, the durable state they came from, and flush.

A session holds everything that saving needs and nothing that the user holds,
so a `Database` that is collected can still be flushed by its session.

Change is found by truth, not by flags: a flush encodes what was handed out, set
or deleted since and compares it with the bytes it was loaded from or last
committed as (`_roots`). Nested mutation at any depth is therefore always saved,
what nobody looked at costs nothing, and without changes nothing is written.

Writers meet by compare-and-swap. A commit names the version it was made
against; if the engine has moved on, it refuses, and the session merges by key
(`_merge`) and tries again.

Nothing here opens a file; the engine may be a folder, memory or a server.
"""

import os
from typing import Any

from storify.codec import Codec
from storify.database import _farewell
from storify.database._entries import difference, entries_of
from storify.database._guards import Guards
from storify.database._merge import catch_up
from storify.database._pending import Pending, Side
from storify.database._roots import Root, make_root, open_root
from storify.database._saving import Saving
from storify.database._syncing import Syncing
from storify.database._transaction import Transactional
from storify.engine import Commit, Engine, Loaded, StaleVersionError, Version
from storify.exceptions import (
    ConflictError,
    DatabaseLoadError,
    DuplicateKeyError,
    UnstorableError,
)
from storify.logger import LoggerLike

__all__ = ["Session"]

#: How often a flush merges and tries again before it gives other writers way.
_MERGES = 100


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
        pid: The process it was opened in.
        guards: Asked before something is saved.

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
        super().__init__(name, make_root(initial, codec))
        self.engine = engine
        self.log = log
        self.readonly = readonly
        self.last_error: Exception | None = None
        self.saving = saving or Saving()
        self.flushed_at_s = self.saving.clock()
        self.syncing = Syncing(engine, self.saving)
        self.codec = codec
        self.guards = Guards()
        self.pid = os.getpid()
        self.version: Version | None = None
        self.load()
        _farewell.remember(self)

    # -- reading ---------------------------------------------------------------

    def load(self) -> None:
        """Replace the live root by the durable state; unsaved changes are dropped.

        A database that does not exist keeps its live root.

        Raises:
            DatabaseLoadError: No usable copy; the live root is unchanged.
            FileNotFoundError: It does not exist and was opened read-only.
        """
        with self.lock, _farewell.occupied():
            loaded = self.engine.load()
            if loaded is not None:
                self.use(self.open(loaded))
                self.version = loaded.version
            elif self.readonly:
                msg = (
                    f"cannot open database {self.name!r} read-only: "
                    f"{self.engine.location} does not exist"
                )
                raise FileNotFoundError(msg)

    def open(self, loaded: Loaded) -> Root:
        """Make a root of a durable state.

        Raises:
            DatabaseLoadError: It is undamaged, but cannot be read here.
        """
        try:
            return open_root(loaded, self.codec)
        except ValueError as error:
            # The bytes are those that were committed: an older state would be a
            # silent loss, and replacing the file a real one.
            msg = (
                f"cannot load {self.engine.location!r}: the file is undamaged, "
                f"but cannot be read here: {error}"
            )
            raise DatabaseLoadError(msg) from error

    def replace(self, root: dict[Any, Any] | list[Any]) -> None:
        """Replace the whole live content; it is saved by the next flush."""
        with self.lock:
            if not self.root.replace(root):
                durable = self.root.durable()
                self.use(make_root(root, self.codec, over=durable))
            self.data = self.root.live

    def dirty(self) -> set[Any]:
        """The keys that a flush would write or delete.

        For a list root it is ``{None}`` when the list differs. A database that
        does not exist yet is dirty in every key.
        """
        with self.lock:
            pending = self.freeze("compare")
            pending.undo()
            return {pending.keys[key] for key, _ in pending.changes}

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
        with self.lock, _farewell.occupied():
            for _ in range(_MERGES):
                pending = self.freeze("flush")
                if self.version is None or pending.changes or compact:
                    if self._commit(pending, compact=compact):
                        return self.note_flush(written=True)
                else:
                    pending.done()
                    if not catch_up(self, "flush"):
                        return self.note_flush(written=False)
            msg = (
                f"cannot flush database {self.name!r}: other writers committed "
                f"{_MERGES} times meanwhile; try again"
            )
            raise ConflictError(msg)

    def note_flush(self, *, written: bool) -> bool:
        """Keep that all is saved now; give whether anything was written."""
        self.last_error = None
        self.flushed_at_s = self.saving.clock()
        if written:
            self.syncing.note_commit()
        return written

    def freeze(self, doing: str) -> Pending:
        """Give what is to be saved; end it with ``done`` or ``undo``.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """
        try:
            pending = self.root.freeze()
        except UnstorableError as error:
            msg = f"cannot {doing} database {self.name!r}: {error}"
            raise UnstorableError(msg, error.path) from error
        if self.root.moved_much(pending):
            self._shorten(pending)
        return pending

    def _shorten(self, pending: Pending) -> None:
        """Leave out the keys that were deleted and set again to no effect.

        It reads the durable state, for its order, and is done only where many
        keys moved or there are few.
        """
        try:
            loaded = self.engine.load()
            if loaded is not None and loaded.version == self.version:
                old = self.root.spell_entries(entries_of(loaded, self.codec))
                pending.changes = difference(old, pending.entries())
        except BaseException:
            pending.undo()
            raise

    def _commit(self, pending: Pending, *, compact: bool) -> bool:
        """Try to commit; False if another writer was faster, and is merged now."""
        try:
            self.write(pending, compact=compact)
        except StaleVersionError:
            catch_up(self, "flush")
            return False
        except DuplicateKeyError:
            # Another writer may have mended it.
            if not catch_up(self, "flush"):
                raise
            return False
        return True

    def write(self, pending: Pending, *, compact: bool = False) -> None:
        """Commit what is to be saved, and end it as done or undone.

        Raises:
            StaleVersionError: Another writer was faster.
            OSError, DatabaseLockedError, DuplicateKeyError: Nothing was written.
        """
        commit = Commit(
            self.version,
            self.root.for_file(pending.changes),
            stored=pending.stored,
            compact=compact,
            whole=lambda: self.codec.join(pending.entries()),
        )
        try:
            self.guards.check(pending)
            version = self.engine.commit(commit)
        except BaseException:
            pending.undo()
            raise
        # In this order: what is cut off in between is news of an equal state.
        pending.done()
        self.version = version

    def reload(self, keep: Side | None) -> None:
        """Adopt what others committed; what was changed here stays unsaved.

        Args:
            keep: Whose value a key has that was changed on both sides.

        Raises:
            ConflictError: There is one and *keep* is None; nothing was adopted.
        """
        with self.lock, _farewell.occupied():
            catch_up(self, "reload", keep)

    def durable(self) -> dict[bytes, bytes]:
        """The entries of the present durable state, read anew."""
        loaded = self.engine.load()
        return {} if loaded is None else entries_of(loaded, self.codec)

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
        _farewell.forget(self)
        self.engine.close()
