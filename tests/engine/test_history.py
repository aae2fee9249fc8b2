"""A database with a journal: its past, its news, its folds, and who shares it."""

import errno
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from faults.database import (
    FORMAT,
    SPLICED_FROM,
    backups,
    commit,
    entries_of,
    found,
    generation_of,
    generations,
    grow,
    journal,
    journaling,
    main,
    make_catalog,
    make_engine,
    parse,
    state,
    step,
    whole_of,
)
from stand_ins import Log
from storify.engine import (
    Commit,
    Keep,
    MemoryEngine,
    StaleVersionError,
    Version,
    WholeSnapshot,
    apply,
)
from storify.engine.file import append
from storify.exceptions import CorruptionError, DatabaseReadOnlyError
from storify.testing._disk import Fault, injected

LAST = 16


@pytest.fixture(autouse=True)
def _with_a_journal():
    with journaling():
        yield


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with a database at generation 3: one root, two frames."""
    grow(tmp_path, 3)
    assert journal(tmp_path).exists()
    return tmp_path


def base_of(folder: Path) -> int:
    """The generation of the main file, as a plain reader finds it."""
    return parse(main(folder).read_bytes())


# The main file and its journal


def test_a_main_file_is_a_whole_root_at_every_commit(tmp_path):
    """The newest state, or the one before the journal."""
    engine = make_engine(tmp_path)
    bases = []
    for generation in range(1, LAST):
        commit(engine, generation)
        bases.append(base_of(tmp_path))

    assert bases == [1] * 6 + [7] * 6 + [13] * 3
    assert found(make_engine(tmp_path)) == LAST - 1


def test_a_commit_costs_what_it_changes(large):
    """Even if it changes one part of a large value."""
    size = journal(large).stat().st_size

    commit(make_engine(large), 4)

    assert journal(large).stat().st_size - size < 250
    assert 2 * SPLICED_FROM > 100


def test_a_change_of_most_of_the_file_writes_it_anew(large):
    """There is nothing to save then."""
    engine = make_engine(large)
    loaded = engine.load()
    big = FORMAT.encode(os.urandom(2000))

    engine.commit(Commit(loaded.version, [(FORMAT.encode("bulk"), big)]))

    assert not journal(large).exists()
    assert entries_of(engine.load())[FORMAT.encode("bulk")] == big


def test_a_commit_may_ask_for_one_whole_file(large):
    """For programs that read the file alone."""
    commit(make_engine(large), 4, compact=True)

    assert not journal(large).exists()
    assert base_of(large) == 4


def test_without_a_journal_each_commit_writes_the_file(tmp_path):
    """And folds one that is there."""
    grow(tmp_path, 3)

    commit(make_engine(tmp_path, journal=False), 4)

    assert not journal(tmp_path).exists()
    assert base_of(tmp_path) == 4


def test_close_leaves_the_journal_of_a_large_file(large):
    """However long it is; an idle moment folds it, at once and without a change."""
    engine = make_engine(large)
    version = commit(engine, 4)
    assert engine.is_worth_folding()

    engine.close()

    assert journal(large).exists()
    assert base_of(large) == 1
    assert not engine.is_worth_folding()  # it is not this engine's any more
    assert engine.load().version == version
    engine.commit(Commit(version, (), compact=True))
    assert not journal(large).exists()
    assert base_of(large) == 4


@pytest.fixture
def _small(monkeypatch) -> None:
    """Files of this size are small."""
    monkeypatch.setattr("storify.engine.file.engine.JOURNALED_FROM_BYTES", 1 << 20)


@pytest.mark.usefixtures("_small")
def test_close_folds_what_its_engine_has_committed_to_a_small_file(tmp_path):
    """With all that others have."""
    engine = grow(tmp_path, 3, sync="interval")
    commit(engine, 4)
    commit(make_engine(tmp_path, sync="interval"), 5)
    assert journal(tmp_path).exists()

    engine.close()

    assert not journal(tmp_path).exists()
    assert base_of(tmp_path) == 5
    assert found(make_engine(tmp_path)) == 5


def test_close_leaves_the_frames_of_others_alone(large):
    """A reader does not write a file of megabytes when it ends."""
    engine = make_engine(large)
    assert found(engine) == 3

    engine.close()

    assert journal(large).exists()
    assert base_of(large) == 1


@pytest.mark.usefixtures("_small")
def test_a_close_that_fails_loses_nothing(tmp_path, monkeypatch):
    """The frames stay, and the next one may fold them."""
    engine = grow(tmp_path, 4, sync="interval")
    with monkeypatch.context() as patch:
        patch.setattr(append.Held, "require_writable", failing)
        with pytest.raises(OSError, match="full"):
            engine.close()
    assert found(make_engine(tmp_path)) == 4

    engine.close()

    assert base_of(tmp_path) == 4


def failing(*_args, **_options):
    """A full disk."""
    raise OSError(errno.ENOSPC, "full")


def test_a_file_that_may_not_be_written_gets_no_first_frame(tmp_path, monkeypatch):
    """Though its folder would allow one."""
    engine = grow(tmp_path, 1)
    real, path = os.access, str(main(tmp_path))
    monkeypatch.setattr(os, "access", lambda at, way: at != path and real(at, way))

    with pytest.raises(PermissionError, match="read-only"):
        commit(engine, 2)

    assert not journal(tmp_path).exists()


def test_a_value_that_cannot_be_compared_leaves_all_as_it_was(large):
    """An error of the caller in the middle of a commit frees the lock."""
    engine = make_engine(large)
    loaded = engine.load()

    def fail(_key):
        raise ZeroDivisionError

    change = (FORMAT.encode("long"), FORMAT.encode("y" * 2 * SPLICED_FROM))
    with pytest.raises(ZeroDivisionError):
        engine.commit(Commit(loaded.version, [change], stored=fail))

    assert found(engine) == 3
    commit(engine, 4)


def test_after_a_failed_sync_the_journal_is_not_used_again(large):
    """A kernel that failed to write a page calls it clean."""
    engine = make_engine(large)
    at = 10**6
    for generation in (3, 4):  # the second knows how far the first came
        version = engine.load().version
        with injected(Fault(at, errno.EIO)) as fault:
            engine.commit(step(version, generation, generation + 1))
    at = fault.trace.index("fdatasync") + 1
    version = engine.load().version
    with injected(Fault(at, errno.EIO)) as fault:
        assert_fails(lambda: engine.commit(step(version, 5, 6)))
    assert fault.trace[at - 1] == "fdatasync"

    engine.commit(step(version, 5, 6))

    assert not journal(large).exists()
    assert base_of(large) == 6


def assert_fails(work):
    """It raises what the disk did."""
    with pytest.raises(OSError, match="Input/output"):
        work()


def test_a_failed_interval_sync_makes_the_next_commit_a_whole_file(tmp_path):
    """What could not be synced is in memory, and is written elsewhere."""
    engine = make_engine(tmp_path, sync="interval")
    for generation in (1, 2):
        commit(engine, generation)
    commit(engine, 3)
    assert engine.unsynced()
    with injected(Fault(2, errno.EIO)):
        assert_fails(engine.sync)
    assert engine.unsynced()

    commit(engine, 4)

    assert not engine.unsynced()
    assert base_of(tmp_path) == 4


def test_a_sync_after_another_program_has_folded_is_done(tmp_path):
    """The frames are durable with the main file."""
    engine = make_engine(tmp_path, sync="interval")
    for generation in (1, 2, 3):
        commit(engine, generation)
    commit(make_engine(tmp_path), 4, compact=True)

    engine.sync()

    assert found(engine) == 4


# Restore points


def test_every_commit_is_a_restore_point(tmp_path):
    """By its id and by its time, as far back as the policy keeps the roots."""
    engine = make_engine(tmp_path)
    times = {}
    for generation in range(1, LAST):
        commit(engine, generation)
        stamp = engine._access.seen().read().stamp
        times[generation] = stamp
        if generation == 9:
            engine.backup()

    past = generations(make_engine(tmp_path))
    assert past == list(range(LAST - 2, 0, -1))
    infos = make_engine(tmp_path).backups()
    for info, generation in zip(infos, past, strict=True):
        assert info.id.startswith(times[generation])
        at = info.time
        for later in (0, 999_999):
            payload = whole_of(engine.state(at + timedelta(microseconds=later)))
            assert parse(payload) == generation, (generation, later)
        path = engine.backup_path(info.id)
        assert Path(path).exists()
        assert info.kind == ("commit" if path.endswith(".journal") else "snapshot")
    assert parse(whole_of(engine.state(infos[0].time + timedelta(days=1)))) == LAST - 1


def test_the_past_survives_closing_copying_and_renaming(tmp_path):
    """It is all in the files."""
    engine = grow(tmp_path, 9)
    engine.close()
    make_catalog(tmp_path).rename("users", "people")

    people = make_engine(tmp_path, "people")

    assert generations(people) == list(range(8, 0, -1))
    assert found(people) == 9
    assert people.verify() == []


def test_a_pruned_root_takes_its_commits_along(tmp_path):
    """What is between two that are kept is not made up."""
    engine = make_engine(tmp_path, keep=1)
    for generation in range(1, LAST):
        commit(engine, generation)

    past = generations(engine)

    assert past == [14, 13, 12, 11, 10, 9, 8, 7]
    with pytest.raises(FileNotFoundError, match="no state as old"):
        whole_of(engine.state(engine.backups()[-1].time - timedelta(seconds=1)))


def test_states_of_a_destroyed_predecessor_are_found(tmp_path):
    """It had no more after its last, and what came then has another past."""
    engine = grow(tmp_path, 4)
    engine.destroy()
    last = engine.backups()[0]
    assert parse(whole_of(engine.state(last.id))) == 4

    commit(engine, 8)

    assert parse(whole_of(engine.state(last.time + timedelta(microseconds=1)))) == 4
    assert generations(engine) == [4, 3, 2, 1]
    assert found(engine) == 8


def test_a_restore_to_the_first_state_is_one_more_commit(tmp_path):
    """Though the main file has that content still, and a journal on top of it."""
    engine = grow(tmp_path, 3)
    loaded = engine.load()
    entries = FORMAT.split(state(1))
    gone = [(key, None) for key in entries_of(loaded) if key not in entries]

    for _ in range(2):
        engine.commit(
            Commit(
                engine.load().version,
                [*gone, *entries.items()],
                compact=True,
            )
        )
        assert found(make_engine(tmp_path)) == 1
        assert generations(engine) == [3, 2, 1]
    commit(engine, 4)

    assert generations(engine) == [1, 3, 2, 1]
    assert found(make_engine(tmp_path)) == 4


# Newer


def test_another_instance_is_told_what_changed(tmp_path):
    """Frame by frame; a fold alone is no news."""
    one, other = grow(tmp_path, 2), make_engine(tmp_path)
    known = other.load()
    entries = entries_of(known)
    version = known.version
    whole_loads = 0
    for generation in range(3, LAST):
        commit(one, generation)

        news = other.changes_since(version)

        if news.changes is None:  # a splice of a value that only we know
            whole_loads += 1
            loaded = other.load()
            entries, version = entries_of(loaded), loaded.version
        else:
            apply(entries, news.changes)
            version = news.version
        assert parse(FORMAT.join(entries)) == generation
        assert other.changes_since(version) is None
    assert whole_loads


def test_news_without_splices_are_all_changes(tmp_path, monkeypatch):
    """Also across a fold by size, by close and when told."""
    monkeypatch.setattr(append, "DELTA_FROM_BYTES", 1 << 16)
    one, other = grow(tmp_path, 2), make_engine(tmp_path)
    entries, version = entries_of(other.load()), other.load().version
    for generation in range(3, LAST):
        commit(one, generation, compact=generation == 5)
        if generation == 9:
            one.close()

        news = other.changes_since(version)

        assert news.changes is not None, generation
        apply(entries, news.changes)
        version = news.version
        assert parse(FORMAT.join(entries)) == generation


def test_a_commit_on_top_of_anothers_needs_its_version(large):
    """And goes into the same journal."""
    one, other = make_engine(large), make_engine(large)
    old = one.load().version
    new = commit(other, 4)

    with pytest.raises(StaleVersionError):
        one.commit(step(old, 3, 5))
    one.commit(step(new, 4, 5))

    assert found(other) == 5
    assert base_of(large) == 1


def test_a_fold_by_another_makes_a_version_stale_but_is_no_change(large):
    """The news are empty, and the commit goes on top."""
    one, other = make_engine(large), make_engine(large)
    old = commit(one, 4)
    commit(other, 5)
    commit(other, 6)
    known = one.load().version
    other.commit(Commit(known, (), compact=True))
    assert old != known

    news = one.changes_since(known)

    assert list(news.changes) == []
    assert one.commit(step(news.version, 6, 7))
    assert found(make_engine(large)) == 7


def test_a_foreign_write_is_a_commit_after_all_others(large):
    """With a warning; what it took the place of is a backup. More in test_edited."""
    log = Log()
    engine = make_engine(large, log=log)
    version = engine.load().version
    main(large).write_bytes(state(9))

    news = engine.changes_since(version)
    assert news.changes is None
    with pytest.raises(StaleVersionError):
        engine.commit(step(version, 3, 4))
    loaded = make_engine(large).load()

    assert generation_of(loaded) == 9
    assert len(log.warnings) == 1
    assert generations(engine) == [3, 2, 1]
    assert not journal(large).exists()
    later = Log()
    commit(make_engine(large, log=later), 10)
    assert later.warnings == []
    assert found(make_engine(large)) == 10


def test_a_reader_without_a_lock_sees_whole_commits_alone(tmp_path):
    """While another thread writes, folds and prunes."""
    grow(tmp_path, 1)
    done = threading.Event()
    errors: list[BaseException] = []

    def write():
        try:
            engine = make_engine(tmp_path)
            for generation in range(2, 60):
                commit(engine, generation)
        except BaseException as err:  # noqa: BLE001 - shown below
            errors.append(err)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = [0]
    reader = make_engine(tmp_path, readonly=True)
    while not done.is_set():
        seen.append(found(reader))
    thread.join()

    assert errors == []
    assert seen == sorted(seen)
    assert found(reader) == 59


def test_a_journal_that_is_not_ours_any_more_is_noticed_before_an_append(large):
    """Another journal of the same size and file time."""
    engine = make_engine(large)
    version = engine.load().version
    commit(make_engine(large), 4, compact=True)

    with pytest.raises(StaleVersionError):
        engine.commit(step(version, 3, 9))

    assert found(engine) == 4


def test_the_second_copy_is_made_before_the_first_frame(tmp_path):
    """A root with a journal is never the only copy of itself."""
    engine = grow(tmp_path, 1)
    assert list(backups(tmp_path).glob("*.mpack")) == []

    commit(engine, 2)

    (copy,) = backups(tmp_path).glob("*.mpack")
    assert parse(copy.read_bytes()) == 1
    assert not copy.samefile(main(tmp_path))
    assert engine.keep == Keep()


def test_a_rotten_file_gets_no_first_frame(tmp_path):
    """The copy of it would be rotten as well."""
    grow(tmp_path, 7)
    engine = make_engine(tmp_path)
    version = engine.load().version
    payload = bytearray(main(tmp_path).read_bytes())
    payload[30] ^= 1
    before = main(tmp_path).stat()
    main(tmp_path).write_bytes(payload)
    os.utime(main(tmp_path), ns=(before.st_atime_ns, before.st_mtime_ns))

    engine.commit(step(version, 7, 8))

    assert not journal(tmp_path).exists()
    assert base_of(tmp_path) == 8
    assert found(make_engine(tmp_path)) == 8


def test_a_root_that_its_backup_does_not_lead_to_gets_a_second_copy(tmp_path):
    """The commits beside the backup are lost, or lack the last one."""
    grow(tmp_path, 7)
    (beside,) = backups(tmp_path).glob("*.journal")
    beside.write_bytes(beside.read_bytes()[:-100])

    commit(make_engine(tmp_path), 8)

    copies = sorted(backups(tmp_path).glob("*.mpack"))
    assert [parse(copy.read_bytes()) for copy in copies] == [1, 7]


def test_a_lost_file_is_news_and_so_is_a_lost_journal(large):
    """Whoever asks loads, and the load recovers."""
    engine = make_engine(large)
    version = engine.load().version
    journal(large).unlink()

    news = engine.changes_since(version)
    assert news is None or news.changes is None
    assert found(engine) == 3
    version = engine.load().version
    main(large).unlink()

    assert engine.changes_since(version).changes is None
    assert engine.changes_since(None).changes is None
    assert found(engine) == 3


def test_a_journal_that_another_file_took_the_place_of_is_read_anew(large):
    """Though its content is the same, it is not where we would append."""
    engine = make_engine(large)
    version = engine.load().version
    journal(large).write_bytes(journal(large).read_bytes())
    os.utime(journal(large), ns=(1, 1))

    assert engine.changes_since(version) is None
    copy = journal(large).with_suffix(".copy")
    copy.write_bytes(journal(large).read_bytes())
    copy.replace(journal(large))

    assert engine.changes_since(version) is None
    assert engine.commit(step(version, 3, 4))
    assert found(make_engine(large)) == 4


def test_verify_looks_at_everything(large):
    """The record, the journal, what stands beside the backups."""
    assert make_engine(large).verify() == []
    (backups(large) / ".sum").write_bytes(b"?")
    commit(make_engine(large), 4, compact=True)
    (beside,) = backups(large).glob("*.journal")
    beside.unlink()
    beside.mkdir()
    (backups(large) / ".sum").write_bytes(b"?")
    journal(large).write_bytes(b"?" * 90)

    places = {problem.place for problem in make_engine(large).verify()}

    assert places >= {str(backups(large) / ".sum"), str(beside), str(journal(large))}


def test_the_path_of_a_backup_that_is_a_commit_is_that_of_its_journal(large):
    """The live one, or the one beside the root before it; an unknown one has none."""
    engine = make_engine(large)
    (second, first) = engine.backups()

    assert engine.backup_path(second.id) == str(journal(large))
    assert engine.backup_path(first.id).endswith(f"{first.id}.mpack")
    commit(engine, 4, compact=True)
    assert engine.backup_path(second.id).endswith(f"{first.id}.journal")
    with pytest.raises(FileNotFoundError):
        engine.backup_path(second.id + "0")


def test_a_commit_without_the_whole_cannot_replace_a_damaged_file(tmp_path):
    """Its caller is told to load."""
    engine = grow(tmp_path, 1)
    version = engine.load().version
    main(tmp_path).unlink()

    with pytest.raises(CorruptionError, match="load it first"):
        engine.commit(Commit(version, [(FORMAT.encode("text"), b"\x01")]))


def test_a_memory_engine_may_hold_one_older_state():
    """Read-only, with its time."""
    time = datetime(2026, 11, 23, tzinfo=UTC)
    three = WholeSnapshot(Version("v"), FORMAT.split(state(3)))
    engine = MemoryEngine.holding(
        three, root_format=FORMAT, location="users at noon", time=time
    )

    assert found(engine) == 3
    assert engine.location == "users at noon"
    assert parse(whole_of(engine.state(time))) == 3
    with pytest.raises(DatabaseReadOnlyError):
        commit(engine, 4)
