"""Saver threads in step with the thread that is interrupted, so that each run is the same.

What is handed to a saver thread is begun when its caller waits for it, and the caller
goes on when it has ended: so it can be interrupted before the work and after it, each
time at the same place.
"""

import threading
import time
from _thread import allocate_lock
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from storify.testing._crash.faults import replaced
from storify.testing._crash.points import WORK_S
from storify.threads import Job, _saver, finish_all

__all__ = ["in_step"]

_AnyJob = Job[Any]

#: How long it is waited until a saver thread has nothing to do.
_IDLE_S: Final = 0.1
#: How long work is waited for that may itself wait for this thread.
_PATIENCE_S: Final = 1.0


@contextmanager
def in_step() -> Generator[None]:
    """Let the saver threads keep in step with this thread in the block.

    At its end all work has ended.
    """
    finish_all(WORK_S)
    Job(list).start().join()  # so that there is a saver thread
    steps = _Steps()
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (Job, "start", steps.start(Job[Any].start)),
            (Job, "run", steps.run(Job[Any].run)),
            (Job, "on_end", steps.on_end(Job[Any].on_end)),
            (_saver, "allocate_lock", steps.bell),
        ):
            stack.enter_context(replaced(owner, name, stand_in))
        try:
            yield
        finally:
            steps.begin()
            finish_all(WORK_S)


class _Steps:
    """Who may go on."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        #: What opens for work that was handed over and must not begin yet.
        self._gates: dict[_AnyJob, threading.Event] = {}

    def begin(self) -> None:
        """Let work that was handed over begin."""
        while self._gates:
            _, gate = self._gates.popitem()
            gate.set()

    def is_here(self) -> bool:
        """Whether this is the thread that is interrupted."""
        return threading.get_ident() == self._thread

    def start(self, real: Callable[[_AnyJob], _AnyJob]) -> Callable[[_AnyJob], _AnyJob]:
        def start(
            job: _AnyJob,
        ) -> _AnyJob:  # pragma: no cover - coverage does not trace meanwhile
            if not self.is_here():
                return real(job)
            _wait_until(_is_settled, _IDLE_S)
            if job.is_awaited:
                self._gates[job] = threading.Event()
                return real(job)
            real(job)
            # It may wait for what this thread has.
            _wait_until(lambda: job.is_ended, _PATIENCE_S)
            return job

        return start

    def run(self, real: Callable[[_AnyJob], None]) -> Callable[[_AnyJob], None]:
        def run(job: _AnyJob) -> None:
            gate = self._gates.get(job)
            if gate is not None and not self.is_here():
                gate.wait(WORK_S)
            real(job)

        return run

    def on_end(
        self, real: Callable[[_AnyJob, Callable[[], object]], None]
    ) -> Callable[[_AnyJob, Callable[[], object]], None]:
        def on_end(
            job: _AnyJob, action: Callable[[], object]
        ) -> None:  # pragma: no cover - coverage does not trace meanwhile
            real(job, action)
            self.begin()

        return on_end

    def bell(self) -> "_Bell":
        """Make what the end of work is waited for with."""
        return _Bell(self)


class _Bell:  # pragma: no cover - coverage does not trace meanwhile
    """A lock that lets work begin when its end is waited for."""

    def __init__(self, steps: _Steps) -> None:
        self._steps = steps
        self._lock = allocate_lock()

    def acquire(self, timeout: float = -1) -> bool:
        if timeout < 0:
            return self._lock.acquire()
        self._steps.begin()
        return self._lock.acquire(timeout=WORK_S if self._steps.is_here() else timeout)

    def release(self) -> None:
        self._lock.release()


def _is_settled() -> bool:
    """Whether there is an idle saver thread, or none will be soon."""
    savers = sum(each.name == "storify-saver" for each in threading.enumerate())
    return bool(_saver._idle) or len(_saver._jobs) >= savers


def _wait_until(is_so: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not is_so() and time.monotonic() < until:
        time.sleep(0)
