"""Callers, their turns, and a thread for work that nothing cuts in half.

Python runs the handlers of signals, and raises KeyboardInterrupt, in the main thread,
between any two bytecodes. So three things cannot be had from `threading` alone:

* `caller`: a lock belongs to a task, where tasks share a thread (`_saver`);
* `TurnLock`: a lock that is free when what took it has ended, however it ended; and
  that refuses at once to wait for itself (`_turns`);
* `uncut`: what touches the disk runs in a thread of its own, where no signal can end
  it halfway (`_saver`).
"""

from storify.threads._saver import (
    Caller,
    Job,
    at_last,
    caller,
    checkpoint,
    finish_all,
    in_saver,
    is_given_up,
    patience,
    run_async,
    say,
    uncut,
)
from storify.threads._turns import (
    DeadlockError,
    Guard,
    InTurn,
    OtherTaskError,
    Turn,
    TurnLock,
    is_finished,
    without_collector,
)

__all__ = [
    "Caller",
    "DeadlockError",
    "Guard",
    "InTurn",
    "Job",
    "OtherTaskError",
    "Turn",
    "TurnLock",
    "at_last",
    "caller",
    "checkpoint",
    "finish_all",
    "in_saver",
    "is_finished",
    "is_given_up",
    "patience",
    "run_async",
    "say",
    "uncut",
    "without_collector",
]
