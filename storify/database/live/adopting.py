"""Bringing what other writers committed into a dict whose values may be in use.

Nothing here runs code of the user's: what is to be brought into objects that are in
use was decoded before. So all of it can be done where nothing cuts it in half.
"""

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from storify.database.live.refresh import Refresher
from storify.database.live.savepoints import Undoable
from storify.database.live.slots import (
    MISSING,
    Base,
    Missing,
    Stored,
    key_in,
    storage,
)
from storify.exceptions import DatabaseLoadError

__all__ = ["Adopting"]

_get = storage.get


class Adopting(Undoable):
    """Slots that take what another writer committed.

    None of it may happen inside a transaction: RuntimeError.
    """

    __slots__ = ()

    def refresher(self, keys: Collection[Any]) -> Refresher:
        """Return what brings content into the values of *keys*, and into no other."""

        def values() -> tuple[list[Any], list[Any]]:
            live, _ = self.live_values()
            mine = [value for key, value in live.items() if key in keys]
            others = [value for key, value in live.items() if key not in keys]
            return mine, others

        return Refresher(values)

    def is_live(self, key: Any) -> bool:
        """Whether somebody may hold the value of a key."""
        slot = _get(self, key, MISSING)
        return slot is not MISSING and self._base_of(key, slot) in self._live

    def was_handed_out(self, keys: Iterable[Any]) -> bool:
        """Whether a value was handed out or set since the last flush began."""
        slots = [_get(self, key, MISSING) for key in keys]
        return not {Stored, Missing}.issuperset(map(type, slots))

    def content_of(self, key: Any, blob: bytes) -> Any:
        """Decode what is to be brought into a value; MISSING if it cannot be.

        The next access says why.
        """
        try:
            return self._decode(key, blob)
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
        self._expect_no_transaction()
        key = self.own_key(key)
        if value is not None:
            self._codec.learn(value)
            self._only_str = self._only_str and type(key) is str
        while True:
            slot = self.page_in(key)
            base = self._base_of(key, slot)
            if value is not None and base in self._live and slot is not MISSING:
                if self._refill(key, slot, base, value, content, refresher):
                    return
                continue
            steps: list[Callable[[], object]] = [
                *self._watchers.notes((key,)),
                partial(self._live.pop, base, None),
                partial(self._gone.pop, base, None),
            ]
            if value is not None:
                steps.append(partial(storage.update, self, {key: Stored(value)}))
            else:
                if key in self._paged:
                    steps.append(partial(self._paged.update, {key: None}))
                steps.append(partial(self._bases.pop, key, None))
                steps.append(partial(storage.pop, self, key, None))
            if self._step((key,), (slot,), *steps):
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
        if content is MISSING:  # it cannot be read: the next access says so
            return self._step(
                (key,),
                (slot,),
                *self._watchers.notes((key,)),
                partial(self._live.pop, base, None),
                partial(self._gone.pop, base, None),
                partial(storage.update, self, {key: Stored(value)}),
            )
        old = slot.cell_contents[1] if type(slot) is Stored else slot
        fresh = (refresher or self.refresher([key])).refresh(old, content)
        return self._step(
            (key,),
            (slot,),
            partial(setattr, base, "blob", value),
            partial(storage.update, self, {key: fresh}),
        )

    def rebase(self, key: Any, value: bytes | None) -> None:
        """Take it that this is durable for a key that is changed here.

        The value here stays and is committed by the next flush, if it differs. One
        that is new now goes last, as it will in the file.

        Args:
            key: The key.
            value: Its durable bytes; None if it is not durable.
        """
        self._expect_no_transaction()
        key = self.own_key(key)
        while True:
            slot = self.page_in(key)
            base = self._base_of(key, slot)
            if slot is MISSING or base in self._live:
                break
            self._open(key)  # set and settled meanwhile by another thread
        was, base.blob, base.form = base.blob, value, None
        if value is None:
            moves = was is not None and base not in self._gone
            self._gone.pop(base, None)
            if moves and slot is not MISSING:
                self._put_last([key])
        elif slot is MISSING:
            self._bases[key] = base
            self._gone.setdefault(base, object())

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
        self._expect_no_transaction()
        key = self.own_key(key)
        while True:
            slot = self.page_in(key)
            base = self._base_of(key, slot)
            self._watchers.note((key,))
            if base in self._gone or (not self._only_str and key in self._gone_keys()):
                key = self._come_back(key)
                slot = _get(self, key, MISSING)
                base = self._base_of(key, slot)
            if base.blob is None:
                self._live.pop(base, None)
                storage.pop(self, key, None)
            if base.blob is None or base not in self._live:
                return
            if self._refill(key, slot, base, base.blob, content, refresher):
                return

    def _gone_keys(self) -> dict[Any, Base]:
        return {base.key: base for base in self._gone.copy()}

    def _come_back(self, key: Any) -> Any:
        """Undo that a key was deleted, and perhaps set again; give it as it was."""
        gone = self._gone_keys()
        own = key_in(gone, key)
        base = gone[own]
        self._gone.pop(base, None)
        if storage.__contains__(self, key) and self.is_same_key(own, {key: None}):
            self._bases[key] = base
            self._live[base] = None
            return key
        slot = _get(self, key, MISSING)
        self._live.pop(self._base_of(key, slot), None)
        self._live.pop(base, None)
        storage.pop(self, key, None)
        storage.__setitem__(self, own, Stored(base.blob))
        return own

    def reorder(self, keys: Iterable[Any]) -> None:
        """Bring the keys into this order; those that are not named go last."""
        self._expect_no_transaction()
        self._arrange(
            self.own_key(key) for key in keys if storage.__contains__(self, key)
        )

    def move_last(self, keys: Iterable[Any]) -> None:
        """Move keys that are there to the end, in this order."""
        self._put_last([self.own_key(key) for key in keys])

    def _expect_no_transaction(self) -> None:
        if self._points:
            msg = "cannot take what others committed: a transaction is under way"
            raise RuntimeError(msg)
