"""Many writers on one database: processes, forked children, threads, tasks."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faults import requires
from faults.generations import NAME, open_db
from faults.programs import Program, run
from faults.sampling import runs
from storify import Database, Storify

pytestmark = pytest.mark.crash

#: Nobody waits longer for who works, however busy the machine is; a lock is waited for
#: six times as long.
LONGEST_WAIT_S = 5


@contextmanager
def sharers(
    what: str, folder: Path, processes: int, count: int
) -> Iterator[list[Program]]:
    """Start processes that are ready to do a thing."""
    with ExitStack() as stack:
        programs = [
            stack.enter_context(Program("sharer", what, folder, number, count))
            for number in range(processes)
        ]
        for program in programs:
            assert program.line() == "ready"
        yield programs


def together(what: str, folder: Path, processes: int, count: int) -> None:
    """Let so many processes do a thing at the same time."""
    with sharers(what, folder, processes, count) as programs:
        for program in programs:
            program.go()
        for program in programs:
            code, _, errors = program.end()
            assert code == 0, errors


def content(folder: Path) -> dict:
    """What is saved."""
    sf, db = open_db(folder)
    with sf:
        return dict(db.data)


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_with_keys_of_their_own_lose_none(tmp_path, processes):
    """All keys of all processes are there."""
    steps = runs(16, 200) * 2 // processes

    together("own", tmp_path / "data", processes, steps)

    expected = {f"{n}-{step}": step for n in range(processes) for step in range(steps)}
    assert content(tmp_path / "data") == expected


@requires.attribute(Database, "transaction")
@pytest.mark.parametrize("processes", [2, 8])
def test_processes_that_count_together_lose_no_increment(tmp_path, processes):
    """In transactions, each of them adds to what the others have made."""
    steps = runs(16, 500)

    together("count", tmp_path / "data", processes, steps)

    parts = {f"of {number}": steps for number in range(processes)}
    assert content(tmp_path / "data") == {"total": processes * steps, **parts}


def test_no_busy_writer_starves_another(tmp_path):
    """Each of eight has a fair share, and none waits for long."""
    with sharers("busy", tmp_path / "data", 8, runs(30, 200)) as programs:
        for program in programs:
            program.go()
        ends = [program.end() for program in programs]

    assert [(code, errors) for code, _, errors in ends] == [(0, "")] * 8
    done = [int(said[0].split()[0]) for _, said, _ in ends]
    longest_s = [float(said[0].split()[1]) for _, said, _ in ends]
    assert min(done) >= sum(done) / 8 / 3, done
    assert max(longest_s) < LONGEST_WAIT_S, longest_s
    assert content(tmp_path / "data") == {f"of {n}": done[n] for n in range(8)}


READS = {
    "open": lambda sf, db: dict(sf["anew"]),
    "open read-only": lambda sf, db: dict(
        Storify(sf.root, background=False).get_db(NAME, readonly=True).items()
    ),
    "open by path": lambda sf, db: dict(
        Storify(sf.root, background=False).get_db_by_path(db.path).items()
    ),
    "query": lambda sf, db: db.where(lambda value: value == 1).count(),
    "reload": lambda sf, db: db.reload(),
    "flush of nothing": lambda sf, db: db.flush(),
    "dirty": lambda sf, db: db.dirty(),
    "check": lambda sf, db: sf.check(),
    "names": lambda sf, db: list(sf),
    "backups": lambda sf, db: db.backups.list,
    "at": lambda sf, db: db.at(datetime.now(UTC)).get("a"),
    "close": lambda sf, db: sf.close(),
}


def test_reading_waits_for_nobody(tmp_path):
    """While another process is inside of a transaction, whose end nobody knows."""
    sf, db = open_db(tmp_path / "data")
    db["a"] = 1
    db.flush()
    took_s = {}

    with sharers("sit", tmp_path / "data", 1, 0) as [sitter]:
        sitter.go()
        assert sitter.line() == "inside"
        for name, read in READS.items():
            begun_s = time.monotonic()
            read(sf, db)
            took_s[name] = time.monotonic() - begun_s
        sitter.go()
        code, _, errors = sitter.end()

    assert (code, errors) == (0, "")
    assert {name for name, s in took_s.items() if s >= LONGEST_WAIT_S} == set()
    assert content(tmp_path / "data") == {"a": 1, "inside": (0, 0)}


def test_a_conflict_between_processes_names_the_key(tmp_path):
    """The first to flush wins; the second is told, and its other keys wait."""
    with sharers("conflict", tmp_path / "data", 2, 7) as (first, second):
        for program in (first, second):
            program.go()
            assert program.line() == "changed"

        first.go()
        assert first.line() == "saved"
        second.go()

        assert second.line() == "conflict both"
        assert [program.end()[0] for program in (first, second)] == [0, 0]
    assert content(tmp_path / "data") == {"both": 0, "own 0": 7}


def test_hundreds_of_threads_save_once_each(tmp_path):
    """None fails, and all are there."""
    count = runs(250, 1_000)
    sf, db = open_db(tmp_path / "data")
    errors: list[Exception] = []

    def save(number: int) -> None:
        try:
            db[f"t{number}"] = number
            db.flush()
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=save, args=(n,)) for n in range(count)]
    with sf:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert errors == []
        assert content(tmp_path / "data") == {f"t{n}": n for n in range(count)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_from_an_open_database_all_save(tmp_path):
    """Each flushes the object it inherited; nothing of another is overwritten."""
    steps = runs(10, 100)

    run("forker", "inherit", tmp_path / "data", 8, steps)

    expected = {
        f"{number}-{step}": step for number in range(8) for step in range(steps)
    }
    assert content(tmp_path / "data") == {"parent": 1, **expected}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_in_the_middle_of_flushes_take_no_lock_along(tmp_path):
    """Threads flush, another process wants the lock: each child can save, and ends."""
    for _ in range(runs(1, 60)):
        with sharers("contend", tmp_path / "data", 1, 0) as [contender]:
            contender.go()
            said = run("forker", "open", tmp_path / "data", runs(60, 100), 2)
            contender.go()
            code, [counted], errors = contender.end()

        assert said == []
        assert (code, errors) == (0, "")
        saved = content(tmp_path / "data")
        last = max(value for key, value in saved.items() if key.startswith("child"))
        assert (last, saved["total"]) == (runs(60, 100) - 1, int(counted))


def test_tasks_of_an_event_loop_lose_nothing(tmp_path):
    """Tasks change records while others are flushed by the loop's threads."""
    sf, db = open_db(tmp_path / "data")

    async def work(number: int) -> None:
        for step in range(20):
            db[f"{number}-{step}"] = [step]
            await asyncio.to_thread(db.flush)
            db[f"{number}-{step}"].append(number)

    async def all_work() -> None:
        await asyncio.gather(*(work(number) for number in range(10)))
        await asyncio.to_thread(db.flush)

    with sf:
        asyncio.run(all_work())

        assert content(tmp_path / "data") == {
            f"{number}-{step}": [step, number]
            for number in range(10)
            for step in range(20)
        }
