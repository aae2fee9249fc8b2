"""What a root is to a session: what it has to save, what becomes of it, who may refuse.

There are two kinds of roots, a dict and a list, behind one set of names.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

from storify.database.live.savepoints import Undo
from storify.engine import Change, Snapshot

__all__ = [
    "Guard",
    "Guards",
    "OvertakenError",
    "Pending",
    "Refused",
    "Root",
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


class Root(ABC):
    """Live data over the bytes that they were last saved as.

    Attributes:
        live: What the user holds.
    """

    live: Any

    @abstractmethod
    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        """Take other content of the same kind; False for the other kind."""

    @abstractmethod
    def begin_flush(self) -> Pending:
        """Return what is to be saved, to be ended with ``done`` if it was.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """

    @abstractmethod
    def begin_look(self) -> tuple[Pending, Refused]:
        """Return the same without what cannot be stored, and that: only to look at it.

        Raises:
            RuntimeError: Another thread kept changing the data.
        """

    @abstractmethod
    def moved_much(self, pending: Pending) -> bool:
        """Whether it is worth while to look which keys moved at all."""

    @abstractmethod
    def durable(self) -> dict[bytes, bytes]:
        """The durable entries, in an order that they may have."""

    @abstractmethod
    def page_in(self, keys: Iterable[bytes]) -> None:
        """Have some keys in memory, given as bytes; see `Slots.page_in`."""

    @abstractmethod
    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """Have all keys in memory; see `Slots.fill`."""

    @abstractmethod
    def is_crowded(self) -> bool:
        """Whether there is more in memory than there is room for."""

    @abstractmethod
    def make_do(self) -> None:
        """Have more room: nothing can be let go of for now."""

    @abstractmethod
    def renew(self, pages: Snapshot) -> None:
        """Let go of what the present state can give again; see `Slots.page_out`."""

    @abstractmethod
    def let_go(self) -> None:
        """Let go of what it takes from the system; no key can be read any more."""

    @abstractmethod
    def forget(self) -> None:
        """Nothing is durable any more: all is to be saved again."""

    @abstractmethod
    def for_file(self, changes: list[Change]) -> list[Change]:
        """Return changes with the keys that are in the file spelled as there."""

    @abstractmethod
    def note_file(self, entries: Iterable[bytes]) -> None:
        """Look how the file spells all its keys."""

    @abstractmethod
    def spell(self, changes: list[Change]) -> list[Change]:
        """Return changes by another writer with keys spelled as we do."""

    @abstractmethod
    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a root by another writer with keys spelled as we do."""

    @abstractmethod
    def conflicts(self, theirs: list[Change], pending: Pending) -> list[Any] | None:
        """The keys that both sides changed, to different values.

        None if there are none; a list root has no keys and gives an empty list.
        """

    @abstractmethod
    def merge(self, theirs: list[Change], pending: Pending, side: Side | None) -> Take:
        """Return what takes what others committed to what was not changed here.

        Args:
            theirs: What was committed.
            pending: What is changed here.
            side: Whose value a key has that was changed on both sides.
        """

    @abstractmethod
    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        """Bring the keys into the order of the durable state, but some of them last."""

    @abstractmethod
    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        """Return the whole root without what cannot be encoded."""

    @abstractmethod
    def mark(self) -> object:
        """Return what `changed_since` compares with; it runs no code of the user's."""

    @abstractmethod
    def changed_since(self, mark: object) -> set[Any]:
        """Return the keys whose values may have been changed, set or deleted since."""

    @abstractmethod
    def begin(self) -> None:
        """Make a savepoint."""

    @abstractmethod
    def release(self) -> None:
        """Forget the last savepoint."""

    @abstractmethod
    def depth(self) -> int:
        """Count the savepoints."""

    @abstractmethod
    def roll_back(self) -> Undo:
        """Return what returns to the last savepoint; it runs no code of the user's."""


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
