"""`interrupt_points`: a scenario is interrupted anywhere inside of Storify."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from faults.database import without_syncs
from storify import Database, DatabaseClosedError, Model, Storify
from storify.testing import Interrupted, interrupt_points
from storify.testing._runs import depth

pytestmark = [pytest.mark.crash]


class User(Model):
    """A record."""

    name: str
    cents: int = 0


def save_two(root, done):
    """Save a user, say so, and save another one at the end."""
    with Storify(root, save_interval=None) as sf:
        users = sf.get_db("users", model=User)
        users["u1"] = User("Ann")
        users.flush()
        done("u1")
        users["u2"] = User("Bob")
    done("u2")


def pay_together(root, done):
    """Move money in a transaction."""
    sf = Storify(root, save_interval=None)
    users = sf.get_db("users", model=User)
    users.update(a=User("Ann", 100), b=User("Bo"))
    users.flush()
    done("paid in")
    with users.transaction():
        users["a"].cents -= 30
        users["b"].cents += 30


def pay_apart(root, done):
    """Move money in two steps."""
    sf = Storify(root, save_interval=None)
    users = sf.get_db("users", model=User)
    users.update(a=User("Ann", 100), b=User("Bo"))
    users.flush()
    done("paid in")
    users["a"].cents -= 30
    users["b"].cents += 30
    users.flush()


def look(root):
    """Do little: open one database."""
    Storify(root, save_interval=None)["db"]


@pytest.fixture(autouse=True)
def _quick():
    """The disk is not waited for."""
    with without_syncs():
        yield


def total(interrupted):
    """The money in the live database, when it goes on."""
    (db,) = interrupted.databases
    db.flush()
    return sum(user.cents for user in db.values())


def after_done(points, most=40):
    """Narrow the points to some of those behind the first ``done``."""
    later = [point for point in points.points if point.done]
    points.points = tuple(later[:: max(1, len(later) // most)])
    return points


# -- what it finds ---------------------------------------------------------------------


def test_a_right_scenario_passes(tmp_path):
    """The control: nothing is lost, nothing is held, and what was promised is there."""
    points = interrupt_points(save_two, tmp_path, most=40)
    seen = []

    for interrupted in points:
        with interrupted:
            interrupted.assert_sound()
            with interrupted.reopen() as sf:
                assert set(interrupted.done) <= set(sf["users"])
            assert type(interrupted.error) is KeyboardInterrupt
            assert not interrupted.completed
        seen.append(interrupted.point)

    assert seen == list(points.points)
    assert len(points) == len(seen) == 40
    assert points.places > 1000


def test_a_block_that_belongs_together_stays_together(tmp_path):
    """A transaction is all or nothing, wherever it is interrupted."""
    points = after_done(interrupt_points(pay_together, tmp_path))

    assert {total(interrupted) for interrupted in points} == {100}


def test_what_does_not_belong_together_is_caught(tmp_path):
    """Two steps without a transaction: an interrupt between them loses money."""
    points = after_done(interrupt_points(pay_apart, tmp_path, by="line"))

    assert {total(interrupted) for interrupted in points} == {70, 100}


def test_a_promise_before_the_save_is_caught(tmp_path):
    """A scenario that says so too early breaks its promise on the disk."""

    def promise_too_early(root, done):
        sf = Storify(root, save_interval=None)
        db = sf["db"]
        db["a"] = 1
        done("a")
        db.flush()

    points = after_done(interrupt_points(promise_too_early, tmp_path, by="line"))
    kept = {set(each.done) <= set(each.reopen()["db"]) for each in points}

    assert kept == {False, True}


def test_a_file_that_is_left_open_is_told(tmp_path):
    """A descriptor in the folder is one too many; where the system tells it."""
    left = []

    def leave_open(root):
        left.append(os.open(root / "mine", os.O_CREAT | os.O_RDONLY))
        look(root)

    for interrupted in interrupt_points(leave_open, tmp_path, most=2):
        if sys.platform == "linux":
            assert interrupted.descriptors == [str(interrupted.root / "mine")]
            with pytest.raises(AssertionError, match="a file is left open: mine"):
                interrupted.assert_sound()
        for fd in left:
            os.close(fd)
        left.clear()
        assert interrupted.descriptors == []


def test_a_lock_that_is_held_is_told(tmp_path):
    """That of a block which nobody has left, and that of the files of a transaction."""
    kept = []

    def hold(root, done):
        sf = Storify(root, save_interval=None)
        db = sf["db"]
        kept.append(sf["other"].transaction())
        kept[-1].__enter__()
        kept.append(db.lock)
        kept[-1].__enter__()
        done("held")
        db.dirty()

    points = after_done(interrupt_points(hold, tmp_path), most=3)
    for interrupted in points:
        assert interrupted.locks == [
            str(Path(".backups", "other", ".lock")),
            "db",
            "other",
        ]
        with pytest.raises(AssertionError, match="a lock is held: db") as caught:
            interrupted.assert_sound()
        assert str(interrupted.point) in caught.value.__notes__[0]
        kept.clear()
        assert interrupted.locks == []


def test_what_cannot_be_saved_afterwards_is_told(tmp_path):
    """The next flush must succeed."""

    def spoil(root, done):
        sf = Storify(root, save_interval=None)
        db = sf["db"]
        db["a"] = object()
        done("spoilt")
        db.get("b")

    for interrupted in after_done(interrupt_points(spoil, tmp_path), most=2):
        with pytest.raises(
            AssertionError, match="the next flush of 'db' raises Unstor"
        ):
            interrupted.assert_sound()


def test_what_is_on_disk_but_not_in_memory_is_told(tmp_path, monkeypatch):
    """A planted fault: a database that thinks all is saved."""
    monkeypatch.setattr(Database, "flush", lambda db: None)
    monkeypatch.setattr(Database, "dirty", lambda db: set())
    points = interrupt_points(pay_apart, tmp_path, by="line")

    def is_sound(interrupted):
        try:
            interrupted.assert_sound()
        except (AssertionError, FileNotFoundError):
            return False
        return True

    assert not all(map(is_sound, after_done(points, most=5)))


# -- what happens at a place -----------------------------------------------------------


def test_an_error_of_choice_is_raised(tmp_path):
    """A class or an object, at the same places."""

    class Alarm(BaseException):
        pass

    alarm = Alarm("ring")
    for error in (Alarm, alarm, TimeoutError):
        points = interrupt_points(save_two, tmp_path, error=error, most=5)

        ends = [interrupted.error for interrupted in points]

        assert all(isinstance(end, error) for end in ends if isinstance(error, type))
        assert all(end is error for end in ends if error is alarm)
        assert points.summary().endswith("points: TimeoutError") is (
            error is TimeoutError
        )
    assert alarm.__traceback__ is None


def test_a_handler_is_run_instead(tmp_path):
    """It may use what is open, whatever goes on there; the scenario goes on."""
    opened = []

    def work(root, done):
        sf = Storify(root, save_interval=None)
        opened[:] = [sf["users"]]
        done("open")
        opened[0]["u1"] = User("Ann")
        opened[0].flush()

    def handle():
        for db in opened:
            db["handled"] = True
            db.flush()

    points = after_done(interrupt_points(work, tmp_path, handler=handle))
    for interrupted in points:
        assert interrupted.completed
        assert interrupted.error is None
        interrupted.assert_sound()
        with interrupted.reopen(models=[User]) as sf:
            assert dict(sf["users"]) == {"u1": User("Ann"), "handled": True}
    assert "handler at place" in str(interrupted.point)


def test_a_handler_may_raise(tmp_path):
    """What it raises comes out of the place."""

    def handle():
        raise LookupError

    for interrupted in interrupt_points(save_two, tmp_path, handler=handle, most=5):
        assert type(interrupted.error) is LookupError
        assert not interrupted.completed


def test_it_happens_once(tmp_path):
    """A scenario that catches it goes on and is not interrupted again."""
    caught = []

    def stubborn(root, done):
        for turn in range(3):
            try:
                save_two(root / str(turn), done)
            except KeyboardInterrupt:
                caught.append(turn)

    for interrupted in interrupt_points(stubborn, tmp_path, most=9):
        assert interrupted.completed
        assert interrupted.error is None
        assert len(caught) == 1
        caught.clear()


def test_only_this_thread_is_interrupted(tmp_path):
    """Python delivers signals to the main thread alone."""
    threads = set()

    def handle():
        threads.add(threading.current_thread())

    list(interrupt_points(save_two, tmp_path, handler=handle, most=30))

    assert threads == {threading.current_thread()}


def test_an_interrupt_inside_of_a_finalizer_is_not_told(tmp_path, monkeypatch):
    """Python says of it that it is ignored; other errors there are still told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: told.append(u.exc_value))

    class Careless:
        def __init__(self, path):
            self.path = path

        def __del__(self):
            Database(path=self.path)
            raise LookupError

    def drop(root):
        Careless(root / "db.mpack")

    ends = list(interrupt_points(drop, tmp_path, most=20))

    assert {type(each) for each in told} == {LookupError}
    assert all(end.completed for end in ends)


def test_a_loop_of_tasks_is_interrupted_too(tmp_path):
    """What waits for saver threads without stopping the loop."""

    async def work(root, done):
        async with Storify(root, save_interval=None) as sf:
            db = sf["db"]
            db["a"] = 1
            await db.aflush()
            done("a")

    def scenario(root, done):
        asyncio.run(work(root, done))

    for interrupted in interrupt_points(scenario, tmp_path, most=12):
        with interrupted.reopen() as sf:
            assert set(interrupted.done) <= set(sf["db"])


# -- places ----------------------------------------------------------------------------


def test_each_run_is_the_same(tmp_path):
    """The points are the same again, and what is left at each of them."""

    def looks(points):
        return [
            (str(each.point), each.done, dict(each.reopen().get_db("users")))
            for each in points
        ]

    first = interrupt_points(save_two, tmp_path, most=25)
    second = interrupt_points(save_two, most=25)

    assert first.points == second.points
    assert looks(first) == looks(second) == looks(first)


def test_places_are_where_signals_are_looked_for_or_all_bytecodes_or_lines(tmp_path):
    """All bytecodes are many more; the code of the kit and of others is none of them."""
    signal, opcode, line = (
        interrupt_points(look, tmp_path, by=by) for by in ("signal", "opcode", "line")
    )
    spots = {(each.spot.code, each.spot.at) for each in opcode.points}

    assert opcode.places > 3 * signal.places
    assert line.places > 100
    for point in signal.points:
        if point.spot.kind == "opcode":
            assert (point.spot.code, point.spot.at) in spots
    paths = {each.spot.code.co_filename for each in opcode.points}
    assert all(f"storify{os.sep}" in path for path in paths)
    assert not any(f"storify{os.sep}testing" in path for path in paths)


def test_points_say_where(tmp_path):
    """A point is one line."""
    points = interrupt_points(save_two, tmp_path)
    lines = [str(point) for point in points.points]

    assert lines[0].startswith(f"KeyboardInterrupt at place 1 of {points.places} (")
    assert any("at the begin of BaseDatabase.flush" in line for line in lines)
    assert any(" in Session.save" in line for line in lines)
    assert any("in what is called by " in line for line in lines)
    assert any(line.endswith(", time 2)") for line in lines)
    assert points.summary() == (
        f"{points.places} places, {len(lines)} interrupt points: KeyboardInterrupt"
    )
    assert points.summary() in repr(points)


def test_a_sample_has_so_many_points_of_the_whole(tmp_path):
    """Those of ``most``, or as many as pytest's option says."""
    whole = interrupt_points(look, tmp_path)
    some = interrupt_points(look, tmp_path, most=20)
    with depth(7):
        fewer = interrupt_points(look, tmp_path, most=20)

    assert len(whole) == whole.places
    assert len(some) == 20
    assert set(some.points) < set(whole.points)
    assert len(fewer) == 7


def test_points_may_be_narrowed(tmp_path):
    """Those behind a ``done`` know it."""
    points = interrupt_points(save_two, tmp_path)
    points.points = [point for point in points.points if point.done][:3]

    assert [interrupted.done for interrupted in points] == [["u1"]] * 3


# -- what is left ----------------------------------------------------------------------


def test_what_the_scenario_had_open_is_alive(tmp_path):
    """With what was not saved; and unusable when the loop moves on."""
    kept = []

    def work(root, done):
        db = Storify(root, save_interval=None)["db"]
        db["a"] = 1
        done("set")
        db.dirty()

    for interrupted in after_done(interrupt_points(work, tmp_path), most=3):
        (db,) = interrupted.databases
        (sf,) = interrupted.live
        assert sf.get_loaded_db("db") is db
        assert dict(db) == {"a": 1}
        assert list(interrupted.reopen()) == []
        kept.append(db)

    for db in kept:
        with pytest.raises(DatabaseClosedError, match="ended at its interrupt point"):
            db.flush()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_loop(tmp_path):
    """Neither folders nor a setting of Python; also without a folder given."""
    gc.collect()
    before = gc.get_threshold(), sys.gettrace(), sys.unraisablehook

    for interrupted in interrupt_points(look, most=3):
        root = interrupted.root
        assert root.is_dir()
    list(interrupt_points(look, tmp_path, most=3))

    assert not root.parents[1].exists()
    assert list(tmp_path.iterdir()) == []
    assert (gc.get_threshold(), sys.gettrace(), sys.unraisablehook) == before


def test_a_tracer_that_was_there_is_put_back(tmp_path):
    """As that of coverage or of a debugger, whether a run is interrupted or not."""
    seen = []

    def trace(frame, event, arg):
        seen.append(frame.f_code.co_name)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in interrupt_points(look, tmp_path, most=2):
            found = sys.gettrace()
            seen.clear()
            raise_nothing()
    finally:
        sys.settrace(before)

    assert found is trace
    assert "raise_nothing" in seen


def test_coverage_counts_on(tmp_path):
    """It loses count of the frames if a tracer is put back elsewhere than it was taken."""
    program = tmp_path / "program.py"
    program.write_text(
        "from storify import Storify\n"
        "from storify.testing import interrupt_points\n"
        "def look(root): Storify(root, save_interval=None)['db']\n"
        "def after():\n"
        "    return 1\n"
        "for each in interrupt_points(look, most=2):\n"
        "    after()\n"
        "after()\n"
    )
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("COV")
    }
    own = ["--data-file=.mine", "--include=*program.py"]
    for command in (["run", *own, program.name], ["json", *own, "-o", "-"]):
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "coverage", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

    (found,) = json.loads(done.stdout)["files"].values()
    assert found["missing_lines"] == []


def raise_nothing():
    """Be traced."""


def test_a_failure_names_its_point_and_keeps_its_folder(tmp_path):
    """The note of the exception says both."""

    def loop():
        for interrupted in interrupt_points(save_two, tmp_path, most=3):
            seen.append(interrupted)
            with interrupted, interrupted.reopen() as sf:
                assert "u3" in sf["users"]

    seen: list[Interrupted] = []
    with pytest.raises(AssertionError) as caught:
        loop()

    (note,) = caught.value.__notes__
    assert str(seen[-1].point) in note
    assert str(seen[-1].root) in note
    assert str(seen[-1].point) in repr(seen[-1])
    assert seen[-1].root.is_dir()


# -- what is wrong with a scenario -----------------------------------------------------


def test_a_check_in_the_scenario_that_fails_is_raised(tmp_path):
    """With the point as its note."""

    def check(root):
        try:
            look(root)
        except KeyboardInterrupt:
            assert root is None

    with pytest.raises(AssertionError, match="is None") as caught:
        list(interrupt_points(check, tmp_path))

    assert caught.value.__notes__[0].startswith("interrupt point: KeyboardInterrupt at")


def test_an_error_without_any_interrupt_comes_out(tmp_path):
    """The scenario itself is wrong: it is raised at once."""

    def fail(root):
        raise LookupError(str(root))

    with pytest.raises(LookupError, match="interrupt-points-1"):
        interrupt_points(fail, tmp_path)


def test_a_real_interrupt_ends_the_loop(tmp_path):
    """Somebody wants the tests to end."""
    turns = []

    def end(root):
        turns.append(root)
        look(root)
        if len(turns) > 2:
            raise KeyboardInterrupt

    def handle():
        return None

    points = interrupt_points(end, tmp_path, handler=handle)

    with pytest.raises(KeyboardInterrupt):
        list(points)


def test_a_scenario_that_ends_the_program_is_heard(tmp_path):
    """SystemExit is an end like another."""

    def leave(root):
        try:
            look(root)
        except KeyboardInterrupt:
            sys.exit(3)

    codes = {each.error.code for each in interrupt_points(leave, tmp_path, most=4)}

    assert codes == {3}


def test_a_scenario_that_changes_from_run_to_run_is_refused(tmp_path):
    """Points of one run mean nothing in another one."""
    turns = []

    def shrink(root):
        turns.append(root)
        if len(turns) < 3:
            look(root)

    points = interrupt_points(shrink, tmp_path)

    with pytest.raises(AssertionError, match="not the same in each run"):
        list(points)


def test_a_scenario_without_storify_is_refused(tmp_path):
    """A test that could not fail fails."""
    with pytest.raises(AssertionError, match="calls nothing of storify"):
        interrupt_points(lambda root: None, tmp_path)


@pytest.mark.parametrize("options", [{"by": "word"}, {"most": 0}])
def test_senseless_options_are_refused(tmp_path, options):
    """At once."""
    with pytest.raises(ValueError, match="must be"):
        interrupt_points(look, tmp_path, **options)
