"""Registered classes come back as their own, without running their code."""

import dataclasses
import enum
import functools
import re
import time
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

import attrs
import pytest

from storify.codec import Codec, CustomType
from storify.exceptions import DuplicateKeynameError, ModelError, UnstorableError
from storify.testing import same


class Color(enum.Enum):
    """An enum with an alias."""

    RED = object()
    GREEN = 2
    VERT = 2  # noqa: PIE796 - an alias


class Level(enum.IntEnum):
    """An enum of ints."""

    LOW = 1


class Word(enum.StrEnum):
    """An enum of strings."""

    YES = "yes"


class Perm(enum.Flag):
    """A flag."""

    R = 1
    W = 2


class Bits(enum.IntFlag):
    """A flag that keeps what it does not know."""

    A = 1


class Size(NamedTuple):
    """A namedtuple."""

    width: object
    height: object = None


class Text(str):  # noqa: SLOT000 - its dict is what is tested
    """A str with a dict of its own."""

    def __new__(cls, *_: object) -> Self:
        """Fail, for no value is built by it."""
        raise AssertionError


class Slotted(str):
    """A str with room for one attribute."""

    __slots__ = ("lang",)


class Whole(int):
    """An int."""


class Real(float):
    """A float."""


class Plane(complex):
    """A complex."""


class Raw(bytes):
    """A bytes."""


class Buffer(bytearray):
    """A bytearray."""


class Items(list[Any]):
    """A list."""

    def __init__(self) -> None:
        raise AssertionError


class Pairs(dict[Any, Any]):
    """A dict."""


class Ordered(OrderedDict[Any, Any]):
    """An OrderedDict."""


class Defaults(defaultdict[Any, Any]):
    """A defaultdict."""


class Counts(Counter[Any]):
    """A Counter."""


class Queue(deque[Any]):
    """A deque."""


class Group(set[Any]):
    """A set."""


class Fixed(frozenset[Any]):
    """A frozenset."""


class Row(tuple[Any, ...]):
    """A tuple."""

    __slots__ = ()


class Folder(PurePosixPath):
    """A path."""


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A frozen dataclass."""

    x: Any
    y: Any = 7
    z: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.x == "never":
            raise AssertionError


@attrs.define
class Box:
    """An attrs class."""

    inside: Any
    size: int = 1


class Version:
    """A class that only a CustomType can store."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Version({self.text!r})"


def parse(text: object) -> Version:
    """Build a Version, from a string only."""
    if not isinstance(text, str):
        raise TypeError
    return Version(text)


VERSION = CustomType(Version, lambda version: version.text, parse)
CLASSES: list[Any] = [
    *(Color, Level, Word, Perm, Bits, Size, Text, Slotted, Whole, Real, Plane, Raw),
    *(Buffer, Items, Pairs, Ordered, Defaults, Counts, Queue, Group, Fixed, Row),
    *(Folder, Point, Box, VERSION),
]


def _filled(value: Any, method: str, *args: Any) -> Any:
    getattr(value, method)(*args)
    return value


VALUES: list[Any] = [
    *(*Color, Level.LOW, Word.YES, Perm.R, Perm.R | Perm.W, Perm(0), Bits(9), ~Bits.A),
    *(Size((1,), [2]), Size(1), str.__new__(Text, "a"), Slotted("b"), Whole(2**70)),
    *(Real("-0.0"), Plane(1, 2), Raw(b"a"), Buffer(b"b"), Pairs({(1,): 2}), Row("ab")),
    *(Ordered(a=1), Defaults(list, a=[]), Defaults(Pairs), Counts("aab")),
    *(Queue("ab", 5), Group({1, "a"}), Fixed({2}), Folder("a/b")),
    *(Point((1,), {2}), Point("never2"), Box({1: 2}), Version("1")),
    *(defaultdict(Pairs), _filled(list.__new__(Items), "append", (1,))),
]


IDS = [f"{n}-{type(value).__name__}" for n, value in enumerate(VALUES)]


@pytest.fixture
def codec() -> Codec:
    """A codec that knows them all."""
    codec = Codec()
    for cls in CLASSES:
        codec.register(cls)
    return codec


@pytest.mark.parametrize("value", VALUES, ids=IDS)
def test_it_comes_back(codec: Codec, value: Any) -> None:
    """Alone, nested, and where it can be hashed as a key, it is what it was."""
    places: list[Any] = [value, [value], {"a": (value,)}, OrderedDict(a=value)]
    if type(value).__hash__ is not None and not isinstance(value, (Size, Point)):
        places += [{value: 1}, {value}]

    for place in places:
        payload = codec.encode(place)
        read = codec.decode(payload)
        assert same(read, place)
        assert codec.encode(read) == payload
        assert codec._careful.encode(place, "$") == payload


@pytest.mark.parametrize("value", VALUES, ids=IDS)
def test_a_program_without_the_class_saves_the_same_bytes(
    codec: Codec, value: Any
) -> None:
    """Who does not know the class keeps the value, also as a key."""
    payload = codec.encode(value)

    for place in (payload, b"\x81" + payload + b"\x01"):
        assert Codec().encode(Codec().decode(place)) == place


def test_an_object_is_built_with_its_defaults(codec: Codec) -> None:
    """A dataclass that has gained fields with defaults is read."""
    old = Codec()
    old.register(dataclasses.make_dataclass("Point", ["x"]))
    cls = next(iter(old._types.keys))

    read = codec.decode(old.encode(cls(1)))

    assert read == Point(1, 7, [])


def test_what_does_not_fit_is_kept(codec: Codec) -> None:
    """A value that a class does not take stays the list that it is."""
    for cls, value in [
        ("Point", {"y": 1}),
        ("Point", {"x": 1, "w": 2}),
        ("Text", 5),
        ("Version", 5),
        ("Box", {}),
    ]:
        other = Codec()
        other.register(CustomType(Version, lambda _, v=value: v, parse, key=cls))
        payload = other.encode(Version(""))

        kept = codec.decode(payload)

        assert type(kept) is list
        assert codec.encode(kept) == payload


def test_attributes_of_a_subclass_are_not_lost(codec: Codec) -> None:
    """A str with attributes is refused, because they would be lost."""
    text = str.__new__(Text, "a")
    text.lang = "en"  # type: ignore[attr-defined]
    slotted = Slotted("a")
    slotted.lang = "en"

    for value in (text, slotted):
        with pytest.raises(UnstorableError, match="attributes of its own") as caught:
            codec.encode([value])
        assert caught.value.path == "$[0]"


class Ranked:
    """A mixin whose data lie in a slot."""

    __slots__ = ("_hidden", "rank")


@dataclasses.dataclass
class Line:
    """A dataclass with a value that is computed once."""

    sku: str

    @functools.cached_property
    def upper(self) -> str:
        """Give the name in capitals."""
        return self.sku.upper()


@dataclasses.dataclass(slots=True)
class SlottedLine(Ranked):
    """A dataclass with a slot of a mixin."""

    sku: str


@attrs.define
class AttrsLine(Ranked):
    """An attrs class with slots, also for what it computes once."""

    sku: str

    @functools.cached_property
    def upper(self) -> str:
        """Give the name in capitals."""
        return self.sku.upper()


class Wide(Size):
    """A named tuple with a dict of its own."""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Line("a"), "memo"),
        (SlottedLine("a"), "rank"),
        (AttrsLine("a"), "rank"),
        (Wide(1, 2), "memo"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes_beside_the_fields_are_not_lost(value: Any, name: str) -> None:
    """They are refused with their place; private and computed ones are passed over."""
    codec = Codec()
    codec.register(type(value))
    value._hidden = 1
    assert getattr(value, "upper", "A") == "A"
    assert same(codec.decode(codec.encode(value)), value)

    setattr(value, name, 5)

    with pytest.raises(UnstorableError, match="is no field of it") as caught:
        codec.encode([value])
    assert caught.value.path == f"$[0].{name}"


def test_an_object_that_lacks_a_field_is_refused() -> None:
    """It is named, and the place; it could not be loaded."""
    codec = Codec()
    codec.register(Line)
    line = Line("a")
    del line.sku

    with pytest.raises(UnstorableError, match="lacks its field 'sku'") as caught:
        codec.encode({"k": line})
    assert caught.value.path == "$['k'].sku"


def test_fields_are_shown_as_attributes(codec: Codec) -> None:
    """The path of a field is written with a dot."""
    for value, path in [
        (Point([object()]), "$.x[0]"),
        (Size(1, object()), "$.height"),
        (Pairs(a=object()), "$['a']"),
    ]:
        with pytest.raises(UnstorableError) as caught:
            codec.encode(value)
        assert caught.value.path == path


def test_one_key_is_for_one_class(codec: Codec) -> None:
    """Two classes of one key are refused by name; a key can be given."""
    other = enum.Enum("Color", ["BLUE"])
    named = CustomType(other, lambda m: m.name, other.__getitem__, key="other.Color")

    with pytest.raises(DuplicateKeynameError, match=r"test_types\.Color.*CustomType"):
        codec.register(other)
    with pytest.raises(DuplicateKeynameError, match=r"builtins\.list"):
        codec.register(CustomType(Version, str, Version, key="list"))
    codec.register(named)

    assert codec.decode(codec.encode(other["BLUE"])) is other["BLUE"]
    assert codec.decode(codec.encode(Color.GREEN)) is Color.GREEN


def test_the_same_class_twice_is_fine(codec: Codec) -> None:
    """Registering again changes nothing, or takes the later way."""
    for cls in CLASSES:
        codec.register(cls)

    codec.register(CustomType(Color, lambda m: m.name, Color.__getitem__))

    assert codec.decode(codec.encode(Color.RED)) is Color.RED


def test_what_is_stored_already_needs_no_registering() -> None:
    """A builtin type is taken without a word, but not with another encoding."""
    codec = Codec()

    codec.register(int)
    codec.register(Decimal)

    with pytest.raises(ModelError, match="already"):
        codec.register(CustomType(Decimal, str, Decimal))


def test_other_classes_need_a_custom_type() -> None:
    """A class that is no record and no subclass of a builtin is refused."""

    @dataclasses.dataclass
    class Both(list[int]):
        a: int

    for cls in (Version, Both):
        with pytest.raises(ModelError, match="CustomType"):
            Codec().register(cls)
    with pytest.raises(ModelError, match="NUL"):
        Codec().register(CustomType(Version, str, Version, key="a\0b"))


class Bare:
    """A class of which nothing is known."""


class Moment(datetime):
    """A subclass of what is stored as a whole."""


@pytest.mark.parametrize(
    ("value", "works"),
    [
        (time.gmtime(0), ["CustomType", "tuple(value)"]),
        (re.compile("a"), ["CustomType", "what it is made from"]),
        (SimpleNamespace(a=1), ["CustomType", "what it is made from"]),
        (array("i"), ["CustomType", "what it is made from"]),
        (Moment(2026, 1, 1), ["CustomType"]),
        (Bare(), ["CustomType", "a Model"]),
        (Line("a"), ["types=[Line]", "CustomType", "a Model"]),
        (str.__new__(Text, "a"), ["types=[Text]", "str(value)"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_names_what_will_work(value: Any, works: list[str]) -> None:
    """Registering the class alone only where it will be stored then."""
    cls = type(value)

    with pytest.raises(UnstorableError) as caught:
        Codec().encode(value)

    assert all(way in str(caught.value) for way in works)
    other = Codec()
    if f"types=[{cls.__name__}]" in works:
        other.register(cls)
        assert same(other.decode(other.encode(value)), value)
    else:
        assert f"types=[{cls.__name__}]" not in str(caught.value)
        with pytest.raises(ModelError, match="CustomType"):
            other.register(cls)


def test_another_class_with_the_name_of_a_builtin_is_told_the_same() -> None:
    """That it needs a CustomType, and not that its name is taken."""
    with pytest.raises(ModelError, match="use CustomType"):
        Codec().register(type("bool", (), {}))


def test_an_error_of_the_users_is_passed_on() -> None:
    """What an encode function raises reaches the caller; memory errors always do."""

    def fail(_: object) -> Any:
        raise error

    codec = Codec()
    codec.register(CustomType(Version, fail, fail))
    other = Codec()
    other.register(VERSION)
    payload = other.encode(Version("a"))

    for error in (KeyError("mine"), ValueError("mine"), RuntimeError("mine")):
        with pytest.raises(type(error), match="mine"):
            codec.encode(Version("a"))
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        codec.encode_items({"k": [1, Version("a")], "l": 2})
    assert caught.value.__notes__ == ["while storing $['k'][1]"]
    error = MemoryError()
    with pytest.raises(MemoryError):
        codec.decode(payload)
    codec._types._scalars[99] = fail
    with pytest.raises(MemoryError):
        codec.decode(b"\xd4\x63a")


def test_objects_of_registered_classes_are_told_to_who_watches(codec: Codec):
    """Wherever they stand, inner ones first, until the watch ends."""
    noted: list[object] = []
    tree = {"a": [Size(Point(1), Version("1"))], "c": Color.RED, "d": (1, {2})}
    blob = codec.encode(tree)

    with codec.watch(noted.append):
        codec.decode(blob)
        with codec.watch(lambda _: None):
            codec.decode(codec.encode({Size(2): 5}))
    codec.decode(blob)

    assert noted == [Point(1), Version("1"), Size(Point(1), Version("1")), Size(2)]


def test_it_is_known_which_classes_have_hooks(codec: Codec):
    """Those of a CustomType, also if they could be stored without."""
    hooked = [codec.is_hooked(cls) for cls in (Version, Size, Point, Text, int)]
    assert hooked == [True, False, False, False, False]

    codec.register(CustomType(Size, list, lambda items: Size(*items)))
    codec.register(Size)

    assert codec.is_hooked(Size)
