"""Who calls: the task that runs, else the thread.

A task of asyncio or trio that awaits inside a ``with`` block lets other tasks of its
thread go on. What is one caller's therefore belongs to its task.
"""

import sys
import threading
from typing import Any, NamedTuple

__all__ = ["Caller", "act_for", "caller", "stop_acting"]


class Caller(NamedTuple):
    """Who calls.

    Attributes:
        who: The task, or an object that stands for the thread; compared by identity.
        thread: The number of the thread that it runs in.
    """

    who: object
    thread: int


class _Here(threading.local):
    """What is known of this thread."""

    def __init__(self) -> None:
        self.itself = Caller(object(), threading.get_ident())
        self.acts_for: Caller | None = None


_here = _Here()


def act_for(caller: Caller) -> None:
    """Let this thread count as somebody else until `stop_acting`."""
    _here.acts_for = caller


def stop_acting() -> None:
    """Let this thread count as itself again."""
    _here.acts_for = None


def caller() -> Caller:
    """Return who calls."""
    here = _here
    if here.acts_for is not None:
        return here.acts_for
    task = _task()
    return here.itself if task is None else Caller(task, here.itself.thread)


def _task() -> object:
    """Return the task that runs in this thread, None if none does.

    A library that nobody has imported runs no task.
    """
    task: object = None
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            # Not the public one, which raises where no loop runs.
            if asyncio._get_running_loop() is not None:  # noqa: SLF001
                task = asyncio.current_task()
        except AttributeError:  # it is being imported
            task = None
    trio: Any = sys.modules.get("trio")
    if task is None and trio is not None:
        try:
            task = trio.lowlevel.current_task()
        except (RuntimeError, AttributeError):  # it does not run here, or as above
            task = None
    return task
