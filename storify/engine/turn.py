"""The turn of one caller of this process, which the others wait for."""

from types import TracebackType
from typing import Generic, TypeVar

from storify.exceptions import DatabaseLockedError
from storify.threads import DeadlockError, TurnLock

__all__ = ["InTurn"]

T = TypeVar("T")


class InTurn(Generic[T]):
    """A ``with`` block whose callers follow each other.

    Args:
        lock: Whose turn it is.
        held: What the block has for itself.
        timeout_s: How long to wait for others.
        location: For messages.
    """

    def __init__(
        self, lock: TurnLock, held: T, timeout_s: float, location: str
    ) -> None:
        self._lock = lock
        self._held = held
        self._timeout_s = timeout_s
        self._location = location

    def __enter__(self) -> T:
        """Wait for it.

        Raises:
            DatabaseLockedError: Another thread or task had it for too long.
        """
        try:
            turn = self._lock.take(guard=self, timeout_s=self._timeout_s)
        except DeadlockError:
            turn = None
        if turn is None:
            msg = (
                f"cannot lock {self._location!r}: another thread or task has it; "
                f"try again"
            )
            raise DatabaseLockedError(msg)
        return self._held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.end_turn_of(self)
