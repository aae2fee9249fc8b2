"""The write lock of a database: held by all that saves or replaces its data.

Users take it as ``db.lock`` for changes of several records that belong together, and
a transaction takes it for its length. It belongs to a task, not to a thread.
"""

from types import FrameType
from typing import TYPE_CHECKING

from storify.exceptions import TransactionError
from storify.threads import DeadlockError, OtherTaskError, TurnLock

if TYPE_CHECKING:
    from storify.threads import Turn

__all__ = ["WriteLock"]


class WriteLock(TurnLock):
    """The write lock of one database.

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
