"""Savepoints: memory as it was at the begin of a transaction.

Nothing is copied at the begin but what is LIVE, as bytes; what changes is noted as
it changes. To undo it, slots get back what was in them, and objects that the user
may hold get back their content in place.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from storify.database.live.refresh import Refresher
from storify.database.live.slots import (
    MISSING,
    Before,
    Savepoint,
    Slots,
    Stored,
    storage,
)
from storify.exceptions import DatabaseLoadError

__all__ = ["Encode", "Savepoints", "Undo"]

Encode = Callable[[dict[Any, Any]], Mapping[Any, bytes]]
"""Gives the bytes of each value of ``{key: value}``, by the same keys."""

Undo = Callable[[], None]
"""Returns memory to a savepoint; it runs no code of the user's."""


class Savepoints:
    """The savepoints of slots, and the way back to them.

    Args:
        slots: What returns to them.
    """

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def begin(self, encode: Encode | None = None) -> None:
        """Make a savepoint, at the cost of what is LIVE.

        Args:
            encode: Asked for the bytes of what is LIVE now; what it raises is raised
                here, and there is no savepoint. None: what is LIVE is as durable, as
                right after a flush.
        """
        slots = self._slots
        values, bases = slots.live_values()
        point = Savepoint(values, bases)
        slots.points.append(point)
        try:
            if encode is not None:
                point.blobs = encode(dict(values))
            else:
                point.blobs = {
                    key: slots.codec.encode(values[key])
                    for key, base in bases.items()
                    if base.blob is None
                }
        except BaseException:
            slots.points.remove(point)
            raise

    def depth(self) -> int:
        """Count the savepoints."""
        return len(self._slots.points)

    def commit(self) -> None:
        """Forget the last savepoint; what changed belongs to the one around it."""
        slots = self._slots
        point = slots.points[-1]
        if len(slots.points) > 1:
            outer = slots.points[-2]
            for key, before in point.before.copy().items():
                outer.note(key, before, point.handed.get(key, MISSING))
        slots.points.remove(point)

    def rollback(self) -> Undo:
        """Return what returns to the last savepoint and forgets it.

        The same keys in the same order, with the same objects, whose content is
        restored in place. An object that was handed out since stays live, too. Of a
        savepoint before a commit nothing is undone: its changes are durable.
        """
        slots = self._slots
        point = slots.points[-1]
        if point.is_spent:
            return partial(slots.points.remove, point)
        contents = self._contents_at(point)
        values = {key: value for key, (value, _) in contents.items()}
        wrong: dict[Any, Any] = {}
        for key, (value, blob) in contents.items():
            if not self._is(value, blob):
                with suppress(DatabaseLoadError):  # it cannot be read any more
                    wrong[key] = slots.decode(key, blob)
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
        codec = self._slots.codec
        try:
            now = codec.encode(value)
            # Another writer may have written it in other bytes than we do.
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
        slots = self._slots
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
                before = slots.before(point.bases[key], values[key])
                self._give_back(key, before, values[key])
        if point.order is not None:
            slots.arrange(
                key for key in point.order if storage.__contains__(slots, key)
            )
        if len(slots.points) > 1:
            outer = slots.points[-2]
            for key, before in point.before.copy().items():
                if key in point.handed:
                    outer.note(key, before, values.get(key, point.handed[key]))
        slots.watchers.note(point.before.copy())
        slots.points.remove(point)

    def _give_back(self, key: Any, before: Before, value: Any) -> None:
        """Return one slot to what it was, with its object; what was given stays so.

        Args:
            key: The key.
            before: What was known of it.
            value: The object that somebody may hold; MISSING if there is none.
        """
        slots = self._slots
        base = before.base
        now = slots.bases.get(key)
        if now is not None and now is not base:
            slots.live.pop(now, None)
            slots.gone.pop(now, None)
        slot = before.slot if value is MISSING else value
        own = slots.own_key(key)
        # Of an exact str the dict may store an equal object, which is no other key.
        if slot is MISSING or (
            own is not key and not (type(own) is str and type(key) is str)
        ):
            storage.pop(slots, key, None)  # or it is another key, which equals this one
        if before.deletion is None:
            slots.gone.pop(base, None)
        else:
            slots.gone[base] = before.deletion
        if before.is_live or (value is not MISSING and type(before.slot) is Stored):
            slots.live[base] = None
        else:
            slots.live.pop(base, None)
        if slot is not MISSING:
            slots.bases[key] = base
            storage.__setitem__(slots, key, slot)
        if before.given is not MISSING:
            slots.given[key] = before.given
