"""Models with every kind of field, and such that changed from one version to the next.

What a planted fault breaks must be in one of them.
"""

import datetime as dt
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Any, Generic, Literal, NamedTuple, NewType, TypeVar
from uuid import UUID

from storify import Model, Ref, field, migration

T = TypeVar("T")
Cents = NewType("Cents", int)


class Colour(enum.Enum):
    """Two members with values that other members of other enums have, too."""

    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    """Members that equal integers."""

    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    y: float = 0.0


@dataclass
class Size:
    """A record that is no model."""

    width: int
    labels: list[str]


class Part(Model):
    """A part of a record."""

    name: str
    weights: list[float] = []
    mark: bool | int = 0


class Spring(Part):
    """A part of a more special class."""

    tension: float = 1.0


class Code(Model, frozen=True):
    """A frozen part."""

    text: str


class Box(Model, Generic[T]):
    """A generic part."""

    item: T
    more: list[T] = []


class Scalars(Model):
    """Single values."""

    flag: bool
    number: int
    real: float
    both: complex
    text: str
    raw: bytes
    buffer: bytearray
    amount: Decimal
    ratio: Fraction
    cents: Cents
    name: Literal["a", 1] | None
    colour: Colour
    tone: Colour | int
    level: Level
    uuid: UUID
    path: PurePosixPath
    host: IPv4Address
    when: dt.datetime
    day: dt.date
    at: dt.time
    took: dt.timedelta


class Holders(Model):
    """Values that hold others."""

    words: list[str] = []
    steps: list[int] = [1]
    pair: tuple[int, str] = (0, "")
    line: tuple[float, ...] = ()
    seen: set[int | str] = set()
    fixed: frozenset[bytes] = frozenset()
    counts: dict[str, int] = {}
    last: deque[int] = deque()
    ordered: OrderedDict[str, int] = OrderedDict()
    votes: Counter[str] = Counter()
    groups: defaultdict[str, list[int]] = defaultdict(list)
    point: Point = Point(0)
    size: Size | None = None
    any: Any = None


class Machine(Model):
    """Parts in parts, and all that a field can be told."""

    part: Part
    code: Code
    box: Box[int]
    either: Part | Code | None = None
    parts: dict[str, list[Part]] = {}
    renamed: int = field(key="other name", default=0)
    computed: int = field(stored=False, default=7)
    owner: Ref[Code] | None = None
    _private: str = ""


class Written(Model):
    """A class with an ``__init__`` of its own."""

    def __init__(self, a: int = 0, b: list[int] | None = None) -> None:
        self.a = a
        self.b = b


class ShopV1(Model, keyname="__Shop__"):
    """As the oldest program has it."""

    title: str
    open: bool = False


class Shop(Model, keyname="__Shop__", version=1):
    """Renamed, converted, extended, and with another unit."""

    name: str = field(was="title")
    open: bool = False
    visits: int = 0
    main: Part | None = None

    @staticmethod
    @migration(0)
    def _count(fields: dict[str, Any]) -> None:
        fields["visits"] = fields.get("visits", 0) + 1


class TankV1(Model, keyname="__Tank__"):
    """Its size was a text."""

    litres: str = "0"


def _number(old: object) -> object:
    return len(old) if isinstance(old, str) else old


class Tank(Model, keyname="__Tank__"):
    """Its size is a number, and there is more to know of it."""

    litres: int = field(default=0, upgrade=_number)
    leaks: list[Part] = []


class User(Model):
    """A record of a database, with parts that are changed in place."""

    name: str
    age: int = 0
    tags: list[str] = []
    part: Part | None = None


EVERY = (Scalars, Holders, Machine, Spring, Written, Shop)
TYPES = (Colour, Level, Point, Size)
