"""What cannot be built here is kept as it is, and written as the same bytes."""

import enum
import struct
from typing import Any, NamedTuple

import msgpack
import pytest
from msgpack import ExtType, Timestamp

from records import Record, Registry, Unloaded
from storify.codec import Codec, DecodeError, KeptKey, Unbuilt, unbuilt


class Color(enum.Enum):
    """An enum."""

    RED = 1


class Size(NamedTuple):
    """A namedtuple."""

    width: int
    height: int = 5


class Perm(enum.Flag):
    """A flag that refuses unknown bits."""

    R = 1


class Loose(enum.Flag, boundary=enum.CONFORM):
    """A flag that drops unknown bits."""

    R = 1


@pytest.fixture
def codec() -> Codec:
    """A codec that knows one class of each kind, and records."""
    codec = Codec(**Registry("__A__").hooks())
    for cls in (Color, Size, Perm, Loose):
        codec.register(cls)
    return codec


def ext(code: int, data: bytes) -> bytes:
    """Write an extension value in its shortest form."""
    sizes = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    if len(data) in sizes:
        return struct.pack("Bb", sizes[len(data)], code) + data
    if len(data) < 1 << 8:
        return struct.pack("BBb", 0xC7, len(data), code) + data
    if len(data) < 1 << 16:
        return struct.pack(">BHb", 0xC8, len(data), code) + data
    return struct.pack(">BIb", 0xC9, len(data), code) + data


SCALARS = {
    "unknown code": ext(99, b"abc"),
    "unknown code, empty": ext(99, b""),
    "reserved code": ext(-7, b"abc"),
    "datetime, short": ext(1, b"abc"),
    "datetime, month 13": ext(1, b"\x07\xe8\x0d\x01" + bytes(6)),
    "datetime, day 31 of February": ext(1, b"\x07\xe8\x02\x1f" + bytes(6)),
    "aware, missing zone": ext(2, b"\x07\xe8\x02\x01" + bytes(6) + b"zMoon/Base"),
    "aware, folder as zone": ext(2, b"\x07\xe8\x02\x01" + bytes(6) + b"zEurope"),
    "aware, path as zone": ext(2, b"\x07\xe8\x02\x01" + bytes(6) + b"z../../x"),
    "aware, offset of a day": ext(
        2, b"\x07\xe8\x02\x01" + bytes(6) + b"o" + struct.pack(">q", 86_400_000_000)
    ),
    "aware, unknown kind of zone": ext(2, b"\x07\xe8\x02\x01" + bytes(6) + b"q" * 9),
    "aware, no zone": ext(2, b"\x07\xe8\x02\x01" + bytes(6)),
    "date, day 0": ext(3, b"\x07\xe8\x02\x00"),
    "time, hour 25": ext(4, b"\x19\x00\x00\x00\x00\x00"),
    "time, short": ext(4, b"\x19"),
    "timedelta, too large": ext(5, struct.pack(">iII", 1_000_000_000, 0, 0)),
    "timedelta, not normal": ext(5, struct.pack(">iII", 0, 86_400, 0)),
    "int, of 64 bits": ext(6, b"\x05"),
    "decimal, no number": ext(7, b"1.2.3"),
    "decimal, with underscore": ext(7, b"1_0"),
    "decimal, huge exponent": ext(7, b"1E+99999999999999999999"),
    "uuid, short": ext(8, b"abc"),
    "complex, short": ext(12, b"abc"),
    "fraction, of zero": ext(13, b"1/0"),
    "fraction, not reduced": ext(13, b"2/4"),
    "fraction, huge": ext(13, b"1/0x" + b"f" * 100_000),
    "fraction, long decimal": ext(13, b"1/" + b"7" * 5_000),
    "enum, removed member": ext(15, b"Color\0.BLUE"),
    "enum, unknown class": ext(15, b"Colour\0.RED"),
    "enum, value for a name": ext(15, b"Color\0=\x01"),
    "flag, unknown bits": ext(15, b"Perm\0=\x08"),
    "flag, bits that are dropped": ext(15, b"Loose\0=\x09"),
    "path, unknown class": ext(21, b"xa"),
    "path, with NUL": ext(21, b"pa//b"),
    "address, of no version": ext(22, b"410.0.0.999"),
    "address, padded": ext(22, b"6::0"),
    "text, not UTF-8": ext(27, b"\xff"),
    "ellipsis, other": ext(28, b","),
    "timestamp, of 3 bytes": ext(-1, b"abc"),
    "timestamp, nanosecond": ext(-1, struct.pack(">Q", 1 << 34 | 5)),
    "timestamp, 96 bits, nanosecond": ext(-1, struct.pack(">Iq", 1, -5)),
    "timestamp, too late": ext(-1, struct.pack(">Iq", 0, 1 << 50)),
    "timestamp, too many nanoseconds": ext(-1, b"\xff" * 8),
}


@pytest.mark.parametrize("payload", SCALARS.values(), ids=SCALARS)
def test_a_scalar_is_kept(codec: Codec, payload: bytes) -> None:
    """Alone, in containers, as key and in a root, the extension value stays."""
    places = {
        "alone": payload,
        "list": b"\x92\x01" + payload,
        "value": b"\x81\xa1a" + payload,
        "key": b"\x81" + payload + b"\x01",
        "tuple": b"\x92\xc7\x00\x09" + payload,
        "record": b"\x81\xa5__A__\x81\xa1a" + payload,
    }

    assert isinstance(codec.decode(payload), (ExtType, Timestamp))
    for place in places.values():
        assert codec.encode(codec.decode(place)) == place
    for name in ("value", "key"):
        root = codec.decode_root(places[name])
        assert codec.join(codec.encode_items(root)) == places[name]


def array(*items: Any) -> bytes:
    """Write an array led by a marker."""
    return msgpack.packb(list(items))


CONTAINERS = {
    "unknown code": array(ExtType(99, b""), 1),
    "marker alone in a list": array(1, ExtType(9, b"")),
    "marker with payload": array(ExtType(9, b"x"), 1),
    "set of a list": array(ExtType(10, b""), [1]),
    "set of the same twice": array(ExtType(10, b""), 1, 1),
    "frozenset of the same twice": array(ExtType(11, b""), 1, 1),
    "namedtuple, unknown": array(ExtType(16, b""), "Point", {"x": 1}),
    "namedtuple, unknown field": array(
        ExtType(16, b""), "Size", {"width": 1, "depth": 1}
    ),
    "namedtuple, missing field": array(ExtType(16, b""), "Size", {"height": 1}),
    "deque, too long": array(ExtType(17, b""), 1, 1, 2),
    "deque, huge": array(ExtType(17, b""), 1 << 63),
    "deque, negative": array(ExtType(17, b""), -1),
    "deque, empty": array(ExtType(17, b"")),
    "OrderedDict of a list": array(ExtType(18, b""), []),
    "defaultdict, unknown": array(ExtType(19, b""), "os.system", {}),
    "Counter of two": array(ExtType(20, b""), {}, {}),
    "range, step 0": array(ExtType(23, b""), 0, 1, 0),
    "range, of bool": array(ExtType(23, b""), 0, True, 1),
    "slice, of two": array(ExtType(24, b""), 0, 1),
    "custom, unknown": array(ExtType(25, b""), "Thing", {"a": 1}),
    "custom, key of a list": array(ExtType(25, b""), [], 1),
    "escape of no string": array(ExtType(26, b""), 1, {}),
    "escape, empty": array(ExtType(26, b"")),
}


@pytest.mark.parametrize("payload", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_is_kept(codec: Codec, payload: bytes) -> None:
    """The array stays a list, and is written again as it was."""
    value = codec.decode(payload)

    assert type(value) is list
    assert codec.encode(value) == payload
    assert codec.encode(codec.decode(b"\x91" + payload)) == b"\x91" + payload


@pytest.mark.parametrize("payload", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_is_kept_as_key(codec: Codec, payload: bytes) -> None:
    """A key that cannot be hashed here is kept too, and can be looked up."""
    root = b"\x81" + payload + b"\x01"

    data = codec.decode_root(root)

    (key,) = data
    assert type(key) is KeptKey
    assert data[KeptKey(None, payload)] == 1
    assert key != payload
    assert codec.join(codec.encode_items(data)) == root
    assert codec.encode(codec.decode(b"\x91" + root)) == b"\x91" + root
    assert codec._careful.encode(data, "$") == root


def test_a_missing_field_takes_its_default(codec: Codec) -> None:
    """A namedtuple that has gained a field with a default is read."""
    payload = array(ExtType(16, b""), "Size", {"width": 1})

    assert codec.decode(payload) == Size(1, 5)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"\xa3\xed\xa0\x80", "\ud800"),
        (b"\xa2\xff\xfe", b"\xff\xfe"),
        (b"\xc4\x02\xff\xfe", b"\xff\xfe"),
        (b"\xc4\x03abc", b"abc"),
    ],
)
def test_strings_of_old_files(codec: Codec, wire: bytes, value: object) -> None:
    """A string that is not UTF-8 is read, as what it holds; bin stays bytes."""
    root = b"\x82\xa1a\x93\x01\xcb\x3f\xf8" + bytes(6) + wire + wire + b"\xd0\x80"

    assert codec.decode(wire) == value
    assert codec.decode_root(root) == {"a": [1, 1.5, value], value: -128}


def test_every_header_is_read_by_hand(codec: Codec) -> None:
    """The reader in Python knows all of MessagePack."""
    strings = ["x" * size for size in (5, 40, 300, 70_000)]
    tree = {
        "ints": [0, -1, -32, 1 << 7, 1 << 15, 1 << 31, 1 << 63, -33, -200, -40_000],
        "more": [-(1 << 40), None, True, False, 1.5],
        "strings": strings,
        "bytes": [text.encode() for text in strings],
        "arrays": [[1] * 20, [1] * 70_000, {n: n for n in range(20)}],
        "maps": {n: n for n in range(70_000)},
        "exts": [ExtType(99, bytes(n)) for n in (0, 1, 2, 4, 8, 16, 300, 70_000)],
    }
    packed = msgpack.packb([tree, 5])

    read = codec.decode(packed[:-1] + b"\xa1\xff")

    assert read == [tree, b"\xff"]
    assert codec.decode(b"\x92\xca\x3f\x80\x00\x00\xa1\xff") == [1.0, b"\xff"]


def test_hooks_run_for_a_file_read_by_hand() -> None:
    """A broken string in one place keeps no record from being built."""
    codec = Codec(**Registry("__A__").hooks())
    record = b"\x81\xa5__A__\x81\xa1a\x92\xc7\x00\x09\x01"

    root = codec.decode_root(b"\x82\xa1x\xa1\xff\xa1y" + record)

    assert root == {"x": b"\xff", "y": Record("__A__", a=(1,))}
    assert codec.decode_root(b"\x81\xa5__A__\x81\xa1a\xa1\xff") == {
        "__A__": {"a": b"\xff"}
    }


def test_timestamps_beside_odd_ones_are_datetimes(codec: Codec) -> None:
    """One timestamp in nanoseconds keeps no other from being a datetime."""
    odd, even = SCALARS["timestamp, nanosecond"], ext(-1, b"\0\0\0\1")
    root = b"\x83\xa1a" + odd + b"\xa1b" + even + b"\xa1c\x92" + odd + even

    data = codec.decode_root(root)

    assert data["a"] == data["c"][0] == Timestamp(5, 1)
    assert data["b"] == data["c"][1]
    assert data["b"].isoformat() == "1970-01-01T00:00:01+00:00"
    assert codec.join(codec.encode_items(data)) == root


def test_an_odd_timestamp_is_kept_in_records_and_by_repeated_keys() -> None:
    """Also where the values of a root cannot be told apart by their order."""
    codec = Codec(**Registry("__A__").hooks())
    odd = SCALARS["timestamp, nanosecond"]
    record = b"\x81\xa5__A__\x81\xa1a\x92\xc7\x00\x09" + odd

    twice = codec.decode_root(b"\x82\x01\x01\xcc\x01" + record)

    assert twice == {1: Record("__A__", a=(Timestamp(5, 1),))}
    assert codec.decode(record) == Record("__A__", a=(Timestamp(5, 1),))
    assert codec.decode_root(b"\x81\x01" + record) == twice


def test_a_users_own_extension_value_is_kept(codec: Codec) -> None:
    """An ExtType or Timestamp of an unknown kind is stored as it is."""
    value = [ExtType(50, b"x"), Timestamp(5, 1)]

    assert codec.decode(codec.encode(value)) == value
    assert codec.decode(codec.encode([*value, bytearray()])) == [*value, bytearray()]


def test_a_damaged_root_is_refused(codec: Codec) -> None:
    """A root is a map or an array, whole, with nothing behind it."""
    for payload in (b"", b"\x05", b"\xa1a", b"\xc0", b"\x80\x80", b"\xde", b"\x81\xa1"):
        with pytest.raises(DecodeError):
            codec.decode_root(payload)
        with pytest.raises(DecodeError):
            codec.split(payload)
    with pytest.raises(DecodeError):
        codec.decode_root(array(ExtType(9, b""), 1))
    with pytest.raises(DecodeError):
        codec.decode_root(b"\xdf\x81\xa0\x80")


def test_an_unknown_record_is_kept() -> None:
    """A record of an unknown class is written as it was read."""
    codec = Codec(**Registry().hooks())
    payload = b"\x81\xa5__A__\x81\xa5__B__\x80"

    value = codec.decode(payload)

    assert type(value) is Unloaded
    assert codec.encode(value) == payload


def test_many_missing_zones_cost_little(codec: Codec) -> None:
    """A file of nothing but unknown zones is read, and known ones are found still."""
    state = b"\x07\xe8\x02\x01" + bytes(6)
    wires = [ext(2, state + b"zMoon/%d" % number) for number in range(5_000)]
    wires.append(ext(2, state + b"zAsia/Tokyo"))

    *missing, known = codec.decode(b"\xdc" + struct.pack(">H", 5_001) + b"".join(wires))

    assert {type(value) for value in missing} == {ExtType}
    assert known.tzinfo.key == "Asia/Tokyo"


BOMBS = {
    "deep arrays": b"\x91" * 1_000_000,
    "deep maps": b"\x81\x01" * 1_000_000,
    "deep, whole": b"\x91" * 100_000 + b"\x01",
    "array of 4 G": b"\xdd\xff\xff\xff\xff\x01",
    "map of 4 G": b"\xdf\xff\xff\xff\xff\x01\x01",
    "bytes of 4 G": b"\xc6\xff\xff\xff\xff\x01",
    "string of 4 G": b"\xdb\xff\xff\xff\xff\x01",
    "ext of 4 G": b"\xc9\xff\xff\xff\xff\x05\x05",
    "ext of 4 G in a map": b"\x81\x01\xc9\xff\xff\xff\xff",
    "arrays of the file's size": b"\xdd\x00\x01\x00\x00" * 400 + bytes(60_000),
    "no type": b"\xc1" * 1000,
}


@pytest.mark.parametrize("payload", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused(codec: Codec, payload: bytes) -> None:
    """A hostile file gives a DecodeError, at once and in little memory."""
    for read in (codec.decode, codec.decode_root, codec.split):
        with pytest.raises(DecodeError):
            read(payload)


def test_deep_data_in_a_root_are_refused_by_split(codec: Codec) -> None:
    """Where split itself meets the scanner's limit, it says so."""
    with pytest.raises(DecodeError, match="containers"):
        codec.split(b"\x81\xa1a" + b"\x91" * 2_000 + b"\x01")


@pytest.mark.parametrize(
    "key", [b"\xd4\x0e\x01", b"\x91\xd4\x0e\x01"], ids=["alone", "in a list"]
)
def test_a_bytearray_as_a_key_is_written_back_as_it_was(key):
    """The packer alone would write bytes."""
    payload = b"\x81" + key + b"\x01"
    codec = Codec()

    root = codec.decode_root(payload)

    assert codec.join(codec.encode_items(root)) == payload
    assert "bytearray" in repr(next(iter(root)))


@pytest.mark.parametrize("keys", [b"\x01\xc3", b"\x00" + b"\xcb" + bytes(8)], ids=repr)
def test_keys_that_are_one_for_python_are_refused(keys):
    """A dict would keep one of the two values and lose the other."""
    payload = b"\x82" + keys[:1] + b"\xa1a" + keys[1:] + b"\xa1b"

    with pytest.raises(DecodeError, match="one for Python"):
        Codec().decode_root(payload)


def test_of_a_key_that_stands_twice_the_last_value_holds():
    """As in every reader of MessagePack."""
    assert Codec().decode_root(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}


@pytest.mark.parametrize(
    ("value", "name", "member", "content"),
    [
        (Color.RED, f"{__name__}.Color", "RED", "RED"),
        (Perm.R, f"{__name__}.Perm", "1", 1),
        (Size(3), f"{__name__}.Size", "", {"width": 3, "height": 5}),
        (ExtType(99, b"x"), "extension 99", "", b"x"),
        (Timestamp(-(2**40), 5), "timestamp", "", f"{-(2**40)}.000000005"),
    ],
)
def test_what_cannot_be_built_here_is_told_by_name(codec, value, name, member, content):
    """A program without the class shows what the value is of."""
    found = unbuilt(Codec().decode(codec.encode(value)))

    assert found is not None
    assert (found.name.split(".")[-1], found.member) == (name.split(".")[-1], member)
    assert found.content == content


def test_a_key_that_cannot_be_built_here_is_told_by_name(codec):
    """It is a key of a class, or else one that no program of Python could write."""
    (of_class,) = Codec().decode(codec.encode({Size(3): 1}))
    (a_list,) = Codec().decode(b"\x81\x91\x01\x01")

    assert unbuilt(of_class).name.endswith("Size")
    assert unbuilt(a_list) == Unbuilt("key", "", [1])


def test_a_marker_without_a_form_that_is_known_is_told_by_its_code():
    """Neither a list nor an extension value with payload is taken for one."""
    marker = [ExtType(77, b""), 1, 2]

    assert unbuilt(marker) == Unbuilt("extension 77", "", [1, 2])
    assert unbuilt([ExtType(77, b"x"), 1]) is None
    assert unbuilt([1, 2]) is None
