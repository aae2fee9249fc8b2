"""Laws of the codec that hold for every value, or for every byte string."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.sampling import fewer
from records import Record, Registry
from storify.codec import Codec, DecodeError
from storify.testing import same, storable
from storify.testing._scalars import hashables, plain_trees

codec = Codec()


@given(storable(adversarial=True))
def test_what_is_read_is_what_was_written(value: Any) -> None:
    """Any storable value comes back equal, of the same type, to the bit."""
    assert same(value, codec.decode(codec.encode(value)))


@given(storable(adversarial=True))
def test_writing_again_gives_the_same_bytes(value: Any) -> None:
    """A value that was read is written as the bytes that it came from."""
    payload = codec.encode(value)

    assert codec.encode(codec.decode(payload)) == payload


@given(storable(adversarial=True))
def test_both_ways_of_writing_agree(value: Any) -> None:
    """The careful encoder writes the bytes of the packer and its checks."""
    assert codec._careful.encode(value, "$") == codec.encode(value)


@given(
    st.dictionaries(
        hashables(adversarial=True),
        storable(adversarial=True, max_leaves=4),
        max_size=5,
    )
)
def test_a_root_comes_back(data: dict[Any, Any]) -> None:
    """A root of any keys comes back in order through entries, join and split."""
    entries = codec.encode_items(data)
    payload = Codec.join(entries)

    assert Codec.split(payload) == entries
    assert same(codec.decode_root(payload), data)


@given(plain_trees())
def test_plain_data_is_plain_messagepack(value: Any) -> None:
    """What MessagePack can hold is written as any other writer writes it."""
    assert codec.encode(value) == msgpack.packb(value)


@given(storable(adversarial=True, max_leaves=5))
def test_a_cut_payload_never_decodes(value: Any) -> None:
    """No prefix of a payload passes for a payload."""
    payload = codec.encode(value)

    for end in range(len(payload)):
        with pytest.raises(DecodeError):
            codec.decode(payload[:end])


@given(st.binary())
@settings(max_examples=fewer(166, 500))
def test_any_bytes_decode_or_are_refused(payload: bytes) -> None:
    """Bytes from anywhere give a value or a DecodeError, in every function."""
    full = Codec(**Registry("user").hooks())

    for read in (codec.decode, full.decode, full.decode_root, Codec.split):
        with suppress(DecodeError):
            read(payload)


@given(storable(adversarial=True, max_leaves=5), st.data())
def test_a_damaged_payload_decodes_or_is_refused(value: Any, data: Any) -> None:
    """One changed byte gives a value or a DecodeError."""
    payload = bytearray(codec.encode(value))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))

    with suppress(DecodeError):
        codec.decode(bytes(payload))


def _records(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["user", "__Order__", "größe"])
    fields = st.dictionaries(st.sampled_from(["a", "user", "keyname_"]), inner)
    return st.builds(lambda name, items: Record(name, **items), names, fields)


def _trees() -> st.SearchStrategy[Any]:
    keys = st.sampled_from(["user", "__Order__", "__x__", "größe", "a", 1])
    return st.recursive(
        st.integers() | st.just(bytearray(b"x")) | st.just("\udfff"),
        lambda inner: st.one_of(
            _records(inner),
            st.dictionaries(keys, inner, max_size=2),
            st.lists(inner, max_size=3).map(tuple),
        ),
        max_leaves=10,
    )


@given(st.dictionaries(st.text(), _trees(), max_size=4))
def test_records_and_their_look_alikes_stay_apart(data: dict[str, Any]) -> None:
    """Records come back as records and dicts as dicts, wherever they lie."""
    full = Codec(**Registry("user", "__Order__", "größe").hooks())

    root = full.decode_root(Codec.join(full.encode_items(data)))

    assert root == data


@given(st.dictionaries(st.text(), _trees(), max_size=4))
def test_a_program_without_the_classes_saves_the_same_bytes(
    data: dict[str, Any],
) -> None:
    """A re-save by a program that knows no keyname changes nothing."""
    full = Codec(**Registry("user", "__Order__", "größe").hooks())
    ignorant = Codec(**Registry().hooks())
    payload = Codec.join(full.encode_items(data))

    again = Codec.join(ignorant.encode_items(ignorant.decode_root(payload)))

    assert again == payload
