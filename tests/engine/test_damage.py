"""Damaged and lost files: always noticed, healed where it is possible."""

import errno
import os
from pathlib import Path

import pytest

from faults.database import (
    backups,
    commit,
    everything,
    flip,
    found,
    generation_of,
    generations,
    grow,
    keep_times,
    main,
    make_catalog,
    make_engine,
    state,
    step,
)
from faults.sampling import sample
from stand_ins import Log
from storify.engine.file import vfs
from storify.exceptions import CorruptionError


@pytest.mark.parametrize("touched", [False, True], ids=["same time", "other time"])
def test_a_file_cut_at_any_length_is_rebuilt(tmp_path, touched, journaled):
    """Exactly, from the backup before it and what was committed since."""
    grow(tmp_path, 3)
    good = main(tmp_path).read_bytes()
    for length in sample(range(len(good)), 60, touched, journaled):
        if touched:
            main(tmp_path).write_bytes(good[:length])
        else:
            keep_times(main(tmp_path), good[:length])
        log = Log()
        engine = make_engine(tmp_path, log=log, readonly=True)

        loaded = engine.load()

        assert generation_of(loaded) == 3
        assert Path(loaded.recovered_from).name in "".join(log.warnings)
        assert main(tmp_path).read_bytes() == good[:length]


def test_a_file_that_is_damaged_again_and_again_is_repaired_each_time(folder):
    """Only so many damaged files are kept, and no backup is pushed out."""
    good = main(folder).read_bytes()
    for length in range(0, len(good), 90):
        main(folder).write_bytes(good[:length])

        assert found(make_engine(folder)) == 3
        assert main(folder).read_bytes() == state(3)

    assert len(list(backups(folder).glob("*.corrupt"))) == 5
    assert generations(make_engine(folder)) == [2, 1]


def test_a_recovered_state_is_backed_up_only_once(folder):
    """It keeps its time, or each recovery would push another state out."""
    for path in backups(folder).glob("*.journal"):
        path.unlink()  # so that an older state is recovered
    for generation in range(4, 12):
        main(folder).write_bytes(b"bad")
        engine = make_engine(folder)
        assert found(engine) == 2
        commit(engine, generation)
        for path in backups(folder).glob("*.journal"):
            path.unlink()

    assert generations(make_engine(folder)) == [2, 1]


def test_a_recovery_names_what_was_wrong_and_what_was_used(folder):
    """It is durable, so that the next load is silent."""
    flip(main(folder))
    log, later = Log(), Log()

    loaded = make_engine(folder, log=log).load()

    assert generation_of(loaded) == 3
    assert loaded.recovered_from.endswith(".mpack")
    assert loaded.recovered_from in log.warnings[0]
    assert "size and time did not" in log.warnings[0]
    (kept,) = backups(folder).glob("*.corrupt")
    assert kept.read_bytes() != state(3)
    again = make_engine(folder, log=later).load()
    assert generation_of(again) == 3
    assert (again.recovered_from, later.warnings) == (None, [])


def test_damaged_backups_are_passed_over(folder):
    """A backup counts only if its content is what its name says."""
    flip(main(folder))
    newest = make_engine(folder).backups()[0]
    path = Path(make_engine(folder).backup_path(newest.id))
    path.write_bytes(state(8))
    log = Log()

    loaded = make_engine(folder, log=log).load()

    # The one before it leads to the state that is damaged.
    assert generation_of(loaded) == 2
    assert any("not usable" in line for line in log.warnings)
    with pytest.raises(CorruptionError, match="does not match"):
        make_engine(folder).state(newest.id)


def test_if_nothing_is_usable_the_files_stay_as_they_are(folder):
    """The error lists what was tried."""
    flip(main(folder))
    for path in backups(folder).glob("*.mpack"):
        path.write_bytes(b"")
    before = everything(folder)

    with pytest.raises(CorruptionError) as caught:
        make_engine(folder).load()

    assert len(caught.value.causes) == 3
    assert everything(folder) == before


@pytest.mark.parametrize("payload", [b"", b"garbage", state(3)[:-1]])
def test_a_damaged_file_without_backups_is_an_error(tmp_path, payload):
    """Nothing is overwritten; set_aside makes room for a fresh start."""
    main(tmp_path).write_bytes(payload)
    engine = make_engine(tmp_path)

    with pytest.raises(CorruptionError):
        engine.load()
    assert main(tmp_path).read_bytes() == payload
    kept = engine.set_aside()

    assert Path(kept).read_bytes() == payload
    assert engine.load() is None
    commit(engine, 1)
    assert found(make_engine(tmp_path)) == 1


def test_a_lost_file_is_recovered_not_taken_for_new(folder):
    """The record says that there was one; the catalog knows it too."""
    main(folder).unlink()
    log = Log()

    assert make_catalog(folder).names() == ["users"]
    assert make_catalog(folder).exists("users")
    assert found(make_engine(folder, log=log)) == 3
    assert "missing" in log.warnings[0]


def test_a_lost_file_without_backups_is_an_error(tmp_path):
    """It is no new database; removing it by name settles the matter."""
    grow(tmp_path, 1)
    main(tmp_path).unlink()

    with pytest.raises(CorruptionError, match="missing"):
        make_engine(tmp_path).load()
    with pytest.raises(FileNotFoundError, match="no such database"):
        make_catalog(tmp_path).rename("users", "people")
    with pytest.raises(CorruptionError):
        make_engine(tmp_path).backup()

    make_catalog(tmp_path).remove("users")
    assert make_engine(tmp_path).load() is None


def test_a_recovery_does_not_bring_a_destroyed_predecessor_back(tmp_path):
    """Backups of a former database of this name are for hand use only."""
    grow(tmp_path, 3).destroy()
    commit(make_engine(tmp_path), 7)
    flip(main(tmp_path))

    with pytest.raises(CorruptionError):
        make_engine(tmp_path).load()

    assert generations(make_engine(tmp_path)) == [3, 2, 1]


def test_unsaved_states_are_no_candidates(folder):
    """Nobody has acknowledged them."""
    make_engine(folder).save_unsaved(state(9))
    flip(main(folder))

    assert found(make_engine(folder)) == 3


class BadSector:
    """The os module on a disk that cannot read one file, nor link if so told."""

    def __init__(self, path: Path, links: bool = True) -> None:
        self.inode = path.stat().st_ino
        self.links = links

    def __getattr__(self, name):
        return getattr(os, name)

    def read(self, fd, size):
        """Read what can be read."""
        if os.fstat(fd).st_ino == self.inode:
            raise OSError(errno.EIO, "bad sector")
        return os.read(fd, size)

    def link(self, old, new):
        """Link, if the file system does."""
        if not self.links:
            raise OSError(errno.EPERM, "no links")
        os.link(old, new)


def test_a_file_that_the_disk_cannot_read_is_recovered(folder, monkeypatch):
    """It is kept under another name, unread."""
    bad = BadSector(main(folder))
    monkeypatch.setattr(vfs, "os", bad)
    log = Log()

    loaded = make_engine(folder, log=log).load()

    assert generation_of(loaded) == 3
    assert "cannot read" in log.warnings[0]
    assert main(folder).stat().st_ino != bad.inode
    (kept,) = backups(folder).glob("*.corrupt")
    assert kept.stat().st_ino == bad.inode


def test_an_unreadable_file_that_cannot_be_linked_stays(folder, monkeypatch):
    """What was rebuilt is served, and nothing is overwritten."""
    bad = BadSector(main(folder), links=False)
    monkeypatch.setattr(vfs, "os", bad)
    log = Log()

    assert found(make_engine(folder, log=log)) == 3
    assert any("cannot repair" in line for line in log.warnings)
    assert main(folder).stat().st_ino == bad.inode


def test_a_failed_repair_serves_what_was_rebuilt(folder, monkeypatch):
    """A full disk does not keep the data from being read."""
    flip(main(folder))

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(vfs, "write_temporary", full)
    engine = make_engine(folder)

    first = engine.load()

    assert generation_of(first) == 3
    monkeypatch.undo()
    assert engine.load().version == first.version
    assert engine.commit(step(first.version, 3, 5))
    assert found(make_engine(folder)) == 5
