"""Two writers, one database: a three-way merge by key.

::

    base ──── mine ────┐
      │                ├── same key, other value on both sides: a conflict
      └───── theirs ───┘   else theirs are adopted in place, mine stay to commit

How a dict and a list take part in it is theirs to know (`dict_root`,
`list_root`); here it is said what happens when.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

from storify.database.session.changes import OvertakenError, Pending, Root, Side
from storify.database.session.keys import LIST, contents
from storify.database.session.list_root import ListRoot
from storify.engine import (
    Change,
    Engine,
    News,
    Snapshot,
    WholeSnapshot,
    difference,
    entries_of,
)
from storify.exceptions import ConflictError, CorruptionError, StaleStateError
from storify.threads import uncut

if TYPE_CHECKING:
    from storify.database.session.session import Session

__all__ = ["catch_up", "read_present"]

#: How often it begins anew because a value was set meanwhile.
_RACES = 5
#: How many keys an error names.
_SHOWN = 5


def catch_up(session: "Session", doing: str, keep: Side | None = None) -> bool:
    """Merge what others committed since the base; False if nothing was.

    Args:
        session: What is to be brought up to date; its lock is held.
        doing: What for, to begin an error with.
        keep: Whose value a key has that was changed on both sides.

    Raises:
        ConflictError: There is one and *keep* is None; nothing was adopted.
    """
    session.finish_cut_off()
    for attempt in count():
        news = session.engine.changes_since(session.version)
        if news is None:
            return False
        try:
            # A thread that reads all the time must not keep it from coming to an end.
            _take(session, news, doing, keep, careful=attempt < _RACES)
        except OvertakenError:
            continue
        return True
    raise AssertionError  # pragma: no cover - the loop returns or raises


def _take(
    session: "Session", news: News, doing: str, keep: Side | None, *, careful: bool
) -> None:
    """Merge what was committed.

    Raises:
        OvertakenError: A value was set meanwhile, by another thread or the handler of
            a signal; nothing was adopted.
    """
    root = session.root
    version, theirs = news
    entries: dict[bytes, bytes] | None = None
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
        theirs = difference(root.durable(), root.spell_entries(entries))
    else:
        theirs = root.spell(list(theirs))
    # From here on nothing waits, so that no other thread's change is missed.
    pending = session.begin_flush(doing)
    if entries is not None and _changes_kind(root, theirs):
        other = WholeSnapshot(version, entries)
        _take_other_kind(session, doing, other, pending, keep)
        return
    both = root.conflicts(theirs, pending)
    if both is not None and keep is None:
        _refuse(session, doing, both)
    take = root.merge(theirs, pending, keep)
    order = partial(_order_of, session, entries)

    def adopt() -> None:
        if not pending.is_newest():
            raise OvertakenError
        last = take(careful=careful)
        if last is not None:
            root.arrange(order(), last)
        pending.drop()
        session.version = version

    session.run_uncut(adopt)


def _changes_kind(root: Root, changes: Iterable[Change]) -> bool:
    """Whether *changes* make a list of a dict root or a dict of a list root."""
    found = contents(changes)
    if isinstance(root, ListRoot):
        return LIST in found and found[LIST] is None
    return found.get(LIST) is not None


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
    """Return the keys of the durable state, in order, as we spell them."""
    present = session.durable() if entries is None else entries
    return session.root.spell_entries(present)


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
