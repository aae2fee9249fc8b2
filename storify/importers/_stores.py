"""From the stores of others: `shelve`, sqlitedict and TinyDB."""

import dbm
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

from storify._manager import Storify
from storify.database import Database
from storify.database.maintenance.check import Progress
from storify.importers._copy import Convert, naming, opened, put_all, read_all

__all__ = ["import_shelve", "import_sqlitedict", "import_tinydb"]

V = TypeVar("V")


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
        encoded = _read(location)
    except (ImportError, *dbm.error) as error:
        msg = f"cannot import {location!r}, a file of {kind}: {error}"
        raise ValueError(msg) from error

    def pair(key: bytes, value: bytes) -> tuple[str, Any]:
        return key.decode(keyencoding), decode(value)

    items = read_all(_each(pair, encoded.items()), len(encoded), convert, progress)
    return put_all(items, db, overwrite=overwrite)


def _each(
    pair: Callable[[Any, Any], tuple[str, Any]], items: Iterable[tuple[Any, Any]]
) -> Iterator[tuple[str, Any]]:
    """Decode what a store holds; an error names the key."""
    for key, value in items:
        with naming(key):
            decoded = pair(key, value)
        yield decoded


def _read(location: str) -> dict[bytes, bytes]:
    with dbm.open(location, "r") as file:
        return {key: file[key] for key in cast("list[bytes]", file.keys())}


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
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            rows = _rows(connection, table)
        except sqlite3.Error as error:
            msg = f"cannot import table {table!r} of {os.fspath(path)!r}: {error}"
            raise ValueError(msg) from error
    pairs = _each(lambda key, value: (key, decode(value)), rows)
    items = read_all(pairs, len(rows), convert, progress)
    return put_all(items, db, overwrite=overwrite)


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[str, Any]]:
    quoted = '"' + table.replace('"', '""') + '"'
    # A name cannot be a parameter; quoted it is a name, whatever is in it.
    query = f"SELECT key, value FROM {quoted} ORDER BY rowid"  # noqa: S608 - as said
    return connection.execute(query).fetchall()


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
        name: read_all(table.items(), len(table), converts.get(name), progress)
        for name, table in tables.items()
    }
    counts: dict[str, int] = {}
    for name, items in read.items():
        with opened(sf, name, key=int) as db:
            counts[name] = put_all(items, db, overwrite=overwrite)
    return counts


def _tables(path: str | os.PathLike[str]) -> dict[str, dict[int, Any]]:
    """Read the tables, by name and document id.

    Raises:
        ValueError: It is no JSON of TinyDB.
    """
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
