"""Looking at values without handing them out.

Who only looks neither keeps nor changes what is seen, so it need not be looked at by
the next flush. What is not decoded yet is decoded for that one look; what was wanted
after all is put into its slot as it is, not decoded again.
"""

from collections.abc import Sequence
from typing import Any, cast

from storify.database.live.adopting import Adopting
from storify.database.live.observers import Changed
from storify.database.live.slots import MISSING, Base, Blob, Stored, storage

__all__ = ["Peeking"]


class Peeking(Adopting):
    """Slots that can be looked into."""

    __slots__ = ()

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
            return self._codec.decode_all(blobs)
        except Exception:  # noqa: BLE001 - whatever it is, it is of one of them
            return [self._decode_or_none(blob) for blob in blobs]

    def _decode_or_none(self, blob: bytes) -> Any:
        try:
            return self._codec.decode(blob)
        except ValueError:
            return MISSING  # who wants it reads it, which says what is wrong

    def look(self, key: Any) -> Any:
        """Return the value of a key, decoded once more if there are only bytes.

        Raises:
            KeyError: There is no such key, or the value cannot be decoded.
        """
        (value,) = self.peek_all([storage.__getitem__(self, key)])
        if type(value) is Stored:
            raise KeyError(key)
        return value

    def peek(self, key: Any, slot: Stored) -> Any:
        """Return a value that `peek_all` could not decode.

        Raises:
            DatabaseLoadError: It still cannot be.
        """
        return self._decode(key, self._base_of(key, slot).blob or b"")

    def hand_out(self, key: Any, slot: Stored, value: Any) -> bool:
        """Make LIVE what `peek_all` gave for *slot*; False if that is another now."""
        return self._make_live(self.own_key(key), slot, value)

    def watch(self, changed: Changed) -> None:
        """Note in *changed* the keys whose values change, while it is held."""
        self._watchers.add(changed)

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
        keys.update((base.key, None) for base in list(self._live))
        return keys, seen
