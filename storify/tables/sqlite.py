"""A table of SQLite, as datasette, sqlite-utils and DB Browser open it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from storify.exceptions import UnstorableError
from storify.models.hints import Anything, field_step
from storify.models.options import class_of
from storify.tables.lines import (
    CLASS,
    KEY,
    Classes,
    Line,
    Losses,
    Pairs,
    Told,
    checked,
    dumps,
    is_utf8,
    pair_of,
)
from storify.tables.text import columns_of, decode_cell, encode_cell

__all__ = ["read_sqlite", "write_sqlite"]

_TYPES: Final = {
    bool: "BOOLEAN",
    int: "INTEGER",
    float: "REAL",
    str: "TEXT",
    bytes: "BLOB",
}
#: It has TEXT in it: SQLite would make a number of what looks like one elsewhere.
_JSON: Final = "JSONTEXT"
_INT: Final = 1 << 63
_NONE: Final = type(None)


def _kind(value: Any, tree: Any) -> str:
    """Return the type of the column that a value asks for."""
    if class_of(value) is bytes:
        return "BLOB"
    return _TYPES.get(class_of(tree), _JSON)


def _kinds(pairs: Pairs, classes: Classes) -> dict[str, str]:
    """Return the types of all columns: JSON where one holds several kinds."""
    found: dict[str, str] = {}
    for key, value in pairs():
        line = classes.line(key, value)
        for name, item, where in line.cells():
            try:
                tree = classes.tree(item, where)
            except UnstorableError:
                continue
            if tree is None:
                # No value is told from None by the class alone.
                is_open = isinstance(classes.shape(line.keyname, name), Anything)
                kind = _JSON if is_open else found.get(name, "")
            else:
                kind = _kind(item, tree)
            before = found.get(name)
            found[name] = kind if before in {None, "", kind} or kind == "" else _JSON
    return found


def _stored(value: Any, tree: Any, kind: str, path: str) -> Any:
    if class_of(tree) is _NONE and kind != _JSON:
        return None
    if kind == "BLOB":
        return value
    if kind == _JSON:
        return dumps(tree)
    if class_of(tree) is str and not is_utf8(tree):
        msg = f"cannot write {path} as SQLite as JSON: a text that UTF-8 does not have"
        raise UnstorableError(msg, path)
    if class_of(tree) is int and not -_INT <= tree < _INT:
        msg = f"cannot write {path} as SQLite as JSON: an int of more than 64 bits"
        raise UnstorableError(msg, path)
    if class_of(tree) is float and str(tree) == "-0.0":
        msg = f"cannot write {path} as SQLite as JSON: -0.0, which it stores as 0"
        raise UnstorableError(msg, path)
    return tree


def _row(
    line: Line, classes: Classes, kinds: dict[str, str], *, lossy: bool
) -> dict[str, Any]:
    def hold(name: str, value: Any, where: str) -> Any:
        return _stored(value, classes.tree(value, where), kinds[name], where)

    return line.held(hold, lossy=lossy)


def _fields(
    row: dict[str, Any], kinds: dict[str, str], classes: Classes, cls: Any
) -> dict[str, Any]:
    """Return a row of a table as trees of JSON."""
    keyname = row.get(CLASS) or ""
    found = classes.registry.class_named(keyname) if keyname else cls
    shapes: Any = {} if found is None else classes.shapes_of(found)
    fields: dict[str, Any] = {}
    for name, value in row.items():
        kind = kinds.get(name, "")
        shape = shapes.get(name)
        if value is None:
            if (
                shape is not None
                and decode_cell("", shape, classes.reader(found)) is None
            ):
                fields[name] = None
            continue
        if kind == _JSON and class_of(value) is str:
            fields[name] = json.loads(value)
        elif kind == "BOOLEAN" and value in {0, 1}:
            fields[name] = bool(value)
        elif class_of(value) is bytes:
            fields[name] = classes.tree(value, "$")
        elif (
            class_of(value) is str
            and shape is not None
            and not isinstance(shape, Anything)
        ):
            # As a cell: by its field, else as JSON, which other programs write.
            plain = encode_cell(value, shape)
            fields[name] = decode_cell(plain, shape, classes.reader(found))
        else:
            fields[name] = value
    return fields


def _declared(name: str, kind: str) -> str:
    if name != KEY:
        return kind
    # An INTEGER key would be the place in the table, and the order would be lost.
    return f"{'INT' if kind == 'INTEGER' else kind} PRIMARY KEY"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def write_sqlite(
    pairs: Pairs,
    classes: Classes,
    path: Path,
    table: str,
    losses: Losses,
    told: Told = None,
    total: int = 0,
) -> int:
    """Write records to a new table of a file of SQLite; give how many.

    Raises:
        CannotHoldError: A value would not come back; nothing was written.
        ValueError: There is such a table, or two columns differ by case alone.
    """
    kinds = _kinds(pairs, classes)

    def back(line: Line) -> dict[str, Any]:
        row = _row(line, classes, kinds, lossy=False)
        blob = next((n for n, value in row.items() if class_of(value) is bytes), None)
        if blob is not None and not line.keyname:
            where = line.path + field_step(blob)
            msg = f"cannot write {where} as SQLite as JSON: bytes outside of a class"
            raise UnstorableError(msg, where)
        return _fields(row, kinds, classes, None)

    count = checked(pairs, classes, back, losses, told, total)
    columns = [name for name in columns_of(pairs, classes) if name in kinds] or [KEY]
    if len({name.casefold() for name in columns}) < len(columns):
        msg = f"cannot write table {table!r}: two fields differ by case alone"
        raise ValueError(msg)
    if any("\0" in name or not is_utf8(name) for name in (*columns, table)):
        msg = f"cannot write table {table!r}: a name has a NUL, or is not in UTF-8"
        raise ValueError(msg)
    with closing(sqlite3.connect(path)) as db, db:
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if table in {name for (name,) in names}:
            msg = f"cannot write table {table!r}: {str(path)!r} has one already"
            raise ValueError(msg)
        shown = ", ".join(
            f"{_quoted(name)} {_declared(name, kinds.get(name, ''))}"
            for name in columns
        )
        db.execute(f"CREATE TABLE {_quoted(table)} ({shown})")
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {_quoted(table)} VALUES ({marks})"

        def rows() -> Iterator[list[Any]]:
            for key, value in pairs():
                line = classes.line(key, value)
                row = _row(line, classes, kinds, lossy=losses.lossy)
                yield [row.get(name) for name in columns]

        db.executemany(insert, rows())
    return count


def read_sqlite(
    path: Path, table: str, classes: Classes, cls: Any = None, key: str = ""
) -> Iterator[tuple[Any, Any]]:
    """Iterate over the keys and records of a table; as `read_jsonl`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no file of SQLite, or has no such table.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            found = db.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
            if not found:
                listed = db.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
                names = ", ".join(str(name) for (name,) in listed)
                msg = f"{str(path)!r} has no table {table!r}; it has {names or 'none'}"
                raise ValueError(msg)
            kinds = {str(each[1]): str(each[2]).upper() for each in found}
            query = f"SELECT * FROM {_quoted(table)}"
            for number, row in enumerate(db.execute(query), 1):
                got = dict(zip(kinds, row, strict=True))
                fields = _fields(got, kinds, classes, cls)
                yield pair_of(fields, classes, number, cls, key)
    except sqlite3.DatabaseError as error:
        msg = f"cannot read {str(path)!r}: {error}"
        raise ValueError(msg) from error
