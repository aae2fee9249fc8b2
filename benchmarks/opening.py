"""Opening a database and reading one record, at three sizes: what it costs, and memory.

    python benchmarks/opening.py [--quick] [--sizes 1000 100000] [--rounds 9]

Each opening is that of a new process whose imports are done and which has read a record
of another database of the folder, as a program has that goes on. Beside it stand LMDB and SQLite, over the same
records as MessagePack, which are decoded but not built into objects; and one `pread` of
the record by hand, whose place is known.
"""

import argparse
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import msgpack
from report import (
    Curve,
    Line,
    Report,
    Table,
    Target,
    arguments,
    duration,
    factor,
    size,
)

from records import User, users
from storify import Storify
from storify.codec import Codec

MAP_BYTES = 1 << 34
PART = 10_000
SIZES = (1_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
MOST_MS = 1.0
BESIDE_LMDB = 3.0
MOST_MB = 4.0
#: A log of this part of the file is not folded yet, so a crash leaves it.
CRASHED_PERCENT = 45
CRASH_COMMIT = 500
CRASHED_SIZES = (10_000, 100_000, 1_000_000)
MOST_CRASHED_MS = 20.0


def key(number: int) -> str:
    """The key of a record."""
    return f"user{number:08}"


def make(folder: Path, count: int) -> None:
    """Write the same records with each store, and note where the last one lies."""
    (folder / "sqlite").mkdir()
    (folder / "lmdb").mkdir()
    base = sqlite3.connect(folder / "sqlite" / "d.db")
    base.execute("create table d (k text primary key, v blob) without rowid")
    env = lmdb.open(str(folder / "lmdb"), map_size=MAP_BYTES)
    with Storify(folder / "storify", models=[User], save_interval=None) as sf:
        db = sf.get_db("d", model=User)
        for start in range(0, count, PART):
            part = users(min(PART, count - start))
            db.update((key(start + at), user) for at, user in enumerate(part))
        db.flush()
        sf.get_db("warm", model=User).update({key(5): users(1)[0]})
    path = folder / "storify" / "d.mpack"
    entries = Codec.split(path.read_bytes())
    with env.begin(write=True) as transaction:
        for name, value in entries.items():
            transaction.put(name, value)
    env.close()
    base.executemany("insert into d values (?, ?)", entries.items())
    base.commit()
    base.close()
    wanted = msgpack.packb(key(count // 2))
    at = path.read_bytes().index(wanted) + len(wanted)
    place = [at, len(entries[wanted])]
    (folder / "place").write_text(json.dumps(place))


def with_storify(folder: Path) -> Callable[[str], Any]:
    """Open and read one record, as an object of its class."""
    sf = Storify(folder / "storify", models=[User], save_interval=None)
    assert sf.get_db("warm", model=User)[key(5)]  # noqa: S101 - a measure of nothing
    return lambda wanted: sf.get_db("d", model=User)[wanted]


def with_lmdb(folder: Path) -> Callable[[str], Any]:
    """Open and read one record, as plain data."""

    def read(wanted: str) -> Any:
        env = lmdb.open(str(folder / "lmdb"), map_size=MAP_BYTES)
        with env.begin() as transaction:
            return msgpack.unpackb(transaction.get(msgpack.packb(wanted)))

    return read


def with_sqlite(folder: Path) -> Callable[[str], Any]:
    """Open and read one record, as plain data."""

    def read(wanted: str) -> Any:
        base = sqlite3.connect(folder / "sqlite" / "d.db")
        row = base.execute("select v from d where k = ?", [msgpack.packb(wanted)])
        return msgpack.unpackb(row.fetchone()[0])

    return read


def by_hand(folder: Path) -> Callable[[str], Any]:
    """Read the bytes of one record whose place is known, as plain data."""
    start, length = json.loads((folder / "place").read_text())

    def read(_: str) -> Any:
        fd = os.open(folder / "storify" / "d.mpack", os.O_RDONLY)
        try:
            return msgpack.unpackb(os.pread(fd, length, start))
        finally:
            os.close(fd)

    return read


STORES: dict[str, Callable[[Path], Callable[[str], Any]]] = {
    "storify": with_storify,
    "LMDB": with_lmdb,
    "SQLite": with_sqlite,
    "by hand": by_hand,
}


def memory() -> int:
    """The memory that this process has now, in bytes, where Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def child(store: str, folder: Path, count: int) -> None:
    """Measure one opening."""
    read = STORES[store](folder)
    before = memory()
    start = time.perf_counter()
    found = read(key(count // 2))
    took_s = time.perf_counter() - start
    if not found:
        raise LookupError(store)
    sys.stdout.write(json.dumps([took_s, memory() - before]))
    sys.stdout.flush()
    os._exit(0)


def measured(
    store: str, folder: Path, count: int, rounds: int
) -> list[tuple[float, float]]:
    """The seconds and the bytes of each round, each in a process of its own."""
    found: list[tuple[float, float]] = []
    for _ in range(rounds):
        done = subprocess.run(  # noqa: S603 - this file
            [sys.executable, __file__, "--child", store, folder, str(count)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        took_s, grown_bytes = json.loads(done.stdout)
        found.append((took_s, grown_bytes))
    return found


def crash(folder: Path, count: int) -> None:
    """Commit changes until the log is nearly half as large as the file, and die."""
    sf = Storify(folder / "storify", models=[User], save_interval=None)
    db = sf.get_db("d", model=User)
    changed = count * CRASHED_PERCENT // 100
    for start in range(0, changed, CRASH_COMMIT):
        for number in range(start, min(start + CRASH_COMMIT, changed)):
            db[key(number)].age += 1
        db.flush()
    os._exit(0)


def looks(folder: Path) -> dict[str, tuple[int, int]]:
    """The sizes and the times of all files in a folder."""
    found = {str(path): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (each.st_size, each.st_mtime_ns) for path, each in found.items()}


def after_crash(folder: Path, count: int, rounds: int) -> list[tuple[float, float]]:
    """The seconds and the bytes of an opening beside the log of a process that was killed.

    Each opening is the first after the crash: none may put anything in order. The folder
    is not copied for that, since a copy is read whole, and verified.
    """
    command = [sys.executable, __file__, "--crash", str(folder), str(count)]
    subprocess.run(command, check=True)  # noqa: S603 - this file
    time.sleep(1)
    before = looks(folder)
    found = measured("storify", folder, count, rounds)
    if looks(folder) != before:
        msg = "an opening has changed the files: only the first one counts"
        raise RuntimeError(msg)
    return found


def curves(found: dict[int, dict[str, list[tuple[float, float]]]]) -> list[Curve]:
    """The plots of time and memory against the number of records."""
    roles = {"storify": "storify", "by hand": "limit"}

    def lines(part: int) -> list[Line]:
        return [
            Line(
                store,
                [
                    # A logarithm has no zero: a page is what nobody sees anyway.
                    (
                        count,
                        max(statistics.median(one[part] for one in each[store]), least),
                    )
                    for count, each in found.items()
                ],
                roles.get(store, "peer"),
            )
            for store in STORES
        ]

    least = 1e-9
    times = lines(0)
    least = resource.getpagesize()
    memories = lines(1)
    title = "open a database and read one record"
    return [
        Curve("open-time", f"What it takes to {title}", "time", "s", times),
        Curve(
            "open-memory", f"What memory it takes to {title}", "memory", "B", memories
        ),
    ]


def targets_of(count: int, found: dict[str, list[tuple[float, float]]]) -> list[Target]:
    """What opening is to cost at one size."""
    times_s = {store: [took_s for took_s, _ in each] for store, each in found.items()}
    what = f"open + one typed read of {count:,}"
    ours = times_s["storify"]
    targets = [Target(what, [each * 1e3 for each in ours], MOST_MS, "ms")]
    for store, limit in (("LMDB", BESIDE_LMDB), ("SQLite", None), ("by hand", None)):
        pairs = zip(ours, times_s[store], strict=True)
        targets.append(Target(f"{what} / {store}", [a / b for a, b in pairs], limit))
    grown = [grown_bytes / 1e6 for _, grown_bytes in found["storify"]]
    targets.append(Target(f"memory growth for that, {count:,}", grown, MOST_MB, "MB"))
    return targets


def main() -> None:
    """Measure, against the targets."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--sizes", type=int, nargs="+")
    options.add_argument("--rounds", type=int)
    chosen = arguments(__doc__, [options])
    sizes = chosen.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    rows: list[list[str]] = []
    targets: list[Target] = []
    found: dict[int, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as root:
        for count in sizes:
            folder = Path(root, str(count))
            folder.mkdir()
            make(folder, count)
            time.sleep(1)  # what was just written is not trusted by its time
            each = {store: measured(store, folder, count, rounds) for store in STORES}
            found[count] = each
            ours_s = statistics.median(took_s for took_s, _ in each["storify"])
            for store, values in each.items():
                took_s = statistics.median(took_s for took_s, _ in values)
                grown = max(grown_bytes for _, grown_bytes in values)
                rows.append(
                    [
                        f"{count:,} records, {store}",
                        duration(took_s),
                        f"{factor(took_s / ours_s)}×",  # noqa: RUF001 - times
                        size(grown),
                    ]
                )
            targets += targets_of(count, each)
            if count in CRASHED_SIZES:
                crashed = after_crash(folder, count, rounds)
                what = f"open + one typed read of {count:,} after a crash, log of 45 %"
                times_ms = [took_s * 1e3 for took_s, _ in crashed]
                targets.append(Target(what, times_ms, MOST_CRASHED_MS, "ms"))
                grown = [grown_bytes / 1e6 for _, grown_bytes in crashed]
                what = f"memory growth for that, {count:,} after a crash"
                targets.append(Target(what, grown, MOST_MB, "MB"))
    head = ["", "open + read one", "of storify's", "memory"]
    table = Table("Open and read one, each in a new process", head, rows)
    Report([table], targets, curves(found)).publish(chosen.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    if sys.argv[1:2] == ["--crash"]:
        crash(Path(sys.argv[2]), int(sys.argv[3]))
    main()
