"""Saving without being asked: at intervals, at the end, when nobody holds it."""

import gc
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from places import stored
from stand_ins import Clock, Log
from storify import Storify, UnstorableError
from storify._autosave import Autosaver
from storify.threads import finish_all


@pytest.fixture
def clock():
    """A clock that stands still."""
    return Clock()


def test_autosave_flushes_what_is_due(anywhere, clock):
    """It says when it wants to be called again."""
    sf = Storify(anywhere, save_interval=10, clock=clock)
    db = sf.get_db("d")
    db["a"] = 1

    clock.now_s += 4
    early_s = sf.autosave()
    existed = stored(anywhere) is not None
    clock.now_s += 6
    late_s = sf.autosave()

    assert (early_s, existed, late_s) == (6, False, 10)
    assert stored(anywhere) == {"a": 1}


def test_autosave_can_be_turned_off(anywhere, clock):
    """Tick does nothing then, unless forced."""
    sf = Storify(anywhere, save_interval=None, clock=clock)
    sf.get_db("d")["a"] = 1

    clock.now_s += 1_000_000
    sf.tick()
    sf.autosave()

    assert stored(anywhere) is None
    sf.tick(force=True)
    assert stored(anywhere) == {"a": 1}


def test_an_interval_of_0_saves_at_each_tick_and_nowhere_else(anywhere, clock):
    """As release 0.0.11 did."""
    sf = Storify(anywhere, save_interval=0, clock=clock)
    for value in (1, 2):
        sf.get_db("d")["a"] = value
        assert sf.autosave() > 60
        assert stored(anywhere) is None or stored(anywhere) == {"a": value - 1}

        sf.tick()

        assert stored(anywhere) == {"a": value}


def test_without_the_background_only_ticks_save(anywhere, clock):
    """A program that is between two steps is never saved halfway."""
    sf = Storify(anywhere, save_interval=10, clock=clock, background=False)
    db = sf.get_db("d")
    db.update({"from": 0, "to": 0})
    db.flush()

    for step in range(3):
        clock.now_s += 11
        db["from"] -= 1
        halfway = stored(anywhere)
        db["to"] += 1
        sf.tick()

        assert halfway == {"from": -step, "to": step}
        assert stored(anywhere) == {"from": -step - 1, "to": step + 1}
    clock.now_s += 9
    db["to"] += 1
    sf.tick()
    assert stored(anywhere)["to"] == 3
    sf.close()
    assert stored(anywhere)["to"] == 4


@pytest.mark.lasting("a program is a process of its own")
def test_without_the_background_there_is_no_thread_and_the_end_saves(anywhere):
    """Nobody watches it: what is unsaved is saved when the program ends."""
    program = textwrap.dedent(
        """
        import sys, threading
        from storify import Storify

        sf = Storify(sys.argv[1], save_interval=0.01, background=False)
        sf["d"]["a"] = 1
        print("storify-autosave" in [each.name for each in threading.enumerate()])
        """
    )

    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", program, anywhere],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.stdout, done.stderr) == ("False\n", "")
    assert stored(anywhere) == {"a": 1}


def test_an_autosave_error_is_kept_and_raised_by_the_next_flush(anywhere, clock):
    """It is logged once, however often it happens."""
    log = Log()
    sf = Storify(anywhere, save_interval=10, clock=clock, log=log)
    db = sf.get_db("d")
    db["a"] = object()

    for _ in range(3):
        clock.now_s += 11
        sf.autosave()

    assert isinstance(db.last_error, UnstorableError)
    assert len([line for line in log.warnings if "autosave" in line]) == 1
    with pytest.raises(UnstorableError):
        db.flush()
    db["a"] = 1
    db.flush()
    assert db.last_error is None


def test_autosave_waits_for_a_change_of_several_records(anywhere, clock):
    """While another thread holds the lock nothing is saved."""
    sf = Storify(anywhere, save_interval=10, clock=clock)
    db = sf.get_db("d")
    db.flush()
    clock.now_s += 11
    saver = threading.Thread(target=sf.autosave)

    with db.lock:
        db["from"] = -1
        saver.start()
        saver.join()
        half = stored(anywhere)
        db["to"] = 1
    sf.autosave()

    assert half == {}
    assert stored(anywhere) == {"from": -1, "to": 1}


def test_a_read_only_database_is_not_saved(anywhere, clock):
    """It is no error either."""
    Storify(anywhere).get_db("d").close()
    sf = Storify(anywhere, save_interval=10, clock=clock)
    db = sf.get_db("d", readonly=True)
    clock.now_s += 11

    sf.autosave()

    assert db.last_error is None


class Target:
    """Something that is saved at intervals."""

    def __init__(self):
        self.saved = threading.Event()

    def autosave(self):
        """Note the call and ask for the next one in a minute."""
        self.saved.set()
        return 60.0


def test_the_background_thread_saves():
    """Nobody calls anything; a new target need not wait for the others' turn."""
    saver = Autosaver()
    first, second = Target(), Target()

    saver.watch(first)
    first_saved = first.saved.wait(timeout=30)
    saver.watch(second)
    second_saved = second.saved.wait(timeout=30)

    assert first_saved
    assert second_saved
    assert saver._thread[0].daemon


def test_the_thread_waits_as_long_as_it_is_told():
    """Until the first of its targets wants to be called."""
    delays = []
    told = threading.Event()

    def wait(delay_s):
        delays.append(delay_s)
        told.set()

    target = Target()
    saver = Autosaver(wait)
    saver.watch(target)
    waited = told.wait(timeout=30)
    del target
    gc.collect()

    assert waited
    assert delays[0] == 60.0


def test_a_target_that_raises_does_not_end_saving():
    """It is logged, and the others are saved."""

    class Broken(Target):
        def autosave(self):
            super().autosave()
            raise RuntimeError

    saver = Autosaver()
    broken, sound = Broken(), Target()

    saver.watch(broken)
    assert broken.saved.wait(timeout=30)
    saver.watch(sound)

    assert sound.saved.wait(timeout=30)
    assert saver._thread[0].is_alive()


def test_the_thread_ends_when_nothing_is_left_to_watch(anywhere):
    """Watching keeps nothing alive; a new target starts a new thread."""
    steps = threading.Semaphore(0)
    waiting = threading.Event()

    def wait(_delay_s):
        waiting.set()
        steps.acquire()

    saver = Autosaver(wait)
    sf = Storify(anywhere, save_interval=None)
    saver.watch(sf)
    assert waiting.wait(timeout=30)
    thread = saver._thread[0]

    del sf
    gc.collect()
    steps.release()
    thread.join(timeout=30)

    assert not thread.is_alive()
    assert not saver._thread


def test_a_database_that_nobody_holds_is_flushed(anywhere):
    """Dropping the last reference loses nothing."""
    sf = Storify(anywhere, save_interval=None)
    sf.get_db("d")["a"] = 1

    del sf
    gc.collect()
    finish_all()

    assert stored(anywhere) == {"a": 1}


def test_a_database_keeps_working_without_its_storify(anywhere):
    """It holds the settings that it needs."""
    db = Storify(anywhere, save_interval=None).get_db("d")
    gc.collect()

    db["a"] = 1
    db.flush()

    assert stored(anywhere) == {"a": 1}


def put_aside(place):
    """The id of what could not be saved, and its content."""
    with Storify(place, save_interval=None) as sf:
        backups = sf["d"].backups
        [aside] = [each for each in backups.list if each.endswith(".unsaved")]
        return aside, sf["d"].unpack(backups.get_path_of_backup(aside))


def run(code, place, expect=0):
    """Run *code* in a new interpreter, with the folder as ``root``."""
    program = "import sys; root = sys.argv[1]\n" + textwrap.dedent(code)
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", program, place],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == expect, done.stderr
    return done


@pytest.mark.lasting("a program is a process of its own")
def test_what_is_unsaved_at_exit_is_saved(anywhere):
    """A program that just ends loses nothing, with or without autosave."""
    run(
        """
        from storify import Database, Storify
        sf = Storify(root, save_interval=None)
        sf.get_db("d")["a"] = 1
        other = Database(name="e", root=root)
        other["b"] = 2
        """,
        anywhere,
    )

    assert stored(anywhere) == {"a": 1}
    assert stored(anywhere, "e") == {"b": 2}


@pytest.mark.lasting("a program is a process of its own")
def test_the_end_by_an_exception_saves_too(anywhere):
    """The traceback is the program's own."""
    done = run(
        """
        from storify import Storify
        db = Storify(root).get_db("d")
        db["a"] = 1
        raise SystemExit(3)
        """,
        anywhere,
        expect=3,
    )

    assert done.stderr == ""
    assert stored(anywhere) == {"a": 1}


@pytest.mark.lasting("a program is a process of its own")
def test_what_cannot_be_saved_at_exit_is_put_aside(anywhere):
    """The log names the lost key and the file with the rest."""
    done = run(
        """
        from storify import Storify
        db = Storify(root).get_db("d")
        db["good"] = 1
        db.flush()
        db["bad"] = object()
        db["new"] = 2
        """,
        anywhere,
    )

    aside, content = put_aside(anywhere)
    assert content == {"good": 1, "new": 2}
    assert "$['bad']" in done.stderr
    assert aside in done.stderr
    assert stored(anywhere) == {"good": 1}


@pytest.mark.lasting("a program is a process of its own")
def test_a_list_that_cannot_be_saved_at_exit_is_put_aside(anywhere):
    """Its storable items are kept."""
    run(
        """
        from storify import Storify
        db = Storify(root).get_db("d", root=[])
        db.data.extend([1, object(), 2])
        """,
        anywhere,
    )

    assert put_aside(anywhere)[1] == [1, 2]


@pytest.mark.lasting("a program is a process of its own")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_saving_to_its_parent(anywhere):
    """The child's exit writes nothing; its explicit flush does."""
    run(
        """
        import os
        from storify import Storify
        sf = Storify(root, save_interval=None)
        db = sf.get_db("d")
        db["a"] = 1
        child = os.fork()
        if child == 0:
            db["child"] = 1
            raise SystemExit
        os.waitpid(child, 0)
        db["parent"] = 1
        """,
        anywhere,
    )

    assert stored(anywhere) == {"a": 1, "parent": 1}


@pytest.mark.lasting("a program is a process of its own")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_flush_while_the_parent_was_saving(anywhere):
    """A lock that a thread of the parent held at the fork is free in the child."""
    run(
        """
        import os, threading, warnings
        from storify import Storify
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
        db = Storify(root, save_interval=None).get_db("d")
        held, done = threading.Event(), threading.Event()

        def save():
            with db.lock:
                held.set()
                done.wait()

        saver = threading.Thread(target=save)
        saver.start()
        held.wait()
        child = os.fork()
        if child == 0:
            db["child"] = 1
            db.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        done.set()
        saver.join()
        """,
        anywhere,
    )

    assert stored(anywhere) == {"child": 1}


@pytest.mark.lasting("a program is a process of its own")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_not_in_its_parents_transaction(anywhere):
    """What another thread had not committed is undone in the child, which can write."""
    run(
        """
        import os, threading, warnings
        from storify import Storify
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
        db = Storify(root, save_interval=None).get_db("d")
        db["a"] = [1]
        db.flush()
        held, done = threading.Event(), threading.Event()

        def change():
            with db.transaction():
                db["a"].append(2)
                db["half"] = 1
                held.set()
                done.wait()

        thread = threading.Thread(target=change)
        thread.start()
        held.wait()
        child = os.fork()
        if child == 0:
            assert dict(db.data) == {"a": [1]}
            db.data["child"] = 1
            with db.transaction():
                pass  # the file is the parent's still: its lock was not inherited
            os._exit(0)
        done.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0
        db.flush()
        """,
        anywhere,
    )

    assert stored(anywhere) == {"a": [1, 2], "half": 1, "child": 1}


@pytest.mark.lasting("a program is a process of its own")
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_sigterm_that_ends_at_once_saves_nothing(anywhere):
    """With ``handle_signals=False``; what was flushed is in the file."""
    run(
        """
        import os, signal
        from storify import Storify
        db = Storify(root, save_interval=None, handle_signals=False).get_db("d")
        db["a"] = 1
        db.flush()
        db["b"] = 2
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        anywhere,
        expect=-15,
    )

    assert stored(anywhere) == {"a": 1}


@pytest.mark.lasting("a program is a process of its own")
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_sigterm_turned_into_an_exit_saves_all(anywhere):
    """``signal.signal(SIGTERM, lambda *_: sys.exit(143))`` is all it takes."""
    run(
        """
        import os, signal, sys
        from storify import Storify
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        db = Storify(root, save_interval=None).get_db("d")
        db["a"] = 1
        with db.transaction():
            db["b"] = 2
            os.kill(os.getpid(), signal.SIGTERM)
        """,
        anywhere,
        expect=143,
    )

    assert stored(anywhere) == {"a": 1}


@pytest.mark.files("the folder is deleted")
def test_a_deleted_folder_is_not_made_again_at_exit(root):
    """Who removes the data of a program that still runs wants them gone."""
    run(
        """
        import shutil
        from storify import Storify
        db = Storify(root).get_db("d")
        db["a"] = 1
        db.flush()
        db["a"] = 2
        shutil.rmtree(root)
        """,
        root,
    )

    assert not root.exists()
