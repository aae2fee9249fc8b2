"""Moving data from other stores into a database, each in one step.

Examples:
    >>> from storify import Storify
    >>> from storify.importers import copy_items
    >>> db = Storify("memory://").get_db("users")
    >>> copy_items({"u1": {"name": "Ann"}}, db)
    1
    >>> dict(db.items())
    {'u1': {'name': 'Ann'}}

All functions here are public. What they share:

- A database gets all records or none, in one transaction that is durable when the
  function returns. After an error it holds what it held; one that did not exist is
  there then, empty.
- The source is opened to be read, and its files are not changed. (SQLite may leave
  empty ``-wal`` and ``-shm`` files beside one of its own.)
- A key that is there already is an error, unless ``overwrite=True``.
- A value that could not be read back equal is an `UnstorableError` with its path.
- ``convert(key, value)`` gives what is stored instead of a value: an object of a
  model for a dict, say.
- ``progress(done, total)`` is called now and then while records are read.

Pickles run code when they are loaded. Nothing here loads one by itself: where a
store holds pickles, you pass ``decode=pickle.loads`` for a file that you trust.
"""

import dbm
import json
import os
import re
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, TypeVar, cast, overload

from storify._manager import Storify
from storify.database import Database
from storify.database._schema import Use
from storify.database.maintenance.check import Progress
from storify.engine import FileCatalog
from storify.engine.file.paths import BACKUPS, SUFFIX
from storify.engine.names import check_new_name
from storify.exceptions import DatabaseNameError

__all__ = [
    "Convert",
    "Source",
    "copy_items",
    "import_shelve",
    "import_sqlitedict",
    "import_storify",
    "import_tinydb",
]

K = TypeVar("K")
S = TypeVar("S")
V = TypeVar("V")
S_co = TypeVar("S_co", covariant=True)

Convert: TypeAlias = Callable[[K, S], V]
"""Gives what is stored for a key and a value of the source."""

#: How many records are read between two calls of the progress.
_STEP = 1000


class Source(Protocol[K, S_co]):
    """A source to copy from: a dict, an open shelf, a `SqliteDict` and so on."""

    def keys(self) -> Iterable[K]:
        """Return the keys."""
        ...

    def __getitem__(self, key: K, /) -> S_co:
        """Return the value under *key*."""
        ...


@overload
def copy_items(
    source: Source[K, V],
    db: Database[V, K],
    *,
    convert: None = ...,
    overwrite: bool = ...,
    progress: Progress | None = ...,
) -> int: ...
@overload
def copy_items(
    source: Source[K, S],
    db: Database[V, K],
    *,
    convert: Convert[K, S, V],
    overwrite: bool = ...,
    progress: Progress | None = ...,
) -> int: ...
def copy_items(
    source: Source[Any, Any],
    db: Database[Any, Any],
    *,
    convert: Convert[Any, Any, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy all items of an open mapping into *db*; give how many.

    Keys keep their types: those of a bare ``dbm`` file are bytes. Values are not
    copied in memory: what the source gives becomes the live value, as in an update.

    Args:
        source: A dict, an open shelf, a `SqliteDict`, a `diskcache.Index`: all that
            has ``keys()`` and ``[key]``.
        db: A database with a dict as its root.
        convert: Gives what is stored for a key and a value.
        overwrite: Replace the values of keys that are there already.
        progress: Called now and then with the numbers of records read and of all.

    Raises:
        ValueError: A key is there already.
        TypeError: The root of *db* is a list.
        UnstorableError: A value could not be read back equal.
        The errors of `Database.transaction`, of the source and of *convert*; a
        note tells the key. The database holds what it held in each case.
    """
    keys = list(source.keys())
    pairs = ((key, source[key]) for key in keys)
    items = _read_all(pairs, len(keys), convert, progress)
    return _put_all(items, db, overwrite=overwrite)


def _read_all(
    pairs: Iterable[tuple[Any, Any]],
    total: int,
    convert: Convert[Any, Any, Any] | None,
    progress: Progress | None,
) -> dict[Any, Any]:
    """Read a source, converted, before the database is locked: others wait for no source.

    An error of *pairs* names its key itself.
    """
    items: dict[Any, Any] = {}
    for key, found in pairs:
        value = found
        if convert is not None:
            with _naming(key):
                value = convert(key, found)
        items[key] = value
        if progress is not None and len(items) % _STEP == 0:
            progress(len(items), total)
    if progress is not None and len(items) % _STEP:
        progress(len(items), total)
    return items


@contextmanager
def _naming(key: object) -> Generator[None]:
    """Add to an error of the caller's code which record it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"the source's key is {key!r}")
        raise


def _put_all(items: dict[Any, Any], db: Database[Any, Any], *, overwrite: bool) -> int:
    """Put *items* into *db* by one commit; give how many."""
    with db.transaction():
        root: object = db.data
        if isinstance(root, list):
            msg = (
                f"cannot import into database {db.name!r}: its root is a list; "
                f"import into one with a dict"
            )
            raise TypeError(msg)
        present = None if overwrite else next((key for key in items if key in db), None)
        if present is not None:
            msg = (
                f"cannot import into database {db.name!r}: it has the key "
                f"{present!r} already; pass overwrite=True to replace what is there"
            )
            raise ValueError(msg)
        for key, value in items.items():
            db[key] = value
    return len(items)


@contextmanager
def _opened(
    sf: Storify,
    name: str,
    root: dict[Any, Any] | list[Any] | None = None,
    *,
    key: Any = None,
) -> Generator[Database[Any, Any]]:
    """Open a database; if it was not open, it is closed: its next user chooses types."""
    was_open = sf.get_loaded_db(name) is not None
    # One with a list is a Database, too; only type checkers tell them apart.
    db = cast("Database[Any, Any]", sf.get_db(name, root, key=key))
    with nullcontext(db) if was_open else db:
        yield db


# --- the stores of others -------------------------------------------------------------


def import_shelve(
    path: str | os.PathLike[str],
    db: Database[V],
    *,
    decode: Callable[[bytes], Any],
    convert: Convert[str, Any, V] | None = None,
    keyencoding: str = "utf-8",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy a shelf into *db*; give how many records.

    Args:
        path: The name that the shelf is opened by, without the endings that some
            kinds of dbm add.
        db: A database with a dict as its root.
        decode: Gives the value for its bytes: ``pickle.loads``, which runs code of
            the file, so for a shelf that you trust only.
        convert: Gives what is stored for a key and a value.
        keyencoding: As it was given to `shelve.Shelf`.
        overwrite: Replace the values of keys that are there already.
        progress: Called now and then with the numbers of records read and of all.

    Raises:
        FileNotFoundError: There is no such shelf.
        ValueError: It is no dbm file, or of a kind that this Python cannot read.
        As `copy_items`.
    """
    location = os.fspath(path)
    kind = dbm.whichdb(location)
    if kind is None:
        raise FileNotFoundError(2, "no such shelf", location)
    if not kind:
        msg = f"cannot import {location!r}: it is no dbm file"
        raise ValueError(msg)
    try:
        with dbm.open(location, "r") as file:
            keys = cast("list[bytes]", file.keys())
            encoded: dict[bytes, bytes] = {key: file[key] for key in keys}
    except (ImportError, *dbm.error) as error:
        msg = f"cannot import {location!r}, a file of {kind}: {error}"
        raise ValueError(msg) from error

    def pair(key: bytes, value: bytes) -> tuple[str, Any]:
        return key.decode(keyencoding), decode(value)

    items = _read_all(_each(pair, encoded.items()), len(encoded), convert, progress)
    return _put_all(items, db, overwrite=overwrite)


def _each(
    pair: Callable[[Any, Any], tuple[str, Any]], items: Iterable[tuple[Any, Any]]
) -> Iterator[tuple[str, Any]]:
    """Decode what a store holds; an error names the key."""
    for key, value in items:
        with _naming(key):
            decoded = pair(key, value)
        yield decoded


def import_sqlitedict(
    path: str | os.PathLike[str],
    db: Database[V],
    *,
    decode: Callable[[Any], Any],
    table: str = "unnamed",
    convert: Convert[str, Any, V] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy a table of sqlitedict into *db*; give how many records.

    Args:
        path: The SQLite file.
        db: A database with a dict as its root.
        decode: Gives the value for what lies in the table, which is what
            sqlitedict's own ``encode=`` gave. Without one these are pickles:
            ``pickle.loads``, which runs code of the file, so for a file that you
            trust only.
        table: The name of the table; sqlitedict's ``tablename=``.
        convert: Gives what is stored for a key and a value.
        overwrite: Replace the values of keys that are there already.
        progress: Called now and then with the numbers of records read and of all.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no SQLite file, or has no such table of sqlitedict.
        As `copy_items`.
    """
    file = Path(path).absolute()
    if not file.exists():
        raise FileNotFoundError(2, "no such file", os.fspath(path))
    quoted = '"' + table.replace('"', '""') + '"'
    # A name cannot be a parameter; quoted it is a name, whatever is in it.
    query = f"SELECT key, value FROM {quoted} ORDER BY rowid"  # noqa: S608 - as said
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            rows = connection.execute(query).fetchall()
        except sqlite3.Error as error:
            msg = f"cannot import table {table!r} of {os.fspath(path)!r}: {error}"
            raise ValueError(msg) from error
    pairs = _each(lambda key, value: (key, decode(value)), rows)
    items = _read_all(pairs, len(rows), convert, progress)
    return _put_all(items, db, overwrite=overwrite)


def import_tinydb(
    path: str | os.PathLike[str],
    sf: Storify,
    *,
    convert: Mapping[str, Convert[int, Any, Any]] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Copy each table of a TinyDB into a database of its name; give how many records.

    The keys are the document ids, as int. A database that is not open is closed
    afterwards. All tables are read and converted before the first is written, then
    each is written whole or not at all.

    Args:
        path: The JSON file.
        sf: Where the databases are.
        convert: By the names of tables, what gives the value that is stored for an
            id and a document. Other tables are stored as they are, as dicts.
        overwrite: Replace the values of keys that are there already.
        progress: Called now and then with the numbers of records read and of all
            in the table at hand.

    Returns:
        The number of records, by the names of the tables.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON of TinyDB, or *convert* names a table that it
            does not have.
        DatabaseNameError: No database can have the name of a table.
        As `copy_items`.
    """
    tables = _tables(path)
    converts = convert or {}
    strange = next((name for name in converts if name not in tables), None)
    if strange is not None:
        msg = (
            f"cannot convert table {strange!r} of {os.fspath(path)!r}: there is none "
            f"of that name; it has {', '.join(map(repr, tables)) or 'no tables'}"
        )
        raise ValueError(msg)
    read = {
        name: _read_all(table.items(), len(table), converts.get(name), progress)
        for name, table in tables.items()
    }
    counts: dict[str, int] = {}
    for name, items in read.items():
        with _opened(sf, name, key=int) as db:
            counts[name] = _put_all(items, db, overwrite=overwrite)
    return counts


def _tables(path: str | os.PathLike[str]) -> dict[str, dict[int, Any]]:
    """Read the tables, by name and document id."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        # TinyDB makes an empty file
        root: object = json.loads(text or "{}")
        return {
            name: {int(number): document for number, document in _object(table).items()}
            for name, table in _object(root).items()
        }
    except ValueError as error:
        msg = f"cannot import {os.fspath(path)!r}: it is no file of TinyDB: {error}"
        raise ValueError(msg) from error


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = f"a {type(value).__name__} is where a table or the tables should be"
        raise ValueError(msg)  # noqa: TRY004 - the file is wrong, not the call
    return cast("dict[str, Any]", value)


# --- another folder of storify, of release 0.0.11 or of today -------------------------


def import_storify(
    folder: str | os.PathLike[str],
    sf: Storify,
    *,
    names: Mapping[str, str | None] = MappingProxyType({}),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Copy the databases of another folder into *sf*; give how many records.

    Each is written whole or not at all, under its own name; one that is not open in
    *sf* is closed afterwards. Records become objects of the classes of *sf* and are
    stored as these store them now; what is unknown or does not fit is copied as it
    is. Backups are not copied. The folder may be in use, and is not changed.

    Args:
        folder: The folder of the databases.
        sf: Where they are copied to.
        names: Other names for some, or None to leave one out: ``{"user:1": "user-1"}``.
            One in a folder inside is named with that: ``"players/ann"``.
        overwrite: Replace the values of keys that are there already, and a list.
        progress: Called now and then with the numbers of records read and of all
            in the database at hand.

    Returns:
        The number of records, by the names of the databases.

    Raises:
        DatabaseNameError: The names of some are not portable, or are one with another
            for some file systems, and *names* has no other; the others are copied.
        FileNotFoundError: There is no such folder, or no database of a name in *names*.
        DatabaseLoadError: A database can be read neither from its file nor from a
            backup; those before it, by name, are copied.
        ValueError: A key is there already, or a list that is not empty.
        TypeError: One has a dict as its root and the other a list.
        The errors of `Database.transaction`: that database holds what it held.
    """
    copied, left = copy_folder(
        folder, sf, names=names, overwrite=overwrite, progress=progress
    )
    if left:
        first = next(iter(left))
        which = "; ".join(left.values())
        msg = (
            f"{len(left)} databases of {os.fspath(folder)!r} were not imported, "
            f"{len(copied)} were: {which}; import them with "
            f"names={{{first!r}: {portable(first)!r}, …}}, or None to leave one out, "
            f"and overwrite=True if the others are copied again"
        )
        raise DatabaseNameError(msg)
    return copied


def copy_folder(
    folder: str | os.PathLike[str],
    sf: Storify,
    *,
    names: Mapping[str, str | None],
    overwrite: bool,
    progress: Progress | None,
) -> tuple[dict[str, int], dict[str, str]]:
    """Copy what can be copied; as `import_storify`.

    Returns:
        The number of records, by the new names; and what is wrong with the names of
        those that could not be taken.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(2, "no such folder", os.fspath(folder))
    saving, schema = sf._saving, sf._schema  # noqa: SLF001 - one stack
    schema.registry.register(*sf.models)
    paths = _databases(folder, saving.folder(folder, schema.codec, sf.log))
    for name in names:
        if name not in paths:
            raise FileNotFoundError(2, f"no database {name!r}", os.fspath(folder))
    counts: dict[str, int] = {}
    left: dict[str, str] = {}
    for name, path in paths.items():
        target = names.get(name, name)
        if target is None:
            continue
        try:
            sf.get_loaded_db(target)  # whether it can have this name
        except DatabaseNameError as error:
            left[name] = str(error)
            continue
        engine = saving.file(path, schema.codec, sf.log, readonly=True)
        use = Use(readonly=True)
        source: Database[Any, Any] = Database._over(  # noqa: SLF001 - one stack
            target, engine, schema, sf.models, None, use, saving
        )
        try:
            counts[target] = _copy(source, sf, overwrite=overwrite, progress=progress)
        finally:
            source.close(discard=True)
    return counts, left


def _databases(folder: str | os.PathLike[str], catalog: FileCatalog) -> dict[str, str]:
    """The database files of a folder and those inside, by name."""
    root = os.path.realpath(folder)
    # Also those whose file is lost and will be rebuilt.
    paths = {name: str(Path(root, name + SUFFIX)) for name in catalog.names()}
    for directory, inside, files in os.walk(root):
        inside[:] = sorted(each for each in inside if each != BACKUPS)
        for file in sorted(files):
            path = str(Path(directory, file))
            if file.endswith(SUFFIX) and path not in paths.values():
                name = os.path.relpath(path, root).removesuffix(SUFFIX)
                paths[name.replace(os.sep, "/")] = path
    return dict(sorted(paths.items()))


def portable(name: str) -> str:
    """Return a name that is like another one and may be a database's."""
    plain = re.sub(r"[^\w .-]+", "-", name).strip(" .-") or "db"
    try:
        return check_new_name(plain, [])
    except DatabaseNameError:
        return check_new_name(f"db-{plain[:150]}", [])


def _copy(
    source: Database[Any, Any],
    sf: Storify,
    *,
    overwrite: bool,
    progress: Progress | None,
) -> int:
    is_list = isinstance(cast("Any", source.data), list)
    pairs: Iterable[tuple[Any, Any]]
    pairs = enumerate(source) if is_list else source.data.items()
    items = _read_all(pairs, len(source), None, progress)
    with _opened(sf, source.name, [] if is_list else None) as db:
        if is_list:
            return _put_list([*items.values()], db, overwrite=overwrite)
        return _put_all(items, db, overwrite=overwrite)


def _put_list(items: list[Any], db: Database[Any, Any], *, overwrite: bool) -> int:
    with db.transaction():
        root: object = db.data
        if not isinstance(root, list):
            msg = (
                f"cannot import a list into database {db.name!r}: its root is a dict; "
                f"remove or rename that database first"
            )
            raise TypeError(msg)
        if root and not overwrite:
            msg = (
                f"cannot import a list into database {db.name!r}: it has items "
                f"already; pass overwrite=True to replace them"
            )
            raise ValueError(msg)
        root[:] = items
    return len(items)
