"""Locks: between threads, instances, processes and forked children."""

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from faults.database import (
    FORMAT,
    commit,
    entries_of,
    found,
    grow,
    make_engine,
    step,
    whole_of,
)
from faults.process import finish, start
from storify.engine import Commit, StaleVersionError
from storify.engine.file import vfs
from storify.engine.file.lock import Hold, Lock
from storify.exceptions import DatabaseLockedError


def test_another_process_that_holds_the_lock_is_waited_for(tmp_path):
    """In the end with an error that says so; reading waits for nobody."""
    grow(tmp_path, 1)
    fd = os.open(tmp_path / ".backups/users/.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    engine = make_engine(tmp_path, lock_timeout_s=0.02)

    assert found(engine) == 1
    with pytest.raises(DatabaseLockedError, match="another process"):
        engine.commit(step(None, None, 2))
    os.close(fd)

    assert found(engine) == 1


def test_a_lock_file_that_was_replaced_is_locked_anew(tmp_path, monkeypatch):
    """Whoever deletes it does not let two writers in."""
    lock = Lock(str(tmp_path / "folder" / ".lock"), 1, "x")
    names = Lock._names
    seen = []

    def vanish_first(self, fd):
        if not seen:
            Path(self.path).unlink()
        elif len(seen) == 1:
            (tmp_path / "other").replace(self.path)
        seen.append(fd)
        return names(self, fd)

    (tmp_path / "other").write_bytes(b"")
    monkeypatch.setattr(Lock, "_names", vanish_first)

    with lock.held("me"):
        assert len(seen) == 3


def test_a_second_instance_in_the_same_thread_is_told_at_once(tmp_path):
    """It would wait for itself; reading needs no lock."""
    one, other = grow(tmp_path, 1), make_engine(tmp_path)

    with one.locked():
        assert found(other) == 1
        with pytest.raises(DatabaseLockedError, match="this caller"):
            commit(other, 2)

    commit(other, 2)


def test_instances_of_one_process_see_each_others_commits(tmp_path):
    """As in the guide: the later one has to merge first."""
    one, other = grow(tmp_path, 1), make_engine(tmp_path)
    base = other.load().version
    commit(one, 2)

    with pytest.raises(StaleVersionError):
        other.commit(step(base, 1, 3))

    assert found(other) == 2
    commit(other, 3)
    assert found(one) == 3


CHILD = """
import sys
from pathlib import Path
from faults.database import FORMAT, entries_of, make_engine
from storify.engine import Commit
engine = make_engine(Path(sys.argv[1]), sync=sys.argv[2])
key = FORMAT.encode("count")
for _ in range(25):
    with engine.locked():
        loaded = engine.load()
        count = FORMAT.decode(entries_of(loaded)[key]) + 1
        engine.commit(Commit(loaded.version, [(key, FORMAT.encode(count))]))
engine.close()
"""


@pytest.mark.parametrize("sync", ["commit", "interval"])
def test_processes_lose_no_update(tmp_path, sync):
    """Three processes count together, in the file or in its journal."""
    key = FORMAT.encode("count")
    make_engine(tmp_path).commit(Commit(None, [(key, FORMAT.encode(0))]))

    children = [start(CHILD, tmp_path, sync) for _ in range(3)]
    ends = [finish(child) for child in children]

    assert [code for code, _, _ in ends] == [0, 0, 0], ends
    root = FORMAT.decode_root(whole_of(make_engine(tmp_path).load()))
    assert root == {"count": 75}
    assert make_engine(tmp_path).verify() == []


FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
from pathlib import Path
from faults.database import commit, found, make_engine

folder = Path(sys.argv[1])
engine = make_engine(folder)
inside, done = threading.Event(), threading.Event()

def hold():
    with engine.locked():
        inside.set()
        done.wait(30)

def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def blocked():
    engine = make_engine(folder)
    engine._access.lock_timeout_s = 0.05
    try:
        commit(engine, 5)
    except TimeoutError:
        return
    raise AssertionError("the parent's lock was ignored or freed")

thread = threading.Thread(target=hold)
thread.start()
inside.wait(30)
assert in_child(blocked) == 0
done.set()
thread.join()
assert in_child(lambda: commit(engine, 2)) == 0
assert found(engine) == 2

# A child that was forked inside the block leaves it without freeing the lock.
with engine.locked():
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        assert in_child(blocked) == 0
if not pid:
    sys.exit()
commit(engine, 3)
print(found(engine))
"""


def test_a_forked_child_neither_inherits_nor_frees_the_lock(tmp_path):
    """Threads of the parent hold it, and the child waits for them."""
    grow(tmp_path, 1)

    code, output, errors = finish(start(FORK, tmp_path))

    assert (code, output) == (0, "3\n"), errors


def test_a_thread_that_waits_longer_than_the_timeout_gives_up(tmp_path):
    """The message names the database."""
    engine, other = grow(tmp_path, 1), make_engine(tmp_path)
    other._access.lock_timeout_s = 0.01
    errors = []

    def work():
        try:
            commit(other, 2)
        except DatabaseLockedError as err:
            errors.append(str(err))

    with engine.locked():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert "users.mpack" in errors[0]


# Mutants: what these tests must catch


def updates_lost(folder: Path) -> int:
    """Let one engine commit in the middle of another's commit; count what is lost."""
    one, other = grow(folder, 1), make_engine(folder, lock_timeout_s=0.02)
    key = FORMAT.encode("other")
    acknowledged: list[object] = []
    real = vfs.put_in_place

    loaded = other.load()

    def intrude() -> None:
        with suppress(DatabaseLockedError):
            acknowledged.append(other.commit(Commit(loaded.version, [(key, b"\x07")])))

    def put(temporary, path):
        if not acknowledged and path.endswith("users.mpack"):
            thread = threading.Thread(target=intrude)
            vfs.put_in_place = real
            thread.start()
            thread.join()
        real(temporary, path)

    vfs.put_in_place = put
    try:
        commit(one, 2)
    finally:
        vfs.put_in_place = real
    there = key in entries_of(make_engine(folder).load())
    return len(acknowledged) - there


def test_an_update_in_the_middle_of_another_is_not_lost(tmp_path):
    """It waits, and says so if that takes too long."""
    assert updates_lost(tmp_path) == 0


def test_a_missing_lock_is_caught(tmp_path, monkeypatch):
    """Mutant: nobody waits, and the test above fails."""

    def take(*_, **__):
        return Hold(os.open(os.devnull, os.O_RDONLY), None, None, is_of_block=False)

    monkeypatch.setattr(Lock, "take", take)

    assert updates_lost(tmp_path)
