"""Storify on a PostgreSQL server, beside files, the bare driver and SQLModel.

    python benchmarks/postgres.py [records]

It starts a server of its own, which waits for the disk, unless STORIFY_TEST_URL names
one. Each figure is the median of several runs; all are of one run on one machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import psycopg

from storify import Model, Storify
from storify.testing._connection import URL_VARIABLE, Server, fresh_schema, shared_url

RECORDS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
MB = 1 << 20


class User(Model):
    """A record of some 100 bytes."""

    name: str
    email: str
    age: int
    tags: list[str]


def user(number: int) -> User:
    """One of them."""
    mail = f"user{number}@example.org"
    return User(name=f"User {number}", email=mail, age=number % 90, tags=["a", "b"])


def ms(action: Callable[[], object], runs: int = 20) -> float:
    """The median of the milliseconds that an action takes."""
    times: list[float] = []
    for _ in range(runs):
        begun = time.perf_counter()
        action()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


# In a process of its own: of one that has filled a database much memory is free.
GROWTH = """
import sys, storify
def memory(): return int(open("/proc/self/statm").read().split()[1]) * 4096
url, schema, key = sys.argv[1:]
sf = storify.Storify(url, schema=schema or None, save_interval=None)
sf.get_db("other").close()
before = memory()
db = sf.get_db("users")
assert key in db and db[key]
read = memory()
count = sum(1 for _ in db.values())
print(read - before, memory() - before)
sf.close()
"""


def growth(url: str, schema: str = "") -> tuple[float, float]:
    """How much memory grows for one read, and for a read of all, in MB."""
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", GROWTH, url, schema, f"u{RECORDS // 2}"],
        capture_output=True,
        text=True,
        check=True,
    )
    one, all_ = map(int, done.stdout.split())
    return one / MB, all_ / MB


def tell(what: str, value: str) -> None:
    """Print a row."""
    print(f"| {what:<58} | {value:>24} |")


def fill(sf: Storify) -> float:
    """Save all records by one flush; give the seconds."""
    db = sf.get_db("users", model=User)
    db.update({f"u{number}": user(number) for number in range(RECORDS)})
    begun = time.perf_counter()
    db.flush()
    took = time.perf_counter() - begun
    db.close()
    return took


def one_read(sf: Storify) -> None:
    """Open the database, read one record, close it."""
    db = sf.get_db("users", model=User)
    if db[f"u{RECORDS // 2}"].age < 0:
        raise ValueError
    db.close()


def measure(name: str, sf: Storify, url: str, schema: str = "") -> None:
    """What storify does, in one place."""
    tell(f"{name}: load {RECORDS:,} records, one flush", f"{fill(sf):.2f} s")
    one, all_ = growth(url, schema)
    tell(f"{name}: memory for open and one read", f"{one:.1f} MB")
    tell(f"{name}: memory for a read of all, of dicts", f"{all_:.0f} MB")
    tell(f"{name}: open and one typed read", f"{ms(lambda: one_read(sf)):.2f} ms")
    db = sf.get_db("users", model=User)
    ages = iter(range(10**9))

    def change() -> None:
        db["u7"].age = next(ages)
        db.flush()

    tell(f"{name}: one changed record, flushed", f"{ms(change, 200):.2f} ms")
    tell(f"{name}: reload without news", f"{ms(db.reload, 200):.2f} ms")

    def many() -> None:
        age = next(ages)
        for number in range(min(10_000, RECORDS)):
            db[f"u{number}"].age = age
        db.flush()

    tell(f"{name}: 10,000 changed records, one flush", f"{ms(many, 3):.0f} ms")
    db.close()
    begun, count = time.perf_counter(), 0
    db = sf.get_db("users", model=User)
    for record in db.values():
        count += record.age >= 0
    took = time.perf_counter() - begun
    if count != RECORDS:
        raise ValueError
    tell(f"{name}: read all, typed", f"{took:.2f} s")
    db.close()


def measure_driver(url: str) -> None:
    """What the driver does by hand."""
    table = f"bare_{fresh_schema()}"
    rows = [(f"u{number}", b"x" * 100) for number in range(10_000)]
    with psycopg.connect(url) as connection:
        connection.execute(f"create table {table} (key text primary key, value bytea)")
        statement = (  # of a table of our own
            f"insert into {table} values (%s, %s) "
            f"on conflict (key) do update set value = excluded.value"
        )
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        connection.commit()

        def one() -> None:
            connection.execute(
                f"update {table} set value = %s where key = 'u7'", (b"y" * 100,)
            )
            connection.commit()

        def many() -> None:
            with connection.cursor() as cursor:
                cursor.executemany(statement, rows)
            connection.commit()

        tell("psycopg: update one row, commit", f"{ms(one, 200):.2f} ms")
        tell("psycopg: executemany of 10,000 rows, commit", f"{ms(many, 3):.0f} ms")
        connection.execute(f"drop table {table}")
    tell("psycopg: connect", f"{ms(lambda: psycopg.connect(url).close()):.2f} ms")


def measure_sqlmodel(url: str) -> None:
    """What SQLModel does with the same records."""
    try:
        from sqlmodel import Field, Session, SQLModel, create_engine  # noqa: PLC0415 - it may not be there
    except ModuleNotFoundError:
        tell("SQLModel", "not installed")
        return

    class Row(SQLModel, table=True):
        __tablename__ = f"sqlmodel_{fresh_schema()}"
        key: str = Field(primary_key=True)
        name: str
        email: str
        age: int

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            Row(key=f"u{n}", name=f"User {n}", email="x@example.org", age=n % 90)
            for n in range(10_000)
        )
        session.commit()
        ages = iter(range(10**9))

        def one() -> None:
            row = session.get_one(Row, "u7")
            row.age = next(ages)
            session.commit()

        tell("SQLModel: one changed record, committed", f"{ms(one, 200):.2f} ms")
    SQLModel.metadata.drop_all(engine)
    engine.dispose()


def main() -> None:
    """Measure all."""
    own = None if URL_VARIABLE in os.environ else Server(durable=True).start()
    url = shared_url() if own is None else own.url
    schema = fresh_schema()
    try:
        measure_driver(url)
        measure_sqlmodel(url)
        with Storify(url, schema=schema, save_interval=None) as sf:
            measure("storify, server", sf, url, schema)
        with (
            tempfile.TemporaryDirectory() as folder,
            Storify(folder, save_interval=None) as sf,
        ):
            measure("storify, files", sf, folder)
    finally:
        if own is not None:
            own.stop()


if __name__ == "__main__":
    main()
