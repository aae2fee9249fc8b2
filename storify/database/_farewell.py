"""The last flush of a database: at exit, or when nobody holds it any more.

A finalizer may run at any moment: the collector starts it in the middle of
whatever a thread is doing, also of a commit, where a second flush of the same
file would wait for itself. So a thread that is inside an engine is marked as
occupied, and what is collected meanwhile waits until it leaves.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from storify.engine import Engine

if TYPE_CHECKING:
    from storify.database._session import Session

__all__ = ["finalize", "forget", "is_open", "occupied", "remember"]

_open_sessions: "weakref.WeakSet[Session]" = weakref.WeakSet()
_orphans: "SimpleQueue[Session]" = SimpleQueue()
_thread = threading.local()


def _free_locks() -> None:
    """Free the locks in a forked child: a thread of the parent may hold them."""
    for session in list(_open_sessions):
        session.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_free_locks)


def remember(session: "Session") -> None:
    """Count *session* as open: it may still write."""
    _open_sessions.add(session)


def forget(session: "Session") -> None:
    """Count *session* as closed: nothing is flushed any more."""
    _open_sessions.discard(session)


def is_open(engine: Engine) -> bool:
    """Whether a live database of this process uses what *engine* keeps."""
    identity = engine.identity
    return any(each.engine.identity == identity for each in list(_open_sessions))


@contextmanager
def occupied() -> Generator[None]:
    """Mark this thread as inside an engine; then flush what was collected."""
    _thread.depth = _depth() + 1
    try:
        yield
    finally:
        _thread.depth -= 1
        _flush_orphans()


def finalize(session: "Session") -> None:
    """Flush the session of a database that nobody holds, now or in its turn."""
    if _depth():
        _orphans.put(session)
    else:
        _abandon(session)


def _depth() -> int:
    return getattr(_thread, "depth", 0)


@atexit.register
def _flush_orphans() -> None:
    while not _depth():
        try:
            session = _orphans.get_nowait()
        except Empty:
            return
        _abandon(session)


def _abandon(session: "Session") -> None:
    """Flush for the last time; what cannot be committed is put aside.

    A forked child does not write what its parent will. A database that was
    removed meanwhile is not made again, nor an empty one that never was.
    """
    if session.pid != os.getpid() or session not in _open_sessions:
        return
    with occupied():
        try:
            session.roll_back_all()
            if _is_worth_a_flush(session):
                session.flush()
        except Exception:  # noqa: BLE001 - there is no next call to raise it in
            session.log.traceback(f"last flush of database {session.name!r} failed")
            _put_aside(session)
        finally:
            _close(session)


def _is_worth_a_flush(session: "Session") -> bool:
    """Whether a flush that nobody asked for should write.

    Not a read-only database, nor an empty one that was never saved, nor
    one that was removed meanwhile.
    """
    if session.readonly:
        return False
    if session.version is None:
        return bool(session.data)
    news = session.engine.changes_since(session.version)
    if news is None or news.version is not None or session.engine.load() is not None:
        return True
    session.log.warning(f"database {session.name!r} was removed while it was open")
    return False


def _close(session: "Session") -> None:
    try:
        session.close()
    except OSError:
        # All is durable; the next opening folds the journal in.
        session.log.traceback(f"closing database {session.name!r} failed")


def _put_aside(session: "Session") -> None:
    try:
        where = session.engine.save_unsaved(_encode_storable(session))
    except Exception:  # noqa: BLE001 - the other databases are to be saved still
        session.log.traceback(f"unsaved data of database {session.name!r} are lost")
    else:
        session.log.error(f"unsaved data of database {session.name!r} are in {where}")


def _encode_storable(session: "Session") -> bytes:
    """Encode all that can be; what cannot is named in the log."""

    def report(error: Exception) -> None:
        session.log.error(f"lost from database {session.name!r}: {error}")

    return session.codec.join(session.root.storable(report))
