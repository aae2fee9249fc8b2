"""How a root is made, of what the user gives or of a durable state."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from storify.codec import Codec
from storify.database.live.data import Data
from storify.database.session.changes import Root
from storify.database.session.dict_root import DictRoot
from storify.database.session.keys import LIST, contents
from storify.database.session.list_root import ListRoot
from storify.engine import Change, Snapshot, Version, WholeSnapshot, entries_of

__all__ = ["changes_kind", "make_root", "open_root"]


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
