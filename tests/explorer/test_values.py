"""Values are short, safe to print, and have places as errors write them."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storify.explorer import (
    PathError,
    at_path,
    cell,
    count_parts,
    one_line,
    parts_of,
    printable,
)
from storify.testing import storable


@given(storable(), st.integers(10, 200))
def test_any_value_is_one_short_line_of_visible_characters(value, width):
    """Whatever is in it."""
    line = one_line(value, width)

    assert len(line) <= width
    assert line.isprintable()
    assert cell(value, width).isprintable()


@given(storable())
def test_each_part_is_found_by_its_step(value):
    """Where it has a place."""
    for part in parts_of(value):
        if "*" in part.step or not part.step.isprintable():
            continue
        try:
            found = at_path(value, part.step)
        except PathError:
            assert part.step.startswith("[")  # of a key that is no literal
            continue
        assert found is part.value or repr(found) == repr(part.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb", r"a\nb"),
        ("\u202eevil", r"\u{202e}evil"),
        ("\ud800", r"\u{d800}"),
        ("<script>", "<script>"),
    ],
)
def test_what_misleads_is_an_escape(text, shown):
    """A terminal is not steered by data."""
    assert printable(text) == shown


def test_long_and_deep_values_take_no_time():
    """A line ends where it is long enough."""
    deep: list = []
    for _ in range(500):
        deep = [deep]

    assert len(one_line("x" * 10_000_000, 50)) == 50
    assert len(one_line(b"x" * 10_000_000, 50)) <= 80
    assert one_line(deep, 50).count("[") < 10
    assert "bits" in one_line(1 << 100_000)
    assert one_line(list(range(10_000_000)), 20).endswith("…")


def test_a_path_that_leads_nowhere_says_how_far_it_led():
    """And what is there."""
    with pytest.raises(PathError, match=r"there is no \.street in \$\['home'\]"):
        at_path({"home": {"city": 1}}, "['home'].street")
    with pytest.raises(PathError, match="cannot read the path"):
        at_path({}, "a b")


def test_parts_are_counted_without_looking():
    """Leaves have none."""
    assert count_parts([1, 2]) == 2
    assert count_parts(deque([1])) == 1
    assert count_parts("text") is None
