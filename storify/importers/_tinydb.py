"""From TinyDB: a JSON file of tables, whose documents have numbers."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from storify._manager import Storify
from storify.database.maintenance.check import Progress
from storify.importers._copy import Convert, put_all, read_all
from storify.importers._opening import opened

__all__ = ["import_tinydb"]


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
