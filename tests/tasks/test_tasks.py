"""Tasks of one thread: a lock or a transaction is one task's, and nobody stops the loop.

The table: asyncio, its task groups and trio, by lock, transaction and flush, by what
another task does meanwhile and by when a task is cancelled.
"""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from storify import Storify, TransactionError
from storify.threads import finish_all
from tasks.loops import LOOPS


@pytest.fixture(params=LOOPS)
def loop(request):
    """A library that runs tasks."""
    return LOOPS[request.param]


@pytest.fixture
def db(root):
    """A database with two records, saved."""
    with Storify(root, save_interval=None, background=False) as sf:
        db = sf["d"]
        db.update(n=0, list=[0])
        db.flush()
        yield db


@pytest.fixture
def other(root, db):
    """The same database, as another program has it."""
    with Storify(root, save_interval=None, background=False) as sf:
        yield sf["d"]


def saved(root):
    """Read what is in the file."""
    with Storify(root, save_interval=None, background=False) as sf:
        return dict(sf.get_db("d", readonly=True).items())


@asynccontextmanager
async def lock(db):
    """Hold the lock over what is awaited."""
    with db.lock:
        yield


@asynccontextmanager
async def transaction(db):
    """Hold a transaction over what is awaited."""
    with db.transaction():
        yield


def atransaction(db):
    """Wait for a transaction without stopping the loop."""
    return db.atransaction()


BLOCKS = [lock, transaction, atransaction]
TRANSACTIONS = [transaction, atransaction]


# -- whose it is -----------------------------------------------------------------------


def enter_lock(db):
    """Take the lock."""
    with db.lock:
        raise AssertionError


def enter_transaction(db):
    """Begin a transaction."""
    with db.transaction():
        raise AssertionError


INTRUSIONS = {
    "lock": enter_lock,
    "transaction": enter_transaction,
    "flush": lambda db: db.flush(),
    "reload": lambda db: db.reload(),
    "dirty": lambda db: db.dirty(),
    "close": lambda db: db.close(),
}


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("intrude", INTRUSIONS)
def test_another_task_that_enters_is_refused_at_once(root, db, loop, block, intrude):
    """It gets no share, and the block goes on as if nothing had been."""

    async def main():
        inside, go_on = loop.event(), loop.event()

        async def owner():
            async with block(db):
                db["n"] = 1
                inside.set()
                await go_on.wait()
                db["n"] += 1

        async with loop.group() as group:
            group.start(owner)
            await inside.wait()
            with pytest.raises(TransactionError, match="another task of this thread"):
                INTRUSIONS[intrude](db)
            go_on.set()
        db.flush()

    loop.run(main)

    assert saved(root) == {"n": 2, "list": [0]}


WRITES = {
    "update": lambda db: db.update(m=1),
    "pop": lambda db: db.pop("list"),
    "set": lambda db: db.__setitem__("n", 7),
    "clear": lambda db: db.data.clear(),
}


@pytest.mark.parametrize("block", TRANSACTIONS)
@pytest.mark.parametrize("write", WRITES)
def test_another_task_cannot_write_into_a_transaction(root, db, loop, block, write):
    """What it would write can be none of the block's; it may read."""

    async def main():
        inside, go_on = loop.event(), loop.event()

        async def owner():
            async with block(db):
                db["n"] = 1
                inside.set()
                await go_on.wait()

        async with loop.group() as group:
            group.start(owner)
            await inside.wait()
            assert db["n"] == 1
            with pytest.raises(TransactionError, match="another task of this thread"):
                WRITES[write](db)
            go_on.set()

    loop.run(main)

    assert dict(db) == saved(root) == {"n": 1, "list": [0]}


@pytest.mark.parametrize("block", TRANSACTIONS)
def test_a_failing_task_undoes_its_own_block_alone(root, db, loop, block):
    """What another task committed before, and after, is there."""

    async def main():
        undone = loop.event()

        async def fail():
            async with block(db):
                db["failed"] = 1
                await loop.let_others_run()
                raise ZeroDivisionError

        async def failing():
            with pytest.raises(ZeroDivisionError):
                await fail()
            undone.set()

        async with atransaction(db):
            db["before"] = 1
        async with loop.group() as group:
            group.start(failing)
            await undone.wait()
        async with atransaction(db):
            db["after"] = 1

    loop.run(main)

    expected = {"n": 0, "list": [0], "before": 1, "after": 1}
    assert dict(db) == saved(root) == expected


# -- waiting ---------------------------------------------------------------------------


async def by_transaction(db):
    """Count in a transaction."""
    async with db.atransaction():
        db["n"] += 10


async def by_flush(db):
    """Save."""
    await db.aflush()


async def by_reload(db):
    """Bring in what others saved."""
    await db.areload()


WAITING = [by_transaction, by_flush, by_reload]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("wait", WAITING)
def test_who_waits_for_another_task_does_not_stop_the_loop(root, db, loop, block, wait):
    """A third task goes on meanwhile, and the owner is the one it waits for."""
    order = []

    async def main():
        inside, go_on = loop.event(), loop.event()

        async def owner():
            async with block(db):
                inside.set()
                await go_on.wait()
                db["n"] += 1
                order.append("owner")

        async def waiter():
            await wait(db)
            order.append("waiter")

        async def third():
            for _ in range(20):
                await loop.let_others_run()
            order.append("third")
            go_on.set()

        async with loop.group() as group:
            group.start(owner)
            await inside.wait()
            group.start(waiter)
            group.start(third)
        await db.aflush()

    loop.run(main)

    assert order == ["third", "owner", "waiter"]
    assert saved(root)["n"] == (11 if wait is by_transaction else 1)


@pytest.mark.parametrize("wait", WAITING)
def test_who_waits_for_another_program_does_not_stop_the_loop(
    root, db, other, loop, wait
):
    """The lock on disk is waited for by a thread of ours."""
    order = []

    async def main():
        async def waiter():
            db["mine"] = 1
            await wait(db)
            order.append("waiter")

        async with loop.group() as group:
            begun, go_on = threading.Event(), threading.Event()

            def hold():
                with other.transaction():
                    other["theirs"] = 1
                    begun.set()
                    go_on.wait(60)

            holder = threading.Thread(target=hold)
            holder.start()
            await loop.in_thread(begun.wait)
            group.start(waiter)
            for _ in range(20):
                await loop.let_others_run()
            order.append("third")
            go_on.set()
        await loop.in_thread(holder.join)
        await db.aflush()

    loop.run(main)

    if wait is not by_reload:  # reading waits for nobody
        assert order == ["third", "waiter"]
    assert saved(root) == {**dict(db), "mine": 1, "theirs": 1}


def test_tasks_that_count_lose_no_step(root, db, loop):
    """Fifty of them, each with something to await between reading and writing."""

    async def main():
        async def count():
            async with db.atransaction():
                n = db["n"]
                await loop.let_others_run()
                db["n"] = n + 1

        async with loop.group() as group:
            for _ in range(50):
                group.start(count)

    loop.run(main)

    assert saved(root)["n"] == 50


def test_a_task_may_flush_inside_of_its_own_lock(root, db, loop):
    """The thread that does it acts for the task."""

    async def main():
        with db.lock:
            db["n"] = 5
            await db.aflush()
            assert saved(root)["n"] == 5

    loop.run(main)


# -- cancellation ----------------------------------------------------------------------


def is_free(db):
    """Whether another thread gets the lock, and can save."""
    found = []

    def work():
        with db.transaction():
            found.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    return found == [True]


@pytest.mark.parametrize("block", TRANSACTIONS)
def test_a_cancellation_in_a_block_undoes_it(root, db, loop, block):
    """Memory and file are as before, and the lock is free."""
    held = db["list"]

    async def main():
        inside = loop.event()

        async def change():
            async with block(db):
                db["n"] = 1
                held.append(1)
                inside.set()
                await loop.event().wait()

        async def work():
            with pytest.raises(loop.Cancelled):
                await change()

        async with loop.group() as group:
            cancel = group.start(work)
            await inside.wait()
            cancel()

    loop.run(main)

    assert dict(db) == saved(root) == {"n": 0, "list": [0]}
    assert db["list"] is held
    assert is_free(db)


def test_a_cancellation_that_is_due_at_the_end_of_a_block_undoes_it(root, db, loop):
    """Nothing was awaited since: the commit does not begin."""

    async def main():
        cancels = []

        async def change():
            async with db.atransaction():
                db["n"] = 1
                cancels[0]()

        async def work():
            with pytest.raises(loop.Cancelled):
                await change()

        async with loop.group() as group:
            cancels.append(group.start(work))

    loop.run(main)

    assert dict(db) == saved(root) == {"n": 0, "list": [0]}
    assert db.dirty() == set()
    assert is_free(db)


def test_a_cancellation_in_the_lock_frees_it(root, db, loop):
    """What was changed stays, unsaved, as after any exception."""

    async def main():
        inside = loop.event()

        async def change():
            with db.lock:
                db["n"] = 1
                inside.set()
                await loop.event().wait()

        async def work():
            with pytest.raises(loop.Cancelled):
                await change()

        async with loop.group() as group:
            cancel = group.start(work)
            await inside.wait()
            cancel()

    loop.run(main)

    assert (db.dirty(), saved(root)["n"]) == ({"n"}, 0)
    assert is_free(db)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("wait", WAITING)
def test_who_is_cancelled_while_it_waits_for_a_task_has_done_nothing(
    root, db, loop, block, wait
):
    """The block that it waited for goes on."""

    async def main():
        inside, go_on = loop.event(), loop.event()

        async def owner():
            async with block(db):
                inside.set()
                await go_on.wait()
                db["n"] += 1

        async def waiter():
            with pytest.raises(loop.Cancelled):
                await wait(db)
            go_on.set()

        async with loop.group() as group:
            group.start(owner)
            await inside.wait()
            cancel = group.start(waiter)
            await loop.let_others_run()
            cancel()
        assert db["n"] == 1
        assert saved(root)["n"] == (0 if block is lock else 1)

    loop.run(main)

    assert is_free(db)


@pytest.mark.parametrize("wait", [by_transaction, by_flush])
def test_a_save_that_was_given_up_does_not_land_late(root, db, other, loop, wait):
    """What was set and saved since is what the file has."""

    async def main():
        begun, go_on = threading.Event(), threading.Event()

        def hold():
            with other.transaction():
                begun.set()
                go_on.wait(60)

        async def waiter():
            db["mine"] = "old"
            with pytest.raises(loop.Cancelled):
                await wait(db)

        holder = threading.Thread(target=hold)
        holder.start()
        await loop.in_thread(begun.wait)
        async with loop.group() as group:
            cancel = group.start(waiter)
            await loop.let_others_run()
            cancel()
        assert db.dirty() == {"mine"}
        db["mine"] = "new"
        go_on.set()
        await loop.in_thread(holder.join)
        await db.aflush()

    loop.run(main)
    finish_all()

    assert dict(db) == saved(root) == {"n": 0, "list": [0], "mine": "new"}


@pytest.fixture
def slow_disk(db, monkeypatch):
    """Let commits stand still: the first event says that one does, the second ends it."""
    begun, go_on = threading.Event(), threading.Event()
    engine = db._session.engine
    commit = engine.commit

    def slow(change):
        begun.set()
        go_on.wait(60)
        return commit(change)

    def arm():
        monkeypatch.setattr(engine, "commit", slow)

    return arm, begun, go_on


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("wait", [by_transaction, by_flush])
def test_who_is_cancelled_while_it_writes_has_written(
    root, db, loop, slow_disk, wait, times
):
    """The cancellation is raised when that is done: nothing comes later."""
    arm, begun, go_on = slow_disk

    async def main():
        async def writer():
            with pytest.raises(loop.Cancelled):
                await wait(db)
            assert go_on.is_set()

        if wait is by_flush:
            db["n"] = 10
        arm()
        async with loop.group() as group:
            cancel = group.start(writer)
            await loop.in_thread(begun.wait)
            for _ in range(times):
                cancel()
                await loop.let_others_run()
            assert saved(root)["n"] == 0
            go_on.set()

    loop.run(main)

    assert dict(db) == saved(root) == {"n": 10, "list": [0]}
    assert db.dirty() == set()
    assert is_free(db)


def test_who_is_cancelled_just_when_its_turn_comes_gives_it_back(
    root, db, loop, monkeypatch
):
    """Its block had begun, and nobody would have ended it."""
    may_begin, has_begun = threading.Event(), threading.Event()
    begin = db._session.begin_block

    def begin_block(block):
        may_begin.wait(60)
        depth = begin(block)
        has_begun.set()
        return depth

    async def main():
        async def waiter():
            with pytest.raises(loop.Cancelled):
                await by_transaction(db)

        async with loop.group() as group:
            async with atransaction(db):
                monkeypatch.setattr(db._session, "begin_block", begin_block)
                cancel = group.start(waiter)
                await loop.let_others_run()
                db["n"] = 1
            # The loop stands still until the other task has its turn.
            may_begin.set()
            has_begun.wait(60)
            cancel()

    loop.run(main)

    assert dict(db) == saved(root) == {"n": 1, "list": [0]}
    assert is_free(db)


class Slow:
    """A value whose encoding takes as long as a test wants."""

    def __init__(self, go_on):
        self.go_on = go_on


def register_slow(sf):
    """Let them be stored."""
    sf.register_type(
        Slow, lambda slow: slow.go_on.wait(60), lambda _: Slow(threading.Event())
    )


@asynccontextmanager
async def all_databases(root):
    """Close them by the end of a block."""
    async with Storify(root, save_interval=None, background=False) as sf:
        register_slow(sf)
        yield sf["d"]


@asynccontextmanager
async def one_database(root):
    """Close one by the end of a block."""
    sf = Storify(root, save_interval=None, background=False)
    register_slow(sf)
    async with sf["d"] as db:
        yield db


@asynccontextmanager
async def at_last(root):
    """Close them in the end of a ``try`` statement."""
    sf = Storify(root, save_interval=None, background=False)
    register_slow(sf)
    try:
        yield sf["d"]
    finally:
        await sf.aclose()


@pytest.mark.parametrize("block", [all_databases, one_database, at_last])
@pytest.mark.parametrize("times", [1, 3])
def test_a_block_that_closes_saves_also_when_it_is_cancelled(root, loop, block, times):
    """As one does that is left by any exception; it is not given up halfway."""
    go_on = threading.Event()

    async def main():
        inside = loop.event()

        async def change():
            async with block(root) as db:
                db.update(n=1, slow=Slow(go_on))
                inside.set()
                await loop.event().wait()

        async def work():
            with pytest.raises(loop.Cancelled):
                await change()

        async with loop.group() as group:
            cancel = group.start(work)
            await inside.wait()
            for _ in range(times):
                cancel()
                await loop.let_others_run()
            go_on.set()

    loop.run(main)

    with Storify(root, save_interval=None, background=False) as sf:
        register_slow(sf)
        assert sf["d"]["n"] == 1


def test_a_task_that_nobody_runs_any_more_leaves_its_block(root, db):
    """The loop has ended, and the task is collected in the middle."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says that the task was pending

    async def work():
        async with db.atransaction():
            db["n"] = 1
            loop.stop()
            await asyncio.Event().wait()

    step = work()
    task = loop.create_task(step)
    loop.run_forever()
    loop.close()
    assert (task.done(), db["n"]) == (False, 1)

    step.close()

    assert dict(db) == saved(root) == {"n": 0, "list": [0]}
    assert is_free(db)
