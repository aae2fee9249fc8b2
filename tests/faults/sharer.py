"""One of several programs that use one database at the same time.

``python -m faults.sharer WHAT FOLDER NUMBER COUNT`` says ``ready``, waits for
a line, and then does its part:

- ``own``: saves COUNT keys of its own, one at a time;
- ``count``: increments a counter COUNT times, in transactions;
- ``contend``: does that until another line comes, and says how often it did;
- ``busy``: saves a key of its own for COUNT tenths of a second, and says how often, and
  how many seconds the longest wait was;
- ``sit``: sits inside of a transaction until another line comes;
- ``conflict``: changes a key to its NUMBER, says so, waits, and flushes.
"""

import sys
import threading
import time
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


def contending(db: Database[Any, Any], number: int, count: int) -> None:
    """Take the lock again and again."""
    del number, count
    enough = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        enough.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    done = 0
    while not enough.is_set():
        with db.transaction():
            done += 1
            db["total"] = done
    waiting.join()
    say(done)


def busy(db: Database[Any, Any], number: int, count: int) -> None:
    """Save without a pause."""
    end_s = time.monotonic() + count / 10
    done, longest_s, now_s = 0, 0.0, time.monotonic()
    while now_s < end_s:
        db[f"of {number}"] = done = done + 1
        db.flush()
        before_s, now_s = now_s, time.monotonic()
        longest_s = max(longest_s, now_s - before_s)
    say(done, longest_s)


def sitting(db: Database[Any, Any], number: int, count: int) -> None:
    """Keep all others from writing."""
    with db.transaction():
        db["inside"] = (number, count)
        say("inside")
        sys.stdin.readline()


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


PARTS = {
    "own": own,
    "count": counted,
    "contend": contending,
    "busy": busy,
    "sit": sitting,
    "conflict": conflicting,
}


def main(what: str, folder: str, number: str, count: str) -> None:
    """Do one part of the whole."""
    sf, db = open_db(Path(folder))
    say("ready")
    sys.stdin.readline()
    PARTS[what](db, int(number), int(count))
    sf.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
