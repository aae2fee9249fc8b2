"""Observers of a dict root: they collect the keys whose values may have changed.

A value that is LIVE may change at any time, so nobody is told of it: an observer looks
at all that is LIVE. It is told of the keys that stop being LIVE, and of those that
change without being it: noting that costs a read nothing.
"""

import weakref
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import compress, repeat
from operator import is_
from typing import Any

__all__ = ["Changed", "Watchers"]


class Changed(dict[Any, object]):
    """Keys, in the order in which they were noted, each with a mark of its own.

    Attributes:
        is_over: Whether keys came or went that nobody can name: all is to be looked at,
            in a new one.
    """

    __slots__ = ("__weakref__", "is_over")

    def __init__(self) -> None:
        super().__init__()
        self.is_over: bool = False

    def forget(self, seen: Mapping[Any, object]) -> None:
        """Take out keys, but not those that were noted again since.

        Args:
            seen: The keys and marks that were looked at.
        """
        same = map(is_, map(self.get, seen), seen.values())
        deque(map(self.pop, compress(seen, same), repeat(None)), 0)


class Watchers:
    """The observers and what each was told, as long as somebody else holds them.

    Attributes:
        told: References to that; empty if there are no observers.
    """

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: list[weakref.ref[Changed]] = []

    def add(self, changed: Changed) -> None:
        """Note in *changed* what changes from now on."""
        # Two references of which one is dead are equal only if they are one object.
        self.told.append(weakref.ref(changed, self.told.remove))

    def notes(self, keys: Collection[Any]) -> list[Callable[[], object]]:
        """Return what tells all observers of *keys*, as steps of C."""
        return [
            partial(changed.update, {key: object() for key in keys})
            for changed in self._alive()
        ]

    def end(self) -> list[Callable[[], object]]:
        """Return what tells all observers to look at all anew, as steps of C."""
        return [partial(setattr, each, "is_over", True) for each in self._alive()]

    def _alive(self) -> list[Changed]:
        found = [each() for each in tuple(self.told)]
        return [changed for changed in found if changed is not None]

    def note(self, keys: Collection[Any]) -> None:
        """Tell all observers of *keys*."""
        for tell in self.notes(keys):
            tell()
