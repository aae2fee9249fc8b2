"""What it costs to save a large value: it is encoded once, and not walked in Python."""

import os
import sys
import zlib
from collections import Counter
from enum import Enum
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import packb

from storify import Storify, UnstorableError
from storify.codec import Codec, _frames
from storify.engine import protocol
from storify.engine.file import backups, fold, root, state
from storify.engine.file.delta import Delta, delta_of

LARGE = 100_000


@pytest.fixture
def db(tmp_path):
    """A database on disk."""
    with Storify(tmp_path, save_interval=None) as sf:
        yield sf["d"]


@pytest.fixture
def counts(monkeypatch):
    """How often values were encoded and decoded, and looked at for their depth."""
    made = {"encode": 0, "decode": 0, "is_deep": 0}

    def count(owner, name):
        method = getattr(owner, name)

        def run(*args, **keywords):
            made[name] += not (name == "encode" and isinstance(args[1], str))
            return method(*args, **keywords)

        monkeypatch.setattr(owner, name, run)

    for owner, name in ((Codec, "encode"), (Codec, "decode"), (_frames, "is_deep")):
        count(owner, name)
    return made


@pytest.mark.parametrize(
    ("first", "second"),
    [(b"a" * 100_000, b"b" * 100_000), ([{"n": 196}] * 1000, [{"n": 197}] * 1000)],
    ids=["bytes", "list"],
)
def test_a_value_that_we_saved_is_encoded_once_when_it_is_changed(
    db, counts, first, second
):
    """Its old bytes are our own: there is no other spelling to look for."""
    db["k"] = first
    db.flush()
    counts.update(encode=0, decode=0)

    db["k"] = second
    db.flush()

    assert counts["encode"] == 1
    assert counts["decode"] == 0


def test_a_list_database_that_we_saved_is_encoded_once_when_it_is_changed(
    tmp_path, counts
):
    """As is any value."""
    with Storify(tmp_path, save_interval=None) as sf:
        db = sf.get_db("d", root=[])
        db.append({"n": 1})
        db.flush()
        counts.update(encode=0, decode=0)

        db.append({"n": 2})
        db.flush()

        assert counts["encode"] == 1
        assert counts["decode"] == 0


def test_a_long_text_or_bytes_is_not_searched_for_what_only_containers_hold(counts):
    """Neither when it is written nor when it is read."""
    codec = Codec()
    for value in (os.urandom(100_000), "ÿ" * 50_000):
        assert codec.decode(codec.encode(value)) == value

    assert not counts["is_deep"]


def test_small_dicts_in_a_large_value_take_no_call_of_python_each():
    """Though there are bytes in it as they begin binary data."""
    codec, calls = Codec(), 0

    def count(_frame, event, _arg):
        nonlocal calls
        calls += event == "call"

    value = [{"n": 196, "s": "x"} for _ in range(1000)]
    sys.setprofile(count)
    try:
        blob = codec.encode(value)
    finally:
        sys.setprofile(None)

    assert 0xC4 in blob
    assert calls < 100


@pytest.mark.parametrize("size", [65_535, 65_536, 70_000])
def test_long_bytes_are_written_as_the_packer_does(size):
    """At each side of the size where their head grows; and it is known for ours."""
    value, codec = bytes(size), Codec()
    head = b"\xc6" + size.to_bytes(4, "big")

    assert codec.encode(value) == packb(value)
    blob = codec.encode(value)
    assert (codec.canonical_value(blob) is blob) is (size > 65_535)
    assert codec.canonical_value(b"\xc6\0\0\0\1x") == b"\xc4\1x"
    assert codec.decode(head + value) == value


def test_a_buffer_in_a_value_that_nobody_holds_is_found(db):
    """What is known of the types of a free value tells that there is one."""
    db["k"] = [{"n": 196, "s": "x"} for _ in range(1000)]
    db.flush()
    db["k"][500]["s"] = bytearray(b"x")
    db.flush()
    assert db.reload() is None

    assert type(db.raw("k")[500]["s"]) is bytearray


def test_who_gets_a_free_value_while_it_is_encoded_may_put_a_buffer_into_it(
    db, monkeypatch
):
    """It is encoded once more, with all checks."""
    db["k"] = [{"n": 196}]
    encode, values = Codec.encode, []

    def meddled(codec, value, *args, **hints):
        if hints.get("is_plain"):
            values.append(db["k"])
            values[0].append(bytearray(b"x"))
        return encode(codec, value, *args, **hints)

    monkeypatch.setattr(Codec, "encode", meddled)
    db.flush()
    monkeypatch.undo()

    assert values
    assert type(db.raw("k")[1]) is bytearray


@pytest.mark.parametrize("depth", range(4))
def test_a_buffer_is_found_at_each_depth(depth):
    """A bytearray comes back as one, a memoryview is refused; neither becomes bytes."""
    codec = Codec()

    def around(value):
        for level in range(depth):
            value = [[{"n": 1}], {"a": value}] if level % 2 else [1, value, [], {}]
        return [value, "x"]

    (value, _) = codec.decode(codec.encode(around(bytearray(b"x"))))
    for level in reversed(range(depth)):
        value = value[1]["a"] if level % 2 else value[1]

    assert type(value) is bytearray
    with pytest.raises(UnstorableError, match="memoryview"):
        codec.encode(around(memoryview(b"x")))


def test_another_class_that_becomes_storable_may_change_how_values_are_encoded():
    """So what was encoded before is no longer sure to be as it would be now."""
    codec = Codec()
    before = codec.form
    assert codec.form == before

    codec.register(Enum("Color", "RED"))

    assert codec.form != before
    assert Codec().form == before


def test_a_value_in_another_spelling_by_another_program_is_not_written_anew(tmp_path):
    """It means what it did before."""
    (tmp_path / "d.mpack").write_bytes(b"\x81\xa1k\x92\xcd\x00\x01\xcd\x00\x02")
    with Storify(tmp_path, save_interval=None) as sf:
        assert sf["d"]["k"] == [1, 2]
        assert not sf["d"].dirty()
        sf["d"]["k"].append(3)
        assert sf["d"].dirty()


@pytest.fixture
def checked(monkeypatch):
    """How many bytes were hashed, and how often the CRC of a large payload was computed."""
    made = Counter()

    def counted(name, function):
        def run(payload, *rest):
            made[name] += len(payload) >= LARGE
            return function(payload, *rest)

        return run

    class Hash:
        def __init__(self, payload=b""):
            self._real = sha256()
            self.update(payload)

        def update(self, payload):
            made["sha256"] += len(payload)
            self._real.update(payload)

        def copy(self):
            new = Hash()
            new._real = self._real.copy()
            return new

        def hexdigest(self):
            return self._real.hexdigest()

    for module in (backups, fold, protocol, root, state):
        monkeypatch.setattr(module, "sha256", Hash)
    monkeypatch.setattr(zlib, "crc32", counted("crc32", zlib.crc32))
    return made


def test_a_large_payload_is_hashed_once(db, checked, tmp_path):
    """The new file alone: what the old one holds is known.

    A CRC is computed for the delta beside the backup.
    """
    db["k"] = os.urandom(LARGE)
    db.flush()
    checked.clear()

    db["k"] = os.urandom(LARGE)
    db.flush()

    size = (tmp_path / "d.mpack").stat().st_size
    assert checked == {"sha256": size, "crc32": 1}


def test_a_mark_is_sought_by_few_calls_also_where_its_bytes_are_frequent():
    """As in random bytes, which hold each byte in each 256."""
    payload, calls = os.urandom(1 << 20) + b"\xc9\xff\xff", 0

    def count(_frame, event, _arg):
        nonlocal calls
        calls += event == "c_call"

    sys.setprofile(count)
    try:
        at = _frames.find(payload, b"\xc9\xff\xff")
    finally:
        sys.setprofile(None)

    assert at == payload.find(b"\xc9\xff\xff")
    assert calls < 300


@pytest.mark.parametrize("change", [list.append, list.insert], ids=["append", "insert"])
def test_what_is_added_to_a_long_list_is_all_that_is_written(db, tmp_path, change):
    """Though the number of its items, which comes first, changes too."""
    db["others"] = "x" * (2 << 20)
    db["k"] = [{"n": number} for number in range(30_000)]
    db.flush()
    journal = tmp_path / "d.mpack.journal"
    for number in range(5):
        change(db["k"], *([0] if change is list.insert else []), {"new": number})
        db.flush()

    assert journal.stat().st_size < 2000
    kept = list(db["k"])
    db.close()
    with Storify(tmp_path, save_interval=None) as sf:
        assert sf["d"]["k"] == kept


@given(
    old=st.binary(max_size=50),
    new=st.binary(max_size=50),
    same=st.tuples(st.integers(0, 9000), st.integers(0, 9000)),
)
def test_a_difference_makes_the_new_value_of_the_old_one(old, new, same):
    """Whatever was changed between long parts that are the same."""
    before, after = (b"a" * size for size in same)
    old, new = before + old + after, before + new + after

    made = delta_of(old, new)

    assert made is None or made.apply(old) == new
    assert made is None or Delta.decode(made.encode()) == made
