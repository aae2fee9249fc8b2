"""Signals that end the program: what is unsaved is saved, and the program ends so."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from places import stored
from storify import Storify

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals"),
    pytest.mark.lasting("a program is a process of its own"),
]

#: What each program begins with.
HEAD = """
import asyncio, os, signal, sys, threading
from storify import Database, Model, Storify

root = sys.argv[1]

def end(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
"""


def command(code, place):
    """Give the command that runs a program."""
    program = HEAD + textwrap.dedent(code)
    return [sys.executable, "-c", program, place]


def run(code, place, expect, before=()):
    """Run a program that ends with the code *expect*; give its output and errors."""
    done = subprocess.run(  # noqa: S603 - our own code
        [*before, *command(code, place)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_is_unsaved_is_saved_and_the_signal_ends_the_program(anywhere, name):
    """Nobody has a handler: the exit status is that of the signal, and nothing is said."""
    number = signal.Signals[name]
    said = run(
        f"""
        db = Storify(root, save_interval=None)["d"]
        db["a"] = 1
        end({number})
        """,
        anywhere,
        expect=-number,
    )

    assert said == ("", "")
    assert stored(anywhere) == {"a": 1}


def test_sigint_without_the_handler_of_python_saves_too(anywhere):
    """A server that gave it back to the system and raises it again ends so."""
    run(
        """
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        db = Storify(root, save_interval=None)["d"]
        db["a"] = 1
        end(signal.SIGINT)
        """,
        anywhere,
        expect=-signal.SIGINT,
    )

    assert stored(anywhere) == {"a": 1}


def test_a_database_without_a_storify_is_saved(anywhere):
    """It is opened by its path or name."""
    run(
        """
        db = Database(name="d", root=root)
        db["a"] = 1
        end()
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) == {"a": 1}


def test_what_another_thread_opened_is_saved(anywhere):
    """As a request does; only the main thread could set a handler."""
    run(
        """
        def work():
            global db
            db = Storify(root, save_interval=None)["d"]
            db["a"] = 1

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        end()
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) == {"a": 1}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_program_is_left_alone(anywhere, when):
    """It is called, and the program goes on if it does; it may be set at any time."""
    opened = 'db = Storify(root, save_interval=None)["d"]'
    handled = "signal.signal(signal.SIGTERM, lambda *_: print('mine'))"
    first, second = (handled, opened) if when == "before" else (opened, handled)

    said = run(
        f"""
        {first}
        {second}
        db["a"] = 1
        end()
        print(Storify(root, save_interval=None).db_exists("d"))
        """,
        anywhere,
        expect=0,
    )

    assert said == ("mine\nFalse\n", "")
    assert stored(anywhere) == {"a": 1}


def test_an_ignored_signal_stays_ignored(anywhere):
    """Such as SIGHUP by nohup."""
    run(
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        db = Storify(root, save_interval=None)["d"]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        """,
        anywhere,
        expect=0,
    )


@pytest.mark.parametrize("first", ["server", "database"])
def test_a_server_that_raises_the_signal_again_is_ended_when_all_is_saved(
    anywhere, first
):
    """It gives the signal back to what was there before; uvicorn does so."""
    opened = 'db = Storify(root, save_interval=None)["d"]'
    served = "before = signal.signal(signal.SIGTERM, lambda *_: None)"
    begin = f"{served}; {opened}" if first == "server" else f"{opened}; {served}"

    run(
        f"""
        {begin}
        db["a"] = 1
        end()
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) == {"a": 1}


def test_a_loop_that_had_a_handler_leaves_ours(anywhere):
    """`loop.add_signal_handler` gives the signal back to the system at its end."""
    run(
        """
        db = Storify(root, save_interval=None)["d"]

        async def main():
            told = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
            end()
            await told.wait()
            db["a"] = 1

        asyncio.run(main())
        end()
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) == {"a": 1}


def test_handle_signals_false_leaves_signals_alone(anywhere):
    """No handler is set, nor a function of the standard library replaced."""
    said = run(
        """
        import signal as fresh
        Storify(root, handle_signals=False)["d"]
        Database(name="e", root=root, handle_signals=False)
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        print(signal.signal.__module__)
        """,
        anywhere,
        expect=0,
    )

    assert said == ("True\nsignal\n", "")


def test_handle_signals_false_from_another_thread(anywhere):
    """Nothing is saved; the handler that was set by the import only ends the process."""
    run(
        """
        def work():
            global db
            db = Storify(root, save_interval=None, handle_signals=False)["d"]
            db["a"] = 1

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        end()
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) is None


@pytest.mark.parametrize("how", ["the handler", "the end"])
def test_a_signal_in_the_middle_of_the_last_save_cuts_nothing(anywhere, how):
    """As from a service manager that signals all, when a server passes it on as well."""
    run(
        f"""
        class User(Model):
            name: str = "ann"

            def _to_dict(self):
                if again:
                    again.pop()
                    end()
                return {{"name": self.name}}

        db = Storify(root, save_interval=None, models=[User])["d"]
        db["u"] = User()
        again = [1]
        if {how!r} == "the handler":
            end()
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) == {"u": {"__User__": {"name": "ann"}}}


def test_a_handler_that_closes_inside_a_flush_and_exits_loses_nothing(anywhere):
    """What was set just before is saved."""
    run(
        """
        class User(Model):
            name: str = "ann"

            def _to_dict(self):
                if again:
                    again.pop()
                    end()
                return {"name": self.name}

        sf = Storify(root, save_interval=None, models=[User])
        signal.signal(signal.SIGTERM, lambda *_: (sf.close(), sys.exit(0)))
        db, again = sf["d"], []
        db.flush()
        db["n"] = 1
        db["u"] = User()
        again.append(1)
        db.flush()
        """,
        anywhere,
        expect=0,
    )

    assert stored(anywhere) == {"n": 1, "u": {"__User__": {"name": "ann"}}}


@pytest.mark.parametrize("step", ["db['n'] = n", "with db.lock: db['n'] = n"])
@pytest.mark.parametrize("ending", ["a signal", "the end"])
def test_nobody_is_told_of_a_change_that_comes_too_late(anywhere, step, ending):
    """Threads that answer requests go on while the last save is under way."""
    program = command(
        f"""
        db = Storify(root, save_interval=None)["d"]
        db["large"] = [str(n) for n in range(200_000)]  # takes a while

        def serve():
            n = 0
            while True:
                n += 1
                {step}
                os.write(1, b"%d\\n" % n)

        threading.Thread(target=serve, daemon=True).start()
        sys.stdin.readline()
        if {ending!r} == "a signal":
            end()
        """,
        anywhere,
    )
    process = subprocess.Popen(  # noqa: S603 - our own code
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(100)]
    rest, _ = process.communicate("\n", timeout=120)
    said += rest.splitlines()

    with Storify(anywhere) as sf:
        assert sf["d"]["n"] >= int(said[-1])


def test_a_fork_during_the_last_save_can_write(anywhere):
    """The child waits for no end of its parent's."""
    run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads

        class User(Model):
            def _to_dict(self):
                if os.getpid() == parent and saves:
                    seen.set()
                    forked.wait(60)
                saves.append(1)
                return {}

        parent, saves = os.getpid(), []
        seen, forked = threading.Event(), threading.Event()
        sf = Storify(root, save_interval=None, models=[User])
        db, other = sf["d"], sf["other"]
        db["a"] = 1
        other["u"] = User()

        def fork():
            seen.wait(60)
            child = os.fork()
            if child == 0:
                db["child"] = 1
                db.flush()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            forked.set()

        threading.Thread(target=fork).start()
        saves.append(1)
        end()
        """,
        anywhere,
        expect=-signal.SIGTERM,
    )

    assert stored(anywhere) == {"a": 1, "child": 1}


def can_be_first() -> bool:
    """Whether a process can be made the first one, as in a container."""
    tool = shutil.which("unshare")
    if tool is None:
        return False
    return not subprocess.run(  # noqa: S603 - a trial
        [tool, "--map-root-user", "--pid", "--fork", "true"],
        check=False,
        capture_output=True,
    ).returncode


@pytest.mark.files("its user is another one, to whom the server's socket is closed")
@pytest.mark.skipif(not can_be_first(), reason="needs namespaces (unshare)")
def test_the_first_process_of_a_container_is_saved_and_goes_on(anywhere):
    """The kernel spares it where it has no handler: SIGKILL comes later."""
    unshare = shutil.which("unshare")
    said, _ = run(
        """
        db = Storify(root, save_interval=None)["d"]
        db["a"] = 1
        end()
        print(os.getpid(), Storify(root, save_interval=None).db_exists("d"), flush=True)
        db["b"] = 2
        end()
        os._exit(0)
        """,
        anywhere,
        expect=0,
        before=[unshare, "--map-root-user", "--pid", "--fork"],
    )

    assert said == "1 True\n"
    assert stored(anywhere) == {"a": 1, "b": 2}


def test_a_program_with_10_000_values_that_cannot_be_stored_says_few_lines(anywhere):
    """One line names the first of them by its path, and how to bring back the rest."""
    _, errors = run(
        """
        db = Storify(root, save_interval=None)["d"]
        db["good"] = 1
        for number in range(10_000):
            db[f"k{number}"] = object()
        """,
        anywhere,
        expect=0,
    )

    [line] = errors.splitlines()
    assert "$['k0']" in line
    assert "9,999 more" in line
    remedy = re.search(r"db\.backups\.restore\('(.+)'\) brings it back$", line)
    with Storify(anywhere) as sf:
        sf["d"].backups.restore(remedy[1])
    assert stored(anywhere) == {"good": 1}


def test_many_databases_that_cannot_be_saved_are_said_in_ten_lines(anywhere):
    """The last line counts those that are not named."""
    _, errors = run(
        """
        sf = Storify(root, save_interval=None)
        for number in range(50):
            sf[f"d{number}"]["bad"] = object()
        """,
        anywhere,
        expect=0,
    )

    lines = errors.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "ERROR: 41 more databases were not saved as they should be"
    with Storify(anywhere, save_interval=None) as sf:
        assert all(sf[f"d{number}"].backups.list for number in range(50))


def test_a_traceback_is_said_at_debug_only(anywhere):
    """``verbose=True`` asks for it."""
    code = """
        db = Storify(root, save_interval=None, verbose={verbose})["d"]
        db["bad"] = object()
        """

    _, quiet = run(code.format(verbose=False), anywhere, expect=0)
    _, verbose = run(code.format(verbose=True), anywhere, expect=0)

    assert "Traceback" not in quiet
    assert "Traceback" in verbose
