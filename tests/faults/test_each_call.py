"""A fault at every disk call of every operation, one at a time."""

import errno
import shutil
from pathlib import Path

import pytest

from faults.database import (
    commit,
    found,
    generations,
    grow,
    journaling,
    make_catalog,
    make_engine,
    parse,
    step,
    whole_of,
)
from faults.disk import SCENARIOS, Scenario
from faults.process import finish, start
from faults.sampling import sample
from stand_ins import Log
from storify.engine import FileEngine
from storify.exceptions import DatabaseLoadError
from storify.testing._disk import Fault, Killed, injected

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("_no_real_syncs")]

LIMIT = 400
ERRNOS = ["EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "EMFILE", "EINTR"]


def copied(source: Path, target: Path) -> Path:
    """A copy with the same file times, as fresh as the original."""
    if source.exists():
        shutil.copytree(source, target)
    return target


def opened(folder: Path, scenario: Scenario) -> FileEngine:
    """The engine that a scenario begins with."""
    engine = make_engine(folder)
    scenario.opened(engine)
    return engine


def calls_of(tmp_path: Path, scenario: Scenario) -> list[str]:
    """The disk calls of a scenario that goes well; its start is kept as *start*."""
    scenario.prepare(tmp_path / "start")
    engine = opened(copied(tmp_path / "start", tmp_path / "good"), scenario)
    with injected(Fault(LIMIT, "kill")) as fault:
        scenario.act(engine)
    assert 3 < len(fault.trace) < LIMIT
    return fault.trace


def struck(tmp_path: Path, scenario: Scenario, what: int | str, quick: int = 8):
    """Run the scenario with the fault at each call in turn, or at so many."""
    calls = list(enumerate(calls_of(tmp_path, scenario), start=1))
    if what in {"tear", "short"}:
        calls = [(at, call) for at, call in calls if call == "write"]
    for at, call in sample(calls, quick, str(scenario), what):
        folder = copied(tmp_path / "start", tmp_path / str(at))
        engine = opened(folder, scenario)
        outcome: BaseException | None = None
        with injected(Fault(at, what)) as fault:
            try:
                scenario.act(engine)
            except (OSError, DatabaseLoadError, Killed) as err:
                outcome = err
        assert fault.struck
        yield folder, engine, outcome, f"{scenario} {what} at {at} {call}"
        shutil.rmtree(folder)


def reopened(folder: Path, where: str, log: Log | None = None) -> int | None:
    """What a new program finds, with every backup verified."""
    engine = make_engine(folder, log=log)
    generation = found(engine)
    for backup in engine.backups():
        parse(whole_of(engine.state(backup.id)))
    leftovers = [] if generation is None else list(folder.rglob("*.tmp"))
    assert not leftovers, where
    return generation


#: What the log may say after a crash without damage.
HARMLESS = ("cut off", "damaged part of the journal is kept")


def alarms(log: Log) -> list[str]:
    """The warnings that would trouble a user."""
    return [line for line in log.warnings if not any(part in line for part in HARMLESS)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("what", ["kill", "tear"])
def test_a_killed_program_leaves_the_old_or_the_new_state(tmp_path, scenario, what):
    """Whichever call is the last to run, a restart finds old or new, whole."""
    with scenario.large():
        for folder, _, outcome, where in struck(tmp_path, scenario, what, 16):
            log = Log()

            generation = reopened(folder, where, log)

            assert outcome is None or isinstance(outcome, Killed), where
            assert generation in scenario.before | {scenario.after}, where
            if not scenario.warns:
                assert alarms(log) == [], where
            commit(make_engine(folder), 9)
            assert reopened(folder, where) == 9, where


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("name", ERRNOS)
def test_a_failed_call_is_raised_or_the_state_is_saved(tmp_path, scenario, name):
    """No error is silent, and the same engine can commit afterwards."""
    number = getattr(errno, name)
    # They lead the same ways, so a sample of each is enough for a quick run.
    quick = 8 if name in {"EIO", "ENOSPC"} else 2
    with scenario.large():
        for folder, engine, outcome, where in struck(tmp_path, scenario, number, quick):
            generation = reopened(folder, where)

            if outcome is None:
                assert generation in {scenario.after} | scenario.older, where
            else:
                allowed = scenario.before | {scenario.after} | scenario.older
                assert generation in allowed, where
            commit(engine, 9)
            assert reopened(folder, where) == 9, where


@pytest.mark.parametrize("name", ["edit", "commit on an edit", "file put back"])
@pytest.mark.parametrize("what", ["kill", "tear", errno.EIO])
def test_what_an_edit_took_the_place_of_can_be_restored(tmp_path, what, name):
    """Wherever it was cut off: each commit that was in the journal."""
    scenario = next(s for s in SCENARIOS if s.name == name)
    with scenario.large():
        scenario.prepare(tmp_path / "kept")
        commits = generations(make_engine(tmp_path / "kept", readonly=True))
        assert commits == ([3, 2, 1] if name != "file put back" else [*range(8, 0, -1)])
        for folder, _, _, where in struck(tmp_path, scenario, what):
            assert reopened(folder, where) in scenario.before | {scenario.after}, where

            engine = make_engine(folder)

            assert [g for g in generations(engine) if g < 12] == commits, where
            assert engine.verify() == [], where


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
@pytest.mark.parametrize("name", ERRNOS)
def test_a_failed_commit_can_be_repeated_with_the_same_base(tmp_path, name, journaled):
    """After an error at any call, the same commit succeeds; nothing is stale."""
    bases = []

    def act(engine):
        loaded = engine.load()
        bases.append(loaded.version)
        engine.commit(step(loaded.version, 6, 7))

    start = 6 if not journaled else 5
    scenario = Scenario(
        "again",
        lambda f: grow(f, start) if start == 6 else _grown_to_six(f),
        act,
        frozenset({6}),
        7,
        journaled=journaled,
    )
    with scenario.large():
        number = getattr(errno, name)
        for folder, engine, outcome, where in struck(tmp_path, scenario, number):
            if outcome is None:
                assert reopened(folder, where) == 7, where
                continue

            assert not engine.changes_since(bases[-1]), where
            engine.commit(step(bases[-1], 6, 7))

            assert reopened(folder, where) == 7, where
            kept = generations(engine)
            if 7 in kept:
                kept.remove(7)
            assert kept[:4] == [6, 5, 4, 3], where


def _grown_to_six(folder: Path) -> None:
    """Generation 6 as the third frame, so that 7 is one more."""
    engine = grow(folder, 3)
    commit(engine, 4, compact=True)
    commit(engine, 5)
    commit(engine, 6)


@pytest.mark.parametrize("name", ["seventh", "third frame", "folded by size"])
def test_a_short_write_is_completed(tmp_path, name):
    """A write that takes only a part is followed by one of the rest."""
    scenario = next(s for s in SCENARIOS if s.name == name)

    with scenario.large():
        for folder, _, outcome, where in struck(tmp_path, scenario, "short"):
            assert outcome is None, where
            assert reopened(folder, where) == scenario.after, where


@pytest.mark.parametrize("name", ["seventh", "third frame", "folded by size"])
@pytest.mark.parametrize("what", ["kill", errno.ENOSPC])
def test_eight_failures_in_a_row_leave_every_backup_good(tmp_path, what, name):
    """Repeated failure at one call pushes no good backup out."""
    scenario = next(s for s in SCENARIOS if s.name == name)
    assert scenario.after is not None
    (last,) = scenario.before
    with scenario.large():
        calls = calls_of(tmp_path, scenario)
        before = generations(make_engine(tmp_path / "start"))
        numbered = list(enumerate(calls, start=1))
        for at, call in sample(numbered, 12, name, what):
            folder = copied(tmp_path / "start", tmp_path / str(at))
            where, done = f"{what} at {at} {call}", 0
            for _ in range(8):
                with injected(Fault(at, what)):
                    try:
                        commit(make_engine(folder), scenario.after)
                        done += 1
                    except (OSError, Killed):
                        pass

            generation = reopened(folder, where)

            kept = set(generations(make_engine(folder)))
            new = scenario.after
            assert generation == new if done else generation in {last, new}, where
            if not done:
                assert kept >= set(before), where
            shutil.rmtree(folder)


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
@pytest.mark.parametrize("former", [False, True], ids=["", "onto a former name"])
@pytest.mark.parametrize("what", ["kill", errno.EIO])
def test_a_cut_rename_loses_neither_data_nor_backups(tmp_path, what, former, journaled):
    """The database has exactly one of the names, and its backups with it."""
    with journaling(journaled):
        grow(tmp_path / "start", 3)
        if former:
            catalog = make_catalog(tmp_path / "start")
            commit(catalog.engine("people"), 8)
            catalog.remove("people")
        for at in range(1, LIMIT):
            folder = copied(tmp_path / "start", tmp_path / str(at))
            if rename_is_done(folder, at, what):
                return
            shutil.rmtree(folder)
    raise AssertionError(LIMIT)


def rename_is_done(folder: Path, at: int, what: int | str) -> bool:
    """Rename with a fault; check what is left; tell whether it was struck."""
    catalog = make_catalog(folder)
    outcome = None
    with injected(Fault(at, what)) as fault:
        try:
            catalog.rename("users", "people")
        except (OSError, Killed) as err:
            outcome = err
    where = f"{what} at {at} {fault.trace[-1]}"
    log = Log()

    # By path, as a program would that knows no catalog.
    there = {
        name: generation
        for name in ("users", "people")
        if (generation := found(make_engine(folder, name, log))) is not None
    }

    assert list(there.values()) == [3], where
    (name,) = there
    assert outcome is not None or name == "people", where
    assert make_catalog(folder).names() == [name], where
    assert generations(make_engine(folder, name)) == [2, 1], where
    assert alarms(log) == [], where
    assert not list((folder / ".backups").glob(".rename"))
    if name == "users":
        make_catalog(folder).rename("users", "people")
    (folder / "people.mpack").unlink()
    assert found(make_engine(folder, "people")) == 3, where
    return not fault.struck


SCRIPT = """
import os, sys
from pathlib import Path
from faults.database import commit, journaling, make_engine
from storify.testing._disk import Fault, Killed, injected

class Exit(Fault):
    def strike(self, name, args):
        os.kill(os.getpid(), 9)

with journaling(sys.argv[3] == "True"), injected(Exit(int(sys.argv[2]), "kill")):
    commit(make_engine(Path(sys.argv[1])), 7)
"""


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
@pytest.mark.parametrize("at", range(1, 80, 12))
def test_a_process_killed_at_a_call_leaves_a_whole_state(tmp_path, at, journaled):
    """The same with a real process and a real SIGKILL, on a sample."""
    with journaling(journaled):
        grow(tmp_path, 6)

        code, _, errors = finish(start(SCRIPT, tmp_path, at, journaled))

        assert code in {0, -9}, errors
        generation = reopened(tmp_path, str(at))
        assert generation == 7 if code == 0 else generation in {6, 7}
