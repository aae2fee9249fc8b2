"""Which backups count, which are deleted, and what becomes one."""

import os
from pathlib import Path

import pytest

from faults.database import (
    backups,
    commit,
    flip,
    generation_of,
    generations,
    grow,
    main,
    make_engine,
    parse,
    state,
    whole_of,
)
from storify.engine import Keep
from storify.exceptions import CorruptionError


def test_numbered_backups_are_listed_last_and_used_last(tmp_path):
    """They are ordered by number, not by text; strangers are ignored."""
    main(tmp_path).write_bytes(b"bad")
    backups(tmp_path).mkdir(parents=True)
    for number in (3, 7, 10):
        (backups(tmp_path) / str(number)).write_bytes(state(number))
    strangers = [
        "notes.txt",
        "07",
        "-1",
        "2.bak",
        "20269999T999999.000000Z-" + "a" * 32,
    ]
    for name in strangers:
        (backups(tmp_path) / name).write_bytes(b"mine")
    (backups(tmp_path) / "5").mkdir()
    engine = make_engine(tmp_path)

    assert [backup.id for backup in engine.backups()] == ["10", "7", "3"]
    assert {(b.kind, b.time) for b in engine.backups()} == {("legacy", None)}
    (backups(tmp_path) / "10").write_bytes(b"bad too")
    loaded = engine.load()

    assert generation_of(loaded) == 7
    (backups(tmp_path) / "5").rmdir()
    for generation in range(20, 30):
        commit(engine, generation)
    assert generations(engine) == [28, 27, 26, 25, 24]
    assert all((backups(tmp_path) / name).exists() for name in strangers)


def test_the_newest_good_backup_is_never_pruned(folder):
    """Even if it is the oldest: the newer ones are damaged."""
    engine = make_engine(folder)
    commit(engine, 4)
    for backup in engine.backups()[:-1]:
        Path(engine.backup_path(backup.id)).write_bytes(b"rot")
    engine.keep = Keep(0)

    commit(engine, 5)

    ids = [backup.id for backup in engine.backups() if backup.kind == "snapshot"]
    assert parse(whole_of(engine.state(ids[-1]))) == 1
    assert len(ids) == 2


@pytest.mark.parametrize("meanwhile", ["nothing", "backed up", "deleted", "by another"])
def test_the_newest_are_kept_whatever_happens_between_commits(tmp_path, meanwhile):
    """A writer that is alone does not list the folder again for each commit."""
    engine = grow(tmp_path, 9)
    if meanwhile == "backed up":
        engine.backup()
    elif meanwhile == "deleted":
        for path in backups(tmp_path).glob("*.mpack"):
            path.unlink()
    elif meanwhile == "by another":
        make_engine(tmp_path).backup()

    for generation in range(10, 16):
        commit(engine, generation)

    assert generations(engine) == [14, 13, 12, 11, 10]
    journals = {path.stem for path in backups(tmp_path).glob("*.journal")}
    assert journals == {path.stem for path in backups(tmp_path).glob("*.mpack")}


def test_a_single_writer_lists_its_backups_but_once(tmp_path, monkeypatch):
    """That, and looking for what goes, took as long as all else that is noted."""
    engine = grow(tmp_path, 9)
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))

    for generation in range(10, 13):
        commit(engine, generation)

    assert listed == []
    assert generations(engine) == [11, 10, 9, 8, 7]


def test_without_a_verified_backup_none_is_pruned(tmp_path):
    """A numbered backup proves nothing by itself."""
    engine = grow(tmp_path, 1)
    for number in (1, 2, 3):
        (backups(tmp_path) / str(number)).write_bytes(state(number))
    engine.keep = Keep(0)

    commit(engine, 5)

    assert generations(engine) == [3, 2, 1]


def test_a_backup_of_a_damaged_file_is_refused(folder):
    """It would look like a good one."""
    flip(main(folder))

    with pytest.raises(CorruptionError, match="load it"):
        make_engine(folder).backup()


def test_a_backup_made_by_hand_does_not_share_the_file(folder):
    """A program that writes into the main file cannot damage it."""
    engine = make_engine(folder)
    os.link(main(folder), backups(folder) / "link")

    made = engine.backup()
    path = engine.backup_path(made)

    assert not main(folder).samefile(path)
    Path(path).unlink()
    os.link(main(folder), path)
    assert engine.backup() == made
    assert not main(folder).samefile(path)


def test_destroy_keeps_a_damaged_file_apart(folder):
    """It does not pass for a backup."""
    flip(main(folder))

    make_engine(folder).destroy()

    # The state itself is known from the commit that led to it.
    assert generations(make_engine(folder)) == [3, 2, 1]
    assert list(backups(folder).glob("*.corrupt"))
