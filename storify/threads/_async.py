"""Waiting for work in saver threads without stopping the loop: asyncio and trio."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from storify.threads._saver import Job

__all__ = ["checkpoint", "run_async"]

T = TypeVar("T")


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
