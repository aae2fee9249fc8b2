"""What is whole in the bytes of a damaged root."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storify.codec import Codec, DecodeError
from storify.testing import storable

CODEC = Codec()
DATA = {f"key {at:02}": {"name": f"value {at:02}", "at": [at] * 5} for at in range(20)}
ENTRIES = CODEC.encode_items(DATA)
PAYLOAD = CODEC.join(ENTRIES)


def whole(found):
    """The entries that were found."""
    return dict(each for each in found if each is not None)


def test_a_good_root_comes_back_whole():
    """In order, without a gap."""
    assert CODEC.salvage(PAYLOAD) == list(ENTRIES.items())
    assert CODEC.salvage(b"\x80") == []


@given(st.dictionaries(st.text(max_size=5), storable(adversarial=True), max_size=5))
def test_any_good_root_comes_back_whole(data):
    """Whatever may stand in it."""
    entries = CODEC.encode_items(data)

    assert CODEC.salvage(CODEC.join(entries)) == list(entries.items())


@pytest.mark.parametrize("payload", [b"", b"\x90", b"\xc1", b"\xde", b"\xdf\x00\x00"])
def test_what_is_no_map_has_no_entries(payload):
    """It is one damaged stretch."""
    assert CODEC.salvage(payload) == [None]


def test_each_cut_leaves_the_entries_before_it():
    """Then there is one stretch, be it empty."""
    for size in range(3, len(PAYLOAD)):
        found = CODEC.salvage(PAYLOAD[:size])

        exact = [each for each in found if each in ENTRIES.items()]
        assert exact == list(ENTRIES.items())[: len(exact)]
        assert len(PAYLOAD[:size]) - sum(map(len, chain(*exact))) < 50
        assert found[len(exact)] is None
        # Near the end, two parts of the cut value may pass for an entry.
        assert len(found) - len(exact) <= 2


@pytest.mark.parametrize("length", [1, 10, 100])
@pytest.mark.parametrize("byte", [0x00, 0xC1, 0xFF, 0xA1, 0x81])
def test_what_follows_a_damaged_stretch_is_found(length, byte):
    """At most the entries that it touches, and two beside them, are lost."""
    for start in range(3, len(PAYLOAD) - length, 7):
        bad = PAYLOAD[:start] + bytes([byte]) * length + PAYLOAD[start + length :]

        found = whole(CODEC.salvage(bad))

        exact = [key for key in found if found[key] == ENTRIES.get(key)]
        touched = 2 + length // 30
        # Arrays, texts and maps in maps may claim some of what follows.
        claimed = min(length, 10) if byte == 0x81 else 3
        assert len(exact) >= len(ENTRIES) - touched - claimed, start
        # What was a text may be whole numbers now, but little else is made up.
        assert len(found) <= len(exact) + touched + 3, start


def test_a_count_that_is_wrong_hides_nothing():
    """More or fewer entries than the header says."""
    for header in (b"\x8f", b"\x81", b"\x80", b"\xde\xff\xff"):
        damaged = header + PAYLOAD[3:]
        assert whole(CODEC.salvage(damaged)) == ENTRIES
        if header < b"\xde":
            continue  # with fewer than there are, it is one damage too many
        at = damaged.index(b"key 07")

        torn = CODEC.salvage(damaged[:at] + b"\xc1" * 9 + damaged[at + 9 :])

        assert whole(torn).items() <= ENTRIES.items()
        assert len(whole(torn)) == len(ENTRIES) - 1


def test_other_keys_than_texts_are_found_again():
    """Numbers, tuples, bytes: of the kinds of the keys before."""
    for keys in (
        range(300),
        [(at, "x") for at in range(300)],
        [b"%d" % at for at in range(300)],
    ):
        entries = CODEC.encode_items({key: [key, "value"] for key in keys})
        payload = CODEC.join(entries)
        middle = len(payload) // 2

        found = CODEC.salvage(payload[:middle] + b"\xc1" * 20 + payload[middle + 20 :])

        exact = whole(found).items() & entries.items()
        assert len(exact) > 290 - 20
        assert len(whole(found)) - len(exact) <= 3


def test_a_large_damaged_stretch_is_searched_in_time():
    """Half of it zeros, half of it noise."""
    noise = bytes(at * 7 % 256 for at in range(50_000))
    blob = CODEC.encode_items({f"blob {at}": b"x" * 9000 for at in range(20)})
    payload = CODEC.join(blob)

    found = CODEC.salvage(payload[:40_000] + bytes(30_000) + noise + payload[120_000:])

    assert len(whole(found).items() & blob.items()) >= 8


def test_a_value_that_cannot_be_decoded_is_no_entry():
    """Its structure is whole, its text is not."""
    at = PAYLOAD.index(b"value 07")
    bad = PAYLOAD[:at] + b"\xff" + PAYLOAD[at + 1 :]

    found = CODEC.salvage(bad)

    assert None in found
    assert len(whole(found)) == len(ENTRIES) - 1
    assert all(ENTRIES[key] == value for key, value in whole(found).items())


@given(st.binary(max_size=300))
def test_garbage_is_no_error(garbage):
    """Nor are its entries more than what it holds."""
    for payload in (garbage, b"\xde\x00\x20" + garbage):
        found = CODEC.salvage(payload)

        assert sum(map(len, [k + v for k, v in filter(None, found)])) <= len(payload)


def test_deep_and_huge_claims_are_no_error():
    """No stack and no memory for them."""
    for payload in (
        b"\x81\xa1a" + b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff" + b"\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
        b"\x81" + b"\x81" * 5000,
    ):
        assert None in CODEC.salvage(payload)


def test_an_entry_is_parted():
    """Into exactly two values."""
    key, value = CODEC.encode("key"), CODEC.encode([1, 2])

    assert CODEC.part(key + value) == (key, value)
    for bad in (key, key + value + b"\x01", key + value[:-1], b"", b"\xc1" + value):
        with pytest.raises(DecodeError):
            CODEC.part(bad)
