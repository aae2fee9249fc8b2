"""Bringing what other writers committed into a dict whose values may be in use.

After a merge the stored value is newer than the live object. Replacing the object would
leave the user holding a copy that is never saved again, so the object is given the new
content in place, as deep as the two have one shape (`Refresher`).

What stands in two places here are two values in the file, and each may have another
content by now. So no object is given content twice, nor if a value holds it that is to
stay as it is: in the other place stands what was read.

Nothing of a dict here runs code of the user's: what is to be brought into objects that
are in use was decoded before. So all of it can be done where nothing cuts it in half.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Final

from storify.database.live.slots import (
    MISSING,
    Base,
    Missing,
    Slots,
    Stored,
    key_in,
    storage,
)
from storify.exceptions import DatabaseLoadError
from storify.models import Model
from storify.models.state import UNKNOWN

__all__ = ["Incoming", "Refresher", "refresh"]


_Part = Callable[[object, object], object]

_LEAVES: Final = frozenset({type(None), bool, int, float, str, bytes})


def refresh(old: object, new: object) -> object:
    """Fill one value with another content, as `Refresher.refresh` does."""
    return Refresher(lambda: ([old], [])).refresh(old, new)


class Refresher:
    """The filling of values of one root with their content, and nothing twice.

    Args:
        values: Gives the values that may be refreshed and those that are to stay as
            they are; it is called when the first is refreshed.
    """

    def __init__(
        self, values: Callable[[], tuple[Iterable[object], Iterable[object]]]
    ) -> None:
        self._values = values
        #: What is not given content any more, by id; holding it keeps the id its own.
        self._settled: dict[int, object] = {}
        #: Values, which are given content as no part of another one.
        self._whole: dict[int, object] | None = None

    def refresh(self, old: object, new: object) -> object:
        """Return *old* the content of *new* and return it, or *new* if that cannot be.

        Only mutable containers and models of one exact type are refreshed;
        everything else is replaced, which nobody who holds it could have changed. So
        are frozen models that can be hashed, as references: one of them may be in
        other records as well, or in a set.
        """
        if self._whole is None:
            values, others = self._values()
            self._whole = {id(value): value for value in values}
            self._settled = _holders(others)
        return self._fill(old, new)

    def _part(self, old: object, new: object) -> object:
        return new if id(old) in (self._whole or {}) else self._fill(old, new)

    def _fill(self, old: object, new: object) -> object:
        if old is new or type(old) is not type(new) or _is_constant(old):
            return new
        for base, way in _WAYS.items():
            if not isinstance(old, base):
                continue
            if id(old) in self._settled:
                return new
            self._settled[id(old)] = old
            return old if way(self._part, old, new) else new
        return new


def _holders(values: Iterable[object]) -> dict[int, object]:
    """Return all that holds something in *values*, by id."""
    found: dict[int, object] = {}
    rest: list[Any] = list(values)
    while rest:
        value = rest.pop()
        if type(value) in _LEAVES or id(value) in found:
            continue
        found[id(value)] = value
        if isinstance(value, Model):
            rest += vars(value).values()
        elif isinstance(value, dict):
            rest += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            rest += value
    return found


def _is_constant(value: object) -> bool:
    """Whether it is a frozen model, all the way down."""
    made = getattr(type(value), "__attrs_props__", None)
    if made is None or not made.is_frozen:
        return False
    try:
        hash(value)
    except TypeError:
        return False
    return isinstance(value, Model)


def _model(part: _Part, old: Model, new: Model) -> bool:
    """Take the stored state; what is never stored (``_x``) stays the user's."""
    mine, theirs = old.__dict__, new.__dict__
    private = {name: value for name, value in mine.items() if not _stored(name)}
    merged = {
        # Copies of an object share the slot of unknown names: it is replaced.
        name: value if name == UNKNOWN else part(mine.get(name), value)
        for name, value in theirs.items()
        if _stored(name)
    }
    mine.clear()
    mine.update(private)
    mine.update(merged)
    return True


def _stored(name: str) -> bool:
    return name == UNKNOWN or not name.startswith("_")


def _dict(part: _Part, old: dict[Any, Any], new: dict[Any, Any]) -> bool:
    merged = {
        key: part(old[key], value) if key in old else value
        for key, value in new.items()
    }
    # Emptied first: a dict keeps the key that it has, and 1 is not True.
    old.clear()
    for key, value in merged.items():  # update() of a Counter would add
        old[key] = value  # noqa: PERF403 - the object stays
    return True


def _defaultdict(
    part: _Part, old: defaultdict[Any, Any], new: defaultdict[Any, Any]
) -> bool:
    old.default_factory = new.default_factory
    return _dict(part, old, new)


def _list(part: _Part, old: list[Any], new: list[Any]) -> bool:
    common = [part(mine, theirs) for mine, theirs in zip(old, new, strict=False)]
    old[:] = common + new[len(common) :]
    return True


def _set(_: _Part, old: set[Any], new: set[Any]) -> bool:
    old.clear()
    old.update(new)
    return True


def _deque(_: _Part, old: deque[Any], new: deque[Any]) -> bool:
    if old.maxlen != new.maxlen:
        return False
    old.clear()
    old.extend(new)
    return True


def _bytearray(_: _Part, old: bytearray, new: bytearray) -> bool:
    old[:] = new
    return True


#: How the objects of a class take new content; False if this one cannot.
_WAYS: dict[type[Any], Callable[[_Part, Any, Any], bool]] = {
    Model: _model,
    defaultdict: _defaultdict,
    dict: _dict,
    list: _list,
    set: _set,
    deque: _deque,
    bytearray: _bytearray,
}


_get = storage.get


class Incoming:
    """The commits of other writers, on their way into slots.

    None of it may happen inside a transaction: RuntimeError.

    Args:
        slots: What takes it.
    """

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def refresher(self, keys: Collection[Any]) -> Refresher:
        """Return what brings content into the values of *keys*, and into no other."""
        slots = self._slots

        def values() -> tuple[list[Any], list[Any]]:
            live, _ = slots.live_values()
            mine = [value for key, value in live.items() if key in keys]
            others = [value for key, value in live.items() if key not in keys]
            return mine, others

        return Refresher(values)

    def is_live(self, key: Any) -> bool:
        """Whether somebody may hold the value of a key."""
        slots = self._slots
        slot = _get(slots, key, MISSING)
        return slot is not MISSING and slots.base_of(key, slot) in slots.live

    def was_handed_out(self, keys: Iterable[Any]) -> bool:
        """Whether a value was handed out or set since the last flush began."""
        slots = self._slots
        flush = slots.flush
        held = {} if flush is None else flush.touched  # without placeholders
        now = [(key, _get(slots, key, MISSING)) for key in keys]
        return any(
            type(slot) not in (Stored, Missing) and slot is not held.get(key, MISSING)
            for key, slot in now
        )

    def content_of(self, key: Any, blob: bytes) -> Any:
        """Decode what is to be brought into a value; MISSING if it cannot be.

        The next access says why.
        """
        try:
            return self._slots.decode(key, blob)
        except DatabaseLoadError:
            return MISSING

    def adopt(
        self,
        key: Any,
        value: bytes | None,
        content: Any = MISSING,
        refresher: Refresher | None = None,
    ) -> None:
        """Take what was committed for a key that is not changed here.

        A container or model that may be in use takes the content in place, so that
        it stays live; anything else is replaced. A new key goes last; one that was
        deleted and set again here moves still, with the next flush.

        Args:
            key: The key.
            value: Its durable bytes; None if it was deleted.
            content: The same decoded, for a value that is LIVE.
            refresher: What brings it into the object that is there, if others are
                taken, too.
        """
        slots = self._slots
        self._expect_no_transaction()
        key = slots.own_key(key)
        if value is not None:
            slots.codec.learn(value)
            slots.only_str = slots.only_str and type(key) is str
        while True:
            slot = slots.page_in(key)
            base = slots.base_of(key, slot)
            if value is not None and base in slots.live and slot is not MISSING:
                if self._refill(key, slot, base, value, content, refresher):
                    return
                continue
            steps: list[Callable[[], object]] = [
                *slots.watchers.notes((key,)),
                partial(slots.live.pop, base, None),
                partial(slots.gone.pop, base, None),
            ]
            if value is not None:
                steps.append(partial(storage.update, slots, {key: Stored(value)}))
            else:
                if key in slots.given:
                    steps.append(partial(slots.given.update, {key: None}))
                steps.append(partial(slots.bases.pop, key, None))
                steps.append(partial(storage.pop, slots, key, None))
            if slots.step((key,), (slot,), *steps):
                return

    def _refill(
        self,
        key: Any,
        slot: Any,
        base: Base,
        value: bytes,
        content: Any,
        refresher: Refresher | None,
    ) -> bool:
        """Fill a LIVE value with new content; False if its slot changed meanwhile."""
        slots = self._slots
        if content is MISSING:  # it cannot be read: the next access says so
            return slots.step(
                (key,),
                (slot,),
                *slots.watchers.notes((key,)),
                partial(slots.live.pop, base, None),
                partial(slots.gone.pop, base, None),
                partial(storage.update, slots, {key: Stored(value)}),
            )
        old = slot.cell_contents[1] if type(slot) is Stored else slot
        fresh = (refresher or self.refresher([key])).refresh(old, content)
        return slots.step(
            (key,),
            (slot,),
            partial(setattr, base, "blob", value),
            partial(storage.update, slots, {key: fresh}),
        )

    def rebase(self, key: Any, value: bytes | None) -> None:
        """Take it that this is durable for a key that is changed here.

        The value here stays and is committed by the next flush, if it differs. One
        that is new now goes last, as it will in the file.

        Args:
            key: The key.
            value: Its durable bytes; None if it is not durable.
        """
        slots = self._slots
        self._expect_no_transaction()
        key = slots.own_key(key)
        while True:
            slot = slots.page_in(key)
            base = slots.base_of(key, slot)
            if slot is MISSING or base in slots.live:
                break
            slots.open(key)  # set and settled meanwhile by another thread
        was, base.blob, base.form = base.blob, value, None
        if value is None:
            moves = was is not None and base not in slots.gone
            slots.gone.pop(base, None)
            if moves and slot is not MISSING:
                slots.put_last([key])
        elif slot is MISSING:
            slots.bases[key] = base
            slots.gone.setdefault(base, object())

    def revert(
        self, key: Any, content: Any = MISSING, refresher: Refresher | None = None
    ) -> None:
        """Drop what was changed here: back to the durable value.

        It is brought into the object that is there, as by `adopt`. A key that is not
        durable goes; one that was deleted comes back, as the last one.

        Args:
            key: The key.
            content: Its durable value, decoded, if it is LIVE.
            refresher: As of `adopt`.
        """
        slots = self._slots
        self._expect_no_transaction()
        key = slots.own_key(key)
        while True:
            slot = slots.page_in(key)
            base = slots.base_of(key, slot)
            slots.watchers.note((key,))
            if base in slots.gone or (not slots.only_str and key in self._gone_keys()):
                key = self._come_back(key)
                slot = _get(slots, key, MISSING)
                base = slots.base_of(key, slot)
            if base.blob is None:
                slots.live.pop(base, None)
                storage.pop(slots, key, None)
            if base.blob is None or base not in slots.live:
                return
            if self._refill(key, slot, base, base.blob, content, refresher):
                return

    def _gone_keys(self) -> dict[Any, Base]:
        return {base.key: base for base in self._slots.gone.copy()}

    def _come_back(self, key: Any) -> Any:
        """Undo that a key was deleted, and perhaps set again; give it as it was."""
        slots = self._slots
        gone = self._gone_keys()
        own = key_in(gone, key)
        base = gone[own]
        slots.gone.pop(base, None)
        if storage.__contains__(slots, key) and slots.is_same_key(own, {key: None}):
            slots.bases[key] = base
            slots.live[base] = None
            return key
        slot = _get(slots, key, MISSING)
        slots.live.pop(slots.base_of(key, slot), None)
        slots.live.pop(base, None)
        storage.pop(slots, key, None)
        storage.__setitem__(slots, own, Stored(base.blob))
        return own

    def reorder(self, keys: Iterable[Any]) -> None:
        """Bring the keys into this order; those that are not named go last."""
        slots = self._slots
        self._expect_no_transaction()
        slots.arrange(
            slots.own_key(key) for key in keys if storage.__contains__(slots, key)
        )

    def move_last(self, keys: Iterable[Any]) -> None:
        """Move keys that are there to the end, in this order."""
        slots = self._slots
        slots.put_last([slots.own_key(key) for key in keys])

    def _expect_no_transaction(self) -> None:
        if self._slots.points:
            msg = "cannot take what others committed: a transaction is under way"
            raise RuntimeError(msg)
