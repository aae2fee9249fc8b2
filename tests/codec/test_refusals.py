"""What would not come back equal is refused when it is written, with its path."""

import datetime as dt
import importlib.resources
import io
import threading
from collections import defaultdict
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from records import Record, Registry
from storify.codec import MAX_DEPTH, Codec, DecodeError
from storify.exceptions import UnstorableError


class Text(str):
    """Like Markup of markupsafe."""

    __slots__ = ()


class Number(float):
    """Like float64 of numpy."""


class Names(list[str]):
    """A list with a name."""


class Table(dict[str, int]):
    """A dict with a name."""


class Folder(PurePosixPath):
    """A path of the user's."""


class Pair(NamedTuple):
    """A namedtuple that nobody registered."""

    a: object


class Zone(dt.tzinfo):
    """A zone that has no IANA key, like those of pytz."""


class Opaque:
    """A plain object."""


class Loud:
    """A key whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError


UNSTORABLE = [
    object(),
    Opaque(),
    Opaque,
    len,
    lambda: None,
    threading.Lock(),
    iter([]),
    (n for n in "a"),
    io,
    memoryview(b"ab"),
    Text("a"),
    Number(1.5),
    Names(),
    Table(),
    Pair(1),
    {}.keys(),
    defaultdict(lambda: 1),
    defaultdict(Opaque),
    dt.datetime(2024, 1, 1, tzinfo=Zone()),
    dt.time(1, tzinfo=Zone()),
    Fraction(1 << 70_000, 3),
    NotImplemented,
]


IDS = [f"{n}-{type(value).__name__}" for n, value in enumerate(UNSTORABLE)]


@pytest.fixture
def codec() -> Codec:
    """A codec that knows no class."""
    return Codec()


@pytest.mark.parametrize("value", UNSTORABLE, ids=IDS)
def test_it_is_refused_where_it_stands(codec: Codec, value: object) -> None:
    """The error carries the path of the value, and shows no value."""
    with pytest.raises(UnstorableError) as caught:
        codec.encode({"secret": [1, {"t": value}]})

    assert caught.value.path == "$['secret'][1]['t']"
    assert "$['secret'][1]['t']" in str(caught.value)


@pytest.mark.parametrize("value", [Text("a"), Number(1), Names(), Table(), Pair(1)])
def test_a_subclass_is_told_how_to_be_stored(codec: Codec, value: object) -> None:
    """The message for an unregistered subclass names the class and the option."""
    with pytest.raises(UnstorableError, match=rf"types=\[{type(value).__name__}\]"):
        codec.encode(value)


def test_a_zoneinfo_from_a_file_is_refused(codec: Codec) -> None:
    """A ZoneInfo that was read from a file may be another than its key says."""
    file = importlib.resources.files("tzdata.zoneinfo.Europe") / "Berlin"
    source = io.BytesIO(file.read_bytes())
    zone = ZoneInfo.from_file(source, key="Europe/Berlin")

    with pytest.raises(UnstorableError, match="IANA"):
        codec.encode(dt.datetime(2024, 1, 1, tzinfo=zone))


def test_a_zoneinfo_outside_the_cache_is_stored(codec: Codec) -> None:
    """A ZoneInfo made by no_cache() has a key of its own and comes back by it."""
    zone = ZoneInfo.no_cache("Europe/Berlin")

    read = codec.decode(codec.encode(dt.time(1, tzinfo=zone)))

    assert read.tzinfo.key == "Europe/Berlin"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ((1, object()), "$[1]"),
        ({"a": {object()}}, "$['a']{...}"),
        ({(1, object()): 1}, None),
        (Record("__User__", age=object()), "$.age"),
        (
            {"u": [Record("__User__", a=Record("__B__", b=[object()]))]},
            "$['u'][0].a.b[0]",
        ),
        ({"x" * 100: object()}, "$['" + "x" * 56 + "...]"),
        ({10**5000: object()}, "$[<int>]"),
        ({"__x__": {"y": object()}}, "$['__x__']['y']"),
        (defaultdict(list, a=[object()]), "$['a'][0]"),
    ],
)
def test_paths(value: object, path: str | None) -> None:
    """Keys, items and fields are each shown in their own way."""
    codec = Codec(**Registry("__User__").hooks())

    with pytest.raises(UnstorableError) as caught:
        codec.encode(value)

    assert path is None or caught.value.path == path


def test_the_path_of_a_root(codec: Codec) -> None:
    """In a root, the path begins with the key; also for a key itself."""
    data = {f"k{number}": number for number in range(2000)}

    with pytest.raises(UnstorableError) as in_value:
        codec.encode_items({**data, "bad": {"a": object()}})
    with pytest.raises(UnstorableError) as in_key:
        codec.encode_items({**data, Loud(): 1})

    assert in_value.value.path == "$['bad']['a']"
    assert in_key.value.path == "$[<Loud>]"


def test_two_nan_keys_of_a_root_are_refused(codec: Codec) -> None:
    """Two keys of the same bytes would become one entry."""
    with pytest.raises(UnstorableError, match="NaN"):
        codec.encode_items({float("nan"): 1, float("nan"): 2})


def test_a_windows_path_that_reads_as_another_is_refused(codec: Codec) -> None:
    """Where the text of a relative path names a drive, it is refused."""
    path = PureWindowsPath("./c:x")

    if PureWindowsPath(str(path)) == path:
        assert codec.decode(codec.encode(path)) == path
    else:
        with pytest.raises(UnstorableError, match="another path"):
            codec.encode(path)


def _cycles() -> list[Any]:
    in_list: list[Any] = [1]
    in_list.append({"a": in_list})
    record = Record("__User__")
    record.fields["me"] = record
    in_tuple: list[Any] = []
    in_tuple.append((in_tuple,))
    return [in_list, record, in_tuple]


@pytest.mark.parametrize(
    ("value", "path"),
    list(zip(_cycles(), ["$[1]['a']", "$.me", "$[0][0]"], strict=True)),
    ids=["list", "record", "tuple"],
)
def test_a_cycle_is_refused(value: object, path: str) -> None:
    """A value that contains itself is refused at the place where it does."""
    codec = Codec(**Registry("__User__").hooks())

    with pytest.raises(UnstorableError, match="contains itself") as caught:
        codec.encode(value)

    assert caught.value.path == path


def test_a_shared_value_is_no_cycle(codec: Codec) -> None:
    """One list in two places is stored twice."""
    shared = [bytearray(b"x")]

    assert codec.decode(codec.encode([shared, shared])) == [shared, shared]


def _lists(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def _dicts(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def _tuples(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth - 1):
        value = (value,)
    return value


def _careful(depth: int) -> Any:
    value: Any = [bytearray(b"x")]
    for _ in range(depth - 1):
        value = [value]
    return value


def _sets(depth: int) -> Any:
    value: Any = frozenset({1, "a"})
    for _ in range(depth - 1):
        value = frozenset({1, value})
    return value


NESTS = [_lists, _dicts, _tuples, _careful]


@pytest.mark.parametrize("nest", NESTS)
def test_the_depth_limit_is_the_same_both_ways(codec: Codec, nest: Any) -> None:
    """The deepest value that is written is the deepest that is read."""
    deepest = codec.encode(nest(MAX_DEPTH))

    codec.decode(deepest)
    with pytest.raises(UnstorableError, match="500 containers"):
        codec.encode(nest(MAX_DEPTH + 1))
    with pytest.raises(DecodeError, match="500 containers"):
        codec.decode(b"\x91" + deepest)


@pytest.mark.parametrize("nest", NESTS)
def test_the_root_counts(codec: Codec, nest: Any) -> None:
    """A value in a root map has one level less."""
    entries = codec.encode_items({"a": nest(MAX_DEPTH - 1)})

    codec.decode_root(codec.join(entries))
    with pytest.raises(UnstorableError, match="500 containers"):
        codec.encode_items({"a": nest(MAX_DEPTH)})
    with pytest.raises(UnstorableError, match="500 containers"):
        codec.encode(nest(MAX_DEPTH), "$['a']")
    with pytest.raises(DecodeError, match="500 containers"):
        codec.decode_root(b"\x81\xa1a" + codec.encode(nest(MAX_DEPTH)))


def test_nested_mixed_sets_are_written_in_reasonable_time(codec: Codec) -> None:
    """Sorting sets of sets costs a square of their depth, not a power."""
    value = _sets(40)

    assert codec.decode(codec.encode(value)) == value


def test_without_end_is_refused(codec: Codec) -> None:
    """A value far deeper than Python's recursion limit gives the same error."""
    with pytest.raises(UnstorableError, match="500 containers"):
        codec.encode(_lists(100_000))


def test_a_very_long_path_is_shortened_in_the_message():
    """The error's attribute has all of it."""
    value: list[object] = [object()]
    for _ in range(200):
        value = [value]

    with pytest.raises(UnstorableError) as caught:
        Codec().encode(value)

    assert caught.value.path == "$" + "[0]" * 201
    assert len(str(caught.value)) < 600
    assert " ... " in str(caught.value)
