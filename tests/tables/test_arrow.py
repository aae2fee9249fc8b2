"""Arrow takes records with the types of their annotations, and other libraries take it."""

import datetime as dt
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storify import Model, Storify
from storify.tables import arrow
from storify.tables.lines import CannotHoldError, Classes, Losses


class City(Model):
    """Inside another."""

    name: str
    people: int = 0


class Visit(Model):
    """A field for each kind of column."""

    who: str
    times: int = 0
    share: float = 0.0
    paid: bool = False
    when: dt.datetime | None = None
    day: dt.date | None = None
    price: Decimal = Decimal("1.10")
    raw: bytes = b""
    took: dt.timedelta = dt.timedelta(0)
    tags: list[str] = []
    numbers: set[int] = set()
    city: City | None = None
    notes: dict[str, int] = {}


NOON = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)


@pytest.fixture
def visits():
    """A database of three."""
    sf = Storify("memory://")
    db = sf.get_db("visits", model=Visit)
    db["a"] = Visit(
        "Ann", 3, 0.5, when=NOON, city=City("Rome", 5), tags=["x"], numbers={1}
    )
    db["b"] = Visit(
        "Ben", 1, day=dt.date(2026, 1, 2), notes={"k": 1}, took=dt.timedelta(1)
    )
    db["c"] = Visit("Cy", raw=b"\x00")
    yield db
    sf.close(discard=True)


def test_columns_have_the_types_of_their_fields(visits):
    """In the order of the class, after the key and the class."""
    schema = visits.where().to_arrow().schema

    assert schema.names[:4] == ["_key", "_class", "who", "times"]
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types == {
        "_key": "string",
        "_class": "string",
        "who": "string",
        "times": "int64",
        "share": "double",
        "paid": "bool",
        "when": "timestamp[us, tz=UTC]",
        "day": "date32[day]",
        "price": "decimal128(3, 2)",
        "raw": "binary",
        "took": "duration[us]",
        "tags": "list<item: string>",
        "numbers": "list<item: int64>",
        "city": "struct<name: string, people: int64>",
        "notes": "string",
    }


def test_other_libraries_take_a_query_in_one_line(visits):
    """Polars, DuckDB and pyarrow."""
    frame = pl.DataFrame(visits.where(lambda visit: visit.times > 0))
    found = pa.table(visits.where())
    sums = duckdb.sql("select sum(times) from found").fetchall()
    assert found.num_rows == 3

    assert frame["who"].to_list() == ["Ann", "Ben"]
    assert sums == [(4,)]


def test_types_without_data_come_from_the_annotations(visits):
    """A column of no values is no column of nulls."""
    schema = visits.where(lambda visit: visit.who == "Cy").to_arrow().schema

    assert str(schema.field("tags").type) == "list<item: string>"
    assert str(schema.field("day").type) == "date32[day]"


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        (
            "when",
            NOON.astimezone(dt.timezone(dt.timedelta(hours=1))),
            "an offset in a timestamp",
        ),
        ("times", 1 << 64, "an int of more than 64 bits"),
    ],
)
def test_what_a_column_cannot_hold_is_said_by_its_place(visits, field, value, why):
    """Lossy goes on."""
    setattr(visits["b"], field, value)

    with pytest.raises(CannotHoldError, match=rf"\$\['b'\]\.{field}: {why}"):
        visits.where().to_arrow()
    assert visits.where().to_arrow(lossy=True).num_rows == 3


def test_records_without_a_class_have_columns_too():
    """Those of several kinds are JSON."""
    sf = Storify("memory://")
    sf["d"].update({"a": {"x": 1, "y": "t"}, "b": {"x": "one"}, "c": 7})

    rows = sf["d"].where().to_arrow().to_pylist()

    assert rows[0] == {"_key": "a", "x": "1", "y": "t", "_value": None}
    assert rows[1]["x"] == '"one"'
    assert rows[2]["_value"] == 7
    sf.close(discard=True)


@settings(deadline=None, max_examples=20)
@given(
    st.dictionaries(
        st.text(),
        st.builds(
            Visit,
            who=st.text(st.characters(exclude_categories=["Cs"])),
            times=st.integers(-(1 << 63), (1 << 63) - 1),
            share=st.floats(allow_nan=False),
            paid=st.booleans(),
            when=st.none()
            | st.datetimes(timezones=st.just(dt.UTC)).map(lambda w: w.replace(fold=0)),
            day=st.none() | st.dates(),
            price=st.decimals(-1000, 1000, places=2),
            raw=st.binary(max_size=5),
            took=st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
            tags=st.lists(
                st.text(st.characters(exclude_categories=["Cs"])), max_size=2
            ),
            city=st.none()
            | st.builds(
                City,
                st.text(st.characters(exclude_categories=["Cs"])),
                st.integers(0, 9),
            ),
            notes=st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"])),
                st.integers(),
                max_size=2,
            ),
        ),
        max_size=4,
    )
)
def test_records_come_back_from_parquet(tmp_path_factory, records):
    """Of each kind that a column can hold."""
    sf = Storify("memory://", models=[Visit])
    classes = Classes(sf._schema.registry, sf._schema.codec)
    path = tmp_path_factory.getbasetemp() / "t.parquet"

    count = arrow.write_parquet(records.items, classes, path, Losses("parquet"))

    assert count == len(records)
    assert dict(arrow.read_parquet(path, classes)) == records
