"""A small commit has two syncs: its file says by its time that it is ours."""

import errno
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    backups,
    commit,
    found,
    generations,
    grow,
    main,
    make_engine,
    state,
)
from faults.sampling import sample
from stand_ins import Log
from storify.engine.file import vfs
from storify.engine.file.manifest import is_sealed, sealed_ns

SECOND = 10**9
TIMES = st.integers(0, 2**62)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


def record(folder) -> os.PathLike[str]:
    """The checksum record."""
    return backups(folder) / ".sum"


@pytest.fixture
def syncs(monkeypatch) -> list[int]:
    """The files that were synced."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    return synced


@given(now=TIMES, digest=DIGESTS)
def test_a_seal_moves_a_time_by_less_than_a_millisecond(now, digest):
    """And it is found again."""
    sealed = sealed_ns(now, -SECOND, digest)

    assert abs(sealed - now) < 10**6
    assert is_sealed(sealed, digest)


@given(now=TIMES, ahead=st.integers(-SECOND, SECOND - 1), digest=DIGESTS)
def test_a_sealed_time_is_later_than_the_one_before(now, ahead, digest):
    """Though the clock stands still, or shows a bit less."""
    sealed = sealed_ns(now, now + ahead, digest)

    assert sealed > now + ahead
    assert is_sealed(sealed, digest)


def test_a_time_far_ahead_is_not_gone_on_from():
    """Somebody has set it."""
    assert sealed_ns(5 * SECOND, 99 * SECOND, "0" * 64) == 5 * SECOND


def test_a_small_commit_takes_two_syncs(tmp_path, syncs):
    """Also the first one of a program."""
    grow(tmp_path, 2)
    engine = make_engine(tmp_path)
    engine.load()
    for generation in (3, 4):
        syncs.clear()

        commit(engine, generation)

        assert len(syncs) == 2


def test_a_record_of_any_age_does_no_harm(tmp_path):
    """As a power cut leaves it, which no commit but the first has synced."""
    engine = make_engine(tmp_path)
    commit(engine, 1)
    first = record(tmp_path).read_bytes()
    for generation in range(2, 6):
        commit(engine, generation)
    whole = record(tmp_path).read_bytes()
    assert whole.startswith(first)

    for length in sample(range(len(first), len(whole), 7), 20):
        for tail in (b"", bytes(99), b"\xff"):
            folder = tmp_path / "cut"
            shutil.copytree(tmp_path, folder, ignore=lambda *_: ["cut"])
            record(folder).write_bytes(whole[:length] + tail)
            log = Log()
            later = make_engine(folder, log=log)

            assert found(later) == 5
            assert not log.warnings
            assert make_engine(folder).verify() == []
            assert generations(later)[-4:] == [4, 3, 2, 1]
            commit(later, 6)
            assert found(make_engine(folder, log=log)) == 6
            assert not log.warnings
            shutil.rmtree(folder)


def test_what_a_record_did_not_know_of_is_noted_by_the_next_load(tmp_path):
    """So that rot is told from then on, and rebuilt exactly."""
    engine = make_engine(tmp_path)
    commit(engine, 1)
    first = record(tmp_path).read_bytes()
    commit(engine, 2)
    commit(engine, 3)
    record(tmp_path).write_bytes(first)
    assert found(make_engine(tmp_path)) == 3
    before = main(tmp_path).stat()
    main(tmp_path).write_bytes(bytes(before.st_size))
    os.utime(main(tmp_path), ns=(before.st_atime_ns, before.st_mtime_ns))

    assert found(make_engine(tmp_path)) == 3


def test_rot_after_a_lost_record_costs_nothing_that_the_backups_have(tmp_path):
    """The newest state that they give is taken, not the one that is noted."""
    engine = make_engine(tmp_path)
    commit(engine, 1)
    first = record(tmp_path).read_bytes()
    commit(engine, 2)
    commit(engine, 3)
    record(tmp_path).write_bytes(first)
    main(tmp_path).write_bytes(b"rot")

    assert found(make_engine(tmp_path)) == 3


def test_without_the_right_to_write_it_is_served(tmp_path):
    """And not noted."""
    engine = make_engine(tmp_path)
    commit(engine, 1)
    first = record(tmp_path).read_bytes()
    commit(engine, 2)
    record(tmp_path).write_bytes(first)
    log = Log()

    assert found(make_engine(tmp_path, log=log, readonly=True)) == 2
    assert record(tmp_path).read_bytes() == first
    assert not log.warnings


def test_another_programs_file_is_told_of_though_the_record_is_old(tmp_path):
    """Its time is no seal."""
    engine = make_engine(tmp_path)
    commit(engine, 1)
    first = record(tmp_path).read_bytes()
    commit(engine, 2)
    record(tmp_path).write_bytes(first)
    main(tmp_path).write_bytes(state(7))
    log = Log()

    assert found(make_engine(tmp_path, log=log)) == 7
    assert "another program" in log.warnings[0]


def test_a_backup_that_is_put_back_is_told_of(tmp_path):
    """It is sealed as well, and older than what is noted."""
    engine = grow(tmp_path, 3)
    oldest = engine.backup_path(engine.backups()[-1].id)
    shutil.copy2(oldest, main(tmp_path))
    log = Log()

    assert found(make_engine(tmp_path, log=log)) == 1
    assert "another program" in log.warnings[0]


def test_where_times_cannot_be_set_the_record_is_durable(tmp_path, monkeypatch, syncs):
    """Before the file gets its name, as that of a large one."""
    engine = grow(tmp_path, 2)

    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(vfs.os, "utime", refuse)
    syncs.clear()

    commit(engine, 3)

    assert len(syncs) >= 4
    assert found(make_engine(tmp_path)) == 3


def test_a_record_stays_small(tmp_path, monkeypatch):
    """Its last line takes the place of all when there are many."""
    monkeypatch.setattr("storify.engine.file.manifest.MOST_BYTES", 2000)
    engine = make_engine(tmp_path)

    for generation in range(1, 20):
        commit(engine, generation)

        assert record(tmp_path).stat().st_size < 3000
    assert found(make_engine(tmp_path)) == 19


def test_a_commit_after_a_foreign_write_in_the_same_moment_notices_it(tmp_path):
    """What is remembered of the last commit does not count then."""
    engine = grow(tmp_path, 3)
    before = main(tmp_path).stat()
    main(tmp_path).write_bytes(state(8))
    os.utime(main(tmp_path), ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    commit(engine, 9)

    assert found(engine) == 9
    assert 8 in generations(engine)
