"""`Database`: a persistent dict (or list) over a session.

This class is what the user holds: the life of a database, from opening to
destroying. What it does as a dict is in `_mapping`, all rules of saving are the
session's, all rules of files the engine's.
"""

import copy
import os
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import PurePath
from types import TracebackType
from typing import Any, Generic, Self, cast

from typing_extensions import TypeVar

from storify.codec import CustomType
from storify.database._farewell import finalize
from storify.database._mapping import RootMapping
from storify.database._schema import Schema
from storify.database._session import Root, Session
from storify.database._use import Use
from storify.database.backups import Backups
from storify.engine import Engine, FileCatalog, FileEngine
from storify.exceptions import DatabaseClosedError, DatabaseReadOnlyError
from storify.logger import BasicLogger, LoggerLike, adapt

__all__ = ["Database"]

V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)


def _is_dict(tree: object) -> bool:
    return type(tree) is dict


def _checked_root(root: object, name: str) -> Root:
    """Give a root that can be stored as one; None is an empty dict."""
    if root is None:
        return {}
    if type(root) in (dict, list):
        return cast("Root", root)
    msg = (
        f"cannot use a {type(root).__qualname__} as the root of database {name!r}: "
        f"it is a dict or a list"
    )
    raise TypeError(msg)


class Database(RootMapping[V, K], Generic[V, K]):
    """A persistent dict of live objects, kept in one MessagePack file.

    Get one from `Storify.get_db`, or open a file directly with ``path=``.
    ``Database[User]`` has str keys and `User` values, ``Database[User, int]``
    int keys, bare ``Database`` any.

    What you read is the live object: changing ``db["u1"].age`` changes the
    database. Nothing is durable until `flush` (or `close`, the autosave, the
    end of the ``with`` block or of the program) has saved it.

    A root may also be a list (``get_db("log", root=[])``): then `append`,
    `remove`, `pop` and indexes work on it, and iteration gives the items.

    Two databases are equal only if they are the same object.

    Threads: reading takes no lock. Hold ``with db.lock:`` while several
    records change together; a flush waits for it.

    Args:
        name: The name; with *root*, the file is ``<root>/<name>.mpack``.
        path: The file itself, instead of *name* and *root*.
        root: The folder of the file.
        log: A logger with the guide's methods, or a ``logging.Logger``.
        rootdata: The initial content of a database that does not exist yet,
            copied; an empty dict unless given.
        models: Model classes that stored records come back as.
        types: Enums, named tuples, dataclasses, `CustomType` objects.
        model: The type of the values, or a tuple of types; see `Storify.get_db`.
        key: The type of the keys.
        readonly: The database must exist and is never written.
        strict: Values that do not fit *model* are refused when they are set.

    Raises:
        DatabaseLoadError: Neither the file nor a backup could be read.
        DatabaseNameError: *name* is not portable.
        ModelError: A class in *models* or *model* cannot be a model.
        ValueError: Neither *path* nor *name* and *root* were given.
    """

    models: list[type[Any]]
    log: LoggerLike
    #: When this object last flushed, in seconds since the epoch.
    last_flush: float
    #: Whether `close` was called: the object cannot be used any more.
    defunct: bool
    #: Whether `destroy` was called: the file is gone too.
    destroyed: bool

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
    ) -> None:
        logger = adapt(log)
        engine: Engine
        if path is not None:
            engine = FileEngine(path, log=logger, readonly=readonly)
            name = name or PurePath(engine.location).stem
        elif name is not None and root is not None:
            engine = FileCatalog(root, log=logger).engine(name, readonly=readonly)
        else:
            msg = "no database given: pass path=, or name= and root="
            raise ValueError(msg)
        schema = Schema(models, types, logger)
        self._open(
            name,
            engine,
            schema,
            schema.models,
            rootdata,
            Use.of(model, key, readonly=readonly, strict=strict),
        )

    def _open(
        self,
        name: str,
        engine: Engine,
        schema: Schema,
        models: list[type[Any]],
        initial: dict[Any, Any] | list[Any] | None,
        use: Use,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.models = models
        self.log = schema.log
        self.defunct = False
        self.destroyed = False
        self.last_flush = time.time()
        self._schema = schema
        self._use = use
        schema.register_hint(use.hint)
        schema.register_hint(use.key)
        root = copy.deepcopy(_checked_root(initial, name))
        self._session = Session(
            name,
            engine,
            schema.codec,
            schema.log,
            root,
            readonly=use.readonly,
            clock=clock,
        )
        # A Database that nobody holds, and every one at exit, is flushed.
        self._finalizer = weakref.finalize(self, finalize, self._session)

    @classmethod
    def _over(
        cls,
        name: str,
        engine: Engine,
        schema: Schema,
        models: list[type[Any]],
        initial: dict[Any, Any] | list[Any] | None,
        use: Use,
        clock: Callable[[], float],
    ) -> Self:
        """Make a database over an engine and a schema that exist already."""
        self = cls.__new__(cls)
        self._open(name, engine, schema, models, initial, use, clock)
        return self

    def _reuse(self, use: Use) -> Self:
        """Give this open database to somebody who asks for it as *use*.

        Raises:
            ValueError: It has other types already.
        """
        mine = self._use
        hint = mine.hint if use.hint is None else use.hint
        key = mine.key if use.key is None else use.key
        if mine.hint not in (None, hint) or mine.key not in (None, key):
            msg = (
                f"cannot open database {self.name!r} as {use.hint!r}: it is open "
                f"as {mine.hint!r}; close it first"
            )
            raise ValueError(msg)
        self._schema.register_hint(hint)
        self._schema.register_hint(key)
        self._use = replace(mine, hint=hint, key=key)
        return self

    # -- what it is ------------------------------------------------------------

    @property
    def path(self) -> str:
        """Where the database is: a file's path, or ``memory://name``."""
        return self._session.engine.location

    @property
    def root(self) -> str:
        """The folder that the database stands in."""
        return os.path.dirname(self.path)  # noqa: PTH120 - a location may be a URL

    @property
    def backups(self) -> Backups:
        """The backups of this database."""
        return Backups(self)

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """A reentrant lock that flush and autosave take too.

        Hold it while several records change together, so that no flush saves
        half of the change: ``with db.lock: …``. Reading needs no lock.
        """
        return self._session.lock

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
        return self._use.readonly

    @property
    def data(self) -> dict[K, V]:
        """The root itself: a real dict (or list) of live objects, no copy.

        A record that did not fit its class is in it as the `Unloaded` dict it
        was read as. Assigning replaces the whole content. It is saved as long
        as somebody holds the database: keep that, not only its data.

        Raises:
            DatabaseClosedError: The database was closed.
        """
        return cast("dict[K, V]", self._root())

    @data.setter
    def data(self, root: dict[K, V] | list[V]) -> None:
        self._writable()
        checked = _checked_root(root, self.name)
        with self.lock:
            self._session.data = checked

    def _root(self) -> dict[Any, Any] | list[Any]:
        if self.defunct:
            what = "destroyed" if self.destroyed else "closed"
            msg = f"database {self.name!r} is {what}; get it anew to use it"
            raise DatabaseClosedError(msg)
        return self._session.data

    def _writable(self) -> dict[Any, Any] | list[Any]:
        root = self._root()
        if self._use.readonly:
            msg = (
                f"cannot change database {self.name!r}: it was opened read-only; "
                f"open it without readonly=True"
            )
            raise DatabaseReadOnlyError(msg)
        return root

    def __eq__(self, other: object) -> bool:
        """Whether *other* is this very object; contents are not compared."""
        return self is other

    def __hash__(self) -> int:
        """Hash by identity."""
        return id(self)

    def __repr__(self) -> str:
        """Tell name, size and place, never values."""
        if self.defunct:
            what = "destroyed" if self.destroyed else "closed"
            return f"<Database {self.name!r} ({what})>"
        return f"<Database {self.name!r} ({len(self)} items, {self.path})>"

    # -- saving ----------------------------------------------------------------

    def dirty(self) -> set[K]:
        """Give the keys that differ from the durable state, as a new set.

        Every value is encoded to find out, so it costs as much as a flush
        without the writing.

        Raises:
            UnstorableError: A value could not be saved.
        """
        self._root()
        return self._session.dirty()

    def flush(self) -> None:
        """Make all changes durable; when it returns, they survive a power cut.

        The state that is replaced becomes a backup. Without changes nothing is
        written. Keys that another writer committed meanwhile are adopted: live
        lists, dicts, sets and models take the new content in place. After
        `close` or `destroy` it does nothing.

        Raises:
            UnstorableError: A value that could not be read back equal.
            ConflictError: Another writer changed the same key.
            OSError: Disk full, not writable, …
            DatabaseReadOnlyError: The database was opened read-only and changed.
            DatabaseLockedError: Another process kept the lock.

        After each of them the file holds what it held, memory what it holds,
        and the next flush can succeed.
        """
        if self.defunct:
            return
        if self._use.readonly:
            if self._session.dirty():
                self._writable()
            return
        self._session.flush()
        self.last_flush = time.time()

    def _autosave(self) -> None:
        if self._session.try_flush():
            self.last_flush = time.time()

    @property
    def _flushed_at_s(self) -> float:
        return self._session.flushed_at_s

    def unpack(self, path: str | os.PathLike[str], raw: bool = False) -> Any:
        """Read a database file and give its root; this database stays as it is.

        Args:
            path: The file, such as a backup.
            raw: Has no effect; strings that are no UTF-8 are bytes anyway. A
                parameter of release 0.0.11.

        Raises:
            DatabaseLoadError: The file cannot be read as a database.
            FileNotFoundError: There is no such file.
        """
        del raw
        engine = FileEngine(path, log=self.log, readonly=True)
        loaded = engine.load(self._schema.codec.decode_root)
        if loaded is None:
            msg = f"cannot read {engine.location} for database {self.name!r}: no file"
            raise FileNotFoundError(msg)
        return loaded.value

    def encode_type(self, data: Any) -> Any:
        """Give a model as the dict it is stored as, anything else as it is."""
        record = self._schema.registry.unstructure(data)
        return data if record is None else record

    def decode_type(self, data: Any) -> Any:
        """Give the object that a stored dict stands for, anything else as it is."""
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
        """
        self._root()
        if path is None:
            self._session.load()
            return
        self._writable()
        root = self.unpack(path)
        with self.lock:
            self._session.data = root

    def close(self, *, discard: bool = False) -> None:
        """Flush, then make the object unusable; the file stays.

        Calling it again does nothing.

        Args:
            discard: Drop unsaved changes instead of flushing them.

        Raises:
            The errors of `flush`: the database stays open and dirty.
        """
        with self.lock:
            if self.defunct:
                return
            if not discard:
                self.flush()
            self.defunct = True
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
        with self.lock:
            if self.destroyed:
                return
            if self._use.readonly:
                self._writable()
            if not backups:
                self.flush()
            self._session.engine.destroy(backups=backups)
            self.close(discard=True)
            self.destroyed = True

    def __enter__(self) -> Self:
        """Give the database itself; the end of the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database: what was set before an exception is saved too."""
        self.close()
