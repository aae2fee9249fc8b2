"""The lock of a database: a row that one transaction has, for the length of a block.

Within this process callers follow each other by a `TurnLock`, as in memory; between
processes by the row. The transaction has a connection for itself, and ends with the
block, also with one that was dropped without being left: the server gives the row back
when the connection ends, whatever ended it.
"""

import os
import threading
import weakref
from collections.abc import Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from storify.engine.postgres.driver import failure, psycopg_of
from storify.engine.postgres.link import Link, kept_from_child
from storify.engine.postgres.tables import Tables
from storify.threads import InTurn, TurnLock, uncut

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

__all__ = ["Block", "Place", "place_of"]

_TAKE = "select name from @lock where name = %s for update"
_MAKE = "insert into @lock (name) values (%s) on conflict do nothing"


class Hold:
    """The row, as long as somebody has this.

    Args:
        connection: With the transaction that has it.
    """

    def __init__(self, connection: "Connection") -> None:
        self._connection: Connection | None = connection
        self._pid = os.getpid()

    def is_held(self) -> bool:
        """Whether it is had still, as far as can be seen."""
        connection = self._connection
        return (
            connection is not None and not connection.closed and self._is_of_process()
        )

    def _is_of_process(self) -> bool:
        return self._pid == os.getpid()

    def release(self) -> None:
        """Return the connection; not in a forked child, which has none."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._is_of_process():
            connection.close()
        else:
            kept_from_child(connection)

    def __del__(self) -> None:
        self.release()


class Place:
    """A database of this process, shared by all its engines.

    Attributes:
        lock: Whose turn it is.
        hold: The row, if a block has it.
    """

    def __init__(self) -> None:
        self.lock: TurnLock = TurnLock()
        self.hold: weakref.ref[Hold] | None = None

    def has_row(self) -> bool:
        """Whether a block of this process has the row."""
        hold = None if self.hold is None else self.hold()
        return hold is not None and hold.is_held()


_places: "weakref.WeakValueDictionary[Hashable, Place]" = weakref.WeakValueDictionary()
_places_lock = threading.Lock()


def _forget_parent() -> None:
    global _places_lock  # noqa: PLW0603 - may be held by a thread that is gone
    _places_lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forget_parent)


@uncut
def place_of(identity: Hashable) -> Place:
    """The one of a database in this process."""
    with _places_lock:
        found = _places.get(identity)
        if found is None:
            found = _places[identity] = Place()
        return found


class Block:
    """A ``with`` block that has the row, until it is left or nobody has it any more.

    Args:
        place: The database.
        link: The way to the server.
        tables: Their names.
        name: Of the database.
        location: For messages.
        timeout_s: How long to wait for others.
    """

    def __init__(
        self,
        place: Place,
        link: Link,
        tables: Tables,
        *,
        name: str,
        location: str,
        timeout_s: float,
    ) -> None:
        self._place = place
        self._turn = InTurn(place.lock, None, timeout_s, location)
        self._link = link
        self._tables = tables
        self._name = name
        self._location = location
        self._timeout_s = timeout_s
        self._hold: Hold | None = None

    @uncut
    def __enter__(self) -> None:
        """Wait for it.

        Raises:
            DatabaseLockedError: Another caller had it for too long.
            OSError: The server does not answer.
        """
        self._turn.__enter__()
        if self._place.has_row():
            return  # a block around this one has it
        try:
            self._hold = Hold(self._take())
            self._place.hold = weakref.ref(self._hold)
        except BaseException:
            self._turn.__exit__(None, None, None)
            raise

    def _take(self) -> "Connection":
        psycopg = psycopg_of()
        patience = self._link.patience()
        limit = f"{max(int(self._timeout_s * 1000), 1)}ms"
        while True:
            connection: Connection | None = None
            try:
                connection = self._link.connect()
                with connection.pipeline() as pipeline:
                    connection.execute(self._tables.sql(_MAKE), (self._name,))
                    pipeline.sync()  # the row is committed, whatever becomes of the lock
                    connection.execute("begin")
                    connection.execute(
                        "select set_config('lock_timeout', %s, true)", (limit,)
                    )
                    connection.execute(self._tables.sql(_TAKE), (self._name,))
            except psycopg.Error as error:
                if connection is not None:
                    connection.close()
                if not patience.is_left(error):
                    raise failure(error, "lock", self._location) from error
            else:
                return connection

    @uncut
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        hold, self._hold = self._hold, None
        try:
            if hold is not None:
                hold.release()
        finally:
            self._turn.__exit__(kind, error, traceback)
