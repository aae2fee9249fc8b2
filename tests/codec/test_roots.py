"""Roots whose values are found without being decoded, and decoded in bulk."""

from datetime import UTC, datetime

import pytest

from durable_dict import CODEC, Durable, Point
from storify.codec import Codec, DecodeError
from storify.database.live.data import Data
from storify.testing import same


def index(payload, codec=CODEC):
    """Give what is made of a payload: keys and value bytes."""
    return list(Data.opened(codec, codec.split(payload)).stored_items())


ANY_KEYS = {
    "s": 1,
    "é" * 40: 2,
    5: 3,
    -300: 4,
    b"b": 5,
    2.5: 6,
    None: 7,
    True: 8,
    (1, "x"): 9,
    datetime(2026, 1, 1, tzinfo=UTC): 10,
    frozenset({1, 2}): 11,
    1 << 70: 12,
    "\ud800": 13,
}


@pytest.mark.parametrize(
    "content",
    [{}, {"a": [1], "b": None}, ANY_KEYS, {str(n): n for n in range(2000)}],
    ids=["empty", "str", "any", "many"],
)
def test_it_has_the_keys_of_the_decoded_root(content):
    """In order, to the type, with the bytes of each value."""
    payload = Durable(content).payload

    found = index(payload)

    assert same(dict(found), {k: CODEC.encode(v) for k, v in content.items()})
    assert same([k for k, _ in found], list(CODEC.decode_root(payload)))


@pytest.mark.parametrize(
    "payload",
    [
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x83\xa1a\x01\xa1b\x03\xa1a\x02",
        b"\x82\x01\x01\xcc\x01\x02",
        b"\x82\xc4\x01a\x01\xc4\x01a\x02",
        b"\x82\xa1\xff\x01\xa1\xff\x02",
        b"\x81\xa1\xff\x01",
        b"\x81\x91\x01\x02",
        b"\x81\x80\x02",
        b"\x81\xd6\xff\x00\x00\x00\x01\x01",
        b"\x81\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01\x01",
        b"\x81\xd4\x63\x00\x01",
    ],
)
def test_keys_of_other_programs_are_read_as_by_a_whole_decode(payload):
    """Twice the same, in more bytes than needed, broken strings, unhashable."""
    root = CODEC.decode_root(payload)

    found = index(payload)

    assert same([k for k, _ in found], list(root)) or found == list(
        {k: CODEC.encode(v) for k, v in root.items()}.items()
    )
    assert [CODEC.decode(blob) for _, blob in found] == list(root.values())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x90",
        b"\x01",
        b"\x81",
        b"\x81\xa1a",
        b"\x81\xa1a\x01\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\x82\x01\x01\xc3\x02",
        b"\x82\x01\x01\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x02",
        b"\x81\xa1a\xc1",
        b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
        b"\x81\xc9\xff\xff\xff\xff\x01\x01",
    ],
)
def test_what_is_no_root_is_refused(payload):
    """Cut, followed by more, keys that are one, the extension that overflows."""
    with pytest.raises(DecodeError):
        index(payload)
    if payload != b"\x90":  # a list root
        with pytest.raises(DecodeError):
            CODEC.decode_root(payload)


def test_a_text_that_looks_like_the_overflowing_extension_is_no_trap():
    """The bytes turn up in a binary."""
    content = {"a": b"\xc9\xff\xff\xff\xff", "b": 1}

    assert dict(index(Durable(content).payload)) == {
        k: CODEC.encode(v) for k, v in content.items()
    }


def test_the_keys_are_learned_of_escaped_dicts():
    """A record that is read before would be taken for a dict, and escaped."""
    learned = []
    codec = Codec(learn=learned.append)
    escaped = Durable({"a": {"__User__": {"x": 1}}, "b": [1.5] * 9})
    assert b"\xc7\x00\x1a" in escaped.payload

    index(escaped.payload, codec)

    assert learned == ["__User__"]


def test_many_values_at_once_are_as_each_alone():
    """Across batches, with records, odd stamps and extensions among them."""
    values = [
        Point(x=1, tags=["a"]),
        {"a": (1, 2)},
        None,
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        {"__User__": {"x": 1}},
        "\ud800",
    ] * 400
    blobs = list(map(CODEC.encode, values))
    blobs[7] = b"\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01"

    together = CODEC.decode_all(blobs)

    assert same(together, [CODEC.decode(each) for each in blobs])


def test_check_decodes_to_the_end():
    """A value that nests too deep is found."""
    deep = b"\x81\xa1a" + b"\x91" * 600 + b"\xc0"

    CODEC.check(Durable(ANY_KEYS).payload)
    with pytest.raises(DecodeError):
        CODEC.check(deep)
