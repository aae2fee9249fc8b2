"""The index of a main file: what it finds, and that it is nothing but a cache."""

import errno
import os
import shutil
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    FORMAT,
    backups,
    commit,
    found,
    grow,
    journal,
    journaling,
    main,
    make_engine,
    paging,
    state,
    step,
    whole_of,
)
from stand_ins import Log
from storify.codec import Codec
from storify.engine import Commit, FileEngine, apply, entries_of
from storify.engine.file import past, vfs
from storify.engine.file.index import Index, build_index, read_rows
from storify.engine.file.vfs import look
from storify.exceptions import CorruptionError

CODEC = Codec()


@pytest.fixture(autouse=True)
def _paging():
    with paging():
        yield


@pytest.fixture
def at_once(monkeypatch):
    """Files without an index are read whole, so that it shows."""
    monkeypatch.setattr(past, "WHOLE_BYTES", 1 << 20)


def index_of(folder):
    """The file of an index."""
    return folder / ".backups" / "users" / ".index"


def entries(snapshot, keys):
    """What a state gives for keys, without those that it has not."""
    values = {key: snapshot.get(key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def walk(snapshot):
    """What a state gives in order."""
    return [entry for some in snapshot.items() for entry in some]


def expected(generation):
    """The entries of a generation."""
    return FORMAT.split(state(generation))


def test_each_key_is_found_and_no_other(tmp_path):
    """In a file of many pages, whatever their hashes are."""
    engine = FileEngine(tmp_path / "users.mpack", root_format=CODEC, log=Log())
    wanted = CODEC.encode_items({f"k{n}": n for n in range(3000)})
    engine.commit(Commit(None, list(wanted.items())))
    keys = [*wanted, *CODEC.encode_items({f"other{n}": n for n in range(3000)})]

    snapshot = FileEngine(tmp_path / "users.mpack", root_format=CODEC, log=Log()).open()

    assert snapshot is not None
    assert len(snapshot) == 3000
    assert entries(snapshot, keys) == wanted
    assert snapshot.kind == "str"
    snapshot.close()


def test_keys_of_one_hash_are_told_apart(tmp_path):
    """Those that are there, and one that is not."""
    engine = FileEngine(tmp_path / "users.mpack", root_format=CODEC, log=Log())
    alike = [CODEC.encode(key) for key in ("plumless", "buckeroo")]
    assert zlib.crc32(alike[0]) == zlib.crc32(alike[1])
    base = engine.commit(Commit(None, [(key, key) for key in alike]))

    both = engine.open()
    engine.commit(Commit(base, [(alike[1], None)]))
    engine.close()  # of a small file it writes the index
    one = engine.open()

    assert both is not None
    assert one is not None
    assert entries(both, alike) == dict(zip(alike, alike, strict=True))
    assert entries(one, alike) == {alike[0]: alike[0]}
    assert (len(both), len(one)) == (2, 1)


@pytest.mark.parametrize("generations", range(2, 11))
def test_commits_on_top_of_the_file_count(tmp_path, generations):
    """New values, deletes, and the differences of long ones."""
    with journaling():
        grow(tmp_path, generations)
        snapshot = make_engine(tmp_path).open()

        assert snapshot is not None
        assert entries(snapshot, expected(generations)) == expected(generations)
        assert len(snapshot) == len(expected(generations))
        assert walk(snapshot) == list(expected(generations).items())


def test_a_state_that_was_written_over_is_taken_from_a_backup(tmp_path):
    """If one has it; else it is an error that says so."""
    engine = grow(tmp_path, 2)
    engine.close()
    snapshot = make_engine(tmp_path).open()
    assert snapshot is not None
    content = main(tmp_path).read_bytes()
    kept = engine.backup()
    main(tmp_path).write_bytes(b"\x80" * len(content))

    assert whole_of(snapshot._recover()) == content

    for path in backups(tmp_path).glob("*.mpack"):
        path.unlink()
    with pytest.raises(CorruptionError, match=r"written over|no backup"):
        snapshot._recover()
    assert kept


@given(
    old=st.dictionaries(st.integers(-(2**40), 2**40), st.binary(max_size=9)),
    new=st.dictionaries(st.integers(-(2**40), 2**40), st.binary(max_size=9)),
)
def test_a_state_asked_key_by_key_is_the_state_read_whole(tmp_path_factory, old, new):
    """With and without commits on top of the file."""
    folder = tmp_path_factory.mktemp("d")
    with journaling(), paging():
        engine = FileEngine(folder / "users.mpack", root_format=CODEC, log=Log())
        base = engine.commit(Commit(None, list(CODEC.encode_items(old).items())))
        if new:
            engine.commit(Commit(base, list(CODEC.encode_items(new).items())))
            if not journal(folder).exists():
                engine.close()  # of a small file it writes the index
        later = FileEngine(folder / "users.mpack", root_format=CODEC, log=Log())
        snapshot = later.open()
        if not snapshot.kind:
            parts = CODEC.encode_items(old), CODEC.encode_items(new)
            assert "" in [CODEC.keyed(parts[0]), CODEC.keyed(parts[1] or parts[0])]
            return
        whole = dict(CODEC.encode_items({**old, **new}))

        assert entries(snapshot, [*whole, CODEC.encode("no")]) == whole
        assert len(snapshot) == len(whole)
        assert dict(walk(snapshot)) == whole
        assert entries_of(snapshot._recover()) == whole
        assert snapshot.version == later.load().version
        snapshot.close()


@given(
    old=st.lists(st.integers(0, 9), unique=True),
    commits=st.lists(
        st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 99)))
    ),
)
def test_a_state_is_walked_in_the_order_of_the_root(tmp_path_factory, old, commits):
    """What is set keeps its place, what was deleted and set again goes last."""
    folder = tmp_path_factory.mktemp("d")
    whole = dict(CODEC.encode_items(dict.fromkeys(old)))
    with journaling(), paging():
        engine = FileEngine(folder / "users.mpack", root_format=CODEC, log=Log())
        version = engine.commit(Commit(None, list(whole.items())))
        for each in commits:
            changes = [
                (CODEC.encode(key), None if value is None else CODEC.encode(value))
                for key, value in each
            ]
            apply(whole, changes)
            if changes:
                version = engine.commit(Commit(version, changes))
        if not journal(folder).exists():
            engine.close()  # of a small file it writes the index
        snapshot = FileEngine(
            folder / "users.mpack", root_format=CODEC, log=Log()
        ).open()
        if not snapshot.kind:
            assert not whole or not old
            return

        assert walk(snapshot) == list(whole.items())
        snapshot.close()


def test_a_file_is_walked_a_block_at_a_time(tmp_path):
    """However large it is; what is damaged is healed, and given once."""
    engine = FileEngine(tmp_path / "users.mpack", root_format=CODEC, log=Log())
    wanted = CODEC.encode_items({f"k{n}": b"x" * 1000 for n in range(500)})
    engine.commit(Commit(None, list(wanted.items())))
    engine.backup()
    snapshot = engine.open()
    assert snapshot is not None
    blocks = list(snapshot.items())
    path = tmp_path / "users.mpack"
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(300_000)
        file.write(b"\0")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert [entry for block in blocks for entry in block] == list(wanted.items())
    assert max(map(len, blocks)) < 100
    assert walk(snapshot) == list(wanted.items())
    snapshot.close()


@pytest.mark.parametrize("kind", ["commits", "whole"])
@pytest.mark.parametrize(
    "harm", ["deleted", "torn", "empty", "flipped", "older", "of another", "a folder"]
)
def test_a_harmed_index_changes_no_answer(tmp_path, harm, kind):
    """It is written anew by whoever reads the file, who is told nothing."""
    with journaling(kind == "commits"):
        grow(tmp_path, 2)
        path = index_of(tmp_path)
        older = path.read_bytes()
        engine = make_engine(tmp_path)
        commit(engine, 3, compact=True)
        commit(engine, 4)
        whole = path.read_bytes()
        if harm in {"deleted", "a folder"}:
            path.unlink()
        if harm == "a folder":
            path.mkdir()
        elif harm == "torn":
            path.write_bytes(whole[: len(whole) // 2])
        elif harm == "empty":
            path.write_bytes(b"")
        elif harm == "older":
            path.write_bytes(older)
        elif harm == "of another":
            grow(tmp_path / "other", 3)
            shutil.copy(index_of(tmp_path / "other"), path)
        for at in range(0, len(whole), 7) if harm == "flipped" else (None,):
            if at is not None:
                flipped = bytearray(whole)
                flipped[at] ^= 1
                path.write_bytes(flipped)
            log = Log()
            later = make_engine(tmp_path, log=log)
            snapshot = later.open()
            if snapshot is not None:
                assert entries(snapshot, [*expected(4), b"\xa2no"]) == expected(4), at
                assert len(snapshot) == len(expected(4))
                assert walk(snapshot) == list(expected(4).items()), at
                snapshot.close()
            loaded = later.load()
            assert loaded is not None
            assert not log.warnings


def test_an_index_that_is_missing_is_made_by_who_reads_the_file(tmp_path, at_once):
    """So the next one finds it; a reader that may write nothing makes none."""
    grow(tmp_path, 2)
    index_of(tmp_path).unlink()
    reader = make_engine(tmp_path, readonly=True)
    assert not reader.open().kind
    reader.load()
    assert not index_of(tmp_path).exists()

    engine = make_engine(tmp_path)
    assert not engine.open().kind
    engine.load()

    snapshot = make_engine(tmp_path).open()
    assert snapshot is not None
    assert entries(snapshot, expected(2)) == expected(2)
    snapshot.close()


@pytest.mark.parametrize("how", ["written in place", "replaced", "copied", "touched"])
def test_a_file_that_looks_otherwise_is_read_whole(tmp_path, how, at_once):
    """Who copied or edited it may have changed anything."""
    grow(tmp_path, 2)
    path = main(tmp_path)
    content = path.read_bytes()
    if how == "written in place":
        path.write_bytes(content)
    elif how == "touched":
        os.utime(path, ns=(0, 0))
    else:
        copy = tmp_path / "copy"
        shutil.copy2(path, copy)
        copy.replace(path)

    assert not make_engine(tmp_path).open().kind


def test_an_index_that_is_not_clearly_younger_does_not_count(tmp_path, monkeypatch):
    """In the same tick of the clock the file may have been written to.

    Nor does one of another content.
    """
    grow(tmp_path, 2)
    looked = look(str(main(tmp_path)))
    assert looked is not None
    digest = make_engine(tmp_path).load().version
    assert Index.open(str(index_of(tmp_path)), digest, looked) is not None

    assert Index.open(str(index_of(tmp_path)), "00" * 32, looked) is None
    monkeypatch.setattr("storify.engine.file.index.RACY_NS", 10**18)

    assert Index.open(str(index_of(tmp_path)), digest, looked) is None


@pytest.mark.parametrize("on_top", [False, True])
def test_a_value_that_rots_is_never_given(tmp_path, on_top):
    """It is taken from what backups and commits give, and counted as it is there."""
    with journaling(on_top):
        engine = grow(tmp_path, 9)
        if not on_top:
            engine.close()
        snapshot = make_engine(tmp_path).open()
    assert snapshot is not None
    path = main(tmp_path)
    stat = path.stat()
    rotten = bytearray(path.read_bytes())
    for row in read_rows(str(index_of(tmp_path))).rows:
        rotten[row.offset + row.size - 1] ^= 4
    path.write_bytes(rotten)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert len(snapshot) == len(expected(9))
    assert entries(snapshot, expected(9)) == expected(9)
    assert len(snapshot) == len(expected(9))
    snapshot.close()


def test_the_first_commit_after_an_opening_reads_no_whole_file(tmp_path, monkeypatch):
    """The backup before it, and what was committed since, give the file as well."""
    with journaling():
        grow(tmp_path, 7)
        engine = make_engine(tmp_path)
        snapshot = engine.open()
        assert snapshot is not None
        read = []
        real = vfs.read_bytes

        def counting(path, *arguments):
            read.append(path)
            return real(path, *arguments)

        monkeypatch.setattr(vfs, "read_bytes", counting)
        engine.commit(step(snapshot.version, 7, 8))

        assert str(main(tmp_path)) not in read
        monkeypatch.undo()
        assert found(make_engine(tmp_path)) == 8
        snapshot.close()


def test_a_state_that_was_opened_stays_though_others_go_on(tmp_path):
    """Who holds it sees what it was, also after the file was replaced and removed."""
    grow(tmp_path, 2).close()
    snapshot = make_engine(tmp_path).open()
    assert snapshot is not None
    other = make_engine(tmp_path)
    commit(other, 3, compact=True)
    other.destroy(backups=True)

    assert entries(snapshot, expected(2)) == expected(2)
    assert entries_of(snapshot._recover()) == expected(2)
    snapshot.close()


def test_a_file_that_was_cut_off_before_it_was_opened_is_let_go_of():
    """An interrupt may come before the first line that opens it."""
    file = vfs.OpenFile.__new__(vfs.OpenFile)

    file.close()

    assert file.fileno() == -1


def test_a_file_of_a_disk_that_does_not_answer_is_closed_all_the_same(
    tmp_path, monkeypatch
):
    """Else it would be open for ever, and nobody could unmount the disk."""
    grow(tmp_path, 1)
    file = vfs.OpenFile(str(main(tmp_path)))
    fd = file.fileno()

    def fail(_):
        raise OSError(errno.EIO, "no answer")

    with monkeypatch.context() as patch:
        patch.setattr(vfs, "_fstat", fail)
        file.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_descriptor_that_is_another_files_by_now_is_left_alone(tmp_path):
    """Whoever becomes a daemon closes all descriptors, and opens others."""
    grow(tmp_path, 2)
    file = vfs.OpenFile(str(main(tmp_path)))
    os.close(file._fd)
    (tmp_path / "mine").write_bytes(b"mine")
    mine = os.open(tmp_path / "mine", os.O_RDONLY)
    assert mine == file._fd

    file.close()

    assert os.read(mine, 9) == b"mine"
    os.close(mine)
    gone = vfs.OpenFile(str(main(tmp_path)))
    os.close(gone._fd)
    gone.close()
    with pytest.raises(OSError, match="descriptor"):
        gone.read(0, 1)


def test_rows_tell_where_each_entry_lies(tmp_path):
    """Of keys and of the items of a list, in the order of the file."""
    values = CODEC.encode_items({"a": 1, "bb": [2, 3]})
    path = tmp_path / "m"
    path.write_bytes(CODEC.join(values))
    looked = look(str(path))
    assert looked is not None
    payload = build_index(values, None, looked, "00" * 32, "str")
    assert payload is not None
    (tmp_path / "i").write_bytes(payload)

    rows = read_rows(str(tmp_path / "i"))

    assert rows is not None
    whole = path.read_bytes()
    pieces = [whole[row.offset : row.offset + row.size] for row in rows.rows]
    assert pieces == [key + value for key, value in values.items()]


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["a", "ä" * 300, "b" * 40], "str"),
        ([1, -5, 300, 2**40], "int"),
        ([1, "a"], ""),
        ([1, True], ""),
        ([b"a"], ""),
        ([None], ""),
        ([], ""),
    ],
)
def test_keys_of_one_plain_type_can_be_looked_up(keys, kind):
    """Others may equal one another and have other bytes."""
    assert CODEC.keyed({CODEC.encode(key): b"\xc0" for key in keys}) == kind


@pytest.mark.parametrize(
    "key",
    [
        b"\xd9\x01a",
        b"\xcc\x01",
        b"\xd1\x00\x05",
        b"\xcd\x00\xff",
        b"\xa1\xff",
        b"\xa2a",
    ],
    ids=repr,
)
def test_keys_in_more_bytes_than_needed_or_illegible_cannot(key):
    """They would not be found under the bytes that we write."""
    assert CODEC.keyed({key: b"\xc0"}) == ""


def test_what_must_be_known_before_another_value_is_read_keeps_a_file_whole():
    """A dict that looks like a record tells which class there is."""
    blob = CODEC.encode({"__a__": {}})

    assert CODEC.keyed({b"\xa1a": blob}) == ""
    assert CODEC.keyed({b"\xa1a": CODEC.encode({"a": {}})}) == "str"
