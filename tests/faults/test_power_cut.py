"""What was acknowledged survives a power cut, and the test sees when it does not."""

import os
import stat
from pathlib import Path

import pytest

from faults.database import commit, grow, make_catalog, make_engine, parse
from faults.power import Model, Recorder, recorded, write_folder
from stand_ins import Log
from storify.engine import _disk
from storify.exceptions import StorifyError

pytestmark = pytest.mark.crash


def two_commits(folder: Path, recorder: Recorder) -> None:
    """Commit generations 4 and 5."""
    for generation in (4, 5):
        commit(make_engine(folder), generation)
        recorder.log.append(("ack", generation))


def one_destroy(folder: Path, recorder: Recorder) -> None:
    """Destroy the database."""
    recorder.log.append(("ack", 3))
    make_engine(folder).destroy()
    recorder.log.append(("ack", None))


def violations(tmp_path: Path, work, start: int = 3, *, lies: bool = False):
    """Cut the power after each change of *work*; give every broken promise."""
    folder = tmp_path / "data"
    folder.mkdir()
    if start:
        grow(folder, start)
    model = Model(folder)
    recorder = Recorder(lies)
    with recorded(recorder):
        work(folder, recorder)
    acks = [entry[1] for entry in recorder.log if entry[0] == "ack"]
    acknowledged: int | None = start or None
    for number, entry in enumerate(recorder.log):
        model.play(entry)
        if entry[0] == "ack":
            acknowledged = acks.pop(0)
        allowed = {acknowledged, acks[0] if acks else acknowledged}
        for which, outcome in enumerate(model.outcomes(number)):
            place = tmp_path / f"{number}-{which}"
            write_folder(outcome, place)
            where = f"after {number} {entry[0]}, case {which}"
            if wrong := check(place, allowed, where):
                yield wrong


def check(place: Path, allowed, where: str) -> str | None:
    """What is wrong with a state after a power cut."""
    log = Log()
    try:
        loaded = make_engine(place, log=log).load(parse)
    except (OSError, StorifyError) as err:
        return f"{where}: {err}"
    found = None if loaded is None else loaded.value
    if found not in allowed:
        return f"{where}: found {found}, not one of {allowed}"
    if log.warnings:
        return f"{where}: needless warning {log.warnings}"
    commit(make_engine(place), 9)
    again = make_engine(place).load(parse)
    if again is None or again.value != 9:
        return f"{where}: the next commit is not there"
    return None


@pytest.mark.parametrize("start", [0, 3])
def test_a_power_cut_keeps_what_was_acknowledged(tmp_path, start):
    """At each moment of two commits the disk holds the last state or the next."""
    bad = violations(tmp_path, two_commits, start)

    assert list(bad) == []


def test_a_power_cut_in_destroy_keeps_all_or_nothing(tmp_path):
    """The database is there, or gone; never lost and never back after it is gone."""
    bad = violations(tmp_path, one_destroy)

    assert list(bad) == []


def test_a_power_cut_in_rename_keeps_the_database_under_one_name(tmp_path):
    """The data are found under exactly one of the names, with their backups."""
    folder = tmp_path / "data"
    grow(folder, 3)
    model, recorder = Model(folder), Recorder()
    with recorded(recorder):
        make_catalog(folder).rename("users", "people")

    for number, entry in enumerate(recorder.log):
        model.play(entry)
        for which, outcome in enumerate(model.outcomes(number)):
            place = tmp_path / f"{number}-{which}"
            write_folder(outcome, place)
            catalog = make_catalog(place)
            (name,) = catalog.names()
            engine = catalog.engine(name)
            loaded = engine.load(parse)

            assert loaded is not None
            assert loaded.value == 3
            kept = [parse(engine.read_backup(backup.id)) for backup in engine.backups()]
            assert kept == [2, 1], (number, which, name)


def test_a_disk_without_fsync_is_caught(tmp_path):
    """The control: the simulator finds an engine whose syncs do nothing."""
    bad = violations(tmp_path, two_commits, lies=True)

    assert any(bad)


def test_a_missing_sync_of_files_is_caught(tmp_path, monkeypatch):
    """Mutant: bytes are renamed into place before they are on disk."""
    real = _disk._sync

    def skip(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            real(fd)

    monkeypatch.setattr(_disk, "_sync", skip)

    assert any(violations(tmp_path, two_commits))


def test_a_missing_sync_of_folders_is_caught(tmp_path, monkeypatch):
    """Mutant: the rename is not made durable."""
    monkeypatch.setattr(_disk, "sync_directory", lambda _path: None)

    assert any(violations(tmp_path, two_commits))


def test_a_sync_after_the_rename_is_caught(tmp_path, monkeypatch):
    """Mutant: rename first, then sync the file."""
    real_sync, real_put = _disk._sync, _disk.put_in_place

    def skip(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            real_sync(fd)

    def put_then_sync(temporary, path):
        real_put(temporary, path)
        fd = _disk.os.open(path, os.O_RDONLY)
        real_sync(fd)
        _disk.os.close(fd)

    monkeypatch.setattr(_disk, "_sync", skip)
    monkeypatch.setattr(_disk, "put_in_place", put_then_sync)

    assert any(violations(tmp_path, two_commits))
