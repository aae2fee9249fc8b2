"""One state of one database as records, read as they are asked for.

Keys and values stay bytes until somebody looks: a page of a million records decodes
those that stand on it. What cannot be decoded is an `Undecodable` in its place.
"""

import heapq
import operator
import time
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storify.codec import Codec
from storify.database.session.keys import LIST, decode_key
from storify.engine import Snapshot
from storify.explorer.filters import Filter, field_value
from storify.explorer.tree import drawn, node_of
from storify.explorer.values import MISSING, Undecodable, fields_of, kind_of
from storify.models.hints import key_step
from storify.models.options import class_of

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = [
    "PAGE_BYTES",
    "Page",
    "Reading",
    "Row",
    "alarm",
    "column_value",
    "columns_of",
    "heads_of",
    "key_digest",
    "key_token",
    "literal_of",
]

PAGE_BYTES: Final = 1 << 20
"""How many stored bytes a page has at most, unless its first record has more."""

_COLUMNS: Final = 40
_BATCH: Final = 256
_LINK: Final = 200

Told = Callable[[int, int], object] | None


class Row(NamedTuple):
    """A record.

    Attributes:
        key: The key; of a list the index.
        value: What stands there; nobody else has it.
        size_bytes: How long it is on disk.
        blob: The bytes of the key; those of a list's item are the key.
    """

    key: Any
    value: Any
    size_bytes: int
    blob: bytes | int

    def _repr_html_(self) -> str:
        """The record as a tree, where a notebook shows it."""
        return drawn(node_of(self.value, f"${key_step(self.key)}"))


class Page(NamedTuple):
    """Some records of a database.

    Attributes:
        rows: The records.
        offset: How many come before it, of those that pass the filter.
        total: How many there are; None if that is not known without a look at all.
        more: Whether others follow.
        looked_at: How many records were looked at to find these; where *cut*, where
            to go on, unless they are sorted.
        cut: Whether time was up before the page was full.
    """

    rows: list[Row]
    offset: int
    total: int | None
    more: bool
    looked_at: int
    cut: bool = False


def alarm(seconds: float | None) -> Callable[[], bool]:
    """Return what tells whether so much time is over since now; None: it never is."""
    if seconds is None:
        return lambda: False
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def key_token(row: Row) -> str:
    """Return a short text that finds this key again: for a link, or a command line."""
    key = row.key
    if isinstance(row.blob, int):
        return str(row.blob)
    if isinstance(key, str) and key.isprintable() and len(key) <= _LINK:
        is_plain = literal_of(key) is MISSING and not key.startswith("0x")
        return key if is_plain and key else repr(key)
    if type(key) is int and abs(key) < 1 << 63:
        return str(key)
    if len(row.blob) > _LINK:
        return key_digest(row.blob)
    return "0x" + row.blob.hex()


def key_digest(blob: bytes) -> str:
    """Return what stands for a key that is too long for a link."""
    return "#" + blake2b(blob, digest_size=16).hexdigest()


def literal_of(text: str) -> Any:
    """Return the value of a literal of Python; MISSING if it is none."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return MISSING


def columns_of(rows: Iterable[Row], known: Iterable[str] = ()) -> list[str]:
    """Return the columns of a table of records: the *known* ones, then what is there.

    Records that have no fields stand in a column ``_value``.
    """
    found: dict[str, None] = dict.fromkeys(known)
    for row in rows:
        fields = _columns_in(row.value)
        found |= dict.fromkeys(["_value"] if fields is None else map(str, fields))
    return list(found)[:_COLUMNS]


def heads_of(rows: Iterable[Row], fields: Iterable[str] = ()) -> list[str]:
    """Return the heads of a table: the key, the class if there are several, fields."""
    listed = list(rows)
    kinds = {kind_of(row.value) for row in listed}
    columns = list(fields) or columns_of(listed)
    return ["_key", *["_class"] * (len(kinds) > 1), *columns]


def column_value(column: str, row: Row) -> Any:
    """Return what stands in a column of `columns_of`; MISSING if nothing does."""
    if column in {"_key", "_class", "_value"}:
        return field_value(column, row.key, row.value)
    fields = fields_of(row.value)
    names: Any = row.value if fields is None else fields.fields
    if (fields is not None or class_of(row.value) is dict) and column in names:
        return names[column]
    return field_value(column, row.key, row.value)


def _columns_in(value: Any) -> Iterable[Any] | None:
    found = fields_of(value)
    if found is not None:
        return found.fields
    is_record = class_of(value) is dict and all(isinstance(key, str) for key in value)
    return value if is_record and value else None


def _is_bytes(blob: bytes | int) -> "TypeIs[bytes]":
    return isinstance(blob, bytes)


class Reading:
    """A state that is open.

    Args:
        name: The database.
        snapshot: The state.
        codec: Bytes to values.
    """

    def __init__(self, name: str, snapshot: Snapshot, codec: Codec) -> None:
        self.name = name
        self.snapshot = snapshot
        self._codec = codec
        whole = None if snapshot.kind else snapshot.get(LIST)
        self._items: list[bytes] | None = None if whole is None else codec.items(whole)
        #: Where the last page ended, to go on from there.
        self._ahead: tuple[int, Iterator[tuple[bytes | int, bytes]]] | None = None

    @property
    def is_list(self) -> bool:
        """Whether the records are the items of a list."""
        return self._items is not None

    def __len__(self) -> int:
        return len(self.snapshot) if self._items is None else len(self._items)

    def close(self) -> None:
        """Let go of the files."""
        self._ahead = None
        self.snapshot.close()

    def pairs(self) -> Iterator[tuple[bytes | int, bytes]]:
        """Iterate over keys and values as bytes; the keys of a list are numbers."""
        if self._items is not None:
            return iter(enumerate(self._items))
        return chain.from_iterable(self.snapshot.items())

    def get(self, blob: bytes | int) -> bytes | None:
        """Return the bytes of a record; None if there is none."""
        if self._items is None:
            return self.snapshot.get(blob) if isinstance(blob, bytes) else None
        is_there = isinstance(blob, int) and 0 <= blob < len(self._items)
        return self._items[int(blob)] if is_there else None

    def row(self, blob: bytes | int, stored: bytes) -> Row:
        """Decode one record."""
        return Row(self.key(blob), self.decode(stored), len(stored), blob)

    def key(self, blob: bytes | int) -> Any:
        """Decode a key."""
        if isinstance(blob, int):
            return blob
        try:
            return decode_key(self._codec, blob)
        except ValueError as error:
            return Undecodable(str(error), len(blob))

    def _keys(self, blobs: list[bytes | int]) -> list[Any]:
        if self._items is not None:
            return list(blobs)
        try:
            return self._codec.decode_keys([*filter(_is_bytes, blobs)])
        except ValueError:
            return [self.key(blob) for blob in blobs]

    def decode(self, stored: bytes) -> Any:
        """Decode a value."""
        try:
            return self._codec.decode(stored)
        except ValueError as error:
            return Undecodable(str(error), len(stored))

    def rows(self, told: Told = None) -> Iterator[Row]:
        """Iterate over all records, decoded some at a time."""
        done, pairs = 0, self.pairs()
        while batch := list(islice(pairs, _BATCH)):
            try:
                values = self._codec.decode_all([stored for _, stored in batch])
            except ValueError:
                values = [self.decode(stored) for _, stored in batch]
            keys = self._keys([blob for blob, _ in batch])
            for (blob, stored), key, value in zip(batch, keys, values, strict=True):
                yield Row(key, value, len(stored), blob)
            done += len(batch)
            if told is not None:
                told(done, max(done, len(self)))

    # -- pages -----------------------------------------------------------------

    def page(self, offset: int, limit: int) -> Page:
        """Return a page; the one after the last page costs no search."""
        if self._ahead is not None and self._ahead[0] == offset:
            pairs = self._ahead[1]
        else:
            pairs = self.pairs()
            for _ in islice(pairs, offset):
                pass
        self._ahead = None
        rows: list[Row] = []
        size = 0
        held: list[tuple[bytes | int, bytes]] = []
        for blob, stored in pairs:
            if len(rows) == limit or (rows and size + len(stored) > PAGE_BYTES):
                held = [(blob, stored)]
                break
            rows.append(self.row(blob, stored))
            size += len(stored)
        if held:
            self._ahead = offset + len(rows), chain(held, pairs)
        return Page(rows, offset, len(self), bool(held), offset + len(rows))

    def find(
        self,
        test: Filter,
        offset: int,
        limit: int,
        *,
        start: int = 0,
        seconds: float | None = None,
        told: Told = None,
    ) -> Page:
        """Return a page of the records that pass a filter.

        Args:
            test: The filter.
            offset: How many of them are left out.
            limit: How many are wanted.
            start: How many records are not looked at, because that was done before.
            seconds: When to give up; None: never.
            told: Told of the progress.
        """
        is_over = alarm(seconds)
        rows: list[Row] = []
        looked_at = size = met = 0
        for row in self.rows(told):
            looked_at += 1
            if looked_at <= start:
                continue
            if test(row.key, row.value):
                met += 1
                if met > offset:
                    if len(rows) == limit or (
                        rows and size + row.size_bytes > PAGE_BYTES
                    ):
                        return Page(rows, offset, None, True, looked_at - 1)
                    rows.append(row)
                    size += row.size_bytes
            if looked_at % _BATCH == 0 and is_over():
                return Page(rows, offset, None, True, looked_at, cut=True)
        return Page(rows, offset, met if start == 0 else None, False, looked_at)

    def sorted_page(
        self,
        by: str,
        offset: int,
        limit: int,
        *,
        test: Filter | None = None,
        reverse: bool = False,
        seconds: float | None = None,
        told: Told = None,
    ) -> Page:
        """Return a page of the records in the order of a field, those without it last.

        All are looked at, or those for which there was time, and the keys of as many as
        come before its end are kept.
        """
        wanted = offset + limit
        is_over = alarm(seconds)
        count = looked_at = 0
        cut = False

        def ranked() -> Iterator[tuple[Any, int, bytes | int]]:
            nonlocal count, looked_at, cut
            for row in self.rows(told):
                if looked_at and looked_at % _BATCH == 0 and is_over():
                    cut = True
                    return
                looked_at += 1
                if test is None or test(row.key, row.value):
                    value = field_value(by, row.key, row.value)
                    # What was first stays first, in either direction.
                    yield (
                        _rank(value, reverse=reverse),
                        -count if reverse else count,
                        row.blob,
                    )
                    count += 1

        choose = heapq.nlargest if reverse else heapq.nsmallest
        chosen = choose(wanted, ranked(), key=lambda each: each[:2])[offset:]
        rows: list[Row] = []
        size = 0
        for _, _, blob in chosen:
            stored = self.get(blob)
            if stored is None or (rows and size + len(stored) > PAGE_BYTES):
                break
            rows.append(self.row(blob, stored))
            size += len(stored)
        more = offset + len(rows) < count
        return Page(rows, offset, None if cut else count, more, looked_at, cut)


def _rank(value: Any, *, reverse: bool) -> tuple[int, Any]:
    """Return what orders values of any kinds."""
    last = -1 if reverse else 9
    if value is MISSING or value is None:
        return last, 0
    for place, kinds in enumerate(((bool, int, float), (str,), (bytes,))):
        if isinstance(value, kinds):
            return (last, 0) if value != value else (place, value)  # noqa: PLR0124 - NaN
    try:
        operator.lt(value, value)  # whether that can be asked
        hash(value)
    except Exception:  # noqa: BLE001 - the class's own code ran
        return 8, str(value)
    return 7, _Ordered(value)


class _Ordered:
    """A value of a class with an order; by text beside one of another class."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ordered) and bool(self._value == other._value)

    def __lt__(self, other: "_Ordered") -> bool:
        try:
            return bool(self._value < other._value)
        except TypeError:
            return str(self._value) < str(other._value)

    def __hash__(self) -> int:
        return hash(self._value)
