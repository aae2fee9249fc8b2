"""`crash_points`: what a scenario promised is checked at each of its disk calls."""

import errno
import gc
import logging
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import journaling, without_syncs
from faults.sampling import fewer
from storify import (
    Database,
    DatabaseClosedError,
    DatabaseLoadError,
    Model,
    Storify,
    StorifyError,
)
from storify._autosave import Autosaver
from storify.engine.file import log, vfs
from storify.testing import crash_points, interrupt_points
from storify.testing._disk import WAYS, File
from storify.testing._runs import Run
from storify.threads import finish_all

pytestmark = [pytest.mark.crash]


class User(Model):
    """A record."""

    name: str
    tags: list[str] = []


def save_two(root, done):
    """Save a user, say so, and save another one."""
    with Storify(root, save_interval=None) as sf:
        users = sf.get_db("users", model=User)
        users["u1"] = User("Ann", ["a"])
        users.flush()
        done("u1")
        users["u2"] = User("Bob", ["b"])
    done("u2")


def save_three(root, done):
    """Save one state after the other."""
    with Storify(root, save_interval=None) as sf:
        db = sf["db"]
        for turn in range(3):
            db.update(turn=turn, text=f"{turn}" * 30, bulk="." * 6000)
            db.flush()
            done(turn)


def promise_too_early(root, done):
    """Say that a user is saved, and save it then."""
    with Storify(root, save_interval=None) as sf:
        sf["users"]["u1"] = User("Ann")
        done("u1")
        sf.flush()


def get_on(root, done):
    """Try again when a save fails."""
    with Storify(root, save_interval=None) as sf:
        db = sf["db"]
        db["a"] = 1
        try:
            db.flush()
        except OSError as error:
            done(error.errno)


def fail(root):
    """Fail without any fault."""
    with Storify(root, save_interval=None) as sf:
        sf["db"]["a"] = 1
        raise LookupError(sf.root)


def tell_process(root, done):
    """Say which process it is that saves."""
    with Storify(root, save_interval=None) as sf:
        db = sf.get_db("users", model=User)
        done(os.getpid())
        db["u1"] = User("Ann")


def promise_a_lambda(root, done):
    """Say what cannot be sent from one process to another."""
    with Storify(root, save_interval=None) as sf:
        sf["db"]["a"] = 1
    done(lambda: root)


def end_at_once(root):
    """End the process, not only the scenario."""
    os._exit(3)


def broken(points):
    """The points at which a promised user is not there."""

    def keeps(crashed):
        try:
            return set(crashed.done) <= set(crashed.reopen()["users"])
        except DatabaseLoadError:
            return False

    return (str(crashed.point) for crashed in points if not keeps(crashed))


@pytest.fixture(autouse=True)
def _quick():
    """The disk is not waited for."""
    with without_syncs():
        yield


def everything(folder):
    """All bytes in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def next_file():
    """The number of the file that is opened next: it moves with each left open."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


def without_sync(monkeypatch):
    """Plant a fault: bytes are not synced before a name points to them."""
    monkeypatch.setattr(vfs, "_sync", lambda fd: None)


@given(st.binary(), st.binary(), st.binary(), st.sampled_from(WAYS))
def test_a_power_cut_takes_nothing_that_was_synced(same, synced, data, way):
    """Bytes that the new content shares with the synced one are there in each way."""
    file = File(same + data, same + synced)

    left = file.after(way)

    assert left.startswith(same)
    assert len(left) <= max(len(file.data), len(file.synced))
    assert file.after("all") == file.data
    assert file.after("synced") == file.synced


def test_of_bytes_that_are_not_synced_each_half_may_be_there():
    """The other one is cut off, or zeros: the size is on disk, the pages are not."""
    file = File(b"oldNEWnew", b"old")

    left = {way: file.after(way) for way in WAYS}

    assert left == {
        "synced": b"old",
        "all": b"oldNEWnew",
        "half": b"oldNEW",
        "zeros": b"old\0\0\0\0\0\0",
        "late": b"old\0\0\0new",
        "early": b"oldNEW\0\0\0",
    }


# -- what it finds -----------------------------------------------------------------


def test_a_right_scenario_passes_at_each_point(tmp_path):
    """The control: what was promised is there, whole, however the run ended."""
    points = crash_points(save_two, tmp_path)
    seen = []

    for crashed in points:
        with crashed, crashed.reopen() as sf:
            users = dict(sf["users"])
            assert set(crashed.done) <= set(users)
            assert {"u1": User("Ann", ["a"]), "u2": User("Bob", ["b"])} | users == {
                "u1": User("Ann", ["a"]),
                "u2": User("Bob", ["b"]),
            }
            seen.append(crashed.point)

    assert seen == list(points.points)
    assert len(points) == len(seen) > points.calls > 20
    assert {point.kind for point in seen} == {
        *("killed", "torn", "lost", "ENOSPC", "EIO"),
    }


def test_an_engine_without_sync_is_caught_by_a_power_cut(tmp_path, monkeypatch):
    """A planted fault that no kill shows is found by what a power cut may lose."""
    without_sync(monkeypatch)

    assert not any(broken(crash_points(save_two, tmp_path, kinds=["killed"], most=30)))
    assert any(broken(crash_points(save_two, tmp_path, kinds=["lost"])))


def test_a_promise_before_the_save_is_caught(tmp_path):
    """A scenario that says so too early is found by a kill and by a power cut."""
    for kind in ("killed", "lost"):
        points = crash_points(promise_too_early, tmp_path, kinds=[kind])

        assert any(broken(points)), kind


def test_an_engine_that_overwrites_is_torn(tmp_path, monkeypatch):
    """A file that is written in place is found torn, by the half of a write."""

    def overwrite(temporary, path):
        fd = vfs.os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        vfs.os.write(fd, Path(temporary).read_bytes())
        vfs.os.close(fd)

    monkeypatch.setattr(vfs, "put_in_place", overwrite)
    monkeypatch.setattr(vfs, "hard_link", lambda old, new: False)

    def save(root):
        with Storify(root, save_interval=None, keep=1) as sf:
            for name in ("Ann", "Bob"):
                sf["users"]["u1"] = name * 100
                sf.flush()

    for kind in ("torn", "lost"):
        torn = []
        for crashed in crash_points(save, tmp_path, kinds=[kind]):
            path = crashed.root / "users.mpack"
            if path.exists() and 0 < path.stat().st_size < 300:
                torn.append(str(crashed.point))
        assert len(torn) >= 2
        assert kind == "lost" or all("(write users.mpack)" in point for point in torn)


def test_a_journal_without_checksums_is_caught_by_a_power_cut(tmp_path, monkeypatch):
    """A planted fault: a frame counts whose head is there, and zeros in its end."""
    monkeypatch.setattr(log, "zlib", SimpleNamespace(crc32=lambda *_: 0))

    def is_whole(crashed):
        try:
            found = dict(crashed.reopen()["db"])
        except StorifyError:
            return False
        return found == {} or found["text"] == f"{found['turn']}" * 30

    with journaling():
        points = crash_points(save_three, tmp_path, kinds=["lost"])
        wrong = [str(crashed.point) for crashed in points if not is_whole(crashed)]

    assert any("zeros in their second half" in point for point in wrong)
    assert all("(fdatasync db.mpack.journal)" in point for point in wrong)


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
def test_each_point_leaves_a_whole_state_not_older_than_promised(tmp_path, journaled):
    """With frames appended to a journal as well as with whole files."""
    with journaling(journaled):
        points = crash_points(save_three, tmp_path, most=60)

        for crashed in points:
            with crashed.reopen() as sf:
                found = dict(sf["db"])
            turn = found.get("turn", -1)
            assert turn >= max(crashed.done, default=-1)
            assert turn == -1 or found["text"] == f"{turn}" * 30

    assert any("append" in str(p) or "journal" in p.call for p in points.points)


def test_a_failed_append_is_taken_back(tmp_path):
    """What the scenario promised stays; its next start can append once more."""
    with journaling():
        for crashed in crash_points(save_three, tmp_path, kinds=["EIO"]):
            with crashed.reopen() as sf:
                assert sf["db"].get("turn", -1) >= max(crashed.done, default=-1)
                sf["db"]["turn"] = 9
            assert crashed.reopen()["db"]["turn"] == 9


def test_the_end_of_a_scenario_is_a_point(tmp_path):
    """What it saved is there when it has returned and is killed, or the power goes."""
    last = [
        (crashed.completed, crashed.done, str(crashed.point))
        for crashed in crash_points(save_two, tmp_path, kinds=["killed", "lost"])
        if crashed.point.number > crashed.point.calls
    ]

    assert len(last) > 1
    assert all(completed and done == ["u1", "u2"] for completed, done, _ in last)
    assert "killed after the last of" in last[-1][2]


def test_a_failed_call_is_the_scenarios_to_deal_with(tmp_path):
    """It raises, which is told; or it goes on, and returns."""
    for kind, number in (("ENOSPC", errno.ENOSPC), ("EIO", errno.EIO)):
        ends = list(crash_points(save_two, tmp_path, kinds=[kind], most=30))

        assert any(isinstance(end.error, OSError) for end in ends)
        for end in ends:
            assert end.completed is (end.error is None)
            assert getattr(end.error, "errno", number) == number

    ends = list(crash_points(get_on, tmp_path, kinds=["ENOSPC"]))
    assert any(end.completed and end.done == [errno.ENOSPC] for end in ends)


def test_a_scenario_that_tries_again_has_saved(tmp_path):
    """One call failed, and only one: the next try of the same program succeeds."""
    for crashed in crash_points(get_on, tmp_path, kinds=["ENOSPC"]):
        if crashed.completed:
            assert dict(crashed.reopen()["db"]) == {"a": 1}, crashed


def test_how_fast_the_machine_is_makes_no_other_run(tmp_path):
    """An index that is much younger than its file would count, and spare a read."""
    runs = tmp_path / "runs"
    runs.touch()

    def save_again(root, done):
        runs.write_text(runs.read_text() + ".")
        with Storify(root, save_interval=None) as sf:
            sf["db"].update(turn=0, bulk="." * 40_000)
        index = root / ".backups" / "db" / ".index"
        now, is_slow = index.stat().st_mtime_ns, len(runs.read_text()) % 2
        os.utime(index, ns=(now, now + is_slow * 10**9))
        with Storify(root, save_interval=None) as sf:
            sf["db"]["turn"] = 1
        done(1)

    with journaling():
        points = list(crash_points(save_again, tmp_path / "data", kinds=["EIO"]))

    assert len(points) > 50


def test_each_run_is_the_same(tmp_path):
    """The points are the same again, and what is left at each of them."""

    def look(points):
        return [
            (str(crashed.point), crashed.done, dict(crashed.reopen()["users"]))
            for crashed in points
        ]

    first = crash_points(save_two, tmp_path, most=40)
    second = crash_points(save_two, tmp_path, most=40)

    assert first.points == second.points
    assert look(first) == look(second) == look(first)


def test_a_sample_has_so_many_points_of_the_whole(tmp_path):
    """``most`` leaves out points, not the end of the scenario."""
    whole = crash_points(save_two, tmp_path)
    some = crash_points(save_two, tmp_path, most=40)

    assert len(some) == 40
    assert set(some.points) < set(whole.points)
    assert some.points[-1] == whole.points[-1]
    assert len(crash_points(save_two, tmp_path, most=10**6)) == len(whole)


def test_points_say_where_and_how(tmp_path):
    """A point is one line, the same in each run, and so is the number of them."""
    points = crash_points(save_two, tmp_path)
    lines = [str(point) for point in points.points]
    calls = points.calls

    assert any(line.endswith(f"of {calls} (mkdir .backups)") for line in lines)
    assert any(f"of {calls} (replace users.mpack)" in line for line in lines)
    assert any(line.startswith("killed in the midst of call") for line in lines)
    assert any(line.startswith("ENOSPC at call") for line in lines)
    assert any(line.endswith("unsynced bytes lost, names lost") for line in lines)
    assert points.summary().startswith(f"{calls} disk calls, {len(lines)} crash points")
    assert points.summary() in repr(points)


# -- after the end -----------------------------------------------------------------


def test_nothing_of_a_run_writes_after_its_end(tmp_path):
    """Not what a program would save at its end, nor an object that was kept."""
    kept = []

    def keep(root):
        kept.clear()
        kept.append(Storify(root, save_interval=0.001))
        kept.append(kept[0]["db"])
        kept.append(Database(path=root / "other.mpack"))
        for each in kept[1:]:
            each["a"] = 1
            each.flush()
            each["a"] = "unsaved"

    found = set()
    for crashed in crash_points(
        keep, tmp_path, kinds=["killed", "EIO"], most=fewer(24, 40)
    ):
        work = crashed.root.parent.parent
        before = everything(work)

        for each in kept:
            with pytest.raises(DatabaseClosedError, match="ended at its crash point"):
                each.flush() if isinstance(each, Database) else each["new"]
        found.add(len(kept))
        kept.clear()
        gc.collect()
        finish_all()

        assert everything(work) == before
    assert found >= {1, 3}
    assert list(tmp_path.iterdir()) == []


def test_no_autosave_thread_sees_a_run(tmp_path, monkeypatch):
    """It would make each run another one; databases elsewhere are still watched."""
    watched = []
    monkeypatch.setattr(Autosaver, "watch", lambda _, sf: watched.append(sf.root))
    outside = str(tmp_path / "outside")

    def save(root):
        with Storify(root, save_interval=0.001), Storify(outside) as sf:
            sf["db"]["a"] = 1
            Storify(root)["db"].flush()

    points = crash_points(save, tmp_path, kinds=["killed"], most=3)

    assert watched == [outside]
    assert all("outside" not in point.call for point in points.points)


def test_a_block_does_not_save_after_its_end(tmp_path):
    """``with`` closes a Storify; not that of a program that is gone."""

    def save(root):
        with Storify(root, save_interval=None) as sf:
            sf["db"]["a"] = 1

    points = crash_points(save, tmp_path, kinds=["killed"])
    found = [dict(crashed.reopen()["db"]) for crashed in points]

    assert found[0] == {}
    assert found[-1] == {"a": 1}
    assert found == sorted(found, key=len)  # it is there from one call on


def test_a_scenario_that_catches_everything_is_gone_all_the_same(tmp_path):
    """It can neither save nor promise anything after its end."""

    def stubborn(root, done):
        sf = Storify(root, save_interval=None)
        for turn in range(2):
            try:
                sf["db"]["turn"] = turn
                sf.flush()
            finally:
                try:
                    done(turn)
                except BaseException as error:
                    raise OSError from error

    for crashed in crash_points(stubborn, tmp_path, kinds=["killed"]):
        turn = crashed.reopen()["db"].get("turn", -1)
        assert turn >= len(crashed.done) - 1
        assert crashed.error is None


def test_the_flush_of_a_collected_database_is_part_of_the_run(tmp_path):
    """A database that nobody closes is saved when it is dropped, or the run is over."""

    def drop(root):
        Database(path=root / "db.mpack")["a"] = 1

    points = crash_points(drop, tmp_path, kinds=["killed"])
    found = [dict(Database(path=each.root / "db.mpack")) for each in points]

    assert found[0] == {}
    assert found[-1] == {"a": 1}


def test_no_file_and_no_lock_is_held_after_a_run(tmp_path):
    """What a program has open when it ends is closed, however often it ends."""
    before = next_file()

    for crashed in crash_points(save_two, tmp_path, kinds=["killed", "EIO"], most=60):
        assert next_file() == before, crashed


def test_what_else_fails_in_a_finalizer_is_still_told(tmp_path, monkeypatch):
    """Only what a crash ends is silent: there is nobody left."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: told.append(u.exc_value))

    class Careless:
        def __del__(self):
            raise LookupError

    def drop(root):
        Database(path=root / "db.mpack")["a"] = 1
        Careless()

    points = crash_points(drop, tmp_path, kinds=["killed"])
    assert [type(each) for each in told] == [LookupError]

    told.clear()
    list(points)
    assert {type(each) for each in told} == {LookupError}


def test_a_run_can_say_its_last_words(tmp_path):
    """A process of its own reports in the midst of the call, and ends there."""
    words = []
    run = Run(
        save_two, tmp_path, at=7, last_words=lambda: words.append(run.report.calls[-1])
    )

    report = run()

    assert words == [report.calls[6]]


# -- what was reopened -------------------------------------------------------------


def test_it_is_reopened_where_the_scenario_had_it_with_its_models(tmp_path):
    """The folder of its first Storify, and each class that its databases knew."""

    def save(root):
        with Storify(root / "data", save_interval=None) as sf:
            sf.get_db("users", model=User)["u1"] = User("Ann")
        with Storify(root / "later", models=[User]) as sf:
            sf["users"]["u2"] = User("Bob")

    for crashed in crash_points(save, tmp_path, kinds=["killed"], most=20):
        if crashed.completed:
            assert dict(crashed.reopen()["users"]) == {"u1": User("Ann")}
            assert dict(crashed.reopen("later")["users"]) == {"u2": User("Bob")}
            assert not isinstance(crashed.reopen(models=[])["users"]["u1"], User)
    assert crashed.completed


def test_what_was_reopened_is_closed_when_the_loop_moves_on(tmp_path):
    """The next point does not find it open, and its folder is gone."""
    opened = []

    for crashed in crash_points(save_two, tmp_path, most=5):
        assert all(db.defunct for db in opened)
        opened += [crashed.reopen()["users"], crashed.reopen()["users"]]

    assert len(opened) == 10
    assert all(db.defunct for db in opened)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_names_its_point_and_keeps_its_folder(tmp_path):
    """The note of the exception says both; the other folders are gone."""

    def check(crashed):
        with crashed, crashed.reopen() as sf:
            assert "u2" in sf["users"]

    def loop():
        for crashed in crash_points(save_two, tmp_path):
            seen.append(crashed)
            check(crashed)

    seen = []
    with pytest.raises(AssertionError) as caught:
        loop()

    crashed = seen[-1]
    (note,) = caught.value.__notes__
    assert str(crashed.point) in note
    assert str(crashed.root) in note
    assert str(crashed.point) in repr(crashed)
    del caught
    assert crashed.root.is_dir()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_to_close_does_not_hide_the_first_one(tmp_path):
    """The first error is raised; the second is a note of it."""
    (crashed,) = (c for c in crash_points(save_two, tmp_path, most=1))
    crashed.root = tmp_path

    def check():
        with crashed:
            crashed.reopen()["db"]["a"] = object()
            raise LookupError

    with pytest.raises(LookupError) as caught:
        check()

    assert any("closing what was reopened failed" in n for n in caught.value.__notes__)


def test_a_crash_may_be_followed_by_another_one(tmp_path):
    """The recovery is a scenario too: points within points."""
    checked = 0
    for crashed in crash_points(save_two, tmp_path / "once", kinds=["lost"], most=6):

        def recover(root, crashed=crashed):
            shutil.copytree(crashed.root, root, dirs_exist_ok=True)
            with Storify(root, save_interval=None, models=[User]) as sf:
                assert set(crashed.done) <= set(sf["users"])
                sf["users"]["u3"] = User("Cy")

        for again in crash_points(recover, tmp_path / "again", most=20):
            assert set(crashed.done) <= set(again.reopen()["users"])
            checked += 1

    assert checked == 120


# -- what the scenario does itself -------------------------------------------------


def test_what_the_scenario_brings_along_survives(tmp_path):
    """Databases that it copies in count as durable; its other files are left alone."""
    with Storify(tmp_path / "sample", save_interval=None) as sf:
        sf["old"]["a"] = 1
        sf.flush()
        sf["old"]["a"] = 2
        sf["gone"]["a"] = 1

    def use(root, done):
        data = root / "data"
        shutil.copytree(tmp_path / "sample", data)
        (root / "notes").mkdir()
        (root / "notes" / "own.txt").write_text("mine")
        with Storify(data, save_interval=None) as sf:
            sf["old"]["b"] = 1
            del sf["gone"]
            sf["old"].close()
            sf.rename_db("old", "new")
            done("renamed")

    for crashed in crash_points(use, tmp_path / "runs", kinds=["lost"], most=120):
        assert (crashed.root / "notes" / "own.txt").read_text() == "mine"
        with crashed.reopen() as sf:
            (name,) = {"old", "new"} & set(sf)
            assert name == "new" or not crashed.done
            assert sf[name]["a"] == 2
            assert sf[name].backups


def test_a_check_in_the_scenario_that_fails_is_raised(tmp_path):
    """An assertion is no error that a disk call could cause."""

    def check(root):
        with Storify(root, save_interval=None) as sf:
            sf["db"]["a"] = 1
            try:
                sf.flush()
            except OSError:
                assert "a" not in sf["db"]

    points = crash_points(check, tmp_path, kinds=["ENOSPC"])

    with pytest.raises(AssertionError) as caught:
        list(points)

    assert any(
        note.startswith("crash point: ENOSPC") for note in caught.value.__notes__
    )


def test_an_error_without_any_fault_comes_out(tmp_path):
    """The scenario itself is wrong: it is raised at once, and its folder is kept."""
    with pytest.raises(LookupError, match="crash-points-1"):
        crash_points(fail, tmp_path)


def test_a_scenario_that_changes_from_run_to_run_is_refused(tmp_path):
    """Points of one run mean nothing in another one with other calls."""
    turns = []

    def change(root):
        turns.append(len(turns))
        with Storify(root, save_interval=None) as sf:
            for turn in turns[:4]:
                sf[f"db{turn}"]["a"] = 1

    def shrink(root):
        turns.append(len(turns))
        with Storify(root, save_interval=None) as sf:
            if len(turns) == 1:
                sf["db"]["a"] = 1

    for scenario in (change, shrink):
        turns.clear()
        points = crash_points(scenario, tmp_path, kinds=["killed"])
        with pytest.raises(AssertionError, match="not the same in each run"):
            list(points)


@pytest.mark.parametrize("root", ["memory://", "outside"])
def test_a_scenario_without_disk_calls_is_refused(tmp_path, monkeypatch, root):
    """A test that could not fail fails: in memory there is nothing to lose."""
    monkeypatch.chdir(tmp_path)

    def save(_):
        with Storify(root, save_interval=None) as sf:
            sf["db"]["a"] = 1

    with pytest.raises(AssertionError, match="made no disk call"):
        crash_points(save, tmp_path)


def test_kinds_that_do_not_occur_are_refused(tmp_path):
    """No point, no test."""

    def look(root):
        assert not Storify(root, save_interval=None).db_exists("db")
        Storify(root).rename_db("a", "b")

    def only_read(root):
        list(Storify(root, save_interval=None))

    with pytest.raises(AssertionError, match="no crash point"):
        crash_points(only_read, tmp_path, kinds=["torn"])
    with pytest.raises(ValueError, match="kinds must be some of"):
        crash_points(save_two, tmp_path, kinds=["killed", "drowned"])
    with pytest.raises(ValueError, match="kinds must be some of"):
        crash_points(save_two, tmp_path, kinds="EIO")
    with pytest.raises(ValueError, match="most must be"):
        crash_points(save_two, tmp_path, most=0)


# -- processes ---------------------------------------------------------------------


def test_a_process_is_really_killed(tmp_path):
    """Each run has one of its own, with the same points, and what it promised."""
    points = crash_points(tell_process, tmp_path, subprocess=True, most=5)
    pids = set()

    for crashed in points:
        pids.update(crashed.done)
        assert set(dict(crashed.reopen()["users"])) <= {"u1"}

    assert points.points == crash_points(tell_process, tmp_path, most=5).points
    assert os.getpid() not in pids
    assert len(pids) > 2


def test_the_error_of_a_process_is_told(tmp_path):
    """What a scenario raises comes over, with its traceback as a note."""
    points = crash_points(save_two, tmp_path, subprocess=True, kinds=["EIO"], most=6)

    errors = [crashed.error for crashed in points]
    told = [error for error in errors if error is not None]

    assert told
    assert all(isinstance(error, OSError) for error in told)
    assert all("in save_two" in error.__notes__[0] for error in told)
    assert errors[-1] is None
    with pytest.raises(LookupError):
        crash_points(fail, tmp_path, subprocess=True)


def test_what_a_process_cannot_run_or_tell_is_refused(tmp_path):
    """It says which rule was broken."""
    with pytest.raises(TypeError, match="use a function of a module"):
        crash_points(lambda root: None, tmp_path, subprocess=True)
    with pytest.raises(RuntimeError, match="what can be pickled"):
        crash_points(promise_a_lambda, tmp_path, subprocess=True)
    with pytest.raises(RuntimeError, match="ended with code 3"):
        crash_points(end_at_once, tmp_path, subprocess=True)


def _log(name):
    logging.getLogger("storify").warning(f"run {name}")


@pytest.mark.parametrize("points", [crash_points, interrupt_points])
def test_only_what_is_logged_at_the_failing_point_is_shown(tmp_path, caplog, points):
    """A test's own log is its own; what is raised and what is left shows the same."""
    runs = []

    def scenario(root):
        runs.append(root)
        _log(len(runs))
        with Storify(root, None) as sf:
            sf["a"]["k"] = 1

    def walk(*, ends):
        for number, left in enumerate(points(scenario, root=tmp_path, most=5), 1):
            left.reopen().log.warning(f"reopened {number}")
            logging.getLogger("mine").warning(f"mine {number}")
            if number == 3 and ends is not None:
                ends()

    def fail():
        pytest.fail("a check")

    with pytest.raises(pytest.fail.Exception, match="a check"):
        walk(ends=fail)

    shown = [m for m in caplog.messages if m.startswith(("run", "reopened", "mine"))]
    last = f"run {len(runs)}"
    free = [m for m in shown if m.startswith("run") and m != last]
    assert [m for m in shown if m not in free] == [
        "mine 1", "mine 2", "mine 3", last, "reopened 3",
    ]  # fmt: skip
    assert len(free) == len(runs) - 3
    caplog.clear()

    walk(ends=None)

    assert not [m for m in caplog.messages if m.startswith("reopened")]
    assert not logging.getLogger("storify").filters
    assert not logging.getLogger("storify.crashed").filters
