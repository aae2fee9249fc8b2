"""A lock that is free when what took it has ended, however it ended."""

import asyncio
import gc
import os
import sys
import threading
from pathlib import Path

import pytest

from storify.threads import DeadlockError, Guard, OtherTaskError, TurnLock, caller


def in_thread(work):
    """Run in another thread to its end; give what it gave or raised."""
    found = []

    def run():
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert found, "it waits for ever"
    return found[0]


def is_free(lock):
    """Whether another thread gets the lock at once."""

    def take():
        turn = lock.take(sys._getframe(), timeout_s=0)
        return turn is not None

    return in_thread(take)


def test_a_lock_is_had_by_one_caller_for_the_length_of_a_block():
    """And by nobody afterwards."""
    lock = TurnLock()

    with lock:
        assert lock.is_mine()
        assert not is_free(lock)

    assert is_free(lock)
    assert not lock.is_mine()


def test_blocks_of_one_caller_nest():
    """The outermost one ends the turn."""
    lock = TurnLock()

    def inner():
        with lock:
            pass

    with lock:
        inner()
        assert not is_free(lock)
    assert is_free(lock)


def test_who_waits_goes_on_when_the_turn_ends():
    """In whatever order they came, each gets it."""
    lock, inside = TurnLock(), []
    waiting = threading.Barrier(4)

    def work(number):
        waiting.wait(30)
        with lock:
            inside.append(number)
            assert lock.is_mine()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    with lock:
        for each in threads:
            each.start()
        waiting.wait(30)
        assert inside == []
    for each in threads:
        each.join(30)

    assert sorted(inside) == [0, 1, 2]


def test_a_thread_that_takes_turn_after_turn_lets_others_in():
    """It lets go of the interpreter only inside of its turns, as a flush does."""
    lock, over, here = TurnLock(), threading.Event(), Path()

    def turn():
        with lock:
            for _ in range(5):
                here.stat()

    def work():
        while not over.is_set():
            turn()

    busy = threading.Thread(target=work)
    busy.start()
    try:
        guards = [Guard(lock) for _ in range(5)]
        taken = []
        for guard in guards:
            taken.append(lock.take(guard=guard, timeout_s=20))
            lock.end_turn_of(guard)
    finally:
        over.set()
        busy.join(30)

    assert None not in taken


def test_a_count_under_the_lock_is_exact():
    """However often threads are switched."""
    lock, counted = TurnLock(), [0]
    before = sys.getswitchinterval()

    def step():
        with lock:
            number = counted[0]
            counted[0] = number + 1

    def work():
        for _ in range(300):
            step()

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)

    assert counted == [1200]


def test_a_turn_that_was_left_behind_is_over():
    """The function that took it has ended, by whatever exception, anywhere."""
    lock = TurnLock()

    def interrupted():
        lock.take(sys._getframe())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        interrupted()

    assert is_free(lock)
    assert kept.value.__traceback__ is not None  # which holds the frames


def test_a_guard_that_is_dropped_gives_the_turn_back():
    """As when an interrupt comes between taking it and the block."""
    lock = TurnLock()
    guard = Guard(lock)
    guard.__enter__()
    assert not is_free(lock)

    del guard
    gc.collect()

    assert is_free(lock)


def test_a_guard_is_held_over_a_generator_that_waits():
    """A fixture of pytest is one: its frame is not running meanwhile."""
    lock = TurnLock()

    def fixture():
        with Guard(lock):
            yield

    step = fixture()
    next(step)
    assert not is_free(lock)

    assert next(step, "over") == "over"
    assert is_free(lock)


def test_one_guard_may_be_used_by_many_and_nest():
    """As a program that keeps `db.lock` in a variable does."""
    lock = TurnLock()
    guard = Guard(lock)

    def work():
        with guard, guard:
            return lock.is_mine()

    with guard:
        with guard:
            assert lock.is_mine()
        assert not is_free(lock)
        assert in_thread(lambda: lock.take(sys._getframe(), timeout_s=0)) is None
    assert in_thread(work)
    assert is_free(lock)


def test_waiting_may_have_an_end():
    """None says that the time is up."""
    lock = TurnLock()

    with lock:
        taken = in_thread(lambda: lock.take(sys._getframe(), timeout_s=0.01))

    assert taken is None


def test_waiting_for_one_another_is_refused_at_once():
    """Two threads that want what the other has would stand still for ever."""
    one, other = TurnLock(), TurnLock()
    has_other = threading.Event()
    ends = []

    def work():
        with Guard(other):
            has_other.set()
            try:
                with Guard(one):
                    ends.append("had both")
            except DeadlockError:
                ends.append("refused")

    with Guard(one):
        thread = threading.Thread(target=work)
        thread.start()
        has_other.wait(30)
        try:
            with Guard(other):
                ends.append("had both")
        except DeadlockError:
            ends.append("refused")
    thread.join(30)

    assert sorted(ends) == ["had both", "refused"]


def test_a_turn_belongs_to_a_task():
    """Another task of the thread is refused at once, and never let in."""
    lock = TurnLock()
    seen = []

    async def first():
        with Guard(lock):
            await asyncio.sleep(0)
            assert lock.is_mine()
            await asyncio.sleep(0)

    async def second():
        assert not lock.is_mine()
        with pytest.raises(OtherTaskError), Guard(lock):
            seen.append("let in")

    async def main():
        await asyncio.gather(first(), second())
        with Guard(lock):
            seen.append("later")

    asyncio.run(main())

    assert seen == ["later"]


def test_a_task_and_its_thread_are_two_callers():
    """A callback of the loop runs in neither's name."""
    found = []

    async def main():
        found.append(caller().who)
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: found.append(caller().who))
        await asyncio.sleep(0)

    asyncio.run(main())

    task, thread = found
    assert task is not thread
    assert thread is caller().who


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_its_own_turns_alone():
    """Those of the parent's other threads are over; that of the one that forked not."""
    mine, theirs = TurnLock(), TurnLock()
    has_it, go_on = threading.Event(), threading.Event()

    def work():
        with theirs:
            has_it.set()
            go_on.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    has_it.wait(30)
    with mine:
        pid = os.fork()
        if pid == 0:  # pragma: no cover - measured in the parent
            good = mine.is_mine() and theirs.take(sys._getframe(), timeout_s=0)
            os._exit(0 if good else 1)
    go_on.set()
    thread.join()

    assert os.waitpid(pid, 0)[1] == 0
