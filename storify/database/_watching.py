"""Who wants to know which values of a dict may be others than they were.

A value that is LIVE may change at any time, so nobody is told of it: who wants to
know looks at all that is LIVE. Told are the keys that stop being LIVE, and those
that change without being it: noting that costs a read nothing.
"""

import weakref
from collections.abc import Collection
from typing import Any

__all__ = ["Changed", "Watchers"]


class Changed(dict[Any, None]):
    """Keys, in the order in which they were noted."""

    __slots__ = ("__weakref__",)


class Watchers:
    """What each who watches was told, as long as somebody else holds it."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: list[weakref.ref[Changed]] = []

    def add(self) -> Changed:
        """Give what will hold the keys that are noted from now on."""
        changed = Changed()
        # Two references of which one is dead are equal only if they are one object.
        self._told.append(weakref.ref(changed, self._told.remove))
        return changed

    def note(self, keys: Collection[Any]) -> None:
        """Tell all of *keys*."""
        for each in tuple(self._told):
            changed = each()
            if changed is not None:
                changed.update(dict.fromkeys(keys))
