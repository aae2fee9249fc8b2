"""What is odd is shown as what it is, beside what is not."""

import datetime as dt
import shutil

import msgpack
import pytest

from explorer.conftest import MODELS
from storify import CheckError, Storify
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
    size_text,
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


def test_what_could_not_be_saved_stands_on_no_line(folder, session):
    """It is counted among the health."""
    name = "20261129T120000.000000Z.unsaved.mpack"
    shutil.copy(folder / "users.mpack", folder / ".backups" / "users" / name)

    unsaved = session.states("users")[-1]

    assert unsaved.kind == "unsaved"
    assert session.about("users").health == "1 unsaved"
    assert session.around("users", unsaved.id) == (None, unsaved, None)
    assert session.around("users", session.states("users")[1].id)[0] is None


def test_a_name_of_a_former_release_is_looked_at(tmp_path, opened):
    """Though none can have it today."""
    (tmp_path / "a:b.mpack").write_bytes(msgpack.packb({"k": 1}))
    session = opened(tmp_path)

    assert session.names() == ["a:b"]
    assert session.row("a:b", "k").value == 1


def test_an_edit_says_what_it_cannot_do(typed, session, folder):
    """By the field, the place, the kind."""
    with pytest.raises(
        CheckError, match="a User has no field 'agee'; did you mean 'age'"
    ):
        typed.stage("users", "u1", "1", ".agee")
    typed.stage("log", "0", '"other"')
    typed.apply()
    older = typed.states("log")[1].id
    with pytest.raises(NotThereError, match="items of a list by themselves"):
        typed.restore("log", older, ["0"])
    draft = session.stage("users", "u1", '{"name": "Eve"}')  # without the classes
    assert kind_of(draft.after) == "User"
    assert [each.path for each in draft.edits()][:1] == ["$.name"]


def test_the_record_of_a_place_is_found_by_its_path(session):
    """Of a key that is a text, a number, an index; not of one that is none."""
    assert session.key_at("users", "$['u1'].age") == "u1"
    assert session.key_at("users", "$['u1'] (key)") == "u1"
    assert session.key_at("odd", "$[7]") == "7"
    assert session.key_at("log", "$[2]['three']") == "2"
    assert session.key_at("users", "$['gone']") is None
    assert session.key_at("users", "no path [") is None
    assert session.key_at("users", "$") is None


def test_what_is_told_is_kept_in_notes(session):
    """The warnings and errors, none of what is usual."""
    session.notes.debug("a")
    session.notes.info("b")
    session.notes.warning("c")
    session.notes.error("d")
    session.notes.traceback("e")

    assert session.notes.said == ["c", "d", "e"]


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_a_size_is_short(size_bytes, text):
    """In a unit that fits."""
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("age in [32, 40]", ["u1", "u3"]),
        ("name in [Cy, 'Dot']", ["u3", "u4"]),
        ("not tags", ["u3", "u4"]),
        ("tags contains x", ["u1"]),
        ("name contains n", ["u1"]),
        ("age contains 3", []),
        ("kind = OWNER or kind = Kind.GUEST and age = 40", ["u1", "u3"]),
        ("seen > 2026-11-28T11:00", ["u1"]),
        ("seen = 2026-11-28T12:00+01:00", ["u1"]),
        ("price >= 1.1 and price != '1.1'", ["u1", "u3", "u4"]),
        ("friend = u1", ["u3"]),
        ("home = none && (age < 40 || age > 40)", ["u1", "u4"]),
        ("home.city ~ ROME", ["u3"]),
        ("age = many", []),
        ("_class = User and _key ~ u", ["u1", "u3", "u4"]),
    ],
)
def test_a_filter_compares_each_kind(typed, text, found):
    """As people write them."""
    page, _ = typed.page("users", where=text)

    assert [row.key for row in page.rows] == found
