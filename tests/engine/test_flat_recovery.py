"""A large database is restored and recovered without being in memory whole."""

import os
import re
import shutil
import tracemalloc
from contextlib import suppress
from itertools import chain

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    FORMAT,
    backups,
    commit,
    everything,
    flip,
    grow,
    journal,
    journaling,
    main,
    make_engine,
    paging,
)
from faults.large import MEBIBYTE, MOST_BYTES, RECORD, RECORDS, make_large
from stand_ins import Log
from storify import Storify
from storify.engine import Commit, entries_of
from storify.engine.file import past
from storify.exceptions import CorruptionError, DatabaseLoadError
from storify.explorer import Session


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a large database."""
    folder = tmp_path_factory.mktemp("large") / "data"
    make_large(folder)
    return folder


@pytest.fixture
def large(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "data", copy_function=shutil.copy2)


def peak_of(work):
    """The most memory that something takes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_state_is_restored(large):
    """All of it, as it was."""
    sf = Storify(large, save_interval=None, log=Log(), cache_bytes=MEBIBYTE)
    db = sf.get_db("users")
    before = db.backups.list[0]

    def restore():
        assert db.backups.restore(db.backups.last) == {f"k{n}" for n in range(5)}

    assert peak_of(restore) < MOST_BYTES
    assert all(db[f"k{n}"] == RECORD for n in range(6))
    assert db.backups.diff(before)
    db.close()


def test_a_state_is_restored_from_outside(large):
    """As the command line does."""
    Storify(large, save_interval=None, log=Log()).get_db("users").close()
    with Session(large, write=True) as session:
        oldest = session.states("users")[-1].id

        def restore():
            assert session.restore("users", oldest).changed == 5

        assert peak_of(restore) < MOST_BYTES
    db = Storify(large, save_interval=None, log=Log()).get_db("users")
    assert all(db[f"k{n}"] == RECORD for n in range(6))
    db.close()


def test_what_others_have_written_is_brought_in(large):
    """Also if nobody has noted what they changed."""
    sf = Storify(large, save_interval=None, log=Log(), cache_bytes=MEBIBYTE)
    db = sf.get_db("users")
    mine = db["k9"]
    with Storify(large, save_interval=None, log=Log()) as other:
        there = other.get_db("users")
        del there["k7"]
        there.update(k8="theirs", new="theirs")
        there.flush(compact=True)
    for path in backups(large).glob("*.journal"):
        path.unlink()

    assert peak_of(db.reload) < MOST_BYTES
    assert (db["k8"], db["new"], "k7" in db) == ("theirs", "theirs", False)
    assert db["k9"] == mine
    assert len(db) == RECORDS
    assert list(db)[-1] == "new"
    db.close()


def rot(folder):
    """A byte of the main file rots."""
    flip(main(folder), main(folder).stat().st_size // 2)


def lose(folder):
    """The main file is gone."""
    main(folder).unlink()


def forget(folder):
    """What was noted of the files is gone."""
    (backups(folder) / ".sum").unlink()


def touch(folder):
    """The main file was copied, or so it looks."""
    os.utime(main(folder))


def tear(folder):
    """The last commit is cut off, in both copies."""
    for path in (journal(folder), backups(folder) / ".mirror"):
        os.truncate(path, path.stat().st_size - 3)


def rot_journal(folder):
    """A byte of the journal rots."""
    flip(journal(folder), 90)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("harm", [rot, lose, forget, touch, tear, rot_journal])
def test_a_file_that_is_not_as_it_was_left(large, harm, readonly):
    """It is recovered, or taken as it is; a part at a time."""
    harm(large)
    last = RECORD if harm is tear else 4

    def read():
        snapshot = make_engine(large, readonly=readonly).open()
        assert snapshot.kind == "str"
        assert snapshot.get(FORMAT.encode("k4")) == FORMAT.encode(last)
        assert sum(map(len, snapshot.items())) == RECORDS

    assert peak_of(read) < MOST_BYTES
    assert readonly or make_engine(large).verify() == []


def test_a_file_that_rots_while_it_is_open(large):
    """What was seen of it stays, and the file is healed by the next one who opens it."""
    engine = make_engine(large)
    snapshot = engine.open()
    assert snapshot.get(FORMAT.encode("k4")) == FORMAT.encode(4)
    rot(large)

    def read():
        assert sum(map(len, snapshot.items())) == RECORDS

    assert peak_of(read) < MOST_BYTES
    assert peak_of(make_engine(large).open) < MOST_BYTES
    assert make_engine(large).verify() == []


def commit_one(engine):
    """Commit to a file that was touched since it was opened."""
    version = engine.open().version
    touch(engine.folder)
    key = FORMAT.encode("k8")
    engine.commit(Commit(version, [(key, key)], compact=True))
    assert make_engine(engine.folder).open().get(key) == key


def purge(engine):
    """Leave one file alone."""
    engine.purge()
    assert engine.backups() == []


def destroy(engine):
    """Leave the backups alone."""
    engine.destroy()
    assert engine.open() is None


@pytest.mark.parametrize("work", [commit_one, purge, destroy])
def test_a_file_is_written_anew_or_put_away(large, work):
    """Whoever has written to it."""
    engine = make_engine(large)
    engine.folder = large
    assert peak_of(lambda: work(engine)) < MOST_BYTES


def test_an_edit_by_another_program(large):
    """It is brought in; of what did not change nothing is in memory."""
    edit(large, k9="theirs")

    def read():
        snapshot = make_engine(large).open()
        assert snapshot.get(FORMAT.encode("k9")) == FORMAT.encode("theirs")
        assert snapshot.get(FORMAT.encode("k4")) == FORMAT.encode(4)
        assert sum(map(len, snapshot.items())) == RECORDS

    assert peak_of(read) < MOST_BYTES
    assert make_engine(large).verify() == []


def test_what_is_salvaged_is_in_memory_once(large):
    """And not a second time, as one root or as what it was read of."""
    size = main(large).stat().st_size
    rot(large)
    for path in backups(large).glob("*Z*"):
        path.unlink()
    sf = Storify(large, save_interval=None, log=Log())
    with pytest.raises(CorruptionError):
        sf.get_db("users")

    def save():
        assert len(sf.salvage("users").lost) == 1

    assert peak_of(save) < size + MOST_BYTES
    assert len(sf.get_db("users")) == RECORDS - 1
    sf.get_db("users").close()


# In parts and at once

HARMS = {
    "main rots": lambda folder, at: flip(main(folder), at % 1000),
    "main is cut": lambda folder, at: os.truncate(main(folder), at % 1000),
    "main is lost": lambda folder, _: main(folder).unlink(missing_ok=True),
    "main is touched": lambda folder, at: os.utime(main(folder), ns=(at, at)),
    "main is edited": lambda folder, at: edit(folder, tool=at),
    "main has twins": lambda folder, _: main(folder).write_bytes(b"\x82\xa1a\x01" * 2),
    "the record is lost": lambda folder, _: (backups(folder) / ".sum").unlink(),
    "the index is lost": lambda folder, _: (backups(folder) / ".index").unlink(),
    "the journal rots": lambda folder, at: flip(journal(folder), at % 1000),
    "the journal is cut": lambda folder, at: os.truncate(journal(folder), at % 1000),
    "the journal is lost": lambda folder, _: journal(folder).unlink(),
    "the mirror rots": lambda folder, at: flip(backups(folder) / ".mirror", at % 1000),
    "the mirror is lost": lambda folder, _: (backups(folder) / ".mirror").unlink(),
    "a backup rots": lambda folder, at: flip(backup(folder, ".mpack"), at % 1000),
    "a backup is lost": lambda folder, _: backup(folder, ".mpack").unlink(),
    "its journal rots": lambda folder, at: flip(backup(folder, ".journal"), at % 999),
    "its journal is lost": lambda folder, _: backup(folder, ".journal").unlink(),
}


def backup(folder, suffix):
    """The newest file among the backups."""
    return max(backups(folder).glob(f"*{suffix}"))


def edit(folder, **changes):
    """Change the main file as another program does."""
    data = msgpack.unpackb(main(folder).read_bytes())
    main(folder).write_bytes(msgpack.packb({**data, **changes}))


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A small database with backups and journals, as a large one has them."""
    folder = tmp_path_factory.mktemp("grown") / "data"
    with journaling(), paging():
        engine = grow(folder, 4)
        commit(engine, 5, compact=True)
        commit(engine, 6)
        commit(engine, 7)
    return folder


def test_a_lost_file_with_a_hole_in_its_journal_is_what_is_left_of_both(
    grown, tmp_path
):
    """At once, and not only when it is opened again."""
    folder = shutil.copytree(grown, tmp_path / "data")
    main(folder).unlink()
    for path in (journal(folder), backups(folder) / ".mirror"):
        flip(path, 95)
    log = Log()
    with journaling(), paging():
        found = entries_of(make_engine(folder, log=log).open())
        again = entries_of(make_engine(folder).open())

    assert found == again
    assert sum("lost" in line for line in log.warnings) > 1


def told(folder, text):
    """A text, without what differs between two folders."""
    return re.sub(r"\d{8}T\d{6}\.\d{6}Z", "TIME", str(text).replace(str(folder), ""))


def outcome(folder, *, readonly):
    """What comes of an opening: the state, what is told, and the files."""
    log = Log()
    engine = make_engine(folder, log=log, readonly=readonly)
    found = []
    try:
        snapshot = engine.open()
        if snapshot is not None:
            found = list(chain.from_iterable(snapshot.items()))
            assert len(snapshot) == len(found)
            assert all(snapshot.get(key) == value for key, value in found)
            found += [snapshot.version, told(folder, snapshot.recovered_from)]
    except (CorruptionError, DatabaseLoadError) as error:
        found += [type(error), told(folder, error)]
    lines = [told(folder, line) for line in log.warnings]
    files = everything(folder)
    noted = (".sum", "index")  # they tell how the files look in their folder
    kept = {told(folder, n): None if n.endswith(noted) else files[n] for n in files}
    return found, lines, kept


@given(
    harms=st.sets(st.sampled_from(sorted(HARMS)), min_size=1, max_size=3),
    at=st.integers(0, 2000),
    readonly=st.booleans(),
)
def test_what_is_recovered_in_parts_is_what_is_recovered_at_once(
    grown, tmp_path_factory, harms, at, readonly
):
    """The state, what is told of it, and all files; the second time, too."""
    outcomes = []
    for whole_bytes in (0, 1 << 20):
        folder = tmp_path_factory.mktemp("d") / "data"
        shutil.copytree(grown, folder)
        for harm in sorted(harms):
            with suppress(OSError, ValueError, IndexError):
                HARMS[harm](folder, at)
        with journaling(), paging(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(past, "WHOLE_BYTES", whole_bytes)
            outcomes.append([outcome(folder, readonly=readonly) for _ in range(2)])
    parts, at_once = outcomes

    assert parts == at_once
