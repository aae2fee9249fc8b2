"""Threads in which work is done from its begin to its end, whatever happens outside.

::

    the caller's thread           a saver thread
    uncut(method)(...)
        a Job, into the queue ──► taken out
        waits                     the work, as of the caller
        goes on, or raises   ◄──  the result or the error

Handlers of signals run in the main thread and so does KeyboardInterrupt; so does the
user's code. Work here is none of the user's: bytes, files, and what is known of them.
If the wait is cut off, the work still comes to its end. The first interrupt asks work
that waits for others to give up (`is_given_up`), and waits for its end; a second one
does not wait any more.

What is said to a log from here would wait for the locks of its handlers, which a
caller may hold who waits for us. So it is kept, and said by the caller afterwards.
"""

import atexit
import os
import sys
import threading
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from functools import partial, wraps
from operator import call
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar

# --- who calls: the task that runs, else the thread -----------------------------------
#
# A task of asyncio or trio that awaits inside a ``with`` block lets other tasks of its
# thread go on. What is one caller's therefore belongs to its task.


class Caller(NamedTuple):
    """A thread or a task that calls.

    Attributes:
        who: The task, or an object that stands for the thread; compared by identity.
        thread: The number of the thread that it runs in.
    """

    who: object
    thread: int


class _Here(threading.local):
    """Facts about this thread."""

    def __init__(self) -> None:
        self.itself = Caller(object(), threading.get_ident())
        self.acts_for: Caller | None = None


_here = _Here()


def caller() -> Caller:
    here, modules = _here, sys.modules
    if here.acts_for is not None:
        return here.acts_for
    if "asyncio" not in modules and "trio" not in modules:
        return here.itself  # a library that nobody has imported runs no task
    task = _task()
    return here.itself if task is None else Caller(task, here.itself.thread)


def _task() -> object:
    """Return the task that runs in this thread, None if none does."""
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


# --- work for saver threads -----------------------------------------------------------

P = ParamSpec("P")
T = TypeVar("T")

#: How long a saver thread waits for more work before it ends.
_IDLE_S: Final = 10.0
#: How long a wait is at most, before handlers of signals are run.
_SLICE_S: Final = 0.05
#: How long work may take that waits for nobody, where there is a limit.
_GRACE_S: Final = 2.0


class _Working(threading.local):
    """The job that this thread is at."""

    job: "Job[Any] | None" = None
    patience_s: float | None = None


_working = _Working()


class Job(Generic[T]):
    """Work for a saver thread.

    Args:
        action: The work.
        who: As whose work it counts; that of the caller unless given.
        is_awaited: Whether somebody waits for its end.
    """

    __slots__ = (
        "_action",
        "_error",
        "_on_end",
        "_result",
        "_said",
        "_who",
        "is_awaited",
        "is_ended",
        "is_given_up",
        "is_started",
        "until",
    )

    def __init__(
        self,
        action: Callable[[], T],
        who: Caller | None = None,
        *,
        is_awaited: bool = True,
    ) -> None:
        self._action: Callable[[], T] | None = action
        self._who = caller() if who is None else who
        self._error: BaseException | None = None
        self._result: Any = None
        self._said: deque[tuple[Callable[[str], object], str]] = deque()
        self._on_end: list[Callable[[], object]] = []
        self.is_awaited: bool = is_awaited
        self.is_started: bool = False
        self.is_ended: bool = False
        self.is_given_up: bool = False
        patience_s = _working.patience_s
        self.until: float | None = (
            None if patience_s is None else time.monotonic() + patience_s
        )

    def start(self) -> "Job[T]":
        while not sys.is_finalizing():
            # A thread is taken and told what to do in one step: who comes after an
            # interrupt must know whether it will be done, and no thread may wait for
            # work that nobody brings.
            steps: tuple[Callable[[], object], ...] = (
                _idle.pop,
                partial(setattr, self, "is_started", True),
                partial(_jobs.setdefault, self),
                partial(_queue.put, self),
            )
            try:
                deque(map(call, steps), 0)
            except IndexError:  # none is idle
                if not _start_saver():
                    break
            else:
                return self
        self.run()
        return self

    def is_under_way(self) -> bool:
        """Whether a saver thread does it, or will."""
        return self.is_started and not self.is_ended

    def run(self) -> None:
        before = _working.job
        _working.job = self
        _here.acts_for = self._who
        try:
            assert self._action is not None  # noqa: S101 - it runs once
            self._result = self._action()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            self._error = error
        finally:
            self._action = None
            _working.job = before
            _here.acts_for = None
            self._end()

    def _end(self) -> None:
        self.is_ended = True
        _jobs.pop(self, None)
        if not self.is_awaited:
            self.say()
        while self._on_end:
            self._on_end.pop()()

    def fail(self, error: BaseException) -> None:
        """End it with an error, in a forked child where nobody will do the work."""
        self._error = error
        self._end()

    def do(self) -> T:
        """Have it done, and wait for its end; give its result, or raise its error.

        What interrupts this is raised when the work has come to its end, if it was
        handed over.

        Raises:
            TimeoutError: It did not end in the time that the caller has (`patience`).
        """
        limit_s = -1.0
        if self.until is not None:
            limit_s = max(self.until - time.monotonic(), 0) + _GRACE_S
        try:
            self.start()
            self.join(limit_s)
        except BaseException:
            if self.is_under_way():
                self.is_given_up = True
                self.join(limit_s)
            raise
        finally:
            if self._said:
                self.say()
        if not self.is_ended:
            self.is_given_up = True
            msg = f"the disk did not answer for {limit_s:.2g} s"
            raise TimeoutError(msg)
        return self.result()

    def join(self, timeout_s: float = -1) -> None:
        """Wait for its end; not longer than *timeout_s*, if that is given."""
        bell = allocate_lock()
        bell.acquire()
        self._on_end.append(bell.release)
        until = None if timeout_s < 0 else time.monotonic() + timeout_s
        while not self.is_ended:
            left_s = _SLICE_S if until is None else until - time.monotonic()
            # In slices: a signal that comes just before the wait does not end it.
            if bell.acquire(timeout=min(max(left_s, 0), _SLICE_S)) or left_s <= 0:
                break

    def on_end(self, action: Callable[[], object]) -> None:
        """Call *action* at its end, in a saver thread, or at once if it has ended."""
        self._on_end.append(action)
        if self.is_ended:
            while self._on_end:
                self._on_end.pop()()

    def result(self) -> T:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        result: T = self._result
        self._result = None
        return result

    def note(self, say: Callable[[str], object], message: str) -> None:
        """Keep what is to be said when it has ended."""
        self._said.append((say, message))

    def say(self) -> None:
        while self._said:
            say, message = self._said.popleft()
            say(message)


#: What was handed over and has not ended.
_jobs: dict[Job[Any], None] = {}
_queue: SimpleQueue[Job[Any]] = SimpleQueue()
#: One entry for each saver thread that waits for work.
_idle: deque[None] = deque()


def _start_saver() -> bool:
    """Start a thread that is idle; False if none can be started."""
    is_idle = threading.Event()
    thread = threading.Thread(
        target=_work, args=(is_idle,), name="storify-saver", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # the interpreter is about to end, or there are too many
        return False
    is_idle.wait()
    return True


def _work(is_idle: threading.Event) -> None:
    queue = _queue
    _idle.append(None)
    is_idle.set()
    while True:
        try:
            job = queue.get(timeout=_IDLE_S)
        except Empty:
            try:
                _idle.pop()
            except IndexError:
                continue  # it was taken, with work that has just come
            return
        job.run()
        del job
        _idle.append(None)


def in_saver() -> bool:
    return _working.job is not None


def is_given_up() -> bool:
    """Whether work that waits for others should end: its caller does not wait on."""
    job = _working.job
    if job is None:
        return False
    return job.is_given_up or (job.until is not None and time.monotonic() > job.until)


class patience:  # noqa: N801 - used as a function
    """A ``with`` block whose work in saver threads does not wait for others for long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        _working.patience_s = self._seconds

    def __exit__(self, *_: object) -> None:
        _working.patience_s = None


def say(how: Callable[[str], object], message: str) -> None:
    """Say something to a log; from a saver thread, when its work has ended."""
    job = _working.job
    if job is not None and job.is_awaited:
        job.note(how, message)
    else:
        how(message)


def uncut(method: Callable[P, T]) -> Callable[P, T]:
    """Let the calls of a function run in a saver thread, each as a whole."""

    @wraps(method)
    def run(*args: P.args, **keywords: P.kwargs) -> T:
        if _working.job is not None:
            return method(*args, **keywords)
        return Job(partial(method, *args, **keywords)).do()

    return run


def finish_all(timeout_s: float = -1) -> None:
    for job in list(_jobs):
        if job.is_under_way():
            job.join(timeout_s)


def _forget_parent() -> None:
    """Begin anew in a forked child, where none of the threads is."""
    global _queue  # noqa: PLW0603 - a thread that is gone may be in the midst of it
    _queue = SimpleQueue()
    _idle.clear()
    jobs = list(_jobs)
    _jobs.clear()
    for job in jobs:
        # Who forked inside of a wait, in a handler, would wait for ever.
        job.fail(RuntimeError("the process was forked while this work was done"))


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forget_parent)


# --- waiting for work in saver threads without stopping the loop: asyncio and trio ----


async def run_async(action: Callable[[], T], *, gives_up: bool = True) -> T:
    """Let work be done in a saver thread, as of this task, and wait for its end.

    So nothing lands late, after the task has gone on: a cancellation is raised when
    the work has ended.

    Args:
        action: The work.
        gives_up: Whether a task that is cancelled gives up what still waits for others.
    """
    job = Job(action).start()
    try:
        await _ended(job)
    except GeneratorExit:  # nobody runs this task any more, so it cannot wait
        job.is_given_up = gives_up
        raise
    except BaseException:
        job.is_given_up = gives_up
        await _ended_shielded(job)
        job.say()
        raise
    job.say()
    return job.result()


async def checkpoint() -> None:
    """Raise a cancellation of this task that is due."""
    trio = _trio()
    if trio is not None:
        await trio.lowlevel.checkpoint_if_cancelled()
        return
    import asyncio  # noqa: PLC0415 - who does not use it need not load it

    await asyncio.sleep(0)


async def _ended(job: Job[Any]) -> None:
    trio = _trio()
    if trio is not None:
        await _event_of(trio, job).wait()
        return
    import asyncio  # noqa: PLC0415 - who does not use it need not load it

    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:  # the loop was closed: nobody waits any more
            return

    job.on_end(tell)
    await woken


async def _ended_shielded(job: Job[Any]) -> None:
    trio = _trio()
    if trio is not None:
        with trio.CancelScope(shield=True):
            await _event_of(trio, job).wait()
        return
    import asyncio  # noqa: PLC0415 - as above

    cancelled: BaseException | None = None
    while not job.is_ended:
        try:
            await _ended(job)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _event_of(trio: Any, job: Job[Any]) -> Any:
    event, token = trio.Event(), trio.lowlevel.current_trio_token()

    def tell() -> None:
        try:
            token.run_sync_soon(event.set)
        except trio.RunFinishedError:  # nobody waits any more
            return

    job.on_end(tell)
    return event


def _trio() -> Any:
    """Return trio if this task is one of its, else None."""
    trio: Any = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except (RuntimeError, AttributeError):
        return None
    return trio


#: What is done at the end of the program, after the last save.
_last: list[Callable[[], object]] = []


def at_last(action: Callable[[], object]) -> None:
    """Do something at the end of the program, after all databases were saved.

    Whoever registers with `atexit` after this module was imported runs before.
    """
    _last.append(action)


@atexit.register
def _do_last() -> None:
    while _last:
        _last.pop()()
