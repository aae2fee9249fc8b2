"""A lock that is free when its holder has ended, however that ended.

An ordinary lock is left locked by an exception between the call that takes it and the
``try`` behind it, or on the way to the call that releases it; and an interrupt may be
raised anywhere. Here a turn ends when it is given back, or else with what it was
taken for:

* a function of ours takes it by ``with lock:``. The turn is over when the frame of
  that function is: it cannot run any more;
* a user takes it by a `Guard`. The turn is over when nobody has the guard any more: a
  ``with`` statement holds it as long as it runs.

So nobody need notice that a turn was left behind; whoever wants the lock next finds
it free. Turns change hands in single steps of C, which nothing can cut in half.

A caller (`storify.threads.caller`) that has the lock may take it again. Waiting for a
turn that can only end when the one who waits goes on is refused at once.
"""

import gc
import os
import sys
import time
import weakref
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import compress
from operator import call, is_
from threading import get_ident
from types import FrameType
from typing import Final, Generic, NoReturn, SupportsIndex, TypeVar

from storify.exceptions import DatabaseLockedError
from storify.threads._saver import Caller, caller, is_given_up

T = TypeVar("T")

#: How long to wait at most before it is looked whether a turn was left behind.
_LOOK_AGAIN_S: Final = 0.05

#: After how long a wait the holder gives way, and for how long. A thread that takes a
#: turn again at once would otherwise have the next one before the others are awake.
_PATIENCE_S: Final = 0.02
_WAY_S: Final = 0.005


class DeadlockError(RuntimeError):
    """Waiting for this turn would never end: its holder waits for the one who asks."""


class OtherTaskError(DeadlockError):
    """Another task of this thread has the turn; it cannot go on while this one waits."""


class _Era:
    """The threads of this process: a forked child has one, and no turn of the others.

    Attributes:
        number: How many forks it is away from the first process.
        survivor: The thread that forked it; 0 in the first process.
    """

    number = 0
    survivor = 0


def _begin_era() -> None:
    _Era.number += 1
    _Era.survivor = get_ident()
    _waiting.clear()


class Turn:
    """The time in which one caller has a lock.

    Attributes:
        caller: Whose it is.
        frame: Of the function that it is taken for; None for a guard.
        guard: A reference to the guard that it is taken for; None for a function.
        is_ended: Whether it was given back.
        bells: Locks that are released at its end, one for each who waits.
        gives_way: Whether somebody has waited for long.
    """

    __slots__ = ("bells", "caller", "era", "frame", "gives_way", "guard", "is_ended")

    def __init__(self, who: Caller, frame: FrameType | None, guard: object) -> None:
        self.caller: Caller = who
        self.frame = frame
        self.guard: weakref.ref[object] | None = (
            None if guard is None else weakref.ref(guard)
        )
        self.era: int = _Era.number
        self.is_ended: bool = False
        self.bells: list[LockType] = []
        self.gives_way: bool = False

    def is_over(self) -> bool:
        """Whether it was given back or left behind; it never comes back to life."""
        if self.is_ended:
            return True
        if self.era != _Era.number and self.caller.thread != _Era.survivor:
            return True
        if self.guard is not None:
            return self.guard() is None
        frame = self.frame
        return frame is None or is_finished(frame)

    def is_of_guard(self) -> bool:
        """Whether it is that of a block of the user's, a `Guard`."""
        return self.guard is not None and isinstance(self.guard(), Guard)

    def end(self) -> None:
        """End it, and let those who have waited for long be the next."""
        self.is_ended = True
        self.frame = None
        while self.bells:
            self.bells.pop().release()
        if self.gives_way:
            time.sleep(_WAY_S)


def is_finished(frame: FrameType) -> bool:
    """Whether a function has returned or raised; its frame is cleared then.

    It is no generator: a suspended one would be closed by this.
    """
    try:
        frame.clear()
    except RuntimeError:  # it runs, in this thread or another one
        return False
    return True


#: What turns are waited for, by who waits: the edges of the graph of waiting.
_waiting: dict[object, Turn] = {}

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_begin_era)


class TurnLock:
    """A reentrant lock of one caller at a time.

    ``with lock:`` is for functions of ours, which are no generators and have one such
    block each. Users get a `Guard`.
    """

    __slots__ = ("_now",)

    def __init__(self) -> None:
        #: The turn of now, under 0; or one that is over, or nothing.
        self._now: dict[int, Turn] = {}

    def __enter__(self) -> None:
        self.take(sys._getframe(1))  # noqa: SLF001 - whose end is that of the turn

    def __exit__(self, *_: object) -> None:
        turn = self._now.get(0)
        if turn is not None and turn.frame is sys._getframe(1):  # noqa: SLF001 - as above
            turn.end()

    def holder(self) -> Turn | None:
        """Return the turn of now, None if there is none."""
        turn: Turn | None = self._now.get(0)
        return None if turn is None or turn.is_over() else turn

    def is_mine(self) -> bool:
        turn = self.holder()
        return turn is not None and turn.caller.who is caller().who

    def is_turn_of(self, guard: object) -> bool:
        turn = self._now.get(0)
        return turn is not None and turn.guard is not None and turn.guard() is guard

    def end_turn_of(self, guard: object) -> None:
        if self.is_turn_of(guard):
            self._now[0].end()

    def take(
        self,
        frame: FrameType | None = None,
        guard: object = None,
        timeout_s: float | None = None,
    ) -> Turn | None:
        """Wait for a turn and return it, or the one that the caller has already.

        Args:
            frame: Of the function that it is for; or
            guard: the object that it is for.
            timeout_s: How long to wait; for ever unless given.

        Returns:
            None if the time is up.

        Raises:
            OtherTaskError: Another task of this thread has it.
            DeadlockError: Its holder waits for the caller.
        """
        me = caller()
        mine = Turn(me, frame, guard)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        began = 0.0
        while (turn := self._now.setdefault(0, mine)) is not mine:
            if turn.is_ended or turn.is_over():
                # Unless another one follows it already.
                put = partial(self._now.__setitem__, 0, mine)
                now: Iterable[object] = map(self._now.get, (0,))
                deque(map(call, compress((put,), map(is_, now, (turn,)))), 0)
            elif turn.caller.who is me.who:
                return turn
            elif is_given_up():
                msg = "the caller has given up"
                raise DeadlockError(msg)
            else:
                began = began or time.monotonic()
                turn.gives_way |= time.monotonic() - began > _PATIENCE_S
                if not _wait(turn, me, until):
                    return None
        return mine


def _wait(turn: Turn, me: Caller, until: float | None) -> bool:
    """Wait until a turn may be over; False if the time is up.

    Raises:
        DeadlockError: It would wait for itself.
    """
    left = _LOOK_AGAIN_S if until is None else until - time.monotonic()
    if left <= 0:
        return False
    _expect_an_end(turn, me)
    bell = allocate_lock()
    bell.acquire()
    try:
        _waiting[me.who] = turn
        _expect_an_end(turn, me)  # another may have begun to wait for us meanwhile
        turn.bells.append(bell)
        if not turn.is_over():
            bell.acquire(timeout=min(left, _LOOK_AGAIN_S))
    finally:
        _waiting.pop(me.who, None)
    return True


def _expect_an_end(turn: Turn, me: Caller) -> None:
    if turn.guard is not None and turn.caller.thread == me.thread == get_ident():
        msg = "another task of this thread has it"
        raise OtherTaskError(msg)
    holder = turn
    for _ in range(len(_waiting) + 1):
        wanted = _waiting.get(holder.caller.who)
        if wanted is None:
            return
        if wanted.caller.who is me.who and not wanted.is_over():
            msg = "its holder waits for what this caller has"
            raise DeadlockError(msg)
        holder = wanted


class Guard:
    """A turn for a ``with`` block of the user's; it ends with the block.

    One that is dropped without being left, as by an interrupt on the way, gives the
    turn back. The same object may be used again, and blocks of it may nest.

    Args:
        lock: The lock.
    """

    __slots__ = ("__weakref__", "_depth", "_lock", "_turn")

    def __init__(self, lock: TurnLock) -> None:
        self._lock = lock
        self._turn: Turn | None = None
        self._depth = 0

    def __enter__(self) -> None:
        """Wait for the turn.

        Raises:
            OtherTaskError: Another task of this thread has it.
            DeadlockError: Its holder waits for the caller.
        """
        turn = self._lock.take(guard=self)
        if not self._lock.is_turn_of(self):
            return  # a turn of the caller's goes on
        if turn is self._turn:
            self._depth += 1
        else:
            self._turn, self._depth = turn, 0

    def __exit__(self, *_: object) -> None:
        """End the turn, if this block began it."""
        if self._turn is None or self._turn.is_ended:
            return
        if self._depth:
            self._depth -= 1
        else:
            self._turn.end()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled or copied: the copy would lock nothing."""
        msg = "cannot pickle or copy a lock: it is of this process alone"
        raise TypeError(msg)


# --- work that makes many objects at once, without the garbage collector in between ---


class _Paused:
    """The frame that turned the collector off last, to turn it on again."""

    by: FrameType | None = None


def without_collector(action: Callable[[], T]) -> T:
    """Keep the garbage collector from walking a tree again and again as it grows.

    Two threads may overlap: the one that found it running starts it again. So does
    whoever comes after one that was cut off before it could.
    """
    if not gc.isenabled() and not (_Paused.by and is_finished(_Paused.by)):
        return action()
    try:
        _Paused.by = sys._getframe()  # noqa: SLF001 - that of the one who must end it
        gc.disable()
        return action()
    finally:
        gc.enable()
        _Paused.by = None


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

    def __exit__(self, *_: object) -> None:
        self._lock.end_turn_of(self)
