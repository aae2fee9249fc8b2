"""The interrupt points of a scenario, one after the other."""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

from storify.testing._crash.depth import most_of
from storify.testing._crash.held import held_back
from storify.testing._crash.points import (
    fresh,
    make_work,
    remove_work,
    require_most,
    spread,
)
from storify.testing._crash.run import Scenario
from storify.testing._interrupt.interrupted import Interrupted
from storify.testing._interrupt.places import BYS, By, Place, number_visits
from storify.testing._interrupt.run import Run, Strike

__all__ = ["InterruptPoints", "interrupt_points"]

#: So often a run is tried that does not come to its place.
_TRIES = 3


def interrupt_points(
    scenario: Scenario,
    root: str | os.PathLike[str] | None = None,
    *,
    by: By = "signal",
    error: BaseException | type[BaseException] = KeyboardInterrupt,
    handler: Callable[[], object] | None = None,
    most: int | None = None,
) -> "InterruptPoints":
    """Interrupt *scenario* at each place inside of Storify, and see what is left.

    ::

        def scenario(root, done):
            with Storify(root) as sf:
                users = sf.get_db("users", model=User)
                users["u1"] = User("Ann")
                users.flush()
                done("u1")
                users["u2"] = User("Bob")

        def test_ctrl_c_loses_nothing(tmp_path):
            for interrupted in interrupt_points(scenario, root=tmp_path):
                interrupted.assert_sound()
                with interrupted.reopen() as sf:
                    assert set(interrupted.done) <= set(sf["users"])

    It is the twin of `crash_points`: there the program is gone, here it goes on. The
    scenario is run twice without a fault, at once, to find its places: where Python
    looks for signals while Storify runs. Those are the begin of a function, after a
    call, and where a loop turns back; Ctrl-C can come nowhere else. The loop then runs
    it anew for each, in a fresh folder, and raises KeyboardInterrupt there, once. The
    scenario may catch it. What it has open is alive afterwards, in
    `Interrupted.live`; what is on disk is read with `Interrupted.reopen`.

    All is done in this thread and this process, by `sys.settrace`. A tracer that was
    there before, as that of coverage, does not see the scenario, and is put back
    after it. Each run must come by the same
    places: an autosave thread is not started for its databases, the garbage collector
    does not come by, and saver threads begin when their caller waits. Keep chance,
    clocks and threads out of the scenario.

    Args:
        scenario: ``scenario(root)`` opens its databases in that folder and does
            something. With a second parameter it is called as
            ``scenario(root, done)``: what it gives to ``done`` is in
            `Interrupted.done`, copied.
        root: Where the folders are made, else in a temporary folder; only that of a
            point where the loop was left is still there afterwards.
        by: What counts as a place. ``"signal"``: as above. ``"opcode"``: each
            bytecode, also those between which no signal is looked for. ``"line"``:
            each line, the quickest.
        error: What is raised, as a class or an object.
        handler: Called at the place instead, as the handler of a signal is: it may
            use what the scenario has opened, and raise.
        most: So many points at most, spread over all; always the same ones. In a
            test marked ``storify_crash``, pytest's ``--storify-crash`` overrides it.

    Returns:
        The points: ``len()`` counts them, a loop runs them and gives what each has
        left, `InterruptPoints.summary` tells in one line.

    Raises:
        AssertionError: There is no such point: the scenario does not call Storify.
        ValueError: There is no such *by*, or *most* is not positive.
        Exception: What the scenario raises when it is not interrupted.
    """
    strike: Strike = partial(_throw, error) if handler is None else handler
    what = _name(error) if handler is None else "handler"
    return InterruptPoints(
        scenario, root, by=by, what=what, strike=strike, most=most_of(most)
    )


class InterruptPoints:
    """The interrupt points of one scenario; made by `interrupt_points`.

    Iterating runs the scenario for each of them and gives an `Interrupted`. It may be
    done again.

    Attributes:
        places: How many places the scenario has.
        points: Where it is interrupted, in order. Others may be assigned before the
            loop, as ``[each for each in found.points if each.done]``: those that
            come after a first ``done(...)``.
    """

    def __init__(
        self,
        scenario: Scenario,
        root: str | os.PathLike[str] | None,
        *,
        by: By,
        what: str,
        strike: Strike,
        most: int | None,
    ) -> None:
        _require_by(by)
        require_most(most)
        self._scenario = scenario
        self._by: By = by
        self._what = what
        self._strike = strike
        self._root = None if root is None else Path(root).resolve()
        work = self._make_work()
        # The first run makes what is made once, such as the code of a model class.
        self._run_freely(work / "first")
        run = self._run_freely(work / "second")
        remove_work(work)
        if not run.spots:
            msg = "no interrupt point: the scenario calls nothing of storify"
            raise AssertionError(msg)
        self.places: int = len(run.spots)
        found = zip(run.spots, number_visits(run.spots), run.dones, strict=True)
        every = [
            Place(number, self.places, spot, visit, what, done)
            for number, (spot, visit, done) in enumerate(found, 1)
        ]
        self.points: tuple[Place, ...] = tuple(spread(every, most))

    def __len__(self) -> int:
        """Count the points."""
        return len(self.points)

    def summary(self) -> str:
        """Tell in one line how many there are, and of what."""
        return f"{self.places} places, {len(self)} interrupt points: {self._what}"

    def __repr__(self) -> str:
        """Tell how many points of what there are."""
        return f"<InterruptPoints {self.summary()}>"

    def __iter__(self) -> Iterator[Interrupted]:
        """Interrupt the scenario at each point; give what that left."""
        work = self._make_work()
        for point in self.points:
            place = work / f"place {point.number}"
            with held_back() as logged:
                interrupted = Interrupted(point, self._run_to(point, place))
            with held_back(logged):
                try:
                    yield interrupted
                finally:
                    try:
                        interrupted.close()
                    finally:
                        interrupted.end()
            remove_work(place)
        work.rmdir()

    def _make_work(self) -> Path:
        """Make a folder for one loop."""
        if self._root is None:
            return Path(tempfile.mkdtemp(prefix="interrupt-points-")).resolve()
        return make_work(self._root, "interrupt-points")

    def _run_freely(self, place: Path) -> Run:
        run = Run(self._scenario, fresh(place), self._by)()
        run.opened.end()
        if run.error is not None:
            raise run.error
        return run

    def _run_to(self, point: Place, place: Path) -> Run:
        """Run until it comes to its place.

        Raises:
            AssertionError: It does not, or a check in the scenario failed.
        """
        for attempt in range(_TRIES):
            folder = fresh(place / f"{attempt}" if attempt else place)
            run = Run(self._scenario, folder, self._by, point, self._strike)()
            if isinstance(run.error, AssertionError):
                run.error.add_note(f"interrupt point: {point}")
                raise run.error
            if run.is_struck:
                return run
            run.opened.end()
        msg = (
            f"the scenario is not the same in each run: it does not come to {point}; "
            f"keep chance, clocks and threads out of it"
        )
        raise AssertionError(msg)


def _throw(
    error: BaseException | type[BaseException],
) -> NoReturn:  # pragma: no cover - coverage does not trace meanwhile
    """Raise an error, as if it had not been raised before."""
    if isinstance(error, BaseException):
        error.__context__ = None
    raise error


def _name(error: BaseException | type[BaseException]) -> str:
    return error.__name__ if isinstance(error, type) else type(error).__name__


def _require_by(by: str) -> None:
    if by not in BYS:
        msg = f"by must be one of {BYS}: {by!r}"
        raise ValueError(msg)
