"""One of several programs that use one database at the same time.

``python -m faults.sharer WHAT FOLDER NUMBER COUNT`` says ``ready``, waits for
a line, and then does its part:

- ``own``: saves COUNT keys of its own, one at a time;
- ``count``: increments a counter COUNT times, in transactions;
- ``conflict``: changes a key to its NUMBER, says so, waits, and flushes.
"""

import sys
from pathlib import Path
from typing import Any

from faults.generations import open_db
from faults.programs import say
from storify import ConflictError, Database


def own(db: Database[Any, Any], number: int, count: int) -> None:
    """Save keys that nobody else writes."""
    for step in range(count):
        db[f"{number}-{step}"] = step
        db.flush()


def counted(db: Database[Any, Any], number: int, count: int) -> None:
    """Increment what the others increment too."""
    for _ in range(count):
        with db.transaction():
            db["total"] = db.get("total", 0) + 1
            db[f"of {number}"] = db.get(f"of {number}", 0) + 1


def conflicting(db: Database[Any, Any], number: int, count: int) -> None:
    """Change what the others change too; say who was refused."""
    db["both"] = number
    db[f"own {number}"] = count
    say("changed")
    sys.stdin.readline()
    try:
        db.flush()
    except ConflictError as err:
        say("conflict", *err.keys)
        db.close(discard=True)
    else:
        say("saved")


PARTS = {"own": own, "count": counted, "conflict": conflicting}


def main(what: str, folder: str, number: str, count: str) -> None:
    """Do one part of the whole."""
    sf, db = open_db(Path(folder))
    say("ready")
    sys.stdin.readline()
    PARTS[what](db, int(number), int(count))
    sf.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
