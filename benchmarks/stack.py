"""The whole stack on 100,000 typed records, against msgpack and the disk.

The limit is what the same bytes cost without Storify: ``msgpack`` on plain dicts,
written and synced. Targets: bulk write 3x, read all 2.5x.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
from timing import measure, print_table

from records import User, plain, users
from storify import Storify

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000


def write_plain(path: Path, tree: dict[str, Any]) -> None:
    """Pack, write and sync: what no store can beat with msgpack."""
    with path.open("wb") as file:
        file.write(msgpack.packb(tree, datetime=True))
        file.flush()
        os.fsync(file.fileno())


def fill(folder: Path, records: dict[str, User]) -> Callable[[], None]:
    """Give an action that fills a new database and flushes it."""
    number = 0

    def action() -> None:
        nonlocal number
        number += 1
        sf = Storify(folder / str(number), save_interval=None)
        db = sf.get_db("users", model=User)
        db.update(records)
        db.flush()
        db.close(discard=True)

    return action


def read_all(folder: Path) -> dict[str, User]:
    """Open and touch every record, typed."""
    db = Storify(folder, save_interval=None).get_db("users", model=User)
    records = dict(db.items())
    db.close(discard=True)  # or the last flush of a dropped database is measured too
    return records


def main() -> None:
    """Measure bulk write, read all, flush without and with one change."""
    folder = Path(tempfile.mkdtemp())
    records = {f"user{number}": user for number, user in enumerate(users(COUNT))}
    tree = {key: plain(user) for key, user in records.items()}
    try:
        results = measure(
            {
                "packb + write + fsync, plain dicts": lambda: write_plain(
                    folder / "plain.mpack", tree
                ),
                "storify, typed + durable": fill(folder, records),
            },
            rounds=5,
        )
        base = "packb + write + fsync, plain dicts"
        print_table(f"bulk write of {COUNT:,} records", results, base=base)

        typed = folder / "1"
        payload = (typed / "users.mpack").read_bytes()
        results = measure(
            {
                "msgpack.unpackb of the same file": lambda: msgpack.unpackb(
                    payload, timestamp=3, strict_map_key=False
                ),
                "msgpack.unpackb of plain dicts": lambda: msgpack.unpackb(
                    (folder / "plain.mpack").read_bytes(), timestamp=3
                ),
                "storify, open + read all typed": lambda: read_all(typed),
            },
            rounds=5,
        )
        base = "msgpack.unpackb of the same file"
        print_table(f"read all of {COUNT:,} records", results, base=base)

        db = Storify(typed, save_interval=None).get_db("users", model=User)

        def change_one() -> None:
            db["user5"].age += 1
            db.flush()

        results = measure(
            {"flush, nothing changed": db.flush, "one change + flush": change_one},
            rounds=5,
        )
        print_table(f"flush of {COUNT:,}", results, base="flush, nothing changed")
        db.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
