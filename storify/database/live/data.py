"""The dict that the user holds: to all that asks it, a dict of live values.

It is a real dict, so that everything that takes one takes it. What is not looked
at yet lies in its storage as a placeholder, so every operation that gives a value
is overridden here, and `__iter__` as well: C code that copies a dict, as
``dict(d)``, ``{**d}`` and ``f(**d)`` do, then asks for each key. What reads the
storage all the same finds objects that it does not know: orjson raises,
``dict.items(d)`` gives them, and an object of a subclass of dict without an
``__eq__`` of its own, as a defaultdict, finds them unequal if it stands on the left.

A copy of it, in any way, is a plain dict of the live values.
"""

import copy
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    ValuesView,
)
from functools import partial
from itertools import chain, islice
from reprlib import recursive_repr
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self, cast

from storify.codec import Codec
from storify.database.live.observers import Changed
from storify.database.live.slots import (
    MISSING,
    Base,
    Blob,
    Flush,
    Slots,
    Stored,
    storage,
)
from storify.exceptions import UnstorableError

__all__ = ["Data", "Flush", "Stored"]

_at = storage.__getitem__
_get = storage.get
_has = storage.__contains__
_len: Callable[[Any], int] = storage.__len__

# How many values are decoded ahead of an iteration: more each time, so that to take
# the first costs little.
_FIRST: Final = 16
_MOST: Final = 1024

# A repr of more is for nobody; of so many it is that of a dict.
_SHOWN: Final = 100
_SHOWN_OF_MANY: Final = 20
_LONG: Final = 200

_Pairs = Iterator[tuple[Any, Any]]


class Data(Slots):
    """A dict root.

    Threads: as for a dict, each operation is one step for other threads, except
    that a value may be decoded by two at once, of which one is then used.

    Args:
        codec: Values to bytes and back.
        entries: The content of a root that is not durable yet.
    """

    __slots__ = ()

    def __init__(
        self,
        codec: Codec,
        entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
    ) -> None:
        super().__init__(codec)
        self.update(entries)

    # --- reading ----------------------------------------------------------------
    def __getitem__(self, key: Any) -> Any:
        value = _at(self, key)
        if type(value) is Stored:
            return self.open(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the live value of a key, or *default* if there is none."""
        value = _get(self, key, MISSING)
        if value is MISSING and (value := self.page_in(key)) is MISSING:
            return default
        if type(value) is Stored:
            try:
                return self.open(key)
            except KeyError:
                return default  # another thread deleted it meanwhile
        return value

    def __missing__(self, key: Any) -> Any:
        """Return what lies in a slot that was not there yet, a `Stored`.

        Raises:
            KeyError: There is no such key.
        """
        slot = self.page_in(key)
        if slot is MISSING:
            raise KeyError(key)
        return slot

    def __contains__(self, key: object) -> bool:
        return _has(self, key) or self.page_in(key) is not MISSING

    def __len__(self) -> int:
        while True:
            pages, paged = self.pages, self.given
            # At one time: what comes into one comes into both.
            known, count = list(map(_len, (paged, self)))
            if pages is None:
                return count
            if pages is self.pages and paged is self.given:
                return len(pages) - known + count

    def __iter__(self) -> Iterator[Any]:
        if self.pages is not None:
            return (key for key, _ in self._unchanged(self._streamed()))
        keys: Iterator[Any] = storage.__iter__(self)
        return keys

    def __reversed__(self) -> Iterator[Any]:
        self.fill()
        keys: Iterator[Any] = storage.__reversed__(self)
        return keys

    def keys(self) -> Any:
        """Return a view of the keys."""
        self.fill()
        return super().keys()

    # Not dict_items, which cannot be subclassed: as typed views, they are views.
    def items(self) -> Any:
        """Return a view of the keys and live values; values are decoded in bulk."""
        return _Items(self)

    def values(self) -> Any:
        """Return a view of the live values, which are decoded in bulk."""
        return _Values(self)

    def _streamed(self) -> _Pairs:
        return chain.from_iterable(self.stream())

    def _unchanged(self, pairs: _Pairs) -> _Pairs:
        """Iterate, and raise if a key was added or deleted meanwhile, as a dict does."""
        count, more = len(self), _len(self) - _len(self.given)
        for pair in pairs:
            # What is paged in or out counts in both.
            if _len(self) - _len(self.given) != more and len(self) != count:
                msg = "dictionary changed size during iteration"
                raise RuntimeError(msg)
            yield pair

    def _walk(self) -> _Pairs:
        """Iterate over keys and live values, as many in memory as there is room for."""
        size = _FIRST
        for pairs in self.stream():
            at = 0
            while some := pairs[at : at + size]:
                at, size = at + size, min(4 * size, _MOST)
                self.open_all(some)
                now = self._slots_of([key for key, _ in some])
                for (key, _), value in zip(some, now, strict=True):
                    if type(value) is Stored or value is MISSING:
                        value = self.get(key, MISSING)  # noqa: PLW2901 - the same
                    if value is not MISSING:
                        yield key, value

    def walk(self, begin: Callable[[], _Pairs] | None) -> _Pairs:
        """Iterate over keys and live values.

        Args:
            begin: Begins to iterate over the storage, which has all; None: forwards.
        """
        if begin is None:
            if self.pages is not None:
                yield from self._unchanged(self._walk())
                return
            begin = partial(iter, storage.items(self))
        ahead = _Ahead(self, begin)
        for pair in begin():
            if type(pair[1]) is Stored:
                yield pair[0], ahead.open(pair[0])
            else:
                yield pair

    def copy(self) -> dict[Any, Any]:
        """Return a plain dict of the keys and live values of one moment."""
        if self.pages is not None:
            return dict(self._unchanged(self._walk()))
        pairs = list(storage.items(self))
        for start in range(0, len(pairs), _MOST):
            self.open_all(pairs[start : start + _MOST])
        found: dict[Any, Any] = {}
        for key, slot in pairs:
            value = self.get(key, MISSING) if type(slot) is Stored else slot
            if value is not MISSING:
                found[key] = value
        return found

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        memo[id(self)] = found
        for key, value in self.copy().items():
            found[copy.deepcopy(key, memo)] = copy.deepcopy(value, memo)
        return found

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    @recursive_repr("{...}")
    def __repr__(self) -> str:
        count = len(self)
        if count <= _SHOWN:
            return repr(self.copy())
        some = islice(self.walk(None), _SHOWN_OF_MANY)
        shown = ", ".join(f"{_short(key)}: {_short(value)}" for key, value in some)
        return f"{{{shown}, … and {count - _SHOWN_OF_MANY:,} more}}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict):
            return NotImplemented
        if other is self:
            return True
        same = _plain(other)
        return len(self) == len(same) and self.copy() == same

    def __ne__(self, other: object) -> bool:
        if not isinstance(other, dict):
            return NotImplemented
        return not self == other

    __hash__ = None  # type: ignore[assignment] # as of a dict

    def __or__(self, other: Any) -> dict[Any, Any]:
        if not isinstance(other, dict):
            return NotImplemented
        return self.copy() | _plain(other)

    def __ror__(self, other: Any) -> dict[Any, Any]:
        if not isinstance(other, dict):
            return NotImplemented
        return _plain(other) | self.copy()

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """Return a plain dict, as ``dict.fromkeys`` does."""
        return dict.fromkeys(keys, value)

    # --- looking ----------------------------------------------------------------
    # Who only looks neither keeps nor changes what is seen, so it need not be looked at
    # by the next flush. What is not decoded yet is decoded for that one look; what was
    # wanted after all is put into its slot as it is, not decoded again.

    def peek_all(self, slots: Sequence[Any]) -> list[Any]:
        """Return the values in *slots*, decoded in bulk; nothing becomes LIVE.

        Where one cannot be decoded the slot itself stands, a `Stored`.
        """
        values = list(slots)
        if Stored not in map(type, slots):
            return values
        places: list[int] = []
        blobs: list[bytes] = []
        for place, slot in enumerate(slots):
            if type(slot) is not Stored:
                continue
            content = cast("Blob | tuple[Base, Any]", slot.cell_contents)
            if isinstance(content, tuple):
                values[place] = content[1]
            else:
                places.append(place)
                blobs.append(content or b"")
        for place, value in zip(places, self._decode_each(blobs), strict=True):
            if value is not MISSING:
                values[place] = value
        return values

    def _decode_each(self, blobs: list[bytes]) -> list[Any]:
        """Decode values; MISSING stands for what cannot be."""
        try:
            return self.codec.decode_all(blobs)
        except Exception:  # noqa: BLE001 - whatever it is, it is of one of them
            return [self._decode_or_none(blob) for blob in blobs]

    def _decode_or_none(self, blob: bytes) -> Any:
        try:
            return self.codec.decode(blob)
        except ValueError:
            return MISSING  # who wants it reads it, which says what is wrong

    def look(self, key: Any) -> Any:
        """Return the value of a key, decoded once more if there are only bytes.

        Raises:
            KeyError: There is no such key, or the value cannot be decoded.
        """
        (value,) = self.peek_all([_at(self, key)])
        if type(value) is Stored:
            raise KeyError(key)
        return value

    def peek(self, key: Any, slot: Stored) -> Any:
        """Return a value that `peek_all` could not decode.

        Raises:
            DatabaseLoadError: It still cannot be.
        """
        return self.decode(key, self.base_of(key, slot).blob or b"")

    def hand_out(self, key: Any, slot: Stored, value: Any) -> bool:
        """Make LIVE what `peek_all` gave for *slot*; False if that is another now."""
        return self.make_live(self.own_key(key), slot, value)

    def watch(self, changed: Changed) -> None:
        """Note in *changed* the keys whose values change, while it is held."""
        self.watchers.add(changed)

    def changed(self, noted: Changed) -> tuple[dict[Any, None], dict[Any, object]]:
        """Return the keys whose values may be others than they were.

        Args:
            noted: What was noted since (`watch`).

        Returns:
            Those keys and all that is LIVE; and what was noted, to be forgotten
            (`Changed.forget`) when all was looked at.
        """
        seen = dict(noted)
        keys: dict[Any, None] = dict.fromkeys(seen)
        keys.update((base.key, None) for base in list(self.live))
        return keys, seen

    # --- writing ----------------------------------------------------------------
    def __setitem__(self, key: Any, value: Any) -> None:
        if type(value) is Stored:
            _refuse(key)
        self._set(key, value)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the live value of a key; if there is none, *default* is put there."""
        while True:
            if (value := self.get(key, MISSING)) is not MISSING:
                return value
            if type(default) is Stored:
                _refuse(key)
            if self._set(key, default, expected=MISSING):
                return default

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set many keys at once, from what ``dict.update`` takes; all or none."""
        entries: dict[Any, Any] = {}
        entries.update(*args, **kwargs)
        if Stored in set(map(type, entries.values())):
            _refuse(next(key for key in entries if type(entries[key]) is Stored))
        if entries:
            self._set_all(entries)

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def __delitem__(self, key: Any) -> None:
        self._remove(key)

    def pop(self, key: Any, *default: Any) -> Any:
        """Delete a key and give its live value, or *default* if there is none.

        Raises:
            KeyError: There is no such key, and no default.
            TypeError: There is more than one default.
        """
        if len(default) > 1:
            msg = f"pop expected at most 2 arguments, got {1 + len(default)}"
            raise TypeError(msg)
        while (value := self.get(key, MISSING)) is not MISSING:
            try:
                if self._remove(key, expected=value):
                    return value
            except KeyError:
                break  # another thread deleted it meanwhile
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> tuple[Any, Any]:
        """Delete the last key; give it and its live value.

        Raises:
            KeyError: There is none.
        """
        while len(self):
            key = next(reversed(self), MISSING)
            value = self.pop(key, MISSING)
            if value is not MISSING:
                return key, value
        msg = "popitem(): dictionary is empty"
        raise KeyError(msg)

    def clear(self) -> None:
        """Delete all keys."""
        self.fill()
        pairs = list(storage.items(self))
        while pairs:
            keys, slots = zip(*pairs, strict=True)
            if self._remove_all(keys, slots):
                return
            pairs = list(storage.items(self))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _plain(other: Any) -> dict[Any, Any]:
    plain: dict[Any, Any] = other.copy() if isinstance(other, Data) else other
    return plain


def _refuse(key: object) -> NoReturn:
    msg = (
        f"cannot set key {key!r} to a cell: types.CellType cannot be stored; "
        f"set what the cell holds"
    )
    raise UnstorableError(msg, f"$[{key!r}]")


class _Ahead:
    """Decodes ahead of an iteration, in bulk.

    A second iteration over the storage stays at the place up to which everything
    is decoded. It only goes forward, so it costs one pass in all.
    """

    __slots__ = ("_begin", "_data", "_rest", "_size")

    def __init__(self, data: Data, begin: Callable[[], _Pairs]) -> None:
        self._data = data
        self._begin = begin
        self._rest: _Pairs | None = None
        self._size = _FIRST

    def open(self, key: Any) -> Any:
        """Return the live value of a key at which the iteration arrived."""
        data = self._data
        slot = _at(data, key)
        if type(slot) is Stored and type(slot.cell_contents) is bytes:
            try:
                self._open_from(key)
            except RuntimeError:  # another thread set or deleted a key: the iteration
                self._rest = None  # will see it in its next step
        return data[key]

    def _open_from(self, key: Any) -> None:
        if self._rest is None:
            self._rest = self._begin()
        for pair in self._rest:
            if pair[0] is key:
                self._data.open_all([pair, *islice(self._rest, self._size - 1)])
                self._size = min(4 * self._size, _MOST)
                return
        self._rest = None  # it is behind already: undecoded again meanwhile


def _listed(view: "_Items | _Values") -> str:
    """Return the repr of a list of what is in a view; of many, the first."""
    count = len(view)
    if count <= _SHOWN:
        return repr(list(view))
    shown = ", ".join(map(_short, islice(view, _SHOWN_OF_MANY)))
    return f"[{shown}, … and {count - _SHOWN_OF_MANY:,} more]"


class _View:
    """The base of the views: they look as those of a dict."""

    __slots__ = ()

    _mapping: Data

    @property
    def mapping(self) -> MappingProxyType[Any, Any]:
        """The dict, read-only."""
        return MappingProxyType(self._mapping)

    def _backwards(self) -> _Pairs:
        self._mapping.fill()
        return self._mapping.walk(lambda: reversed(storage.items(self._mapping)))


class _Items(_View, ItemsView[Any, Any]):
    __slots__ = ()

    _mapping: Data

    def __iter__(self) -> _Pairs:
        return self._mapping.walk(None)

    def __reversed__(self) -> _Pairs:
        return self._backwards()

    def __contains__(self, item: object) -> bool:
        pair = cast("tuple[Any, ...]", item)
        if not (isinstance(item, tuple) and len(pair) == 2):  # noqa: PLR2004 - a pair
            return False
        value = self._mapping.get(pair[0], MISSING)
        return value is not MISSING and (value is pair[1] or value == pair[1])

    def __repr__(self) -> str:
        return f"dict_items({_listed(self)})"


class _Values(_View, ValuesView[Any]):
    __slots__ = ()

    _mapping: Data

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping.walk(None))

    def __reversed__(self) -> Iterator[Any]:
        return (value for _, value in self._backwards())

    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)

    def __repr__(self) -> str:
        return f"dict_values({_listed(self)})"
