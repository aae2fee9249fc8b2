"""Checking a file against its types, beside decoding the same file untyped.

The limit is what ``msgpack.unpackb`` needs for the file; both sides run in this
process in turn. The records are clean: of a damaged file the batches that hold a
misfit cost more.
"""

import shutil
import tempfile
from argparse import ArgumentParser
from pathlib import Path

import msgpack
from report import Report, Target, arguments
from stack import NAME, discard, file_of, open_store, prepare
from timing import Measured, compared, measure

from records import User
from storify import Storify
from storify.database.maintenance.check import check

COUNT = 100_000
QUICK_COUNT = 10_000
LIMIT_US = 10.0  # 100,000 records a second
CHECK = "Storify.check, with opening"


def checking(place: Path, rounds: int) -> dict[str, Measured]:
    """Unpack the file; check it, with and without opening, by proof and by walk."""

    def unpack() -> object:
        return msgpack.unpackb(
            file_of(place).read_bytes(), timestamp=3, strict_map_key=False
        )

    def check_folder() -> None:
        with Storify(place, save_interval=None) as storify:
            if storify.check(types={NAME: User}):
                raise AssertionError

    db = open_store(place)
    results = measure(
        {
            "msgpack.unpackb of the file": unpack,
            CHECK: check_folder,
            "Database.check": db.check,
            "the same, walking through each record": lambda: check(
                db._source,  # noqa: SLF001 - it measures what is inside
                walk_all=True,
            ),
        },
        rounds=rounds,
    )
    discard(db)
    return results


def main() -> None:
    """Measure, against the target."""
    options = ArgumentParser(add_help=False)
    options.add_argument("--data", type=Path, help="where databases are, by size")
    chosen = arguments(__doc__, [options])
    count = QUICK_COUNT if chosen.quick else COUNT
    folder = Path(tempfile.mkdtemp(dir=chosen.data))
    results = checking(prepare(chosen.data or folder, count), 3 if chosen.quick else 5)
    base = next(iter(results))
    table = compared(f"Check, {count:,} records", results, base=base)
    table.header.append("records/s")
    for row, each in zip(table.rows, results.values(), strict=True):
        row.append(f"{count / each.median_s:,.0f}")
    each_us = [time_s / count * 1e6 for time_s in results[CHECK].times_s]
    target = Target(f"{CHECK}, one record of {count:,}", each_us, LIMIT_US, "µs")
    Report([table], [target]).publish(chosen.json)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
