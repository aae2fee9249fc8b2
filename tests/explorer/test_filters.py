"""A filter asks for fields, compares like with like, and is never evaluated."""

import datetime as dt
import enum
from decimal import Decimal

import pytest

from storify.explorer import FilterError, parse_filter


class Kind(enum.Enum):
    """An enum."""

    OLD = 1
    NEW = 2


RECORD = {
    "name": "Ann Lee",
    "age": 31,
    "price": Decimal("1.10"),
    "seen": dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC),
    "day": dt.date(2026, 11, 28),
    "tags": ["x", "y"],
    "home": {"city": "Paris", "no": None},
    "kind": Kind.NEW,
    "done": False,
    "digits": "7",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age > 30",
        "age >= 31 and age <= 31.0",
        "age == 31 && name ~ lee",
        "name = 'Ann Lee'",
        'name == "Ann Lee"',
        "not done",
        "done = false",
        "not (age < 30 or age > 40)",
        "age < 30 or tags contains x",
        "home.city == Paris",
        "home['city'] = Paris",
        "tags[0] = x",
        "home.no = null",
        "price = 1.1 and price > 1",
        "seen > 2026-11-27 and seen < 2026-11-29T00:00:00",
        "day = 2026-11-28",
        "kind = NEW and kind != OLD and kind = Kind.NEW",
        "age in [30, 31]",
        "kind in [NEW]",
        "digits = 7 and digits = '7'",
        "_key = k1 and _class = dict",
        "missing != 3 or age = 31",
        "name contains Lee",
    ],
)
def test_what_is_so_passes(text):
    """In any spelling of it."""
    assert parse_filter(text)("k1", RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "age > 31",
        "age = '31'",
        "age > soon",
        "name > 3 and name < 1",
        "missing = 1",
        "missing",
        "seen > never",
        "tags contains z",
        "home.city.x = 1",
        "kind = OLD",
        "done",
    ],
)
def test_what_is_not_so_or_cannot_be_compared_does_not(text):
    """That is no error: records differ."""
    assert not parse_filter(text)("k1", RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "age >",
        "> 3",
        "age > 3)",
        "(age > 3",
        "age in 3",
        "age in [3",
        "and",
        "name = 'x",
        "age > 3 name = x",
        "(" * 50 + "age" + ")" * 50,
        "age = 1 or " * 400 + "age = 1",
        "__import__('os')",
        "a.b() = 1",
    ],
)
def test_what_is_no_filter_says_where(text):
    """And how one is written."""
    with pytest.raises(FilterError, match="cannot read"):
        parse_filter(text)


def test_fields_that_no_record_has_are_told():
    """A typing error is not an empty result."""
    test = parse_filter("agee > 3 or age > 3")

    test("k1", RECORD)

    assert test.unmet() == ["agee"]
