"""Every kind of value that must come back exactly, with a type to declare it by.

`KINDS` is used by the fidelity test, which writes all of them in one process
and reads them in another, and by `table`, which prints the README's table.
"""

import dataclasses
import ipaddress
import struct
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import EllipsisType
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import attrs

from storify import CustomType, Model

T = TypeVar("T")


class Colour(Enum):
    """An enum."""

    RED = "r"
    ROUGE = "r"  # noqa: PIE796 - an alias on purpose
    BLUE = ("b", 1)


class Level(IntEnum):
    """An enum of ints."""

    LOW = 1
    HIGH = 2


class Unit(StrEnum):
    """An enum of strings."""

    METRE = "m"


class Access(Flag):
    """A flag."""

    READ = 1
    WRITE = 2


class Bits(IntFlag):
    """A flag of ints."""

    A = 1
    B = 4


class Pair(NamedTuple):
    """A typed named tuple."""

    left: int
    right: Any = None


Triple = namedtuple("Triple", ["a", "b", "c"])  # noqa: PYI024 - the untyped kind


@dataclasses.dataclass
class Size:
    """A dataclass."""

    width: int
    height: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """A frozen dataclass with slots."""

    x: int
    y: tuple[int, ...] = ()


@attrs.define
class Shape:
    """An attrs class."""

    sides: int
    names: list[str] = attrs.field(factory=list)


class Markup(str):
    """A subclass of str."""

    __slots__ = ()


class Cents(int):
    """A subclass of int."""


class Money:
    """A class with hooks of its own."""

    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount = amount
        self.currency = currency

    def __eq__(self, other: object) -> bool:
        """Compare by amount and currency."""
        return isinstance(other, Money) and vars(self) == vars(other)

    def __hash__(self) -> int:
        """Hash by amount and currency."""
        return hash((self.amount, self.currency))

    def __repr__(self) -> str:
        """Show amount and currency."""
        return f"Money({self.amount!r}, {self.currency!r})"


class User(Model):
    """A declared model."""

    name: str
    age: int = 0
    tags: list[str] = []


class Point(Model, frozen=True):
    """A frozen model: it hashes."""

    x: int
    y: float = 0.0


class Box(Model, Generic[T]):
    """A generic model."""

    content: T


class Node(Model):
    """A model that refers to itself."""

    value: int
    next: "Node | None" = None


class Task(Model):
    """A hand-written model, made comparable for the test."""

    def __init__(self, title: Any = None, done: bool = False) -> None:
        self.title = title
        self.done = done

    def __eq__(self, other: object) -> bool:
        """Compare by attributes."""
        return isinstance(other, Task) and vars(self) == vars(other)

    def __hash__(self) -> int:
        """Hash by title."""
        return hash(self.title)

    def __repr__(self) -> str:
        """Show title and state."""
        return f"Task({self.title!r}, {self.done!r})"


MODELS: list[type[Any]] = [User, Point, Box, Node, Task]
TYPES: list[Any] = [
    *(Colour, Level, Unit, Access, Bits, Pair, Triple, Size, Spot, Shape),
    *(Markup, Cents),
    CustomType(
        Money,
        encode=lambda money: (money.amount, money.currency),
        decode=lambda pair: Money(*pair),
        key="Money",
    ),
]

PARIS = ZoneInfo("Europe/Paris")
AUTUMN = datetime(2026, 10, 25, 2, 30, 0, 1)  # noqa: DTZ001 - naive on purpose
NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of value.

    Attributes:
        group: The heading in the table.
        name: The row in the table.
        hint: The type that a field holding it is declared with.
        value: An example.
    """

    group: str
    name: str
    hint: Any
    value: Any


def _kinds(group: str, *rows: tuple[str, Any, Any]) -> list[Kind]:
    return [Kind(group, *row) for row in rows]


KINDS: list[Kind] = [
    *_kinds(
        "nothing and truth",
        ("None", None, None),
        ("True", bool, True),
        ("False", bool, False),
        ("Ellipsis", EllipsisType, ...),
    ),
    *_kinds(
        "whole numbers",
        ("0", int, 0),
        ("a negative int", int, -1),
        ("2**63 - 1", int, 2**63 - 1),
        ("2**64 - 1", int, 2**64 - 1),
        ("2**64", int, 2**64),
        ("-2**63", int, -(2**63)),
        ("-2**63 - 1", int, -(2**63) - 1),
        ("10**5000", int, 10**5000),
        ("a registered int subclass", Cents, Cents(250)),
    ),
    *_kinds(
        "other numbers",
        ("0.0", float, 0.0),
        ("-0.0", float, -0.0),
        ("1.1", float, 1.1),
        ("inf", float, float("inf")),
        ("-inf", float, float("-inf")),
        ("nan", float, float("nan")),
        ("nan with payload bits", float, NAN_WITH_PAYLOAD),
        ("5e-324", float, 5e-324),
        ("an int in a float field", float, 3),
        ("complex", complex, 1 - 2.5j),
        ("complex with nan and -0.0", complex, complex(float("nan"), -0.0)),
        ("Fraction", Fraction, Fraction(-1, 3)),
        ("a large Fraction", Fraction, Fraction(10**50 + 1, 10**49)),
        ("Decimal", Decimal, Decimal("1.10")),
        ("Decimal -0", Decimal, Decimal("-0")),
        ("Decimal sNaN", Decimal, Decimal("sNaN12")),
        ("Decimal Infinity", Decimal, Decimal("-Infinity")),
        ("Decimal with an exponent", Decimal, Decimal("1E+900")),
    ),
    *_kinds(
        "text and bytes",
        ("empty str", str, ""),
        ("str", str, "naïve ✓ 😀"),
        ("str with NUL", str, "a\0b"),
        ("str with a lone surrogate", str, "a\ud800b"),
        ("a long str", str, "x" * 70_000),
        ("a registered str subclass", Markup, Markup("<b>")),
        ("empty bytes", bytes, b""),
        ("bytes that are UTF-8", bytes, b"hello"),
        ("bytes that are not", bytes, bytes(range(256))),
        ("bytearray", bytearray, bytearray(b"ab\xff")),
    ),
    *_kinds(
        "sequences",
        ("empty list", list[int], []),
        ("list", list[Any], [1, "a", None, [2.5]]),
        ("empty tuple", tuple[()], ()),
        ("tuple", tuple[int, str], (1, "a")),
        ("nested tuple", tuple[Any, ...], ((1, (2,)), [(3,)])),
        ("deque", deque[int], deque([1, 2])),
        ("deque with maxlen", deque[int], deque([1, 2], maxlen=3)),
        ("range", range, range(10, 0, -3)),
        ("slice", slice, slice(1, None, 2)),
        ("NamedTuple", Pair, Pair(1, (2, 3))),
        ("namedtuple", Triple, Triple(1, "b", None)),
    ),
    *_kinds(
        "sets",
        ("empty set", set[int], set()),
        ("set", set[int], {3, 1, 2}),
        ("frozenset", frozenset[int], frozenset({1, 2})),
        ("set of tuples", set[tuple[int, int]], {(1, 2), (0, 3)}),
        ("nested frozenset", frozenset[Any], frozenset({frozenset({1})})),
    ),
    *_kinds(
        "mappings",
        ("empty dict", dict[str, int], {}),
        ("dict", dict[str, Any], {"b": 1, "a": [2]}),
        ("dict with int keys", dict[int, str], {1: "a", -5: "b"}),
        ("dict with tuple keys", dict[tuple[int, int], str], {(1, 2): "a"}),
        (
            "dict with mixed keys",
            dict[Any, int],
            {None: 1, 2.5: 2, b"k": 3, True: 4, frozenset({1}): 5},
        ),
        ("dict with date keys", dict[date, int], {date(2026, 1, 2): 1}),
        ("a dict that looks like a model", dict[str, Any], {"__User__": {"name": "x"}}),
        ("OrderedDict", OrderedDict[str, int], OrderedDict(b=1, a=2)),
        ("defaultdict", defaultdict[str, list[int]], defaultdict(list, a=[1])),
        ("defaultdict without a factory", dict[str, int], defaultdict(None, a=1)),
        ("Counter", Counter[str], Counter({"a": 2, "b": -1})),
    ),
    *_kinds(
        "dates and times",
        ("date", date, date(2026, 11, 23)),
        ("date.min", date, date.min),
        ("naive datetime", datetime, AUTUMN),
        ("naive datetime with fold", datetime, AUTUMN.replace(fold=1)),
        ("datetime.min", datetime, datetime.min),  # noqa: DTZ901 - naive on purpose
        ("datetime.max", datetime, datetime.max),  # noqa: DTZ901 - naive on purpose
        ("UTC datetime", datetime, datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
        ("UTC datetime before 1970", datetime, datetime(1, 1, 1, tzinfo=UTC)),
        (
            "datetime with an offset",
            datetime,
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        ),
        (
            "datetime with a named offset",
            datetime,
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-3), "BRT")),
        ),
        ("datetime in a zone", datetime, AUTUMN.replace(tzinfo=PARIS)),
        (
            "datetime in a zone with fold",
            datetime,
            AUTUMN.replace(tzinfo=PARIS, fold=1),
        ),
        ("time", time, time(1, 2, 3, 4)),
        ("time with fold", time, time(1, 2, fold=1)),
        ("time with an offset", time, time(1, 2, tzinfo=UTC)),
        ("timedelta", timedelta, timedelta(days=-1, microseconds=1)),
        ("timedelta.max", timedelta, timedelta.max),
    ),
    *_kinds(
        "names and addresses",
        ("UUID", uuid.UUID, uuid.UUID(int=2**127 + 5)),
        ("Path", Path, Path("a/b.txt")),
        ("PurePosixPath", PurePosixPath, PurePosixPath("/a/b")),
        ("PureWindowsPath", PureWindowsPath, PureWindowsPath("C:\\a\\b")),
        (
            "IPv4Address",
            ipaddress.IPv4Address,
            ipaddress.IPv4Address("192.0.2.1"),
        ),
        (
            "IPv6Address with a scope",
            ipaddress.IPv6Address,
            ipaddress.IPv6Address("fe80::1%eth0"),
        ),
        (
            "IPv4Network",
            ipaddress.IPv4Network,
            ipaddress.IPv4Network("192.0.2.0/24"),
        ),
        (
            "IPv6Network",
            ipaddress.IPv6Network,
            ipaddress.IPv6Network("2001:db8::/32"),
        ),
        (
            "IPv4Interface",
            ipaddress.IPv4Interface,
            ipaddress.IPv4Interface("192.0.2.5/24"),
        ),
        (
            "IPv6Interface",
            ipaddress.IPv6Interface,
            ipaddress.IPv6Interface("2001:db8::5/32"),
        ),
    ),
    *_kinds(
        "enums",
        ("Enum", Colour, Colour.RED),
        ("an alias of an Enum member", Colour, Colour.ROUGE),
        ("Enum with a tuple value", Colour, Colour.BLUE),
        ("IntEnum", Level, Level.HIGH),
        ("StrEnum", Unit, Unit.METRE),
        ("Flag", Access, Access.READ | Access.WRITE),
        ("empty Flag", Access, Access(0)),
        ("IntFlag", Bits, Bits.A | Bits.B),
    ),
    *_kinds(
        "classes",
        ("declared model", User, User("Ann", 30, ["a"])),
        ("frozen model", Point, Point(1, -0.0)),
        ("generic model", Box[int], Box(5)),
        ("model that refers to itself", Node, Node(1, Node(2))),
        ("hand-written model", Task, Task("Buy", done=True)),
        ("dataclass", Size, Size(2)),
        ("frozen dataclass with slots", Spot, Spot(1, (2, 3))),
        ("attrs class", Shape, Shape(3, ["a"])),
        ("class with hooks", Money, Money(Decimal("2.50"), "EUR")),
    ),
]
