"""`Database`: a persistent dict (or list) over a session.

This class is what the user holds: the life of a database, from opening to
destroying. What it does as a dict or a list, and what it knows of its records, is in
`_root`; all rules of saving are the session's, all rules of files the engine's.
"""

import copy
import os
import sys
import time
import weakref
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NoReturn,
    Self,
    SupportsIndex,
    cast,
    overload,
)

from storify._python import TypeVar
from storify.codec import CustomType
from storify.database._root import Root, RootMapping, RootSequence
from storify.database._schema import Schema, Use, is_same_type
from storify.database._source import Source
from storify.database.live.data import Data
from storify.database.session.saving import CACHE_BYTES, Saving
from storify.database.session.session import Session
from storify.database.session.shutdown import finalize, heed_signals
from storify.database.session.transaction import AsyncTransaction, Transaction
from storify.engine import Engine, Keep, Snapshot, Sync, entries_of
from storify.engine.file.paths import require_local
from storify.engine.names import name_in
from storify.exceptions import (
    ConflictError,
    DatabaseLoadError,
)
from storify.logger import BasicLogger, LoggerLike, adapt
from storify.threads import Guard, run_async

if TYPE_CHECKING:
    from storify.database.backups import Backups
    from storify.database.query.index import Index


V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)
R = TypeVar("R")
I = TypeVar("I")  # noqa: E741 - the type of an index's values


def _is_dict(tree: object) -> bool:
    return type(tree) is dict


def _checked_root(root: object, name: str) -> dict[Any, Any] | list[Any]:
    """Return a root that can be stored as one; None is an empty dict."""
    if root is None:
        return {}
    if type(root) in (dict, list, Data):
        return cast("dict[Any, Any] | list[Any]", root)
    msg = (
        f"cannot use a {type(root).__qualname__} as the root of database {name!r}: "
        f"it is a dict or a list"
    )
    raise TypeError(msg)


class BaseDatabase(Root[V, K], Generic[V, K]):
    """The life of a database, whatever its root is; see `Database`."""

    models: list[type[Any]]
    log: LoggerLike
    #: When this object last flushed, in seconds since the epoch.
    last_flush: float
    #: What gives this object to all who ask for it by its name.
    _found_by: object = None

    def __init__(
        self,
        name: str | None = None,
        path: str | os.PathLike[str] | None = None,
        root: str | os.PathLike[str] | None = None,
        log: BasicLogger | None = None,
        rootdata: dict[Any, Any] | list[Any] | None = None,
        models: Iterable[type[Any]] = (),
        *,
        types: Iterable[type[Any] | CustomType[Any]] = (),
        model: object = None,
        key: object = None,
        readonly: bool = False,
        strict: bool = False,
        keep: Keep | int | None = None,
        sync: Sync = "commit",
        journal: bool = True,
        handle_signals: bool = True,
        cache_bytes: int = CACHE_BYTES,
        allow_network_filesystem: bool = False,
    ) -> None:
        logger = adapt(log)
        schema = Schema(models, types, logger)
        saving = Saving.of(
            keep=keep, sync=sync, journal=journal, cache_bytes=cache_bytes
        )
        engine: Engine
        if path is not None:
            if not allow_network_filesystem:
                require_local(os.path.dirname(path))  # noqa: PTH120 - it may be a URL
            engine = saving.file(path, schema.codec, logger, readonly=readonly)
            name = name or name_in(engine.location)
        elif name is not None and root is not None:
            catalog = saving.open_catalog(
                root,
                schema.codec,
                logger,
                allow_network_filesystem=allow_network_filesystem,
            )
            engine = catalog.engine(name, readonly=readonly)
        else:
            msg = "no database given: pass path=, or name= and root="
            raise ValueError(msg)
        self._open(
            name,
            engine,
            schema,
            schema.models,
            rootdata,
            Use.of(model, key, readonly=readonly, strict=strict),
            saving,
        )
        heed_signals(wanted=handle_signals)

    def _open(
        self,
        name: str,
        engine: Engine,
        schema: Schema,
        models: list[type[Any]],
        initial: dict[Any, Any] | list[Any] | None,
        use: Use,
        saving: Saving,
    ) -> None:
        self.name = name
        self.models = models
        self.log = schema.log
        self.last_flush = time.time()
        self._schema = schema
        self._saving = saving
        schema.register_hint(use.hint)
        schema.register_hint(use.key)
        root = copy.deepcopy(_checked_root(initial, name))
        if use.strict:
            content = enumerate(root) if isinstance(root, list) else root.items()
            for key, value in content:
                schema.check_record(key, value, use)
        self._session = Session(
            name,
            engine,
            schema.codec,
            schema.log,
            root,
            readonly=use.readonly,
            saving=saving,
        )
        self._source = Source(self._session, schema, use)
        # One that nobody holds, nor a query of it, is flushed; at exit each that is open.
        self._finalizer = weakref.finalize(self._source, finalize, self._session)
        self._finalizer.atexit = False
        self._take_form()

    def _take_form(self) -> None:
        """Be of the class that the root asks for; not of another one of the user's."""
        forms: tuple[Any, Any] = (Database, ListDatabase)
        form = forms[isinstance(self._session.data, list)]
        if type(self) in forms:
            self.__class__ = form

    @classmethod
    def _over(
        cls,
        name: str,
        engine: Engine,
        schema: Schema,
        models: list[type[Any]],
        initial: dict[Any, Any] | list[Any] | None,
        use: Use,
        saving: Saving,
    ) -> Self:
        """Make a database over an engine and a schema that exist already."""
        self = cls.__new__(cls)
        self._open(name, engine, schema, models, initial, use, saving)
        return self

    def _reuse(self, use: Use) -> Self:
        """Return this open database for somebody who asks for it as *use*.

        Raises:
            ValueError: It has other types already; the same class defined again is
                none.
        """
        mine = self._source.use
        hint = mine.hint if use.hint is None else use.hint
        key = mine.key if use.key is None else use.key
        if not (is_same_type(mine.hint, hint) and is_same_type(mine.key, key)):
            msg = (
                f"cannot open database {self.name!r} as {use.hint!r}: it is open "
                f"as {mine.hint!r}; close it first"
            )
            raise ValueError(msg)
        self._schema.register_hint(hint)
        self._schema.register_hint(key)
        use = mine._replace(hint=hint, key=key)
        if hint is mine.hint:
            self._source.use = use
        else:
            self._source.declare(use)
        return self

    # -- what it is ------------------------------------------------------------

    @property
    def defunct(self) -> bool:
        """Whether `close` was called: the object cannot be used any more."""
        return self._source.defunct

    @property
    def destroyed(self) -> bool:
        """Whether `destroy` was called: the file is gone too."""
        return self._source.destroyed

    @property
    def path(self) -> str:
        """The location of the database: a file's path, or ``memory://name``."""
        return self._session.engine.location

    @property
    def root(self) -> str:
        """The folder that the database stands in."""
        return os.path.dirname(self.path)  # noqa: PTH120 - a location may be a URL

    @property
    def backups(self) -> "Backups":
        """The backups of this database."""
        from storify.database.backups import Backups  # noqa: PLC0415 -- few programs need it

        return Backups(self, self._source)

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """A reentrant lock that flush and autosave take too.

        Hold it while several records change together, so that no flush saves
        half of the change: ``with db.lock: …``. Reading needs no lock.

        It belongs to a task of asyncio or trio, where one runs, else to the thread:
        another task of the thread that enters, while this one awaits inside, gets
        `TransactionError` at once.
        """
        return Guard(self._session.lock)

    @property
    def last_error(self) -> Exception | None:
        """Why the last automatic save failed; None if it did not.

        The next `flush` or `close` tries again and raises what still stands in
        the way; one that succeeds clears this.
        """
        return self._session.last_error

    @property
    def readonly(self) -> bool:
        """Whether the database was opened with ``readonly=True``."""
        return self._source.use.readonly

    def _replace_all(self, root: dict[Any, Any] | list[Any]) -> None:
        """Make *root* the whole content."""
        self._source.writable()
        self._session.replace(_checked_root(root, self.name))
        self._take_form()

    def __eq__(self, other: object) -> bool:
        """Whether *other* is this very object; contents are not compared."""
        return self is other

    def __hash__(self) -> int:
        """Hash by identity."""
        return id(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled or copied."""
        msg = (
            f"cannot pickle or copy database {self.name!r}: it is an open file; "
            f"pass its content, as db.copy(), or its path, {self.path!r}"
        )
        raise TypeError(msg)

    def __repr__(self) -> str:
        """Tell name, size and place, never values."""
        if self.defunct:
            what = "destroyed" if self.destroyed else "closed"
            return f"<Database {self.name!r} ({what})>"
        return f"<Database {self.name!r} ({len(self)} items, {self.path})>"

    def __rich_repr__(self) -> Iterator[Any]:
        """Tell rich what ``repr`` tells."""
        yield self.name
        if self.defunct:
            yield "destroyed" if self.destroyed else "closed"
        else:
            yield "records", len(self)
            yield "path", self.path

    def _repr_html_(self) -> str:
        """Return the first records as a table, for notebooks."""
        from storify.tables.html import records_table, text  # noqa: PLC0415 -- notebooks

        if self.defunct:
            return text(repr(self))
        return records_table(self.where().limit(21).items(), repr(self), len(self))

    def _ipython_key_completions_(self) -> list[Any]:
        """Return the first keys, for completion behind a bracket."""
        return [] if self.defunct else list(islice(self.where().keys(), 1000))

    # -- saving ----------------------------------------------------------------

    def dirty(self) -> set[K]:
        """Return the keys that differ from the durable state, as a new set.

        What was read, set or deleted since is encoded to find out; a list root
        is encoded as a whole and gives ``{None}`` if it differs. What cannot be
        stored differs; `check` says where it is.
        """
        self._source.root()
        return self._session.dirty()

    def flush(self, *, compact: bool = False) -> None:
        """Make all changes durable; when it returns, they survive a power cut.

        (With ``sync="interval"`` the end of the process at once, and a power cut
        after the interval or after `sync`.)

        It costs what was read and changed since, not what is in the database. The
        state that is replaced can be restored (`backups`). Without changes nothing
        is written. Keys that another writer committed meanwhile are adopted: live
        lists, dicts, sets and models take the new content in place. After
        `close` or `destroy` it does nothing.

        Args:
            compact: Leave one whole file, also of a large database.

        Raises:
            UnstorableError: A value that could not be read back equal.
            ConflictError: Another writer changed the same key; see `reload`.
            DuplicateKeyError: Two records have one value in a unique index.
            OSError: Disk full, not writable, …
            DatabaseReadOnlyError: The database was opened read-only and changed.
            DatabaseLockedError: Another process kept the lock.
            TransactionError: Inside a transaction, whose end it would be.

        After each of them the file holds what it held, memory what it holds,
        and the next flush can succeed.
        """
        session = self._session
        with session.lock:
            session.ready("flush")
            if self.defunct:
                return
            if self._source.use.readonly:
                if session.dirty():
                    self._source.writable()
                return
            session.flush_held(compact=compact)
        self.last_flush = time.time()

    def sync(self) -> None:
        """Make durable what was flushed with ``sync="interval"``.

        Changes that are not flushed stay in memory. It does nothing otherwise.

        Raises:
            OSError: The next call, or the background, tries again.
        """
        if not self.defunct:
            self._session.sync()

    def transaction(self) -> AbstractContextManager[Self]:
        """Change several records together, in memory, on disk and among writers.

        ::

            with db.transaction():
                db["counter"] += 1

        At the start other writers are locked out, in this process and in others;
        pending changes are flushed, and what others committed is adopted: what
        the block reads is the present state. At the end all its changes are
        committed at once and are durable. An exception, also one from the commit,
        undoes them: memory is as it was at the start, and objects that you hold
        have their content of then. What the program keeps outside of the
        database, and underscored fields of models, stay as they are.

        A block inside a block is a savepoint: an exception that leaves it undoes
        the inner changes alone, and the outer block may go on if it catches it.

        Other threads that write through the database or its `data` wait for the
        end; they may read, and see changes that are not committed. A list or
        model that another thread holds already can be changed by it meanwhile:
        such changes are the transaction's. The autosave waits too.

        Gives the database itself.

        Raises:
            ConflictError: A pending change and another writer's are of one key;
                the block was not run, see `reload`.
            DatabaseReadOnlyError: The database was opened read-only.
            DatabaseLockedError: Another writer held the lock for too long.
            The errors of `flush`: at the start the block was not run, at the end
            it was undone.
        """
        return Transaction(self, self._session, self._source.writable)

    def run(self, action: Callable[[Self], R], *, tries: int = 5) -> R:
        """Run *action* in a transaction, again if another writer was in its way.

        ::

            def buy(db):
                db["stock"] -= 1
                return db["stock"]

            left = db.run(buy)

        A conflict undoes the transaction, so each run begins with the present state.
        What *action* does elsewhere, as sending a mail, it does each time.

        Args:
            action: It gets the database.
            tries: How often it is run at most.

        Returns:
            What *action* returned when its changes were durable.

        Raises:
            ConflictError: Another writer was in its way each time; nothing was changed.
            ValueError: *tries* is less than 1.
            The errors of `transaction`, and those of *action*: its changes are undone.
        """
        if tries < 1:
            msg = f"tries must be a number of runs, 1 or more: {tries!r}"
            raise ValueError(msg)
        for left in range(tries - 1, -1, -1):
            try:
                with self.transaction():
                    return action(self)
            except ConflictError:
                if not left:
                    raise
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def atransaction(self) -> AbstractAsyncContextManager[Self]:
        """Change several records together, in a task of asyncio or trio.

        ::

            async with db.atransaction():
                db["counter"] += await new_ones()

        As `transaction`, without stopping the loop: the task waits for its turn, also
        for other tasks, and for the disk. The block is the task's: what other tasks
        write meanwhile, or would lock, raises `TransactionError` at once; they may
        read. Other threads wait.

        A cancellation inside of the block undoes it. One that comes while it commits
        is raised afterwards, and nothing lands later.

        Raises:
            The errors of `transaction`.
        """
        return AsyncTransaction(Transaction(self, self._session, self._source.writable))

    async def aflush(self, *, compact: bool = False) -> None:
        """Flush without stopping the loop; see `flush`.

        Records may be changed meanwhile by other tasks; what belongs together is kept
        together by `atransaction`, or by `lock`.

        A task that is cancelled while it waits for other writers has written nothing;
        one that was writing has done so.
        """
        await run_async(partial(self.flush, compact=compact))

    async def areload(self, keep: Literal["mine", "theirs"] | None = None) -> None:
        """Bring in what other writers committed, without stopping the loop; `reload`."""
        await run_async(partial(self.reload, keep))

    async def aclose(self, *, discard: bool = False) -> None:
        """Flush and close without stopping the loop; see `close`.

        A task that is cancelled closes all the same, as one does that fails.
        """
        await run_async(partial(self.close, discard=discard), gives_up=False)

    def reload(self, keep: Literal["mine", "theirs"] | None = None) -> None:
        """Bring in what other writers committed; my unsaved changes stay unsaved.

        Nothing is written. Keys that were not changed here are adopted as by
        `flush`. (`load` drops the unsaved changes instead.)

        Args:
            keep: Which value a key gets that was changed on both sides, to
                different values. ``"mine"``: the one in memory, which the next
                flush writes over the other. ``"theirs"``: the other writer's, mine
                is lost. A list root is one value.

        Raises:
            ConflictError: There is such a key and *keep* was not given; memory
                is as it was.
            TransactionError: Inside a transaction, which sees no other writers.
            UnstorableError: A changed value could not be saved.
            OSError: The state could not be read; memory is as it was.
        """
        self._source.root()
        if keep not in ("mine", "theirs", None):
            msg = f'keep must be "mine", "theirs" or None: {keep!r}'
            raise ValueError(msg)
        with self._session.lock:
            self._session.ready("reload")
            self._session.reload(keep)
            self._take_form()

    def at(self, which: datetime | str | int) -> Self:
        """Open an older state, to read: the last one at a time, or a backup by its id.

        It is a database of its own, in memory and read-only, with the classes of
        this one. What is not flushed here is in none. How far back it goes is
        `Backups.keep`'s to say.

        Args:
            which: A time with its zone, as ``datetime.now(UTC)``: what was committed
                last at or before it. Or an id, as `Backups.list` gives it.

        Raises:
            FileNotFoundError: No state that old is kept, no such backup.
            MisdatedError: It is not known which state that is: the clock was wrong
                about then. It is a FileNotFoundError, too.
            CorruptionError: That state is damaged.
            ValueError: The time has no time zone.
        """
        self._source.root()
        from storify.database.backups import state_of  # noqa: PLC0415 -- few programs need it
        from storify.engine.memory import MemoryEngine  # noqa: PLC0415 -- few programs need it

        state = state_of(self._session, which)
        time = which if isinstance(which, datetime) else None
        engine = MemoryEngine.holding(
            state,
            root_format=self._schema.codec,
            location=f"{self.path}@{which if time is None else time.isoformat()}",
            time=time or datetime.now(UTC),
        )
        use = self._source.use._replace(readonly=True)
        return self._over(
            self.name, engine, self._schema, self.models, None, use, self._saving
        )

    def _autosave(self) -> None:
        if self._session.autosave():
            self.last_flush = time.time()

    def _autosync(self) -> float:
        return self._session.autosync()

    @property
    def _flushed_at_s(self) -> float:
        return self._session.flushed_at_s

    def unpack(self, path: str | os.PathLike[str], raw: bool = False) -> Any:
        """Read a database file and give its root; this database stays as it is.

        Args:
            path: The file, such as a backup; or the URL of a backup of this database,
                as `Backups.get_path_of_backup` gives it in memory and on a server.
            raw: Has no effect; strings that are no UTF-8 are bytes anyway. A
                parameter of release 0.0.11.

        Raises:
            DatabaseLoadError: The file cannot be read as a database; a journal
                never can.
            FileNotFoundError: There is no such file.
        """
        del raw
        snapshot = self._snapshot_at(os.fspath(path))
        codec = self._schema.codec
        return codec.decode_root(codec.join(entries_of(snapshot)))

    def _snapshot_at(self, path: str) -> Snapshot:
        if "://" in path:
            own = self._session.engine
            which = path.replace("#", "/").rpartition("/")[2]
            if own.backup_path(which) != path:
                raise FileNotFoundError(2, "it is no backup of this database", path)
            return own.state(which)
        engine = self._saving.file(path, self._schema.codec, self.log, readonly=True)
        try:
            snapshot = engine.open()
        except DatabaseLoadError as error:
            if not engine.location.endswith(".journal"):
                raise
            msg = (
                f"cannot read {engine.location} for database {self.name!r}: a journal "
                f"holds changes, no whole state; db.backups.restore(id) goes back to "
                f"one of them"
            )
            raise DatabaseLoadError(msg) from error
        if snapshot is None:
            msg = f"cannot read {engine.location} for database {self.name!r}: no file"
            raise FileNotFoundError(msg)
        return snapshot

    def encode_type(self, data: Any) -> Any:
        """Return a model as the dict it is stored as, anything else as it is."""
        record = self._schema.registry.unstructure(data)
        return data if record is None else record

    def decode_type(self, data: Any) -> Any:
        """Return the object that a stored dict stands for, anything else as it is."""
        return self._schema.registry.structure(data) if _is_dict(data) else data

    def load(self, path: str | os.PathLike[str] | None = None) -> None:
        """Replace the content by the durable state; unsaved changes are lost.

        Called for you when the database is opened. A damaged file is recovered
        from the newest good backup, and the log says from which.

        Args:
            path: Another file to take the content from, such as a backup
                (`Backups.get_path_of_backup`). It is not changed; the next
                flush makes its content this database's.

        Raises:
            DatabaseLoadError: No usable copy; the content stays as it is.
            FileNotFoundError: There is no file *path*.
            TransactionError: Inside a transaction.
        """
        self._source.root()
        with self._session.lock:
            self._session.ready("load")
            if path is None:
                self._session.load()
            else:
                self._source.writable()
                self._session.replace(self.unpack(path))
            self._take_form()

    def close(self, *, discard: bool = False) -> None:
        """Flush, then make the object unusable; the file stays.

        Calling it again does nothing.

        Args:
            discard: Drop unsaved changes instead of flushing them.

        A long journal is folded into the file, which is one whole map then.

        Raises:
            The errors of `flush`: the database stays open and dirty.
            OSError: Also if all is durable but the journal could not be folded in;
                the database is closed then, and the next opening reads both.
        """
        with self._session.lock:
            self._session.ready("close")
            if self.defunct:
                return
            if self._session.is_inherited:
                self._tell_of_child()
            elif not discard:
                self.flush()
            self._session.run_uncut(self._close)

    def _tell_of_child(self) -> None:
        session = self._session
        if not session.was_told_of_fork and session.is_changed_by_child():
            self.log.warning(session.words_about_fork())

    def _close(self) -> None:
        self._source.defunct = True
        self._finalizer.detach()
        self._session.close()

    def destroy(self, *, backups: bool = False) -> None:
        """Close the database and delete its file.

        The last state, unsaved changes included, joins the backups, which are
        kept. Other open instances of the same file write it anew if they are
        flushed with changes.

        Args:
            backups: Erase the backups too; nothing can be restored then.

        Raises:
            The errors of `flush`: nothing is deleted, the database stays open.
        """
        with self._session.lock:
            self._session.ready("destroy")
            if self.destroyed:
                return
            if self._source.use.readonly:
                self._source.writable()
            if not backups:
                self.flush()
            self._session.run_uncut(partial(self._destroy, backups=backups))

    def _destroy(self, *, backups: bool) -> None:
        self._session.engine.destroy(backups=backups)
        self._source.destroyed = True
        self._close()

    async def __aenter__(self) -> Self:
        """Return the database itself; the end of the block closes it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database without stopping the loop."""
        await self.aclose()

    def __enter__(self) -> Self:
        """Return the database itself; the end of the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database: what was set before an exception is saved too."""
        self.close()


class Database(BaseDatabase[V, K], RootMapping[V, K], Generic[V, K]):
    """A persistent dict of live objects, kept in one MessagePack file.

    Get one from `Storify.get_db`, or open a file directly with ``path=``.
    ``Database[User]`` has str keys and `User` values, ``Database[User, int]``
    int keys, bare ``Database`` any.

    What you read is the live object: changing ``db["u1"].age`` changes the
    database. Nothing is durable until `flush` (or `close`, the autosave, the
    end of the ``with`` block or of the program) has saved it.

    It has the methods of a dict, and gives plain dicts where a dict would give a new
    one, as ``db | {}`` and ``db.copy()``. Two databases are equal only if they are the
    same object: compare ``db.data``, which is a dict.

    A root may also be a list (``get_db("log", root=[])``): then it is a `ListDatabase`,
    with the methods of a list.

    Threads: reading takes no lock. Hold ``with db.lock:`` while several
    records change together; a flush waits for it. What must change together also
    on disk, or depends on what other programs wrote, goes into `transaction`.

    Args:
        name: The name; with *root*, the file is ``<root>/<name>.mpack``.
        path: The file itself, instead of *name* and *root*.
        root: The folder of the file; or a URL, as of `Storify`.
        log: A logger with the guide's methods, or a ``logging.Logger``.
        rootdata: The initial content of a database that does not exist yet,
            copied; an empty dict unless given.
        models: Model classes that stored records come back as.
        types: Enums, named tuples, dataclasses, `CustomType` objects.
        model: The type of the values, or a tuple of types; see `Storify.get_db`.
        key: The type of the keys.
        readonly: The database must exist and is never written.
        strict: Values that do not fit *model* are refused when they are set.
        keep: How many older states are kept: a number, or a `Keep`.
        sync: ``"interval"``: a flush does not wait for the disk. What it saved is
            synced by the first flush after a second, by `sync` and by `close`.
        journal: Save a change of a large file beside it; see `Storify`.
        handle_signals: Save when SIGTERM or SIGHUP ends the program; see `Storify`.
        cache_bytes: How much of it stays in memory though nothing holds it; see
            `Storify`.
        allow_network_filesystem: Open a file on NFS, SMB or sshfs all the same; see
            `Storify`.

    Raises:
        DatabaseLoadError: Neither the file nor a backup could be read.
        DatabaseNameError: *name* is not portable.
        ModelError: A class in *models* or *model* cannot be a model.
        NetworkFilesystemError: It is on one, and that is not allowed.
        ValueError: Neither *path* nor *name* and *root* were given.
    """

    @property
    def data(self) -> dict[K, V]:
        """The root itself: a real dict (or list) of live objects, no copy.

        The dict is of a class of its own: a value in it is decoded when it is
        first read. ``dict(db.data)`` is a plain copy with the live values.

        A record that did not fit its class is in it as the `Unloaded` dict it
        was read as. It is saved as long as somebody holds the database: keep
        that, not only its data.

        Assigning replaces the whole content. A dict is copied into the root that
        is there, its values become the live ones; a list becomes the root itself.

        Raises:
            DatabaseClosedError: The database was closed.
            CorruptionError: A large one is damaged, and cannot be rebuilt.
            OSError: A large one, whose keys are read by this, cannot be read now.
        """
        root = self._source.root()
        if isinstance(root, Data):
            root.fill()
        return cast("dict[K, V]", root)

    @data.setter
    def data(self, root: dict[K, V] | list[V]) -> None:
        self._replace_all(root)

    def index(
        self, key: Callable[[V], I | None], *, unique: bool = False
    ) -> "Index[I, V, K]":
        """Make an index: records by what *key* gives for them.

        It lives in memory, as long as somebody holds it, and is built here by one
        pass over the records. Afterwards a look-up costs what is live (it may have
        been changed in place) and what was committed since, not what is stored.

        Args:
            key: Gives the value of a record, hashable; None leaves it out. It sees
                records as a test of `where` does.
            unique: No two records have one value: what would break that is refused
                by ``db[k] = v`` as far as it can be known there, and by every
                `flush`, also if a record was changed in place.

        Raises:
            DuplicateKeyError: Two records have one value, and it is to be unique.
            ModelLoadError: In a typed database, a record does not fit its class.
            TypeError: A value cannot be hashed, or the root is a list.
        """
        from storify.database.query.index import Index  # noqa: PLC0415 -- few programs need it

        return Index(self._source, key, unique=unique)


if TYPE_CHECKING:

    class _ListForm(
        BaseDatabase[V, int], RootSequence[V, int], MutableSequence[V], Generic[V]
    ):
        """A list, to type checkers: no mapping, whose keys iterating would give."""

        @property
        def data(self) -> list[V]: ...
        @data.setter
        def data(self, root: dict[int, V] | list[V]) -> None: ...
        def __iter__(self) -> Iterator[V]: ...
        def __reversed__(self) -> Iterator[V]: ...
        @overload
        def __getitem__(self, index: int) -> V: ...
        @overload
        def __getitem__(self, index: slice) -> list[V]: ...
        def __getitem__(self, index: Any) -> Any: ...
        @overload
        def __setitem__(self, index: int, value: V) -> None: ...
        @overload
        def __setitem__(self, index: slice, value: Iterable[V]) -> None: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __delitem__(self, index: int | slice) -> None: ...
        def pop(self, index: int = -1, /) -> V: ...
        def copy(self) -> list[V]: ...

else:
    _ListForm = Database


class ListDatabase(_ListForm[V], Generic[V]):
    """A database whose root is a list: it has the methods of a list.

    ``get_db("log", root=[], model=User)`` is a ``ListDatabase[User]``. Iterating over
    it gives the items. Else it is what a `Database` is; an index is the key of an item,
    in queries, misfits and references.

    To a type checker it is a `MutableSequence` and no `Database`. At run time it is a
    `Database`, too, as one becomes the other when its content is replaced; what a dict
    has and a list has not raises `TypeError`, as ``keys()`` does.
    """

    # What a list says of these is not what a dict says.
    def index(self, value: V, start: int = 0, stop: int = sys.maxsize, /) -> int:
        """Return the index of the first item that equals *value*.

        Raises:
            ValueError: There is none.
            TypeError: Nor is a function one: there are no keys for an `Index`.
        """
        try:
            return self._source.sequence("look up an item of").index(value, start, stop)
        except ValueError:
            if callable(value):
                super().index(value)
            raise


# For isinstance, and for ``match`` with a pattern of a list.
cast("ABCMeta", MutableSequence).register(ListDatabase)
