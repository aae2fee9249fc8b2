"""Which keys have which value: the table of an index."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

from storify.database.live.slots import MISSING

__all__ = ["Buckets"]

I = TypeVar("I")  # noqa: E741 - the type of an index's values


class Buckets(Generic[I]):
    """Keys by value and values by key; each key has one value or none."""

    def __init__(self) -> None:
        self._value_of: dict[Any, I] = {}
        # A key; or a dict of keys, in order, where there are more. No key is a dict.
        self._keys_of: dict[I, Any] = {}

    def __len__(self) -> int:
        return len(self._keys_of)

    def __iter__(self) -> Iterator[I]:
        return iter(self._keys_of)

    def __contains__(self, value: object) -> bool:
        return value in self._keys_of

    def value(self, key: Any) -> I | None:
        """Return the value of a key, None if it has none."""
        return self._value_of.get(key)

    def keys(self, value: I) -> list[Any]:
        """Return the keys that have a value, in the order in which they got it."""
        if value not in self._keys_of:
            return []
        found = self._keys_of[value]
        return list(cast("dict[Any, None]", found)) if type(found) is dict else [found]

    def put(self, key: Any, value: I | None) -> None:
        """Note the value of a key, in place of the one it had; None for none."""
        old = self._value_of.get(key)
        if (old is value or old == value) and (old is None or self._has(key, old)):
            return
        # In this order, so that whoever does it again after an interrupt ends it.
        if old is not None:
            self._take_out(key, old)
            self._value_of.pop(key, None)
        if value is not None:
            self._put_in(key, value)
            self._value_of[key] = value

    def _has(self, key: Any, value: I) -> bool:
        found = self._keys_of.get(value, MISSING)
        return key in found if type(found) is dict else found is key or found == key

    def _take_out(self, key: Any, value: I) -> None:
        if not self._has(key, value):
            return
        found = self._keys_of[value]
        if type(found) is not dict:
            self._keys_of.pop(value)
            return
        keys = cast("dict[Any, None]", found)
        keys.pop(key)
        if len(keys) == 1:
            self._keys_of[value] = next(iter(keys))

    def _put_in(self, key: Any, value: I) -> None:
        if self._has(key, value):
            return
        if value not in self._keys_of:
            self._keys_of[value] = key
            return
        found = self._keys_of[value]
        if type(found) is dict:
            found[key] = None
        else:
            self._keys_of[value] = {found: None, key: None}
