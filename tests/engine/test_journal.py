"""The journal's bytes: frames, what is found of them after damage, splices."""

import errno
import zlib
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.sampling import sample
from stand_ins import Log
from storify.codec import Codec
from storify.engine import Commit, FileEngine, entries_of
from storify.engine.file import delta, vfs
from storify.engine.file.delta import Delta, Edit, delta_of
from storify.engine.file.log import (
    Frame,
    commit_frame,
    head_frame,
    keys_in,
    scan,
)
from storify.engine.file.replay import Corruption, read_journal, replay, rewritten
from storify.engine.moment import Moment, next_moment

BASE = sha256(b"base").hexdigest()
OTHER = sha256(b"other").hexdigest()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def frame(seq, ops=((b"key", b"value"),), base=BASE, *, durable=True, after_sync=True):
    """A frame with a time of its own."""
    moment = next_moment(None, EPOCH + timedelta(microseconds=1000 + seq))
    return commit_frame(base, seq, moment, ops, durable=durable, after_sync=after_sync)


def journal(count, base=BASE, **flags):
    """A journal with so many frames, and where each of them begins."""
    frames = [
        frame(seq, [(b"k%d" % seq, b"v%d" % seq)], base, **flags)
        for seq in range(1, count + 1)
    ]
    starts, at = [], len(head_frame(base))
    for each in frames:
        starts.append(at)
        at += len(each)
    return head_frame(base) + b"".join(frames), starts


def numbers(seen):
    """The numbers of the frames that were found."""
    return [each.seq for each in seen.frames]


values = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.builds(
        lambda old, new: Delta(
            len(old), len(new), zlib.crc32(old), (Edit(0, len(old), new),)
        ),
        st.binary(max_size=9),
        st.binary(max_size=9),
    ),
)
times = st.datetimes().map(lambda time: time.replace(tzinfo=UTC))
all_ops = st.lists(st.tuples(st.binary(max_size=9), values), max_size=5)


@given(
    ops=all_ops,
    seq=st.integers(1, 2**40),
    moment=st.builds(Moment, times.filter(lambda time: time >= EPOCH), times),
    durable=st.booleans(),
    after_sync=st.booleans(),
)
def test_a_frame_is_read_as_it_was_written(ops, seq, moment, durable, after_sync):
    """Each op, the flags, the time, what the clock said, the number."""
    raw = commit_frame(BASE, seq, moment, ops, durable=durable, after_sync=after_sync)

    (found,) = scan(head_frame(BASE) + raw).frames

    assert found == Frame(
        seq,
        int.from_bytes(raw[2:6], "big"),
        moment,
        durable,
        after_sync,
        tuple(ops),
        raw,
    )


def test_a_journal_is_a_stream_of_messagepack():
    """Any reader can step through it."""
    from msgpack import Unpacker  # noqa: PLC0415 - here alone

    payload, _ = journal(3)
    unpacker = Unpacker()
    unpacker.feed(payload)

    crcs = [(crc, seq, body) for crc, seq, body in unpacker]

    assert [seq for _, seq, _ in crcs] == [0, 1, 2, 3]
    assert crcs[0][2] == b"storify1" + bytes.fromhex(BASE)


def test_a_whole_journal_is_one_run():
    """It names its base, and ends where it ends."""
    payload, _ = journal(4)

    seen = scan(payload)

    assert seen.head.base == BASE
    assert seen.whole
    assert (numbers(seen), seen.end, seen.size) == (
        [1, 2, 3, 4],
        len(payload),
        len(payload),
    )


def test_without_a_base_nothing_can_be_told():
    """A journal whose head is gone belongs to no file that is known."""
    payload, _ = journal(2)

    assert scan(payload[5:]).frames == ()
    assert numbers(scan(payload[5:], BASE)) == [1, 2]
    assert scan(payload[5:], OTHER).frames == ()
    assert not scan(payload[5:], BASE).whole
    assert scan(b"").head is None
    assert not scan(b"", BASE).whole


def test_each_cut_leaves_the_frames_before_it():
    """A torn frame is no frame."""
    payload, starts = journal(3)
    ends = [*starts[1:], len(payload)]
    for size in range(len(head_frame(BASE)), len(payload)):
        seen = scan(payload[:size])

        whole = [seq for seq, end in enumerate(ends, 1) if end <= size]
        assert numbers(seen) == whole, size
        assert seen.end == (ends[len(whole) - 1] if whole else starts[0])


def test_each_flipped_bit_costs_at_most_its_frame():
    """What follows is found again, by the look of it."""
    payload, starts = journal(4)
    for bit in sample(range(8 * len(payload)), 300):
        at = bit // 8
        bad = payload[:at] + bytes([payload[at] ^ 1 << bit % 8]) + payload[at + 1 :]
        hit = sum(start <= at for start in starts)

        seen = scan(bad, BASE)

        assert numbers(seen) == [seq for seq in (1, 2, 3, 4) if seq != hit], bit
        assert not seen.whole
        if hit:
            assert seen.end == starts[hit - 1]


@given(st.binary(max_size=200), st.integers(0, 300))
def test_garbage_between_frames_is_passed_over(garbage, where):
    """It makes up no frame."""
    payload, _ = journal(4)
    at = min(where, len(payload))

    seen = scan(payload[:at] + garbage + payload[at:], BASE)

    assert set(numbers(seen)) <= {1, 2, 3, 4}
    assert len(seen.frames) >= 3
    for each in seen.frames:
        assert each.ops == ((b"k%d" % each.seq, b"v%d" % each.seq),)


def test_frames_of_another_base_do_not_count():
    """A journal that was written over, or put together from two."""
    payload, _ = journal(2)
    foreign = frame(3, base=OTHER)

    assert numbers(scan(payload + foreign)) == [1, 2]
    assert not scan(payload + foreign).whole


def test_a_frame_inside_a_value_is_no_frame():
    """It is read as what it is."""
    inner = frame(7)
    payload = head_frame(BASE) + frame(1, [(b"k", inner)]) + frame(2)

    assert numbers(scan(payload)) == [1, 2]
    (one, _) = scan(payload).frames
    assert one.ops == ((b"k", inner),)


def test_the_first_of_two_frames_of_a_number_counts():
    """Such as a doubled journal has."""
    payload, starts = journal(2)

    seen = scan(payload + payload[starts[0] :])

    assert numbers(seen) == [1, 2]
    assert not seen.whole


def test_an_end_is_read_alone():
    """A reader that knows the frames before reads on from there."""
    payload, starts = journal(3)

    seen = scan(payload[starts[1] :], BASE, after=1)

    assert numbers(seen) == [2, 3]
    assert seen.end == len(payload) - starts[1]
    assert numbers(scan(payload[starts[2] :], BASE, after=1)) == [3]
    assert scan(payload[starts[2] :], BASE, after=1).end == 0


def test_a_frame_with_a_damaged_op_is_none():
    """Though its checksum is right, as one of another version may be."""
    good = frame(1, [(b"k", b"v")])
    for kind in (3, 255):
        body = bytearray(good[25:])
        body[17] = kind
        head = bytearray(good[:25])
        head[2:6] = zlib.crc32(bytes(body), zlib.crc32(head[6:])).to_bytes(4, "big")

        assert scan(head_frame(BASE) + bytes(head) + bytes(body)).frames == ()
    for size in (9, 10, 18, 20):
        body = good[25 : 25 + 17] + b"\0" * (size - 9)
        head = bytearray(good[:25])
        head[-4:] = len(body).to_bytes(4, "big")
        head[2:6] = zlib.crc32(body, zlib.crc32(head[6:])).to_bytes(4, "big")
        seen = scan(head_frame(BASE) + bytes(head) + body)
        assert {each.ops for each in seen.frames} <= {(), ((b"", b""),)}


def test_the_keys_of_a_damaged_frame_are_guessed():
    """As far as its ops are legible."""
    raw = frame(1, [(b"one", b"1"), (b"two", None), (b"three", b"3" * 50)])

    assert keys_in(raw) == [b"one", b"two", b"three"]
    assert keys_in(raw[:-20]) == [b"one", b"two"]
    assert keys_in(raw[:20]) == []
    assert keys_in(b"\xff" * 100) == []
    misdated = Moment(EPOCH + timedelta(days=1), EPOCH)
    raw = commit_frame(BASE, 1, misdated, [(b"a", b"")], durable=True, after_sync=True)
    assert keys_in(raw) == [b"a"]


def test_times_are_kept_to_the_microsecond():
    """Also such as no calendar has."""
    raw = bytearray(frame(7))
    raw[28:36] = (2**63).to_bytes(8, "big")
    raw[2:6] = zlib.crc32(raw[6:]).to_bytes(4, "big")

    (found,) = scan(head_frame(BASE) + frame(7)).frames
    (late,) = scan(head_frame(BASE) + bytes(raw)).frames

    assert found.moment == (EPOCH + timedelta(microseconds=1007),) * 2
    assert late.moment.order == datetime.max.replace(tzinfo=UTC)


# What counts


@pytest.fixture
def place(tmp_path):
    """The paths of a journal and its mirror, as functions that write them."""

    class Place:
        journal, mirror = tmp_path / "journal", tmp_path / "mirror"

        def read(self):
            return read_journal(str(self.journal), str(self.mirror), BASE)

    return Place()


def test_a_missing_journal_is_an_empty_one(place):
    """So is one in a folder that is none."""
    assert place.read().frames == ()
    assert place.read().corruption is Corruption.NONE
    place.mirror.write_bytes(journal(2, OTHER)[0])
    assert place.read().corruption is Corruption.NONE


def test_a_journal_of_another_file_is_stale(place):
    """So is garbage."""
    for payload in (journal(2, OTHER)[0], b"garbage", b"", head_frame(OTHER)):
        place.journal.write_bytes(payload)

        assert place.read().corruption is Corruption.STALE
        assert place.read().frames == ()


@pytest.mark.parametrize("after_sync", [True, False])
def test_a_hole_is_rot_if_what_follows_says_so(place, after_sync):
    """Else a power cut made it, and what follows was never acknowledged."""
    payload, starts = journal(4, after_sync=after_sync)
    place.journal.write_bytes(
        payload[: starts[1] + 30] + b"?" + payload[starts[1] + 31 :]
    )

    seen = place.read()

    if after_sync:
        assert seen.corruption is Corruption.HOLED
        assert [each.seq for each in seen.frames] == [1, 3, 4]
        (note,) = seen.notes
        assert "1 of its commits" in note
        assert "lost" in note
    else:
        assert seen.corruption is Corruption.TORN
        assert [each.seq for each in seen.frames] == [1]


def test_a_hole_names_the_keys_that_it_took(place):
    """As far as they are legible; never the values."""
    frames = [
        frame(1),
        frame(2, [(b"\xa4mine", b"secret"), (b"\xa5other", b"value")]),
        frame(3),
    ]
    payload = bytearray(head_frame(BASE) + b"".join(frames))
    payload[payload.index(b"secret")] ^= 1
    place.journal.write_bytes(payload)

    (note,) = place.read().notes

    assert "mine" in note
    assert "other" in note
    assert "ecret" not in note


def test_a_mirror_fills_a_hole(place):
    """Then nothing is lost."""
    payload, starts = journal(4)
    place.journal.write_bytes(
        payload[: starts[1] + 30] + b"?" + payload[starts[1] + 31 :]
    )
    place.mirror.write_bytes(payload)

    seen = place.read()

    assert seen.corruption is Corruption.HEALED
    assert [each.seq for each in seen.frames] == [1, 2, 3, 4]
    assert rewritten(BASE, seen.frames) == payload


def test_a_mirror_of_another_file_fills_nothing(place):
    """Its frames are of another past."""
    payload, starts = journal(3)
    place.journal.write_bytes(payload[: starts[2]])
    place.mirror.write_bytes(journal(5, OTHER)[0])

    seen = place.read()

    assert seen.corruption is Corruption.NONE
    assert [each.seq for each in seen.frames] == [1, 2]


def test_a_mirror_that_lags_behind_does_no_harm(place):
    """It is written second."""
    payload, starts = journal(3)
    place.journal.write_bytes(payload)
    place.mirror.write_bytes(payload[: starts[1]])

    seen = place.read()

    assert (seen.corruption, len(seen.frames)) == (Corruption.NONE, 3)


def test_a_torn_mirror_does_no_harm(place):
    """Though it is longer: what is whole in the journal counts."""
    payload, starts = journal(3)
    place.journal.write_bytes(payload[: starts[2]])
    place.mirror.write_bytes(payload[: starts[2]] + b"?" * 90)

    seen = place.read()

    assert (seen.corruption, len(seen.frames)) == (Corruption.NONE, 2)


# Replay


def test_frames_are_brought_in_in_order():
    """Splices among them."""
    old = b"x" * 200 + b"1"
    new = b"x" * 200 + b"2"
    difference = delta_of(old, new)
    payload = (
        head_frame(BASE)
        + frame(1, [(b"a", b"1"), (b"b", b"1")])
        + frame(2, [(b"a", None), (b"a", b"2"), (b"long", difference)])
    )

    entries, notes = replay({b"long": old}, scan(payload).frames)

    assert list(entries.items()) == [(b"long", new), (b"b", b"1"), (b"a", b"2")]
    assert notes == []


def test_a_splice_whose_value_is_lost_is_told_of():
    """The rest of its commit takes place."""
    difference = delta_of(b"x" * 200 + b"1", b"x" * 200 + b"2")
    for stored in ({}, {b"long": b"other"}):
        payload = head_frame(BASE) + frame(1, [(b"long", difference), (b"a", b"1")])

        entries, notes = replay(dict(stored), scan(payload).frames)

        assert entries == {**stored, b"a": b"1"}
        assert len(notes) == 1


# Splices


@st.composite
def edited(draw):
    """A value, and another one that is made of its parts."""
    old = draw(st.binary(min_size=1, max_size=60)) * draw(st.integers(1, 300))
    new = old
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(new)))
        gone = draw(st.integers(0, 50))
        new = new[:at] + draw(st.binary(max_size=50)) + new[at + gone :]
    return old, new


@given(edited())
def test_a_splice_makes_the_new_value_of_the_old(pair):
    """Written down and read again, too."""
    old, new = pair

    made = delta_of(old, new)

    if made is not None:
        assert made.apply(old) == new
        assert Delta.decode(made.encode()) == made
        assert 2 * sum(len(edit.data) for edit in made.edits) < len(new)


@given(edited(), st.binary(max_size=100))
def test_a_splice_applies_to_one_value_alone(pair, other):
    """Its size and checksum tell."""
    made = delta_of(*pair)

    if made is not None and other != pair[0]:
        with pytest.raises(ValueError, match="another value"):
            made.apply(other)


def test_pages_that_stay_are_left_out():
    """Two far ends of one large value cost two pages."""
    old = bytes(range(256)) * 1000
    new = b"?" + old[1:-1] + b"?"

    made = delta_of(old, new)

    assert len(made.edits) == 2
    assert sum(len(edit.data) for edit in made.edits) <= 2 * delta._PAGE_BYTES
    assert made.apply(old) == new
    assert delta_of(old, old).edits == ()
    assert delta_of(old, old).apply(old) == old


def test_a_splice_that_saves_nothing_is_none():
    """Then the value is written whole."""
    assert delta_of(b"abcdefgh" * 20, b"12345678" * 20) is None
    assert delta_of(b"", b"x") is None


@given(edited(), st.data())
def test_a_damaged_splice_is_refused_or_gives_no_other_size(pair, data):
    """The frame's checksum is what guards it; this keeps it from doing harm."""
    made = delta_of(*pair)
    if made is None:
        return
    raw = bytearray(made.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))

    try:
        given = Delta.decode(bytes(raw)).apply(pair[0])
    except ValueError:
        return
    assert len(given) == len(pair[1])


@pytest.mark.parametrize("size", [0, 5, 19, 21, 30, 35])
def test_a_splice_cut_short_is_refused(size):
    """At any place inside a number or the data."""
    made = delta_of(b"x" * 100 + b"1" * 9, b"x" * 100 + b"2" * 9)
    assert len(made.encode()) > 36

    with pytest.raises(ValueError, match="delta"):
        Delta.decode(made.encode()[:size])


def test_a_retry_after_a_late_failure_splices_nothing_that_is_not_there(
    tmp_path, monkeypatch
):
    """The main file may hold the new value already: it is not the one spliced."""
    path, codec = tmp_path / "users.mpack", Codec()
    monkeypatch.setattr("storify.engine.file.engine.JOURNALED_FROM_BYTES", 1)
    values = [codec.encode(bytes([n]) + bytes(200_000)) for n in range(3)]
    key = codec.encode_key("k")
    engine = FileEngine(path, root_format=codec, log=Log())
    base = engine.commit(Commit(None, [(key, values[0])]))
    real, failures = vfs.sync_directory, [OSError(errno.EIO, "late")]

    def sync_directory(folder):
        if failures and folder == str(tmp_path):
            raise failures.pop()
        real(folder)

    monkeypatch.setattr(vfs, "sync_directory", sync_directory)
    with pytest.raises(OSError, match="late"):
        engine.commit(Commit(base, [(key, values[1])], compact=True))
    stored = {key: values[0]}.get
    engine.commit(Commit(base, [(key, values[2])], stored=stored))

    loaded = FileEngine(path, root_format=codec, log=Log()).load()

    assert entries_of(loaded) == {key: values[2]}
