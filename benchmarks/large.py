"""Many databases in one folder, and large values: what each costs.

    python benchmarks/large.py [--databases 2000] [--rounds 9]

Each figure stands beside the limit that was measured in the same run: reading the file
by hand, asking the system whether it is there, packing the value and syncing its bytes.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgpack
from report import Table, duration, factor

from storify import Database, Storify

OPENED = 500
ASKED = 100
BLOB_BYTES = 20_000_000
DICTS = 14_000
#: So many others make a database that has a journal.
OTHERS = 10_000


def each(action: Callable[[str], object], names: Iterable[str]) -> float:
    """Give the middle time of an action, in seconds."""
    times_s: list[float] = []
    for name in names:
        start = time.perf_counter()
        action(name)
        times_s.append(time.perf_counter() - start)
    return statistics.median(times_s)


def many_databases(folder: Path, count: int) -> Table:
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
        first, rest = names[:OPENED], names[OPENED:]
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
    rows = [
        [what, duration(ours_s), duration(limit_s), f"{factor(ours_s / limit_s)}×"]  # noqa: RUF001 - times
        for what, (ours_s, limit_s) in steps.items()
    ]
    return Table(f"a folder of {count:,}", ["", "storify", "by hand", "ratio"], rows)


def small_dict(number: int) -> dict[str, object]:
    """Give one of the many dicts of a large list."""
    return {"id": number, "name": f"user {number}", "ok": True, "visits": number * 2}


def large_values(folder: Path, rounds: int) -> Table:
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
    rows: list[list[str]] = []
    for at, (what, content) in enumerate(contents.items()):
        with Storify(folder, save_interval=None) as sf:
            db = sf.get_db(f"large{at}")
            db.update(content())
            ours_s, limit_s = changes(db, folder / "by hand", rounds)
        ratio = factor(ours_s / limit_s)
        rows.append([what, duration(ours_s), duration(limit_s), f"{ratio}×"])  # noqa: RUF001 - times
    return Table("a change of", ["", "storify", "by hand", "ratio"], rows)


def changes(db: Database[Any, Any], by_hand: Path, rounds: int) -> tuple[float, float]:
    """Give the middle times of a change, and of writing its value by hand."""
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
    return statistics.median(ours_s), statistics.median(limit_s)


def renamed(path: Path) -> None:
    """Rename a file there and back."""
    there = path.with_suffix(".mpack")
    there.rename(path.with_suffix(".other")).rename(there)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(large_values(Path(folder), options.rounds).text())
    with tempfile.TemporaryDirectory() as folder:
        print(many_databases(Path(folder), options.databases).text())


if __name__ == "__main__":
    main()
