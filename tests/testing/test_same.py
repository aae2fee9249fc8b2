"""Exact comparison: what counts as the same, and where two values differ."""

import dataclasses
import datetime as dt
import enum
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given

from storify.exceptions import ModelLoadError
from storify.models import Model, Unloaded, field
from storify.models.state import UNKNOWN
from storify.testing import Difference, difference, same, storable

Two = namedtuple("Two", "a b")  # noqa: PYI024 -- the untyped kind


class User(Model):
    """A declared model."""

    name: str
    age: int = 0
    note: str = field(default="", stored=False)
    _session: str = ""


class Task(Model):
    """A hand-written model without a repr."""

    def __init__(self, title="", done=False):
        self.title = title
        self.done = done


class Account(Model):
    """A hand-written model that stores something private."""

    def __init__(self, secret=""):
        self._secret = secret

    def _to_dict(self):
        return {"secret": self._secret}


class Bad:
    """A class whose repr fails."""

    def __repr__(self):
        """Raise."""
        msg = "no"
        raise ValueError(msg)


class Bare:
    """A class without a repr or an equality."""

    __slots__ = ("x", "y")

    def __init__(self, x):
        self.x = x


@attrs.define
class Square:
    """An attrs class."""

    side: int


class Colour(enum.Enum):
    """An enum."""

    RED = 1
    BLUE = 2


class Access(enum.Flag):
    """A flag."""

    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Size:
    """A dataclass."""

    width: float


NOON = dt.datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 -- naive on purpose
BERLIN = NOON.replace(tzinfo=ZoneInfo("Europe/Berlin"))

DIFFERENT: list[tuple[Any, Any, str]] = [
    (1, True, "$"),
    (1, 1.0, "$"),
    (0.0, -0.0, "$"),
    (float("nan"), 0.0, "$"),
    (1 + 0j, complex(1, -0.0), "$.imag"),
    (Decimal("1.0"), Decimal("1.00"), "$"),
    ("a", b"a", "$"),
    (b"a", bytearray(b"a"), "$"),
    (NOON, NOON.replace(fold=1), "$"),
    (NOON, NOON.replace(tzinfo=dt.UTC), "$"),
    (BERLIN, BERLIN.astimezone(dt.UTC), "$"),
    (BERLIN, NOON.replace(tzinfo=ZoneInfo("Europe/Paris")), "$.tzinfo"),
    (
        NOON.replace(tzinfo=dt.timezone(dt.timedelta(0), "x")),
        NOON.replace(tzinfo=dt.timezone(dt.timedelta(0), "y")),
        "$.tzinfo",
    ),
    ([1], (1,), "$"),
    ([1], [1, 2], "$"),
    ([1, [2, (3,)]], [1, [2, (4,)]], "$[1][1][0]"),
    ({1, 2}, {1, 3}, "$[*]"),
    ({1}, frozenset({1}), "$"),
    ({frozenset({1})}, {frozenset({True})}, "$[*][*]"),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "$['a'] (key)"),
    ({1: 0}, {True: 0}, "$[1] (key)"),
    ({"a": {"b": 1}}, {"a": {"b": None}}, "$['a']['b']"),
    ({}, OrderedDict(), "$"),
    (defaultdict(list), defaultdict(set), "$"),
    (Counter("a"), Counter("ab"), "$"),
    (deque([1], 3), deque([1]), "$"),
    (range(3), range(0, 3, 2), "$.step"),
    (slice(1), slice(1.0), "$.stop"),
    (Two(1, 2), (1, 2), "$"),
    (Two(1, 2), Two(1, 2.0), "$.b"),
    (PurePosixPath("a"), PureWindowsPath("a"), "$"),
    (Fraction(1, 2), Fraction(1, 3), "$"),
    (Size(1), Size(1.0), "$.width"),
    (Bare(1), Bare(2), "$.x"),
    (Square(1), Square(2), "$.side"),
    (Colour.RED, Colour.BLUE, "$"),
    (Access.READ, Access.READ | Access.WRITE, "$"),
    (User("a"), User("b"), "$.name"),
    (User("a"), Task("a"), "$"),
    (Task("a"), Task("b"), "$.title"),
    (Account("a"), Account("b"), "$._to_dict()['secret']"),
]


@pytest.mark.parametrize(
    ("one", "other", "path"), DIFFERENT, ids=[str(i) for i in range(len(DIFFERENT))]
)
def test_what_differs_is_told_with_its_place(one, other, path):
    """Types, bits, order of dicts, zones and folds count, and so it is both ways."""
    found = difference(one, other)

    assert found is not None
    assert found.path == path
    assert not same(one, other)
    assert not same(other, one)


@given(storable(adversarial=True))
def test_anything_is_the_same_as_itself(value):
    """Also NaN, and what was taken apart differently each time."""
    assert difference(value, value) is None


def test_what_is_not_stored_does_not_count():
    """Private attributes, fields that are not stored, the order of setting."""
    one, other = User("a"), User("a", 0, "noted", "token")
    mine, theirs = Task("t"), Task("t")
    del mine.title
    mine.title = "t"

    assert same(one, other)
    assert same(mine, theirs)


def test_what_was_set_besides_the_fields_counts():
    """An undeclared public attribute is stored, so it is compared."""
    one, other = User("a"), User("a")
    other.extra = 1

    assert str(difference(one, other)) == (
        "$: expected User(name='a', age=0), found User(name='a', age=0)"
    )


class Slotted:
    """A mixin."""

    __slots__ = ("rank",)


@dataclasses.dataclass
class Ranked(Slotted):
    """A dataclass with a slot of a mixin."""

    name: str


class Words(list):
    """A list with a dict of its own."""


class Tag(Two):
    """A named tuple with a dict of its own."""


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Size(1), "memo"),
        (lambda: Ranked("a"), "rank"),
        (lambda: Words([1]), "memo"),
        (lambda: Tag(1, 2), "memo"),
    ],
    ids=["dataclass", "slots", "list", "named tuple"],
)
def test_what_was_set_besides_the_fields_of_other_classes_counts(make, name):
    """Public attributes, also those in slots; private ones do not count."""
    one, other = make(), make()
    other._hidden = 1
    assert same(one, other)

    setattr(other, name, 1)

    assert not same(one, other)
    setattr(one, name, 2)
    assert difference(one, other).path == f"$.{name}"


def test_a_name_that_was_kept_is_not_an_attribute_of_that_name():
    """An attribute that came back as a stored name only was lost."""
    user, loaded = User("a"), User("a")
    user.run = 1
    vars(loaded)[UNKNOWN] = {"run": 1}

    assert not same(user, loaded)


def test_a_difference_shows_types_and_values():
    """It is the user's own test data; objects without a repr show their fields."""
    found = difference({"u": (Task("a"), 1)}, {"u": (Task("a"), "x" * 500)})

    assert found == Difference("$['u'][1]", f"expected int 1, found str 'x{'x' * 198}…")
    assert str(difference(Task([Task()]), None)).startswith(
        "$: expected Task(title=(Task(title='', done=False)), done=False), found None"
    )
    assert "its repr raised ValueError" in str(difference([Bad()], [1]))
    assert "Bare object at" in str(difference(Bare(1), 1))


def test_a_record_that_was_not_loaded_says_why():
    """The message of the load is part of the difference."""
    error = ModelLoadError("User: required field missing")
    error.__cause__ = ValueError("deeper")

    found = difference(User("a"), Unloaded({"__User__": {}}, error))

    assert found is not None
    assert "not loaded: User: required field missing: deeper" in found.reason


def test_what_contains_itself_is_refused():
    """A cycle cannot be stored, and its comparison would have no end."""
    value: list[Any] = []
    value.append(value)

    with pytest.raises(ValueError, match="it contains itself"):
        same(value, value)
