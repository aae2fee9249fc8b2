"""Several changes that are saved together, or not at all.

::

    lock   flush   begin ── body ── commit   unlock
                     └─ an exception, also the commit's: roll back

A block inside a block is a savepoint: begin and roll back, without the rest.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from storify.database._data import Data
from storify.database._farewell import occupied
from storify.database._gate import close_gate, open_gate
from storify.database._roots import Root
from storify.engine import StaleVersionError
from storify.exceptions import ConflictError, TransactionError

if TYPE_CHECKING:
    from storify.database._session import Session

__all__ = ["Transactional", "transaction"]

D = TypeVar("D")


class Transactional:
    """Live data that one thread can have for itself, and return to what they were.

    Attributes:
        name: For messages.
        data: The live root, a `Data` or a list.
        root: The same with what is known of its durable state.
        lock: Held by all that saves or replaces the data, and by transactions.

    Args:
        name: For messages.
        root: The live root.
    """

    data: Data | list[Any]
    root: Root

    def __init__(self, name: str, root: Root) -> None:
        self.name = name
        self.lock = threading.RLock()
        #: The roots at the entries of the transactions that run, outer ones first.
        self._savepoints: list[Root] = []
        #: The thread of the transaction that runs, and the dict that it guards.
        self._owner: int | None = None
        self._guarded: Data | None = None
        self.use(root)

    def use(self, root: Root) -> None:
        """Take another live root."""
        self.root = root
        self.data = root.live

    # -- whose turn it is ------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether this thread, which holds the lock, is inside a transaction."""
        return bool(self._savepoints)

    @contextmanager
    def outside_transaction(self, doing: str) -> Generator[None]:
        """Hold the lock; refuse what would end or break a transaction.

        Raises:
            TransactionError: This thread is inside one.
        """
        with self.lock:
            if self._savepoints:
                msg = (
                    f"cannot {doing} database {self.name!r} inside a transaction: "
                    f"it commits at its end, all or nothing; do it after the block"
                )
                raise TransactionError(msg)
            yield

    def wait_for_transaction(self) -> bool:
        """Wait for the end of another thread's transaction; whether there was one."""
        owner = self._owner
        if owner is None or owner == threading.get_ident():
            return False
        with self.lock:
            return True

    @contextmanager
    def turn(self) -> Generator[None]:
        """Let other threads that write wait; the lock is held."""
        self._owner = threading.get_ident()
        self._guarded = self.data if isinstance(self.data, Data) else None
        if self._guarded is not None:
            close_gate(self._guarded, self.wait_for_transaction)
        try:
            yield
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        self._owner = None
        if self._guarded is not None:
            open_gate(self._guarded)
            self._guarded = None

    # -- all or nothing --------------------------------------------------------

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Return the live data to the state at entry if the block raises."""
        self.root.begin()
        self._savepoints.append(self.root)
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        # What replaced the root in the block has no savepoint to give up.
        self._savepoints.pop().release()

    def _roll_back(self) -> None:
        root = self._savepoints.pop()
        root.roll_back()
        self.use(root)

    def roll_back_all(self) -> None:
        """Undo a transaction that is never ended, at the end of the program."""
        while self._savepoints:
            self._roll_back()

    def after_fork(self) -> None:
        """Free, in a forked child, what threads of the parent were doing.

        They do not live here: their locks would never be released, and what they
        did not commit is undone.
        """
        if self.lock.acquire(blocking=False):
            self.lock.release()
            return
        self.lock = threading.RLock()
        for root in {
            id(each): each for each in (self.root, *self._savepoints)
        }.values():
            root.after_fork()
        while self._savepoints:
            self._roll_back()
        self._end_turn()


@contextmanager
def transaction(db: D, session: "Session", check: Callable[[], object]) -> Generator[D]:
    """Run a block with the database locked, and commit or undo it as one.

    Args:
        db: What the block gets.
        session: The session of the database.
        check: Raises if it cannot be changed.

    Raises:
        ConflictError, OSError, …: As `Session.flush`, at both ends.
    """
    check()
    # What is collected in the block waits for its end: it may be of this database,
    # whose file this thread keeps locked.
    with occupied(), session.lock:
        check()  # it may have been closed while this thread waited
        if session.in_transaction:
            with session.savepoint():
                yield db
            return
        with session.engine.locked(), session.turn():
            session.flush()
            with session.savepoint():
                yield db
                _commit(session)


def _commit(session: "Session") -> None:
    """Commit a transaction, whose lock keeps all other writers out.

    Raises:
        ConflictError: A program that knows no lock wrote nevertheless.
        As `Session.flush`: nothing was written.
    """
    pending = session.freeze("commit a transaction of")
    if not pending.changes and session.version is not None:
        pending.done()
    else:
        try:
            session.write(pending)
        except StaleVersionError:
            msg = (
                f"cannot commit a transaction of database {session.name!r}: a program "
                f"that takes no lock wrote it meanwhile; all is undone, try again"
            )
            raise ConflictError(msg) from None
    session.note_flush(written=True)
