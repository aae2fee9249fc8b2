"""What is odd is shown as what it is, beside what is not."""

import datetime as dt
import shutil

import msgpack
import pytest

from explorer.conftest import MODELS
from storify import Storify
from storify.explorer import (
    NOW,
    NotThereError,
    Reading,
    Undecodable,
    cell,
    column_value,
    edits,
    key_token,
    kind_of,
    one_line,
    parse_filter,
    parse_state,
    tree_of,
    tree_of_row,
)


class Bytes:
    """A state of which some bytes stand for nothing."""

    kind = "str"

    def __init__(self, entries):
        self.entries = dict(entries)

    def __len__(self):
        return len(self.entries)

    def items(self):
        """All of it at once."""
        yield list(self.entries.items())

    def get(self, key):
        """One record."""
        return self.entries.get(key)

    def close(self):
        """Nothing is open."""


@pytest.fixture
def reading(session):
    """Three records: a good one, one of no value, one of no key."""
    bad = b"\xc1"  # no message begins so
    entries = {b"\xa1a": b"\x01", b"\xa1b": bad, bad: b"\x02"}
    return Reading("d", Bytes(entries), session.codec)


def test_what_cannot_be_decoded_stands_in_its_place(reading):
    """With why, and how long it is; also sorted and found."""
    told = []
    good, no_value, no_key = reading.page(0, 10).rows

    assert [good.key, good.value] == ["a", 1]
    assert isinstance(no_value.value, Undecodable)
    assert isinstance(no_key.key, Undecodable)
    assert kind_of(no_value.value) == "undecodable"
    assert one_line(no_value.value, 200).endswith(", 1 bytes")
    assert tree_of_row(no_value)["value"].startswith("undecodable: ")
    assert key_token(no_key) == "0xc1"
    assert list(reading.rows(lambda *done: told.append(done))) == [
        good,
        no_value,
        no_key,
    ]
    assert told == [(3, 3)]
    assert [row.key for row in reading.find(parse_filter("_key = b"), 0, 9).rows] == [
        "b"
    ]
    assert len(reading.sorted_page("_value", 0, 9).rows) == 3


def test_a_search_goes_on_where_it_ended(reading):
    """By how many were looked at."""
    first = reading.find(parse_filter("_key ~ a"), 0, 1)
    later = reading.find(parse_filter(""), 0, 1, start=1)

    assert [row.key for row in first.rows] == ["a"]
    assert (later.rows[0].key, later.more, later.looked_at) == ("b", True, 2)


def test_a_page_ends_before_it_is_too_long(tmp_path, opened):
    """Found and sorted ones as well; one record is shown however long it is."""
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"].update({f"k{n}": {"n": n, "t": "x" * 400_000} for n in range(6)})
    session = opened(tmp_path)

    for options in ({}, {"where": "n >= 0"}, {"sort": "n"}):
        page, _ = session.page("d", **options)
        assert len(page.rows) == 2, options
        assert page.more


def test_mixed_values_have_an_order(tmp_path, opened):
    """Numbers, texts, bytes, others by their class or their text; none of NaN or None."""
    values = {
        "none": None,
        "nan": float("nan"),
        "date": dt.date(2026, 1, 2),
        "earlier": dt.date(2025, 1, 2),
        "time": dt.time(1),
        "bytes": b"a",
        "text": "a",
        "two": 2,
        "dict": {"a": 1},
    }
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"].update(values)
    session = opened(tmp_path)

    forth = [row.key for row in session.page("d", sort="_value")[0].rows]
    back = [row.key for row in session.page("d", sort="_value", reverse=True)[0].rows]

    assert forth[:3] == ["two", "text", "bytes"]
    assert forth.index("earlier") < forth.index("date")
    assert set(forth[-2:]) == set(back[-2:]) == {"none", "nan"}


def test_extensions_of_others_are_what_they_are(tmp_path, opened):
    """By their number."""
    odd = msgpack.packb({"a": msgpack.ExtType(99, b"x"), "b": 1})
    (tmp_path / "d.mpack").write_bytes(odd)
    session = opened(tmp_path)

    row = session.row("d", "a")

    assert kind_of(row.value) == "extension 99"
    assert tree_of(row.value) == "extension 99(b'x')"
    assert cell(row.value) == "extension 99(b'x')"
    assert column_value("_value", row) is row.value


def test_a_time_is_read_as_people_write_it():
    """What is no time is the id of a state."""
    now = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)

    assert parse_state("", now) == parse_state(" NOW ", now) == NOW
    assert parse_state("90 minutes ago", now) == now - dt.timedelta(minutes=90)
    assert parse_state("3d", now) == now - dt.timedelta(days=3)
    assert parse_state("today", now).date() == now.astimezone().date()
    assert parse_state("2026-11-28", now).date() == dt.date(2026, 11, 28)
    assert parse_state("2026-11-28 10:00Z", now) == dt.datetime(
        2026, 11, 28, 10, tzinfo=dt.UTC
    )
    assert parse_state("2026-11-28T10:00", now).tzinfo is not None
    assert parse_state("2026-99-99", now) == "2026-99-99"
    assert parse_state("20261129T1", now) == "20261129T1"


def test_places_that_differ_are_found_in_what_has_places():
    """A set is one, and what cannot be compared differs."""

    class Rude:
        def __eq__(self, other):
            raise RuntimeError

        __hash__ = None

    assert [each.path for each in edits({"a": 1, "b": [1]}, {"b": [1, 2], "c": 1})] == [
        "$['a']",
        "$['b'][1]",
        "$['c']",
    ]
    assert [each.path for each in edits({1, 2}, {2, 3})] == ["$"]
    assert [each.path for each in edits(Rude(), Rude())] == ["$"]
    assert edits(1, True)[0].before == 1


def test_a_state_that_is_damaged_is_passed_over(folder, opened):
    """And told; the growth does without it."""
    session = opened()
    for path in (folder / ".backups" / "users").glob("*.mpack"):
        path.write_bytes(b"\xc1" * 20)

    moments = session.history("users", "u1")

    assert [
        each.value.fields["age"] if hasattr(each.value, "fields") else 1
        for each in moments
    ]
    assert any("cannot be read" in note for note in session.notes.said)
    assert [state.id for state, _, _ in session.stats("users").growth] == [NOW]


def test_a_database_that_is_removed_meanwhile_is_said(folder, opened):
    """It is no error of another one."""
    session = opened()
    session.page("odd")
    (folder / "odd.mpack").unlink()
    shutil.rmtree(folder / ".backups" / "odd", ignore_errors=True)

    with pytest.raises(NotThereError, match="odd"):
        session.page("odd")
    assert {each.name for each in session.databases()} >= {"log", "users"}


def test_a_list_takes_a_new_item_at_its_end(typed):
    """And at no other place."""
    with pytest.raises(NotThereError, match="a list takes a new item at its end"):
        typed.stage("log", "7", '"x"')
    typed.stage("log", "3", '"x"')

    assert typed.apply() == 1
    assert typed.row("log", "3").value == "x"


def test_new_keys_are_what_the_others_are(tmp_path, opened):
    """A number among numbers; in quotes it is a text."""
    with Storify(tmp_path, save_interval=None) as sf:
        sf["numbers"][1] = "one"
        sf["mixed"].update({(1, 2): "pair", "a": "text"})
        sf["texts"]["a"] = 1
    session = opened(tmp_path, write=True)

    session.stage("numbers", "2", '"two"')
    session.stage("mixed", "(3, 4)", '"pair"')
    session.stage("texts", "2", '"two"')
    session.stage("texts", "'3'", '"three"')
    session.apply()

    with Storify(tmp_path, save_interval=None) as sf:
        assert list(sf["numbers"]) == [1, 2]
        assert list(sf["mixed"]) == [(1, 2), "a", (3, 4)]
        assert list(sf["texts"]) == ["a", "2", "3"]


def test_a_class_that_is_not_known_is_named(opened):
    """With one that is near."""
    session = opened(models=MODELS)

    assert session.class_named("User").__name__ == "User"
    with pytest.raises(NotThereError, match="did you mean 'User'"):
        session.class_named("Usr")


def test_a_state_that_is_ambiguous_or_gone_is_said(folder, session):
    """By how many there are."""
    states = session.states("users")

    assert session.state_id("users", states[1].id[:-3]) == states[1].id
    with pytest.raises(NotThereError, match="has no state 'x'"):
        session.state_id("users", "x")
    shutil.rmtree(folder / ".backups" / "users")
    with pytest.raises(NotThereError, match="any more"):
        session._older(session.engine("users"), "users", states[1].id)
