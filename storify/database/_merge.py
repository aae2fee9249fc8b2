"""Two writers, one database: a three-way merge by key.

::

    base ──── mine ────┐
      │                ├── same key, other value on both sides: a conflict
      └───── theirs ───┘   else theirs are adopted in place, mine stay to commit

How a dict and a list take part in it is theirs to know (`_dict_root`,
`_list_root`); here it is said what happens when.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from storify.database._entries import difference, entries_of
from storify.database._pending import Pending, Side
from storify.database._roots import changes_kind, make_root
from storify.engine import Loaded
from storify.exceptions import ConflictError

if TYPE_CHECKING:
    from storify.database._session import Session

__all__ = ["catch_up"]

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
    news = session.engine.changes_since(session.version)
    if news is None:
        return False
    root, codec = session.root, session.codec
    version, theirs = news
    loaded: Loaded | None = None
    if theirs is None or version is None or changes_kind(root, theirs):
        loaded = session.engine.load()
        if loaded is None:
            _note_removal(session)
            return True
        version = loaded.version
        entries = entries_of(loaded, codec)
        root.note_file(entries)
        theirs = difference(root.durable(), root.spell_entries(entries))
    else:
        theirs = root.spell(list(theirs))
    # From here on nothing waits, so that no other thread's change is missed.
    pending = session.freeze(doing)
    pending.undo()
    if loaded is not None and changes_kind(root, theirs):
        _take_other_kind(session, doing, loaded, pending, keep)
    else:
        both = root.conflicts(theirs, pending)
        if both is not None and keep is None:
            _refuse(session, doing, both)
        last = root.merge(theirs, pending, keep)
        if last is not None:
            root.arrange(root.spell_entries(session.durable()), last)
    session.version = version
    return True


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
    loaded: Loaded,
    pending: Pending,
    keep: Side | None,
) -> None:
    """Take a list for a dict or a dict for a list: there is no merging them."""
    root = session.open(loaded)
    if not pending.changes or keep == "theirs":
        session.use(root)
    elif keep == "mine":
        session.use(make_root(session.data, session.codec, over=root.durable()))
    else:
        _refuse(session, doing, [])


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
