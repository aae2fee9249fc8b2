"""Bringing what other writers committed into a dict whose values may be in use."""

from collections.abc import Collection, Iterable
from typing import Any

from storify.database._refresh import Refresher
from storify.database._slots import MISSING, Stored, key_in, storage
from storify.database._undo import Undoable
from storify.exceptions import DatabaseLoadError

__all__ = ["Adopting"]

_get = storage.get


class Adopting(Undoable):
    """Slots that take what another writer committed.

    None of it may happen during a flush or inside a transaction: RuntimeError.
    """

    __slots__ = ()

    def refresher(self, keys: Collection[Any]) -> Refresher:
        """Give what brings content into the values of *keys*, and into no other."""

        def values() -> tuple[list[Any], list[Any]]:
            with self._lock:
                mine = [_get(self, key) for key in self._live if key in keys]
                others = [_get(self, key) for key in self._live if key not in keys]
            return mine, others

        return Refresher(values)

    def adopt(
        self, key: Any, value: bytes | None, refresher: Refresher | None = None
    ) -> None:
        """Take what was committed for a key that is not changed here.

        A container or model that may be in use takes the content in place, so that
        it stays live; anything else is replaced. A new key goes last; one that was
        deleted and set again here moves still, with the next flush.

        Args:
            key: The key.
            value: Its durable bytes; None if it was deleted.
            refresher: What brings it into the object that is there, if others are
                taken, too.
        """
        key = self.own_key(key)
        if value is not None:
            self._codec.learn(value)
        while True:
            with self._lock:
                self._expect_nothing_under_way()
                slot = storage.get(self, key, MISSING)
                if value is None or key not in self._live:
                    self._watchers.note((key,))
                    self._gone.pop(key, None)
                    if value is not None:
                        self._store(key, value)
                    else:
                        self._live.pop(key, None)
                        storage.pop(self, key, None)
                    return
            if self._refill(key, slot, value, refresher):
                return

    def _store(self, key: Any, value: bytes) -> None:
        self._only_str = self._only_str and type(key) is str
        storage.__setitem__(self, key, Stored(value))

    def _refill(
        self, key: Any, slot: Any, value: bytes, refresher: Refresher | None
    ) -> bool:
        """Give a LIVE value new content; False if its slot changed meanwhile."""
        refresher = refresher or self.refresher([key])
        try:
            fresh = refresher.refresh(slot, self._decode(key, value))
        except DatabaseLoadError:
            fresh = MISSING  # the next access says so
        with self._lock:
            if storage.get(self, key, MISSING) is not slot or key not in self._live:
                return False
            if fresh is MISSING:
                self._watchers.note((key,))
                del self._live[key]
                self._gone.pop(key, None)
                self._store(key, value)
                return True
            bases = self._gone if key in self._gone else self._live
            bases[key] = value
            storage.__setitem__(self, key, fresh)
            return True

    def rebase(self, key: Any, value: bytes | None) -> None:
        """Take it that this is durable for a key that is changed here.

        The value here stays and is committed by the next flush, if it differs. One
        that is new now goes last, as it will in the file.

        Args:
            key: The key.
            value: Its durable bytes; None if it is not durable.

        Raises:
            DatabaseLoadError: The value here was never looked at and cannot be read.
        """
        key = self.own_key(key)
        while True:
            with self._lock:
                self._expect_nothing_under_way()
                if key in self._live and key not in self._gone:
                    if value is None and self._live.pop(key) is not None:
                        self._put_last([key])
                    self._live[key] = value
                    return
                if key in self._gone or not storage.__contains__(self, key):
                    if value is None:
                        self._gone.pop(key, None)
                    else:
                        self._gone[key] = value
                    return
            self._open(key)

    def revert(self, key: Any, refresher: Refresher | None = None) -> None:
        """Drop what was changed here: back to the durable value.

        It is brought into the object that is there, as by `adopt`. A key that is not
        durable goes; one that was deleted comes back, as the last one.
        """
        key = self.own_key(key)
        while True:
            with self._lock:
                self._expect_nothing_under_way()
                base = self._base(key)
                self._watchers.note((key,))
                if key in self._gone:
                    key = self._come_back(key)
                slot = storage.get(self, key, MISSING)
                if base is None:
                    self._live.pop(key, None)
                    storage.pop(self, key, None)
                if base is None or key not in self._live:
                    return
                self._live[key] = base
            blob = self.bytes_of(base)
            if blob is None or self._refill(key, slot, blob, refresher):
                return

    def _come_back(self, key: Any) -> Any:
        """Undo that a key was deleted, and perhaps set again; give it as it was."""
        own = key_in(self._gone, key)
        base = self._gone.pop(own)
        if storage.__contains__(self, key) and self._is_one(own, key):
            self._live[key] = base
            return key
        self._live.pop(key, None)
        storage.pop(self, key, None)
        storage.__setitem__(self, own, Stored(base))
        return own

    def _is_one(self, key: Any, other: Any) -> bool:
        return self.is_same_key(key, {other: None})

    def reorder(self, keys: Iterable[Any]) -> None:
        """Bring the keys into this order; those that are not named go last."""
        with self._lock:
            self._expect_nothing_under_way()
            self._arrange(
                self.own_key(key) for key in keys if storage.__contains__(self, key)
            )

    def _expect_nothing_under_way(self) -> None:
        self._expect_no_flush()
        if self._points:
            msg = "cannot take what others committed: a transaction is under way"
            raise RuntimeError(msg)
