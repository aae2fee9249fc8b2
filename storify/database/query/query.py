"""`Query`: a lazy pipeline over the records of a database.

A run goes through the records once. Tests and sort keys see what is in the slots, or
is decoded for that one look (`Scan`); only what the query gives is handed out::

    keys of now ──► rows ──► where … sorted ──► hand out ──► limit, map … ──► given
                             see records          live

Each step is a `Stage`, which takes rows and gives rows.
"""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from operator import itemgetter
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    NamedTuple,
    NoReturn,
    Self,
    Union,
    cast,
    get_origin,
    overload,
)

from storify._python import Defaults, TypeVar
from storify.database._schema import is_several
from storify.database._source import Row, Scan, Test, name_record, path_of
from storify.exceptions import QueryError
from storify.models import Model, Unloaded
from storify.models.hints import subclasses
from storify.models.options import class_options

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from storify.database._source import Source
    from storify.tables.lines import Classes


#: A query only gives: one of admins can be passed where one of users is wanted.
V_co = TypeVar("V_co", default=Any, covariant=True)
K = TypeVar("K", default=str)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

#: What annotations are made of, beside generic classes.
_NO_CLASSES: Final = (Union, UnionType, Annotated)

_first = itemgetter(0)


def _name(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


class Stage(ABC):
    """One step; it never changes."""

    # Not dataclasses: these would be a twentieth of the time of `import storify`.
    __slots__ = ()

    @abstractmethod
    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return what becomes of *rows*."""


class Picking(Stage):
    """A step that keeps some records, whatever the others are."""

    __slots__ = ()

    @abstractmethod
    def passes(self, key: Any, record: Any) -> object:
        """Whether a record is kept."""

    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return the rows that are kept."""
        passes = self.passes
        return (row for row in rows if passes(row[0], row[2]))


class Where(Picking):
    """Keeps what passes a test of the user's.

    Attributes:
        test: Called with each record.
        method: How it was asked for.
    """

    __slots__ = ("method", "test")

    def __init__(self, test: Callable[[Any], object], method: str = "where") -> None:
        self.test: Callable[[Any], object] = test
        self.method: str = method

    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return the rows that pass; as the base does, in half the time."""
        test = self.test
        for row in rows:
            try:
                if not test(row[2]):
                    continue
            except Exception as error:
                name_record(error, row[0])
                raise
            yield row

    def passes(self, key: Any, record: Any) -> object:
        """Ask the user's test."""
        try:
            return self.test(record)
        except Exception as error:
            name_record(error, key)
            raise

    def __str__(self) -> str:
        return f"{self.method}({_name(self.test)})"


class Of(Picking):
    """Keeps the objects of some classes.

    Attributes:
        kinds: The classes.
        misfit: Gives the error for a record that should be one, but is none.
    """

    __slots__ = ("kinds", "misfit")

    def __init__(
        self, kinds: tuple[type[Any], ...], misfit: Callable[[Any, Any], Exception]
    ) -> None:
        self.kinds: tuple[type[Any], ...] = kinds
        self.misfit: Callable[[Any, Any], Exception] = misfit

    def passes(self, key: Any, record: Any) -> object:
        """Whether it is an object of one of the classes.

        Raises:
            ModelLoadError: It is stored as one, but does not fit its class.
        """
        if type(record) is Unloaded:
            if not self._tags.isdisjoint(record):
                raise self.misfit(key, record)
            return False
        return isinstance(record, self.kinds)

    @property
    def _tags(self) -> set[str]:
        """The tags that objects of the class are stored under."""
        models = [kind for kind in self.kinds if issubclass(kind, Model)]
        classes: list[type[Model]] = list(models)
        for model in models:
            classes += subclasses(model)
        return {
            tag for cls in classes for tag in (cls._keyname(), *class_options(cls).was)
        }

    def __str__(self) -> str:
        return f"of({', '.join(kind.__qualname__ for kind in self.kinds)})"


class Sorted(Stage):
    """Orders rows, by a function of their values.

    Attributes:
        key: Gives what to compare of each; None: the value itself.
        reverse: Whether the greatest comes first.
        most: How many are kept, None for all.
    """

    __slots__ = ("key", "most", "reverse")

    def __init__(
        self,
        key: Callable[[Any], Any] | None,
        reverse: bool,
        most: int | None = None,
    ) -> None:
        self.key: Callable[[Any], Any] | None = key
        self.reverse: bool = reverse
        self.most: int | None = most

    def limited(self, count: int) -> "Sorted":
        """Return the same with a limit right behind it."""
        most = count if self.most is None else min(count, self.most)
        return Sorted(self.key, self.reverse, most)

    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return the rows in order."""
        yield from self._order((self._of(row), row) for row in rows)

    def order_slots(self, rows: Iterator[Row]) -> list[tuple[Any, Any]]:
        """Return keys and slots in order, and let go of the values."""
        return self._order((self._of(row), row[:2]) for row in rows)

    def _of(self, row: Row) -> Any:
        if self.key is None:
            return row[2]
        try:
            return self.key(row[2])
        except Exception as error:
            name_record(error, row[0])
            raise

    def _order(self, pairs: Iterator[tuple[Any, Any]]) -> list[Any]:
        found: list[tuple[Any, Any]]
        if self.most is None:
            found = sorted(pairs, key=_first, reverse=self.reverse)
        else:
            # The same as the beginning of all, sorted.
            pick = heapq.nlargest if self.reverse else heapq.nsmallest
            found = pick(self.most, pairs, key=_first)
        return [each for _, each in found]

    def __str__(self) -> str:
        parts = [] if self.key is None else [f"key={_name(self.key)}"]
        if self.reverse:
            parts.append("reverse=True")
        limit = "" if self.most is None else f".{Limit(self.most)}"
        return f"sorted({', '.join(parts)}){limit}"


class Limit(Stage):
    """Keeps the first rows.

    Attributes:
        count: How many.
    """

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count: int = count

    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return so many rows; the next one is not asked for."""
        return islice(rows, self.count)

    def __str__(self) -> str:
        return f"limit({self.count})"


class Offset(Stage):
    """Leaves the first rows out.

    Attributes:
        count: How many.
    """

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count: int = count

    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return the rows behind so many."""
        return islice(rows, self.count, None)

    def __str__(self) -> str:
        return f"offset({self.count})"


class Map(Stage):
    """Makes something else of each value.

    Attributes:
        function: Called with each value.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function: Callable[[Any], Any] = function

    def take(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Return rows with what was made."""
        return ((key, None, self._make(key, value)) for key, _, value in rows)

    def _make(self, key: Any, value: Any) -> Any:
        try:
            return self.function(value)
        except Exception as error:
            name_record(error, key)
            raise

    def __str__(self) -> str:
        return f"map({_name(self.function)})"


class Found(NamedTuple):  # made in a seventh of a dataclass's time
    """Records that are known without a look at all.

    Attributes:
        keys: Gives their keys, as of now.
        passes: Whether a record is still one of them.
    """

    keys: Callable[[], Iterable[Any]]
    passes: Test


class Query(Defaults, Generic[V_co, K]):
    """Records of a database, found when somebody asks.

    ::

        adults = users.where(lambda u: u.age >= 18)
        for user in adults.sorted(key=lambda u: u.name).limit(10): ...

    Each method that gives a `Query` gives a new one. Nothing is kept between two
    runs: each looks at the records that are there when it starts, in the order of
    the database. The records may change meanwhile, here or in other threads: one
    that is deleted is left out, one that is set anew is given if it still passes,
    and one that is added is not seen. Of a list root the items of the start are
    given, and their indexes are the keys.

    Tests and keys to sort by are functions of a record. They must neither keep nor
    change it: it may be an object of its own, made for that one look. What they
    raise is raised by the run, with a note that names the record.
    """

    def __init__(self, source: "Source", found: Found | None = None) -> None:
        self._source = source
        self._found = found
        self._stages: tuple[Stage, ...] = ()

    def _with(self, *stages: Stage) -> "Query[Any, Any]":
        query: Query[Any, Any] = Query(self._source, self._found)
        query._stages = stages
        return query

    # -- steps -----------------------------------------------------------------

    def where(self, /, *tests: Callable[[V_co], object]) -> "Query[V_co, K]":
        """Keep what passes all *tests*; a later one is asked for what passed."""
        return self._with(*self._stages, *map(Where, tests))

    @overload
    def of(self, model: type[T], /) -> "Query[T, K]": ...
    @overload
    def of(self, model: "Callable[[V_co], TypeIs[T]]", /) -> "Query[T, K]": ...
    @overload
    def of(self, model: tuple[type[A], type[B]], /) -> "Query[A | B, K]": ...
    @overload
    def of(
        self, model: tuple[type[A], type[B], type[C]], /
    ) -> "Query[A | B | C, K]": ...
    @overload
    def of(
        self, model: tuple[type[A], type[B], type[C], type[D]], /
    ) -> "Query[A | B | C | D, K]": ...
    def of(self, model: Any, /) -> "Query[Any, K]":
        """Keep the objects of *model*: a class, or a test with ``-> TypeIs[…]``.

        A tuple of two to four classes, as of `Storify.get_db`, keeps those of each.

        Records that are no objects because their class is not known here are left
        out. As for type checkers, a bool is an int.

        Raises:
            TypeError: *model* is neither.

        A run raises `ModelLoadError` for a record that is stored as one of *model*
        but does not fit it.
        """
        if is_several(model):
            return self._with(*self._stages, Of(self._kinds(model), self._misfit))
        # What a generic class was parametrised with is not known of its objects.
        origin = get_origin(model)
        kind: Any = origin or model
        if isinstance(kind, type) and origin not in _NO_CLASSES:
            return self._with(*self._stages, Of((kind,), self._misfit))
        if origin is None and callable(kind):
            return self._with(*self._stages, Where(kind, "of"))
        raise self._no_type(model)

    def _kinds(self, models: tuple[Any, ...]) -> tuple[type[Any], ...]:
        kinds = tuple(get_origin(model) or model for model in models)
        if not kinds or not all(isinstance(kind, type) for kind in kinds):
            raise self._no_type(models)
        return kinds

    def _misfit(self, key: Any, record: Any) -> Exception:
        return self._source.load_error(key, record)

    def _no_type(self, model: Any) -> TypeError:
        return TypeError(
            f"cannot query database {self._source.name!r} for what is of {model!r}: "
            f"it is neither a class nor a function, nor a tuple of classes"
        )

    def sorted(
        self, key: Callable[[V_co], Any] | None = None, *, reverse: bool = False
    ) -> Self:
        """Order by *key*, as `sorted` does; by the values themselves without one."""
        return cast("Self", self._with(*self._stages, Sorted(key, reverse)))

    def limit(self, count: int) -> Self:
        """Keep the first *count*.

        Behind `sorted` all are looked at, but only so many are kept meanwhile.

        Raises:
            TypeError: It is no int.
            ValueError: It is less than 0.
        """
        self._refuse_count(count, "limit", "to")
        match self._stages:
            case (*before, Sorted() as ordered):
                stages = (*before, ordered.limited(count))
            case (*before, Sorted() as ordered, Offset() as offset):
                stages = (*before, ordered.limited(offset.count + count), offset)
            case _:
                stages = (*self._stages, Limit(count))
        return cast("Self", self._with(*stages))

    def offset(self, count: int) -> Self:
        """Leave the first *count* out; with `limit` behind it, give a page.

        What is left out is not handed out. Without a step before it, it is not looked
        at either.

        Raises:
            TypeError: It is no int.
            ValueError: It is less than 0.
        """
        self._refuse_count(count, "offset", "by")
        return cast("Self", self._with(*self._stages, Offset(count)))

    def _refuse_count(self, count: object, doing: str, by: str) -> None:
        what = f"cannot {doing} a query of database {self._source.name!r} {by}"
        if type(count) is not int:
            msg = f"{what} a {type(count).__qualname__}; pass an int"
            raise TypeError(msg)
        if count < 0:
            msg = f"{what} {count}: it is less than 0"
            raise ValueError(msg)

    def map(self, function: Callable[[V_co], T]) -> "Query[T, K]":
        """Return what *function* makes of each live record instead.

        Later steps see that. `count`, `exists` and `keys` do not call it, unless
        a later step has to see what it gives.
        """
        return self._with(*self._stages, Map(function))

    # -- what it gives ---------------------------------------------------------

    def __iter__(self) -> Iterator[V_co]:
        """Return the live records, or what `map` made of them."""
        return (value for _, _, value in self._rows())

    def keys(self) -> Iterator[K]:
        """Return the keys; no record is handed out."""
        return (key for key, _, _ in self._rows(gives=False))

    def items(self) -> Iterator[tuple[K, V_co]]:
        """Return the keys with what iterating gives."""
        return ((key, value) for key, _, value in self._rows())

    @overload
    def first(self) -> V_co | None: ...
    @overload
    def first(self, default: T) -> V_co | T: ...
    def first(self, default: Any = None) -> Any:
        """Return the first, *default* if there is none."""
        return next(iter(self.limit(1)), default)

    def one(self) -> V_co:
        """Return the only one.

        Raises:
            QueryError: There is none, or more than one.
        """
        found = list(self.limit(2).items())
        if len(found) == 1:
            return found[0][1]
        which = " and ".join(path_of(key) for key, _ in found)
        msg = (
            f"cannot give the one record of a query of database "
            f"{self._source.name!r}: {f'{which} match' if found else 'none matches'}; "
            f"use first(), or iterate over the query"
        )
        raise QueryError(msg)

    def count(self) -> int:
        """Count them; no record is handed out."""
        return sum(1 for _ in self._rows(gives=False))

    def exists(self) -> bool:
        """Whether there is one; no record is handed out."""
        return next(self._rows(gives=False), None) is not None

    def list(self) -> "list[V_co]":
        """Return them as a new list."""
        return list(self)

    def to_arrow(self, *, lossy: bool = False) -> Any:
        """Return the records as a `pyarrow.Table`, a column for each field.

        ``polars.DataFrame(query)`` and ``duckdb.sql("… from query")`` need no call: a
        query is a stream of Arrow itself. Types come from the data, and from the
        annotations where there are none.

        Args:
            lossy: Go on where a column cannot hold a value, as an offset from UTC.

        Raises:
            ModuleNotFoundError: There is no pyarrow; it comes with ``storify[arrow]``.
            TypeError: A column cannot hold a value; the error names the place.
        """
        from storify.tables.arrow import table  # noqa: PLC0415 -- few programs need it

        return table(self.items, self._classes(), lossy=lossy)

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Return the records as a stream of Arrow, for polars, DuckDB and others."""
        from storify.tables.arrow import batches  # noqa: PLC0415 -- few programs need it

        found = batches(self.items, self._classes())
        return found.__arrow_c_stream__(requested_schema)

    def _classes(self) -> "Classes":
        from storify.tables.lines import Classes  # noqa: PLC0415 -- few programs need it

        schema = self._source.schema
        return Classes(schema.registry, schema.codec)

    def __bool__(self) -> NoReturn:
        """Refuse: a run may cost much, and `exists` says what is meant."""
        msg = (
            f"cannot take a query of database {self._source.name!r} for a truth "
            f"value: use exists(), or count()"
        )
        raise TypeError(msg)

    def __repr__(self) -> str:
        """Tell the database and the steps, never values."""
        steps = [str(stage) for stage in self._stages]
        if self._found is not None:
            steps.insert(0, "find(…)")
        which = ".".join(steps) or "all"
        return f"<Query of database {self._source.name!r}: {which}>"

    def _repr_html_(self) -> str:
        """Return the first records as a table, for notebooks."""
        from storify.tables.html import records_table  # noqa: PLC0415 -- notebooks

        return records_table(self.limit(21).items(), repr(self), None)

    # -- a run -----------------------------------------------------------------

    def _rows(self, *, gives: bool = True) -> Iterator[Row]:
        """Begin a run.

        Args:
            gives: Whether the values are handed out.
        """
        offset, stages = _without_first_offsets(self._stages)
        stages = stages if gives else _without_last_maps(stages)
        seeing = list(takewhile(lambda stage: not isinstance(stage, Map), stages))
        gives = gives or len(seeing) < len(stages)
        while seeing and isinstance(seeing[-1], Limit):
            seeing.pop()  # it counts what is handed out
        found = self._found
        scan = Scan(self._source, self._source.root())
        keys = scan.keys() if found is None else found.keys()
        keys = islice(keys, offset, None)
        tests: tuple[Test, ...] = () if found is None else (found.passes,)
        rows = scan.see(keys) if gives or seeing else scan.glance(keys)
        for stage in seeing:
            if isinstance(stage, Sorted):
                rows = _sort(scan, rows, stage, tests)
            else:
                rows = stage.take(rows)
            if isinstance(stage, Picking):
                tests = (*tests, stage.passes)
        if gives:
            rows = scan.give(rows, tests)
        for stage in stages[len(seeing) :]:
            rows = stage.take(rows)
        return rows


def _sort(
    scan: Scan, rows: Iterator[Row], stage: Sorted, tests: tuple[Test, ...]
) -> Iterator[Row]:
    yield from scan.see_again(stage.order_slots(rows), tests)


def _without_first_offsets(stages: tuple[Stage, ...]) -> tuple[int, tuple[Stage, ...]]:
    """Return how many keys are left out before any look, and the stages that follow."""
    offset = 0
    while stages and isinstance(stages[0], Offset):
        offset += stages[0].count
        stages = stages[1:]
    return offset, stages


def _without_last_maps(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Leave out the maps of which nobody sees what they make."""
    kept = list(stages)
    last: list[Stage] = []
    while kept and isinstance(kept[-1], (Map, Limit, Offset)):
        stage = kept.pop()
        if not isinstance(stage, Map):
            last.insert(0, stage)
    return (*kept, *last)
