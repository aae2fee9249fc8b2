"""Many databases in one folder: what each costs.

    python benchmarks/large.py [--databases 2000]

Each figure stands beside the limit that was measured in the same run: reading the file
by hand, or asking the system whether it is there.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgpack
from report import Table, duration, factor

from storify import Storify

OPENED = 500
ASKED = 100


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


def renamed(path: Path) -> None:
    """Rename a file there and back."""
    there = path.with_suffix(".mpack")
    there.rename(path.with_suffix(".other")).rename(there)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(many_databases(Path(folder), options.databases).text())


if __name__ == "__main__":
    main()
