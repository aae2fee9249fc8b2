"""A fault at every disk call of every operation, one at a time."""

import errno
import shutil
from pathlib import Path

import pytest

from faults.database import commit, grow, make_catalog, make_engine, parse, state
from faults.disk import SCENARIOS, Fault, Killed, Scenario, injected
from faults.process import finish, start
from stand_ins import Log
from storify.engine import Commit, version_of
from storify.exceptions import DatabaseLoadError

pytestmark = pytest.mark.crash

LIMIT = 400
ERRNOS = ["EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "EMFILE", "EINTR"]


def copied(source: Path, target: Path) -> Path:
    """A copy with the same file times, as fresh as the original."""
    if source.exists():
        shutil.copytree(source, target)
    return target


def calls_of(tmp_path: Path, scenario: Scenario) -> list[str]:
    """The disk calls of a scenario that goes well; its start is kept as *start*."""
    scenario.prepare(tmp_path / "start")
    engine = make_engine(copied(tmp_path / "start", tmp_path / "good"))
    with injected(Fault(LIMIT, "kill")) as fault:
        scenario.act(engine)
    assert 3 < len(fault.trace) < LIMIT
    return fault.trace


def struck(tmp_path: Path, scenario: Scenario, what: int | str):
    """Run the scenario with the fault at each call in turn."""
    for at, call in enumerate(calls_of(tmp_path, scenario), start=1):
        if what in {"tear", "short"} and call != "write":
            continue
        engine = make_engine(copied(tmp_path / "start", tmp_path / str(at)))
        outcome: BaseException | None = None
        with injected(Fault(at, what)) as fault:
            try:
                scenario.act(engine)
            except (OSError, DatabaseLoadError, Killed) as err:
                outcome = err
        assert fault.struck
        yield tmp_path / str(at), engine, outcome, f"{scenario} {what} at {at} {call}"


def reopened(folder: Path, where: str, log: Log | None = None) -> int | None:
    """What a new program finds, with every backup verified."""
    engine = make_engine(folder, log=log)
    loaded = engine.load(parse)
    for backup in engine.backups():
        parse(engine.read_backup(backup.id))
    leftovers = list(folder.rglob("*.tmp")) if loaded else []
    assert not leftovers, where
    return None if loaded is None else loaded.value


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("what", ["kill", "tear"])
def test_a_killed_program_leaves_the_old_or_the_new_state(tmp_path, scenario, what):
    """Whichever call is the last to run, a restart finds old or new, whole."""
    for folder, _, outcome, where in struck(tmp_path, scenario, what):
        log = Log()

        found = reopened(folder, where, log)

        assert outcome is None or isinstance(outcome, Killed), where
        assert found in scenario.before | {scenario.after}, where
        if not scenario.loses:
            assert log.warnings == [], where
        commit(make_engine(folder), 9)
        assert reopened(folder, where) == 9, where


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("name", ["EIO", "ENOSPC"])
def test_a_failed_call_is_raised_or_the_state_is_saved(tmp_path, scenario, name):
    """No error is silent, and the same engine can commit afterwards."""
    for folder, engine, outcome, where in struck(
        tmp_path, scenario, getattr(errno, name)
    ):
        older = {2, 1} if scenario.loses else set()

        found = reopened(folder, where)

        if outcome is None:
            assert found in {scenario.after, *older}, where
        else:
            assert found in scenario.before | {scenario.after} | older, where
        commit(engine, 9)
        assert reopened(folder, where) == 9, where


@pytest.mark.parametrize("name", ERRNOS)
def test_a_failed_commit_can_be_repeated_with_the_same_base(tmp_path, name):
    """After an error at any call, the same commit succeeds; nothing is stale."""

    def act(engine):
        loaded = engine.load(parse)
        assert loaded is not None
        engine.commit(Commit(loaded.version, {}, lambda: state(7)))

    scenario = Scenario("again", lambda f: grow(f, 6), act, frozenset({6}), 7)
    base = version_of(state(6))
    for folder, engine, outcome, where in struck(
        tmp_path, scenario, getattr(errno, name)
    ):
        if outcome is None:
            assert reopened(folder, where) == 7, where
            continue

        assert not engine.changed_since(base), where
        engine.commit(Commit(base, {}, lambda: state(7)))

        assert reopened(folder, where) == 7, where
        kept = [parse(engine.read_backup(b.id)) for b in engine.backups()]
        assert kept[:4] in ([6, 5, 4, 3], [7, 6, 5, 4]), where


def test_a_short_write_is_completed(tmp_path):
    """A write that takes only a part is followed by one of the rest."""
    scenario = next(s for s in SCENARIOS if s.name == "seventh")

    for folder, _, outcome, where in struck(tmp_path, scenario, "short"):
        assert outcome is None, where
        assert reopened(folder, where) == 7, where


@pytest.mark.parametrize("what", ["kill", errno.ENOSPC])
def test_eight_failures_in_a_row_leave_every_backup_good(tmp_path, what):
    """Repeated failure at one call pushes no good backup out."""
    scenario = next(s for s in SCENARIOS if s.name == "seventh")
    for at, call in enumerate(calls_of(tmp_path, scenario), start=1):
        folder = copied(tmp_path / "start", tmp_path / str(at))
        where, done = f"{what} at {at} {call}", 0
        for _ in range(8):
            with injected(Fault(at, what)):
                try:
                    commit(make_engine(folder), 7)
                    done += 1
                except (OSError, Killed):
                    pass

        found = reopened(folder, where)

        engine = make_engine(folder)
        kept = {parse(engine.read_backup(backup.id)) for backup in engine.backups()}
        assert found == 7 if done else found in {6, 7}, where
        if not done:
            assert kept >= {5, 4, 3, 2, 1}, where


@pytest.mark.parametrize("former", [False, True], ids=["", "onto a former name"])
@pytest.mark.parametrize("what", ["kill", errno.EIO])
def test_a_cut_rename_loses_neither_data_nor_backups(tmp_path, what, former):
    """The database has exactly one of the names, and its backups with it."""
    grow(tmp_path / "start", 3)
    if former:
        catalog = make_catalog(tmp_path / "start")
        commit(catalog.engine("people"), 8)
        catalog.remove("people")
    for at in range(1, LIMIT):
        folder = copied(tmp_path / "start", tmp_path / str(at))
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
        found = {
            name: loaded.value
            for name in ("users", "people")
            if (loaded := make_engine(folder, name, log).load(parse)) is not None
        }

        assert list(found.values()) == [3], where
        (name,) = found
        assert outcome is not None or name == "people", where
        assert make_catalog(folder).names() == [name], where
        engine = make_engine(folder, name)
        kept = [parse(engine.read_backup(backup.id)) for backup in engine.backups()]
        assert kept == [2, 1], where
        assert not any("damaged" in line for line in log.warnings), where
        assert not list((folder / ".backups").glob(".rename"))
        if name == "users":
            make_catalog(folder).rename("users", "people")
        (folder / "people.mpack").unlink()
        loaded = make_engine(folder, "people").load(parse)
        assert loaded is not None
        assert loaded.value == 2, where
        if not fault.struck:
            return
    raise AssertionError(LIMIT)


SCRIPT = """
import os, sys
from pathlib import Path
from faults.database import commit, make_engine
from faults.disk import Fault, Killed, injected

class Exit(Fault):
    def strike(self, name, args):
        os.kill(os.getpid(), 9)

with injected(Exit(int(sys.argv[2]), "kill")):
    commit(make_engine(Path(sys.argv[1])), 7)
"""


@pytest.mark.parametrize("at", range(1, 80, 6))
def test_a_process_killed_at_a_call_leaves_a_whole_state(tmp_path, at):
    """The same with a real process and a real SIGKILL, on a sample."""
    grow(tmp_path, 6)

    code, _, errors = finish(start(SCRIPT, tmp_path, at))

    assert code in {0, -9}, errors
    found = reopened(tmp_path, str(at))
    assert found == 7 if code == 0 else found in {6, 7}
