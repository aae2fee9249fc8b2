"""A program that forks children, in one of two ways.

``python -m faults.forker inherit FOLDER CHILDREN COUNT``: each child saves COUNT keys
by the database that it inherits.

``python -m faults.forker open FOLDER CHILDREN THREADS``: while threads flush all the
time, each child opens the database, saves a key, and looks whether it has anything of
its parent; what is wrong with a child is said.
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from faults.generations import open_db
from faults.programs import say
from starts.children import open_files, what_is_left
from storify import Database

#: So long a child lives at most; then a signal ends it.
_LIFE_S = 60
#: So many live at the same time.
_ALIVE = 8


def fork(work: Callable[[], None]) -> int:
    """Fork a child that does a thing; give its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads
        child = os.fork()
    return child or _do(work)


def _do(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


# -- by what it inherits ---------------------------------------------------------------


def inherit(folder: Path, children: int, count: int) -> None:
    """Fork them all, save beside them, and close at last."""
    sf, db = open_db(folder)
    db["parent"] = 0
    db.flush()

    def save(number: int) -> None:
        for step in range(count):
            db[f"{number}-{step}"] = step
            db.flush()

    pids = [fork(lambda number=number: save(number)) for number in range(children)]
    db["parent"] = 1
    db.flush()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    sf.close()


# -- by what it opens ------------------------------------------------------------------


def save_alone(folder: Path, number: int) -> None:
    """Save a key by a database of one's own; say what is there of the parent."""
    signal.alarm(_LIFE_S)
    for each in what_is_left(str(folder)):
        say("left:", each)
    sf, db = open_db(folder)
    db[f"child {number % _ALIVE}"] = number
    db.flush()
    sf.close()
    for each in open_files(folder):
        say("not closed:", each)


def flush_until(db: Database[Any, Any], key: str, enough: threading.Event) -> None:
    """Flush all the time."""
    while not enough.is_set():
        db[key] = db.get(key, 0) + 1
        db.flush()


def open_anew(folder: Path, children: int, count: int) -> None:
    """Fork one after the other, some of which live on, while threads flush."""
    sf, db = open_db(folder)
    enough = threading.Event()
    threads = [
        threading.Thread(target=flush_until, args=(db, f"thread {number}", enough))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    pids: list[int] = []
    for number in range(children):
        if number >= _ALIVE:
            see_end(pids, number - _ALIVE)
        pids.append(fork(lambda number=number: save_alone(folder, number)))
    for number in range(max(children - _ALIVE, 0), children):
        see_end(pids, number)
    enough.set()
    for thread in threads:
        thread.join()
    sf.close()


def see_end(pids: list[int], number: int) -> None:
    """Wait for the end of a child, and say if it was not good."""
    if code := os.waitstatus_to_exitcode(os.waitpid(pids[number], 0)[1]):
        say(f"child {number} ended with", code)


HOW = {"inherit": inherit, "open": open_anew}


def main(how: str, folder: str, children: str, count: str) -> None:
    """Fork children that do their part."""
    HOW[how](Path(folder), int(children), int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
