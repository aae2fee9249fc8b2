"""Older states of a database: found, compared with the live content, restored."""

import errno
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from storify.database.live.canonical import same_value
from storify.database.session.keys import LIST, contents, decode_keys
from storify.database.session.merge import catch_up
from storify.database.session.session import Session
from storify.engine import Commit, Snapshot, difference, entries_of

__all__ = ["Diff", "compare", "restore", "state_of"]


class Diff(NamedTuple):
    """How the live content differs from an older state.

    Attributes:
        added: The keys that are there now and were not then.
        removed: The keys that were there then.
        changed: The keys whose values are others. A list root has no keys: it
            is None.
    """

    added: set[Any]
    removed: set[Any]
    changed: set[Any]


def state_of(session: Session, which: datetime | str | int) -> Snapshot:
    """Open the state that was committed last at or before a time, or a backup by id.

    Raises:
        TypeError: *which* is neither.
        ValueError: The time has no time zone.
        FileNotFoundError: No state that old is kept, no such backup.
        MisdatedError: It is not known which state that is.
    """
    if isinstance(which, (str, int)):
        try:
            return session.engine.state(str(which))
        except FileNotFoundError as error:
            msg = (
                f"database {session.name!r} has no backup {which!r}; db.backups.list "
                f"gives their ids, an aware datetime is a time"
            )
            raise FileNotFoundError(errno.ENOENT, msg, error.filename) from error
    time: Any = which
    if not isinstance(time, datetime):
        msg = (
            f"cannot look up database {session.name!r} at a "
            f"{type(time).__qualname__}: pass the id of a backup or an aware datetime"
        )
        raise TypeError(msg)
    if time.utcoffset() is None:
        msg = (
            f"cannot look up database {session.name!r} at {time}: it has no time "
            f"zone; pass an aware datetime, as datetime.now(UTC)"
        )
        raise ValueError(msg)
    return session.engine.state(time)


def restore(session: Session, state: Snapshot, keys: Iterable[Any] | None) -> set[Any]:
    """Commit an older state, or some keys of it, and bring it into memory.

    Raises:
        KeyError: A key is in neither state.
        TypeError: There are no keys in a list root.
        As `Session.flush`: nothing was restored.
    """
    with session.lock, session.locked():
        session.flush()
        now = session.durable()
        then = entries_of(state)
        if keys is not None:
            then = _with_keys(session, now, then, list(dict.fromkeys(keys)))
        changes = difference(now, then)
        if not changes:
            return set()
        session.engine.commit(
            Commit(session.version, changes, now.get, undone_on_error=True)
        )
        session.sync()
        catch_up(session, "restore a backup of")
        return set(decode_keys(session.codec, contents(changes)))


def _with_keys(
    session: Session,
    now: dict[bytes, bytes],
    then: dict[bytes, bytes],
    keys: list[Any],
) -> dict[bytes, bytes]:
    """Return the present state with some keys as they were."""
    if LIST in now or LIST in then:
        msg = f"cannot restore keys of database {session.name!r}: its root is a list"
        raise TypeError(msg)
    # By equality, as a dict finds them: 1 there takes the place of True here.
    here = dict(zip(decode_keys(session.codec, now), now, strict=True))
    there = dict(zip(decode_keys(session.codec, then), then, strict=True))
    target = dict(now)
    for key in keys:
        if key not in here and key not in there:
            raise KeyError(key)
        if key in here and here[key] != there.get(key):
            del target[here[key]]
        if key in there:
            target[there[key]] = then[there[key]]
    return target


def compare(session: Session, state: Snapshot) -> Diff:
    """Return how the live content differs from an older state."""
    codec = session.codec
    with session.lock:
        session.finish_cut_off()
        pending, refused = session.begin_look()
        now = pending.entries()
        pending.drop()
        then = session.root.spell_entries(entries_of(state))
    before = set(decode_keys(codec, then))
    added = set(decode_keys(codec, (key for key in now if key not in then)))
    removed = set(decode_keys(codec, (key for key in then if key not in now)))
    differ = (
        key
        for key, value in now.items()
        if key in then and not same_value(codec, then[key], value)
    )
    changed = set(decode_keys(codec, differ))
    # What cannot be stored is there all the same.
    here = {None} if LIST in now and refused else set(refused)
    return Diff(added | here - before, removed - here, changed | here & before)
