"""Connections to a server: taken for one call, given back, replaced when they are lost.

A call that only reads is tried again on another connection until the server answers or
the time is up: a failover takes a second or two. What writes decides by itself
(`commit`), for it must first learn whether it was done.

No transaction is open between two calls, so none keeps the server from cleaning up.
Connections are made in the thread that needs one, so its error says why there is none,
and nothing is left behind in a forked child: that one begins with none.
"""

import os
import random
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from storify.engine.postgres.address import Address
from storify.engine.postgres.driver import UNPREPARED, failure, is_lost, psycopg_of
from storify.threads import at_last, is_given_up

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]
    Cursor = psycopg.Cursor[Any]

__all__ = ["Link", "Notes", "Pool", "cursor_of", "kept_from_child"]

T = TypeVar("T")

RETRY_S = 20.0
"""How long a server that answered once is tried again."""

FIRST_S: Final = 0.3
"""How long one is tried that never did: what is wrong is said soon."""

MOST: Final = 16
"""How many connections one link has at most, those of `locked` blocks aside."""

#: How many stay open while nobody needs them.
_IDLE: Final = 4
_FIRST_PAUSE_S: Final = 0.02
_LAST_PAUSE_S: Final = 0.5


class Pool(Protocol):
    """A pool of the user's, as `psycopg_pool.ConnectionPool`."""

    conninfo: Any

    def getconn(self, timeout: float | None = None) -> "Connection":
        """Take a connection."""
        ...

    def putconn(self, conn: "Connection") -> None:
        """Return a connection."""
        ...

    def check(self) -> None:
        """Replace the connections that are lost."""
        ...


def cursor_of(connection: "Connection") -> "Cursor":
    """Return a cursor that gives tuples, of bytes where they are, whoever's it is."""
    rows = psycopg_of().rows
    cursor: Cursor = connection.cursor(binary=True, row_factory=rows.tuple_row)
    return cursor


class Notes:
    """Remarks of the server while a connection is used.

    Attributes:
        unconfirmed: Whether it ceased to wait for a standby to confirm a commit.
    """

    def __init__(self) -> None:
        self.unconfirmed: bool = False

    def note(self, diagnostic: "psycopg.errors.Diagnostic") -> None:
        """Take a notice; its text may be in any language."""
        if diagnostic.source_function == "SyncRepWaitForLSN":
            self.unconfirmed = True


class Link:
    """The way to a server.

    Attributes:
        address: Where it is.
        retry_s: How long it is tried again.

    Args:
        address: Where it is.
        pool: Where connections are taken from instead.
    """

    def __init__(self, address: Address, pool: Pool | None = None) -> None:
        self.address: Address = address
        self.retry_s: float = RETRY_S
        self._pool = pool
        self._was_reached = False
        #: Whether statements may be prepared; a pooler may not pass that on.
        self._prepares = True
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = Lock()
        self._free = BoundedSemaphore(MOST)
        idle: list[Connection] = []
        self._idle = idle
        weakref.finalize(self, _close_all, idle, self._pid).atexit = False
        _links.add(self)

    def _begin_in_child(self) -> None:
        if self._pid != os.getpid():
            _inherited.append(self._idle)
            if self._pool is not None:
                _inherited.append(self._pool)
                self._pool = None
            self._begin()

    # -- one connection ----------------------------------------------------------------

    def connect(self) -> "Connection":
        """Make a connection.

        Raises:
            psycopg.Error: There is none to be had.
        """
        psycopg = psycopg_of()
        options: dict[str, Any] = dict(self.address.options)
        threshold = 5 if self._prepares else None
        connection: Connection = psycopg.connect(
            **options, autocommit=True, prepare_threshold=threshold
        )
        self._was_reached = True
        return connection

    @contextmanager
    def connection(self) -> "Generator[Connection]":
        """Have a connection for a ``with`` block; one that is lost is not used again."""
        self._begin_in_child()
        if self._pool is not None:
            with self._of_pool(self._pool) as connection:
                yield connection
            return
        if not self._free.acquire(timeout=self.retry_s):
            msg = f"all {MOST} connections of this process are in use"
            raise psycopg_of().OperationalError(msg)
        try:
            connection = self._take()
            try:
                yield connection
            except BaseException as error:
                self._end(connection, error)
                raise
            else:
                self._give(connection)
        finally:
            self._free.release()

    def _take(self) -> "Connection":
        with self._lock:
            found = self._idle.pop() if self._idle else None
        return self.connect() if found is None else found

    def _give(self, connection: "Connection") -> None:
        with self._lock:
            if not connection.closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _end(self, connection: "Connection", error: BaseException) -> None:
        """Undo what an error has left, or let go of the connection and its like."""
        if is_lost(error) or not _undo(connection):
            connection.close()
            self._forget(error)
        else:
            self._give(connection)

    def _forget(self, error: BaseException) -> None:
        if getattr(error, "sqlstate", None) in UNPREPARED:
            self._prepares = False
        self.rest()

    @contextmanager
    def _of_pool(self, pool: Pool) -> "Generator[Connection]":
        connection = pool.getconn(self.retry_s)
        self._was_reached = True
        was_autocommit = connection.autocommit
        lost: BaseException | None = None
        try:
            connection.autocommit = True
            yield connection
        except BaseException as error:
            if is_lost(error) or not _undo(connection):
                lost = error
                connection.close()
            raise
        finally:
            if not connection.closed:
                connection.autocommit = was_autocommit
            pool.putconn(connection)
            if lost is not None:
                pool.check()

    def rest(self) -> None:
        """Close the connections that nobody uses."""
        self._begin_in_child()
        with self._lock:
            idle = self._idle[:]
            del self._idle[:]
        for each in idle:
            each.close()

    # -- calls -------------------------------------------------------------------------

    def run(self, doing: str, location: str, work: "Callable[[Connection], T]") -> T:
        """Do something that may be done twice, on one connection after the other.

        Raises:
            OSError: It cannot be done now.
        """
        psycopg = psycopg_of()
        patience = self.patience()
        while True:
            try:
                with self.connection() as connection:
                    return work(connection)
            except psycopg.Error as error:
                if not patience.is_left(error):
                    raise failure(error, doing, location) from error

    def patience(self) -> "Patience":
        """Begin to count the time in which something is tried again."""
        patience = Patience(self.retry_s)
        if not self._was_reached:
            patience.begin(min(self.retry_s, FIRST_S))
        return patience


class Patience:
    """The patience with which something is tried again.

    Args:
        seconds: How long after the first error: it may take its time to be noticed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def begin(self, seconds: float) -> None:
        """Count from now on."""
        self._until = time.monotonic() + seconds

    def is_left(self, error: BaseException) -> bool:
        """Wait a little, if *error* may be over then; False if it is not to be tried."""
        state = getattr(error, "sqlstate", None)
        if not is_lost(error) and state not in {"40001", "40P01"}:
            return False
        if self._until is None:
            self.begin(self._seconds)
        if time.monotonic() >= (self._until or 0.0) or is_given_up():
            return False
        # By chance, so that those who were in each other's way are not so again.
        time.sleep(self._pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._pause_s = min(2 * self._pause_s, _LAST_PAUSE_S)
        return True


#: Of the parent of a forked child; to close them would end the parent's.
_inherited: list[object] = []


def kept_from_child(thing: object) -> None:
    """Hold something of the parent, so that a forked child does not end it."""
    _inherited.append(thing)


def _undo(connection: "Connection") -> bool:
    """Leave no transaction open; False if that cannot be."""
    psycopg = psycopg_of()
    if connection.closed:
        return False
    status = connection.info.transaction_status
    if status == psycopg.pq.TransactionStatus.IDLE:
        return True
    if status == psycopg.pq.TransactionStatus.ACTIVE:
        return False
    with suppress(psycopg.Error):
        connection.rollback()
        return True
    return False


def _close_all(connections: "list[Connection]", pid: int) -> None:
    if pid == os.getpid():
        for each in connections:
            each.close()


#: Those that may have connections.
_links: "weakref.WeakSet[Link]" = weakref.WeakSet()


def _rest_all() -> None:
    """Close what is idle, at the end of the program, when all is saved."""
    for link in list(_links):
        link.rest()


at_last(_rest_all)
