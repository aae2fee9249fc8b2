"""Damaged, lost and foreign files: always noticed, healed where it is possible."""

import errno
import json
import os
from pathlib import Path

import pytest

from faults.disk import (
    Log,
    Scenario,
    commit,
    flip,
    grow,
    make_catalog,
    make_engine,
    parse,
    state,
)
from storify.engine import (
    Commit,
    FileEngine,
    StaleVersionError,
    _disk,
    _reading,
    version_of,
)
from storify.engine._verdict import Verdict
from storify.exceptions import CorruptionError, DatabaseLoadError


@pytest.fixture
def folder(tmp_path):
    """A folder with a database at generation 3 and backups of 2 and 1."""
    grow(tmp_path, 3)
    return tmp_path


def main(folder: Path) -> Path:
    """The main file."""
    return folder / "users.mpack"


def backups(folder: Path) -> Path:
    """The folder of backups."""
    return folder / ".backups" / "users"


def generations(engine: FileEngine) -> list[int]:
    """What the backups hold, newest first."""
    return [parse(engine.read_backup(backup.id)) for backup in engine.backups()]


def everything(folder: Path) -> dict[str, bytes]:
    """All bytes in a folder, but the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def keep_times(path: Path, payload: bytes) -> None:
    """Write without a change of the time, as rot does."""
    before = path.stat()
    path.write_bytes(payload)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def undetected(tmp_path: Path, loader=parse) -> list[int]:
    """Flip each bit of a small file, times kept; give those that were missed."""
    grow(tmp_path, 2)
    good = main(tmp_path).read_bytes()
    missed = []
    for bit in range(0, len(good) * 8, 11):
        keep_times(main(tmp_path), good)
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        keep_times(main(tmp_path), bytes(flipped))
        log = Log()
        loaded = FileEngine(main(tmp_path), log=log, readonly=True).load(loader)
        if loaded is None or loaded.payload != state(1) or not log.warnings:
            missed.append(bit)
    return missed


def test_every_flipped_bit_is_noticed(tmp_path):
    """Even by a parser that accepts anything: the checksum tells."""
    assert undetected(tmp_path, bytes) == []


def test_a_missing_checksum_is_caught(tmp_path, monkeypatch):
    """Mutant: without the comparison, flips pass, and the test above fails."""
    real = _reading.judge

    def blind(found, record):
        verdict, known, wrong = real(found, record)
        return (
            (Verdict.FIRST_SEEN if verdict is Verdict.ROTTEN else verdict),
            known,
            wrong,
        )

    monkeypatch.setattr(_reading, "judge", blind)

    assert undetected(tmp_path, bytes)


@pytest.mark.parametrize("touched", [False, True], ids=["same time", "other time"])
def test_a_file_cut_at_any_length_is_recovered(tmp_path, touched):
    """From the newest backup; the damaged file is kept."""
    grow(tmp_path, 2)
    good = main(tmp_path).read_bytes()
    for length in range(len(good)):
        if touched:
            main(tmp_path).write_bytes(good[:length])
        else:
            keep_times(main(tmp_path), good[:length])
        log = Log()
        engine = make_engine(tmp_path, log=log)

        loaded = engine.load(parse)

        assert loaded.value == 1
        assert Path(loaded.recovered_from).name in "".join(log.warnings)
        assert main(tmp_path).read_bytes() == state(1)
    kept = list(backups(tmp_path).glob("*.corrupt"))
    assert len(kept) == 5


def test_a_recovery_names_what_was_wrong_and_what_was_used(folder):
    """It is durable, so that the next load is silent."""
    flip(main(folder))
    log, later = Log(), Log()

    loaded = make_engine(folder, log=log).load(parse)

    assert loaded.value == 2
    assert loaded.recovered_from.endswith(".mpack")
    assert loaded.recovered_from in log.warnings[0]
    assert "size and time did not" in log.warnings[0]
    (kept,) = backups(folder).glob("*.corrupt")
    assert kept.read_bytes() != state(3)
    again = make_engine(folder, log=later).load(parse)
    assert (again.value, again.recovered_from, later.warnings) == (2, None, [])


def test_damaged_backups_are_passed_over(folder):
    """A backup counts only if its content is what its name says."""
    flip(main(folder))
    newest = make_engine(folder).backups()[0]
    path = Path(make_engine(folder).backup_path(newest.id))
    path.write_bytes(state(8))
    log = Log()

    loaded = make_engine(folder, log=log).load(parse)

    assert loaded.value == 1
    assert any("not usable" in line for line in log.warnings)
    with pytest.raises(CorruptionError, match="does not match"):
        make_engine(folder).read_backup(newest.id)


def test_if_nothing_is_usable_the_files_stay_as_they_are(folder):
    """The error lists what was tried."""
    flip(main(folder))
    for path in backups(folder).glob("*.mpack"):
        path.write_bytes(b"")
    before = everything(folder)

    with pytest.raises(CorruptionError) as caught:
        make_engine(folder).load(parse)

    assert len(caught.value.causes) == 3
    assert everything(folder) == before


@pytest.mark.parametrize("payload", [b"", b"garbage", state(3)[:-1]])
def test_a_damaged_file_without_backups_is_an_error(tmp_path, payload):
    """Nothing is overwritten; set_aside makes room for a fresh start."""
    main(tmp_path).write_bytes(payload)
    engine = make_engine(tmp_path)

    with pytest.raises(CorruptionError):
        engine.load(parse)
    assert main(tmp_path).read_bytes() == payload
    kept = engine.set_aside()

    assert Path(kept).read_bytes() == payload
    assert engine.load(parse) is None
    commit(engine, 1)
    assert make_engine(tmp_path).load(parse).value == 1


def test_a_lost_file_is_recovered_not_taken_for_new(folder):
    """The record says that there was one; the catalog knows it too."""
    main(folder).unlink()
    log = Log()

    assert make_catalog(folder).names() == ["users"]
    assert make_catalog(folder).exists("users")
    assert make_engine(folder, log=log).load(parse).value == 2
    assert "missing" in log.warnings[0]


def test_a_lost_file_without_backups_is_an_error(tmp_path):
    """It is no new database; removing it by name settles the matter."""
    grow(tmp_path, 1)
    main(tmp_path).unlink()

    with pytest.raises(CorruptionError, match="missing"):
        make_engine(tmp_path).load(parse)
    with pytest.raises(FileNotFoundError, match="no such database"):
        make_catalog(tmp_path).rename("users", "people")
    with pytest.raises(CorruptionError):
        make_engine(tmp_path).backup()

    make_catalog(tmp_path).remove("users")
    assert make_engine(tmp_path).load(parse) is None


def test_a_recovery_does_not_bring_a_destroyed_predecessor_back(tmp_path):
    """Backups of a former database of this name are for hand use only."""
    grow(tmp_path, 3).destroy()
    commit(make_engine(tmp_path), 7)
    flip(main(tmp_path))

    with pytest.raises(CorruptionError):
        make_engine(tmp_path).load(parse)

    assert generations(make_engine(tmp_path)) == [3, 2, 1]


def test_unsaved_states_are_no_candidates(folder):
    """Nobody has acknowledged them."""
    make_engine(folder).save_unsaved(state(9))
    flip(main(folder))

    assert make_engine(folder).load(parse).value == 2


def test_a_foreign_change_is_taken_over_if_it_parses(folder):
    """With a warning; the state before is kept as far as it was backed up."""
    main(folder).write_bytes(state(8))
    log = Log()

    loaded = make_engine(folder, log=log).load(parse)

    assert (loaded.value, loaded.recovered_from) == (8, None)
    assert "another program" in log.warnings[0]
    later = Log()
    commit(make_engine(folder, log=later), 9)
    assert later.warnings == []
    assert generations(make_engine(folder)) == [8, 2, 1]


def test_a_touched_or_copied_folder_is_no_foreign_change(folder):
    """The content counts, not the inode nor the time."""
    os.utime(main(folder), ns=(1, 1))
    log = Log()

    assert make_engine(folder, log=log).load(parse).value == 3
    assert log.warnings == []
    flip(main(folder))
    assert make_engine(folder, log=log).load(parse).value == 2


def test_a_file_of_unknown_origin_is_taken_over_silently(tmp_path):
    """It is watched from then on; so are files of release 0.0.11."""
    main(tmp_path).write_bytes(state(4))
    log = Log()

    assert make_engine(tmp_path, log=log).load(parse).value == 4
    assert log.lines == []
    flip(main(tmp_path))
    with pytest.raises(CorruptionError):
        make_engine(tmp_path).load(parse)


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
    loaded = engine.load(parse)

    assert loaded.value == 7
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
    engine.max_backups = 0

    commit(engine, 5)

    ids = [backup.id for backup in engine.backups()]
    assert parse(engine.read_backup(ids[-1])) == 1
    assert len(ids) == 2


def test_without_a_verified_backup_none_is_pruned(tmp_path):
    """A numbered backup proves nothing by itself."""
    engine = grow(tmp_path, 1)
    for number in (1, 2, 3):
        (backups(tmp_path) / str(number)).write_bytes(state(number))
    engine.max_backups = 0

    commit(engine, 5)

    assert generations(engine) == [3, 2, 1]


def test_rot_between_load_and_commit_is_healed(folder):
    """The caller has the whole state; the rotten file does not become a backup."""
    log = Log()
    engine = make_engine(folder, log=log)
    version = engine.load(parse).version
    flip(main(folder))

    engine.commit(Commit(version, {}, lambda: state(4)))

    assert "written anew" in log.warnings[0]
    assert generations(engine) == [2, 1]
    assert list(backups(folder).glob("*.corrupt"))
    assert make_engine(folder).load(parse).value == 4


def test_a_loss_between_load_and_commit_is_healed(folder):
    """If nobody else committed in between."""
    log = Log()
    engine = make_engine(folder, log=log)
    version = engine.load(parse).version
    main(folder).unlink()

    assert engine.changed_since(version)
    with pytest.raises(StaleVersionError):
        engine.commit(Commit(None, {}, lambda: state(4)))
    with pytest.raises(StaleVersionError):
        engine.commit(Commit(version_of(b"other"), {}, lambda: state(4)))
    engine.commit(Commit(version, {}, lambda: state(4)))

    assert "missing" in log.warnings[0]
    assert make_engine(folder).load(parse).value == 4


def test_a_foreign_change_between_load_and_commit_is_stale(folder):
    """The caller must merge, also if the other program wrote the same length."""
    engine = make_engine(folder)
    version = engine.load(parse).version
    main(folder).write_bytes(state(8))

    with pytest.raises(StaleVersionError):
        engine.commit(Commit(version, {}, lambda: state(4)))

    assert engine.changed_since(version)
    assert engine.load(parse).value == 8


def test_a_touched_file_has_not_changed(folder):
    """It is read once and then known."""
    engine = make_engine(folder)
    version = engine.load(parse).version
    os.utime(main(folder), ns=(1, 1))

    assert not engine.changed_since(version)
    assert not engine.changed_since(version)
    assert engine.commit(Commit(version, {}, lambda: state(4)))


@pytest.mark.parametrize(
    "bad", [b"", b"{}", b"[]", b"null", b"\xff", b'{"check": 1}', b"[" * 100_000]
)
def test_a_damaged_record_condemns_no_good_file(folder, bad):
    """The file is judged by itself, and watched again."""
    record = backups(folder) / ".sum"
    record.write_bytes(bad)
    log = Log()

    assert make_engine(folder, log=log).load(parse).value == 3
    assert "damaged" in log.warnings[0]
    flip(main(folder))
    assert make_engine(folder).load(parse).value == 2


def test_a_flipped_digit_in_the_record_condemns_no_good_file(folder):
    """The record has a checksum of its own."""
    record = backups(folder) / ".sum"
    lines = []
    for line in record.read_bytes().splitlines():
        tree = json.loads(line)
        tree["current"]["sha256"] = "0" * 64
        lines.append(json.dumps(tree))
    record.write_text("\n".join(lines))
    log = Log()

    assert make_engine(folder, log=log).load(parse).value == 3
    assert "its own checksum is wrong" in log.warnings[0]


def test_a_record_cut_at_any_length_condemns_no_good_file(folder):
    """As a crash leaves it: its second line is not synced, and says no more."""
    record = backups(folder) / ".sum"
    whole = record.read_bytes()
    first = len(whole.splitlines(keepends=True)[0])
    for length in range(len(whole)):
        record.write_bytes(whole[:length])
        log = Log()

        assert make_engine(folder, log=log).load(parse).value == 3
        # The line itself is whole without its end.
        assert bool(log.warnings) == (length < first - 1)


def test_a_damaged_record_and_a_lost_file_are_a_loss(folder):
    """There was a database once."""
    (backups(folder) / ".sum").write_bytes(b"x")
    main(folder).unlink()

    assert make_catalog(folder).exists("users")
    assert make_engine(folder).load(parse).value == 2
    assert make_engine(folder).load(parse).value == 2


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

    assert generations(make_engine(folder)) == [2, 1]
    assert list(backups(folder).glob("*.corrupt"))


def test_a_file_that_the_disk_cannot_read_is_recovered(folder, monkeypatch):
    """It is kept under another name, unread."""
    real = os.read
    inode = main(folder).stat().st_ino

    class Bad:
        def __getattr__(self, name):
            return getattr(os, name)

        def read(self, fd, size):
            if os.fstat(fd).st_ino == inode:
                raise OSError(errno.EIO, "bad sector")
            return real(fd, size)

    monkeypatch.setattr(_disk, "os", Bad())
    log = Log()

    loaded = make_engine(folder, log=log).load(parse)

    assert loaded.value == 2
    assert "cannot read" in log.warnings[0]
    assert main(folder).stat().st_ino != inode
    (kept,) = backups(folder).glob("*.corrupt")
    assert kept.stat().st_ino == inode


def test_an_unreadable_file_that_cannot_be_linked_stays(folder, monkeypatch):
    """The backup is served, and nothing is overwritten."""
    inode = main(folder).stat().st_ino
    real = os.read

    class Bad:
        def __getattr__(self, name):
            return getattr(os, name)

        def read(self, fd, size):
            if os.fstat(fd).st_ino == inode:
                raise OSError(errno.EIO, "bad sector")
            return real(fd, size)

        def link(self, _old, _new):
            raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(_disk, "os", Bad())
    log = Log()

    assert make_engine(folder, log=log).load(parse).value == 2
    assert any("cannot repair" in line for line in log.warnings)
    assert main(folder).stat().st_ino == inode


def test_a_failed_repair_serves_the_backup(folder, monkeypatch):
    """A full disk does not keep the data from being read."""
    flip(main(folder))

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(_disk, "write_temporary", full)
    engine = make_engine(folder)

    first = engine.load(parse)

    assert first.value == 2
    assert not engine.changed_since(first.version)
    monkeypatch.undo()
    assert engine.load(parse).version == first.version
    assert engine.commit(Commit(first.version, {}, lambda: state(5)))


def test_a_file_that_never_stands_still_is_an_error(folder, monkeypatch):
    """Reading without a lock gives up in the end."""
    monkeypatch.setattr(_reading, "_unmoved", lambda _place, _main: False)
    engine = FileEngine(main(folder), log=Log(), readonly=True)
    main(folder).write_bytes(state(8))

    with pytest.raises(DatabaseLoadError, match="changes all the time"):
        engine.load(parse)


def test_a_scenario_has_a_name():
    """For the ids of tests."""
    scenario = Scenario("x", print, print, frozenset(), None)

    assert str(scenario) == "x"
