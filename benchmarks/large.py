"""Many databases in one folder, and large values: what each costs.

    python benchmarks/large.py [--quick]

Each figure stands beside the limit that was measured in the same run: reading the file
by hand, asking the system whether it is there, packing the value and syncing its bytes.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgpack
from report import Report, Table, Target, arguments, duration, ratio

from storify import Database, Storify

DATABASES = 2000
QUICK_DATABASES = 200
MOST_OPEN_MS = 0.7
MOST_ASK_MS = 0.1
MOST_RATIO = 2.0
ASKED = 100
BLOB_BYTES = 20_000_000
DICTS = 14_000
#: So many others make a database that has a journal.
OTHERS = 10_000


def each(action: Callable[[str], object], names: Iterable[str]) -> list[float]:
    """The seconds of an action for each of the names."""
    times_s: list[float] = []
    for name in names:
        start = time.perf_counter()
        action(name)
        times_s.append(time.perf_counter() - start)
    return times_s


def compared(title: str, steps: dict[str, tuple[list[float], list[float]]]) -> Table:
    """Middle times of ours beside the limit's."""
    rows = [
        [
            what,
            duration(statistics.median(ours_s)),
            duration(statistics.median(limit_s)),
            ratio([statistics.median(ours_s) / statistics.median(limit_s)]),
        ]
        for what, (ours_s, limit_s) in steps.items()
    ]
    return Table(title, ["", "storify", "by hand", "ratio"], rows)


def many_databases(folder: Path, count: int) -> Report:
    """Measure a folder of many databases."""
    names = [f"user{number}" for number in range(count)]
    with Storify(folder, save_interval=None) as sf:
        for at, name in enumerate(names):
            sf.get_db(name)["n"] = at
            if at % 100 == 0:
                sf.close()
    time.sleep(4)  # as git does, a list is trusted when the folder has come to rest

    def read(name: str) -> object:
        return msgpack.unpackb((folder / f"{name}.mpack").read_bytes())

    def ask(name: str) -> object:
        return (folder / f"{name}.mpack").exists()

    with Storify(folder, save_interval=None) as sf:
        first, rest = names[: count // 4], names[count // 4 :]
        absent = [f"nobody{number}" for number in range(ASKED)]
        steps = {
            "open": (each(sf.get_db, first), each(read, first)),
            "name in sf": (each(sf.__contains__, rest), each(ask, rest)),
            "… of none": (each(sf.__contains__, absent), each(ask, absent)),
            "get_loaded_db, not open": (
                each(sf.get_loaded_db, rest[:ASKED]),
                each(ask, rest[:ASKED]),
            ),
            "rename": (
                each(lambda name: sf.rename_db(name, f"{name}a"), rest[:20]),
                each(lambda name: renamed(folder / name), rest[20:40]),
            ),
        }
    targets = [
        Target(
            f"one database of {count:,}: {what}",
            [statistics.median(steps[what][0]) * 1e3],
            limit,
            "ms",
        )
        for what, limit in (("open", MOST_OPEN_MS), ("name in sf", MOST_ASK_MS))
    ]
    return Report([compared(f"A folder of {count:,} databases", steps)], targets)


def small_dict(number: int) -> dict[str, object]:
    """Give one of the many dicts of a large list."""
    return {"id": number, "name": f"user {number}", "ok": True, "visits": number * 2}


def large_values(folder: Path, rounds: int) -> Report:
    """Measure what a change of a large value costs, against packing and syncing it."""

    def dicts() -> list[object]:
        return [small_dict(number) for number in range(DICTS)]

    def others() -> dict[str, object]:
        return {f"other{n}": {"text": "x" * 120, "n": n} for n in range(OTHERS)}

    # Made one by one: what somebody else holds is looked at by each flush.
    contents: dict[str, Callable[[], dict[str, object]]] = {
        "a blob of 20 MB": lambda: {"k": os.urandom(BLOB_BYTES)},
        "one of 14,000 small dicts": lambda: {"k": dicts()},
        "… beside 10,000 others": lambda: {**others(), "k": dicts()},
    }
    steps: dict[str, tuple[list[float], list[float]]] = {}
    for at, (what, content) in enumerate(contents.items()):
        with Storify(folder, save_interval=None) as sf:
            db = sf.get_db(f"large{at}")
            db.update(content())
            steps[what] = changes(db, folder / "by hand", rounds)
    targets = [
        Target(
            f"a change of {what} / packb + write + fdatasync",
            [a / b for a, b in zip(*times_s, strict=True)],
            MOST_RATIO,
        )
        for what, times_s in steps.items()
    ]
    return Report([compared("A change of a large value", steps)], targets)


def changes(
    db: Database[Any, Any], by_hand: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """The seconds of changes, and of writing the same values by hand."""
    ours_s: list[float] = []
    limit_s: list[float] = []
    for number in range(-2, rounds):  # the first two warm up
        db.flush()
        if isinstance(db["k"], bytes):
            db["k"] = os.urandom(BLOB_BYTES)
        else:
            db["k"].append(small_dict(number))
        start = time.perf_counter()
        db.flush()
        flushed = time.perf_counter()
        with by_hand.open("wb") as file:
            file.write(msgpack.packb(db["k"]))
            file.flush()
            os.fdatasync(file.fileno())
        if number >= 0:
            ours_s.append(flushed - start)
            limit_s.append(time.perf_counter() - flushed)
    return ours_s, limit_s


def renamed(path: Path) -> None:
    """Rename a file there and back."""
    there = path.with_suffix(".mpack")
    there.rename(path.with_suffix(".other")).rename(there)


def main() -> None:
    """Measure, against the targets."""
    chosen = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        values = large_values(Path(folder), 3 if chosen.quick else 9)
    with tempfile.TemporaryDirectory() as folder:
        many = many_databases(
            Path(folder), QUICK_DATABASES if chosen.quick else DATABASES
        )
    tables = [*values.tables, *many.tables]
    Report(tables, [*values.targets, *many.targets]).publish(chosen.json)


if __name__ == "__main__":
    main()
