"""The codec as a whole: look-alikes, threads, hooks, and cost where it matters."""

import gc
import threading
from collections import OrderedDict
from typing import Any

import msgpack
import pytest

from records import Record, Registry, Unloaded
from storify.codec import Codec
from storify.codec._writer import holds_buffer


@pytest.fixture
def registry() -> Registry:
    """A registry of one dunder keyname and one of another form."""
    return Registry("__User__", "user")


@pytest.fixture
def codec(registry: Registry) -> Codec:
    """A codec with records."""
    return Codec(**registry.hooks())


USER = Record("__User__", name="Ann")

LOOK_ALIKES: list[Any] = [
    {"__User__": {}},
    {"__User__": {"__User__": {}}},
    {"user": {"a": 1}},
    {"__anything__": {"a": {"user": {}}}},
    {"__": {}},
    {"__" + "x" * 40: {}},
    {"__" + "x" * 300: {}},
    {"__" + "x" * 70_000: {}},
    {"__\ud800": {}},
    {"__User__": OrderedDict(a=1)},
    {"__User__": USER},
    {"user": Unloaded({"__Gone__": {}})},
    ({"user": {}}, {"__User__": {}}),
    Record("__User__", a={"__User__": {}}),
    Record("__User__", user={"a": 1}),
    OrderedDict(user={}),
    {"a": b"\x81\xa8__User__\x80"},
    {"__x__": 5, "b": USER},
    {"__len__": [1]},
    {"__User__": {}, "b": 1},
    {1: {}},
]


@pytest.mark.parametrize("value", LOOK_ALIKES, ids=range(len(LOOK_ALIKES)))
def test_a_look_alike_stays_a_dict(codec: Codec, value: Any) -> None:
    """A dict that looks like a record comes back as the dict that it was."""
    payload = codec.encode(value)

    read = codec.decode(payload)

    assert read == value
    assert type(read) is type(value)
    assert codec.encode(read) == payload
    assert codec.decode_root(codec.join(codec.encode_items({"k": value}))) == {
        "k": value
    }


@pytest.mark.parametrize("value", LOOK_ALIKES, ids=range(len(LOOK_ALIKES)))
def test_a_look_alike_survives_an_ignorant_program(codec: Codec, value: Any) -> None:
    """A program that knows no class writes it again as it was."""
    payload = codec.encode(value)
    ignorant = Codec(**Registry().hooks())

    assert ignorant.encode(ignorant.decode(payload)) == payload


def test_learning_comes_before_structure() -> None:
    """A key that is escaped anywhere names records everywhere, also before it."""
    full = Codec(**Registry("user").hooks())
    data = {"a": Record("user", n=1), "b": {"user": {}}}
    payload = full.join(full.encode_items(data))
    registry = Registry()
    ignorant = Codec(**registry.hooks())

    read = ignorant.decode_root(payload)

    assert registry.keynames == {"user"}
    assert type(read["a"]) is Unloaded
    assert type(read["b"]) is dict
    assert ignorant.join(ignorant.encode_items(read)) == payload


def test_a_codec_without_hooks_remembers_what_was_escaped() -> None:
    """Also without a registry, an escaped dict is escaped again."""
    payload = Codec(keynames={"user"}).encode({"user": {}})
    plain = Codec()

    assert plain.encode(plain.decode(payload)) == payload
    assert plain.encode([{"user": {}}]) == b"\x91" + payload


def test_keynames_may_grow(registry: Registry, codec: Codec) -> None:
    """A keyname that is registered later is escaped from then on."""
    before = codec.encode({"order": {}})
    registry.keynames.add("order")

    after = codec.encode({"order": {}})

    assert before == b"\x81\xa5order\x80"
    assert after == b"\x93\xc7\x00\x1a\xa5order\x80"


def test_a_keyname_may_become_known_while_it_is_written(registry: Registry) -> None:
    """A class that registers itself in the middle of a save is no look-alike."""

    def unstructure(value: object) -> dict[str, Any] | None:
        wrapper = registry.unstructure(value)
        registry.keynames.update(wrapper or ())
        return wrapper

    codec = Codec(**{**registry.hooks(), "unstructure": unstructure})

    assert codec.encode(Record("order")) == b"\x81\xa5order\x80"


def test_a_root_is_no_record(registry: Registry, codec: Codec) -> None:
    """The root map is not escaped, and structure never sees it."""
    data = {"__User__": {"a": {"user": {}}}}

    payload = codec.join(codec.encode_items(data))

    assert payload.startswith(b"\x81\xa8__User__\x81")
    assert codec.decode_root(payload) == data
    assert data not in registry.seen


def test_structure_sees_every_wrapper_in_any_header(codec: Codec) -> None:
    """Also other writers' longer headers of a one-key map are records."""
    fields = b"\x81\xa1a\x01"

    for header in (b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01"):
        for key in (b"\xa8__User__", b"\xd9\x08__User__"):
            payload = b"\x91" + header + key + fields
            assert codec.decode(payload) == [Record("__User__", a=1)]


def test_a_list_root(codec: Codec) -> None:
    """A list root is one entry under the empty key."""
    payload = codec.encode([USER, {"user": {}}])

    assert codec.split(payload) == {b"": payload}
    assert codec.join({b"": payload}) == payload
    assert codec.decode_root(payload) == [USER, {"user": {}}]


def test_a_key_is_encoded_as_in_a_root(codec: Codec) -> None:
    """A key alone is the key of its entry."""
    for key in ("a", 1, (1, "b"), b"", 2**70):
        assert [codec.encode_key(key)] == list(codec.encode_items({key: 1}))


@pytest.mark.parametrize("count", [0, 15, 16, 70_000])
def test_join_writes_the_header_of_msgpack(codec: Codec, count: int) -> None:
    """A root of any size is the map that msgpack would write."""
    data = {n: n for n in range(count)}
    payload = msgpack.packb(data)

    assert codec.join(codec.encode_items(data)) == payload
    assert codec.join(codec.split(payload)) == payload
    assert codec.decode_root(payload) == data


@pytest.mark.parametrize("count", [1, 5, 600])
def test_buffers_are_found_wherever_they_are(codec: Codec, count: int) -> None:
    """A bytearray comes back as one, beside bytes and in records and tuples."""
    places: list[Any] = [bytearray(b"x"), [bytearray(b"y")], (bytearray(),), b"z"]
    places += [Record("__User__", a=bytearray(b"v")), {"a": {"b": bytearray(300)}}]
    data = {n: [places[n % len(places)], 1.5] for n in range(count)}

    read = codec.decode_root(codec.join(codec.encode_items(data)))

    assert read == data
    assert [type(v[0]) for v in read.values()] == [type(v[0]) for v in data.values()]


def test_the_search_for_buffers_stays_in_plain_containers() -> None:
    """It goes into dicts and lists of any depth, and through no other object."""
    record = Record("a", b=bytearray())

    assert holds_buffer([{"a": [1, {2: [bytearray()]}]}])
    assert holds_buffer([{"a": record, "b": [memoryview(b"")]}])
    assert not holds_buffer([{"a": record, "b": [[], (bytearray(),)]}])
    assert not holds_buffer([])


def test_a_buffer_that_equals_a_key_elsewhere_is_found() -> None:
    """Bytes and a view of them are one key for a set, and two for the packer."""
    view = memoryview(b"k")

    assert holds_buffer([[{b"k": 1}, {view: 1}]], is_native=True)
    assert holds_buffer([[{"k": [{b"k": 1}]}, {"k": [{view: 1}]}]], is_native=True)
    assert holds_buffer([[{"k": 1}, {"k": bytearray()}]], is_native=True)
    assert not holds_buffer([[{"k": 1}, {"k": b"", "l": {1: 2}}]], is_native=True)


def test_a_few_suspects_among_records(codec: Codec) -> None:
    """In a batch of records, those with bytes are looked at by themselves."""
    data = {n: Record("__User__", a=n & 63) for n in range(900)}
    data[700] = Record("__User__", a=bytearray(b"x"))
    data[701] = Record("__User__", a=b"x")

    assert codec.decode_root(codec.join(codec.encode_items(data))) == data


def test_a_dict_that_grows_meanwhile_is_a_runtime_error() -> None:
    """A change by another thread is no fault of the value: try again."""
    data: dict[Any, Any] = {}

    def unstructure(_: object) -> dict[str, Any]:
        data[len(data)] = 1
        return {"__A__": {}}

    codec = Codec(unstructure=unstructure)
    data["a"] = object()

    with pytest.raises(RuntimeError, match="changed size"):
        codec.encode([data])
    assert codec.encode([1]) == b"\x91\x01"


@pytest.mark.parametrize(
    "change", [lambda v: v.append(1), lambda v: v.pop()], ids=["grows", "shrinks"]
)
def test_a_list_that_changes_meanwhile_is_a_runtime_error(change: Any) -> None:
    """Msgpack would write a list of the wrong length without a word."""
    values: list[Any] = [object(), 1, 2]

    def unstructure(_: object) -> dict[str, Any]:
        change(values)
        return {"__A__": {}}

    codec = Codec(unstructure=unstructure)

    with pytest.raises(RuntimeError, match="changed size"):
        codec.encode(values)


def test_a_codec_works_inside_its_own_hooks() -> None:
    """An object may use the same codec while it is being taken apart."""

    def unstructure(value: object) -> dict[str, Any] | None:
        if isinstance(value, Record):
            inner = codec.encode(value.fields)
            return {value.keyname: {"inner": inner}}
        return None

    codec = Codec(unstructure=unstructure)

    payload = codec.encode([Record("__A__", a=Record("__B__"), b=[(1,)])])

    assert payload.count(b"__") == 4


def test_threads_share_a_codec(codec: Codec) -> None:
    """Many threads at once read and write through one codec."""
    data = {n: [USER, (n,), {"user": {}}, bytearray(b"x")] for n in range(200)}
    results: list[bool] = []

    def work() -> None:
        for _ in range(5):
            payload = codec.join(codec.encode_items(data))
            results.append(codec.decode_root(payload) == data)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [True] * 60


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(codec: Codec, enabled: bool) -> None:
    """It is paused during a long decode, also one that fails, and then restored."""
    payload = codec.encode(list(range(100_000)))
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()

    try:
        codec.decode(payload)
        with pytest.raises(ValueError, match="too early"):
            codec.decode(payload[:-1])
        states = gc.isenabled()
    finally:
        (gc.enable if was_enabled else gc.disable)()

    assert states is enabled


def test_a_huge_value_is_written_and_its_buffer_let_go(codec: Codec) -> None:
    """A packer that has grown is not kept for the next call."""
    codec.encode("x" * (1 << 21))

    assert codec._writers == []
    assert codec.encode("x") == b"\xa1x"
    assert len(codec._writers) == 1


def test_equal_sets_are_equal_bytes(codec: Codec) -> None:
    """The order of a set is made by its items, whatever they are."""
    items = [1, "a", b"b", (1, 2), frozenset({3, "c"}), 2.5, None]

    assert codec.encode(set(items)) == codec.encode({*items[::-1]})
    assert codec.encode({"b", "a", "c"}) == b"\x94\xc7\x00\x0a\xa1a\xa1b\xa1c"


def test_one_item_needs_no_order(codec: Codec) -> None:
    """A set of one record is written, though records have no order."""
    assert codec.decode(codec.encode({USER})) == {USER}
    assert codec.decode(codec.encode({USER, 1})) == {USER, 1}
