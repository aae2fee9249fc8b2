"""Queries and indexes beside plain Python over the same records.

The limit of a query over records that nobody has read yet is to decode them all; that
of one over records in memory is a comprehension. Both sides run in this process in
turn. An index is compared with a dict that is built once and never kept current.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contents import key_of
from report import Report, Table, Target, arguments, duration
from stack import prepare, repeated_ms
from timing import Measured, compared, measure

from records import User
from storify import Database, Storify

COUNT = 100_000
QUICK_COUNT = 10_000
LIVE = 1_000
CALLS = 1_000
OLD = 60

Store = Database[User]


def open_store(place: Path) -> Store:
    """Open the database, without saving on a timer."""
    return Storify(place, save_interval=None).get_db("users", model=User)


def is_old(user: User) -> bool:
    """The test of the queries."""
    return user.age >= OLD


def email_of(user: User) -> str:
    """What is indexed."""
    return user.email


def searching(place: Path, rounds: int) -> dict[str, Measured]:
    """Search all records: in memory, undecoded, and after decoding them."""
    raw, read, fresh = (open_store(place) for _ in range(3))
    users = dict(read.items())

    def decode_all() -> object:
        return [each for each in fresh.values() if is_old(each)]

    def forget(_: object) -> None:
        fresh.load()

    results = measure(
        {
            "[... for user in users] of plain objects": lambda: [
                user for user in users.values() if is_old(user)
            ],
            "where(...).count(), all in memory": lambda: read.where(is_old).count(),
            "where(...).count(), none read": lambda: raw.where(is_old).count(),
            "[... for user in db.values()], none read": decode_all,
        },
        rounds=rounds,
        after=forget,
    )
    for db in (raw, read, fresh):
        db.close(discard=True)
    return results


def ordering(place: Path, rounds: int) -> dict[str, Measured]:
    """Give the ten youngest of all records: in memory and undecoded."""
    raw, read = open_store(place), open_store(place)
    users = dict(read.items())

    def youngest(db: Store) -> object:
        return db.where().sorted(key=lambda user: user.age).limit(10).list()

    results = measure(
        {
            "sorted(users, key=...)[:10] of plain objects": lambda: sorted(
                users.values(), key=lambda user: user.age
            )[:10],
            "sorted(key=...).limit(10), all in memory": lambda: youngest(read),
            "sorted(key=...).limit(10), none read": lambda: youngest(raw),
        },
        rounds=rounds,
        after=lambda _: raw.load(),
    )
    for db in (raw, read):
        db.close(discard=True)
    return results


def building(place: Path, rounds: int) -> dict[str, Measured]:
    """Build an index: of nothing but bytes, and as a dict of what is in memory."""
    raw, read = open_store(place), open_store(place)
    users = dict(read.items())
    results = measure(
        {
            "{user.email: key} of plain objects": lambda: {
                user.email: key for key, user in users.items()
            },
            "db.index(...), all in memory": lambda: read.index(email_of),
            "db.index(...), none read": lambda: raw.index(email_of),
            "db.index(..., unique=True), none read": lambda: raw.index(
                email_of, unique=True
            ),
        },
        rounds=rounds,
    )
    for db in (raw, read):
        db.close(discard=True)
    return results


def call_s(action: Callable[[], object], calls: int) -> float:
    """Give the seconds of one call: the least of a few rounds of many."""
    timed = measure({"": lambda: [action() for _ in range(calls)]}, rounds=5)
    return min(timed[""].times_s) / calls


def looking_up(place: Path, count: int) -> Table:
    """Look one record up, while few or many others are live."""
    db = open_store(place)
    unique, several = db.index(email_of, unique=True), db.index(email_of)
    key = key_of(count // 2)
    email = email_of(db[key])
    keys = {email: key}
    rows = [["db[keys[email]]", duration(call_s(lambda: db[keys[email]], CALLS))]]
    for live in (1, LIVE):
        held = [db[key_of(number)] for number in range(live)]
        ways: dict[str, Callable[[], object]] = {
            "unique index[email]": lambda: unique[email],
            "index[email]": lambda: several[email],
            "index.find(email).count()": lambda: several.find(email).count(),
        }
        for way, action in ways.items():
            calls = max(10, CALLS // len(held))
            rows.append([f"{way}, {live:,} live", duration(call_s(action, calls))])
    db.close(discard=True)
    return Table(f"Look one of {count:,} records up", ["", "least"], rows)


def flushing(place: Path, rounds: int) -> list[Target]:
    """Flush with an index and without."""
    db = open_store(place)
    kept: list[Any] = []
    targets: list[Target] = []

    def time(what: str, action: Callable[[], object], limit: float | None) -> None:
        times_ms = repeated_ms(action, rounds * 20)
        targets.append(Target(what, times_ms, limit, "ms"))

    def change() -> None:
        number = len(targets) * rounds * 20
        db[key_of(number)].age += 1
        db.flush()

    for what, unique in (("no", None), ("an", False), ("a unique", True)):
        if unique is not None:
            kept.append(db.index(email_of, unique=unique))
        time(f"flush, nothing changed, {what} index", db.flush, 0.1)
        time(f"flush of one changed record, {what} index", change, None)
    kept += [db[key_of(number)] for number in range(LIVE)]
    time(f"flush, nothing changed, both, {LIVE:,} held", db.flush, None)
    db.close(discard=True)
    return targets


def main() -> None:
    """Measure all."""
    chosen = arguments(__doc__)
    count, rounds = (QUICK_COUNT, 3) if chosen.quick else (COUNT, 7)
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder), count)
        results = {
            "Search": searching(place, rounds),
            "The ten least": ordering(place, rounds),
            "Build an index": building(place, rounds),
        }
        tables = [
            compared(f"{title}, {count:,} records", each, base=next(iter(each)))
            for title, each in results.items()
        ]
        tables.append(looking_up(place, count))
        memory, there, bytes_, decoded = results["Search"].values()
        targets = [
            Target("where(...).count(), in memory / comprehension", there.over(memory)),
            Target(
                "where(...).count(), none read / decoding all and a comprehension",
                bytes_.over(decoded),
            ),
            *flushing(place, rounds),
        ]
        Report(tables, targets).publish(chosen.json)


if __name__ == "__main__":
    main()
