"""Names of databases: what is refused, and that all else is kept."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storify.engine import check_name
from storify.engine.names import check_new_name, collation_key
from storify.exceptions import DatabaseNameError

BAD = [
    "",
    ".",
    "..",
    ".hidden",
    "../x",
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:x",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\u202eb",
    "a\u2028b",
    "a\ud800b",
    "end.",
    "end ",
    "CON",
    "nul",
    "com1.txt",
    "LPT9",
    "AUX .x",
    "x" * 201,
    "é" * 101,
    "x" * 1_000_000,
]


@pytest.mark.parametrize("name", BAD, ids=lambda name: f"{name[:20]!a} {len(name)}")
def test_unsafe_and_unportable_names_are_refused(name):
    """The error is short, and also a ValueError."""
    with pytest.raises(DatabaseNameError) as caught:
        check_name(name)

    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [None, 5, b"users", ["x"]])
def test_a_name_is_a_str(name):
    """Anything else is refused in the same way."""
    with pytest.raises(DatabaseNameError, match="no str"):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["users", "My Data", "é", "データ", "a.b", "console", "x" * 200, "-", "~"]
)
def test_good_names_stay_as_they_are(name):
    """Letters of any script, dots inside, spaces inside."""
    assert check_name(name) == name


def test_a_name_comes_back_in_normal_form_c():
    """So that it is one file on every system."""
    assert check_name("cafe\u0301") == "caf\u00e9"


@pytest.mark.parametrize("character", '<>"|?*')
def test_characters_that_windows_refuses_are_not_for_new_databases(character):
    """An older file of such a name can still be opened."""
    name = f"a{character}b"

    assert check_name(name) == name
    with pytest.raises(DatabaseNameError):
        check_new_name(name, [])


@given(st.text(max_size=30))
def test_a_name_is_refused_or_safe(name):
    """What passes stays inside its folder and passes again."""
    try:
        checked = check_name(name)
    except DatabaseNameError:
        return

    assert checked == unicodedata.normalize("NFC", name) == check_name(checked)
    assert not set("/\\:\0") & set(checked)
    assert not checked.startswith(".")
    assert collation_key(checked) == collation_key(checked.swapcase().swapcase()) or (
        checked.swapcase().swapcase().casefold() != checked.casefold()
    )
