"""`Storify`: a folder of databases, with one set of models and settings.

It opens each database once, saves all of them at intervals and closes them
together. Names, files and renames are the catalog's (`storify.engine`).
"""

import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import compress
from operator import call, is_
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex, overload

from storify._autosave import autosaver
from storify._python import TypeVar
from storify.codec import CustomType
from storify.database import Database, ListDatabase
from storify.database._schema import Schema, StorifyResolver, Use
from storify.database._source import Source
from storify.database.session.saving import CACHE_BYTES, Saving
from storify.database.session.shutdown import heed_signals, is_open
from storify.engine import Catalog, Engine, Keep, Sync, check_name
from storify.engine.names import check_new_name, collation_key, is_name, name_in
from storify.engine.protocol import SYNC_INTERVAL_S
from storify.exceptions import (
    DatabaseLoadError,
    DatabaseNameError,
    DatabaseOpenError,
)
from storify.logger import BasicLogger, LoggerLike, adapt
from storify.models import Misfit
from storify.threads import run_async

if TYPE_CHECKING:
    from storify.database.maintenance.check import Progress
    from storify.database.maintenance.salvage import Salvage


A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
K = TypeVar("K", default=str)
T = TypeVar("T")

_Db = Database[Any, Any]

#: An interval that never comes: autosave is off.
_NEVER_S = 3600.0


def _given(*, create_schema: bool, **options: object) -> dict[str, object]:
    """The options of a server that say something."""
    given = {key: value for key, value in options.items() if value is not None}
    return given if create_schema else {**given, "create_schema": False}


class _Opened:
    """The open databases, each one once, as long as somebody has them.

    Threads that open one database at the same moment both read it; the first to note
    what it opened gives it to all. So nobody waits for anybody, and an interrupt on the
    way leaves nothing behind.
    """

    def __init__(self) -> None:
        #: By the name that they were got by: they are found without the disk.
        self._by_name: dict[str, weakref.ref[_Db]] = {}
        self._by_path: dict[str, weakref.ref[_Db]] = {}
        #: By what some file systems make of the name.
        self._by_key: dict[str, weakref.ref[_Db]] = {}

    def by_name(self, name: str) -> _Db | None:
        """Return the open database that was got by this name."""
        return _living(self._by_name.get(name))

    def at(self, path: str) -> _Db | None:
        """Return the open database at a path."""
        return _living(self._by_path.get(path))

    def like(self, name: str) -> _Db | None:
        """Return the open database whose name some file systems take for this one."""
        return _living(self._by_key.get(collation_key(name)))

    def put(self, name: str, db: _Db) -> _Db:
        """Note a database, or return the one that is open at its path already."""
        mine = weakref.ref(db)
        there = self._by_path.setdefault(db.path, mine)
        while there is not mine:
            other = _living(there)
            if other is not None:
                self._by_name[name] = there
                return other
            # One that is closed gives way to the first who comes, in one step.
            put = partial(self._by_path.__setitem__, db.path, mine)
            now = map(self._by_path.get, (db.path,))
            deque(map(call, compress((put,), map(is_, now, (there,)))), 0)
            there = self._by_path[db.path]
        self._by_name[name] = mine
        self._by_key[collation_key(name)] = mine
        return db


def _living(ref: "weakref.ref[_Db] | None") -> _Db | None:
    db = None if ref is None else ref()
    return None if db is None or db.defunct else db


class _Damage:
    """The databases that could not be loaded, and what was asked for then.

    Who asks for a database as it is, is refused and then gives a root says that it is
    to start afresh. Who gives a root each time, as for a list, says nothing by it.
    """

    def __init__(self) -> None:
        self._asked_without_root: set[str] = set()
        self._asked_with_root: set[str] = set()

    def met(self, name: str, *, with_root: bool) -> None:
        """Note that a call was refused."""
        (self._asked_with_root if with_root else self._asked_without_root).add(name)

    def is_answered_by_root(self, name: str) -> bool:
        """Whether a root that is given now is an answer to a refusal."""
        return name in self._asked_without_root and name not in self._asked_with_root

    def is_over(self, name: str) -> None:
        """Note that it was loaded or put away."""
        self._asked_with_root.discard(name)
        self._asked_without_root.discard(name)


class Storify:
    """A folder of databases.

    ``sf["users"]``, ``"users" in sf``, ``del sf["users"]``, ``len(sf)`` and
    iteration work on the names of the databases in the folder. As a context
    manager it closes every open database at the end of the block.

    Args:
        root: The folder, made if it is missing; ``"memory://"`` for
            databases that live and die with this object; or the URL of a PostgreSQL
            server, as ``"postgresql://user@host/db"``, with ``storify[postgres]``.
        save_interval: Seconds between automatic saves, in the background or by `tick`.
            0: each `tick` saves, the background never. None: neither does.
            What is unsaved at the end of the program is saved then.
        log: A logger with the guide's methods (``debug``, ``info``,
            ``warning``, ``error``, ``traceback``) or a ``logging.Logger``.
        verbose: Log at ``DEBUG`` instead of ``INFO``, if no logger is given.
        models: The model classes that stored records come back as. Classes
            appended to `models` later count for databases opened after that.
        types: Enums, named tuples, dataclasses, subclasses of builtins, or
            `CustomType` objects; see `register_type`.
        strict: Refuse values that do not fit their declared types when they
            are set, in every database.
        keep: How many older states of each database are kept: a number, or a
            `Keep` that names hours and days as well; the last 5 unless given.
        sync: ``"commit"``: what `Database.flush` has saved survives a power cut
            when it returns. ``"interval"``: a flush survives the end of the
            process at once, a power cut after *sync_interval*; a state is whole
            in each case.
        sync_interval: Seconds after which commits are synced in the background,
            with ``sync="interval"``.
        journal: Save a change of a large database beside its file, at the cost of
            the change; the autosave folds it in. False: each flush leaves one whole
            file, for other programs that read it meanwhile.
        clock: Seconds that only grow, for the intervals.
        background: Save what is due in a thread in the background. False: `tick` saves
            it, when the program calls that, as in a loop between two steps; and so do
            `flush`, `close` and the end of the program.
        handle_signals: Save what is unsaved when SIGTERM or SIGHUP ends the program,
            unless it has a handler for them. It is ended as it would have been. All
            databases are saved if one object of the program asks for it.
        cache_bytes: How much of each large database stays in memory though nothing
            holds it, in bytes as stored (objects take about five times as many). What
            was read longest ago makes room for the next; what the program holds, has
            changed and not saved, or was given as `Database.data` stays in any case.
            0 keeps nothing: each read asks the file.
        allow_network_filesystem: Use a folder on NFS, SMB or sshfs all the same, whose
            locks and renames do not keep what is promised here: one machine alone may
            use it then. Only known on Linux.
        schema: On a server the schema of its database that the tables are in;
            ``"storify"`` unless given.
        pool: A `psycopg_pool.ConnectionPool` of the program's own, that connections to
            the server are taken from.
        create_schema: Whether the tables are made on the server if they are missing.
            False: an administrator has run ``storify postgres init``.

    Attributes:
        root: The folder, as it was given; a URL without its password.
        databases: The open databases that are saved at intervals. A database
            got by path may be appended to it.

    Raises:
        ModelError: A class in *models* cannot be a model.
        ModuleNotFoundError: The driver of a server is not installed.
        OSError: The folder cannot be made; the server does not answer.
        NetworkFilesystemError: It is on a network file system; nothing was made.
        ValueError: An interval or *cache_bytes* is negative, *keep* or *sync* is no
            such thing; no engine knows the URL.
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
        keep: Keep | int | None = None,
        sync: Sync = "commit",
        sync_interval: float = SYNC_INTERVAL_S,
        journal: bool = True,
        clock: Callable[[], float] = time.monotonic,
        background: bool = True,
        handle_signals: bool = True,
        cache_bytes: int = CACHE_BYTES,
        allow_network_filesystem: bool = False,
        schema: str | None = None,
        pool: Any = None,
        create_schema: bool = True,
    ) -> None:
        if save_interval is not None and save_interval < 0:
            msg = f"save_interval must be seconds, or None for never: {save_interval}"
            raise ValueError(msg)
        self._saving = Saving.of(
            keep=keep,
            sync=sync,
            journal=journal,
            sync_interval_s=sync_interval,
            clock=clock,
            cache_bytes=cache_bytes,
            options=_given(schema=schema, pool=pool, create_schema=create_schema),
        )
        self.log: LoggerLike = adapt(log, verbose=verbose)
        self._schema = Schema(models, types, self.log)
        self._schema.resolver = StorifyResolver(
            self, Storify._find_source, Storify._peek
        )
        self.models: list[type[Any]] = self._schema.models
        self.save_interval = save_interval
        self.databases: list[Database[Any, Any]] = []
        self._opened = _Opened()
        self._strict = strict
        self._clock = clock
        self._catalog: Catalog = self._saving.open_catalog(
            root,
            self._schema.codec,
            self.log,
            allow_network_filesystem=allow_network_filesystem,
        )
        #: As it was given, perhaps with a password: it is never shown.
        self._root = os.fspath(root)
        is_folder = "://" not in self._root
        self.root: str = self._root if is_folder else self._catalog.location
        self._catalog.create()
        self._damage = _Damage()
        #: Of which files without a name for a database was told.
        self._told_of: set[str] = set()
        self._background = background
        self._handle_signals = handle_signals
        heed_signals(wanted=handle_signals)
        if background:
            autosaver.watch(self)

    # -- opening ---------------------------------------------------------------

    @overload
    def get_db(
        self,
        name: str,
        root: list[Any],
        *,
        model: None = ...,
        key: type[int] | None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> ListDatabase[Any]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: list[Any],
        *,
        model: type[A],
        key: type[int] | None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> ListDatabase[A]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: list[Any],
        *,
        model: tuple[type[A], type[B]],
        key: type[int] | None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> ListDatabase[A | B]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: list[Any],
        *,
        model: tuple[type[A], type[B], type[C]],
        key: type[int] | None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> ListDatabase[A | B | C]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: list[Any],
        *,
        model: tuple[type[A], type[B], type[C], type[D]],
        key: type[int] | None = ...,
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> ListDatabase[A | B | C | D]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | None = ...,
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
        root: dict[Any, Any] | None = ...,
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
        root: dict[Any, Any] | None = ...,
        *,
        model: type[A],
        key: type[K] | None = ...,  # pyright: ignore[reportInvalidTypeVarUse] - str
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A, K]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | None = ...,
        *,
        model: tuple[type[A], type[B]],
        key: type[K] | None = ...,  # pyright: ignore[reportInvalidTypeVarUse] - str
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A | B, K]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | None = ...,
        *,
        model: tuple[type[A], type[B], type[C]],
        key: type[K] | None = ...,  # pyright: ignore[reportInvalidTypeVarUse] - str
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A | B | C, K]: ...
    @overload
    def get_db(
        self,
        name: str,
        root: dict[Any, Any] | None = ...,
        *,
        model: tuple[type[A], type[B], type[C], type[D]],
        key: type[K] | None = ...,  # pyright: ignore[reportInvalidTypeVarUse] - str
        readonly: bool = ...,
        strict: bool | None = ...,
    ) -> Database[A | B | C | D, K]: ...
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
                an empty dict unless given. It hides no damage: `set_aside` lets a
                damaged database start afresh. So does the first call with a root
                after one without has raised `DatabaseLoadError`, unless one with a
                root has, too; the damaged file is kept as ``.corrupt``.
            model: The type of the values, or a tuple of two to four types: type
                checkers see ``Database[User]``, the classes are registered, and a
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
        loaded = self._opened.by_name(name)
        if loaded is not None:
            return loaded._reuse(use)
        engine = self._catalog.engine(name, readonly=readonly)
        loaded = self._opened_at(engine.location)
        if loaded is not None:
            return loaded._reuse(use)
        self._refuse_twin(name)
        self._schema.registry.register(*self.models)
        if root is not None and self._damage.is_answered_by_root(name):
            where = engine.set_aside()
            self.log.warning(
                f"database {name!r} starts afresh; it was moved to {where}"
            )
        try:
            db: Database[Any, Any] = Database._over(
                name, engine, self._schema, self.models, root, use, self._saving
            )
        except DatabaseLoadError:
            self._damage.met(name, with_root=root is not None)
            raise
        db._found_by = self._opened
        first = self._opened.put(name, db)
        if first is not db:  # another thread was faster, or the handler of a signal
            db.close(discard=True)
            return first._reuse(use)
        self._damage.is_over(name)
        self._forget_closed()
        self.databases.append(db)
        return db

    def _refuse_twin(self, name: str) -> None:
        """Refuse a new database that some file systems would take for an open one.

        Raises:
            DatabaseNameError: It would be one.
        """
        twin = self._opened.like(name)
        if twin is not None and not self._catalog.exists(name):
            check_new_name(name, [twin.name])

    def get_loaded_db(self, name: str) -> Database[Any, Any] | None:
        """Return the open database *name* of this `Storify`, None if it is not open."""
        db = self._opened.by_name(name)
        if db is None:  # not `or`: an empty database is false
            db = self._opened_at(self._catalog.engine(name).location)
        return db

    def _opened_at(self, path: str) -> Database[Any, Any] | None:
        """Find one that was got by another spelling of its name, or by its path."""
        found = self._opened.at(path)
        if found is not None:
            return found
        # Those that were appended; the others are noted, and may be many.
        mine = self._opened
        added = [db for db in list(self.databases) if db._found_by is not mine]
        return next((db for db in added if not db.defunct and db.path == path), None)

    def get_db_by_path(self, path: str | os.PathLike[str]) -> Database[Any, Any]:
        """Open the database file *path*, with the classes and log of this `Storify`.

        It is not saved at intervals unless it is appended to `databases`; it is
        saved when it is closed and at the end of the program.

        Raises:
            DatabaseLoadError: Neither the file nor a backup could be read.
        """
        self._schema.registry.register(*self.models)
        engine = self._saving.file(path, self._schema.codec, self.log)
        name = name_in(engine.location)
        use = Use(strict=self._strict)
        return Database._over(
            name, engine, self._schema, self.models, None, use, self._saving
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
        if not isinstance(name, str):
            return False
        return self._is_saved(name) or self._known(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of all databases, saved or open, sorted.

        Files of the folder that have no name a database may have are left out; a
        warning tells of each once. `get_db_by_path` opens them.
        """
        self._tell_of_nameless()
        return iter(self._names())

    def _names(self) -> list[str]:
        opened = {
            check_name(db.name)
            for db in self.databases
            if not db.defunct and is_name(db.name)  # one may be got by its path
        }
        return sorted({*self._catalog.names(), *opened})

    def _tell_of_nameless(self) -> None:
        new = {
            stem: path
            for stem, path in self._catalog.nameless().items()
            if path not in self._told_of
        }
        if new:
            self._told_of.update(new.values())
            self.log.warning(
                f"left out of the databases of {self.root!r}, as no name of one is "
                f"like these: {', '.join(map(repr, new))}; get_db_by_path opens the "
                f"file, storify.importers.import_storify gives another name"
            )

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
        check_name(new_name)
        with suppress(DatabaseNameError):  # it is the old one in another case, or new
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

    def salvage(self, name: str) -> "Salvage":
        """Save what is intact of a database that cannot be opened any more.

        For one that raises `DatabaseLoadError`: its file is damaged and no backup
        can replace it. Each record that is whole is kept, a record that is not is
        taken from the newest backup that has it. The damaged file stays beside
        the backups. When it returns, the database can be opened, and what was
        saved is durable.

        Raises:
            DatabaseOpenError: It is open in this process.
            FileNotFoundError: There is no such database.
            ValueError: It can be opened: there is nothing to salvage.
            DatabaseNameError: The name is not allowed.
            OSError: Nothing was lost; try again when the cause is gone.
        """
        from storify.database.maintenance.salvage import salvage  # noqa: PLC0415 -- few programs need it

        self._refuse_open(name, "salvage")
        engine = self._catalog.engine(name)
        saved = salvage(name, engine, self._schema.codec, self.log)
        self._damage.is_over(name)
        return saved

    def set_aside(self, name: str) -> str:
        """Put a damaged database away, so that `get_db` makes it anew.

        For one that raises `DatabaseLoadError` and of which nothing is wanted: see
        `salvage` first. The damaged file is kept among the backups.

        Returns:
            Where it is now.

        Raises:
            DatabaseOpenError: It is open in this process.
            FileNotFoundError: There is no such database.
            ValueError: It can be opened: `remove_db` removes it.
            DatabaseNameError: The name is not allowed.
        """
        from storify.database.maintenance.salvage import set_aside  # noqa: PLC0415 -- few programs need it

        self._refuse_open(name, "set aside")
        engine = self._catalog.engine(name)
        kept = set_aside(name, engine, self._schema.codec, self.log)
        self._damage.is_over(name)
        return kept

    # -- checking --------------------------------------------------------------

    def check(
        self,
        progress: "Progress | None" = None,
        *,
        types: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[Misfit]:
        """List where the records of all databases in the folder do not fit their types.

        As `Database.check`, of which it is told in `Misfit.database`. What is not
        open is opened for that, read-only: unless *types* says more, its records are
        judged by the classes of their keynames. One that cannot be loaded is a misfit
        at ``$``. So is one of an older release that cannot be opened by its name; its
        records are checked, too. Nothing is changed.

        Args:
            progress: Called now and then with the numbers of records that were
                checked and of all in the database at hand.
            types: The types of the values by the names of the databases, as *model*
                of `get_db`, for those that are not open with one.

        Raises:
            FileNotFoundError: There is no database of a name in *types*.
            ModelError: A type in *types* cannot be stored.
        """
        from storify.database.maintenance.check import check  # noqa: PLC0415 -- few programs need it

        looks = {name: partial(self._peek, name) for name in self._names()}
        nameless = self._catalog.nameless()
        looks |= {
            stem: partial(self._peek_at, stem, path) for stem, path in nameless.items()
        }
        for name in types:
            if name not in looks:
                msg = f"cannot check database {name!r}: there is none in {self.root!r}"
                raise FileNotFoundError(msg)
        found: list[Misfit] = []
        for name, look in looks.items():
            if name in nameless:
                bad = Misfit("$", "bad name", "a portable name", repr(name), name)
                found.append(bad)
            try:
                with look() as source:
                    if source is not None:
                        hint = Use.hint_of(types.get(name))
                        found += check(source, progress, hint=hint)
            except (DatabaseLoadError, OSError) as error:
                kind = type(error).__name__
                found.append(Misfit("$", "unreadable", "a database", kind, name))
        return found

    @contextmanager
    def _peek(self, name: str) -> Generator[Source | None]:
        """Return the database *name*, or a read-only one that is not kept open.

        None if there is no such database.

        Raises:
            DatabaseLoadError: Neither the file nor a backup could be read.
        """
        db = self._known(name)
        if db is not None:
            yield db._source
            return
        if not self._is_saved(name):
            yield None
            return
        with self._read(name, self._catalog.engine(name, readonly=True)) as source:
            yield source

    @contextmanager
    def _peek_at(self, name: str, path: str) -> Generator[Source | None]:
        """Return the database in a file; as `_peek`, where no name leads to it."""
        db = self._opened_at(path)
        if db is not None:
            yield db._source
            return
        codec = self._schema.codec
        engine = self._saving.file(path, codec, self.log, readonly=True)
        with self._read(name, engine) as source:
            yield source

    @contextmanager
    def _read(self, name: str, engine: Engine) -> Generator[Source]:
        self._schema.registry.register(*self.models)
        use = Use(readonly=True)
        given = self._schema, self.models, None, use, self._saving
        db: Database[Any, Any] = Database._over(name, engine, *given)
        try:
            yield db._source
        finally:
            db.close(discard=True)

    def _find_source(self, name: str) -> Source | None:
        """Return the database *name*, opened if it is not; None if there is none."""
        db = self._known(name)
        if db is None and self._is_saved(name):
            db = self.get_db(name)
        return None if db is None else db._source

    def _known(self, name: str) -> Database[Any, Any] | None:
        try:
            return self.get_loaded_db(name)
        except DatabaseNameError:
            return None

    def _is_saved(self, name: str) -> bool:
        try:
            return self.db_exists(name)
        except DatabaseNameError:
            return False

    def migrate(
        self, progress: "Progress | None" = None, *, dry_run: bool = False
    ) -> dict[str, int]:
        """Rewrite what is stored in an older form, in all databases of the folder.

        As `Database.migrate`, one database after the other; each is rewritten whole
        or not at all, so what was interrupted is finished by calling it again. What
        is not open is opened for that.

        Args:
            progress: As of `check`.
            dry_run: Only count; nothing is flushed or written.

        Returns:
            The number of records rewritten, by the names of the databases.

        Raises:
            DatabaseLoadError: A database could not be read.
            The errors of `Database.flush`; databases before that one are rewritten.
        """
        done: dict[str, int] = {}
        for name in self:
            opened = self.get_loaded_db(name)
            # not `or`: an empty database is false
            db = self.get_db(name, readonly=dry_run) if opened is None else opened
            try:
                done[name] = db.migrate(progress, dry_run=dry_run)
            finally:
                if opened is None:
                    db.close()
        return done

    def copy_to(
        self, other: "Storify", progress: "Progress | None" = None
    ) -> dict[str, int]:
        """Copy all saved databases to *other*, with their order and their backups.

        As from a folder to a server, and back. Each is compared with its copy at the
        end. What was interrupted is finished by the same call. Nothing here is changed;
        what is not flushed is not copied. Each state has the time that it has here. To a
        server it goes part by part.

        Args:
            other: Where to; it must have no other databases of these names.
            progress: Called now and then with the numbers of records copied and of all,
                those of older states included, in the database at hand.

        Returns:
            The numbers of records, by the names of the databases.

        Raises:
            DatabaseOpenError: One of them is open in *other*.
            FileExistsError: *other* has another database of a name; those before it,
                by name, are copied.
            ValueError: *other* is ``"memory://"`` without a name.
            OSError: A database cannot be read or written now, or was changed meanwhile.
        """
        from storify.database.maintenance.copy import (  # noqa: PLC0415 -- few programs need it
            EVERYTHING,
            CopyClock,
            copy_database,
        )

        if other._root.endswith("://"):
            msg = f"cannot copy to {other!r}: give it a name, as 'memory://copy'"
            raise ValueError(msg)
        clock = CopyClock()
        saving = other._saving._replace(keep=EVERYTHING, sync="commit")
        codec = other._schema.codec
        catalog = saving.open_catalog(
            other._root, codec, other.log, allow_network_filesystem=True, clock=clock
        )
        copied: dict[str, int] = {}
        try:
            for name in self._catalog.names():
                other._refuse_open(name, "copy to")
                source = self._catalog.engine(name, readonly=True)
                target = catalog.engine(name)
                given = source, target, clock, codec, progress
                copied[name] = copy_database(name, *given)
                target.close()
        finally:
            catalog.close()
        return copied

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

        With ``sync="interval"`` also sync what is due. The background does as much at
        any moment, unless ``background=False``.

        Args:
            force: Flush all of them now.

        Raises:
            The errors of `Database.flush`: all databases were tried, the first
            error is raised, further ones are logged.
        """

        def flush(db: Database[Any, Any]) -> None:
            if force or self._due_in_s(db) <= 0:
                db.flush()
            if not db.defunct:
                db._session.syncing.sync_what_is_due()

        self._for_each(list(self.databases), flush, "flush")

    def _for_each(
        self,
        databases: list[Database[Any, Any]],
        action: Callable[[Database[Any, Any]], None],
        doing: str,
    ) -> None:
        """Do *action* with all, then raise the first error; log the others."""
        errors: list[Exception] = []
        for db in databases:
            try:
                action(db)
            except Exception as error:  # noqa: BLE001 - the others are tried first
                if errors:
                    self.log.traceback(f"{doing} of {db!r} failed")
                errors.append(error)
        if errors:
            raise errors[0]

    def flush(self) -> None:
        """Flush all open databases now: ``tick(force=True)``."""
        self.tick(force=True)

    def autosave(self) -> float:
        """Flush and sync what is due and give the seconds until more is.

        It never raises.

        The background thread's entry. Errors are logged, kept as
        `Database.last_error`, and raised by the next `flush` or `close` if
        they last.
        """
        delays_s: list[float] = []
        for db in list(self.databases):
            if db.defunct or db.readonly:
                continue
            if self.save_interval:  # 0: `tick` alone saves, each time
                if self._due_in_s(db) <= 0:
                    db._autosave()
                delays_s.append(self._due_in_s(db))
            delays_s.append(db._autosync())
        return min(delays_s, default=self.save_interval or _NEVER_S)

    def _due_in_s(self, db: Database[Any, Any]) -> float:
        if self.save_interval is None:
            return _NEVER_S
        return db._flushed_at_s + self.save_interval - self._clock()

    def close(self, *, discard: bool = False) -> None:
        """Close all open databases; each can be got anew.

        Args:
            discard: Drop unsaved changes instead of flushing them.

        Raises:
            The errors of `Database.flush`: all were tried, the first error is
            raised, and the databases concerned stay open and dirty.
        """
        try:
            self._for_each(
                list(self.databases), lambda db: db.close(discard=discard), "close"
            )
        finally:
            self._forget_closed()
            self._catalog.close()

    def _forget_closed(self) -> None:
        """Let go of closed databases, one by one: others may be opened meanwhile."""
        # Not by a call for each, of which there may be thousands.
        for db in [db for db in list(self.databases) if db._source.defunct]:
            with suppress(ValueError):  # another thread was faster
                self.databases.remove(db)

    async def aflush(self) -> None:
        """Flush all open databases now, without stopping the loop; see `flush`."""
        await run_async(self.flush)

    async def aclose(self, *, discard: bool = False) -> None:
        """Close all open databases without stopping the loop; see `close`.

        A task that is cancelled closes them all the same, as one does that fails.
        """
        await run_async(partial(self.close, discard=discard), gives_up=False)

    async def __aenter__(self) -> Self:
        """Return the `Storify` itself; the end of the block closes it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all databases without stopping the loop, as `close` does."""
        await self.aclose()

    def __enter__(self) -> Self:
        """Return the `Storify` itself; the end of the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all databases: what was set before an exception is saved too."""
        self.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled or copied."""
        msg = (
            f"cannot pickle or copy {self!r}: it is open files; pass its folder, "
            f"{self.root!r}, and open it there"
        )
        raise TypeError(msg)

    def __rich_repr__(self) -> Iterator[Any]:
        """Tell rich what ``repr`` tells."""
        yield self.root
        yield "open", sum(not db.defunct for db in self.databases)

    def _repr_html_(self) -> str:
        """Return the databases as a table, for notebooks."""
        from storify.tables.html import names_table  # noqa: PLC0415 -- notebooks

        opened = {db.name: len(db) for db in self.databases if not db.defunct}
        return names_table(self._names(), opened, repr(self))

    def _ipython_key_completions_(self) -> list[str]:
        """Return the names, for completion behind a bracket."""
        return self._names()

    def __repr__(self) -> str:
        """Tell the folder and how many databases are open."""
        opened = sum(not db.defunct for db in self.databases)
        return f"<Storify {self.root!r} ({opened} open)>"
