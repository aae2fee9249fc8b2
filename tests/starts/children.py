"""What a child process does, however it was started, and how it ends.

It stands apart from the program that starts it, so that every start method finds it by
its name.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from faults.programs import say
from storify import Storify
from storify.engine.file.snapshot import descriptors_held
from storify.threads import _saver

NAME = "notes"

#: What the process holds to its end, as a program does in a module.
held: dict[str, Any] = {}


# -- how it ends -----------------------------------------------------------------------


def end_normally() -> None:
    """Have nothing more to do."""


def end_by_exit() -> None:
    """Say that it is over."""
    sys.exit(3)


def end_by_exception() -> None:
    """Fail."""
    raise ZeroDivisionError


def end_at_once() -> None:
    """End so that Python sees nothing of it."""
    os._exit(0)


def be_terminated() -> None:
    """Go on until a signal comes."""
    say("ready")
    while True:
        signal.pause()


ENDS: dict[str, Callable[[], None]] = {
    "normal": end_normally,
    "exit": end_by_exit,
    "exception": end_by_exception,
    "terminate": be_terminated,
    "at once": end_at_once,
}


# -- what it does ----------------------------------------------------------------------


def open_and_change(folder: str, end: str) -> None:
    """Open a database, set a value that nobody flushes, and end."""
    sf = Storify(folder)
    db = sf[NAME]
    db["child"] = 1
    held.update(sf=sf, db=db)
    ENDS[end]()


def open_and_spoil(folder: str, end: str) -> None:
    """Set what cannot be stored besides."""
    sf = Storify(folder)
    db = sf[NAME]
    db["child"] = 1
    db["bad"] = object()
    held.update(sf=sf, db=db)
    ENDS[end]()


def set_inherited(folder: str, end: str) -> None:
    """Set a value in the database that the parent opened."""
    tell_what_is_left(folder)
    held["db"]["child"] = 1
    ENDS[end]()


def change_inherited(folder: str, end: str) -> None:
    """Change an object of the parent in place: nobody sees that happen."""
    tell_what_is_left(folder)
    held["list"].append("child")
    ENDS[end]()


def leave_inherited(folder: str, end: str) -> None:
    """Touch nothing of the parent."""
    tell_what_is_left(folder)
    ENDS[end]()


WORK: dict[str, Callable[[str, str], None]] = {
    "opens": open_and_change,
    "spoils": open_and_spoil,
    "sets what it inherits": set_inherited,
    "changes what it inherits": change_inherited,
    "leaves what it inherits": leave_inherited,
}


# -- what it has of its parent ---------------------------------------------------------


def what_is_left(folder: str) -> list[str]:
    """Name what a forked child has of its parent's use of storify: nothing.

    But what an open database is asked by, which reads alone and holds no lock.
    """
    held = descriptors_held()
    found = [f"descriptor of {path}" for path in open_files(Path(folder), held)]
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - numbers, not paths
    if threads > 1 or threading.active_count() > 1:
        found.append(f"{threads} threads")
    if _saver._jobs or not _saver._queue.empty():
        found.append("work to be done")
    return found


def tell_what_is_left(folder: str) -> None:
    """Say each."""
    for each in what_is_left(folder):
        say("left:", each)


def open_files(folder: Path, but: Collection[int] = ()) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        if int(link.name) in but:
            continue
        try:
            path = link.readlink()
        except FileNotFoundError:  # that of the listing itself
            continue
        if path.is_relative_to(folder):
            found.append(str(path.relative_to(folder)))
    return found
