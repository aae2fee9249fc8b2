"""The bytes of each type are pinned here and in docs/format.md; files live for ever."""

import datetime as dt
import enum
import ipaddress
import re
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from records import Record, Registry
from storify.codec import Codec
from storify.testing import same


class Color(enum.Enum):
    """An enum."""

    RED = "r"


class Perm(enum.Flag):
    """A flag."""

    R = 1
    W = 2


class Point(NamedTuple):
    """A namedtuple."""

    x: int
    y: int


class Markup(str):
    """A subclass of a builtin."""

    __slots__ = ()


NEPAL = ZoneInfo("Asia/Kathmandu")
HOUR = dt.timezone(dt.timedelta(hours=1))
DAY = (2024, 2, 29)
NAIVE = dt.datetime(*DAY, 12, 30)  # noqa: DTZ001 - naive ones are stored, too

# The example as docs/format.md shows it, and its value.
SAMPLES: dict[str, Any] = {
    "datetime(2024, 2, 29, tzinfo=UTC)": dt.datetime(*DAY, tzinfo=dt.UTC),
    "datetime(2024, 2, 29, 0, 0, 0, 5, UTC)": dt.datetime(
        *DAY, microsecond=5, tzinfo=dt.UTC
    ),
    "datetime(1969, 12, 31, tzinfo=UTC)": dt.datetime(1969, 12, 31, tzinfo=dt.UTC),
    "datetime(2024, 2, 29, 12, 30)": NAIVE,
    "datetime(2024, 2, 29, 12, 30, fold=1)": NAIVE.replace(fold=1),
    "datetime(2024, 2, 29, tzinfo=ZoneInfo('Asia/Kathmandu'))": dt.datetime(
        *DAY, tzinfo=NEPAL
    ),
    "datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=1)))": dt.datetime(
        *DAY, tzinfo=HOUR
    ),
    "datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=1), 'CET'))": dt.datetime(
        *DAY, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")
    ),
    "datetime(2024, 2, 29, tzinfo=UTC, fold=1)": dt.datetime(
        *DAY, tzinfo=dt.UTC, fold=1
    ),
    "date(2024, 2, 29)": dt.date(*DAY),
    "time(12, 30)": dt.time(12, 30),
    "time(12, 30, tzinfo=UTC)": dt.time(12, 30, tzinfo=dt.UTC),
    "timedelta(days=-1, microseconds=7)": dt.timedelta(days=-1, microseconds=7),
    "2 ** 64": 2**64,
    "-(2 ** 63) - 1": -(2**63) - 1,
    "Decimal('1.10')": Decimal("1.10"),
    "UUID(int=1)": UUID(int=1),
    "(1, 'a')": (1, "a"),
    "{3, 1, 2}": {3, 1, 2},
    "frozenset({1})": frozenset({1}),
    "1 + 2j": 1 + 2j,
    "Fraction(-1, 3)": Fraction(-1, 3),
    "bytearray(b'ab')": bytearray(b"ab"),
    "Color.RED": Color.RED,
    "Perm(3)": Perm.R | Perm.W,
    "Point(1, 2)": Point(1, 2),
    "deque([1], maxlen=3)": deque([1], maxlen=3),
    "OrderedDict(a=1)": OrderedDict(a=1),
    "defaultdict(list, a=[])": defaultdict(list, a=[]),
    "Counter('aab')": Counter("aab"),
    "PurePosixPath('a/b')": PurePosixPath("a/b"),
    "PureWindowsPath('C:/a')": PureWindowsPath("C:/a"),
    "IPv4Address('10.0.0.1')": ipaddress.IPv4Address("10.0.0.1"),
    "IPv6Address('fe80::1%eth0')": ipaddress.IPv6Address("fe80::1%eth0"),
    "IPv4Network('10.0.0.0/8')": ipaddress.IPv4Network("10.0.0.0/8"),
    "IPv6Interface('::1/64')": ipaddress.IPv6Interface("::1/64"),
    "range(0, 9, 2)": range(0, 9, 2),
    "slice(1, None)": slice(1, None),
    "Markup('b')": Markup("b"),
    "{'__User__': {}}": {"__User__": {}},
    "'\\ud800'": "\ud800",
    "...": ...,
}

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"


def documented() -> dict[str, str]:
    """Read the rows of the document that end in an example and its bytes."""
    row = re.compile(r"\| `([^|]*)` \| `([0-9a-f ]+)` \|$", re.MULTILINE)
    return dict(row.findall(DOCUMENT.read_text("utf-8")))


@pytest.fixture
def codec() -> Codec:
    """A codec that knows the classes of the samples."""
    codec = Codec(**Registry().hooks())
    for cls in (Color, Perm, Point, Markup):
        codec.register(cls)
    return codec


@pytest.mark.parametrize("name", SAMPLES)
def test_the_document_shows_the_bytes(codec: Codec, name: str) -> None:
    """Each example in docs/format.md is written as, and read from, those bytes."""
    payload = bytes.fromhex(documented()[name])

    assert codec.encode(SAMPLES[name]).hex(" ") == payload.hex(" ")
    assert same(codec.decode(payload), SAMPLES[name])


def test_the_document_has_no_other_examples() -> None:
    """Each example in docs/format.md is checked."""
    assert documented().keys() == SAMPLES.keys()


def test_a_record_is_a_map_of_its_keyname() -> None:
    """A record is written as the original package writes it."""
    codec = Codec(**Registry("__User__").hooks())

    payload = codec.encode(Record("__User__", name="Ann"))

    assert payload == b"\x81\xa8__User__\x81\xa4name\xa3Ann"
    assert codec.decode(payload) == Record("__User__", name="Ann")
