"""What is exported comes back equal, or is refused by its place before a byte is written."""

import csv
import datetime as dt
import enum
import io
import json
import sqlite3
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storify import Model, Storify, field
from storify.explorer import Session
from storify.explorer.export import Format, write_records
from storify.tables import sqlite, text
from storify.tables.lines import CannotHoldError, Classes, Losses
from storify.testing import same


class Color(enum.Enum):
    """By values."""

    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    """By numbers."""

    LOW = 1
    HIGH = 2


class Spot(NamedTuple):
    """A named tuple."""

    x: int
    y: float = 0.0


class Part(Model):
    """Inside another."""

    name: str
    size: int | None = None


class Thing(Model):
    """A field of each kind that JSON can hold."""

    text: str
    number: int = 0
    real: float = 0.0
    flag: bool = False
    maybe: str | None = None
    price: Decimal = Decimal(0)
    when: dt.datetime | None = None
    day: dt.date | None = None
    span: dt.timedelta = dt.timedelta(0)
    raw: bytes = b""
    ident: UUID | None = None
    color: Color = Color.RED
    level: Level = Level.LOW
    spot: Spot | None = None
    part: Part | None = None
    parts: list[Part] = field(factory=list)
    pair: tuple[int, str] = (0, "")
    names: set[str] = field(factory=set)
    scores: dict[int, float] = field(factory=dict)
    days: dict[dt.date, list[str]] = field(factory=dict)


ZONES = st.sampled_from([dt.UTC, ZoneInfo("Europe/Paris"), None])
PARTS = st.builds(Part)
THINGS = st.builds(
    Thing,
    text=st.text(),
    number=st.integers(),
    real=st.floats(allow_nan=False) | st.just(float("nan")),
    flag=st.booleans(),
    maybe=st.none() | st.text(),
    price=st.decimals(allow_nan=False),
    when=st.none()
    | st.datetimes(dt.datetime(1980, 1, 1), timezones=ZONES, allow_imaginary=False).map(
        lambda when: when.replace(fold=0)
    ),
    day=st.none() | st.dates(),
    span=st.timedeltas(),
    raw=st.binary(max_size=9),
    ident=st.none() | st.uuids(),
    color=st.sampled_from(Color),
    level=st.sampled_from(Level),
    spot=st.none() | st.builds(Spot, st.integers(), st.floats(allow_nan=False)),
    part=st.none() | PARTS,
    parts=st.lists(PARTS, max_size=2),
    pair=st.tuples(st.integers(), st.text()),
    names=st.sets(st.text(), max_size=3),
    scores=st.dictionaries(st.integers(), st.floats(allow_nan=False), max_size=3),
    days=st.dictionaries(st.dates(), st.lists(st.text(), max_size=2), max_size=2),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.text() | st.integers()
RECORDS = st.dictionaries(KEYS, THINGS, max_size=4)
PLAIN = st.dictionaries(
    KEYS, st.dictionaries(st.text(), JSON, max_size=4) | JSON, max_size=4
)


@pytest.fixture(scope="module")
def classes():
    """The classes of this module."""
    sf = Storify("memory://", models=[Thing, Part])
    return Classes(sf._schema.registry, sf._schema.codec)


def through(name, records, classes, folder=None):
    """Write records in a format and read them back."""
    losses = Losses(name)
    if name == "sqlite":
        path = Path(folder) / "t.db"
        path.unlink(missing_ok=True)
        sqlite.write_sqlite(records.items, classes, path, "t", losses)
        return dict(sqlite.read_sqlite(path, "t", classes))
    out = io.StringIO(newline="")
    write = getattr(text, f"write_{name}")
    assert write(records.items, classes, out, losses) == len(records)
    read = getattr(text, f"read_{name}")
    return dict(read(io.StringIO(out.getvalue(), newline=""), classes))


def in_order(records):
    """Records with their fields by name."""
    return {
        key: dict(sorted(value.items())) if type(value) is dict else value
        for key, value in records.items()
    }


FORMATS = "jsonl", "json", "csv", "sqlite"
LAW = settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("name", FORMATS)
@LAW
@given(records=RECORDS)
def test_records_of_a_class_come_back_equal_or_are_refused(
    name, records, classes, tmp_path
):
    """Of each kind that has an annotation."""
    try:
        back = through(name, records, classes, tmp_path)
    except CannotHoldError:
        if name not in {"csv", "sqlite"}:
            raise
        return
    assert same(back, records)


@pytest.mark.parametrize("name", FORMATS)
@LAW
@given(records=PLAIN)
def test_plain_records_come_back_equal_or_are_refused(name, records, classes, tmp_path):
    """Without a class, what JSON has."""
    try:
        back = through(name, records, classes, tmp_path)
    except CannotHoldError:
        return
    except ValueError:  # the names of fields
        if name not in {"csv", "sqlite"}:
            raise
        return
    if name in {"csv", "sqlite"}:  # the order of fields is that of the columns
        back, records = in_order(back), in_order(records)
    assert same(back, records)


@pytest.mark.parametrize("name", ["jsonl", "json"])
@LAW
@given(thing=THINGS)
def test_json_holds_each_record_of_a_class(name, thing, classes):
    """None of those is refused."""
    assert same(through(name, {"k": thing}, classes), {"k": thing})


@pytest.mark.parametrize(
    ("name", "thing", "where"),
    [
        ("csv", Thing("t", names={"a"}), r"\$\['k'\].names: a set"),
        (
            "sqlite",
            Thing("t", number=1 << 70),
            r"\$\['k'\].number: an int of more than",
        ),
        ("sqlite", Thing("t", real=-0.0), r"\$\['k'\].real: -0.0"),
        ("jsonl", {"a": (1, 2)}, r"\$\['k'\].a: a value of type tuple"),
        ("jsonl", {"a": {1: 2}}, r"\$\['k'\].a: a value of type dict"),
        (
            "jsonl",
            Thing("t", when=dt.datetime(2026, 1, 1, fold=1)),
            r"\$\['k'\].when: a value of type datetime",
        ),
        ("csv", {"a": dt.date(2026, 1, 1)}, r"\$\['k'\].a: a value of type date"),
        ("sqlite", {"a": b"x"}, r"\$\['k'\].a: bytes"),
    ],
)
def test_what_a_format_cannot_hold_is_said_by_its_place(
    name, thing, where, classes, tmp_path
):
    """Before anything is written."""
    with pytest.raises(CannotHoldError, match=where):
        through(name, {"k": thing}, classes, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_lossy_goes_on_and_counts(name, classes):
    """By cause."""
    losses = Losses(name, lossy=True)
    records = {"a": {"x": (1, 2), "y": {1, 2}}, "b": {"x": (3,)}}

    getattr(text, f"write_{name}")(records.items, classes, io.StringIO(), losses)

    assert sum(losses.causes.values()) >= 2


def test_a_key_of_another_type_is_refused(classes):
    """JSON has no tuple."""
    with pytest.raises(CannotHoldError, match="a key of type date"):
        through("jsonl", {dt.date(2026, 1, 1): {"a": 1}}, classes)


def test_csv_reads_as_people_expect(classes):
    """Plain texts, numbers and empty cells."""
    out = io.StringIO(newline="")
    records = {"u1": Part("Ann", 3), "u2": Part('"Q" is, fine')}

    text.write_csv(records.items, classes, out, Losses("csv"))

    assert list(csv.reader(io.StringIO(out.getvalue()))) == [
        ["_key", "_class", "name", "size"],
        ["u1", "__Part__", "Ann", "3"],
        ["u2", "__Part__", json.dumps('"Q" is, fine'), ""],
    ]


def test_a_table_of_somebody_else_is_read_with_a_class(classes, tmp_path):
    """By the names of its columns; a field may be the key."""
    source = io.StringIO("name,size\nbolt,3\nnut,\n")
    found = dict(text.read_csv(source, classes, Part, "name"))
    assert found == {"bolt": Part("bolt", 3), "nut": Part("nut")}

    with sqlite3.connect(tmp_path / "x.db") as db:
        db.execute("CREATE TABLE parts (name TEXT, size INTEGER)")
        db.execute("INSERT INTO parts VALUES ('bolt', 3), ('nut', NULL)")
    db.close()
    found = dict(sqlite.read_sqlite(tmp_path / "x.db", "parts", classes, Part))
    assert found == {1: Part("bolt", 3), 2: Part("nut")}


def test_what_does_not_fit_its_class_is_refused_by_line_and_place(classes):
    """Nothing is guessed."""
    with pytest.raises(
        ValueError, match=r"line 2, \$\[2\]\.size: expected int \| None"
    ):
        list(
            text.read_jsonl(
                ['{"name": "a"}', '{"name": "b", "size": "x"}'], classes, Part
            )
        )
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        list(text.read_jsonl(["{"], classes))
    with pytest.raises(ValueError, match="'__Gone__' is not known"):
        list(text.read_jsonl(['{"_class": "__Gone__"}'], classes))


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize(
    ("key", "record"),
    [("a", {"t": "\ud800"}), ("\ud800", {"t": 1}), ("a", {"t": ["x", "\udfff"]})],
    ids=["text", "key", "list"],
)
def test_a_text_that_utf8_lacks_is_held_or_refused(tmp_path, kind, key, record):
    """Before a byte is written; with lossy it is counted."""
    out = tmp_path / f"out.{kind}"
    with Storify(tmp_path / "data", save_interval=None) as sf:
        sf["d"][key] = record

    def write(*, lossy):
        losses = Losses(kind.value, lossy=lossy)
        with Session(tmp_path / "data") as session, ExitStack() as stack:
            target = (
                stack.enter_context(out.open("w", encoding="utf-8", newline=""))
                if kind.is_text
                else out
            )
            assert write_records(session, "d", target, losses) == 1
        return sum(losses.causes.values())

    if kind is Format.PARQUET or (
        kind is Format.SQLITE and record["t"] != ["x", "\udfff"]
    ):
        with pytest.raises(CannotHoldError) as error:
            write(lossy=False)
        assert not out.exists()
        assert error.value.losses == {"a text that UTF-8 does not have": 1}
        assert write(lossy=True) == 1
    else:
        assert write(lossy=False) == 0
    if kind is Format.JSONL:
        with Session("memory://") as session:
            lines = out.read_text("utf-8").splitlines()
            assert [*text.read_jsonl(lines, session.classes())] == [(key, record)]


@pytest.mark.parametrize("kind", ["csv", "sqlite", "parquet"])
def test_a_name_that_utf8_lacks_is_refused(tmp_path, kind):
    """As columns are named by it."""
    with Storify(tmp_path / "data", save_interval=None) as sf:
        sf["d"]["a"] = {"\ud800": 1}
    out = io.StringIO() if kind == "csv" else tmp_path / "out"

    with (
        Session(tmp_path / "data") as session,
        pytest.raises(ValueError, match="not in UTF-8"),
    ):
        write_records(session, "d", out, Losses(kind))


@pytest.mark.parametrize("cell", ["=1+1", "+44 1", "-x", "@a", "\tb"])
def test_a_guarded_cell_is_not_run_and_comes_back(tmp_path, cell):
    """A spreadsheet shows it with quotes."""
    out = io.StringIO()
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"]["a"] = {"t": cell}

    with Session(tmp_path) as session:
        write_records(session, "d", out, Losses("csv"), guarded=True)
        rows = list(csv.reader(io.StringIO(out.getvalue())))
        back = dict(text.read_csv(io.StringIO(out.getvalue()), session.classes()))

    assert rows[1][1] == json.dumps(cell)
    assert back == {"a": {"t": cell}}


def test_a_file_of_sqlite_says_what_cannot_be_read_or_written(tmp_path):
    """A table that is there, one that is not, a file that is none, columns alike."""
    out = tmp_path / "out.db"
    with Storify(tmp_path / "data", save_interval=None) as sf:
        sf["d"]["a"] = {"x": 1}
        sf["alike"]["a"] = {"x": 1, "X": 2}
    (tmp_path / "none.db").write_bytes(b"no file of SQLite" * 100)

    with Session(tmp_path / "data") as session:
        classes = session.classes()
        assert write_records(session, "d", out, Losses("sqlite")) == 1
        for name, message in (("d", "has one already"), ("alike", "case alone")):
            with pytest.raises(ValueError, match=message):
                write_records(session, name, out, Losses("sqlite"))
        with pytest.raises(ValueError, match="has no table 'e'; it has d"):
            list(sqlite.read_sqlite(out, "e", classes))
        with pytest.raises(ValueError, match=r"cannot read .*none\.db"):
            list(sqlite.read_sqlite(tmp_path / "none.db", "d", classes))
        with pytest.raises(FileNotFoundError):
            list(sqlite.read_sqlite(tmp_path / "nothing.db", "d", classes))
        assert list(sqlite.read_sqlite(out, "d", classes)) == [("a", {"x": 1})]


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        (["[1]"], "", "line 1: expected an object"),
        (['{"x": 1}'], "id", "there is no 'id' to be the key"),
        (['{"_key": [1]}'], "", "a list or an object cannot be a key"),
        (["{}", "x"], "", "line 2 is no JSON"),
        (["[" * 100_000], "", "line 1 is no JSON"),
        (['{"_key": 1, "_class": "__No__"}'], "", "'__No__' is not known here"),
    ],
    ids=map(str, range(6)),
)
def test_a_line_that_cannot_be_read_is_named(lines, key, message):
    """By its number."""
    with (
        Session("memory://") as session,
        pytest.raises(ValueError, match=message),
    ):
        list(text.read_jsonl(lines, session.classes(), key=key))
