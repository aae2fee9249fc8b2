"""Two writers, one database: a three-way merge by key.

::

    base ──── mine ────┐
      │                ├── same key, other value on both sides: a conflict
      └───── theirs ───┘   else theirs are adopted in place, mine stay to commit

A list root is one value under one key. There is no merging a list with a dict: one
takes the place of the other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Protocol

from storify.database.live.refresh import Refresher
from storify.database.live.slots import MISSING
from storify.database.session.keys import LIST, contents, decode_keys
from storify.database.session.root import Pending, Root
from storify.engine import (
    Change,
    Engine,
    Newer,
    Snapshot,
    WholeSnapshot,
    difference,
    each_entry,
    entries_of,
)
from storify.exceptions import ConflictError, CorruptionError, StaleStateError
from storify.threads import uncut

if TYPE_CHECKING:
    from storify.database.session.session import Session

__all__ = ["Side", "catch_up", "read_present"]

#: Whose value a key has that was changed on both sides.
Side = Literal["mine", "theirs"]

#: How often it begins anew because a value was set meanwhile.
_RACES: Final = 5
#: How many keys an error names.
_SHOWN: Final = 5


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


def catch_up(
    session: "Session",
    doing: str,
    keep: Side | None = None,
    known: Newer | None = None,
) -> bool:
    """Merge what others committed since the base; False if nothing was.

    Args:
        session: What is to be brought up to date; its lock is held.
        doing: What for, to begin an error with.
        keep: Whose value a key has that was changed on both sides.
        known: What was committed, if it is known.

    Raises:
        ConflictError: There is one and *keep* is None; nothing was adopted.
    """
    session.finish_cut_off()
    for attempt in count():
        newer = known or session.engine.changes_since(session.version)
        if newer is None:
            return False
        try:
            # A thread that reads all the time must not keep it from coming to an end.
            _take(session, newer, doing, keep, careful=attempt < _RACES)
        except OvertakenError:
            continue
        return True
    raise AssertionError  # pragma: no cover - the loop returns or raises


def _take(
    session: "Session", newer: Newer, doing: str, keep: Side | None, *, careful: bool
) -> None:
    """Merge what was committed.

    Raises:
        OvertakenError: A value was set meanwhile, by another thread or the handler of
            a signal; nothing was adopted.
    """
    root = session.root
    version, theirs = newer
    entries: dict[bytes, bytes] | None = None
    if theirs is None and version is not None:
        version, theirs = _present_changes(session) or newer
    if (
        theirs is None
        or version is None
        or _changes_kind(root, theirs)
        or not _is_there(root, theirs)
    ):
        snapshot = read_present(session.engine)
        if snapshot is None:
            _note_removal(session)
            return
        version, entries = snapshot.version, entries_of(snapshot)
        if LIST not in entries:
            root.fill(entries)
        root.note_file(entries)
        before, after = root.durable(), root.canonical_entries(entries)
        theirs = difference(before.items(), after.items())
    else:
        theirs = root.canonical(list(theirs))
    # From here on nothing waits, so that no other thread's change is missed.
    pending = session.begin_flush(doing)
    if entries is not None and _changes_kind(root, theirs):
        other = WholeSnapshot(version, entries)
        _take_other_kind(session, doing, other, pending, keep)
        return
    merge = _Merge(root, theirs, pending)
    both = merge.conflicts()
    if both and keep is None:
        _refuse(session, doing, [] if root.is_list else both)
    take = merge.prepare(keep)
    order = partial(_order_of, session, entries)

    def adopt() -> None:
        if not pending.is_newest():
            raise OvertakenError
        last = take(careful=careful)
        if last is not None:
            root.arrange(order(), last)
        pending.drop()
        session.data = root.live
        session.version = version

    session.run_uncut(adopt)


def _present_changes(session: "Session") -> Newer | None:
    """Compare the present state with the base, side by side; None if both must be whole.

    Where keys are found by their bytes, and not all are in memory already.
    """
    root = session.root
    if (
        root.is_list
        or root.over
        or root.slots.is_filled()
        or root.canonical_keys.in_file
    ):
        return None
    present = session.engine.open()
    if present is None or not present.kind:
        return None
    with closing(present), suppress(CorruptionError, StaleStateError):
        changes = difference(root.each_durable(), each_entry(present))
        return Newer(present.version, changes)
    return None


def _changes_kind(root: Root, changes: Iterable[Change]) -> bool:
    """Whether a list is to take the place of a dict or a dict that of a list.

    By *changes* of another writer, or by what is to be saved here.
    """
    found = contents(changes)
    if root.is_list:
        return bool(root.over) or (LIST in found and found[LIST] is None)
    return bool(root.over) or found.get(LIST) is not None


@uncut
def read_present(engine: Engine) -> WholeSnapshot | None:
    """Read the present state as a whole; None if there is none.

    As one step, so that no child that is forked meanwhile has its files.
    """
    snapshot = engine.open()
    if snapshot is None:
        return None
    whole = WholeSnapshot(snapshot.version, entries_of(snapshot))
    snapshot.close()
    return whole


def _is_there(root: Root, theirs: Iterable[Change]) -> bool:
    """Whether what the root is based on is known, or can be read still, for some keys."""
    try:
        root.page_in(key for key, _ in theirs)
    except (CorruptionError, StaleStateError):  # others have written over it
        return False
    return True


def _order_of(
    session: "Session", entries: dict[bytes, bytes] | None
) -> Iterable[bytes]:
    """Return the canonical keys of the durable state, in order."""
    present = session.durable() if entries is None else entries
    return session.root.canonical_entries(present)


def _note_removal(session: "Session") -> None:
    session.log.warning(
        f"database {session.name!r} was removed by another program; "
        f"it is written again from memory"
    )
    session.root.forget()
    session.version = None


def _take_other_kind(
    session: "Session",
    doing: str,
    snapshot: Snapshot,
    pending: Pending,
    keep: Side | None,
) -> None:
    """Take a list for a dict or a dict for a list: there is no merging them."""
    root = session.open(snapshot)
    if pending.changes and keep is None:
        _refuse(session, doing, [])
    if pending.changes and keep == "mine":
        root = session.make(session.data, over=root.durable())
    session.take(root, snapshot.version)


def _refuse(session: "Session", doing: str, keys: Sequence[Any]) -> NoReturn:
    which = ", ".join(repr(key) for key in keys[:_SHOWN]) or "the whole list"
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    msg = (
        f"cannot {doing} database {session.name!r}: {which}{more} changed here and by "
        f"another writer; nothing was written, your values are in memory; "
        f'db.reload(keep="mine") keeps yours for the next flush, '
        f'db.reload(keep="theirs") takes the other writer\'s'
    )
    raise ConflictError(msg, keys)


class _Merge:
    """One merge of two sets of changes on one durable state.

    Args:
        root: The live data.
        theirs: What another writer committed, with canonical keys.
        pending: What is changed here.
    """

    def __init__(self, root: Root, theirs: list[Change], pending: Pending) -> None:
        self._root = root
        self._live = root.slots
        self._incoming = root.incoming
        self._codec = root.codec
        self._theirs = theirs
        self._pending = pending
        self._found = contents(theirs)
        self._keys = self._keys_found()
        self._twins = self._twins_found()
        # What came and went since is no deletion.
        self._deleted = {
            key: None
            for key_bytes, value in self._found.items()
            if value is None and self._live.durable(key := self._keys[key_bytes])
        }

    def _keys_found(self) -> dict[bytes, Any]:
        """Return the keys for their bytes, my own objects where there are some."""
        live, found = self._live, self._found
        # What is not found by equality may hold a NaN, and be found by its bytes.
        decoded = (
            key if key in live else live.own_key(key)
            for key in decode_keys(self._codec, found)
        )
        return {**dict(zip(found, decoded, strict=True)), **self._pending.keys}

    def _twins_found(self) -> dict[bytes, Any]:
        """Return my keys that equal another one of theirs, as 1 and True do.

        One dict cannot have both, so they are a conflict, whatever they hold.
        """
        pending, keys = self._pending, self._keys
        new = {
            pending.keys[key]: key
            for key, value in pending.contents.items()
            if value is not None
        }
        return {
            key: pending.keys[new[keys[key]]]
            for key, value in self._found.items()
            if value is not None and new.get(keys[key], key) != key
        }

    def conflicts(self) -> list[Any]:
        """Return the keys that both sides changed, to different values."""
        mine, keys = self._pending.contents, self._keys
        both = [
            keys[key_bytes]
            for key_bytes, value in self._found.items()
            if self._live.durable(keys[key_bytes]) != value
            and key_bytes in mine
            and not self._codec.same_value(value, mine[key_bytes])
        ]
        return [*dict.fromkeys([*both, *self._twins.values()])]

    def prepare(self, side: Side | None) -> Take:
        """Decode what is to be brought into objects that are in use.

        Args:
            side: Whose value a key has that was changed on both sides.

        Returns:
            What takes the values that were committed.
        """
        live, mine, keys = self._live, self._pending.contents, self._keys
        newer = {
            key_bytes: value
            for key_bytes, value in self._found.items()
            if key_bytes in self._twins or live.durable(keys[key_bytes]) != value
        }
        dropped = {
            key_bytes
            for key_bytes, value in newer.items()
            if side == "theirs"
            and key_bytes in mine
            and not self._codec.same_value(value, mine[key_bytes])
        }
        contents = {
            key_bytes: MISSING
            if value is None
            else self._root.content_of(keys[key_bytes], value)
            for key_bytes, value in newer.items()
            if (key_bytes in dropped or key_bytes not in mine)
            and (value is None or self._incoming.is_live(live.own_key(keys[key_bytes])))
        }
        return partial(self._take, side, newer, dropped, contents)

    def _take(
        self,
        side: Side | None,
        newer: Mapping[bytes, bytes | None],
        dropped: Collection[bytes],
        contents: Mapping[bytes, Any],
        *,
        careful: bool,
    ) -> list[Any] | None:
        live = self._live
        if careful and self._incoming.was_handed_out(
            self._keys[each] for each in contents
        ):
            raise OvertakenError
        placed = self._placed()
        self._take_values(side, newer, dropped, contents)
        reverted = [
            self._keys[key_bytes] for key_bytes in newer if key_bytes in dropped
        ]
        last = self._last(reverted)
        if any(key in self._pending.deleted and key in live for key in reverted):
            return last
        if any(placed.values()):
            live.fill()
            behind = [*map(live.own_key, placed), *last]
            known = set(behind)
            first = [key for key in live if key not in known]
            theirs_last = [key for key in behind if key in live and key not in last]
            self._incoming.reorder([*first, *theirs_last, *last])
        elif placed:
            self._incoming.move_last(last)
        return None

    def _take_values(
        self,
        side: Side | None,
        newer: Mapping[bytes, bytes | None],
        dropped: Collection[bytes],
        contents: Mapping[bytes, Any],
    ) -> None:
        mine, keys = self._pending.contents, self._keys
        refresher = self._incoming.refresher(
            {keys[each] for each in newer if each in dropped or each not in mine}
        )
        for key_bytes, value in newer.items():
            key, content = keys[key_bytes], contents.get(key_bytes, MISSING)
            if key_bytes in self._twins:
                twin = self._twins[key_bytes]
                self._take_twin(key, value, twin, side, content, refresher)
            elif key_bytes not in mine:
                self._incoming.adopt(key, value, content, refresher)
            else:
                self._incoming.rebase(key, value)
                if key_bytes in dropped:
                    self._incoming.revert(key, content, refresher)

    def _take_twin(
        self,
        key: Any,
        value: bytes | None,
        mine: Any,
        side: Side | None,
        content: Any,
        refresher: Refresher,
    ) -> None:
        """Decide between a key of mine and another one that equals it."""
        kept = self._live.pop(mine, None)  # it is gone if it gave way to a delete
        self._incoming.adopt(key, value, content, refresher)
        if side == "mine":
            del self._live[key]
            self._live[mine] = kept

    def _placed(self) -> dict[Any, bool]:
        """Return the keys that stand last in the file now, in order.

        The value says whether a key stands elsewhere in the live dict.
        """
        live = self._live
        placed: dict[Any, bool] = {}
        deleted: set[Any] = set()
        for key_bytes, value in self._theirs:
            key = self._keys[key_bytes]
            if value is None:
                deleted.add(key)
                placed.pop(key, None)
            elif key in deleted or live.durable(key) is None:
                placed.setdefault(key, live.own_key(key) in live)
        return placed

    def _last(self, reverted: list[Any]) -> list[Any]:
        """Return the keys that my next commit will put last, in order."""
        live, pending = self._live, self._pending
        last = [
            pending.keys[key_bytes]
            for key_bytes, value in pending.changes
            if value is not None
            and (key := pending.keys[key_bytes]) in live
            and (live.durable(key) is None or key in pending.deleted)
            and key not in reverted
        ]
        # What they deleted and I keep was moved behind what is new here (`rebase`).
        among = set(last)
        again = {
            key: None
            for key in self._deleted
            if key in among and key not in pending.deleted
        }
        return [*(key for key in last if key not in again), *again]
