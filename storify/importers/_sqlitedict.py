"""From sqlitedict: a table of an SQLite file, of text keys and encoded values."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from storify.database import Database
from storify.database.maintenance.check import Progress
from storify.importers._copy import Convert, naming, put_all, read_all

__all__ = ["import_sqlitedict"]

V = TypeVar("V")


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

    def pairs() -> Iterator[tuple[str, Any]]:
        for key, value in rows:
            with naming(key):
                pair = key, decode(value)
            yield pair

    items = read_all(pairs(), len(rows), convert, progress)
    return put_all(items, db, overwrite=overwrite)


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[str, Any]]:
    quoted = '"' + table.replace('"', '""') + '"'
    # A name cannot be a parameter; quoted it is a name, whatever is in it.
    query = f"SELECT key, value FROM {quoted} ORDER BY rowid"  # noqa: S608 - as said
    return connection.execute(query).fetchall()
