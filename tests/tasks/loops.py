"""Ways to run tasks of one thread beside each other, behind one set of names."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import trio

__all__ = ["LOOPS", "Group", "Loop"]

Work = Callable[[], Awaitable[object]]

#: Longer than anything takes; then the test fails.
PATIENCE_S = 60


class Group(Protocol):
    """Tasks that run until the end of a block."""

    def start(self, work: Work) -> Callable[[], object]:
        """Start one; give what cancels it."""
        ...


class Loop(Protocol):
    """A library that runs tasks."""

    #: What is raised in a task that is cancelled.
    Cancelled: type[BaseException]

    def run(self, main: Work) -> None:
        """Run a program; it fails if it takes too long."""
        ...

    def event(self) -> Any:
        """Make an event, with ``set`` and ``wait``."""
        ...

    async def let_others_run(self) -> None:
        """Give all other tasks a turn."""
        ...

    async def in_thread(self, work: Callable[[], object]) -> None:
        """Do something that blocks in another thread."""
        ...

    def group(self) -> AbstractAsyncContextManager[Group]:
        """Run tasks until the end of a block."""
        ...


class _Futures:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[object]] = []

    def start(self, work: Work) -> Callable[[], object]:
        task = asyncio.ensure_future(_awaited(work))
        self.tasks.append(task)
        return task.cancel


class _Asyncio:
    Cancelled: type[BaseException] = asyncio.CancelledError

    def run(self, main: Work) -> None:
        async def limited() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await main()

        asyncio.run(limited())

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    async def let_others_run(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def in_thread(self, work: Callable[[], object]) -> None:
        await asyncio.to_thread(work)

    @asynccontextmanager
    async def group(self) -> AsyncGenerator[Group]:
        group = _Futures()
        yield group
        for ended in await asyncio.gather(*group.tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


class _Tasks:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, work: Work) -> Callable[[], object]:
        return self._group.create_task(_awaited(work)).cancel


class _TaskGroups(_Asyncio):
    @asynccontextmanager
    async def group(self) -> AsyncGenerator[Group]:
        async with asyncio.TaskGroup() as group:
            yield _Tasks(group)


class _Nursery:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, work: Work) -> Callable[[], object]:
        scope = trio.CancelScope()

        async def cancellable() -> None:
            with scope:
                await work()

        self._nursery.start_soon(cancellable)
        return scope.cancel


class _Trio:
    Cancelled: type[BaseException] = trio.Cancelled

    def run(self, main: Work) -> None:
        async def limited() -> None:
            with trio.fail_after(PATIENCE_S):
                await main()

        trio.run(limited)

    def event(self) -> trio.Event:
        return trio.Event()

    async def let_others_run(self) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()

    async def in_thread(self, work: Callable[[], object]) -> None:
        await trio.to_thread.run_sync(work)

    @asynccontextmanager
    async def group(self) -> AsyncGenerator[Group]:
        async with trio.open_nursery() as nursery:
            yield _Nursery(nursery)


async def _awaited(work: Work) -> object:
    return await work()


LOOPS: dict[str, Loop] = {
    "asyncio": _Asyncio(),
    "TaskGroup": _TaskGroups(),
    "trio": _Trio(),
}
