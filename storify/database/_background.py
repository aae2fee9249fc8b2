"""Saving that nobody asked for: an error is logged and kept, not raised."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storify.database._session import Session

__all__ = ["try_flush", "try_sync"]


def try_flush(session: "Session") -> bool:
    """Flush for the autosave; give whether it was flushed.

    Skipped while another thread holds the lock, or this one a transaction: it is
    changing records that belong together.
    """
    if session.pid != os.getpid() or not session.lock.acquire(blocking=False):
        return False
    try:
        if session.in_transaction:
            return False
        session.flush()
    except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
        _keep_error(session, error, "autosave")
        session.flushed_at_s = session.saving.clock()
        return False
    else:
        return True
    finally:
        session.lock.release()


def try_sync(session: "Session") -> float:
    """Sync what is due, and give the seconds until more is."""
    syncing = session.syncing
    if syncing.due_in_s() <= 0 and session.pid == os.getpid():
        try:
            syncing.sync()
        except OSError as error:
            _keep_error(session, error, "background sync")
            syncing.put_off()
    return syncing.due_in_s()


def _keep_error(session: "Session", error: Exception, doing: str) -> None:
    if repr(session.last_error) != repr(error):
        session.log.traceback(f"{doing} of database {session.name!r} failed")
    session.last_error = error
