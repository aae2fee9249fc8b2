"""Crash points: a scenario of yours, ended at each disk call that it makes.

They are found from one run without faults. Each disk call is one: the program is killed before it, or in the midst of a write;
the power is cut before it; or the call fails. Of the ways in which a power cut can
go, those are left out that leave a disk that was seen already.
"""

import errno
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

from storify.threads import finish_all

from ._disk import Folder, Model, Way, replay, write_folder
from ._runs import (
    Call,
    Left,
    Report,
    Run,
    Scenario,
    held_back,
    most_of,
    run_in_child,
)

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
        """The fault, as the disk is told."""
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
    """List the crash points of a scenario, from the report of a run without faults."""
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

    What a killed program leaves is nothing new with *avoid_killed*.
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


# --- what a crash left: the files, what was promised, and a `Storify` over them -------


class Crashed(Left[Point]):
    """The state that one crash point left behind.

    As a context manager it closes what was reopened, and an exception that leaves
    the block gets a note that names the point; so does one that leaves
    ``with crashed.reopen() as sf:``.

    Attributes:
        point: Where and how the run ended; ``str()`` of it is one line.
        root: The folder with the files that survived. It is another one than the
            scenario got, and is removed when the loop moves on.
        done: What the scenario had given to ``done(...)`` before that, in order.
        error: What the scenario raised after its disk call had failed; None if it
            dealt with that, and for a program that was killed.
        completed: Whether the scenario returned.
    """

    def __init__(self, point: Point, root: Path, report: Report) -> None:
        super().__init__("crash point", point, root, report.home, report.models)
        self.root = root
        self.done: list[Any] = list(report.done)
        self.error: Exception | None = report.error
        self.completed: bool = report.completed

    def __repr__(self) -> str:
        """Tell the point, what was done and what was raised."""
        raised = "" if self.error is None else f", error={self.error!r}"
        return f"<Crashed {self.point}; done={self.done!r}{raised}>"


# --- the crash points of a scenario, one after the other ------------------------------

T = TypeVar("T")

#: How long the work of saver threads is waited for, in seconds.
WORK_S: Final = 10.0


def crash_points(
    scenario: Scenario,
    root: str | os.PathLike[str],
    *,
    kinds: Collection[Kind] = KINDS,
    most: int | None = None,
    subprocess: bool = False,
) -> "CrashPoints":
    """End *scenario* at each disk call that it makes, and see what is left.

    ::

        def scenario(root, done):
            with Storify(root) as sf:
                users = sf.get_db("users", model=User)
                users["u1"] = User("Ann")
                users.flush()
                done("u1")
                users["u2"] = User("Bob")

        def test_what_was_acknowledged_is_there(tmp_path):
            for crashed in crash_points(scenario, root=tmp_path):
                with crashed.reopen() as sf:
                    users = sf.get_db("users", model=User)
                    assert set(crashed.done) <= set(users)

    The scenario is run once without a fault, at once, to find its disk calls. The
    loop then runs it anew for each, in a fresh folder, and ends it there; see
    `Kind`. Nothing of a run writes after its end: not its ``with`` blocks, its
    finalizers or its autosave, and nothing when the program exits. What a program
    would save at its exit is not saved: the end is a crash here, too.

    What counts are the calls that storify makes in the folder. Files that a
    scenario writes by itself are left as they are, also by a power cut. Nothing
    waits for the disk, so a point takes milliseconds. What is logged at a point, by the
    run and by what is reopened, comes out if the loop is left there. Each run must make the same
    calls: an autosave thread is not started for its databases (call ``sf.tick()``
    where it would save), and other threads must not write.

    Args:
        scenario: ``scenario(root)`` opens its databases in that folder and does
            something. With a second parameter it is called as
            ``scenario(root, done)``: what it gives to ``done`` before the crash is
            in `Crashed.done`, copied.
        root: Where the folders are made; only that of a point where the loop was
            left is still there afterwards.
        kinds: What happens at the calls.
        most: So many points at most, spread over all; always the same ones. In a
            test marked ``storify_crash``, pytest's ``--storify-crash`` overrides it.
        subprocess: Run the scenario in a process of its own each time, which is
            really killed. It costs a new interpreter, so think of *most*; the
            scenario must be a function of a module.

    Returns:
        The points: ``len()`` counts them, a loop runs them and gives what each has
        left, `CrashPoints.summary` tells in one line.

    Raises:
        AssertionError: There is no such point: the scenario makes no disk call.
        ValueError: There is no such kind, or *most* is not positive.
        Exception: What the scenario raises without any fault.
    """
    return CrashPoints(
        scenario,
        root,
        kinds=kinds,
        most=most_of(most),
        run=run_in_child if subprocess else _run,
    )


def _run(
    scenario: Scenario, folder: Path, at: int = 0, what: int | str = "kill"
) -> Report:
    return Run(scenario, folder, at, what)()


class CrashPoints:
    """The crash points of one scenario; made by `crash_points`.

    Iterating runs the scenario for each of them and gives a `Crashed`. It may be
    done again.

    Attributes:
        calls: How many disk calls the scenario makes.
        points: Where it is ended, in order.
    """

    def __init__(
        self,
        scenario: Scenario,
        root: str | os.PathLike[str],
        *,
        kinds: Collection[Kind],
        most: int | None,
        run: Callable[..., Report],
    ) -> None:
        if isinstance(kinds, str) or not set(kinds) <= set(KINDS):
            msg = f"kinds must be some of {KINDS}: {kinds!r}"
            raise ValueError(msg)
        require_most(most)
        self._scenario = scenario
        self._run = run
        # A link in the path would make others of the paths that the engine uses.
        self._root = Path(root).resolve()
        work = make_work(self._root, "crash-points")
        folder = fresh(work)
        report = run(scenario, folder)
        if report.error is not None:
            raise report.error
        planned = plan(report, folder, kinds)
        remove_work(work)
        if not report.calls:
            msg = (
                "no crash point: the scenario made no disk call in the folder that it "
                "was given, as with memory:// or another folder; open Storify(root)"
            )
            raise AssertionError(msg)
        if not planned:
            msg = f"no crash point: no disk call of the scenario can be {tuple(kinds)}"
            raise AssertionError(msg)
        self.calls: int = len(report.calls)
        self.points: tuple[Point, ...] = tuple(spread(planned, most))

    def __len__(self) -> int:
        """Count the points."""
        return len(self.points)

    def summary(self) -> str:
        """Tell in one line how many there are of each kind."""
        found = Counter(point.kind for point in self.points)
        kinds = ", ".join(f"{found[kind]} {kind}" for kind in KINDS if found[kind])
        return f"{self.calls} disk calls, {len(self)} crash points: {kinds}"

    def __repr__(self) -> str:
        """Tell how many points of which kinds there are."""
        return f"<CrashPoints {self.summary()}>"

    def __iter__(self) -> Iterator[Crashed]:
        """End the scenario at each point; give what that left."""
        work = make_work(self._root, "crash-points")
        for (number, what), group in groupby(self.points, attrgetter("number", "what")):
            points = list(group)
            name = what if isinstance(what, str) else points[0].kind
            place = work / f"call {number}, {name}"
            yield from self._crash(place, number, what, points)
        work.rmdir()

    def _crash(
        self, place: Path, number: int, what: int | str, points: Sequence[Point]
    ) -> Iterator[Crashed]:
        """Run once, and give what it left in one way or several."""
        folder = fresh(place)
        with held_back() as logged:
            report = self._run(self._scenario, folder, number, what)
            _require_same(report, points[0], folder)
        disk: Model | None = None
        for which, point in enumerate(points):
            left = place / f"left-{which}"
            if point.way is None:
                folder.rename(left)
            else:
                disk = disk or replay(report.log, folder)
                write_folder(disk.after(point.way), left)
                _copy_unmet(folder, left, report.met)
            crashed = Crashed(point, left, report)
            with held_back(logged):
                try:
                    yield crashed
                finally:
                    crashed.close()
            remove_work(left)
        remove_work(place)


def make_work(root: Path, name: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    names = (root / f"{name}-{number}" for number in count(1))
    work = next(path for path in names if not path.exists())
    work.mkdir()
    return work


def remove_work(folder: Path) -> None:
    """Remove a folder, when what the loop has dropped there is no longer under way."""
    finish_all(WORK_S)
    shutil.rmtree(folder)


def fresh(place: Path) -> Path:
    folder = place / "run"
    folder.mkdir(parents=True)
    return folder


def _copy_unmet(source: Path, target: Path, met: set[str]) -> None:
    """Add the files that storify never touched: the scenario's own."""
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if str(path) in met or to.exists() or not to.parent.is_dir():
            continue
        if path.is_dir():
            to.mkdir()
        else:
            shutil.copy2(path, to)


def spread(points: list[T], most: int | None) -> list[T]:
    """Choose so many, one of each stretch of the list, and the end."""
    if most is None or len(points) <= most:
        return points
    chance = random.Random(most)  # noqa: S311 - repeatable, not secret
    edges = [len(points) * part // most for part in range(most + 1)]
    some = [points[chance.randrange(low, high)] for low, high in pairwise(edges)]
    return [*some[:-1], points[-1]]


def require_most(most: int | None) -> None:
    if most is not None and most < 1:
        msg = f"most must be a number of points, 1 or more: {most}"
        raise ValueError(msg)


def _require_same(report: Report, point: Point, folder: Path) -> None:
    """See that the run came to its point by the same way, and that no check failed."""
    error = report.error
    if isinstance(error, AssertionError) or (error and isinstance(point.what, str)):
        error.add_note(f"crash point: {point}")
        raise error
    reached = report.calls[point.number - 1 : point.number]
    found = " ".join(describe(call, folder) for call in reached)
    if found.partition(" ")[0] != point.call.partition(" ")[0]:
        msg = (
            f"the scenario is not the same in each run: {point}, but now that call is "
            f"{found or 'not made'}; keep chance, clocks and threads out of it"
        )
        raise AssertionError(msg)
