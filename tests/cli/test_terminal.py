"""What is told beside the result: warnings, and a bar for whoever looks."""

import pytest

from storify.cli._shared import Stderr, counted, progress


def test_a_bar_is_shown_on_a_terminal_for_many_records(monkeypatch, capsys):
    """On the standard error, with the name of the database."""
    monkeypatch.setenv("FORCE_COLOR", "1")

    with progress("users") as tell:
        assert tell is not None
        tell(10_000, 50_000)
        tell(50_000, 50_000)

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "users" in shown.err
    assert "50000/50000" in shown.err


def test_a_few_records_need_no_bar(monkeypatch, capsys):
    """It would be gone before it is seen."""
    monkeypatch.setenv("FORCE_COLOR", "1")

    with progress("users") as tell:
        assert tell is not None
        tell(10, 10)

    assert "users" not in capsys.readouterr().err


def test_where_nobody_looks_nothing_is_told(monkeypatch):
    """The standard error of a test, or of CI, is no terminal."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    with progress("users") as tell:
        assert tell is None


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ""),
        ("info", ""),
        ("warning", "storify: look\n"),
        ("error", "storify: look\n"),
        ("traceback", "storify: look\n"),
    ],
)
def test_of_the_log_only_what_matters_is_told(capsys, level, expected):
    """On the standard error."""
    getattr(Stderr(), level)("look")

    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", expected)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 records"), (1, "1 record"), (2, "2 records")]
)
def test_a_count_is_read_as_english(count, expected):
    """One has no plural."""
    assert counted(count, "record") == expected
