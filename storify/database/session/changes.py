"""What a root has to save at one moment, what becomes of it, and who may refuse it."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from storify.engine import Change

__all__ = [
    "Guard",
    "Guards",
    "OvertakenError",
    "Pending",
    "Refused",
    "Side",
    "Take",
    "encode_quietly",
]


#: Whose value a key has that was changed on both sides.
Side = Literal["mine", "theirs"]

#: Why values cannot be stored, by their keys; of a list by their indexes.
Refused = dict[Any, Exception]

#: How often encoding starts anew because another thread changed a value meanwhile.
_RACES = 5


class OvertakenError(Exception):
    """Something was set or saved meanwhile; what was found out counts no more."""


class Take(Protocol):
    """Brings what others committed into a live root; runs no code of the user's."""

    def __call__(self, *, careful: bool) -> "list[Any] | None":
        """Do it.

        Args:
            careful: Whether not to begin if a value was handed out or set meanwhile.

        Returns:
            None; or, if a key came back whose place only the durable state knows,
            what `Root.arrange` is to put last.

        Raises:
            OvertakenError: One was.
        """
        ...


class Pending(ABC):
    """The changes of a root at one moment; ended by at most one of `done` and `drop`.

    One that is ended by neither, as its program was interrupted, leaves no trace: all
    is to be saved still.

    Attributes:
        changes: For the engine, in order.
        contents: Key bytes to what they hold, for keys that hold something else
            than the durable state; a key that only moved is not among them.
        keys: The keys for the bytes of `changes`; None for a list root.
        deleted: The durable keys that were deleted, and perhaps set again.
        moved: How many of them were set again.
        is_empty: Whether nothing was touched at all.
    """

    is_empty = False

    def __init__(
        self,
        changes: list[Change],
        contents: Mapping[bytes, bytes | None],
        keys: dict[bytes, Any],
    ) -> None:
        self.changes = changes
        self.contents = contents
        self.keys = keys
        self.deleted: set[Any] = set()
        self.moved = 0

    @abstractmethod
    def stored(self, key: bytes) -> bytes | None:
        """The durable value under the bytes of a key that is to change."""

    @abstractmethod
    def entries(self) -> dict[bytes, bytes]:
        """The whole root, in order."""

    @abstractmethod
    def is_newest(self) -> bool:
        """Whether none was made since, as in the handler of a signal."""

    @abstractmethod
    def done(self) -> None:
        """The changes were committed: they are the durable state now."""

    @abstractmethod
    def drop(self) -> None:
        """Nothing is committed: all is pending still."""


def encode_quietly(encode: Callable[[], dict[bytes, bytes]]) -> dict[bytes, bytes]:
    """Encode what other threads may be changing.

    Raises:
        UnstorableError: A value that could not be read back equal.
        RuntimeError: Another thread kept changing the data.
    """
    for attempt in range(_RACES):
        try:
            return encode()
        except RuntimeError:
            if attempt == _RACES - 1:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


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
        if not self.held:
            return
        keys = [
            pending.keys[key] for key, value in pending.changes if value is not None
        ]
        for guard in self._alive() if keys else ():
            guard.check(keys)

    def _alive(self) -> list[Guard]:
        found = [each() for each in tuple(self.held)]
        return [guard for guard in found if guard is not None]
