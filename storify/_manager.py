"""`Storify`: a folder of databases, with one set of models and settings.

It opens each database once, saves all of them at intervals and closes them
together. Names, files and renames are the catalog's (`storify.engine`).
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self, overload
from weakref import WeakValueDictionary

from typing_extensions import TypeVar

from storify._autosave import autosaver
from storify.codec import CustomType
from storify.database import Database
from storify.database._farewell import is_open
from storify.database._schema import Schema
from storify.database._use import Use
from storify.engine import Catalog, FileEngine, open_catalog
from storify.exceptions import DatabaseLoadError, DatabaseOpenError
from storify.logger import BasicLogger, LoggerLike, adapt

__all__ = ["Storify"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
K = TypeVar("K")
T = TypeVar("T")

#: An interval that never comes: autosave is off.
_NEVER_S = 3600.0


class Storify:
    """A folder of databases.

    ``sf["users"]``, ``"users" in sf``, ``del sf["users"]``, ``len(sf)`` and
    iteration work on the names of the databases in the folder. As a context
    manager it closes every open database at the end of the block.

    Args:
        root: The folder, made if it is missing; or ``"memory://"`` for
            databases that live and die with this object.
        save_interval: Seconds between automatic saves; None or 0 for none.
            What is unsaved at the end of the program is saved then, always.
        log: A logger with the guide's methods (``debug``, ``info``,
            ``warning``, ``error``, ``traceback``) or a ``logging.Logger``.
        verbose: Log at ``DEBUG`` instead of ``INFO``, if no logger is given.
        models: The model classes that stored records come back as. Classes
            appended to `models` later count for databases opened after that.
        types: Enums, named tuples, dataclasses, subclasses of builtins, or
            `CustomType` objects; see `register_type`.
        strict: Refuse values that do not fit their declared types when they
            are set, in every database.
        clock: Seconds that only grow, for the save interval.

    Attributes:
        root: The folder, as it was given.
        databases: The open databases that are saved at intervals. A database
            got by path may be appended to it.

    Raises:
        ModelError: A class in *models* cannot be a model.
        OSError: The folder cannot be made.
        ValueError: *save_interval* is negative.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "data",
        save_interval: float | None = 60,
        log: BasicLogger | None = None,
        verbose: bool = False,
        models: Iterable[type[Any]] = (),
        *,
        types: Iterable[type[Any] | CustomType[Any]] = (),
        strict: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if save_interval is not None and save_interval < 0:
            msg = f"save_interval must be seconds, or None for never: {save_interval}"
            raise ValueError(msg)
        self.log: LoggerLike = adapt(log, verbose=verbose)
        self._schema = Schema(models, types, self.log)
        self.models: list[type[Any]] = self._schema.models
        self.save_interval = save_interval
        self.databases: list[Database[Any, Any]] = []
        #: By the name they were got by: an open one is found without the disk.
        self._opened: WeakValueDictionary[str, Database[Any, Any]] = (
            WeakValueDictionary()
        )
        self._strict = strict
        self._clock = clock
        self.root: str = os.fspath(root)
        self._catalog: Catalog = open_catalog(root, self.log)
        self._catalog.create()
        #: Names whose loading failed here: only these may be started afresh.
        self._damaged: set[str] = set()
        autosaver.watch(self)

    # -- opening ---------------------------------------------------------------

    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: None = ...,
        key: None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[Any, Any]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: None = ...,
        key: type[K],
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[Any, K]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: type[A],
        key: type[K],
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A, K]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: type[A],
        key: None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: tuple[type[A], type[B]],
        key: None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A | B]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: tuple[type[A], type[B], type[C]],
        key: None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A | B | C]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = ...,
        *,
        model: tuple[type[A], type[B], type[C], type[D]],
        key: None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A | B | C | D]: ...
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | list[Any] | None = None,
        *,
        model: Any = None,
        key: Any = None,
        readonly: bool = False,
        strict: bool | None = None,
    ) -> Any:
        """Open the database *name*, or make it; open already, give that object.

        Args:
            name: A portable file name without its ending: no separators,
                control characters or device names, at most 200 bytes.
            root: The content of a database that does not exist yet, copied;
                an empty dict unless given. After this `Storify` has raised
                `DatabaseLoadError` for *name*, giving a root starts the
                database afresh, and the damaged file is kept as ``.corrupt``.
            model: The type of the values, or a tuple of types: type checkers
                see ``Database[User]``, the classes are registered, and a
                record that does not fit its class raises `ModelLoadError` when
                it is read.
            key: The type of the keys; str unless given.
            readonly: It must exist and is never written.
            strict: Refuse values that do not fit *model* when they are set.

        Raises:
            DatabaseLoadError: Neither the file nor a backup could be read.
            DatabaseNameError: *name* is not allowed.
            FileNotFoundError: It does not exist and *readonly* was asked for.
            ValueError: It is open already with another *model* or *key*.

        A database that is open already stays as it was opened; it may get its
        *model* and *key* now.
        """
        strict = self._strict if strict is None else strict
        use = Use.of(model, key, readonly=readonly, strict=strict)
        loaded = self._opened_as(name)
        if loaded is not None:
            return loaded._reuse(use)
        engine = self._catalog.engine(name, readonly=readonly)
        loaded = self._opened_at(engine.location)
        if loaded is not None:
            return loaded._reuse(use)
        self._schema.registry.register(*self.models)
        if root is not None and name in self._damaged:
            where = engine.set_aside()
            self.log.warning(
                f"database {name!r} starts afresh; it was moved to {where}"
            )
        try:
            db: Database[Any, Any] = Database._over(
                name, engine, self._schema, self.models, root, use, self._clock
            )
        except DatabaseLoadError:
            self._damaged.add(name)
            raise
        self._damaged.discard(name)
        self._opened[name] = db
        self.databases[:] = [each for each in self.databases if not each.defunct]
        self.databases.append(db)
        return db

    def get_loaded_db(self, name: str) -> Database[Any, Any] | None:
        """Give the open database *name* of this `Storify`, None if it is not open."""
        db = self._opened_as(name)
        if db is None:  # not `or`: an empty database is false
            db = self._opened_at(self._catalog.engine(name).location)
        return db

    def _opened_as(self, name: str) -> Database[Any, Any] | None:
        db = self._opened.get(name)
        return None if db is None or db.defunct else db

    def _opened_at(self, path: str) -> Database[Any, Any] | None:
        """Find one that was got by another spelling of its name, or by its path."""
        opened = (db for db in self.databases if not db.defunct)
        return next((db for db in opened if db.path == path), None)

    def get_db_by_path(self, path: str | os.PathLike[str]) -> Database[Any, Any]:
        """Open the database file *path*, with the classes and log of this `Storify`.

        It is not saved at intervals unless it is appended to `databases`; it is
        saved when it is closed and at the end of the program.

        Raises:
            DatabaseLoadError: Neither the file nor a backup could be read.
        """
        self._schema.registry.register(*self.models)
        engine = FileEngine(path, log=self.log)
        name = PurePath(engine.location).stem
        use = Use(strict=self._strict)
        return Database._over(
            name, engine, self._schema, self.models, None, use, self._clock
        )

    def __getitem__(self, name: str) -> Database[Any, Any]:
        """Open the database *name*, as `get_db` does."""
        return self.get_db(name)

    # -- the folder ------------------------------------------------------------

    def db_exists(self, name: str) -> bool:
        """Whether the database *name* has been saved in this folder."""
        return self._catalog.exists(name)

    def __contains__(self, name: object) -> bool:
        """Whether a database of that name is in the folder or open."""
        return isinstance(name, str) and name in list(self)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of all databases, saved or open, sorted."""
        opened = {db.name for db in self.databases if not db.defunct}
        return iter(sorted({*self._catalog.names(), *opened}))

    def __len__(self) -> int:
        """Count the databases in the folder."""
        return sum(1 for _ in self)  # list() would ask for the length

    def rename_db(self, old_name: str, new_name: str) -> None:
        """Rename a database that is not open; its backups move with it.

        A crash at any step loses nothing: the next use of either name finds
        the data.

        Raises:
            DatabaseOpenError: It is open in this process; close it first.
            FileExistsError: There is a database *new_name* already.
            FileNotFoundError: There is no database *old_name*.
            DatabaseNameError: A name is not allowed.
        """
        self._refuse_open(old_name, "rename")
        self._refuse_open(new_name, "rename to")
        self._catalog.rename(old_name, new_name)

    def remove_db(self, name: str) -> None:
        """Remove a database; its last saved state joins the backups, which stay.

        If this `Storify` has it open, that object is destroyed as by
        `Database.destroy`.

        Raises:
            FileNotFoundError: There is no such database.
            DatabaseOpenError: Another object in this process has it open.
            DatabaseNameError: The name is not allowed.
        """
        db = self.get_loaded_db(name)
        if db is not None:
            db.destroy()
            return
        self._refuse_open(name, "remove")
        self._catalog.remove(name)

    def __delitem__(self, name: str) -> None:
        """Remove the database *name*, as `remove_db` does."""
        self.remove_db(name)

    def _refuse_open(self, name: str, what: str) -> None:
        if is_open(self._catalog.engine(name)):
            msg = (
                f"cannot {what} database {name!r}: it is open in this process; "
                f"close it first"
            )
            raise DatabaseOpenError(msg)

    # -- types -----------------------------------------------------------------

    def register_type(
        self,
        type_: type[T],
        encode: Callable[[T], Any] | None = None,
        decode: Callable[[Any], T] | None = None,
        key: str | None = None,
    ) -> None:
        """Let objects of exactly the class *type_* be stored.

        Args:
            type_: An enum, a named tuple, a dataclass, a subclass of a builtin;
                any class, if *encode* and *decode* are given.
            encode: Gives a storable value for an object.
            decode: Gives the equal object back for that value.
            key: The name in the file, ``type_.__name__`` unless given. It must
                stay the same as long as files hold it.

        Raises:
            DuplicateKeynameError: Another class has that name.
            TypeError: The class needs *encode* and *decode*.
        """
        self._schema.register_type(type_, encode, decode, key)

    # -- saving ----------------------------------------------------------------

    def tick(self, force: bool = False) -> None:
        """Flush the open databases whose last flush is `save_interval` ago.

        It is called for you in the background.

        Args:
            force: Flush all of them now.

        Raises:
            The errors of `Database.flush`: all databases were tried, the first
            error is raised, further ones are logged.
        """
        self._for_each(
            [db for db in self.databases if force or self._due_in_s(db) <= 0],
            Database.flush,
        )

    def _for_each(
        self,
        databases: list[Database[Any, Any]],
        action: Callable[[Database[Any, Any]], None],
    ) -> None:
        """Do *action* with all, then raise the first error; log the others."""
        errors: list[Exception] = []
        for db in databases:
            try:
                action(db)
            except Exception as error:  # noqa: BLE001 - the others are tried first
                if errors:
                    self.log.traceback(f"{action.__name__} of {db!r} failed")
                errors.append(error)
        if errors:
            raise errors[0]

    def flush(self) -> None:
        """Flush all open databases now: ``tick(force=True)``."""
        self.tick(force=True)

    def autosave(self) -> float:
        """Flush what is due and give the seconds until more is; never raises.

        The background thread's entry. Errors are logged, kept as
        `Database.last_error`, and raised by the next `flush` or `close` if
        they last.
        """
        delays_s: list[float] = []
        for db in list(self.databases):
            if db.defunct or db.readonly:
                continue
            if self._due_in_s(db) <= 0:
                db._autosave()
            delays_s.append(self._due_in_s(db))
        return min(delays_s, default=self.save_interval or _NEVER_S)

    def _due_in_s(self, db: Database[Any, Any]) -> float:
        if not self.save_interval:
            return _NEVER_S
        return db._flushed_at_s + self.save_interval - self._clock()

    def close(self) -> None:
        """Close all open databases; each can be got anew.

        Raises:
            The errors of `Database.flush`: all were tried, the first error is
            raised, and the databases concerned stay open and dirty.
        """
        try:
            self._for_each(list(self.databases), Database.close)
        finally:
            self.databases[:] = [db for db in self.databases if not db.defunct]

    def __enter__(self) -> Self:
        """Give the `Storify` itself; the end of the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all databases: what was set before an exception is saved too."""
        self.close()

    def __repr__(self) -> str:
        """Tell the folder and how many databases are open."""
        opened = sum(not db.defunct for db in self.databases)
        return f"<Storify {self.root!r} ({opened} open)>"
