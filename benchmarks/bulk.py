"""Filling a database at once, durable: how long it takes and what memory.

    python benchmarks/bulk.py [--quick]

Each store fills itself in a process of its own with records that are in memory. The
limit is packing the same as plain dicts into one piece, writing and syncing it. Memory
is the most that the process had, the records included, against the records alone.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
from contents import contents, key_of
from peers import find
from report import Report, Table, Target, arguments, duration, ratio, size

from records import plain, user
from storify import Storify

SIZES = {100_000: 3, 1_000_000: 1}
QUICK_SIZES = {10_000: 2}
MOST_RATIO = 3.0
MOST_MEMORY = 2.5
OURS, BY_HAND = "storify, typed", "packb + write + fsync, plain dicts"
PEERS = {"LMDB": "lmdb", "SQLite, WAL": "sqlite3 + json, WAL", "diskcache": "diskcache"}
STORES = (OURS, BY_HAND, *PEERS)

Fill = Callable[[], object]


def with_storify(folder: Path, count: int) -> Fill:
    """Update a database and flush it."""
    records = {key_of(number): user(number) for number in range(count)}
    sf = Storify(folder, save_interval=None)
    db = sf.get_db("users", model=type(records[key_of(0)]))

    def fill() -> None:
        db.update(records)
        db.flush()

    return fill


def by_hand(folder: Path, count: int) -> Fill:
    """Pack, write, sync."""
    records = {key_of(number): plain(user(number)) for number in range(count)}

    def fill() -> None:
        with (folder / "plain.mpack").open("wb") as file:
            file.write(msgpack.packb(records, datetime=True))
            file.flush()
            os.fsync(file.fileno())

    return fill


def with_peer(name: str) -> Callable[[Path, int], Fill]:
    """Load another store with its own records."""

    def prepared(folder: Path, count: int) -> Fill:
        peer = find(name).make()
        records = [(key_of(number), peer.make(number)) for number in range(count)]
        peer.open(folder)
        return lambda: peer.load(records)

    return prepared


def resident_bytes() -> int:
    """The memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(store: str, folder: Path, count: int) -> None:
    """Fill one store; print the seconds, the records' memory, and the most of all."""
    makers: dict[str, Any] = {OURS: with_storify, BY_HAND: by_hand}
    prepare = makers.get(store) or with_peer(PEERS[store])
    contents(0)
    before = resident_bytes()
    fill = prepare(folder, count)
    held = resident_bytes() - before
    start = time.perf_counter()
    fill()
    took_s = time.perf_counter() - start
    sys.stdout.write(json.dumps([took_s, held, peak_bytes() - before]))
    sys.stdout.flush()
    os._exit(0)


def measured(store: str, count: int) -> tuple[float, float, float] | None:
    """Fill a store in a new process; None if it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        os.sync()
        done = subprocess.run(  # noqa: S603 - this file
            [sys.executable, __file__, "--child", store, folder, str(count)],
            stdout=subprocess.PIPE,
            check=False,
            text=True,
        )
    if done.returncode:
        return None
    took_s, held, peak = json.loads(done.stdout)
    return took_s, held, peak


def main() -> None:
    """Measure, against the targets."""
    chosen = arguments(__doc__)
    tables: list[Table] = []
    targets: list[Target] = []
    for count, rounds in (QUICK_SIZES if chosen.quick else SIZES).items():
        found: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(rounds):
            for store in STORES:
                one = measured(store, count)
                if one is not None:
                    found.setdefault(store, []).append(one)
        limit_s = [took_s for took_s, _, _ in found[BY_HAND]]
        rows: list[list[str]] = []
        for store, each in found.items():
            times_s = [took_s for took_s, _, _ in each]
            ratios = [a / b for a, b in zip(times_s, limit_s, strict=True)]
            held, peak = (statistics.median(one[at] for one in each) for at in (1, 2))
            rows.append(
                [
                    store,
                    duration(statistics.median(times_s)),
                    ratio(ratios),
                    size(held),
                    size(peak),
                ]
            )
        head = ["", "time", "ratio", "the records", "at most"]
        tables.append(Table(f"Filled at once, durable, {count:,} records", head, rows))
        ours = found[OURS]
        targets += [
            Target(
                f"bulk load of {count:,}, typed, durable / packb + write + fsync",
                [one[0] / limit for one, limit in zip(ours, limit_s, strict=True)],
                MOST_RATIO,
            ),
            Target(
                f"bulk load of {count:,}, most memory / the records themselves",
                [peak / held for _, held, peak in ours],
                MOST_MEMORY,
            ),
        ]
    Report(tables, targets).publish(chosen.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    main()
