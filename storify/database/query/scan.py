"""One pass over the records of a database, which hands out what is wanted of them.

A record is seen as a row: its key, what lay in its slot when it was looked at, and
its value. As long as the slot is the same, so is the value.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, compress, islice, repeat
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any, Final

from storify.database.live.data import Data, Stored
from storify.database.live.slots import MISSING, Missing, storage
from storify.exceptions import DatabaseLoadError, ModelLoadError
from storify.models import Unloaded
from storify.models.hints import key_step

if TYPE_CHECKING:
    from storify.database._source import Source

__all__ = ["Row", "Scan", "Test", "name_record", "path_of"]

Row = tuple[Any, Any, Any]
"""A key, what was in its slot, and the value."""

Test = Callable[[Any, Any], object]
"""Whether a key and its record are wanted."""

_get = storage.get

#: The types of what is no record, or may be none.
_ODD: Final = frozenset({Stored, Unloaded, Missing})

# How many records are looked at together: more each time, so that to find the first
# costs little.
_FIRST: Final = 16
_MOST: Final = 1024


def path_of(key: object) -> str:
    """Return the place of a record, for messages."""
    return f"${key_step(key)}"


def name_record(error: Exception, key: object) -> None:
    """Note in an error of the user's code which record it was given."""
    error.add_note(f"the record is {path_of(key)}")


class Scan:
    """The records of one root, of which keys may come and go meanwhile.

    Args:
        source: The database.
        root: Its root. A list is looked at as it is now, its indexes are the keys.
    """

    def __init__(self, source: "Source", root: dict[Any, Any] | list[Any]) -> None:
        self._source = source
        self._data = dict(enumerate(root)) if isinstance(root, list) else root
        self._root = root
        self._judge = source.judge

    def keys(self) -> Iterator[Any]:
        """Iterate over the keys of now, in order."""
        if isinstance(self._data, Data):
            return map(itemgetter(0), chain.from_iterable(self._data.stream()))
        return iter(self._data)

    def glance(self, keys: Iterable[Any]) -> Iterator[Row]:
        """Return rows without values, for those of *keys* that are there."""
        return ((key, None, None) for key in keys if key in self._data)

    def see(self, keys: Iterable[Any], *, strict: bool = True) -> Iterator[Row]:
        """Look at those of *keys* that are there.

        Args:
            keys: The keys.
            strict: Whether a record that cannot be read is an error, or left out.

        Raises:
            DatabaseLoadError: A record cannot be decoded.
            ModelLoadError: In a typed database, a record does not fit its class.
        """
        size, rest = _FIRST, iter(keys)
        while batch := list(islice(rest, size)):
            slots = self._slots_of(batch)
            values = self._peek_all(batch, slots)
            rows = zip(batch, slots, values, strict=True)
            if self._are_surely_fit(values):
                yield from rows
            else:
                for row in rows:
                    if row[1] is not MISSING and (strict or self._is_fit(row)):
                        yield self._fitting(row)
            size = min(4 * size, _MOST)

    def _slots_of(self, keys: list[Any]) -> list[Any]:
        data = self._data
        slots: list[Any] = list(map(_get, repeat(data), keys, repeat(MISSING)))
        if isinstance(data, Data) and any(map(is_, slots, repeat(MISSING))):
            pairs = zip(keys, slots, strict=True)
            return [data.page_in(key) if at is MISSING else at for key, at in pairs]
        return slots

    def _peek_all(self, keys: list[Any], slots: list[Any]) -> list[Any]:
        data = self._data
        if not isinstance(data, Data):
            return slots
        before = data.count_misfits()
        values = data.peek_all(slots)
        is_odd = data.count_misfits() != before + 1
        if is_odd or data.fits is not None:
            decoded = [type(slot) is Stored for slot in slots]
            now = compress(keys, decoded), compress(values, decoded)
            data.doubt(*now, is_odd=is_odd)
        return values

    def _are_surely_fit(self, values: list[Any]) -> bool:
        kinds = set(map(type, values))
        if self._judge is None:
            return _ODD.isdisjoint(kinds)
        return kinds <= {self._judge.cls} and not getattr(self._data, "doubtful", True)

    def _is_fit(self, row: Row) -> bool:
        """Whether the record can be read."""
        try:
            self._fitting(row)
        except (DatabaseLoadError, ModelLoadError):
            return False
        return True

    def _fitting(self, row: Row) -> Row:
        """Return a row, or raise what reading the record raises."""
        key, slot, value = row
        if isinstance(value, Stored) and isinstance(self._data, Data):
            value = self._data.peek(key, slot)
        if self._judge is not None:
            self._source.check_type(key, value, self._root)
        return key, slot, value

    def see_again(
        self, seen: Collection[tuple[Any, Any]], tests: Collection[Test]
    ) -> Iterator[Row]:
        """Look at records once more; what is another now has to pass *tests*.

        Args:
            seen: Their keys, and what was in the slots.
            tests: What they passed.
        """
        was = dict(seen)
        for row in self.see(list(was)):
            if row[1] is was[row[0]] or _passes(row, tests):
                yield row

    def give(self, rows: Iterable[Row], tests: Collection[Test]) -> Iterator[Row]:
        """Hand out the live records that were seen.

        One that was deleted meanwhile is left out; what was set in its place has to
        pass *tests*.
        """
        data = self._data
        for row in rows:
            key, slot, value = row
            if slot is value:  # it was live
                is_same = _get(data, key, MISSING) is slot
            else:
                is_same = isinstance(data, Data) and data.hand_out(key, slot, value)
            if is_same:
                yield row
            elif (now := data.get(key, MISSING)) is not MISSING:
                new = self._fitting((key, now, now))
                if _passes(new, tests):
                    yield new


def _passes(row: Row, tests: Iterable[Test]) -> bool:
    key, _, value = row
    return all(test(key, value) for test in tests)
