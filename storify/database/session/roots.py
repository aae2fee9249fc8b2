"""The two kinds of roots behind one set of names, and how one is made."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from storify.codec import Codec
from storify.database.live.data import Data
from storify.database.live.savepoints import Undo
from storify.database.session.changes import Pending, Refused, Side, Take
from storify.database.session.dict_root import DictRoot
from storify.database.session.keys import LIST, contents
from storify.database.session.list_root import ListRoot
from storify.engine import Change, Snapshot, Version, WholeSnapshot, entries_of

__all__ = ["Root", "changes_kind", "make_root", "open_root"]


class Root(Protocol):
    """Live data over the bytes that they were last saved as."""

    @property
    def live(self) -> Any:
        """What the user holds."""
        ...

    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        """Take other content of the same kind; False for the other kind."""
        ...

    def begin_flush(self) -> Pending:
        """Return what is to be saved, to be ended with ``done`` if it was.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """
        ...

    def begin_look(self) -> tuple[Pending, Refused]:
        """Return the same without what cannot be stored, and that: only to look at it.

        Raises:
            RuntimeError: Another thread kept changing the data.
        """
        ...

    def moved_much(self, pending: Pending) -> bool:
        """Whether it is worth while to look which keys moved at all."""
        ...

    def durable(self) -> dict[bytes, bytes]:
        """The durable entries."""
        ...

    def page_in(self, keys: Iterable[bytes]) -> None:
        """Have some keys in memory, given as bytes; see `Slots.page_in`."""
        ...

    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """Have all keys in memory; see `Slots.fill`."""
        ...

    def is_crowded(self) -> bool:
        """Whether there is more in memory than there is room for."""
        ...

    def make_do(self) -> None:
        """Have more room: nothing can be let go of for now."""
        ...

    def renew(self, pages: Snapshot) -> None:
        """Let go of what the present state can give again; see `Slots.page_out`."""
        ...

    def let_go(self) -> None:
        """Let go of what it takes from the system; no key can be read any more."""
        ...

    def forget(self) -> None:
        """Nothing is durable any more: all is to be saved again."""
        ...

    def for_file(self, changes: list[Change]) -> list[Change]:
        """Return changes with the keys that are in the file spelled as there."""
        ...

    def note_file(self, entries: Iterable[bytes]) -> None:
        """Look how the file spells all its keys."""
        ...

    def spell(self, changes: list[Change]) -> list[Change]:
        """Return changes by another writer with keys spelled as we do."""
        ...

    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a root by another writer with keys spelled as we do."""
        ...

    def conflicts(self, theirs: list[Change], pending: Pending) -> list[Any] | None:
        """The keys that both sides changed, to different values.

        None if there are none; a list root has no keys and gives an empty list.
        """
        ...

    def merge(self, theirs: list[Change], pending: Pending, side: Side | None) -> Take:
        """Return what takes what others committed to what was not changed here."""
        ...

    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        """Bring the keys into the order of the durable state, but some of them last."""
        ...

    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        """Return the whole root without what cannot be encoded."""
        ...

    def mark(self) -> object:
        """Return what `changed_since` compares with; it runs no code of the user's."""
        ...

    def changed_since(self, mark: object) -> set[Any]:
        """Return the keys whose values may have been changed, set or deleted since."""
        ...

    def begin(self) -> None:
        """Make a savepoint."""
        ...

    def release(self) -> None:
        """Forget the last savepoint."""
        ...

    def depth(self) -> int:
        """Count the savepoints."""
        ...

    def roll_back(self) -> Undo:
        """Return what returns to the last savepoint; it runs no code of the user's."""
        ...


def make_root(
    initial: dict[Any, Any] | list[Any],
    codec: Codec,
    cache_bytes: int,
    over: Mapping[bytes, bytes] | None = None,
) -> Root:
    """Make a root that is not durable yet.

    Args:
        initial: Its content; a list is used as it is.
        codec: Values to bytes and back.
        cache_bytes: As of `open_root`, once it is durable.
        over: The durable entries of a root of the other kind, to be replaced.
    """
    if isinstance(initial, list):
        return ListRoot(initial, codec, over=over)
    nothing = WholeSnapshot(Version(""), {}, kind="str")
    live = Data.paged(codec, nothing, cache_bytes)
    live.update(initial)
    return DictRoot(live, codec, over)


def open_root(snapshot: Snapshot, codec: Codec, cache_bytes: int) -> Root:
    """Make a root of a durable state.

    Args:
        snapshot: The state.
        codec: Values to bytes and back.
        cache_bytes: How much of what nobody holds stays in memory, encoded, if it is
            asked for single keys.

    Raises:
        ValueError: It cannot be read here.
    """
    if snapshot.kind:
        return DictRoot(Data.paged(codec, snapshot, cache_bytes), codec)
    entries = entries_of(snapshot)
    if LIST in entries:
        items = cast("list[Any]", codec.decode_root(entries[LIST]))
        return ListRoot(items, codec, entries[LIST])
    root = DictRoot(Data.opened(codec, entries), codec)
    root.note_file(entries)
    return root


def changes_kind(root: Root, changes: Iterable[Change]) -> bool:
    """Whether *changes* make a list of a dict root or a dict of a list root."""
    found = contents(changes)
    if isinstance(root, ListRoot):
        return LIST in found and found[LIST] is None
    return found.get(LIST) is not None
