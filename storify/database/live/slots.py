"""A dict of values that are decoded when they are looked at, and what that takes.

Each key has one slot, the dict's own::

    file ──► Stored(bytes) ──access──► LIVE ◄──db[k] = v── no slot, or any
                                         │ ▲
                              begin_flush│ │access (the same object)
                                         ▼ │
                                Stored((base, object)) ──end_flush, if nobody else
                                                         holds it──► not LIVE

A `Base` says what is durable under one key; it goes with the key wherever that is
noted, so a commit has one place to change. The bases of all that is LIVE stand in
`live`: it may have been changed by whoever holds it, so a flush encodes it and
compares. Those of keys that were deleted stand in `gone` until that is durable.

Nothing here has a lock. Each change of the slots is one call of C (`step`), in which
no other thread runs, no signal handler and no finalizer, so it is done or it is not,
wherever the program is interrupted. A key is LIVE from before its value is handed out
until after it was found that nobody can change it: a flush that is cut off leaves all
that it looked at LIVE. Two threads may decode one value at the same time; the first to
put it into its slot wins, and both get that one.

Where a `Snapshot` can be asked for single keys, the dict begins empty: a key gets its
slot when it is asked for (`page_in`), and loses it when memory is to be had again and
the snapshot can give the same once more, as nobody holds or has changed it
(`page_out`). What only goes through all of them streams them. Whoever is given the dict
gets it filled, and so it stays (`fill`). Of a key in `bases` or `given` memory knows
more than the snapshot, which is of then, until it takes a later one (`renew`).
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import chain, compress, filterfalse, islice, repeat, starmap
from operator import attrgetter, call, contains, eq, is_, is_not, not_
from types import CellType, NoneType
from typing import Any, Final, Literal, NamedTuple, Self, cast

from storify.codec import Codec
from storify.database.live.observers import Watchers
from storify.database.live.ownership import (
    Kinds,
    held_at_sight,
    held_elsewhere,
)
from storify.engine import Snapshot, entries_of
from storify.exceptions import DatabaseLoadError
from storify.threads import without_collector

__all__ = [
    "MISSING",
    "Base",
    "Flush",
    "Missing",
    "Savepoint",
    "Slots",
    "Stored",
    "key_in",
    "storage",
]

Stored = CellType
"""What lies in the dict in place of a value that is not LIVE.

Made by C in no time, and unknown to all that reads the storage of a dict without
asking it, as orjson does: they raise, where an int or a string would be written.
"""

Blob = bytes | None
"""Durable bytes, or None: not durable."""


class Missing(Enum):
    """The type of `MISSING`; an enum, so that type checkers narrow it."""

    MISSING = "missing"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING

# The dict's own operations, on what is in the slots. Unbound, as super() costs twice
# as much, and untyped, as a dict of anything.
storage: Final[Any] = dict
_at = storage.__getitem__
_get = storage.get
_has = storage.__contains__
_put = storage.__setitem__
_pop = storage.pop

# The references that a flush has to a value: its list, dict and placeholder.
_OWNERS: Final = 3

_has_key: Final[Any] = contains
_TURN: Final[Callable[[Any], Any]] = attrgetter("turn")

#: The types of the keys of a snapshot of one kind, and those of what equals no key in it.
_KINDS: Final[dict[str, set[type]]] = {"str": {str}, "int": {int}}
_UNLIKE: Final[dict[str, set[type]]] = {
    "str": {int, float, bool, bytes, NoneType},
    "int": {str, bytes, NoneType},
}

#: So many keys are streamed at a time of what is in memory: more each time, so that
#: the first costs little.
_FEW: Final = 16
_MANY: Final = 1024

#: What is less than this part of all is not worth a look at all.
_HARDLY: Final = 8

#: So many values are looked at as such before they get placeholders.
_SIGHTED: Final = 16

#: What is in fewer containers than this is not too deep for the file.
_PLAIN_DEPTH: Final = 100

#: What is known of a key that is not in memory.
_NOTHING: Final = (MISSING, MISSING, MISSING)

#: As often as somebody asks.
_NONE: Final = repeat(None)

#: That a slot may hold anything.
_ANY: Final[Any] = object()


#: As such: an alias as `deque[object]` takes twenty times as long to call.
_DEQUE: Final = cast("Callable[..., object]", deque)


def _in_c(calls: Iterator[object]) -> Callable[[], object]:
    """Return what makes calls of C, one after the other and nothing in between."""
    return partial(_DEQUE, calls, 0)


def _walked(walk: Callable[[Any], Iterator[Any]], keys: Any) -> Iterator[Any]:
    """Walk through the keys of a dict as it is at the first step, then MISSING."""
    return chain(chain.from_iterable(map(walk, (keys,))), repeat(MISSING))


class _Probe:
    """Finds the key that a dict stores for an equal one, by one look-up."""

    __slots__ = ("found", "key")

    def __init__(self, key: object) -> None:
        self.key = key
        self.found: object = MISSING

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        if other is self.key or other == self.key:
            self.found = other
            return True
        return False


def key_in(keys: Mapping[Any, Any], key: Any) -> Any:
    """Return the key in a dict that equals *key*, of which it has one."""
    probe = _Probe(key)
    try:
        if _has(keys, probe):
            return probe.found
    except Exception:  # noqa: BLE001 - of an __eq__ that takes its like alone
        probe.found = MISSING
    # A stored key whose __eq__ knows no probe; those of other hashes it never sees.
    same = hash(key)
    return next(
        (
            each
            for each in list(storage.__iter__(keys))
            if each is key or (hash(each) == same and each == key)
        ),
        key,  # it was let go of meanwhile
    )


def _value_in(slot: Any) -> Any:
    """Return the decoded value that a slot holds or stands for; MISSING if none is."""
    if type(slot) is not Stored:
        return slot
    content = cast("Blob | tuple[Base, Any]", slot.cell_contents)
    return content[1] if isinstance(content, tuple) else MISSING


class Base:
    """The durable state of one key.

    Attributes:
        key: As the dict stores it, or stored it.
        blob: The durable value.
        form: The `Codec.form` in which we encoded it; None for bytes of unknown origin.
    """

    __slots__ = ("blob", "form", "key")

    def __init__(self, key: Any, blob: Blob) -> None:
        self.key: Any = key
        self.blob: Blob = blob
        self.form: object = None


_KEY: Final[Callable[[Base], Any]] = attrgetter("key")
_BLOB: Final[Callable[[Base], Blob]] = attrgetter("blob")
_SET_BLOB: Final[Callable[[Base, Blob], None]] = vars(Base)["blob"].__set__
_SET_FORM: Final[Callable[[Base, object], None]] = vars(Base)["form"].__set__


class Flush:
    """The work of one flush: all that may differ from the durable state.

    Attributes:
        touched: The LIVE values at the begin by the keys that the dict stores; new
            keys last, in dict order. Encode and compare each with `base`.
        gone: The keys that are durable but were deleted, with their bytes. One that
            is in `touched` as well was set again since: it moves to the end, so it
            is to be deleted and set in one commit, whatever its bytes are.
        bases: The bases of what is touched.
        cells: What stands in the slots in place of the values; not of those that are
            seen to be held, whose slots stay as they are.
        deletions: The bases of the keys in `gone`, with the marks of their deletions.
        held: The keys in `cells` whose values somebody else can change.
        form: The `Codec.form` in which the values are encoded.
        is_new: Whether nothing in it is durable.
        is_plain: Whether all values are free and of the plainest types: `Codec.PLAIN`.
    """

    __slots__ = (
        "_slots",
        "bases",
        "cells",
        "deletions",
        "form",
        "gone",
        "held",
        "is_new",
        "is_plain",
        "touched",
    )

    def __init__(self, slots: "Slots") -> None:
        self._slots = slots
        self.bases: dict[Any, Base] = {}
        self.deletions: dict[Base, object] = {}
        self.gone: dict[Any, bytes] = {}
        self.touched: dict[Any, Any] = {}
        self.cells: dict[Any, Stored] = {}
        self.held: frozenset[Any] = frozenset()
        self.form: object = None
        self.is_new: bool = False
        self.is_plain: bool = False

    def base(self, key: Any) -> bytes | None:
        """Return the durable bytes of a key in `touched`; None if it is not durable."""
        return self.bases[key].blob

    def look(self) -> None:
        """Find out which values somebody else can change."""
        keys = list(self.cells)
        values = list(map(self.touched.__getitem__, keys))
        kinds = Kinds()
        kinds.seen.update(map(type, keys))
        found = held_elsewhere(values, _OWNERS, kinds)
        self.held = frozenset(map(keys.__getitem__, found))
        are_free = not found and len(values) == len(self.touched)
        self.is_plain = (
            are_free and kinds.seen <= Codec.PLAIN and kinds.depth < _PLAIN_DEPTH
        )

    def is_undisturbed(self) -> bool:
        """Whether nobody has accessed, set or deleted a value that was free."""
        return self._slots.holds(self.cells)

    def is_held(self, key: Any) -> bool:
        """Whether somebody else can change a value in `touched`."""
        return key in self.held or key not in self.cells


class Before(NamedTuple):
    """The state of a key before a change.

    Attributes:
        slot: What stood in its slot.
        base: Its base.
        is_live: Whether it was LIVE.
        deletion: The mark of its deletion, None if it was not deleted.
        given: What the snapshot gave for it, None if it was deleted since; MISSING if
            the snapshot did not give it.
    """

    slot: Any
    base: Base
    is_live: bool
    deletion: object
    given: bytes | Missing | None


class Savepoint:
    """The way back of all slots to their state at one moment.

    Attributes:
        values: The LIVE values of then.
        bases: Their bases.
        blobs: What they held; where it is not here, they were as durable.
        before: What was in each slot that changed since.
        handed: The values that were handed out of them.
        order: The keys in the order of then, before the first was deleted; keys that
            are newer may be among them, and keys that have their place in a snapshot
            may not.
        placed: Those of `order` that have.
        is_spent: Whether there was a commit since: it cannot be undone.
    """

    __slots__ = (
        *("bases", "before", "blobs", "handed", "is_spent", "order", "placed"),
        "values",
    )

    def __init__(self, values: dict[Any, Any], bases: dict[Any, Base]) -> None:
        self.values: dict[Any, Any] = values
        self.bases: dict[Any, Base] = bases
        self.blobs: Mapping[Any, bytes] = {}
        self.before: dict[Any, Before] = {}
        self.handed: dict[Any, Any] = {}
        self.order: list[Any] | None = None
        self.placed: frozenset[Any] = frozenset()
        self.is_spent: bool = False

    def note(self, key: Any, before: Before, value: Any = MISSING) -> None:
        """Keep what is in a slot that changes, and the value that is handed out."""
        if key not in self.before:
            if value is not MISSING:
                self.handed.setdefault(key, value)
            self.before.setdefault(key, before)


def _in_place(point: Savepoint, whole: Iterable[Any]) -> list[Any]:
    """Return the order of a savepoint, with the keys whose places are in *whole*."""
    order = point.order or []
    behind = dict.fromkeys(key for key in order if key not in point.placed)
    return [*(key for key in storage.__iter__(whole) if key not in behind), *behind]


class Slots(dict[Any, Any]):
    """The storage of a dict root and its bookkeeping; `Data` is the dict on top.

    It is a dict itself, the one that the user holds: only so one call of C can look
    whether a slot is as it was and change it.

    Args:
        codec: Values to bytes and back.

    Attributes:
        codec: As given.
        bases: Those of the keys that are or were LIVE or deleted.
        live: Those of what is LIVE.
        gone: Those of keys that were deleted, and perhaps set again, each with the
            mark of its last deletion.
        flush: The flush that began last and has not ended.
        points: The savepoints of the transactions that run, outer ones first.
        watchers: Told of each key that stops being LIVE, or changes without.
        count_misfits: A number that grows by one if nothing was decoded with misfits
            since.
        doubtful: The keys of what was decoded with misfits, and not found to be right
            since.
        fits: Whether a decoded value surely is of the type of the database; None where
            nothing is to be told.
        turn: Waits, in a transaction of another caller, for its end, and tells whether
            there was one; None outside of transactions. What writes asks it, and looks
            in the step in which it writes whether it is the same still.
        only_str: Whether all keys are exactly str: then equal keys are the same key.
        pages: What is asked for keys that are not here; None if all are.
        given: The keys that it gave and the bytes of their values; None if it was
            deleted since.
        cache_bytes: How many bytes of it are kept in memory, encoded, though nobody
            holds them.
    """

    __slots__ = (
        "_cached_bytes",
        "_is_ordered",
        "_room_bytes",
        "bases",
        "cache_bytes",
        "codec",
        "count_misfits",
        "doubtful",
        "fits",
        "flush",
        "given",
        "gone",
        "live",
        "only_str",
        "pages",
        "points",
        "turn",
        "watchers",
    )

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec: Codec = codec
        self.bases: dict[Any, Base] = {}
        self.live: dict[Base, None] = {}
        self.gone: dict[Base, object] = {}
        self.flush: Flush | None = None
        self.points: list[Savepoint] = []
        self.watchers: Watchers = Watchers()
        self.count_misfits: Callable[[], int] = codec.count_misfits
        self.doubtful: set[Any] = set()
        self.fits: Callable[[Any], bool] | None = None
        self.turn: Callable[[], bool] | None = None
        self.only_str: bool = True
        self.pages: Snapshot | None = None
        self.given: dict[Any, bytes | None] = {}
        self.cache_bytes: int = 0
        self._cached_bytes = self._room_bytes = 0
        #: Whether the slots stand in the order of the durable state, if all are there.
        self._is_ordered = False

    def step(
        self,
        keys: Sequence[Any],
        slots: Sequence[Any],
        *actions: Callable[[], object],
        also: Iterable[object] = (),
    ) -> bool:
        """Make calls of C in one step, if the slots of keys hold what was seen there.

        And if each of *also* is true, which is found out by calls of C as well.

        Nothing else runs between the look and the last call: all is one call of C.
        (Keys that are hashed by Python code are hashed before each look. Nothing runs
        between that look and the calls, which bring their hashes with them.)

        Returns:
            Whether they were made.
        """
        same = chain(self._are(keys, slots), also)
        do_all = _in_c(map(call, actions))
        return bool(list(map(call, compress((do_all,), map(all, (same,))))))

    def _are(self, keys: Iterable[Any], slots: Iterable[Any]) -> Iterator[bool]:
        """Look, one by one, whether the slots of keys hold these very objects."""
        now: Iterator[Any] = map(_get, repeat(self), keys, repeat(MISSING))
        return map(is_, now, slots)

    def holds(self, cells: Mapping[Any, Stored]) -> bool:
        """Whether the slots of keys hold these still."""
        return all(self._are(cells, cells.values()))

    def _slots_of(self, keys: Iterable[Any]) -> list[Any]:
        """Return what the slots of keys hold, MISSING for one that is not there."""
        return list(map(_get, repeat(self), keys, repeat(MISSING)))

    def _wait_turn(self) -> Iterator[bool]:
        """Wait for a turn to write; return whether it still is, for a step."""
        # Again after waiting: the next transaction may have begun.
        while (turn := self.turn) is not None and turn():
            pass
        return map(is_, map(_TURN, (self,)), (turn,))

    # --- keys that are not here yet -----------------------------------------------
    def page_in(self, key: Any) -> Any:
        """Return what lies in the slot of a key, which gets one if it has none.

        Returns:
            MISSING if there is no such key. What is given may be let go of meanwhile:
            whoever changes it looks whether it is still there.

        Raises:
            CorruptionError: Its value is damaged and in no backup.
            OSError: It cannot be read now.
        """
        while True:
            pages = self.pages
            if pages is None:
                return _get(self, key, MISSING)
            if type(key) not in _KINDS[pages.kind] and not _has(self, key):
                if type(key) in _UNLIKE[pages.kind]:
                    return MISSING
                self.fill()  # it may equal a key of another type
                continue
            slot, paged, base = self._known_of((key,))[0]
            if slot is not MISSING or paged is not MISSING or base is not MISSING:
                return (
                    slot  # it is MISSING if it was deleted, here or by another writer
                )
            found = self._asked(pages, (key,))
            if not found:
                return MISSING
            self._page_in(found, pages)

    def _page_in_all(self, keys: Sequence[Any]) -> list[Any]:
        """Return what lies in the slots of keys, at one time; see `page_in`."""
        while pages := self.pages:
            known = self._known_of(keys)
            found = self._asked(
                pages,
                [
                    key
                    for key, each in zip(keys, known, strict=True)
                    if all(map(is_, each, _NOTHING))
                ],
            )
            if not found:
                return [slot for slot, _, _ in known]
            self._page_in(found, pages)
        return self._slots_of(keys)

    def _asked(self, pages: Snapshot, keys: Iterable[Any]) -> list[tuple[Any, Stored]]:
        """Return those of *keys* that a snapshot has, with what it gives for them."""
        if not pages:
            return []
        kinds, encode_key = _KINDS[pages.kind], self.codec.encode_key
        asked = (
            (key, pages.get(encode_key(key))) for key in keys if type(key) in kinds
        )
        return [(key, Stored(blob)) for key, blob in asked if blob is not None]

    def _known_of(self, keys: Sequence[Any]) -> list[tuple[Any, Any, Any]]:
        """Return the slots of keys, what the snapshot gave and their bases, at one time.

        MISSING stands for each that is not there. The keys are hashed by C.
        """
        dicts: tuple[dict[Any, Any], ...] = (self, self.given, self.bases)
        looks = [map(_get, repeat(each), keys, repeat(MISSING)) for each in dicts]
        found: list[tuple[Any, Any, Any]] = list(zip(*looks, strict=True))
        return found

    def _page_in(self, slots: Sequence[tuple[Any, Stored]], pages: Snapshot) -> None:
        """Add the slots of keys that memory does not know; of none if it knows one."""
        if self._cached_bytes > self._room_bytes:
            self.page_out()
        keys = [key for key, _ in slots]
        blobs: list[bytes] = [slot.cell_contents for _, slot in slots]
        # Neither deleted nor set by another thread meanwhile.
        known = chain(
            map(_has_key, repeat(self.bases), keys),
            map(_has_key, repeat(self.given), keys),
            map(is_not, map(attrgetter("pages"), (self,)), (pages,)),
        )
        if self.step(
            keys,
            [MISSING] * len(keys),
            partial(self.given.update, dict(zip(keys, blobs, strict=True))),
            partial(storage.update, self, dict(slots)),
            also=map(not_, known),
        ):
            self._cached_bytes += sum(map(len, blobs))

    def page_out(self) -> None:
        """Let go of what the snapshot can give again, until there is room.

        Of a value that nobody holds and nobody has changed, those first that came
        first. In a transaction or a flush, everything stays.
        """
        if self.pages is None or self.points or self.flush is not None:
            return
        sizes = {key: len(blob or b"") for key, blob in self.given.copy().items()}
        size = sum(sizes.values())
        oldest: list[Any] = []
        for key, each in sizes.items():
            if size <= self.cache_bytes // 2:
                break
            oldest.append(key)
            size -= each
        self._is_ordered = False
        flush = without_collector(self.begin_flush)
        try:
            for at in range(0, len(oldest), _MANY):
                self._let_go(self._replaceable(oldest[at : at + _MANY], flush))
        finally:
            self.abandon(flush)
        self._cached_bytes = sum(
            len(blob or b"") for blob in self.given.copy().values()
        )
        self._room_bytes = max(self.cache_bytes, 2 * self._cached_bytes)

    def _let_go(self, seen: dict[Any, Stored]) -> None:
        """Take keys out of memory, each if its slot holds what was seen there."""
        self.watchers.note(seen)
        groups: list[tuple[Callable[[], object], ...]] = [
            (
                partial(_pop, self, key, None),
                partial(self.given.pop, key, None),
                partial(storage.pop, self.live, self.bases.get(key), None),
                partial(self.bases.pop, key, None),
            )
            for key in seen
        ]
        same = self._are(seen, seen.values())
        _in_c(map(call, chain.from_iterable(compress(groups, same))))()

    def _replaceable(self, keys: Sequence[Any], flush: Flush) -> dict[Any, Stored]:
        """Return what is in the slots of those keys that the snapshot gives as well.

        Args:
            keys: The keys.
            flush: What is LIVE, with placeholders in its slots.
        """
        found: dict[Any, Stored] = {}
        values: dict[Any, Any] = {}
        for key, known in zip(keys, self._known_of(keys), strict=True):
            slot, blob, base = known
            if type(slot) is not Stored or blob in (None, MISSING):
                continue
            if key not in flush.cells:
                content = cast("Blob | tuple[Base, Any]", slot.cell_contents)
                now = content[0].blob if isinstance(content, tuple) else content
                if now is blob and base not in self.live:
                    found[key] = slot
            elif key not in flush.held and flush.bases[key].blob is blob:
                values[key] = flush.touched[key]
        blobs = self._encoded_each(values)
        for key, blob in blobs.items():
            if self.codec.same_value(flush.base(key), blob):
                found[key] = flush.cells[key]
        return found

    def _encoded_each(self, values: dict[Any, Any]) -> dict[Any, bytes]:
        """Encode values, those that can be stored."""
        try:
            blobs = self.codec.encode_items(values)
        except (TypeError, ValueError, RuntimeError):
            if len(values) == 1:
                return {}
            one_by_one = [self._encoded_each({key: values[key]}) for key in values]
            return {key: blob for each in one_by_one for key, blob in each.items()}
        return dict(zip(values, blobs.values(), strict=True))

    def is_crowded(self) -> bool:
        """Whether there is more in memory than there is room for.

        Not where hardly any of it could be let go of: what is LIVE after a flush is
        held by somebody.
        """
        count = storage.__len__(self)
        return (
            self.pages is not None
            and self._cached_bytes > self._room_bytes
            and (count - len(self.live)) * _HARDLY > count
        )

    def make_do(self) -> None:
        """Have more room: nothing can be let go of for now."""
        self._room_bytes = 2 * self._cached_bytes

    def renew(self, pages: Snapshot) -> None:
        """Take a later snapshot, in which all is that memory takes for durable.

        Nothing was committed since, and no flush is under way. If another thread sets
        or deletes something meanwhile, the old one stays.
        """
        before = self.pages
        here, gone = dict(storage.items(self)), self.gone.copy()
        paged: dict[Any, bytes | None] = {}
        for key, slot in here.items():
            base = self.base_of(key, slot)
            blob = base.blob
            if blob is not None:
                paged[key] = None if base in gone else blob
        for base in gone:
            if base.blob is not None:
                paged[base.key] = None
        left = [key for key in list(self.bases) if key not in here and key not in paged]
        sizes: Iterator[int] = map(storage.__len__, (self,))
        counts: Iterator[int] = map(len, (self.gone,))
        same = map(is_, map(attrgetter("pages"), (self,)), (before,))
        self.step(
            list(here),
            list(here.values()),
            partial(setattr, self, "pages", pages),
            partial(setattr, self, "given", paged),
            _in_c(map(self.bases.pop, left, repeat(None))),
            also=chain(
                same, map(eq, sizes, (len(here),)), map(eq, counts, (len(gone),))
            ),
        )

    def stream(self) -> Iterator[list[tuple[Any, Any]]]:
        """Iterate over the keys of now with their slots, in order, some at a time.

        Each comes once, and as it is when it comes: what is deleted meanwhile is left
        out, and what is new is not seen.

        Raises:
            CorruptionError: The state is damaged and cannot be rebuilt.
            OSError: It cannot be read now.
        """
        pages, keys = self.pages, list(storage.__iter__(self))
        if pages is None or (self._is_ordered and len(self.given) == len(pages)):
            return self._in_memory(keys)
        behind = dict.fromkeys(key for key in keys if self.given.get(key) is None)
        return chain(self._in_pages(pages, behind), self._in_memory(list(behind)))

    def _in_pages(
        self, pages: Snapshot, behind: Collection[Any]
    ) -> Iterator[list[tuple[Any, Any]]]:
        """Iterate over the keys of a snapshot, but those that stand behind them all."""
        order: list[Any] | None = []
        for entries in pages.items():
            keys = self.codec.plain_keys([key for key, _ in entries])
            unknown = [
                (key, Stored(blob))
                for key, (_, blob), known in zip(
                    keys, entries, self._known_of(keys), strict=True
                )
                if all(map(is_, known, _NOTHING))
            ]
            if unknown:
                self._page_in(unknown, pages)
            found: list[tuple[Any, Any]] = []
            for key, (slot, _, _) in zip(keys, self._known_of(keys), strict=True):
                now = slot if slot is not MISSING else self.page_in(key)
                if now is not MISSING and key not in behind:
                    found.append((key, now))
            if order is not None:
                order += keys
                order = order if len(order) <= len(self.given) else None
            yield found
        if order is not None:
            self._put_in_order(pages, order)

    def _put_in_order(self, pages: Snapshot, order: Iterable[Any]) -> None:
        """Bring the slots into the order of a snapshot, if all its keys have theirs.

        So that it need not be read for the order again.
        """
        if self.pages is not pages or len(self.given) != len(pages):
            return
        here = dict(storage.items(self))
        slots = {
            key: here[key]
            for key in order
            if key in here and self.given.get(key) is not None
        }
        slots.update(here)
        sizes: Iterator[int] = map(storage.__len__, (self, self.given))
        same = map(is_, map(attrgetter("pages"), (self,)), (pages,))
        self.step(
            list(here),
            list(here.values()),
            partial(storage.clear, self),
            partial(storage.update, self, slots),
            partial(setattr, self, "_is_ordered", True),
            also=chain(same, map(eq, sizes, (len(here), len(pages)))),
        )

    def _in_memory(self, keys: list[Any]) -> Iterator[list[tuple[Any, Any]]]:
        """Iterate over those of *keys* that are there, with what is in their slots."""
        size, at = _FEW, 0
        while some := keys[at : at + size]:
            pairs = zip(some, map(self.page_in, some), strict=True)
            yield [pair for pair in pairs if pair[1] is not MISSING]
            at, size = at + size, min(4 * size, _MANY)

    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """Add the slots of all keys, in the order of the durable state.

        Args:
            later: A later state, for the keys that memory does not know: they were not
                changed here. What it has for the others is to be merged. Observers look
                at all anew, as it may have other keys.

        Raises:
            CorruptionError: The state is damaged and cannot be rebuilt.
            OSError: It cannot be read now.
        """
        while (pages := self.pages) is not None:
            entries = entries_of(pages) if later is None else later
            whole = type(self).opened(self.codec, entries)
            here, paged = dict(storage.items(self)), self.given.copy()
            slots = dict(storage.items(whole))
            slots.update(
                (key, here[key])
                for key, blob in paged.items()
                if blob is not None and key in here
            )
            for key in [key for key, blob in paged.items() if blob is None]:
                slots.pop(key, None)  # if it was set again, it goes last
            slots.update(here)
            orders = [
                partial(setattr, point, "order", _in_place(point, whole))
                for point in self.points
                if point.order is not None
            ]
            sizes: Iterator[int] = map(storage.__len__, (self,))
            # Another thread may have filled it meanwhile. The snapshot is not closed
            # here: one may be asking it still, and it goes with the last who does.
            unfilled = map(is_, map(attrgetter("pages"), (self,)), (pages,))
            self.step(
                list(here),
                list(here.values()),
                partial(storage.clear, self),
                partial(storage.update, self, slots),
                *orders,
                *(() if later is None else self.watchers.end()),
                partial(setattr, self, "pages", None),
                also=chain(unfilled, map(eq, sizes, (len(here),))),
            )

    def is_filled(self) -> bool:
        """Whether all keys have their slots."""
        return self.pages is None

    def let_go(self) -> None:
        """Let go of what is asked for further keys: asking for one is an OSError."""
        if self.pages is not None:
            self.pages.close()

    @classmethod
    def opened(cls, codec: Codec, entries: Mapping[bytes, bytes]) -> Self:
        """Return a durable root, of which no value is decoded.

        Args:
            codec: Values to bytes and back.
            entries: The keys and values, in order.

        Raises:
            DecodeError: There are keys that are one for Python, as 1 and True.
        """
        self = cls(codec)
        keys = codec.decode_keys(list(entries))
        # Now, not when they are decoded: a record that is read before would be
        # taken for a plain dict, and escaped when it is saved.
        for blob in entries.values():
            codec.learn(blob)
        storage.update(self, zip(keys, map(Stored, entries.values()), strict=True))
        self.only_str = {str}.issuperset(map(type, keys))
        return self

    @classmethod
    def paged(cls, codec: Codec, pages: Snapshot, cache_bytes: int) -> Self:
        """Return a durable root whose keys are asked for when they are needed.

        Args:
            codec: Values to bytes and back.
            pages: What is asked.
            cache_bytes: How much of what it gave is kept in memory, encoded, though
                nobody holds it.
        """
        self = cls(codec)
        self.pages = pages
        self.cache_bytes = self._room_bytes = cache_bytes
        self._is_ordered = not pages
        self.only_str = pages.kind == "str"
        return self

    # --- keys -------------------------------------------------------------------
    def own_key(self, key: Any) -> Any:
        """Return the key that the dict stores for an equal *key*, else *key* itself.

        ``1 == True == 1.0``, and a member of a StrEnum equals a str, but their bytes
        differ: the dict keeps the key that it has, so that one is saved.
        A key that holds a NaN equals only itself; it is found by its bytes.
        """
        if self.only_str and type(key) is str:
            return key
        if _has(self, key):
            return key_in(self, key)
        return self._same_bytes(key)

    def is_same_key(self, key: Any, keys: Mapping[Any, Any]) -> bool:
        """Whether the key in *keys* that equals *key* has its bytes, too."""
        if self.only_str and type(key) is str:
            return True
        encode_key = self.codec.encode_key
        return encode_key(key) == encode_key(key_in(keys, key))

    def _same_bytes(self, key: Any) -> Any:
        if type(key) in (str, int, bytes, bool) or key is None:
            return key
        try:
            blob = self.codec.encode_key(key)
            copy = self.codec.decode_all([blob])[0]
        except (TypeError, ValueError, RuntimeError):
            return key  # what is wrong with it is said when it is saved
        if copy == key or type(copy) is not type(key):
            return key
        for each in list(storage.__iter__(self)):
            if type(each) is type(key) and self.codec.encode_key(each) == blob:
                return each
        return key

    def arrange(self, keys: Iterable[Any]) -> None:
        """Bring the keys into this order; those that are not named go last."""
        wanted = dict.fromkeys(keys)
        wanted.update(dict.fromkeys(list(storage.__iter__(self))))
        order = list(wanted)
        at = 0
        for held, key in zip(list(storage.__iter__(self)), order, strict=False):
            if held is not key and held != key:
                break
            at += 1
        self.put_last(order[at:])

    def put_last(self, keys: Collection[Any]) -> None:
        """Move keys to the end."""
        # In one call of C, so that no other thread finds a key missing.
        popped: Iterable[Any] = map(storage.pop, repeat(self), keys)
        put: Iterable[Any] = map(storage.__setitem__, repeat(self), keys, popped)
        deque(put, maxlen=0)

    # --- bytes ------------------------------------------------------------------
    def base_of(self, key: Any, slot: Any) -> Base:
        """Return the base of a key, there or deleted; *slot* is what lies in its slot."""
        if type(slot) is Stored:
            content = cast("Blob | tuple[Base, Any]", slot.cell_contents)
            return content[0] if isinstance(content, tuple) else Base(key, content)
        base = self.bases.get(key)
        if base is None or not (
            base.key is key or self.is_same_key(key, {base.key: 0})
        ):
            return Base(key, None)
        return base

    def durable(self, key: Any) -> bytes | None:
        """Return the durable bytes of a key, also of a LIVE or deleted one.

        Of this very key: where 1 is durable, True is not.
        """
        slot = self.page_in(key)
        if slot is not MISSING and not self.is_same_key(key, self):
            return None
        return self.base_of(key, slot).blob

    def stored_items(self) -> Iterator[tuple[Any, bytes]]:
        """Return the durable state: keys and bytes.

        First the keys that are in memory, in the order of the dict; then those that
        are deleted here, but durable still, wherever they stand in the file.
        """
        gone = dict(self.gone)
        for pairs in self.stream():
            for key, slot in pairs:
                base = self.base_of(key, slot)
                blob = None if base in gone else base.blob
                if blob is not None:
                    yield base.key, blob
        for base in gone:
            if (blob := base.blob) is not None:
                yield base.key, blob

    # --- access -----------------------------------------------------------------
    def open(self, key: Any) -> Any:
        """Return the live value of a key that may not be LIVE yet.

        Raises:
            KeyError: There is no such key.
            DatabaseLoadError: Its bytes cannot be decoded; they stay as they are.
        """
        while True:
            slot = _at(self, key)
            if type(slot) is not Stored:
                return slot
            content = cast("Blob | tuple[Base, Any]", slot.cell_contents)
            if isinstance(content, tuple):
                value = content[1]
            else:
                value = self.decode(key, content or b"")
            if self.make_live(self.own_key(key), slot, value):
                return value

    def decode(self, key: Any, blob: bytes) -> Any:
        """Decode the value of a key, and note if it is in doubt.

        Raises:
            DatabaseLoadError: It cannot be.
        """
        before = self.count_misfits()
        try:
            value = self.codec.decode(blob)
        except ValueError as error:
            msg = (
                f"cannot read the value of key {key!r}: {error}; its bytes are kept as "
                f"they are: take it from a backup, or set or delete the key"
            )
            raise DatabaseLoadError(msg) from error
        is_odd = self.count_misfits() != before + 1
        if is_odd or (self.fits is not None and not self.fits(value)):
            self.doubtful.add(key)
        return value

    def doubt(
        self, keys: Iterable[Any], values: Iterable[Any], *, is_odd: bool
    ) -> None:
        """Note the keys of values that are perhaps not of the type of the database.

        Args:
            keys: The keys.
            values: What was decoded.
            is_odd: Whether there were misfits while they were.
        """
        if is_odd:
            self.doubtful.update(keys)
        elif (fits := self.fits) is not None:
            pairs = zip(keys, values, strict=True)
            self.doubtful.update(key for key, value in pairs if not fits(value))

    def expect(self, fits: Callable[[Any], bool] | None) -> None:
        """Judge what is decoded from now on by *fits*, and what is LIVE at once."""
        self.fits = fits
        if fits is not None:
            values, _ = self.live_values()
            self.doubt(values, values.values(), is_odd=False)

    def make_live(self, key: Any, slot: Any, value: Any) -> bool:
        """Put a value into the slot of a key; False if the slot has changed.

        Args:
            key: As the dict stores it.
            slot: What was seen there.
            value: What was decoded for it, or is to take its place.
        """
        base = self.base_of(key, slot)
        if self.points:
            seen = value if type(slot) is Stored else MISSING
            self.points[-1].note(key, self.before(base, slot), seen)
        return self._put_live(key, slot, base, value)

    def _put_live(
        self,
        key: Any,
        slot: Any,
        base: Base,
        value: Any,
        also: Iterable[bool] = (),
    ) -> bool:
        """Put a value into a slot as LIVE; see `step`."""
        if type(key) is not str:
            return self.step(
                (key,),
                (slot,),
                partial(self.bases.update, {key: base}),
                partial(self.live.setdefault, base),
                partial(storage.update, self, {key: value}),
                also=also,
            )
        # The same in less time, for a key whose hash runs no code.
        dicts = (self.bases, self.live, self)
        puts = map(_put, dicts, (key, base, key), (base, None, value))
        now: Iterator[Any] = map(_get, (self,), (key,), (MISSING,))
        same = chain(map(is_, (slot,), now), also)
        return bool(list(map(call, compress((_in_c(puts),), map(all, (same,))))))

    def before(self, base: Base, slot: Any) -> Before:
        """Return what is known of a key, for a savepoint."""
        is_live, deletion = base in self.live, self.gone.get(base)
        given = self.given.get(base.key, MISSING)
        return Before(slot, base, is_live, deletion, given)

    def open_all(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Make LIVE what is not decoded yet of these keys and slots, in bulk.

        What cannot be decoded stays as it is, so that the access to it raises.
        """
        keys: list[Any] = []
        slots: list[Stored] = []
        contents: list[Blob] = []
        for key, slot in pairs:
            if type(slot) is Stored and type(slot.cell_contents) is bytes:
                keys.append(key)
                slots.append(slot)
                contents.append(slot.cell_contents)
        blobs = [content or b"" for content in contents]
        before = self.count_misfits()
        try:
            values = self.codec.decode_all(blobs)
        except Exception:  # noqa: BLE001 - each alone says what is wrong with it
            return
        self.doubt(keys, values, is_odd=self.count_misfits() != before + 1)
        if not self.points:
            bases = list(map(Base, keys, contents))
            if self.step(
                keys,
                slots,
                partial(self.bases.update, dict(zip(keys, bases, strict=True))),
                partial(self.live.update, dict.fromkeys(bases)),
                partial(storage.update, self, dict(zip(keys, values, strict=True))),
            ):
                return
        for key, slot, value in zip(keys, slots, values, strict=True):
            self.make_live(key, slot, value)

    # --- change -----------------------------------------------------------------
    def _set(self, key: Any, value: Any, expected: Any = _ANY) -> bool:
        """Put a value of the user's into a slot.

        Args:
            key: The key.
            value: The value.
            expected: What the slot must hold, if that matters.

        Returns:
            False if it holds something else.
        """
        if self.pages is not None:
            self.page_in(key)
        if not (self.only_str and type(key) is str):
            key = self.own_key(key)
            if type(key) is not str:
                self.only_str = False
        while True:
            is_turn = self._wait_turn()
            slot = self.page_in(key)
            if expected is not _ANY and slot is not expected:
                return False
            base = self.base_of(key, slot)
            if self.points:
                self.points[-1].note(key, self.before(base, slot))
            if self._put_live(key, slot, base, value, is_turn):
                return True

    def _set_all(self, entries: dict[Any, Any]) -> None:
        """Put many values of the user's into their slots, in one step."""
        if not self.only_str or not {str}.issuperset(map(type, entries)):
            for key in entries:
                self.page_in(
                    key
                )  # it is filled if this may equal a key that is not here
            entries = {self.own_key(key): value for key, value in entries.items()}
            self.only_str = self.only_str and {str}.issuperset(map(type, entries))
        while True:
            is_turn = self._wait_turn()
            keys = list(entries)
            # Into an empty dict: the same without a look at each key.
            is_first = not (storage.__len__(self) or self.bases or self.pages)
            slots = [MISSING] * len(keys) if is_first else self._page_in_all(keys)
            if not self.bases and {Missing}.issuperset(map(type, slots)):
                bases = list(map(Base, entries, repeat(None)))  # all of it is new
            else:
                bases = list(map(self.base_of, entries, slots))
            if self.points:
                point = self.points[-1]
                for key, slot, base in zip(entries, slots, bases, strict=True):
                    point.note(key, self.before(base, slot))
            sizes = map(storage.__len__, (self, self.bases) if is_first else ())
            if self.step(
                () if is_first else keys,
                () if is_first else slots,
                partial(self.bases.update, dict(zip(entries, bases, strict=True))),
                _in_c(map(self.live.setdefault, bases)),
                partial(storage.update, self, entries),
                also=chain(is_turn, map(not_, sizes)),
            ):
                return

    def _remove(self, key: Any, expected: Any = _ANY) -> bool:
        """Delete a key.

        Args:
            key: The key.
            expected: What its slot must hold, if that matters.

        Returns:
            False if it holds something else.

        Raises:
            KeyError: It is not there.
        """
        key = self.own_key(key)
        while True:
            slot = _at(self, key)
            if expected is not _ANY and slot is not expected:
                return False
            if self._remove_all((key,), (slot,)):
                return True

    def _remove_all(self, keys: Sequence[Any], slots: Sequence[Any]) -> bool:
        """Delete keys in one step; False, and nothing was done, if a slot changed."""
        is_turn = self._wait_turn()
        bases = list(map(self.base_of, keys, slots))
        if self.points:
            self._note_order()
            for key, slot, base in zip(keys, slots, bases, strict=True):
                self.points[-1].note(key, self.before(base, slot))
        # What is not durable may be in flight: it is durable when the commit is done.
        flies = self.flush is not None
        gone = {base: object() for base in bases if flies or base.blob is not None}
        paged = [key for key in keys if key in self.given]
        return self.step(
            keys,
            slots,
            *self.watchers.notes(keys),
            partial(self.bases.update, dict(zip(keys, bases, strict=True))),
            partial(self.gone.update, gone),
            partial(self.given.update, dict.fromkeys(paged)),
            _in_c(map(self.live.pop, bases, repeat(None))),
            _in_c(map(_pop, repeat(self), keys, repeat(None))),
            also=is_turn,
        )

    def _note_order(self) -> None:
        """Keep the order of the keys, before the first that is deleted is."""
        if self.points[-1].order is None:
            order, paged = list(storage.__iter__(self)), self.given.copy()
            placed = frozenset(key for key in order if paged.get(key) is not None)
            for point in self.points:
                if point.order is None:
                    point.placed = placed
                    point.order = order

    # --- a flush ----------------------------------------------------------------
    def is_clean(self) -> bool:
        """Whether nothing was handed out, set or deleted since it was saved."""
        return not self.live and not self.gone

    def touched_count(self) -> int:
        """Count the keys that a flush looks at, deleted ones included."""
        return len(self.live) + len(self.gone)

    def live_values(self) -> tuple[dict[Any, Any], dict[Any, Base]]:
        """Return what is LIVE by the keys that the dict stores, and its bases."""
        if self.only_str and len(self.live) == len(self.bases) == storage.__len__(self):
            # All that is here, as after a bulk load: as it was at one moment.
            values: dict[Any, Any] = dict(storage.items(self))
            found: dict[Any, Base] = self.bases.copy()
            counts = set(map(len, (self.live, values, found)))
            if len(counts) == 1 and Stored not in set(map(type, values.values())):
                return values, found
        bases = list(self.live)
        keys = list(map(_KEY, bases))
        slots = self._slots_of(keys)
        same = list(map(self.bases.get, keys)) == bases
        if same and {Stored, Missing}.isdisjoint(map(type, slots)):
            # The common case, by a few calls of C.
            values = dict(zip(keys, slots, strict=True))
            return values, dict(zip(keys, bases, strict=True))
        values = {}
        found = {}
        for key, base, slot in zip(keys, bases, slots, strict=True):
            if type(slot) is Stored and self.base_of(key, slot) is not base:
                continue  # it was replaced from the file
            value = _value_in(slot)
            if value is not MISSING and self.bases.get(key) is base:
                values[key], found[key] = value, base
        return values, found

    def begin_flush(self) -> Flush:
        """Begin a flush: from here on, whatever is accessed is noted anew.

        To be followed by encoding, and by `end_flush` if all is durable. A flush that
        goes no further, or is overtaken by another one, leaves no trace: what it
        looked at is LIVE still.
        """
        # First of all: one that a handler begins meanwhile makes this one an old one.
        self.flush = flush = Flush(self)
        deletions = flush.deletions
        if self.gone:
            gone = self.gone.copy()
            deletions.update((b, m) for b, m in gone.items() if b.blob is not None)
            # No commit is under way: what is not durable will not be.
            never = {b: mark for b, mark in gone.items() if b.blob is None}
            self._forget_deletions(never)
            flush.gone.update(
                (base.key, cast("bytes", base.blob)) for base in deletions
            )
        values, bases = self.live_values()
        flush.bases = bases
        # What goes last in the file: new keys, and those that were set again.
        are_new = list(map(is_, map(_BLOB, bases.values()), _NONE))
        flush.is_new = is_new = not deletions and all(are_new)
        new: Collection[Any] = bases
        if not is_new:
            new = dict.fromkeys(compress(bases, are_new))
            for base in deletions:
                if bases.get(base.key) is base:
                    new[base.key] = None
        if len(new) > 1:
            values = self._in_order(values, new)
        flush.touched = values
        # What is held stays LIVE, so it need not be noted when that is accessed.
        free: Iterable[Any] = values
        if len(values) >= _SIGHTED:
            held = held_at_sight(list(values.values()), _OWNERS)
            free = compress(values, map(not_, held))
        flush.cells = {key: Stored((bases[key], values[key])) for key in free}
        self._put_cells(flush.cells, values)
        # Deleted meanwhile, perhaps before it was known that a flush is under way.
        is_all = len(values) == storage.__len__(self) and all(
            map(is_, values, _walked(storage.__iter__, self))
        )
        if not is_all:
            for key in list(filterfalse(partial(_has, self), values)):
                del values[key]
                flush.cells.pop(key, None)
        # Before anything is encoded: who holds a value now and lets go of it then
        # may have changed it in between.
        flush.look()
        return flush

    def _put_cells(self, cells: dict[Any, Stored], values: dict[Any, Any]) -> None:
        """Put placeholders into the slots, each if its value is still there."""
        slots = self._slots_of(cells)
        for at, (key, slot) in enumerate(zip(cells, slots, strict=True)):
            if slot is not values[key] and _value_in(slot) is not values[key]:
                slots[at] = _ANY  # it was set meanwhile, and stays as it is
        same = self._are(cells, slots)
        if self.only_str:
            _in_c(starmap(partial(_put, self), compress(cells.items(), same)))()
        else:  # each with its hash: between the look and the put nothing may run
            entries = [{key: cell} for key, cell in cells.items()]
            _in_c(map(partial(storage.update, self), compress(entries, same)))()

    def _forget_deletions(self, deletions: Mapping[Base, object]) -> None:
        """Let go of deletions, but not of keys that were deleted again since."""
        same = map(is_, map(self.gone.get, deletions), deletions.values())
        _in_c(map(self.gone.pop, compress(deletions, same), repeat(None)))()

    def _in_order(self, values: dict[Any, Any], new: Collection[Any]) -> dict[Any, Any]:
        """Return values with those that go last in the file at the end, in dict order."""
        # They stand last in the dict as a rule, and in this order.
        backwards: Callable[[Any], Iterator[Any]] = storage.__reversed__
        if len(new) == len(values) and all(
            map(is_, reversed(values), _walked(backwards, self))
        ):
            return values
        count, found = len(new), list[Any]()
        while len(found) < len(new) and count // 2 < len(self):
            last = list(islice(_walked(backwards, self), count))
            found = [key for key in last if key in new]
            count *= 2
        order = [key for key in values if key not in new] + found[::-1]
        return {key: values[key] for key in order if key in values}

    def end_flush(
        self, flush: Flush, keys: Collection[Any], blobs: Collection[bytes]
    ) -> None:
        """End a flush: all that it looked at is durable; *flush* is used up.

        Args:
            flush: What `begin_flush` gave; no other has begun since.
            keys: Those of `Flush.touched` for which something was committed; the
                others were found to be as durable.
            blobs: What that is, for each of them.
        """
        bases, deletions, cells = flush.bases, flush.deletions, flush.cells
        for base in deletions:
            base.blob = None
        # No look-up for each where it is all of them, in the same order.
        is_all = len(keys) == len(bases) and all(map(is_, keys, bases))
        those = list(bases.values() if is_all else map(bases.__getitem__, keys))
        deque(map(_SET_BLOB, those, blobs), 0)
        deque(map(_SET_FORM, those, repeat(flush.form)), 0)
        self._cached_bytes += sum(map(len, blobs))
        if deletions:
            self._forget_deletions(deletions)
        # Told before they stop being LIVE: so at each moment they are one or the other.
        if self.watchers.told:
            self.watchers.note(cells)
        free = [key for key in cells if key not in flush.held]
        same = self._are(free, map(cells.__getitem__, free))
        settled = compress(map(bases.__getitem__, free), same)
        deque(map(self.live.pop, settled, repeat(None)), 0)
        for point in self.points:
            point.is_spent = True
        self.abandon(flush)

    def mark(self) -> Flush:
        """Return what `touched_since` compares with."""
        return without_collector(self.begin_flush)

    def touched_since(self, mark: Flush) -> set[Any]:
        """Return the keys that were read, set or deleted since.

        Not those that were held then and were only read.
        """
        keys = list(map(_KEY, list(self.live)))
        read = (
            key
            for key, slot in zip(keys, self._slots_of(keys), strict=True)
            if slot is not mark.cells.get(key, _ANY)
            and (
                key in mark.cells or _value_in(slot) is not mark.touched.get(key, _ANY)
            )
        )
        deleted = (
            base.key
            for base, deletion in self.gone.copy().items()
            if mark.deletions.get(base) is not deletion
        )
        return {*read, *deleted}

    def abandon(self, flush: Flush) -> None:
        """End a flush of which nothing is durable; what it looked at is LIVE still."""
        if self.flush is flush:
            self.flush = None
        # A reference to a value would count as somebody's.
        flush.touched.clear()
        flush.cells.clear()
