"""Whether a value was changed in place, seen without running anything of its own."""

from collections import Counter, OrderedDict, defaultdict, deque

import pytest

from storify import Model
from storify.database.live.ownership import changed, parts_of_all


class Point(Model):
    """A record."""

    x: int
    y: int


def is_changed(value, change):
    """Whether a change is seen."""
    before = parts_of_all({"key": value})
    change(value)
    return list(changed({"key": value}, before)) == ["key"]


def nothing(value):
    """Change nothing."""


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1, 2], lambda value: value.append(3)),
        ([1, 2], lambda value: value.reverse()),
        ([1, [2]], lambda value: value[1].clear()),
        ({"a": 1}, lambda value: value.update(a=2)),
        ({"a": {"b": []}}, lambda value: value["a"]["b"].append(1)),
        ({1, 2}, lambda value: value.discard(1)),
        (deque([1, 2]), lambda value: value.rotate()),
        (Counter("a"), lambda value: value.update("a")),
        (defaultdict(list), lambda value: value["new"]),
        (Point(1, 2), lambda value: setattr(value, "x", 5)),
        ([Point(1, 2)], lambda value: setattr(value[0], "x", 5)),
    ],
)
def test_a_change_at_any_depth_is_seen(value, change):
    """And only a change: the same value is the same."""
    assert not is_changed(value, nothing)
    assert is_changed(value, change)


@pytest.mark.parametrize(
    "value", [bytearray(b"a"), OrderedDict(a=1), [object()], [bytearray()]]
)
def test_what_cannot_be_seen_counts_as_changed(value):
    """A doubt is said; silence would be a loss."""
    assert is_changed(value, nothing)


def test_what_is_much_counts_as_changed():
    """A fork does not take long, and what is left of the sum is for other values."""
    values = {"few": [1, 2], "many": list(range(100)), "more": [3]}

    before = parts_of_all(values, 20)

    assert list(changed(values, before)) == ["many"]


def test_what_contains_itself_has_an_end():
    """It cannot be stored, but it can be looked at."""
    value: list = []
    value.append(value)

    assert not is_changed(value, nothing)
