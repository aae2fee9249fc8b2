"""Arrow and parquet: columns whose types come from the data, then the annotations.

pyarrow is imported when it is needed; it comes with ``storify[arrow]``.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final

from storify.exceptions import UnstorableError
from storify.models.hints import ANYTHING, Instance, Items, Shape, arms_of, field_step
from storify.models.jsonable import jsonable
from storify.models.options import class_of, is_model
from storify.models.state import Unloaded, stored_fields
from storify.tables.lines import (
    CLASS,
    KEY,
    Classes,
    Losses,
    Pairs,
    dumps,
    is_utf8,
    pair_of,
)

__all__ = ["batches", "read_parquet", "table", "write_parquet"]

_INT: Final = 1 << 63
_EXACT: Final = 1 << 53
_DIGITS: Final = 38
_BATCH: Final = 10_000
_MARK: Final = {b"storify": b"json"}


def _pyarrow() -> Any:
    return _module("pyarrow")


def _module(name: str) -> Any:
    """Import a part of pyarrow: few programs need it, and it is large."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        msg = "pyarrow is missing; install 'storify[arrow]'"
        raise ModuleNotFoundError(msg, name="pyarrow") from error


class _Column:
    """The type of one column, as far as its values and those in them have shown it.

    Attributes:
        kind: ``""`` as long as there is no value, then one of those below; ``json``
            where there are several.
        item: Of a list.
        fields: Of a struct.
    """

    def __init__(self, losses: Losses) -> None:
        self.kind = ""
        self._losses = losses
        self._exponent: int | None = None
        self._digits = 0
        self.item: _Column | None = None
        self.fields: dict[str, _Column] = {}

    def see(self, value: Any, path: str) -> None:
        """Take a value into account."""
        if value is None:
            return
        kind = _kind_of(value)
        if kind == "int" and not -_INT <= value < _INT:
            self._losses.note(path, "an int of more than 64 bits")
        if class_of(value) is str and not is_utf8(value):
            self._losses.note(path, "a text that UTF-8 does not have")
        if kind == "offset":
            self._losses.note(path, "an offset in a timestamp column")
            kind = "utc"
        if kind == "decimal":
            self._see_decimal(value)
        if kind == "list":
            self.item = self.item or _Column(self._losses)
            for index, item in enumerate(value):
                self.item.see(item, f"{path}[{index}]")
        if kind == "struct":
            for name, item in _fields_in(value).items():
                column = self.fields.setdefault(str(name), _Column(self._losses))
                column.see(item, path + field_step(name))
        self.kind = _both(self.kind, kind)

    def _see_decimal(self, value: Decimal) -> None:
        _, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            self.kind = _both(self.kind, "text")  # NaN and infinities
            return
        same = self._exponent in {None, exponent}
        self._exponent = exponent
        self._digits = max(self._digits, len(digits), -exponent)
        if not same or exponent > 0 or self._digits > _DIGITS:
            self.kind = "text"

    def expect(self, shape: Shape) -> None:
        """Take the annotation for what no value tells."""
        if self.kind in {"", "list"}:
            for arm in arms_of(shape):
                if isinstance(arm, Items) and issubclass(
                    arm.cls, (list, set, frozenset)
                ):
                    self.kind = "list"
                    self.item = self.item or _Column(self._losses)
                    self.item.expect(arm.item)
                elif isinstance(arm, Instance) and self.kind == "":
                    self.kind = _OF_CLASS.get(arm.cls, "")

    def type(self) -> Any:
        """Return the type of Arrow."""
        pa = _pyarrow()
        match self.kind:
            case "list":
                inner = (self.item or self).arrow("item")
                return pa.list_(inner)
            case "struct":
                fields = [column.arrow(name) for name, column in self.fields.items()]
                return pa.struct(fields)
            case "decimal":
                return pa.decimal128(max(self._digits, 1), -(self._exponent or 0))
            case _:
                name, arguments = _TYPES[self.kind]
                return getattr(pa, name)(*arguments)

    def arrow(self, name: str) -> Any:
        """Return the field of Arrow."""
        marked = _MARK if self.kind == "json" else None
        return _pyarrow().field(name, self.type(), metadata=marked)

    def value(self, value: Any, classes: Classes) -> Any:  # noqa: PLR0911 - one for each kind
        """Return a value as pyarrow takes it for this column."""
        if value is None:
            return None
        match self.kind:
            case "json":
                return dumps(_tree(value, classes))
            case "text":
                text = str(_tree(value, classes))
                return text if is_utf8(text) else ascii(text)
            case "list":
                column = self.item or self
                return [column.value(each, classes) for each in value]
            case "struct":
                inner = _fields_in(value)
                return {
                    name: column.value(inner.get(name), classes)
                    for name, column in self.fields.items()
                }
            case "utc":
                return value.astimezone(dt.UTC)
            case "int":
                return int(value) if -_INT <= value < _INT else None
            case _:
                return value


def _tree(value: Any, classes: Classes) -> Any:
    try:
        return classes.tree(value, "$")
    except UnstorableError:
        return repr(value)


_KINDS: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    bytes: "bytes",
    dt.date: "date",
    dt.timedelta: "span",
    Decimal: "decimal",
}
_OF_CLASS: Final[Mapping[type, str]] = {
    **{cls: kind for cls, kind in _KINDS.items() if cls is not Decimal},
    Decimal: "text",
}
#: What makes the type of a column, and its arguments.
_TYPES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "": ("null", ()),
    "bool": ("bool_", ()),
    "int": ("int64", ()),
    "float": ("float64", ()),
    "text": ("string", ()),
    "json": ("string", ()),
    "bytes": ("binary", ()),
    "date": ("date32", ()),
    "time": ("time64", ("us",)),
    "span": ("duration", ("us",)),
    "naive": ("timestamp", ("us",)),
    "utc": ("timestamp", ("us", "UTC")),
}


def _kind_of(value: Any) -> str:  # noqa: PLR0911 - one for each kind
    kind = _KINDS.get(class_of(value))
    if kind is not None:
        return kind
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return "naive"
        return "utc" if value.tzinfo is dt.UTC else "offset"
    if isinstance(value, dt.time) and value.tzinfo is None:
        return "time"
    if is_model(value) or isinstance(value, Unloaded) or hasattr(value, "_fields"):
        return "struct" if _fields_in(value) else "json"
    if class_of(value) in {list, tuple, set, frozenset}:
        return "list"
    try:
        return "text" if class_of(jsonable(value)) is str else "json"
    except UnstorableError:
        return "json"


def _fields_in(value: Any) -> Mapping[Any, Any]:
    if class_of(value) is Unloaded:
        ((_, fields),) = value.items()
    else:
        fields = stored_fields(value) if is_model(value) else value._asdict()
    found: Mapping[Any, Any] = fields
    return found


def _both(one: str, other: str) -> str:
    if one in {"", other}:
        return other
    return one if one == "text" and other == "decimal" else "json"


def _columns(pairs: Pairs, classes: Classes, losses: Losses) -> dict[str, _Column]:
    """Look at all records, and tell what the columns are.

    Raises:
        CannotHoldError: A value would not come back.
    """
    found: dict[str, _Column] = {KEY: _Column(losses)}
    keynames: dict[str, None] = {}
    for key, value in pairs():
        line = classes.line(key, value)
        if line.keyname not in keynames:
            keynames[line.keyname] = None
            names = [CLASS] * bool(line.keyname) + list(classes.shapes(line.keyname))
            for name in names:
                found.setdefault(name, _Column(losses))
        for name, item, where in line.cells():
            found.setdefault(name, _Column(losses)).see(item, where)
    for name, column in found.items():
        shapes = [classes.shapes(each).get(name, ANYTHING) for each in keynames]
        if len(shapes) == 1:
            column.expect(shapes[0])
    losses.refuse()
    if not all(map(is_utf8, found)):
        msg = f"cannot write {losses.target}: the name of a field is not in UTF-8"
        raise ValueError(msg)
    return found


def batches(pairs: Pairs, classes: Classes, *, lossy: bool = False) -> Any:
    """Return the records as a stream of Arrow, a `pyarrow.RecordBatchReader`.

    They are looked at once before, for the types of the columns.

    Raises:
        CannotHoldError: A value would not come back.
        ModuleNotFoundError: There is no pyarrow.
    """
    pa = _pyarrow()
    columns = _columns(pairs, classes, Losses("Arrow", lossy=lossy))
    schema = pa.schema([column.arrow(name) for name, column in columns.items()])

    def rows() -> Iterator[dict[str, Any]]:
        for key, value in pairs():
            cells = {name: item for name, item, _ in classes.line(key, value).cells()}
            yield {
                name: column.value(cells.get(name), classes)
                for name, column in columns.items()
            }

    def made() -> Iterator[Any]:
        left = rows()
        while some := list(islice(left, _BATCH)):
            yield pa.RecordBatch.from_pylist(some, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, made())


def table(pairs: Pairs, classes: Classes, *, lossy: bool = False) -> Any:
    """Return the records as a `pyarrow.Table`; raises as `batches`."""
    return batches(pairs, classes, lossy=lossy).read_all()


def write_parquet(pairs: Pairs, classes: Classes, path: Path, losses: Losses) -> int:
    """Write a file of parquet; give how many records.

    Raises:
        CannotHoldError: A value would not come back; nothing was written.
    """
    counted = Losses("parquet", lossy=True)
    _columns(pairs, classes, counted)
    losses.causes.update(counted.causes)
    if not losses.lossy:
        _columns(pairs, classes, Losses("parquet"))
    reader: Any = batches(pairs, classes, lossy=True)
    count = 0
    parquet = _module("pyarrow.parquet")
    with parquet.ParquetWriter(path, reader.schema) as out:
        for batch in reader:
            out.write_batch(batch)
            count += batch.num_rows
    return count


def read_parquet(
    path: Path, classes: Classes, cls: Any = None, key: str = ""
) -> Iterator[tuple[Any, Any]]:
    """Iterate over the keys and records of a file of parquet; as `read_jsonl`."""
    parquet = _module("pyarrow.parquet")
    with parquet.ParquetFile(path) as source:
        marked = {each.name for each in source.schema_arrow if each.metadata == _MARK}
        number = 0
        for batch in source.iter_batches():
            for row in batch.to_pylist():
                number += 1
                fields = {
                    name: _back(value, is_json=name in marked)
                    for name, value in _present(row)
                }
                yield pair_of(fields, classes, number, cls, key)


def _present(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in row.items() if value is not None)


def _back(value: Any, *, is_json: bool) -> Any:
    return json.loads(value) if is_json else jsonable(value, exact=True)
