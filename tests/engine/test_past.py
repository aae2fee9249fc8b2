"""The past of a large database: found as it was, verified first, never in memory whole."""

import tracemalloc
import zlib
from datetime import UTC, datetime

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    FORMAT,
    backups,
    commit,
    flip,
    found,
    grow,
    journal,
    journaling,
    keep_times,
    main,
    make_engine,
    paging,
    state,
    whole_of,
)
from faults.large import MEBIBYTE, MOST_BYTES, RECORD, RECORDS, make_large
from stand_ins import Log
from storify import Storify
from storify.engine import Commit, FileEngine, apply
from storify.engine.file import past
from storify.engine.file.snapshot import FileSnapshot
from storify.exceptions import CorruptionError


@pytest.fixture
def large(tmp_path):
    """The folder of a large database."""
    make_large(tmp_path)
    return tmp_path


def read_oldest(db):
    """Iterate over the oldest state."""
    assert sum(value == RECORD for value in db.at(db.backups.last).values()) == RECORDS


def read_commit(db):
    """Iterate over a state that is kept as a commit."""
    path_of = db.backups.get_path_of_backup
    which = [each for each in db.backups.list if path_of(each).endswith(".journal")]
    then = db.at(which[0])
    assert [then[f"k{n}"] for n in range(4)] == [0, 1, 2, RECORD]
    assert sum(value == RECORD for value in then.values()) == RECORDS - 3


def read_time(db):
    """Iterate over the state of now, as one of the past."""
    now = db.at(datetime.now(UTC))
    assert [now[f"k{n}"] for n in range(6)] == [0, 1, 2, 3, 4, RECORD]
    assert sum(value == RECORD for value in now.values()) == RECORDS - 5


def restore_one(db):
    """Restore one record."""
    assert db.backups.restore(db.backups.last, ["k2", "k2999"]) == {"k2"}
    assert db["k2"] == RECORD
    assert db["k1"] == 1


def compare(db):
    """Compare the oldest state with the present, and what is not saved."""
    db["new"] = 1
    del db["k1000"]
    found = db.backups.diff(db.backups.last)
    assert found == ({"new"}, {"k1000"}, {"k0", "k1", "k2", "k3", "k4"})


def verify(db):
    """Look at all that is kept."""
    assert db.backups.verify() == []


def back_up(db):
    """Back up the present state, which is beside a journal."""
    kept = db.backups.backup()
    assert kept == db.backups.latest
    assert db.at(kept)["k4"] == 4


def list_all(db):
    """List the backups."""
    assert len(db.backups.list) == 5


@pytest.mark.parametrize(
    "work",
    [
        *(read_oldest, read_commit, read_time, restore_one),
        *(compare, verify, back_up, list_all),
    ],
)
def test_the_past_of_a_large_database_is_not_in_memory_whole(large, work):
    """A few mebibytes are, whatever is done with it."""
    sf = Storify(large, save_interval=None, log=Log(), cache_bytes=MEBIBYTE)
    db = sf.get_db("users")
    assert db["k9"] == RECORD

    tracemalloc.start()
    try:
        work(db)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    db.close(discard=True)
    assert peak < MOST_BYTES


@pytest.mark.parametrize("readonly", [False, True])
def test_a_large_file_without_an_index_is_not_in_memory_whole(large, readonly):
    """It is read once, in parts; who may write leaves an index for the next one."""
    index = backups(large) / ".index"
    index.unlink()

    tracemalloc.start()
    try:
        engine = make_engine(large, readonly=readonly)
        snapshot = engine.open()
        assert snapshot.get(FORMAT.encode("k4")) == FORMAT.encode(4)
        count = sum(len(some) for some in snapshot.items())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == len(snapshot) == RECORDS
    assert peak < MOST_BYTES
    assert index.exists() is not readonly
    assert engine.committed_at() is not None
    assert engine.changes_since(snapshot.version) is None
    if not readonly:
        new = [(FORMAT.encode("k9"), FORMAT.encode(9))]
        engine.commit(Commit(snapshot.version, new))
        again = make_engine(large).open()
        assert again.get(FORMAT.encode("k9")) == FORMAT.encode(9)
        assert again.get(FORMAT.encode("k8")) == FORMAT.encode(RECORD)


@pytest.mark.parametrize("which", [main, journal])
def test_a_damaged_file_without_an_index_is_recovered(tmp_path, which):
    """Wherever the damage is, as one that is read at once."""
    with paging(), journaling():
        grow(tmp_path, 4).backup()
        whole = make_engine(tmp_path)
        for at in range(0, which(tmp_path).stat().st_size, 60):
            (backups(tmp_path) / ".index").unlink(missing_ok=True)
            flip(which(tmp_path), at)
            log = Log()

            assert found(make_engine(tmp_path, log=log)) == 4

            assert log.warnings
            assert whole.verify() == []
            assert found(make_engine(tmp_path)) == 4


def asked(engine, which):
    """A state that is asked for single keys."""
    found = engine.state(which)
    assert isinstance(found, FileSnapshot)
    return found


def test_nothing_is_given_of_a_backup_that_is_damaged(tmp_path):
    """Wherever it is, the state is not opened at all."""
    with paging():
        engine = grow(tmp_path, 2)
        oldest = engine.backups()[-1]
        path = backups(tmp_path) / f"{oldest.id}.mpack"
        for at in range(0, path.stat().st_size, 7):
            flip(path, at)
            with pytest.raises(CorruptionError, match="does not match the hash"):
                engine.state(oldest.id)
            flip(path, at)
        assert whole_of(asked(engine, oldest.id)) == state(1)


@pytest.mark.parametrize("suffix", [".mpack", ".journal"])
def test_what_is_damaged_after_it_was_opened_is_not_given(tmp_path, suffix):
    """Each value is right, or there is an error."""
    with paging(), journaling():
        engine = grow(tmp_path, 4)
        commit(engine, 5, compact=True)
        newest = engine.backups()[0]
        assert newest.kind == "commit"
        (path,) = backups(tmp_path).glob(f"*{suffix}")
        wanted = FORMAT.split(state(4))
        errors = 0
        for at in range(0, path.stat().st_size, 5):
            found = asked(engine, newest.id)
            flip(path, at)
            try:
                given = dict(entry for some in found.items() for entry in some)
                assert given == wanted
            except (CorruptionError, OSError):
                errors += 1
            for key, value in wanted.items():
                try:
                    assert found.get(key) == value
                except (CorruptionError, OSError):
                    errors += 1
            found.close()
            flip(path, at)
        assert errors


values = st.none() | st.integers(0, 99) | st.text("ab", min_size=300, max_size=310)
steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), values), max_size=5),
        st.booleans(),
    ),
    max_size=6,
)


@given(steps)
def test_a_state_of_the_past_is_what_it_was(tmp_path_factory, steps):
    """Asked or read whole, by its id or its time, in its order."""
    path = tmp_path_factory.mktemp("d") / "users.mpack"
    with journaling(), paging():
        log = Log()
        engine = FileEngine(path, root_format=FORMAT, log=log, keep=99)
        present = {FORMAT.encode("bulk"): FORMAT.encode("x" * 4000)}
        version = engine.commit(Commit(None, list(present.items())))
        were = {engine.committed_at(): dict(present)}
        for changes, compact in steps:
            encoded = [
                (FORMAT.encode(key), None if value is None else FORMAT.encode(value))
                for key, value in changes
            ]
            before = dict(present)
            apply(present, encoded)
            made = Commit(version, encoded, stored=before.get, compact=compact)
            version = engine.commit(made)
            were[engine.committed_at()] = dict(present)
        infos = {info.time: info for info in engine.backups()}
        for time, entries in were.items():
            assert whole_of(engine.state(time)) == FORMAT.join(entries)
            if time in infos:
                found = engine.state(infos[time].id)
                assert whole_of(found) == FORMAT.join(entries)
                assert len(found) == len(entries)
                assert all(found.get(key) == entries[key] for key in entries)
        assert engine.verify() == []
        kept = engine.backup()
        assert whole_of(engine.state(kept)) == FORMAT.join(present)
        assert log.warnings == []


def collided():
    """Two keys of one hash, and one of them twice."""
    keys = [FORMAT.encode(key) for key in ("plumless", "buckeroo")]
    assert zlib.crc32(keys[0]) == zlib.crc32(keys[1])
    one, other = keys
    return b"\x83" + one + b"\x01" + other + b"\x02" + one + b"\x03"


FOREIGN = {
    "a key twice": b"\x83\xa1a\x01\xa1b\x02\xa1a\x03",
    "keys of one hash, one of them twice": collided(),
    "a head longer than needed": b"\xdf\x00\x00\x00\x02\xa1a\x01\xa1b\x02",
    "a key in more bytes": b"\x82\xd9\x01a\x01\xa1b\x02",
    "keys of two types": b"\x82\xa1a\x01\x07\x02",
    "a list": b"\x93\x01\x02\xa1a",
    "nothing": b"\x80",
    "four gigabytes that are not there": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
    "it is cut": b"\x82\xa1a\x01\xa1b",
    "there is more": b"\x81\xa1a\x01\xa1b",
    "no root": b"\xa1a",
    "an integer of no type": b"\x81\xa1a\xc1",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_root_of_another_program_is_read_as_a_whole(tmp_path, name):
    """It means what it means, or is refused for what is wrong with it."""
    grow(tmp_path, 1)
    payload = FOREIGN[name]
    path = backups(tmp_path) / "7"
    path.write_bytes(payload)
    engine = make_engine(tmp_path)
    problems = [problem.what for problem in engine.verify()]
    wanted: object = None
    try:
        wanted = FORMAT.split(payload)
    except ValueError as error:
        wanted = str(error)

    with paging():
        assert [problem.what for problem in engine.verify()] == problems
        if isinstance(wanted, str):
            with pytest.raises(ValueError, match=wanted):
                engine.state("7")
        else:
            found = engine.state("7")
            assert dict(entry for some in found.items() for entry in some) == wanted
            assert not isinstance(found, FileSnapshot)


def test_keys_of_one_hash_are_told_apart_in_the_past(tmp_path):
    """They are no reason to read all."""
    engine = FileEngine(tmp_path / "users.mpack", root_format=FORMAT, log=Log())
    alike = [FORMAT.encode(key) for key in ("plumless", "buckeroo")]
    engine.commit(Commit(None, [(key, key) for key in alike]))

    with paging():
        found = asked(engine, engine.backup())
        assert [found.get(key) for key in alike] == alike


def test_a_value_longer_than_a_part_is_given(tmp_path, monkeypatch):
    """And one that ends with it, or with the one before."""
    monkeypatch.setattr(past, "PART_BYTES", 64)
    root = {f"k{n}": "x" * n for n in [*range(40, 70), 1000, 3]}
    engine = FileEngine(tmp_path / "users.mpack", root_format=FORMAT, log=Log())
    engine.commit(Commit(None, list(FORMAT.encode_items(root).items())))

    with paging():
        found = asked(engine, engine.backup())

        assert FORMAT.decode_root(whole_of(found)) == root
        assert engine.verify() == []


def test_a_state_that_is_open_survives_its_backup(tmp_path):
    """Who has it reads on, though it was pruned; closed, it has no descriptors."""
    with paging():
        engine = grow(tmp_path, 2)
        found = asked(engine, engine.backups()[-1].id)
        engine.purge()

        assert whole_of(found) == state(1)
        assert found.descriptors()
        found.close()
        assert found.descriptors() == set()


def test_a_state_is_read_whole_where_too_many_files_are_open(tmp_path, monkeypatch):
    """The present ones need them more."""
    with paging():
        engine = grow(tmp_path, 2)
        monkeypatch.setattr("storify.engine.file.snapshot._MOST", 0)

        found = engine.state(engine.backups()[-1].id)

        assert not isinstance(found, FileSnapshot)
        assert whole_of(found) == state(1)


def test_a_database_of_the_past_lets_go_of_its_file(tmp_path):
    """When it is closed, and not before, whatever reads it in between."""
    with paging():
        sf = Storify(tmp_path, save_interval=None, log=Log())
        db = sf.get_db("users", root={"a": 1, "b": 2})
        db.flush()
        db["a"] = 3
        db.flush()
        then = db.at(db.backups.last)

        assert then._session.durable()
        assert then["a"] == 1
        assert dict(then.items()) == {"a": 1, "b": 2}
        assert then.copy() == {"a": 1, "b": 2}
        then.close()
        state = then._session.engine._store.held
        assert state._state.descriptors() == set()


def test_a_backup_beside_a_journal_is_one_root(tmp_path):
    """In the bytes that a fold would write; rot in it makes none."""
    with paging(), journaling():
        engine = grow(tmp_path, 4)
        kept = engine.backup()
        assert (backups(tmp_path) / f"{kept}.mpack").read_bytes() == state(4)
        assert msgpack.unpackb(state(4))["generation"] == 4
        commit(engine, 5)
        rotten = main(tmp_path).read_bytes()
        before = sorted(backups(tmp_path).iterdir())
        keep_times(main(tmp_path), rotten[:-1] + bytes([rotten[-1] ^ 1]))

        with pytest.raises(CorruptionError):
            engine.backup()

        assert sorted(backups(tmp_path).iterdir()) == before


def test_an_own_commit_is_news_by_its_changes(tmp_path):
    """So nothing else needs to be read for it."""
    with journaling():
        engine = grow(tmp_path, 2)
        version = commit(engine, 3)
        key = FORMAT.encode("text")
        engine.commit(Commit(version, [(key, b"\x01")]))

        news = engine.changes_since(version)

        assert news is not None
        assert news.changes == [(key, b"\x01")]
