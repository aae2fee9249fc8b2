"""A program that is interrupted inside of calls, by real signals at random moments.

``python -m faults.interrupted HOW TIMES SEED FOLDER`` does one thing again and again
while SIGALRM strikes, and says each broken promise and at last how often it struck. Of
the ways to HOW, some raise KeyboardInterrupt, as Ctrl-C does, and some run a handler.
"""

import fcntl
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from faults.programs import say
from storify import Model, Storify, StorifyError

NAME = "notes"
#: A signal comes so long after the begin at the latest, as a part of what a call takes.
PART = 1.2


class Note(Model):
    """A record with something that is changed in place."""

    text: str
    tags: list[int] = []


class Program:
    """The databases, and what has to be true of them.

    Args:
        folder: Where they are.
        size: How many records there are.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.open()
        self.db.update((f"k{n}", Note("x" * 100, [0])) for n in range(size))
        self.db.update(a=0, b=0)
        self.db.flush()
        self.step = 0
        #: What a handler has set, and must be there.
        self.handled: dict[str, int | None] = {}
        self.problems: list[str] = []
        #: What is to be looked at when the call has ended.
        self.then: Callable[[], None] | None = None
        self.open_files = self.count_files()

    def open(self) -> None:
        """Open it, if it is not open."""
        self.sf = Storify(self.folder, save_interval=None, models=[Note])
        self.db: Any = self.sf[NAME]

    @staticmethod
    def count_files() -> int:
        """Count the descriptors of this process."""
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names of links

    def is_locked(self) -> bool:
        """Whether somebody has the lock of the database."""
        fd = os.open(self.folder / ".backups" / NAME / ".lock", os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def find(self, *problems: str) -> None:
        """Note what is wrong."""
        self.problems += problems

    def check(self, *, pairs: bool, deep: bool) -> None:
        """See that all is well: the object works, and the file is what memory is.

        Args:
            pairs: Whether ``a`` and ``b`` must be equal, as after a transaction.
            deep: Whether to read the file anew.
        """
        db = self.db
        if pairs and db["a"] != db["b"]:
            self.find(f"half of a block: {db['a']}, {db['b']}")
        try:
            db.flush()
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            self.find(f"the next flush raises {type(error).__name__}: {error}")
            db.close(discard=True)
            self.open()
            return
        if dirty := db.dirty():
            self.find(f"dirty after a flush: {sorted(dirty)}")
        if self.is_locked():
            self.find("the lock is held")
        if deep:
            with Storify(self.folder, save_interval=None, models=[Note]) as other:
                found = dict(other.get_db(NAME, readonly=True).items())
            if found != dict(db.items()):
                self.find("the file is not what memory is")
            if self.count_files() > self.open_files:
                self.find("descriptors are left")
        for key, value in self.handled.items():
            if db.get(key) != value:
                self.find(f"{key} was set by a handler and is lost")


# -- what is interrupted ---------------------------------------------------------------


def flush(program: Program) -> None:
    """Save records that were changed in place, set and deleted."""
    db, step = program.db, program.step
    note = db.get(f"k{step % 40}")
    if note is not None:
        note.tags.append(step)
    db[f"new{step % 7}"] = step
    db.pop(f"new{(step + 3) % 7}", None)
    db.flush()


def transaction(program: Program) -> None:
    """Change two records together."""
    with program.db.transaction():
        program.db["a"] += 1
        program.db["b"] += 1


def failing_transaction(program: Program) -> None:
    """Undo a block, which changed an object that the program holds."""
    before = program.db["a"], program.db["b"], list(program.db["k1"].tags)
    try:
        with program.db.transaction():
            program.db["a"] += 1
            program.db["k1"].tags.append(program.step)
            program.db["b"] += 1
            raise ZeroDivisionError  # noqa: TRY301 - it is what ends the block
    except ZeroDivisionError:
        pass
    finally:
        # When the exception is handled: as long as it is raised, the block that it
        # cut off at its very end counts as one that runs.
        program.then = partial(unchanged, program, before)


def unchanged(program: Program, before: tuple[int, int, list[int]]) -> None:
    """See that a block was undone: reading is enough to have it so."""
    after = program.db["a"], program.db["b"], list(program.db["k1"].tags)
    if before != after:
        program.find(f"a block was not undone: {before}, {after}")


def restore(program: Program) -> None:
    """Go back by one commit."""
    program.db["a"] += 1
    program.db["b"] += 1
    program.db.flush()
    program.db.backups.restore(program.db.backups.latest)


def close(program: Program) -> None:
    """Save at the close."""
    program.db["a"] += 1
    program.db["b"] += 1
    program.sf.close()


def reopen(program: Program) -> None:
    """Open what is closed."""
    if not program.db.defunct:
        with uninterrupted():
            program.db.close()
    program.db = program.sf[NAME]
    program.db["k1"].tags.append(0)


def merge(program: Program) -> None:
    """Bring in what another writer committed, beside a change of one's own."""
    with uninterrupted(), Storify(program.folder, None, models=[Note]) as other:
        theirs = other[NAME]
        theirs["k2"].tags.append(program.step)
        theirs["theirs"] = program.step
    program.db["mine"] = program.step
    program.db.flush()


class uninterrupted:  # noqa: N801 - used as a function
    """A ``with`` block without signals."""

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def __exit__(self, *_: object) -> None:
        arm()


Act = Callable[[Program], None]

#: What is done, of how many records, and whether ``a`` and ``b`` go together.
ACTS: dict[str, tuple[Act, int, bool]] = {
    "flush": (flush, 40, False),
    "flush large": (flush, 6000, False),
    "transaction": (transaction, 5, True),
    "failing transaction": (failing_transaction, 5, True),
    "restore": (restore, 5, False),
    "close": (close, 5, False),
    "open": (reopen, 40, False),
    "merge": (merge, 5, False),
}


# -- what interrupts -------------------------------------------------------------------


def handlers(program: Program) -> dict[str, Callable[[], None]]:
    """What a program may do in the handler of a signal."""

    def put() -> None:
        key = f"h{program.step % 5}"
        program.db[key] = program.step
        program.handled[key] = program.step

    def delete() -> None:
        put()
        key = f"h{(program.step + 2) % 5}"
        program.db.pop(key, None)
        program.handled[key] = None

    def save() -> None:
        put()
        program.db.flush()

    def change_together() -> None:
        with program.db.transaction():
            program.db["h"] = program.step
        program.handled["h"] = program.step

    def save_all() -> None:
        put()
        Storify(program.folder, save_interval=None, models=[Note])[NAME].get("a")
        program.sf.flush()

    return {
        "sets": put,
        "deletes": delete,
        "flushes": save,
        "has a transaction": change_together,
        "opens and flushes all": save_all,
    }


WAYS = {
    **dict.fromkeys(ACTS, ""),
    **{f"flush, a handler {name}": name for name in handlers(Any)},
    **{f"transaction, a handler {name}": name for name in handlers(Any)},
}

_longest_s = 0.01


def arm() -> None:
    """Let a signal come at a moment in the next call."""
    signal.setitimer(signal.ITIMER_REAL, random.uniform(2e-6, _longest_s))  # noqa: S311 - a moment, no secret


def struck(program: Program, how: str, times: int) -> Iterator[bool]:
    """Do it so often; give whether it was interrupted."""
    act, _, pairs = ACTS[how.partition(",")[0]]
    global _longest_s  # noqa: PLW0603 - as long as the call takes here
    for program.step in range(1, times + 1):
        begun_s, hit = time.perf_counter(), False
        try:
            try:
                arm()
                act(program)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            hit = True
        except StorifyError as error:
            program.find(f"raises {type(error).__name__}: {error}")
        if not hit:
            took_s = PART * (time.perf_counter() - begun_s)
            _longest_s = min(max(0.7 * _longest_s + 0.3 * took_s, 1e-4), 1.0)
        if program.then is not None:
            program.then()
            program.then = None
        if program.db.defunct:
            program.db = program.sf[NAME]
        program.check(pairs=pairs, deep=program.step % 10 == 0)
        yield hit


def main(how: str, times: str, seed: str, folder: str) -> None:
    """Do it so often, and say what is wrong."""
    random.seed(f"{how} {seed}")
    program = Program(Path(folder), ACTS[how.partition(",")[0]][1])
    calls = [0]
    if handler := WAYS[how]:
        do = handlers(program)[handler]

        def handle(*_: object) -> None:
            calls[0] += 1
            # What is documented: inside a transaction it says so at once.
            with suppress(StorifyError):
                do()

        signal.signal(signal.SIGALRM, handle)
    else:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
    hits = sum(struck(program, how, int(times)))
    for problem in program.problems:
        say("problem", problem)
    say("struck", hits + calls[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
