"""Where a scenario can be ended: its crash points, found from one run without faults.

Each disk call is one: the program is killed before it, or in the midst of a write;
the power is cut before it; or the call fails. Of the ways in which a power cut can
go, those are left out that leave a disk that was seen already.
"""

import errno
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from storify.testing._crash.power import Folder, Model, Way
from storify.testing._crash.run import Call, Report

__all__ = ["KINDS", "Kind", "Point", "describe", "plan"]

Kind = Literal["killed", "torn", "lost", "ENOSPC", "EIO"]
"""How a run ends.

``killed``: the program is gone before the call. ``torn``: it is gone when half of a
write was done. ``lost``: the power is gone before the call, and with it some of what
was not synced. ``ENOSPC``, ``EIO``: the call fails so, the program goes on.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)

_WHAT: dict[Kind, int | str] = {
    "killed": "kill",
    "torn": "tear",
    "lost": "kill",
    "ENOSPC": errno.ENOSPC,
    "EIO": errno.EIO,
}

#: The calls that may need room on the disk, beside an ``open`` that creates.
_NEED_ROOM = frozenset(
    {"write", "fsync", "fdatasync", "mkdir", "link", "rename", "replace"}
)

#: So many random ways of a power cut are tried at each moment.
_SAMPLES = 3

# What is another in each run: of a temporary file, and the time of a backup.
_CHANGING = re.compile(r"[0-9a-f]{16}(?=\.tmp$)|\d{8}T\d{6}\.\d{6}Z-[0-9a-f]+")


@dataclass(frozen=True)
class Point:
    """One crash point; ``str()`` of it says where and how.

    Attributes:
        number: The number of the disk call, from 1; one more than there are for
            the end, when the scenario has returned.
        calls: How many disk calls the scenario makes.
        call: The call: its name and the file.
        kind: What happens.
        way: How the power cut goes.
    """

    number: int
    calls: int
    call: str
    kind: Kind
    way: Way | None = None

    @property
    def what(self) -> int | str:
        """What happens, as the disk is told."""
        return _WHAT[self.kind]

    def __str__(self) -> str:
        if self.number > self.calls:
            where = f"after the last of {self.calls} calls"
        else:
            before = {"torn": "in the midst of", "ENOSPC": "at", "EIO": "at"}
            where = (
                f"{before.get(self.kind, 'before')} call {self.number} "
                f"of {self.calls} ({self.call})"
            )
        if self.way is not None:
            return f"power lost {where}: {self.way}"
        return f"{'killed' if self.kind == 'torn' else self.kind} {where}"


def plan(report: Report, folder: Path, kinds: Collection[Kind]) -> list[Point]:
    """List the crash points of a scenario.

    Args:
        report: Of a run without faults.
        folder: Its folder.
        kinds: What is to happen.
    """
    calls = len(report.calls)
    cuts = _Cuts(report, folder, avoid_killed="killed" in kinds)
    points: list[Point] = []
    for number in range(1, calls + 2):
        call = report.calls[number - 1] if number <= calls else None
        words = "" if call is None else describe(call, folder)
        if "lost" in kinds:
            ways = cuts.ways(number, call)
            points += [Point(number, calls, words, "lost", way) for way in ways]
        # In this order: the run that was killed gives its own files away last.
        points += [
            Point(number, calls, words, kind)
            for kind in KINDS
            if kind in kinds and _applies(kind, call)
        ]
    return points


def describe(call: Call, folder: Path) -> str:
    """Name a call and its file, the same in each run."""
    where = os.path.relpath(call.path, folder)
    return f"{call.name} {_CHANGING.sub('*', where)}"


def _applies(kind: Kind, call: Call | None) -> bool:
    if kind == "lost":
        return False  # it goes in many ways
    if call is None:
        return kind == "killed"
    if kind == "torn":
        return call.name == "write"
    if kind == "ENOSPC":
        return call.creates or call.name in _NEED_ROOM
    return True


class _Cuts:
    """The ways of power cuts that leave something new, call by call.

    Args:
        report: Of a run without faults.
        folder: Its folder.
        avoid_killed: Whether what a killed program leaves is seen anyway.
    """

    def __init__(self, report: Report, folder: Path, *, avoid_killed: bool) -> None:
        self._log, self._done = report.log, len(report.done)
        self._model = Model(folder, Folder())
        self._avoid_killed = avoid_killed
        self._played = 0
        self._seen: set[tuple[int, frozenset[tuple[Any, ...]]]] = set()
        self._last = (-1, -1)

    def ways(self, number: int, call: Call | None) -> Iterator[Way]:
        """Return them for a cut before *call*, or at the end."""
        changes = len(self._log) if call is None else call.changes
        done = self._done if call is None else call.done
        if (changes, done) == self._last:
            return
        self._last = (changes, done)
        for entry in self._log[self._played : changes]:
            self._model.play(entry)
        self._played = changes
        if self._avoid_killed:
            self._seen.add((done, self._model.top.fingerprint()))
        for way in self._model.ways(number, _SAMPLES):
            # What was promised until then belongs to what is judged.
            state = (done, self._model.after(way).fingerprint())
            if state not in self._seen:
                self._seen.add(state)
                yield way
