"""The steps of a `Query`: each takes rows and gives rows."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

from storify.database.query.scan import Row, name_record
from storify.models import Model, Unloaded
from storify.models.hints import subclasses
from storify.models.options import class_options

__all__ = ["Limit", "Map", "Of", "Offset", "Sorted", "Stage", "Where"]

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
        """What objects of the class are stored as."""
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
