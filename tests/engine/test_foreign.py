"""A file that is not as this program left it: who changed it, and when."""

import os

import pytest

from faults.database import (
    backups,
    commit,
    flip,
    found,
    generation_of,
    generations,
    main,
    make_engine,
    state,
    step,
)
from stand_ins import Log
from storify.engine import StaleVersionError, version_of
from storify.engine.file import state as file_state
from storify.exceptions import CorruptionError, DatabaseLoadError


def test_a_foreign_change_is_taken_over_if_it_parses(folder):
    """With a warning; the state before is kept as far as it was backed up."""
    main(folder).write_bytes(state(8))
    log = Log()

    loaded = make_engine(folder, log=log).load()

    assert (generation_of(loaded), loaded.recovered_from) == (8, None)
    assert "another program" in log.warnings[0]
    later = Log()
    commit(make_engine(folder, log=later), 9)
    assert later.warnings == []
    assert generations(make_engine(folder)) == [8, 3, 2, 1]


def test_a_touched_or_copied_folder_is_no_foreign_change(folder):
    """The content counts, not the inode nor the time."""
    os.utime(main(folder), ns=(1, 1))
    log = Log()

    assert found(make_engine(folder, log=log)) == 3
    assert log.warnings == []
    flip(main(folder))
    assert found(make_engine(folder, log=log)) == 3


def test_a_file_of_unknown_origin_is_taken_over_silently(tmp_path):
    """It is watched from then on; so are files of release 0.0.11."""
    main(tmp_path).write_bytes(state(4))
    log = Log()

    assert found(make_engine(tmp_path, log=log)) == 4
    assert log.lines == []
    flip(main(tmp_path))
    with pytest.raises(CorruptionError):
        make_engine(tmp_path).load()


@pytest.mark.parametrize("mtime_ns", [-(10**18), 0, 10**19])
def test_odd_file_times_do_no_harm(tmp_path, mtime_ns):
    """A file from before 1970 or far from now can be backed up."""
    main(tmp_path).write_bytes(state(4))
    try:
        os.utime(main(tmp_path), ns=(mtime_ns, mtime_ns))
    except (OverflowError, OSError):
        pytest.skip("the file system cannot have this time")

    commit(make_engine(tmp_path), 5)
    commit(make_engine(tmp_path), 6)

    assert generations(make_engine(tmp_path)) == [5, 4]


def test_rot_between_load_and_commit_is_healed(folder):
    """The caller has the whole state; the rotten file does not become a backup."""
    log = Log()
    engine = make_engine(folder, log=log)
    version = engine.load().version
    flip(main(folder))

    engine.commit(step(version, 3, 4))

    assert "written anew" in log.warnings[0]
    assert generations(engine) == [3, 2, 1]
    assert list(backups(folder).glob("*.corrupt"))
    assert found(make_engine(folder)) == 4


def test_a_loss_between_load_and_commit_is_healed(folder):
    """If nobody else committed in between."""
    log = Log()
    engine = make_engine(folder, log=log)
    version = engine.load().version
    main(folder).unlink()

    assert engine.changes_since(version)
    with pytest.raises(StaleVersionError):
        engine.commit(step(None, None, 4))
    with pytest.raises(StaleVersionError):
        engine.commit(step(version_of(b"other"), 3, 4))
    engine.commit(step(version, 3, 4))

    assert "missing" in log.warnings[0]
    assert found(make_engine(folder)) == 4


def test_a_foreign_change_between_load_and_commit_is_stale(folder):
    """The caller must merge, also if the other program wrote the same length."""
    engine = make_engine(folder)
    version = engine.load().version
    main(folder).write_bytes(state(8))

    with pytest.raises(StaleVersionError):
        engine.commit(step(version, 3, 4))

    assert engine.changes_since(version)
    assert found(engine) == 8


def test_a_touched_file_has_not_changed(folder):
    """It is read once and then known."""
    engine = make_engine(folder)
    version = engine.load().version
    os.utime(main(folder), ns=(1, 1))

    assert not engine.changes_since(version)
    assert not engine.changes_since(version)
    assert engine.commit(step(version, 3, 4))


def test_a_file_that_never_stands_still_is_an_error(folder, monkeypatch):
    """Reading without a lock gives up in the end."""
    monkeypatch.setattr(file_state, "_unmoved", lambda _place, _main: False)
    engine = make_engine(folder, readonly=True)
    main(folder).write_bytes(state(8))

    with pytest.raises(DatabaseLoadError, match="changes all the time"):
        engine.load()
