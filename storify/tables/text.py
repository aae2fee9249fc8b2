"""jsonl, json and csv: a line a record, written as it is read."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any, Final, TextIO

from storify.exceptions import ModelLoadError, UnstorableError
from storify.models.hints import Anything, Instance, Shape, arms_of
from storify.models.jsonable import Reader
from storify.models.options import class_of
from storify.tables.lines import (
    CLASS,
    KEY,
    VALUE,
    Classes,
    Line,
    Losses,
    Pairs,
    Told,
    checked,
    dumps,
    pair_of,
)

__all__ = [
    "columns_of",
    "decode_cell",
    "encode_cell",
    "read_csv",
    "read_json",
    "read_jsonl",
    "write_csv",
    "write_json",
    "write_jsonl",
]

#: What the end of a line, or of a text, is in some readers of CSV; what UTF-8 lacks.
_ODD: Final = re.compile("[\r\0\ud800-\udfff]")
#: What begins a cell that a spreadsheet runs.
_RUN: Final = ("=", "+", "-", "@", "\t")
_NoneType: Final = type(None)


# --- json -----------------------------------------------------------------------------


def tree_of(line: Line, classes: Classes, *, lossy: bool = False) -> dict[str, Any]:
    """Return a line as an object of JSON; if *lossy*, with texts for what has no form.

    Raises:
        UnstorableError: A value has no form there.
    """
    return line.held(lambda _name, value, path: classes.tree(value, path), lossy=lossy)


def _check_json(
    pairs: Pairs, classes: Classes, losses: Losses, told: Told, total: int
) -> int:
    def back(line: Line) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(dumps(tree_of(line, classes)))
        return found

    return checked(pairs, classes, back, losses, told, total)


def _line(line: Line, classes: Classes, losses: Losses) -> str:
    return dumps(tree_of(line, classes, lossy=losses.lossy))


def write_jsonl(
    pairs: Pairs,
    classes: Classes,
    out: TextIO,
    losses: Losses,
    told: Told = None,
    total: int = 0,
) -> int:
    """Write a line of JSON for each record; give how many.

    Raises:
        CannotHoldError: A value would not come back; nothing was written.
    """
    count = _check_json(pairs, classes, losses, told, total)
    out.writelines(
        _line(classes.line(key, value), classes, losses) + "\n"
        for key, value in pairs()
    )
    return count


def write_json(
    pairs: Pairs,
    classes: Classes,
    out: TextIO,
    losses: Losses,
    told: Told = None,
    total: int = 0,
) -> int:
    """Write one list of JSON; as `write_jsonl`."""
    count = _check_json(pairs, classes, losses, told, total)
    out.write("[")
    for number, (key, value) in enumerate(pairs()):
        out.write(",\n " if number else "\n ")
        out.write(_line(classes.line(key, value), classes, losses))
    out.write("\n]\n" if count else "]\n")
    return count


def read_jsonl(
    source: Iterable[str], classes: Classes, cls: Any = None, key: str = ""
) -> Iterator[tuple[Any, Any]]:
    """Iterate over the keys and records of lines of JSON.

    Args:
        source: The lines.
        classes: The classes that lines name.
        cls: The class of lines that name none; None: they are dicts.
        key: The field that is the key, in lines without ``_key``; without it they are
            numbered from 1.

    Raises:
        ModelLoadError: A line does not fit; the error names it.
        ValueError: A line is no JSON.
    """
    for number, text in enumerate(source, 1):
        if not text.strip():
            continue
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"line {number} is no JSON: {error}"
            raise ValueError(msg) from error
        yield pair_of(tree, classes, number, cls, key)


def read_json(
    source: TextIO, classes: Classes, cls: Any = None, key: str = ""
) -> Iterator[tuple[Any, Any]]:
    """Iterate over the keys and records of a list, or an object of objects; as lines."""
    try:
        tree: Any = json.load(source)
    except RecursionError as error:
        msg = f"it is no JSON that can be read: {error}"
        raise ValueError(msg) from error
    if class_of(tree) is dict:
        tree = [{KEY: name, **_fields(value)} for name, value in tree.items()]
    for number, each in enumerate(tree, 1):
        yield pair_of(each, classes, number, cls, key)


def _fields(value: Any) -> dict[str, Any]:
    return value if class_of(value) is dict else {VALUE: value}


# --- csv ------------------------------------------------------------------------------


def columns_of(pairs: Pairs, classes: Classes) -> list[str]:
    """Return the columns of all lines: those of their classes first, in their order."""
    found: dict[str, None] = {KEY: None}
    has_class = has_value = False
    seen: set[str] = set()
    for key, value in pairs():
        line = classes.line(key, value)
        has_class = has_class or bool(line.keyname)
        has_value = has_value or line.fields is None
        if line.keyname not in seen:
            seen.add(line.keyname)
            found |= dict.fromkeys(classes.shapes(line.keyname))
        found |= dict.fromkeys(map(str, line.fields or ()))
    names = [name for name in found if name != KEY]
    return [KEY, *[CLASS] * has_class, *[VALUE] * has_value, *names]


def admits(shape: Shape, cls: type) -> bool:
    """Tell whether a shape admits objects of exactly this class, by name."""
    return any(isinstance(arm, Instance) and arm.cls is cls for arm in arms_of(shape))


def encode_cell(tree: Any, shape: Shape) -> str:
    """Return a tree of JSON as the text of a cell; an empty one is no value."""
    is_open = isinstance(shape, Anything)
    if tree is None:
        return "null" if is_open else ""
    if class_of(tree) is not str:
        return dumps(tree)
    if (
        tree == ""
        or tree[0] == '"'
        or _ODD.search(tree)
        or (is_open and _is_json(tree))
    ):
        return dumps(tree)
    return str(tree)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def decode_cell(text: str, shape: Shape, reader: Reader | None) -> Any:
    """Return the tree of JSON that a cell stands for, as its field would read it."""
    if isinstance(shape, Anything) or reader is None or text[:1] == '"':
        return _guessed(text)
    if text == "" and admits(shape, _NoneType):
        return None
    try:
        reader.read_as(text, shape)
    except ModelLoadError:
        return _guessed(text)
    return text


def _guessed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def _refuse_set(value: Any, path: str) -> None:
    if isinstance(value, (set, frozenset)):
        msg = f"cannot write {path} as CSV as JSON: a set"
        raise UnstorableError(msg, path)


def _row(
    line: Line, classes: Classes, *, lossy: bool = False, guarded: bool = False
) -> dict[str, str]:
    def hold(name: str, value: Any, where: str) -> str:
        if name == CLASS:
            return str(value)
        if not lossy:
            _refuse_set(value, where)
        tree = classes.tree(value, where)
        if guarded and class_of(tree) is str and tree.startswith(_RUN):
            return dumps(tree)
        return encode_cell(tree, classes.shape(line.keyname, name))

    return line.held(hold, lossy=lossy)


def _fields_of_row(cells: dict[str, str], classes: Classes, cls: Any) -> dict[str, Any]:
    keyname = cells.get(CLASS, "")
    found = classes.registry.class_named(keyname) if keyname else cls
    shapes: Any = {} if found is None else classes.shapes_of(found)
    reader = None if found is None else classes.reader(found)
    fields: dict[str, Any] = {}
    for name, text in cells.items():
        if name == CLASS:
            if text:
                fields[name] = text
        elif name in {KEY, VALUE}:
            if text != "":
                fields[name] = _guessed(text)
        else:
            shape = shapes.get(name)
            if shape is None and found is not None and text == "":
                continue
            if text == "" and (shape is None or not admits(shape, _NoneType)):
                continue
            fields[name] = (
                _guessed(text) if shape is None else decode_cell(text, shape, reader)
            )
    return fields


def write_csv(
    pairs: Pairs,
    classes: Classes,
    out: TextIO,
    losses: Losses,
    told: Told = None,
    total: int = 0,
    *,
    guarded: bool = False,
) -> int:
    """Write a table with a head; give how many records.

    A cell is a plain text where its field is one, else JSON; an empty one is no value.
    If *guarded*, a text that a spreadsheet would run is JSON, too.

    Raises:
        CannotHoldError: A value would not come back; nothing was written.
    """
    columns = columns_of(pairs, classes)

    if any(map(_ODD.search, columns)):
        msg = "cannot write CSV: the name of a field has a line's end or a NUL in it, or is not in UTF-8"
        raise ValueError(msg)

    def row(line: Line, *, lossy: bool) -> list[str]:
        cells = _row(line, classes, lossy=lossy, guarded=guarded)
        return [cells.get(name, "") for name in columns]

    def back(line: Line) -> dict[str, Any]:
        buffer = StringIO(newline="")
        csv.writer(buffer, lineterminator="\n").writerow(row(line, lossy=False))
        (cells,) = csv.reader(StringIO(buffer.getvalue(), newline=""))
        got = dict(zip(columns, cells, strict=True))
        return _fields_of_row(got, classes, None)

    count = checked(pairs, classes, back, losses, told, total)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for key, value in pairs():
        writer.writerow(row(classes.line(key, value), lossy=losses.lossy))
    return count


def read_csv(
    source: Iterable[str], classes: Classes, cls: Any = None, key: str = ""
) -> Iterator[tuple[Any, Any]]:
    """Iterate over the keys and records of a table with a head; as `read_jsonl`.

    A cell is read as the field of its class says; without one, as JSON if it is that.
    """
    rows = csv.reader(source)
    none: list[str] = []
    columns = next(rows, none)
    for number, cells in enumerate(rows, 2):
        if not cells:
            continue
        if len(cells) > len(columns):
            msg = f"line {number} has {len(cells)} cells, the head has {len(columns)}"
            raise ValueError(msg)
        got = dict(zip(columns, cells, strict=False))
        yield pair_of(_fields_of_row(got, classes, cls), classes, number, cls, key)
