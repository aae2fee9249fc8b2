"""What the codec leaves out for the sake of time changes nothing that it gives."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from records import Record, Registry
from storify.codec import Codec, DecodeError
from storify.codec._writer import find_wrappers, rough_tag_pattern, tag_pattern

ANN = Record("__User__", name="Ann")


class Keynames:
    """A live view to which another thread adds a name while it is read."""

    def __init__(self) -> None:
        self.is_changing = True

    def __len__(self) -> int:
        return 1

    def __contains__(self, name: object) -> bool:
        return name == "user"

    def __iter__(self) -> Iterator[str]:
        if self.is_changing:
            self.is_changing = False
            msg = "dictionary changed size during iteration"
            raise RuntimeError(msg)
        yield "user"


def double(pattern: bytes) -> float:
    """Make a float whose bytes begin like *pattern*."""
    (value,) = struct.unpack(">d", pattern.ljust(8, b"\0"))
    assert isinstance(value, float)
    return value


def test_a_keyname_that_comes_while_they_are_read_does_not_stop_a_flush() -> None:
    """The names are read again, and the look-alike is escaped."""
    codec = Codec(keynames=Keynames())

    payload = codec.encode([{"user": {}}])

    assert codec.decode(payload) == [{"user": {}}]
    assert payload != msgpack.packb([{"user": {}}])


def test_known_classes_are_not_asked_about() -> None:
    """Objects of a class in *wraps* are wrapped by it, all others are asked about."""
    asked: list[object] = []
    wraps: dict[type, Any] = {}

    def unstructure(obj: Any) -> dict[str, Any]:
        asked.append(obj)
        wraps[Record] = lambda record: {record.keyname: record.fields}
        return {obj.keyname: obj.fields}

    codec = Codec(unstructure=unstructure, wraps=wraps)

    entries = codec.encode_items({1: ANN, 2: ANN, 3: [ANN]})

    assert asked == [ANN]
    assert len(set(entries.values())) == 2
    assert codec.decode(entries[b"\x01"]) == {"__User__": {"name": "Ann"}}


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_a_few_records_among_plain_values_are_found(count: int) -> None:
    """A root of plain values gives the records that it holds, wherever they are."""
    codec = Codec(**Registry("__User__").hooks())
    root: dict[Any, Any] = {key: {"a": [key, {"b": 1}]} for key in range(count)}
    root["last"] = {"a": [ANN]}
    root[5] = ANN

    read = codec.decode_root(codec.join(codec.encode_items(root)))

    assert read == root
    assert list(read) == list(root)


def test_floats_that_look_like_records_are_floats() -> None:
    """Bytes in a float that could begin a record cost time and nothing else."""
    codec = Codec(**Registry("__User__").hooks())
    root: dict[Any, Any] = {key: {"a": 0.5} for key in range(100)}
    root["odd"] = {"a": double(b"\x40\x81\xa1a\x80"), "b": double(b"\x40\x81\xd9")}
    root[double(b"\x40\x81\xa1a\x80")] = "also as a key"

    read = codec.decode_root(codec.join(codec.encode_items(root)))

    assert read == root


def test_a_record_behind_a_look_alike_is_found() -> None:
    """A text that a look-alike seems to hold may begin the record that follows."""
    codec = Codec(**Registry("__User__").hooks())
    root: dict[Any, Any] = {key: key for key in range(100)}
    root["odd"] = [double(b"\x40\0\0\0\0\0\x81\xb1"), ANN]

    read = codec.decode_root(codec.join(codec.encode_items(root)))

    assert read == root


def test_a_stamp_behind_a_look_alike_is_exact() -> None:
    """Bytes that look like a timestamp do not hide the one that follows."""
    codec = Codec()
    stamp = msgpack.Timestamp(5, 1)
    root = {"a": [double(b"\x40\0\0\0\0\0\xd7\xff"), stamp], "b": 1}

    payload = codec.join(codec.encode_items(root))
    read: Any = codec.decode_root(payload)

    assert read == root
    assert codec.join(codec.encode_items(read)) == payload


def test_a_datetime_is_written_as_msgpack_does() -> None:
    """UTC times are MessagePack's timestamps in their least form, also before 1970."""
    codec = Codec()
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
        datetime(2514, 5, 30, 1, 53, 3, 1, tzinfo=UTC),
        datetime(2514, 5, 30, 1, 53, 4, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ]

    payload = codec.encode(times)

    assert payload == msgpack.packb(times, datetime=True)
    assert codec.decode(payload) == times


def test_escaped_dicts_are_learned_from_wherever_they_stand() -> None:
    """Also beside a value of the same key, and never from bytes cut short."""
    registry = Registry()
    codec = Codec(**registry.hooks())
    escaped = b"\x93\xc7\x00\x1a\xa1%s\x80"

    read = codec.decode_root(b"\x82\x01%s\x01%s" % (escaped % b"a", escaped % b"b"))

    assert read == {1: {"b": {}}}
    assert registry.keynames == {"a", "b"}
    with pytest.raises(DecodeError):
        codec.decode_root(b"\xdf\xc7\x00\x1a")


#: Bytes of which each is one that a record may begin with, or what follows it.
SUSPECTS = st.lists(
    st.sampled_from(
        [
            *(b"\x81", b"\xde\x00\x01", b"\xa3__a", b"\xa1u", b"\xd9\x03__a", b"\x80"),
            *(b"\xc7\x00", b"\x90", b"\xdc\x00\x01", b"\xdf", b"__", b"\xa2", b"\xa0"),
        ]
    ),
    max_size=12,
).map(b"".join)


def may_be_wrapper(payload: bytes) -> bool:
    """Tell by the format whether a wrapper of any key may begin with these bytes."""
    for header in (b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01"):
        if not payload.startswith(header):
            continue
        head = payload[len(header) :][:1]
        if b"\xd9" <= head <= b"\xdb":
            return True
        if b"\xa0" <= head <= b"\xbf":
            rest = payload[len(header) + 1 + head[0] - 0xA0 :]
            return begins_map(rest)
    return False


def begins_map(rest: bytes) -> bool:
    """Tell whether a map begins there, or an array that stands for a dict."""
    if b"\x80" <= rest[:1] <= b"\x8f" or rest[:1] in {b"\xde", b"\xdf"}:
        return True
    sizes = {b"\xdc": 3, b"\xdd": 5}
    is_array = b"\x90" <= rest[:1] <= b"\x9f" or rest[:1] in sizes
    return is_array and rest[sizes.get(rest[:1], 1) :].startswith(b"\xc7\x00")


@given(SUSPECTS)
@example(b"\x81\xa1\x81\xa0\x80")
@example(b"\x81\xa3__a")
def test_the_search_for_wrappers_finds_what_the_format_says(payload: bytes):
    """Each place where a map of one text and a map may begin is found, and no other."""
    expected = [at for at in range(len(payload)) if may_be_wrapper(payload[at:])]

    assert sorted(find_wrappers(payload)) == expected


@given(SUSPECTS, st.sampled_from([(), (b"\xa1u",)]))
def test_the_rough_search_for_records_overlooks_none(
    payload: bytes, keys: tuple[bytes, ...]
):
    """It matches wherever the exact one does, which costs more to prepare."""
    exact = {match.start() for match in tag_pattern(keys).finditer(payload)}
    rough = {match.start() for match in rough_tag_pattern(keys).finditer(payload)}

    assert exact <= rough


def test_a_dict_that_only_begins_like_a_record_is_no_record():
    """Its key is a tag, but no map follows: it comes back as it was."""
    codec = Codec(**Registry("__User__").hooks())
    value = [{"__a": 1}, {"__b": {}}, ANN]

    assert codec.decode(codec.encode(value)) == value
