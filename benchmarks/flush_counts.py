"""What one flush of one changed record does: calls, source files, system calls, syncs.

    python benchmarks/flush_counts.py [--quick]

Time says how fast a machine is; these counts say how long the way is, and are the same
on all machines. Calls are those of Python functions in all threads, as
`sys.setprofile` tells them. System calls are counted by ``strace``: a process flushes
some changes, another more of them, and the difference belongs to the flushes.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from contents import key_of
from report import Report, Table, Target, arguments
from stack import change, open_store, prepare

import storify

SIZES = (1_000, 100_000)
QUICK_SIZES = (1_000, 10_000)
MOST_CALLS = 200
MOST_FILES = 20
MOST_SYNCS = 2
FLUSHES = 9
FEWER, MORE = 10, 30
SYNCS = ("fsync", "fdatasync", "msync", "sync_file_range", "sync")
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)
OURS = os.fspath(Path(storify.__file__).parent)
TOP = 12


class Counts(NamedTuple):
    """What one flush did.

    Attributes:
        functions: How often each function ran: its file and its name.
        c_calls: Calls of functions that are written in C.
        syncs: Calls of `os.fsync` and the like.
    """

    functions: Counter[tuple[str, str]]
    c_calls: int
    syncs: int

    def calls(self) -> int:
        """How many calls of Python functions."""
        return self.functions.total()

    def files(self) -> set[str]:
        """In which source files of storify."""
        return {file for file, _ in self.functions if file.startswith(OURS)}


class CallCounter:
    """Counts calls in all threads that are started after it was made."""

    def __init__(self) -> None:
        self._is_on = False
        self._functions: Counter[tuple[str, str]] = Counter()
        self._c_calls = self._syncs = 0
        sys.setprofile(self._note)
        threading.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if not self._is_on:
            return
        if event == "call":
            code = frame.f_code
            self._functions[code.co_filename, code.co_qualname] += 1
        elif event == "c_call":
            self._c_calls += 1
            self._syncs += getattr(argument, "__name__", "") in SYNCS

    def count(self, action: Callable[[], object]) -> Counts:
        """Run *action* and return what it did."""
        self._functions.clear()
        self._c_calls = self._syncs = 0
        self._is_on = True
        try:
            action()
        finally:
            self._is_on = False
        return Counts(Counter(self._functions), self._c_calls, self._syncs)


def counted(place: Path, count: int) -> list[Counts]:
    """Flush one changed record several times, in a process of its own, and count."""
    with copied(place) as own:
        done = subprocess.run(  # noqa: S603 - this file
            [sys.executable, __file__, "--count", own, str(count)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    return [
        Counts(Counter({(file, name): times for file, name, times in called}), *rest)
        for called, *rest in json.loads(done.stdout)
    ]


def count_in_child(place: Path, count: int) -> None:
    """Print what `counted` reads; no thread of storify runs before it counts."""
    counter = CallCounter()
    db = open_store(place)
    found: list[Counts] = []
    for number in range(-2, FLUSHES):  # the first ones may set something up
        db[key_of(count // 2 + number)].age += 1
        each = counter.count(db.flush)
        if number >= 0:
            found.append(each)
    sys.setprofile(None)
    listed = [
        ([[*place, times] for place, times in functions.items()], *rest)
        for functions, *rest in found
    ]
    print(json.dumps(listed), flush=True)
    os._exit(0)


def typical(found: list[Counts]) -> Counts:
    """The one with the middle number of calls."""
    return sorted(found, key=Counts.calls)[len(found) // 2]


def system_calls(place: Path, count: int) -> dict[str, float] | None:
    """The system calls of one flush; None if there is no ``strace`` that may trace."""
    if not shutil.which("strace"):
        return None
    try:
        fewer, more = (trace(place, count, flushes) for flushes in (FEWER, MORE))
    except subprocess.SubprocessError:
        return None
    each = {name: (more[name] - fewer[name]) / (MORE - FEWER) for name in more}
    return {name: number for name, number in each.items() if round(number, 1)}


def trace(place: Path, count: int, flushes: int) -> Counter[str]:
    """Count the system calls of a process that flushes so often."""
    with copied(place) as own, tempfile.NamedTemporaryFile("r") as log:
        subprocess.run(  # noqa: S603 - this file
            [
                *("strace", "-f", "-qq", "-o", log.name),
                *(sys.executable, __file__, "--child", own),
                *(str(count), str(flushes)),
            ],
            capture_output=True,
            check=True,
        )
        return Counter(CALL.findall(log.read()))


@contextmanager
def copied(place: Path) -> Iterator[Path]:
    """The same database elsewhere, so that each count begins alike."""
    own = place.with_name(f"{place.name} copied")
    shutil.copytree(place, own)
    try:
        yield own
    finally:
        shutil.rmtree(own)


def child(place: Path, count: int, flushes: int) -> None:
    """Flush so often, each time one changed record."""
    db = open_store(place)
    for number in range(flushes):
        change(db, key_of((number + 1) * count // (flushes + 1)))
    os._exit(0)


def most_called(found: Counts, count: int) -> Table:
    """The functions that are called most often."""
    rows = [
        [f"{Path(file).parent.name}/{Path(file).name} {name}", str(times)]
        for (file, name), times in found.functions.most_common(TOP)
    ]
    return Table(f"Called most by a flush of one of {count:,}", ["", "calls"], rows)


def main() -> None:
    """Count at each size and print."""
    chosen = arguments(__doc__)
    sizes = QUICK_SIZES if chosen.quick else SIZES
    rows: list[list[str]] = []
    targets: list[Target] = []
    details: list[Table] = []
    with tempfile.TemporaryDirectory() as name:
        for count in sizes:
            place = prepare(Path(name), count)
            system = system_calls(place, count)
            found = counted(place, count)
            one = typical(found)
            syncs = [float(each.syncs) for each in found]
            if system is not None:
                syncs = [sum(system.get(sync, 0) for sync in SYNCS)]
            rows.append(
                [
                    f"{count:,}",
                    str(one.calls()),
                    str(one.c_calls),
                    str(len(one.files())),
                    "–" if system is None else f"{sum(system.values()):.0f}",  # noqa: RUF001 - a dash
                    f"{statistics.median(syncs):g}",
                ]
            )
            what = f"flush of one changed record of {count:,}:"
            calls = [float(each.calls()) for each in found]
            files = [float(len(each.files())) for each in found]
            targets += [
                Target(f"{what} calls of Python functions", calls, MOST_CALLS, ""),
                Target(f"{what} source files visited", files, MOST_FILES, ""),
                Target(f"{what} syncs", syncs, MOST_SYNCS, ""),
            ]
            details.append(most_called(one, count))
    head = ["records", "calls", "of C", "files", "system calls", "syncs"]
    table = Table("One changed record, flushed: what it does", head, rows)
    shown = [] if chosen.json else details
    Report([table, *shown], targets).publish(chosen.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    if sys.argv[1:2] == ["--count"]:
        count_in_child(Path(sys.argv[2]), int(sys.argv[3]))
    main()
