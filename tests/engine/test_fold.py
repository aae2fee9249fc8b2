"""A large file and its journal become a new file block by block, in flat memory."""

import errno
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    FORMAT,
    backups,
    commit,
    found,
    generations,
    grow,
    journal,
    journaling,
    keep_times,
    main,
    make_engine,
    paging,
)
from stand_ins import Log
from storify import Storify
from storify.engine import Commit, apply
from storify.engine.file import index, state, vfs
from storify.engine.file.fold import Unread
from storify.engine.file.snapshot import DamagedError
from storify.exceptions import CorruptionError

MEBIBYTE = 1 << 20


@pytest.fixture
def unread(monkeypatch):
    """Let no main file be read as a whole."""

    def fail(path):
        raise AssertionError(path)

    with journaling(), paging():
        yield lambda: monkeypatch.setattr(state, "read_main", fail)


def folded(engine, version):
    """Fold without a change."""
    return engine.commit(Commit(version, (), compact=True))


def encoded(changes):
    """Changes in bytes."""
    return [
        (FORMAT.encode(key), None if value is None else FORMAT.encode(value))
        for key, value in changes
    ]


@given(
    old=st.dictionaries(st.integers(0, 30), st.integers(), min_size=1),
    commits=st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers()), min_size=1),
        max_size=4,
    ),
)
def test_a_fold_by_block_is_the_root_that_a_fold_in_memory_is(
    tmp_path_factory, old, commits
):
    """Byte by byte, in order; and its index leads to each key."""
    folder = tmp_path_factory.mktemp("d")
    filler = {f"filler {n}": "x" * 300 for n in range(5)}
    entries = dict(encoded({**filler, **{str(k): v for k, v in old.items()}}.items()))
    with journaling(), paging():
        engine = make_engine(folder)
        version = engine.commit(Commit(None, list(entries.items())))
        for each in commits:
            changes = encoded((str(key), value) for key, value in each)
            entries = apply(entries, changes)
            version = engine.commit(Commit(version, changes))
        folded(engine, version)

        assert main(folder).read_bytes() == FORMAT.join(entries)
        assert not journal(folder).exists()
        snapshot = make_engine(folder).open()
        assert snapshot is not None
        assert {key: snapshot.get(key) for key in entries} == entries
        snapshot.close()


@given(
    count=st.integers(1, 12),
    changes=st.dictionaries(
        st.integers(0, 14), st.none() | st.integers(100, 400), max_size=8
    ),
)
def test_a_file_that_is_written_anew_is_the_root_that_one_in_memory_is(
    tmp_path_factory, count, changes
):
    """Byte by byte, also where a block of it need not be read."""
    folder = tmp_path_factory.mktemp("d")
    entries = dict(encoded((str(n), "x" * (100 + 50 * n)) for n in range(count)))
    new = encoded((str(key), size and "y" * size) for key, size in changes.items())
    with journaling(), paging():
        engine = make_engine(folder)
        version = engine.commit(Commit(None, list(entries.items())))
        with engine._writing("fold") as held:
            unread = Unread.open(held, engine._known)
            assert unread is not None
            unread.close()

        engine.commit(Commit(version, new, compact=True))

        assert main(folder).read_bytes() == FORMAT.join(apply(entries, new))
        assert not journal(folder).exists()


@pytest.mark.usefixtures("_unnoticed")
@pytest.mark.parametrize(("rotten", "ends"), [(0, True), (1, False)])
def test_what_is_replaced_is_not_read_and_what_stays_is_checked(tmp_path, rotten, ends):
    """Rot in a block that is replaced as a whole is nobody's; in another it tells."""
    values = [letter * 2000 for letter in "ab"]
    with journaling(), paging():
        engine = make_engine(tmp_path)
        engine.commit(Commit(None, encoded(zip("ab", values, strict=True))))
        at = main(tmp_path).read_bytes().index(values[rotten].encode())
        rot(main(tmp_path), at + 1000)
        with engine._writing("fold") as held:
            unread = Unread.open(held, engine._known)
            assert unread is not None
            parts = unread.after(encoded([("a", "new")])).parts

            if ends:
                assert FORMAT.decode_root(b"".join(parts)) == {
                    "a": "new",
                    "b": values[1],
                }
            else:
                with pytest.raises(DamagedError):
                    list(parts)

            unread.close()


def test_a_fold_reads_no_whole_file(tmp_path, unread):
    """Nor do the commits before and after it."""
    engine = grow(tmp_path, 3)
    loaded = engine.load()
    unread()

    version = folded(engine, loaded.version)
    assert version != loaded.version
    for number in range(3):
        change = (FORMAT.encode("turn 0"), FORMAT.encode(number))
        version = engine.commit(Commit(version, [change]))
    folded(engine, version)

    assert not journal(tmp_path).exists()
    assert FORMAT.decode_root(main(tmp_path).read_bytes())["turn 0"] == 2


def test_the_first_append_to_a_new_file_copies_it_in_parts(tmp_path, unread):
    """The copy is a backup, and has the same bytes."""
    engine = grow(tmp_path, 1)
    version = engine.load().version
    unread()

    change = (FORMAT.encode("turn 0"), FORMAT.encode(9))
    engine.commit(Commit(version, [change]))

    (copy,) = backups(tmp_path).glob("*.mpack")
    assert copy.read_bytes() == main(tmp_path).read_bytes()
    assert copy.stat().st_ino != main(tmp_path).stat().st_ino


@pytest.fixture
def _unnoticed(monkeypatch) -> None:
    """Let rot leave no trace but itself: a disk moves no change time."""
    monkeypatch.setattr(
        index, "_stamp", lambda found: (found.size, found.mtime_ns, 0, *found.inode)
    )


@pytest.mark.usefixtures("_unnoticed")
@pytest.mark.parametrize("at", [0, 40, 700, -1])
def test_what_has_rotted_is_not_written_anew_as_good(tmp_path, at):
    """The head or a block: nothing is made of it, and what was committed is there."""
    log = Log()
    with journaling(), paging():
        engine = grow(tmp_path, 3, log=log)
        version = engine.load().version
        rot(main(tmp_path), at)

        with pytest.raises(CorruptionError):
            folded(engine, version)
        commit(engine, 4, compact=True)

        assert found(engine) == 4
        assert any("damaged" in line for line in log.warnings)
        assert generations(engine) == [3, 2, 1]


@pytest.mark.usefixtures("_unnoticed")
@pytest.mark.parametrize("at", [0, 40, 700, -1])
def test_the_parts_of_a_rotten_file_are_not_taken_to_their_end(tmp_path, at):
    """The head has no checksum, and the hash of all tells."""
    with journaling(), paging():
        engine = grow(tmp_path, 3)
        engine.load()
        rot(main(tmp_path), at)
        with engine._writing("fold") as held:
            unread = Unread.open(held, engine._known)
            assert unread is not None

            with pytest.raises(DamagedError):
                list(unread.after(()).parts)

            unread.close()


@pytest.mark.usefixtures("_unnoticed")
def test_a_backup_is_not_made_of_rot(tmp_path):
    """It is told, and nothing is left."""
    with journaling(), paging():
        engine = grow(tmp_path, 1)
        engine.load()
        rot(main(tmp_path), 700)

        with pytest.raises(CorruptionError):
            engine.backup()

        assert not list(backups(tmp_path).glob("*.mpack"))


def test_a_copy_that_fails_has_nothing_open_still(tmp_path, monkeypatch):
    """However long somebody keeps the error, and with it the frames that it came from."""
    with journaling(), paging():
        engine = grow(tmp_path, 1)
        engine.load()
        before = set(vfs._ours)
        write = vfs._write_all

        def fail(fd, payload):
            if Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(backups(tmp_path)):
                raise OSError(errno.EIO, "no")
            write(fd, payload)

        monkeypatch.setattr(vfs, "_write_all", fail)
        with pytest.raises(OSError, match="no") as caught:
            engine.backup()

        assert set(vfs._ours) == before
        assert caught.value.errno == errno.EIO


def rot(path, at):
    """Change one bit; size and time stay."""
    payload = bytearray(path.read_bytes())
    payload[at] ^= 1
    keep_times(path, bytes(payload))


def test_a_fold_takes_no_more_memory_for_a_larger_file(tmp_path):
    """A few mebibytes, whatever the size."""
    value = b"\xc5\xff\x00" + bytes(0xFF00)
    with journaling(), paging():
        engine = make_engine(tmp_path)
        keys = [FORMAT.encode(f"key {number}") for number in range(500)]
        version = engine.commit(Commit(None, [(key, value) for key in keys]))
        version = engine.commit(Commit(version, [(keys[3], FORMAT.encode(1))]))
        assert main(tmp_path).stat().st_size > 30 * MEBIBYTE

        tracemalloc.start()
        try:
            folded(engine, version)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert not journal(tmp_path).exists()
    assert peak < 8 * MEBIBYTE


def test_the_autosave_folds_when_there_is_nothing_to_save(tmp_path):
    """Not in the moment in which it saves."""
    with journaling():
        sf = Storify(tmp_path, save_interval=None, log=Log())
        db = sf.get_db("users")
        db.update({f"k{number}": "x" * 50 for number in range(60)})
        db.flush()
        db["k1"] = "y"

        db._autosave()
        assert journal(tmp_path).exists()
        db._autosave()

        assert not journal(tmp_path).exists()
        assert FORMAT.decode_root(main(tmp_path).read_bytes())["k1"] == "y"
        before = main(tmp_path).stat()
        db._autosave()
        assert main(tmp_path).stat().st_ino == before.st_ino
        sf.close()


def test_a_backup_of_a_large_file_copies_it_in_parts(tmp_path, unread):
    """It has the same bytes."""
    engine = grow(tmp_path, 1)
    engine.load()
    unread()

    kept = engine.backup()

    assert kept is not None
    copy = Path(engine.backup_path(kept))
    assert copy.read_bytes() == main(tmp_path).read_bytes()


def test_a_small_file_is_read_for_the_first_commit_alone(tmp_path, monkeypatch):
    """What that wrote is remembered, also where the file has an index."""
    entries = encoded((f"key {n}", "x" * 300) for n in range(300))
    make_engine(tmp_path).commit(Commit(None, entries))
    engine = make_engine(tmp_path)
    version = engine.open().version
    version = engine.commit(Commit(version, encoded([("key 1", 1)])))

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(state, "read_main", fail)
    monkeypatch.setattr(Unread, "open", fail)
    for number in range(3):
        version = engine.commit(Commit(version, encoded([("key 2", number)])))
