"""Work that is done from its begin to its end, whatever happens outside."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from storify.threads import (
    Job,
    caller,
    finish_all,
    in_saver,
    is_given_up,
    patience,
    run_async,
    say,
    uncut,
)


def strike(number):
    """Let the main thread have a signal."""
    signal.pthread_kill(threading.main_thread().ident, number)


needs_signals = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def test_work_is_done_in_another_thread_as_of_the_caller():
    """What it gives or raises comes back."""

    @uncut
    def work(number):
        return number, in_saver(), caller(), threading.get_ident()

    number, there, who, thread = work(5)

    assert (number, there) == (5, True)
    assert who == caller()
    assert thread != threading.get_ident()
    assert not in_saver()


def test_an_error_is_raised_where_the_work_is_awaited():
    """With the traceback of where it came from."""

    @uncut
    def work():
        msg = "no"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no") as caught:
        work()
    assert caught.traceback[-1].name == "work"


def test_work_inside_of_work_goes_on_in_its_thread():
    """Nobody waits for a second thread."""

    @uncut
    def inner():
        return threading.get_ident()

    @uncut
    def outer():
        return inner() == threading.get_ident()

    assert outer()


@needs_signals
def test_an_interrupt_is_raised_when_the_work_is_done():
    """None of it is cut in half."""
    steps = []

    @uncut
    def work():
        steps.append("begun")
        strike(signal.SIGINT)
        while not is_given_up():  # that is what the interrupt does first
            pass
        steps.append("done")

    with pytest.raises(KeyboardInterrupt):
        work()

    assert steps == ["begun", "done"]


@needs_signals
def test_a_handler_may_hand_over_work_while_the_main_thread_waits():
    """Neither waits for the other."""
    steps = []

    @uncut
    def note(what):
        steps.append(what)

    def handler(*_):
        note("of the handler")

    @uncut
    def work():
        done = threading.Event()
        strike(signal.SIGUSR1)
        while "of the handler" not in steps:
            done.wait(0.001)
        steps.append("of the program")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        work()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert steps == ["of the handler", "of the program"]


def test_what_is_said_to_a_log_is_said_by_the_caller_afterwards():
    """A handler of the log may have a lock, which the caller may hold."""
    lock, said = threading.RLock(), []

    def log(message):
        with lock:
            said.append((message, threading.get_ident()))

    @uncut
    def work():
        say(log, "hello")
        return list(said)

    with lock:
        during = work()

    assert during == []
    assert said == [("hello", threading.get_ident())]


def test_work_that_nobody_awaits_is_done_and_speaks_for_itself():
    """The caller goes on at once."""
    go_on, said = threading.Event(), []

    def work():
        go_on.wait(30)
        say(said.append, "done")

    job = Job(work, is_awaited=False).start()
    assert job.is_under_way()
    go_on.set()
    finish_all()

    assert said == ["done"]
    assert not job.is_under_way()


def test_work_runs_beside_other_work():
    """None waits for a thread."""
    meet = threading.Barrier(5)
    jobs = [Job(lambda: meet.wait(30)).start() for _ in range(4)]

    meet.wait(30)

    finish_all()
    assert len({job.result() for job in jobs}) == len(jobs)


def test_patience_is_for_what_waits():
    """Work that waits for others is told when the time is up."""

    @uncut
    def work():
        while not is_given_up():
            pass
        return "given up"

    with patience(0.01):
        assert work() == "given up"


def test_work_that_never_ends_is_left_behind_when_the_time_is_up(monkeypatch):
    """As of a disk that does not answer, at the end of a program."""
    monkeypatch.setattr("storify.threads._saver._GRACE_S", 0.01)
    answer = threading.Event()

    @uncut
    def work():
        answer.wait(30)

    with patience(0.01), pytest.raises(TimeoutError, match="did not answer"):
        work()
    answer.set()
    finish_all()


def test_a_loop_goes_on_while_a_task_waits():
    """The work is done as of the task."""
    go_on = threading.Event()

    def work():
        go_on.wait(30)
        return caller().who

    async def main():
        waiting = asyncio.create_task(run_async(work))
        for _ in range(3):
            await asyncio.sleep(0)
        go_on.set()
        return await waiting is waiting

    assert asyncio.run(main())


def test_a_task_that_is_cancelled_waits_for_the_end():
    """So that nothing comes later."""
    begun, steps = threading.Event(), []

    def work():
        begun.set()
        while not is_given_up():
            pass
        steps.append("ended")

    async def main():
        waiting = asyncio.create_task(run_async(work))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return list(steps)

    assert asyncio.run(main()) == ["ended"]


def run(program):
    """Run a program in a new interpreter; give what it printed."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own():
    """And one that was forked in a wait is told that nobody does the work."""
    told = run(
        """
        import os, signal, threading
        from storify.threads import uncut

        ends, forked = [], threading.Event()

        def fork(*_):
            pid = os.fork()
            if pid:
                ends.append(os.waitpid(pid, 0)[1])
                forked.set()

        @uncut
        def work():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            forked.wait(60)

        signal.signal(signal.SIGUSR1, fork)
        try:
            work()
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) and uncut(lambda: 5)() == 5 else 1)
        print(ends)
        """
    )
    assert told == "[0]\n"


def test_work_at_the_end_of_the_interpreter_is_done():
    """In the thread that is there, when no other can be started."""
    told = run(
        """
        import atexit, threading
        from storify.threads import uncut

        work = uncut(lambda: print("done"))

        def end():
            threading.Thread.start = refuse
            work()

        def refuse(self):
            raise RuntimeError("can't start new thread at interpreter shutdown")

        atexit.register(end)
        """
    )
    assert told == "done\n"
