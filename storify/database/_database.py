"""`Database`: a persistent dict (or list) over a session.

The mapping methods work on live objects in memory and cost what a dict costs;
`flush` makes them durable. All rules of saving are the session's, all rules of
files the engine's; this class is what the user holds.
"""

import copy
import os
import time
import weakref
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    MutableMapping,
    ValuesView,
)
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePath
from types import TracebackType
from typing import Any, Generic, Literal, Self, Union, cast, overload

from typing_extensions import TypeVar

from storify.codec import CustomType
from storify.database._farewell import finalize
from storify.database._schema import Schema
from storify.database._session import Root, Session
from storify.database.backups import Backups
from storify.engine import Engine, FileCatalog, FileEngine
from storify.exceptions import (
    DatabaseClosedError,
    DatabaseReadOnlyError,
    ModelLoadError,
)
from storify.logger import BasicLogger, LoggerLike, adapt
from storify.models import Unloaded

__all__ = ["Database", "Use"]

V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)
T = TypeVar("T")


class Missing(Enum):
    """The type of `MISSING`; an enum, so that type checkers narrow it."""

    MISSING = "missing"


#: Stands for an argument that was not given, where None is a value.
MISSING: Literal[Missing.MISSING] = Missing.MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How one Database uses its file.

    Attributes:
        hint: The declared type of the values, None if untyped.
        key: The declared type of the keys, None if untyped.
        readonly: Never written.
        strict: Values are checked against *hint* when they are set.
    """

    hint: Any = None
    key: Any = None
    readonly: bool = False
    strict: bool = False

    @classmethod
    def of(cls, model: Any, key: Any, *, readonly: bool, strict: bool) -> "Use":
        """Make one from `Storify.get_db`'s arguments; a tuple is a union."""
        hint: Any = model
        if isinstance(hint, tuple):
            hint = Union[model]  # noqa: UP007 - the members are in a tuple
        return cls(hint=hint, key=key, readonly=readonly, strict=strict)


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


class _Items(ItemsView[K, V]):
    """The items of a database, without a look-up for each."""

    _mapping: "Database[V, K]"

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._checked()  # noqa: SLF001 - a part of the class


class _Values(ValuesView[V]):
    """The values of a database, without a look-up for each."""

    _mapping: "Database[V, Any]"

    def __iter__(self) -> Iterator[V]:
        for _, value in self._mapping._checked():  # noqa: SLF001 - as above
            yield value


class Database(MutableMapping[K, V], Generic[V, K]):
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

    name: str
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
            list(models),
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

    # -- the mapping -----------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        """Give the live value under *key* (for a list root, at an index).

        Raises:
            KeyError: There is no such key.
            ModelLoadError: In a typed database, the record does not fit its
                class; ``db.data[key]`` is the record as it was read.
        """
        value = cast("Any", self._root())[key]
        if type(value) is Unloaded and self._use.hint is not None:
            raise self._load_error(key, value)
        return cast("V", value)

    def _load_error(self, key: object, record: Unloaded) -> ModelLoadError:
        cause = record.error
        path = f"$[{key!r}]" + (cause.path.removeprefix("$") if cause else "")
        reason = cause or (
            f"the class of {next(iter(record), None)!r} is not registered, "
            f"pass it in models=[...]"
        )
        msg = (
            f"cannot load {path} of database {self.name!r}: {reason}; the record is "
            f"kept as it is and can be read from db.data[{key!r}]"
        )
        error = (type(cause) if cause else ModelLoadError)(msg, path)
        error.__cause__ = cause
        return error

    def values(self) -> ValuesView[V]:
        """Give a view of the live values, as a dict does.

        Iterating over it raises `ModelLoadError` at a record that does not fit
        its class, in a typed database.
        """
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """Give a view of the keys and live values, as a dict does.

        Iterating over it raises as iterating over `values` does.
        """
        return _Items(self)

    def _checked(self) -> Iterator[tuple[K, V]]:
        root = self._root()
        pairs: Iterable[tuple[Any, Any]] = (
            enumerate(root) if isinstance(root, list) else root.items()
        )
        typed = self._use.hint is not None
        for key, value in pairs:
            if type(value) is Unloaded and typed:
                raise self._load_error(key, value)
            yield cast("tuple[K, V]", (key, value))

    def __setitem__(self, key: K, value: V) -> None:
        """Put the live *value* under *key*; it is saved by the next flush.

        Raises:
            CheckError: The database is strict and the value misfits its type.
            DatabaseReadOnlyError: The database was opened read-only.
        """
        root = self._writable()
        if self._use.strict:
            self._check(key, value)
        cast("Any", root)[key] = value

    def _check(self, key: object, value: object) -> None:
        path = f"$[{key!r}]"
        if self._use.key is not None:
            self._schema.check(key, self._use.key, path)
        hint = type(value) if self._use.hint is None else self._use.hint
        self._schema.check(value, hint, path)

    def __delitem__(self, key: K) -> None:
        """Remove *key* and its value; KeyError if there is none."""
        del cast("Any", self._writable())[key]

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys in order; for a list root over its items."""
        return iter(cast("dict[K, V]", self._root()))

    def __len__(self) -> int:
        """Count the keys; for a list root its items."""
        return len(self._root())

    def __contains__(self, key: object) -> bool:
        """Whether *key* is there; for a list root, whether the item is."""
        return key in self._root()

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

    @overload
    def pop(self, key: K = ..., /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V) -> V: ...
    @overload
    def pop(self, key: K, /, default: T) -> V | T: ...
    def pop(self, key: Any = MISSING, /, default: Any = MISSING) -> Any:
        """Remove *key* and give its value, or *default* if there is none.

        For a list root *key* is an index, the last one if left out.

        Raises:
            KeyError, IndexError: There is no such item and no default.
            TypeError: The root is a dict and no key was given.
        """
        root = self._writable()
        if isinstance(root, list):
            return root.pop() if key is MISSING else root.pop(key)
        if key is MISSING:
            msg = f"pop from database {self.name!r} needs a key: its root is a dict"
            raise TypeError(msg)
        return root.pop(key) if default is MISSING else root.pop(key, default)

    def append(self, value: V) -> None:
        """Append *value* to a list root; TypeError if the root is a dict."""
        root = self._list("append to")
        if self._use.strict:
            self._check(len(root), value)
        root.append(value)

    def remove(self, value: V) -> None:
        """Remove the first item equal to *value* from a list root.

        Raises:
            ValueError: There is no such item.
            TypeError: The root is a dict.
        """
        self._list("remove an item from").remove(value)

    def _list(self, what: str) -> list[Any]:
        root = self._writable()
        if isinstance(root, list):
            return root
        msg = (
            f"cannot {what} database {self.name!r}: its root is a dict; "
            f"a list root is made by get_db(name, root=[])"
        )
        raise TypeError(msg)

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
        engine = FileEngine(path, log=self.log, readonly=True)
        loaded = engine.load(self._schema.codec.decode_root)
        if loaded is None:
            msg = f"cannot load database {self.name!r} from {engine.location}: no file"
            raise FileNotFoundError(msg)
        with self.lock:
            self._session.data = loaded.value

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
