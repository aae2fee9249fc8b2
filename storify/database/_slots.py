"""A dict of values that are decoded when they are looked at, and what that takes.

Each key has one slot, the dict's own::

    file ──► Stored(number) ──access──► LIVE, with its base in `_live`
                                          │  ▲
             Stored((base, object)) ◄─flush  └─ if the flush found it held elsewhere
                     └──access──► LIVE (the same object)

    db[k] = v ──► LIVE, base None if k is not durable      del ──► base in `_gone`

A *base* is the durable value of a key: the number of a value in the payload,
bytes, or None. All that is LIVE may have been changed by whoever holds it, so a
flush encodes it and compares; what is `Stored` is as durable.

Threads: reading a LIVE value takes no lock. Slots change under `_lock`, which is
never held while something is decoded or encoded. Two threads may decode one value
at the same time; the first to put it into its slot wins, and both get that one.
The lock is reentrant, because keys may be hashed by Python code, and freeing an
object may run any.
"""

import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import repeat
from types import CellType
from typing import Any, Final, Literal, cast

from storify.codec import Codec, collector_paused
from storify.codec._frames import read_map_header
from storify.database._settling import held_elsewhere
from storify.database._watching import Watchers
from storify.exceptions import DatabaseLoadError

__all__ = [
    "MISSING",
    "Base",
    "Frozen",
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

Base = int | bytes | None


class Missing(Enum):
    """The type of `MISSING`; an enum, so that type checkers narrow it."""

    MISSING = "missing"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING

# The dict's own operations, on what is in the slots. Unbound, as super() costs twice
# as much, and untyped, as a dict of anything.
storage: Final[Any] = dict
_at = storage.__getitem__
_get = storage.get
_put = storage.__setitem__
_pop = storage.pop
_has = storage.__contains__

# The references that a freeze has to a value: its list, dict and placeholder.
_OWNERS: Final = 3


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
    """Give the key in a dict that equals *key*, of which it has one."""
    probe = _Probe(key)
    if probe in keys:
        return probe.found
    # A stored key whose __eq__ knows no probe.
    return next(each for each in storage.__iter__(keys) if each == key)


class Frozen:
    """What one flush works on; `Slots.thaw` empties it.

    Attributes:
        touched: The LIVE values at the freeze by the keys that the dict stores; new
            keys in dict order. Encode and compare each with `base`.
        gone: The keys that are durable but were deleted, with their bytes. One that
            is in `touched` as well was set again since: it moves to the end, so it
            is to be deleted and set in one commit, whatever its bytes are.
    """

    __slots__ = ("_slots", "bases", "cells", "gone", "held", "touched", "was_gone")

    def __init__(
        self,
        slots: "Slots",
        touched: dict[Any, Any],
        bases: dict[Any, Base],
        was_gone: dict[Any, Base],
    ) -> None:
        self._slots = slots
        self.touched = touched
        self.bases = bases
        self.was_gone = was_gone
        self.gone: dict[Any, bytes] = {
            key: cast("bytes", slots.bytes_of(base)) for key, base in was_gone.items()
        }
        pairs = zip(bases.values(), touched.values(), strict=True)
        self.cells = dict(zip(touched, map(Stored, pairs), strict=True))
        self.held: frozenset[Any] = frozenset()

    def base(self, key: Any) -> bytes | None:
        """Give the durable bytes of a key in `touched`; None if it is not durable."""
        if key in self.gone and self._slots.is_same_key(key, self.gone):
            return self.gone[key]
        return self._slots.bytes_of(self.bases[key])

    def look(self) -> None:
        """Find out which values somebody else can change."""
        keys, values = list(self.touched), list(self.touched.values())
        self.held = frozenset(keys[at] for at in held_elsewhere(values, _OWNERS))

    def empty(self) -> None:
        """Let go of the values: a reference to one would count as somebody's."""
        self.touched.clear()
        self.cells.clear()


class Savepoint:
    """What returns the slots to the state at one moment.

    Attributes:
        live: The bases of the LIVE values at that moment.
        gone: The bases of what was deleted then.
        values: The LIVE values of then.
        blobs: What they held; where it is not here, they were as durable.
        before: What was in each slot that changed since.
        handed: The values that were handed out of them.
        order: The keys in the order of then, before the first was deleted; keys that
            are newer may be among them.
        is_spent: Whether there was a commit since: it cannot be undone.
    """

    __slots__ = (
        "before",
        "blobs",
        "gone",
        "handed",
        "is_spent",
        "live",
        "order",
        "values",
    )

    def __init__(
        self, live: dict[Any, Base], gone: dict[Any, Base], values: dict[Any, Any]
    ) -> None:
        self.live = live
        self.gone = gone
        self.values = values
        self.blobs: Mapping[Any, bytes] = {}
        self.before: dict[Any, Any] = {}
        self.handed: dict[Any, Any] = {}
        self.order: list[Any] | None = None
        self.is_spent = False

    def note(self, key: Any, slot: Any, value: Any = MISSING) -> None:
        """Keep what is in a slot that changes, and the value that is handed out."""
        if key not in self.before:
            self.before[key] = slot
            if value is not MISSING:
                self.handed[key] = value


class Slots(dict[Any, Any]):
    """The storage of a dict root and its bookkeeping; `Data` is the dict on top.

    Args:
        codec: Values to bytes and back.
    """

    __slots__ = (
        "_codec",
        "_ends",
        "_frozen",
        "_gone",
        "_live",
        "_lock",
        "_only_str",
        "_payload",
        "_points",
        "_starts",
        "_watchers",
    )

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self._codec = codec
        self._lock = threading.RLock()
        self._payload = b""
        self._starts = self._ends = array("Q")
        #: The bases of the LIVE values; None for a key that is also in `_gone`.
        self._live: dict[Any, Base] = {}
        #: The bases of keys that were deleted, and perhaps set again. None: the
        #: commit that is under way may make it durable.
        self._gone: dict[Any, Base] = {}
        self._frozen: Frozen | None = None
        #: The savepoints of the transactions that run, outer ones first.
        self._points: list[Savepoint] = []
        #: They are told of each key that stops being LIVE, or changes without.
        self._watchers = Watchers()
        #: Whether all keys are exactly str: then equal keys are the same key.
        self._only_str = True

    # --- keys -------------------------------------------------------------------
    def own_key(self, key: Any) -> Any:
        """Give the key that the dict stores for an equal *key*, else *key* itself.

        ``1 == True == 1.0``, and a member of a StrEnum equals a str, but their bytes
        differ: the dict keeps the key that it has, so that one is saved.
        A key that holds a NaN equals only itself; it is found by its bytes.
        """
        if self._only_str and type(key) is str:
            return key
        if _has(self, key):
            return key_in(self, key)
        return self._same_bytes(key)

    def is_same_key(self, key: Any, keys: Mapping[Any, Any]) -> bool:
        """Whether the key in *keys* that equals *key* has its bytes, too."""
        if self._only_str and type(key) is str:
            return True
        encode_key = self._codec.encode_key
        return encode_key(key) == encode_key(key_in(keys, key))

    def _same_bytes(self, key: Any) -> Any:
        if type(key) in (str, int, bytes, bool) or key is None:
            return key
        try:
            blob = self._codec.encode_key(key)
            copy = self._codec.decode_all([blob])[0]
        except (TypeError, ValueError, RuntimeError):
            return key  # what is wrong with it is said when it is saved
        if copy == key or type(copy) is not type(key):
            return key
        for each in list(storage.__iter__(self)):
            if type(each) is type(key) and self._codec.encode_key(each) == blob:
                return each
        return key

    # --- bytes ------------------------------------------------------------------
    def bytes_of(self, base: Base) -> bytes | None:
        """Give the bytes of a base."""
        if isinstance(base, int):
            return self._payload[self._starts[base] : self._ends[base]]
        return base

    def bytes_before(self, number: int) -> bytes:
        """Give the bytes of the key of a value in the payload, as they stand there.

        Args:
            number: The value's; it is its base.
        """
        payload = self._payload
        start = self._ends[number - 1] if number else read_map_header(payload)[0]
        return payload[start : self._starts[number]]

    @staticmethod
    def _base_of(slot: Any) -> Base:
        """Give the base of a slot that is not LIVE."""
        if slot is MISSING:
            return None
        content = cast("Base | tuple[Base, Any]", slot.cell_contents)
        return content[0] if isinstance(content, tuple) else content

    def _base(self, key: Any) -> Base:
        """Give the base of a key, LIVE or not, there or deleted."""
        if self._frozen is not None and key in self._frozen.was_gone:
            return self._frozen.was_gone[key]
        if key in self._gone:
            return self._gone[key]
        if key in self._live:
            return self._live[key]
        slot = _get(self, key, MISSING)
        return self._base_of(slot)

    def durable(self, key: Any) -> bytes | None:
        """Give the durable bytes of a key, also of a LIVE or deleted one.

        Of this very key: where 1 is durable, True is not.
        """
        with self._lock:
            blob = self.bytes_of(self._base(key))
            if blob is None or (self._only_str and type(key) is str):
                return blob
            gone = {} if self._frozen is None else self._frozen.was_gone
            keys = next(each for each in (gone, self._gone, self) if key in each)
            return blob if self.is_same_key(key, keys) else None

    def stored_items(self) -> Iterator[tuple[Any, bytes]]:
        """Give the durable state: keys and bytes.

        First the keys that are in memory, in the order of the dict; then those that
        are deleted here, but durable still, wherever they stand in the file.
        """
        with self._lock:
            keys = list(storage.__iter__(self))
            was_gone = {} if self._frozen is None else self._frozen.was_gone
            gone = {**self._gone, **was_gone}
            bases = {key: self._base(key) for key in keys if key not in gone}
        bases.update(gone)
        for key, base in bases.items():
            if (blob := self.bytes_of(base)) is not None:
                yield key, blob

    # --- access -----------------------------------------------------------------
    def _open(self, key: Any) -> Any:
        """Give the live value of a key that may not be LIVE yet.

        Raises:
            KeyError: There is no such key.
            DatabaseLoadError: Its bytes cannot be decoded; they stay as they are.
        """
        while True:
            with self._lock:
                slot = _at(self, key)
                if type(slot) is not Stored:
                    return slot
                content: Any = slot.cell_contents
                if type(content) is tuple:
                    base, value = cast("tuple[Base, Any]", content)
                    self._make_live(self.own_key(key), slot, base, value)
                    return value
            value = self._decode(key, self.bytes_of(content) or b"")
            with self._lock:
                if _get(self, key) is slot:
                    self._make_live(self.own_key(key), slot, content, value)
                    return value

    def _decode(self, key: Any, blob: bytes) -> Any:
        try:
            return self._codec.decode(blob)
        except ValueError as error:
            msg = (
                f"cannot read the value of key {key!r}: {error}; its bytes are kept as "
                f"they are: take it from a backup, or set or delete the key"
            )
            raise DatabaseLoadError(msg) from error

    def _make_live(self, key: Any, slot: Stored, base: Base, value: Any) -> None:
        """Put a decoded value into its slot; the lock is held, *key* is our own."""
        if self._points:
            self._points[-1].note(key, slot, value)
        self._live[key] = base
        _put(self, key, value)

    def open_all(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Make LIVE what is not decoded yet of these keys and slots, in bulk.

        What cannot be decoded stays as it is, so that the access to it raises.
        """
        keys: list[Any] = []
        slots: list[Stored] = []
        bases: list[int] = []
        for key, slot in pairs:
            if type(slot) is Stored and type(base := slot.cell_contents) is int:
                keys.append(key)
                slots.append(slot)
                bases.append(base)
        payload, starts, ends = self._payload, self._starts, self._ends
        blobs = [payload[starts[base] : ends[base]] for base in bases]
        try:
            values = self._codec.decode_all(blobs)
        except Exception:  # noqa: BLE001 - each alone says what is wrong with it
            return
        with self._lock:
            now: list[Any] = list(map(_get, repeat(self), keys))
            if not self._points and now == slots:
                # The common case, by a few calls of C.
                storage.update(self, dict(zip(keys, values, strict=True)))
                self._live.update(zip(keys, bases, strict=True))
                return
            for key, slot, base, value in zip(keys, slots, bases, values, strict=True):
                if _get(self, key) is slot:
                    self._make_live(key, slot, base, value)

    # --- change -----------------------------------------------------------------
    def _set(self, key: Any, value: Any) -> None:
        """Put a value of the user's into a slot; the lock is held."""
        if not (self._only_str and type(key) is str):
            key = self.own_key(key)
            if type(key) is not str:
                self._only_str = False
        slot = _get(self, key, MISSING)
        if self._points:
            self._points[-1].note(key, slot)
        if key not in self._live:
            self._live[key] = self._base_of(slot)
        _put(self, key, value)

    def _remove(self, key: Any) -> None:
        """Delete a key that is there; the lock is held."""
        key = self.own_key(key)
        slot = _at(self, key)
        if self._points:
            self._note_order()
            self._points[-1].note(key, slot)
        base = self._live.pop(key, None) if key in self._live else self._base_of(slot)
        # In flight: it may be durable when the commit is done.
        flies = self._frozen is not None and key in self._frozen.bases
        if base is not None or flies:
            self._gone.setdefault(key, base)
        _pop(self, key)
        self._watchers.note((key,))

    def _note_order(self) -> None:
        """Keep the order of the keys, before the first that is deleted is."""
        if self._points[-1].order is None:
            order = list(storage.__iter__(self))
            for point in self._points:
                point.order = order if point.order is None else point.order

    # --- a flush ----------------------------------------------------------------
    def is_clean(self) -> bool:
        """Whether nothing was handed out, set or deleted since it was saved."""
        return not self._live and not self._gone

    def touched_count(self) -> int:
        """Count the keys that a flush looks at, deleted ones included."""
        return len(self._live) + len(self._gone)

    def freeze(self) -> Frozen:
        """Begin a flush: from here on, whatever is accessed is noted anew.

        To be followed by encoding, and by `thaw` in any case.

        Raises:
            RuntimeError: Another flush is under way.
        """
        with collector_paused():
            frozen = self._freeze()
            # Before anything is encoded: who holds a value now and lets go of it then
            # may have changed it in between.
            frozen.look()
        return frozen

    def _freeze(self) -> Frozen:
        with self._lock:
            self._expect_no_flush()
            bases, gone = self._live, self._gone
            touched: dict[Any, Any] = {key: _at(self, key) for key in bases}
            frozen = Frozen(self, touched, bases, gone)
            self._live, self._gone = {}, {}
            storage.update(self, frozen.cells)
            self._frozen = frozen
        return frozen

    def thaw(self, frozen: Frozen, durable: Mapping[Any, bytes] | None) -> None:
        """End a flush; *frozen* is used up.

        Args:
            frozen: What `freeze` gave.
            durable: The bytes that were committed, for keys of `Frozen.touched`; the
                others were found to be as durable. None: nothing was committed, and
                all is to be looked at again.
        """
        with self._lock:
            if self._frozen is not frozen:
                msg = "cannot end a flush that is not under way"
                raise RuntimeError(msg)
            self._frozen = None
            live = self._thaw_slots(frozen, durable)
            # The values of the flush first: new keys are in the order of the dict.
            live.update(self._live)
            self._live = live
            if durable is not None:
                self._watchers.note(frozen.cells)
                for point in self._points:
                    point.is_spent = True
            else:
                self._gone = {**self._gone, **frozen.was_gone}
            frozen.empty()

    def _thaw_slots(
        self, frozen: Frozen, durable: Mapping[Any, bytes] | None
    ) -> dict[Any, Base]:
        """Bring the bases of what was frozen up to date; give what is LIVE of it."""
        live: dict[Any, Base] = {}
        written: Mapping[Any, bytes] = {} if durable is None else durable
        since, gone = self._live, self._gone
        for key, cell in frozen.cells.items():
            base = written.get(key, frozen.bases[key])
            if _get(self, key) is cell:
                value = cell.cell_contents[1]
                if durable is None or key in frozen.held:
                    live[key] = base
                    _put(self, key, value)
                else:
                    cell.cell_contents = (base, value)
            elif key in gone:  # deleted since, perhaps set again
                if base is None:
                    del gone[key]
                else:
                    gone[key] = base
            else:  # handed out or set since
                live[key] = base
                del since[key]
        return live

    def after_fork(self) -> None:
        """Give up a flush that a thread of the parent began, and its lock."""
        self._lock = threading.RLock()
        if self._frozen is not None:
            self.thaw(self._frozen, None)

    def _expect_no_flush(self) -> None:
        if self._frozen is not None:
            msg = "cannot change what is durable: a flush is under way"
            raise RuntimeError(msg)

    def _keep_index(
        self, payload: bytes, starts: "array[int]", ends: "array[int]"
    ) -> None:
        self._payload, self._starts, self._ends = payload, starts, ends
