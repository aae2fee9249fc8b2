"""Savepoints: memory as it was at the begin of a transaction.

Nothing is copied at the begin but what is LIVE, as bytes; what changes is noted as
it changes. To undo it, slots get back what was in them, and objects that the user
may hold get back their content in place.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from storify.database.live.refresh import Adopting, Refresher
from storify.database.live.slots import (
    MISSING,
    Before,
    Savepoint,
    Stored,
    storage,
)
from storify.exceptions import DatabaseLoadError

__all__ = ["Encode", "Undo", "Undoable"]

Encode = Callable[[dict[Any, Any]], Mapping[Any, bytes]]
"""Gives the bytes of each value of ``{key: value}``, by the same keys."""

Undo = Callable[[], None]
"""Returns memory to a savepoint; it runs no code of the user's."""


class Undoable(Adopting):
    """Slots that can return to a savepoint."""

    __slots__ = ()

    def begin(self, encode: Encode | None = None) -> None:
        """Make a savepoint, at the cost of what is LIVE.

        Args:
            encode: Asked for the bytes of what is LIVE now; what it raises is raised
                here, and there is no savepoint. None: what is LIVE is as durable, as
                right after a flush.
        """
        values, bases = self.live_values()
        point = Savepoint(values, bases)
        self._points.append(point)
        try:
            if encode is not None:
                point.blobs = encode(dict(values))
            else:
                point.blobs = {
                    key: self._codec.encode(values[key])
                    for key, base in bases.items()
                    if base.blob is None
                }
        except BaseException:
            self._points.remove(point)
            raise

    def depth(self) -> int:
        """Count the savepoints."""
        return len(self._points)

    def commit(self) -> None:
        """Forget the last savepoint; what changed belongs to the one around it."""
        point = self._points[-1]
        if len(self._points) > 1:
            outer = self._points[-2]
            for key, before in point.before.copy().items():
                outer.note(key, before, point.handed.get(key, MISSING))
        self._points.remove(point)

    def rollback(self) -> Undo:
        """Return what returns to the last savepoint and forgets it.

        The same keys in the same order, with the same objects, whose content is
        restored in place. An object that was handed out since stays live, too. Of a
        savepoint before a commit nothing is undone: its changes are durable.
        """
        point = self._points[-1]
        if point.is_spent:
            return partial(self._points.remove, point)
        contents = self._contents_at(point)
        values = {key: value for key, (value, _) in contents.items()}
        wrong: dict[Any, Any] = {}
        for key, (value, blob) in contents.items():
            if not self._is(value, blob):
                with suppress(DatabaseLoadError):  # it cannot be read any more
                    wrong[key] = self._decode(key, blob)
        return partial(self._return_to, point, values, wrong)

    def _contents_at(self, point: Savepoint) -> dict[Any, tuple[Any, bytes]]:
        """Return the objects that somebody may hold, and the bytes of what they held.

        Copies are walked through: the handler of a signal may add to what they are of.
        """
        found: dict[Any, tuple[Any, bytes]] = {}
        for key, before in point.before.copy().items():
            if key in point.handed:
                blob = before.base.blob
                found[key] = point.handed[key], blob or b""  # it was read from some
        for key, value in point.values.items():
            blob = point.blobs.get(key) or point.bases[key].blob
            found[key] = value, blob or b""
        return found

    def _is(self, value: Any, blob: bytes) -> bool:
        codec = self._codec
        try:
            now = codec.encode(value)
            # Another writer may have spelled it in other bytes than we do.
            return now == blob or now == codec.encode(codec.decode(blob))
        except (TypeError, ValueError, RuntimeError):
            return False  # it cannot be saved, and it could

    def _return_to(
        self, point: Savepoint, values: dict[Any, Any], wrong: dict[Any, Any]
    ) -> None:
        """Return to a savepoint and forget it.

        Args:
            point: The savepoint.
            values: The objects that somebody may hold.
            wrong: What those held that hold something else now.
        """
        refresher = Refresher(
            lambda: (
                [value for key, value in values.items() if key in wrong],
                [value for key, value in values.items() if key not in wrong],
            )
        )
        for key, content in wrong.items():
            values[key] = refresher.refresh(values[key], content)
        for key, before in point.before.copy().items():
            self._give_back(key, before, values.get(key, MISSING))
        for key in point.values:
            if key in wrong and key not in point.before:
                before = self._before(point.bases[key], values[key])
                self._give_back(key, before, values[key])
        if point.order is not None:
            self._arrange(key for key in point.order if storage.__contains__(self, key))
        if len(self._points) > 1:
            outer = self._points[-2]
            for key, before in point.before.copy().items():
                if key in point.handed:
                    outer.note(key, before, values.get(key, point.handed[key]))
        self._watchers.note(point.before.copy())
        self._points.remove(point)

    def _give_back(self, key: Any, before: Before, value: Any) -> None:
        """Return one slot to what it was, with its object; what was given stays so.

        Args:
            key: The key.
            before: What was known of it.
            value: The object that somebody may hold; MISSING if there is none.
        """
        base = before.base
        now = self._bases.get(key)
        if now is not None and now is not base:
            self._live.pop(now, None)
            self._gone.pop(now, None)
        slot = before.slot if value is MISSING else value
        own = self.own_key(key)
        # Of an exact str the dict may store an equal object, which is no other key.
        if slot is MISSING or (
            own is not key and not (type(own) is str and type(key) is str)
        ):
            storage.pop(self, key, None)  # or it is another key, which equals this one
        if before.deletion is None:
            self._gone.pop(base, None)
        else:
            self._gone[base] = before.deletion
        if before.is_live or (value is not MISSING and type(before.slot) is Stored):
            self._live[base] = None
        else:
            self._live.pop(base, None)
        if slot is not MISSING:
            self._bases[key] = base
            storage.__setitem__(self, key, slot)
        if before.paged is not MISSING:
            self._paged[key] = before.paged
