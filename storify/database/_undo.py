"""Savepoints: memory as it was at the begin of a transaction.

Nothing is copied at the begin but what is LIVE, as bytes; what changes is noted as
it changes. To undo it, slots get back what was in them, and objects that the user
may hold get back their content in place.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import repeat
from typing import Any

from storify.database._refresh import Refresher
from storify.database._slots import MISSING, Base, Savepoint, Slots, storage
from storify.exceptions import DatabaseLoadError

__all__ = ["Encode", "Undoable"]

Encode = Callable[[dict[Any, Any]], Mapping[Any, bytes]]
"""Gives the bytes of each value of ``{key: value}``, by the same keys."""


class Undoable(Slots):
    """Slots that can return to a savepoint."""

    __slots__ = ()

    def begin(self, encode: Encode | None = None) -> None:
        """Make a savepoint, at the cost of what is LIVE.

        Args:
            encode: Asked for the bytes of what is LIVE now; what it raises is raised
                here, and there is no savepoint. None: what is LIVE is as durable, as
                right after a flush.

        Raises:
            RuntimeError: A flush is under way.
        """
        with self._lock:
            self._expect_no_flush()
            values = {key: storage.__getitem__(self, key) for key in self._live}
            point = Savepoint(dict(self._live), dict(self._gone), values)
            self._points.append(point)
        try:
            if encode is not None:
                point.blobs = encode(dict(values))
            else:
                point.blobs = {
                    key: self._codec.encode(values[key])
                    for key, base in point.live.items()
                    if base is None
                }
        except BaseException:
            with self._lock:
                self._points.remove(point)
            raise

    def commit(self) -> None:
        """Forget the last savepoint; what changed belongs to the one around it."""
        with self._lock:
            point = self._points.pop()
            if self._points:
                outer = self._points[-1]
                for key, slot in point.before.items():
                    outer.note(key, slot, point.handed.get(key, MISSING))

    def rollback(self) -> None:
        """Return to the last savepoint and forget it.

        The same keys in the same order, with the same objects, whose content is
        restored in place. An object that was handed out since stays live, too. Of a
        savepoint before a commit nothing is undone: its changes are durable.

        Raises:
            RuntimeError: A flush is under way.
        """
        with self._lock:
            self._expect_no_flush()
            point = self._points[-1]
            if point.is_spent:
                self._points.pop()
                return
            contents = self._contents_at(point)
        restored = self._restore(contents)
        with self._lock:
            self._points.remove(point)
            self._return_to(point, restored)

    def _contents_at(self, point: Savepoint) -> dict[Any, tuple[Any, bytes]]:
        """Give the objects that somebody may hold, and the bytes of what they held."""
        found: dict[Any, tuple[Any, bytes]] = {}
        for key, value in point.handed.items():
            found[key] = value, self._blob(self._base_of(point.before[key]))
        for key, value in point.values.items():
            blob = point.blobs.get(key) or self._blob(point.live[key])
            found[key] = value, blob
        return found

    def _blob(self, base: Base) -> bytes:
        return self.bytes_of(base) or b""  # it has some, or there was nothing to give

    def _restore(self, contents: dict[Any, tuple[Any, bytes]]) -> dict[Any, Any]:
        """Give objects their content again; what they are now, by key."""
        values = {key: value for key, (value, _) in contents.items()}
        wrong = dict.fromkeys(self._changed(values, contents))
        refresher = Refresher(
            lambda: (
                [value for key, value in values.items() if key in wrong],
                [value for key, value in values.items() if key not in wrong],
            )
        )
        for key in wrong:
            with suppress(DatabaseLoadError):  # it cannot be read any more
                content = self._decode(key, contents[key][1])
                values[key] = refresher.refresh(values[key], content)
        return values

    def _changed(
        self, values: dict[Any, Any], contents: dict[Any, tuple[Any, bytes]]
    ) -> list[Any]:
        return [
            key
            for key, value in values.items()
            if not self._is(value, contents[key][1])
        ]

    def _is(self, value: Any, blob: bytes) -> bool:
        codec = self._codec
        try:
            now = codec.encode(value)
            # Another writer may have spelled it in other bytes than we do.
            return now == blob or now == codec.encode(codec.decode(blob))
        except (TypeError, ValueError, RuntimeError):
            return False  # it cannot be saved, and it could

    def _return_to(self, point: Savepoint, restored: dict[Any, Any]) -> None:
        live = dict(point.live)
        for key, slot in point.before.items():
            if key in point.values:
                continue
            if slot is MISSING:
                storage.pop(self, key, None)
            elif key in point.handed:
                value = restored.get(key, point.handed[key])
                self._give_back(key, value)
                live[key] = self._base_of(slot)
                if self._points:
                    self._points[-1].note(key, slot, value)
            else:
                self._give_back(key, slot)
        for key, value in point.values.items():
            self._give_back(key, restored.get(key, value))
        self._live, self._gone = live, dict(point.gone)
        if point.order is not None:
            self._arrange(key for key in point.order if storage.__contains__(self, key))
        self._watchers.note(point.before)

    def _give_back(self, key: Any, slot: Any) -> None:
        own = self.own_key(key)
        # Of an exact str the dict may store an equal object, which is no other key.
        if own is not key and not (type(own) is str and type(key) is str):
            storage.pop(self, key, None)  # another key, which equals this one
        storage.__setitem__(self, key, slot)

    def _arrange(self, keys: Iterable[Any]) -> None:
        """Bring the keys into this order; those that are not named go last."""
        wanted = dict.fromkeys(keys)
        wanted.update(dict.fromkeys(storage.__iter__(self)))
        order = list(wanted)
        at = 0
        for held, key in zip(storage.__iter__(self), order, strict=True):
            if held is not key and held != key:
                break
            at += 1
        self._put_last(order[at:])
        # New keys are committed in the order of the dict.
        live = self._live
        self._live = {key: live[key] for key in order if key in live}

    def _put_last(self, keys: list[Any]) -> None:
        """Move keys to the end."""
        # In one call of C, so that no other thread finds a key missing.
        popped: Iterable[Any] = map(storage.pop, repeat(self), keys)
        put: Iterable[Any] = map(storage.__setitem__, repeat(self), keys, popped)
        deque(put, maxlen=0)
