"""Guards: what can refuse that a change is made or saved."""

import weakref
from typing import Any, Protocol

from storify.database.session.root import Pending

__all__ = ["Guard", "Guards"]


class Guard(Protocol):
    """What can refuse a change, as the unique index of a database."""

    def admit(self, key: Any, record: Any) -> None:
        """Raise if *record* must not be put under *key*, as far as it is known."""
        ...

    def check(self, keys: list[Any]) -> None:
        """Raise if what is under *keys* now must not be saved."""
        ...


class Guards:
    """Guards, each as long as somebody else holds it.

    Attributes:
        held: References to them; empty if there are none.
    """

    def __init__(self) -> None:
        self.held: list[weakref.ref[Guard]] = []

    def add(self, guard: Guard) -> None:
        """Ask *guard* from now on."""
        self.held.append(weakref.ref(guard, self.held.remove))

    def admit(self, key: Any, record: Any) -> None:
        """Raise if *record* must not be put under *key*, as far as it is known."""
        for guard in self._alive():
            guard.admit(key, record)

    def check(self, pending: Pending) -> None:
        """Raise if one of the changes must not be saved."""
        keys = [
            pending.keys[key] for key, value in pending.changes if value is not None
        ]
        for guard in self._alive() if keys else ():
            guard.check(keys)

    def _alive(self) -> list[Guard]:
        found = [each() for each in tuple(self.held)]
        return [guard for guard in found if guard is not None]
