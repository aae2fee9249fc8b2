"""The driver, which is there with ``storify[postgres]`` alone, and its errors."""

import errno
import sys
from typing import TYPE_CHECKING, Any

from storify.exceptions import DatabaseLockedError

if TYPE_CHECKING:
    import psycopg

__all__ = ["failure", "is_again", "is_lost", "psycopg_of"]


def psycopg_of() -> "Any":
    """Return the module psycopg.

    Raises:
        ModuleNotFoundError: It is not installed; the message says how it is.
    """
    try:
        import psycopg  # noqa: PLC0415 - it is there with the extra alone
    except ImportError as error:
        msg = (
            f"databases on a PostgreSQL server need the driver psycopg: {error}; "
            f"install it with\n\n    {sys.executable} -m pip install "
            f'"storify[postgres]"\n'
        )
        raise ModuleNotFoundError(msg, name="psycopg") from error
    return psycopg


#: The server is going down, or comes up; or is one that only reads since a switchover.
_ELSEWHERE = frozenset({"25006", "57P01", "57P02", "57P03", "57P05", "53300", "25P03"})
#: A pool between us and the server does not pass prepared statements on.
UNPREPARED = frozenset({"26000", "42P05"})
#: Two transactions were in each other's way.
_AGAIN = frozenset({"40001", "40P01"})


def is_lost(error: BaseException) -> bool:
    """Whether a connection is of no use any more, and another one may be."""
    psycopg = psycopg_of()
    if not isinstance(error, psycopg.Error):
        return False
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state in _ELSEWHERE or state in UNPREPARED or state.startswith("08")


def is_again(error: BaseException) -> bool:
    """Whether the server has undone all of it, so that it may be tried again."""
    return getattr(error, "sqlstate", None) in _AGAIN


_MEANINGS: dict[str, tuple[type[OSError], int, str]] = {
    "25006": (
        OSError,
        errno.EROFS,
        (
            "the server only reads: it is a standby, or was the primary before a "
            "switchover; name all hosts of the cluster in the URL"
        ),
    ),
    "42501": (
        PermissionError,
        errno.EACCES,
        "the role may not do this; grant it what it needs, or open with readonly=True",
    ),
    "53100": (
        OSError,
        errno.ENOSPC,
        "the disk of the server is full; make room, then flush again",
    ),
    "57014": (
        TimeoutError,
        errno.ETIMEDOUT,
        (
            "the server has cancelled the statement (statement_timeout, or an "
            "administrator); nothing was written, raise the limit for this role or "
            "flush fewer changes at a time"
        ),
    ),
    "28P01": (PermissionError, errno.EACCES, "the password is wrong"),
    "28000": (PermissionError, errno.EACCES, "the server does not let this role in"),
    "53300": (
        ConnectionError,
        errno.EAGAIN,
        "the server has no connection left; raise max_connections or use a pooler",
    ),
}


def failure(error: "psycopg.Error", doing: str, location: str) -> OSError:
    """Return what a user is told of an error of the driver."""
    state = error.sqlstate or ""
    if state == "55P03":
        msg = f"cannot {doing} {location!r}: another writer has the lock; try again"
        return DatabaseLockedError(msg)
    said = str(error).strip().partition("\n")[0]
    if state in _MEANINGS:
        kind, number, meaning = _MEANINGS[state]
    elif state in {"42P01", "3F000", "42703"}:
        kind, number = FileNotFoundError, errno.ENOENT
        meaning = (
            "the tables are not there, or are others; "
            "`storify postgres init URL` makes them"
        )
    elif is_lost(error):
        kind, number, meaning = ConnectionError, errno.ECONNREFUSED, "no connection"
    else:
        kind, number, meaning = OSError, errno.EIO, "the server refuses it"
    return kind(number, f"cannot {doing}: {meaning}: {said}", location)
