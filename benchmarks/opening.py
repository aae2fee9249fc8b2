"""Opening a database and reading one record, at three sizes: what it costs, and memory.

    python benchmarks/opening.py [--sizes 1000 100000 1000000] [--rounds 9]

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
from report import Table, duration, factor, size

from records import User, users
from storify import Storify
from storify.codec import Codec

MAP_BYTES = 1 << 34
PART = 10_000


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


def measured(store: str, folder: Path, count: int, rounds: int) -> tuple[float, float]:
    """The middle time in seconds, and the most memory in bytes."""
    found: list[list[float]] = []
    for _ in range(rounds):
        done = subprocess.run(  # noqa: S603 - this file
            [sys.executable, __file__, "--child", store, folder, str(count)],
            capture_output=True,
            check=True,
            text=True,
        )
        found.append(json.loads(done.stdout))
    return statistics.median(f[0] for f in found), max(f[1] for f in found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 100_000, 1_000_000]
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as root:
        for count in options.sizes:
            folder = Path(root, str(count))
            folder.mkdir()
            make(folder, count)
            time.sleep(1)  # what was just written is not trusted by its time
            times: dict[str, float] = {}
            for store in STORES:
                times[store], grown = measured(store, folder, count, options.rounds)
                versus = times[store] / times.get("storify", times[store])
                rows.append(
                    [
                        f"{count:,}",
                        store,
                        duration(times[store]),
                        factor(versus),
                        size(grown),
                    ]
                )
    head = ["records", "store", "open + read one", "of storify's", "memory"]
    print(Table("opening", head, rows).text())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    main()
