"""The index of a journal: what it finds, and that it is nothing but a cache."""

import shutil
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
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
    step,
)
from faults.sampling import sample
from stand_ins import Log
from storify.codec import Codec
from storify.engine import Commit, FileEngine, apply, entries_of
from storify.engine.file import log_index, vfs
from storify.engine.file.log import bare_frames, head_frame
from storify.engine.file.log_index import Reached, note_log, open_log
from storify.engine.file.replay import read_journal

CODEC = Codec()
#: Two keys of one hash, and others.
KEYS = [CODEC.encode(key) for key in ("plumless", "buckeroo", "a", "b", "c", "d")]
LONG = "x" * 300


@pytest.fixture(autouse=True)
def _small():
    with journaling(), paging():
        yield


def index_of(folder):
    """The file of an index."""
    return folder / ".backups" / "users" / ".log-index"


def open_again(folder):
    """The state as another program finds it, and what it is told."""
    log = Log()
    engine = FileEngine(folder / "users.mpack", root_format=CODEC, log=log)
    return engine.open(), engine, log


def stretches(folder):
    """How many of them an opening finds in the index."""
    place = make_engine(folder)._access.paths()
    digest = make_engine(folder).load().version.partition("+")[0]
    file = vfs.OpenFile(place.journal)
    noted = log_index._read(place.log_index, digest, file, len(head_frame(digest)))
    return 0 if noted is None else len(noted.stretches)


def check(snapshot, whole):
    """Ask a state everything."""
    assert bool(snapshot) == bool(whole)
    keys = [*whole, *KEYS, CODEC.encode("no")]
    assert {k: v for k in keys if (v := snapshot.get(k)) is not None} == whole
    walked = [entry for some in snapshot.items() for entry in some]
    assert walked == list(whole.items())
    assert len(snapshot) == len(whole)
    # By now the hashes are in one order.
    assert {k: v for k in keys * 30 if (v := snapshot.get(k)) is not None} == whole


values = st.none() | st.integers(0, 99) | st.integers(0, 9).map(lambda n: f"{LONG}{n}")
commits = st.lists(
    st.lists(st.tuples(st.sampled_from(KEYS), values), min_size=1, max_size=4),
    max_size=8,
)
harms = st.sampled_from(["none", "deleted", "torn", "flipped", "older", "garbage"])


@given(
    old=st.lists(st.sampled_from(KEYS), unique=True),
    commits=commits,
    stretch=st.sampled_from([1, 250, 1 << 18]),
    harm=harms,
    at=st.integers(0, 2000),
)
def test_whatever_was_committed_a_dict_gives_the_same(
    tmp_path_factory, old, commits, stretch, harm, at
):
    """Sets, deletes, differences; with each stretch in the index, some, or none."""
    folder = tmp_path_factory.mktemp("d")
    whole = {CODEC.encode("bulk"): CODEC.encode("x" * 4000)}
    whole |= dict.fromkeys(old, CODEC.encode(f"{LONG}old"))
    path = index_of(folder)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(log_index, "STRETCH_BYTES", stretch)
        engine = FileEngine(folder / "users.mpack", root_format=CODEC, log=Log())
        version = engine.commit(Commit(None, list(whole.items())))
        older = b""
        for each in commits:
            if path.exists():
                older = path.read_bytes()
            changes = [(k, None if v is None else CODEC.encode(v)) for k, v in each]
            stored = dict(whole)
            apply(whole, changes)
            version = engine.commit(Commit(version, changes, stored=stored.get))
        if path.exists():
            harmed(path, harm, at, older)
        snapshot, engine, log = open_again(folder)

        check(snapshot, whole)
        assert snapshot.version == version
        if not snapshot.kind:  # what differences there are cannot be told any more
            assert harm == "flipped" or not path.exists()
            return
        assert entries_of(snapshot._recover()) == whole
        assert snapshot.version == engine.load().version
        assert not log.warnings
        snapshot.close()


def test_a_state_of_which_all_is_deleted_is_empty(tmp_path):
    """Though the main file is not; and whether it is takes no counting, mostly."""
    whole = CODEC.encode_items({"bulk": "x" * 4000, **dict.fromkeys("abc", 0)})
    engine = FileEngine(tmp_path / "users.mpack", root_format=CODEC, log=Log())
    version = engine.commit(Commit(None, list(whole.items())))
    version = engine.commit(Commit(version, [(CODEC.encode("a"), None)]))
    some, _, _ = open_again(tmp_path)
    engine.commit(Commit(version, [(key, None) for key in whole]))
    none, _, _ = open_again(tmp_path)

    assert some
    assert some._count is None
    assert not none
    assert none.kind == "str"
    check(none, {})
    some.close()
    none.close()


def harmed(path, harm, at, older):
    """Do harm to an index."""
    payload = bytearray(path.read_bytes())
    at %= len(payload)
    if harm == "deleted":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(payload[:at])
    elif harm == "flipped":
        payload[at] ^= 1
        path.write_bytes(payload)
    elif harm == "older":
        path.write_bytes(older)
    elif harm == "garbage":
        path.write_bytes(payload + bytes(at))


def test_each_flipped_byte_changes_no_answer(tmp_path):
    """And nobody is told; the next commit goes on."""
    grow(tmp_path, 5)
    whole = CODEC.split(state(5))
    path = index_of(tmp_path)
    payload = path.read_bytes()
    assert stretches(tmp_path) == 4
    for at in sample(range(len(payload)), 150):
        bad = bytearray(payload)
        bad[at] ^= 4
        path.write_bytes(bad)
        snapshot, _, log = open_again(tmp_path)

        check(snapshot, whole)
        assert not log.warnings, at
        snapshot.close()


def test_a_damaged_head_ends_the_index(tmp_path):
    """So does one that does not go on where the one before it ends."""
    grow(tmp_path, 4)
    path = index_of(tmp_path)
    payload = path.read_bytes()
    first = log_index._HEAD.size + 4
    heads = log_index._ABOUT.size + log_index._SUMS.size + 4
    (rows,) = log_index._CRC.unpack_from(payload, first + log_index._ABOUT.size - 4)
    second = first + heads + rows * (4 + log_index._ROW.size)
    for at in range(second, second + heads):
        bad = bytearray(payload)
        bad[at] ^= 1
        path.write_bytes(bad)
        assert stretches(tmp_path) == 1, at
    path.write_bytes(payload[:first] + payload[second:])
    assert stretches(tmp_path) == 0
    path.write_bytes(payload[:second] + payload[first:])
    assert stretches(tmp_path) == 1


def rest(tmp_path, generation):
    """What is noted after one more commit, which finds the index harmed."""
    engine = make_engine(tmp_path)
    commit(engine, generation)
    assert found(make_engine(tmp_path)) == generation
    return stretches(tmp_path)


def test_an_index_that_is_torn_is_written_anew_by_the_next_commit(tmp_path):
    """From the first stretch on; so is one that is missing."""
    grow(tmp_path, 4)
    path = index_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    assert stretches(tmp_path) == 2

    assert rest(tmp_path, 5) == 4

    path.unlink()
    assert rest(tmp_path, 6) == 5


@pytest.mark.parametrize("harm", ["deleted", "garbage", "torn"])
def test_an_index_that_others_touch_meanwhile_is_made_anew(tmp_path, harm):
    """By the commit after the one that sees it; nobody is told."""
    log = Log()
    engine = make_engine(tmp_path, log=log)
    for generation in range(1, 4):
        commit(engine, generation)
    assert stretches(tmp_path) == 2
    harmed(index_of(tmp_path), harm, 99, b"")

    for generation in (4, 5):
        engine.commit(step(engine._known.version, generation - 1, generation))

    assert stretches(tmp_path) == 4
    assert not log.warnings
    assert found(make_engine(tmp_path)) == 5


def with_head_of(payload, folder):
    """An index, as if it were that of the journal of another folder."""
    own = index_of(folder).read_bytes()
    size = log_index._HEAD.size + 4
    return own[:size] + payload[size:]


@pytest.mark.parametrize("names_it", [False, True])
def test_an_index_of_another_journal_does_not_count(tmp_path, names_it):
    """Though the main file is the same, and the sizes of all commits."""
    whole = CODEC.encode_items({"bulk": "x" * 4000, "a": 0})
    for name, first in (("one", 1), ("other", 3)):
        engine = FileEngine(
            tmp_path / name / "users.mpack", root_format=CODEC, log=Log()
        )
        version = engine.commit(Commit(None, list(whole.items())))
        for n in range(first, first + 2):
            key = CODEC.encode(f"k{n}")
            version = engine.commit(Commit(version, [(key, CODEC.encode(n))]))
    payload = index_of(tmp_path / "one").read_bytes()
    assert len(payload) == len(index_of(tmp_path / "other").read_bytes())
    if names_it:  # as an inode that was given to another file
        payload = with_head_of(payload, tmp_path / "other")
    index_of(tmp_path / "other").write_bytes(payload)
    whole |= CODEC.encode_items({"k3": 3, "k4": 4})

    snapshot, _, log = open_again(tmp_path / "other")

    check(snapshot, whole)
    assert stretches(tmp_path / "other") == 0
    assert not log.warnings


def test_an_index_that_is_ahead_of_its_journal_does_not_count(tmp_path):
    """An older journal was put back, in the same file."""
    grow(tmp_path, 3)
    shorter = journal(tmp_path).read_bytes()
    commit(make_engine(tmp_path), 4)
    (backups(tmp_path) / ".mirror").write_bytes(shorter)
    journal(tmp_path).write_bytes(shorter)

    snapshot, _, log = open_again(tmp_path)

    check(snapshot, CODEC.split(state(3)))
    assert stretches(tmp_path) == 2
    assert not log.warnings


@pytest.mark.parametrize("is_noted", [True, False])
def test_rot_in_the_journal_is_never_given(tmp_path, is_noted):
    """It is healed from the mirror, whichever byte it is."""
    grow(tmp_path, 5)
    whole = CODEC.split(state(5))
    payload = journal(tmp_path).read_bytes()
    for at in sample(range(len(payload)), 60):
        if not is_noted:
            index_of(tmp_path).unlink(missing_ok=True)
        flip(journal(tmp_path), at)
        snapshot, _, _ = open_again(tmp_path)

        assert {key: snapshot.get(key) for key in whole} == whole, at
        walked = [entry for some in snapshot.items() for entry in some]
        assert walked == list(whole.items()), at
        assert len(snapshot) == len(whole)
        if snapshot.kind:
            snapshot.close()
        healed = make_engine(tmp_path)
        assert found(healed) == 5
        healed.load()
        assert journal(tmp_path).read_bytes() == payload


def test_rot_that_nobody_reads_is_found(tmp_path):
    """By `verify`, and by a fold, which loses nothing."""
    grow(tmp_path, 5)
    flip(journal(tmp_path), 300)

    assert make_engine(tmp_path).verify()

    log = Log()
    commit(make_engine(tmp_path, log=log), 6, compact=True)
    assert any("none is lost" in line for line in log.warnings)
    assert found(make_engine(tmp_path)) == 6
    assert make_engine(tmp_path).verify() == []


def test_what_is_not_durable_is_not_noted(tmp_path):
    """A power cut could leave a hole under it; after a sync it is."""
    engine = grow(tmp_path, 4, sync="interval")
    assert stretches(tmp_path) == 1  # the first commit is synced with its file

    engine.sync()
    engine.commit(step(engine._known.version, 4, 5))

    assert stretches(tmp_path) == 3
    assert found(make_engine(tmp_path)) == 5


def test_an_index_goes_with_its_journal(tmp_path):
    """By a fold, and by the end of the database."""
    engine = grow(tmp_path, 4)
    assert index_of(tmp_path).exists()
    commit(engine, 5, compact=True)
    assert not index_of(tmp_path).exists()
    commit(engine, 6)
    assert index_of(tmp_path).exists()
    engine.destroy()
    assert not index_of(tmp_path).exists()


def test_an_opening_reads_no_frame_that_is_noted(tmp_path, monkeypatch):
    """Heads, and what comes after the last stretch."""
    grow(tmp_path, 6)
    seen = []

    def counting(*arguments):
        for bare in bare_frames(*arguments):
            seen.append(bare.seq)
            yield bare

    monkeypatch.setattr(log_index, "bare_frames", counting)
    snapshot, _, _ = open_again(tmp_path)
    assert seen == []
    check(snapshot, CODEC.split(state(6)))
    payload = index_of(tmp_path).read_bytes()
    index_of(tmp_path).write_bytes(payload[:-1])
    open_again(tmp_path)

    assert seen == [5]


def test_a_commit_whose_index_cannot_be_written_is_done(tmp_path, monkeypatch):
    """The log says so."""
    grow(tmp_path, 3)
    log = Log()
    engine = make_engine(tmp_path, log=log)

    def fail(*_):
        raise OSError(5, "no")

    monkeypatch.setattr(log_index, "note_log", fail)
    commit(engine, 4)

    assert any("note where the commits lie" in line for line in log.warnings)
    assert found(make_engine(tmp_path)) == 4


def test_a_journal_that_is_no_run_of_commits_is_judged_as_a_whole(tmp_path):
    """A torn end, another base, a mirror that is longer, a journal that is gone."""
    grow(tmp_path, 4)
    place = make_engine(tmp_path)._access.paths()
    digest = make_engine(tmp_path).load().version.partition("+")[0]
    payload = journal(tmp_path).read_bytes()
    opened = open_log(place, digest, CODEC)
    assert opened is not None
    opened.close()
    assert open_log(place, "00" * 32, CODEC) is None

    whole = len(read_journal(place.journal, place.mirror, digest).frames[-1].raw)
    for bad in (payload[:-whole], payload[:-3], payload + b"?", payload[:20]):
        journal(tmp_path).write_bytes(bad)
        assert open_log(place, digest, CODEC) is None
    journal(tmp_path).unlink()
    assert open_log(place, digest, CODEC) is None
    shutil.copy(place.mirror, place.journal)
    again = open_log(place, digest, CODEC)
    assert again is not None
    again.close()


def test_frames_are_read_one_by_one(tmp_path):
    """By number, in slices, and in order; damage that comes meanwhile is an error."""
    grow(tmp_path, 6)
    place = make_engine(tmp_path)._access.paths()
    digest = make_engine(tmp_path).load().version.partition("+")[0]

    frames = read_journal(place.journal, place.mirror, digest).frames

    assert [each.seq for each in frames] == [1, 2, 3, 4, 5]
    assert (frames[0].seq, frames[-1].seq, len(frames)) == (1, 5, 5)
    assert [each.seq for each in frames[1:3]] == [2, 3]
    assert [each.seq for each in frames[1:][1:]] == [3, 4, 5]
    assert list(frames[5:]) == list(frames[3:2]) == []
    with pytest.raises(IndexError):
        frames[5]
    with pytest.raises(ValueError, match="in order"):
        frames[::2]
    keep_times(journal(tmp_path), journal(tmp_path).read_bytes()[:-1])
    with pytest.raises(OSError, match="damaged while it was read"):
        list(frames)


def test_the_index_of_a_long_journal_is_made_in_stretches(tmp_path, monkeypatch):
    """As by a commit to one that has none yet."""
    grow(tmp_path, 6)
    place = make_engine(tmp_path)._access.paths()
    digest = make_engine(tmp_path).load().version.partition("+")[0]
    size = journal(tmp_path).stat().st_size
    monkeypatch.setattr(log_index, "STRETCH_BYTES", size // 2)
    index_of(tmp_path).unlink()

    reached = note_log(place, digest, CODEC, size, Reached())

    assert stretches(tmp_path) == 1
    assert size // 2 <= reached.end < size
    assert reached.index_bytes == index_of(tmp_path).stat().st_size
    assert found(make_engine(tmp_path)) == 6
    assert main(tmp_path).exists()
