"""Several changes that are saved together, or not at all.

::

    lock   flush   begin ── body ── commit   unlock
                     └─ an exception, also the commit's: roll back

A block inside a block is a savepoint: begin and roll back, without the rest.

A block that is cut off on its way out is never half of one: what commits does all of
it where nothing cuts it in half, and a block that was left in any other way is rolled
back by who comes next (`Transactional.finish_cut_off`).

Other callers that write through the dict itself wait for the end (`Slots.turn`).
"""

import sys
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from storify.database.live.data import Data
from storify.database.session.root import Root
from storify.engine import StaleVersionError
from storify.exceptions import ConflictError, TransactionError
from storify.threads import (
    DeadlockError,
    Job,
    OtherTaskError,
    TurnLock,
    checkpoint,
    in_saver,
    run_async,
)

if TYPE_CHECKING:
    from storify.database.session.session import Session
    from storify.threads import Turn

__all__ = [
    "AsyncTransaction",
    "Transaction",
    "Transactional",
    "WriteLock",
]


D = TypeVar("D")
T = TypeVar("T")


class WriteLock(TurnLock):
    """The write lock of one database: held by all that saves or replaces its data.

    Users take it as ``db.lock`` for changes of several records that belong together,
    and a transaction takes it for its length. It belongs to a task, not to a thread.

    Args:
        name: Of the database, for messages.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def take(
        self,
        frame: FrameType | None = None,
        guard: object = None,
        timeout_s: float | None = None,
    ) -> "Turn | None":
        """Wait for a turn; see `TurnLock.take`.

        Raises:
            TransactionError: It would wait for itself.
        """
        try:
            return super().take(frame, guard, timeout_s)
        except OtherTaskError:
            msg = (
                f"cannot use database {self._name!r} now: another task of this thread "
                f"is inside its lock or a transaction, where it awaits something; "
                f"`async with db.atransaction()` waits for its turn"
            )
            raise TransactionError(msg) from None
        except DeadlockError as error:
            msg = f"cannot use database {self._name!r} now: {error}; try again"
            raise TransactionError(msg) from None


class _Block(NamedTuple):
    """A block that runs.

    Attributes:
        root: The root at its entry.
        savepoints: How many savepoints that had.
        transaction: What the block holds, if it is there still.
    """

    root: Root
    savepoints: int
    transaction: "weakref.ref[Transaction[Any]]"


class Transactional:
    """Live data that one caller can have for itself, and return to what they were.

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
        self.lock: WriteLock = WriteLock(name)
        #: The blocks that run, outer ones first.
        self.blocks: list[_Block] = []
        #: The dict whose writers wait.
        self._guarded: Data | None = None
        #: Whether they wait for the end of the process.
        self._is_ending = False
        #: What a saver thread does, or did last, for this data.
        self._job: Job[Any] | None = None
        #: Tells of a decoded value whether it surely is of the declared type.
        self.fits: Callable[[Any], bool] | None = None
        self.use(root)

    def use(self, root: Root) -> None:
        """Take another live root."""
        self.root = root
        self.data = root.live
        self.expect(self.fits)

    def expect(self, fits: Callable[[Any], bool] | None) -> None:
        """Have *fits* judge what is decoded, and what was."""
        self.fits = fits
        if isinstance(self.data, Data):
            self.data.expect(fits)

    def run_uncut(self, action: Callable[[], T]) -> T:
        """Do something where nothing cuts it in half; the lock is held.

        Who comes next waits for its end, though its caller may not have.
        """
        if in_saver():
            return action()
        if self._job is not None and not self._job.is_ended:
            self._wait_for_job()
        self._job = job = Job(action)
        return job.do()

    def _wait_for_job(self, timeout_s: float = -1) -> None:
        """Wait for work that was left behind by an interrupt.

        Raises:
            TimeoutError: It does not end in time.
        """
        job = self._job
        if job is not None and job.is_under_way() and not in_saver():
            job.join(timeout_s)
            if not job.is_ended:
                msg = f"database {self.name!r} is being saved still"
                raise TimeoutError(msg)

    # -- whose turn it is ------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether the holder of the lock is inside a transaction."""
        return bool(self.blocks)

    def finish_cut_off(self, timeout_s: float = -1) -> None:
        """Bring to its end what an interrupt has cut off; the lock is held.

        Raises:
            TimeoutError: It does not end in time.
        """
        if self._job is not None and not self._job.is_ended:
            self._wait_for_job(timeout_s)
        if self.blocks and self.is_cut_off():
            self.roll_back_to(0)

    def is_cut_off(self) -> bool:
        """Whether a block was left without a word, and is to be undone."""
        return bool(self.blocks) and not self._is_inside()

    def _is_inside(self) -> bool:
        """Whether the outermost block runs; it may have been left without a word."""
        for outermost in self.blocks[:1]:  # another thread may be leaving it
            block = outermost.transaction()
            return block is not None and not block.is_left
        return True

    def ready(self, doing: str) -> None:
        """Finish what was cut off, and refuse what would end a transaction.

        Raises:
            TransactionError: The caller, who has the lock, is inside one.
        """
        self.finish_cut_off()
        if self.blocks:
            msg = (
                f"cannot {doing} database {self.name!r} inside a transaction: "
                f"it commits at its end, all or nothing; do it after the block"
            )
            raise TransactionError(msg)

    def wait_for_transaction(self) -> bool:
        """Wait for the end of another caller's transaction; whether there was one.

        Raises:
            TransactionError: It is of another task of this thread.
        """
        if not self.blocks and not self._is_ending:
            return False
        if self.lock.is_mine() and (self._is_ending or self._is_inside()):
            return False
        with self.lock:
            self.finish_cut_off()
        return True

    # -- all or nothing --------------------------------------------------------

    def begin_block(self, block: "Transaction[Any]") -> int:
        """Make a savepoint; give how many blocks there are around it."""
        depth = len(self.blocks)
        self.blocks.append(_Block(self.root, self.root.depth(), weakref.ref(block)))
        self.root.begin()
        return depth

    def keep_writers_out(self) -> None:
        """Let other callers that write wait; the lock is held."""
        data = self._guarded = self.data if isinstance(self.data, Data) else None
        if data is not None:
            data.turn = partial(_wait, weakref.ref(self))

    def let_writers_in(self) -> None:
        """Let everybody write again."""
        data = self._guarded
        if data is not None:
            data.turn = None
        self._guarded = None

    def close_for_good(self) -> None:
        """Let other callers that write wait for the end of the process."""
        self._is_ending = True
        self.keep_writers_out()

    def reopen(self) -> None:
        """Let everybody write again, in a forked child: its end is another one."""
        if self._is_ending:
            self._is_ending = False
            self.let_writers_in()

    def roll_back_to(self, depth: int) -> None:
        """Return the live data to the state at the entry of a block, and leave it.

        What interrupts it is raised when it is done: half of it would be neither.

        Args:
            depth: How many blocks are around that one.
        """
        interrupt: BaseException | None = None
        while True:
            try:
                self._wait_for_job()
                if len(self.blocks) <= depth:
                    break
                self._roll_back_one()
            except Exception:
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised below
                interrupt = error
        if not depth:
            self.let_writers_in()
        if interrupt is not None:
            raise interrupt

    def _roll_back_one(self) -> None:
        """Go back by one savepoint, or out of a block that has none left."""
        root, savepoints, _ = self.blocks[-1]
        undo = root.roll_back() if root.depth() > savepoints else self._leave_block
        self.run_uncut(undo)

    def _leave_block(self) -> None:
        self.use(self.blocks.pop().root)

    def end_block(self, depth: int) -> None:
        """Forget the savepoint of a block; its changes belong to the one around it."""
        root, savepoints, _ = self.blocks[depth]
        while root.depth() > savepoints:
            root.release()
        del self.blocks[depth:]


def _wait(session: "weakref.ref[Transactional]") -> bool:
    """Wait, for data that do not hold what holds them."""
    found = session()
    return found is not None and found.wait_for_transaction()


class Transaction(Generic[D]):
    """A transaction, for one ``with`` block.

    It is what the turn of the write lock is held by, and the lock of the engine: if it
    is dropped without having been left, both are free, and the block is rolled back by
    who takes the lock next.

    Args:
        db: What the block gets.
        session: The session of the database.
        check: Raises if it cannot be changed.
    """

    __slots__ = (
        "__weakref__",
        "_check",
        "_db",
        "_depth",
        "_engine_lock",
        "_forks",
        "_session",
        "is_left",
    )

    def __init__(self, db: D, session: "Session", check: Callable[[], object]) -> None:
        self.is_left: bool = True
        self._db = db
        self._session = session
        self._check = check
        self._engine_lock: AbstractContextManager[None] | None = None
        self._depth = self._forks = 0

    def __enter__(self) -> D:
        """Begin.

        Raises:
            ConflictError, OSError, …: As `Session.flush`; the block is not run.
        """
        if not self.is_left:
            msg = f"database {self._session.name!r}: this transaction runs already"
            raise TransactionError(msg)
        self._check()
        try:
            self._session.lock.take(guard=self)
            self._begin()
        except BaseException:
            self._leave()
            raise
        return self._db

    def _begin(self) -> None:
        session = self._session
        session.finish_cut_off()
        self._check()  # it may have been closed while this thread waited
        self._depth = len(session.blocks)
        self._forks = session.forks
        self.is_left = False
        if not self._depth:
            self._engine_lock = session.locked()
            self._engine_lock.__enter__()
            session.flush()
            session.keep_writers_out()
        session.begin_block(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or undo the block.

        Raises:
            ConflictError, OSError, …: As `Session.flush`; the block was undone.
        """
        try:
            if kind is None:
                self._commit()
        finally:
            self._leave()

    def _commit(self) -> None:
        session = self._session
        if session.forks != self._forks:
            msg = (
                f"cannot commit a transaction of database {session.name!r}: this "
                f"process was forked inside of it; its parent commits it"
            )
            raise TransactionError(msg)
        # A block inside this one that was cut off on its way out is undone.
        session.roll_back_to(self._depth + 1)
        if self._depth:
            session.run_uncut(lambda: session.end_block(self._depth))
            return
        while True:
            pending = session.begin_flush("commit a transaction of")
            try:
                if session.save(pending, then=self._end):
                    return
            except StaleVersionError:
                msg = (
                    f"cannot commit a transaction of database {session.name!r}: a "
                    f"program that takes no lock wrote it meanwhile; all is undone, "
                    f"try again"
                )
                raise ConflictError(msg) from None

    def _end(self) -> None:
        """Leave the outermost block, which is committed, where nothing cuts it in half."""
        self._session.end_block(0)
        self._session.let_writers_in()
        self._unlock_engine()

    def _leave(self) -> None:
        """Roll back what was not committed, and give the locks back."""
        try:
            if not self.is_left:
                self._session.roll_back_to(self._depth)
        finally:
            self.is_left = True
            self._unlock_engine()
            self._session.lock.end_turn_of(self)

    def _unlock_engine(self) -> None:
        if self._engine_lock is not None:
            self._engine_lock.__exit__(None, None, None)
            self._engine_lock = None


class AsyncTransaction(Generic[D]):
    """A transaction of a task, for one ``async with`` block; the loop never waits.

    Args:
        transaction: The same for a thread.
    """

    def __init__(self, transaction: Transaction[D]) -> None:
        self._transaction = transaction

    async def __aenter__(self) -> D:
        """Wait for the turn and begin; see `Transaction`."""
        try:
            return await run_async(self._transaction.__enter__)
        except BaseException:
            # Given up just when it had begun.
            if not self._transaction.is_left:
                await self.__aexit__(*sys.exc_info())
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or undo the block; a cancellation is raised when that is done.

        One that came inside of the block undoes it, also if nothing was awaited since.

        Raises:
            As `Transaction`.
        """
        if kind is None:
            try:
                await checkpoint()
            except BaseException:
                await self.__aexit__(*sys.exc_info())
                raise
        end = partial(self._transaction.__exit__, kind, error, traceback)
        if kind is GeneratorExit:  # nobody runs this task any more: it cannot wait
            end()
        else:
            await run_async(end, gives_up=kind is None)
