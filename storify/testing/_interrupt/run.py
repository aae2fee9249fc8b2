"""One run of a scenario in a folder of its own, struck at a place inside of Storify."""

import gc
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from storify._manager import Storify
from storify.testing._crash.faults import replaced
from storify.testing._crash.opened import Opened
from storify.testing._crash.run import Scenario, call_scenario
from storify.testing._interrupt.places import By, Place, Spot, call_traced
from storify.testing._interrupt.savers import in_step

__all__ = ["Run", "Strike"]

Strike = Callable[[], object]
"""What happens at a place: it raises, or does what the handler of a signal does."""


class Run:
    """One run of a scenario, which goes on after it was struck.

    Attributes:
        folder: Its root.
        opened: What it opened.
        live: Each `Storify` that it made: none is dropped with the scenario.
        spots: The places that it came by, if it is not struck.
        dones: How much was done at each of them.
        is_struck: Whether it came to its place.
        done: What the scenario said is done.
        error: What it raised.
        completed: Whether it returned.

    Args:
        scenario: The user's.
        folder: Its root, empty and without links in its path.
        by: What counts as a place.
        place: Where it is struck; None for nowhere.
        strike: What happens there.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        by: By,
        place: Place | None = None,
        strike: Strike = list,
    ) -> None:
        self.folder = folder
        self.opened: Opened = Opened(folder, "interrupt point")
        self.live: list[Storify] = []
        self.spots: list[Spot] = []
        self.dones: list[int] = []
        self.is_struck: bool = False
        self.done: list[Any] = []
        self.error: BaseException | None = None
        self.completed: bool = False
        self._scenario = scenario
        self._by: By = by
        self._place = place
        self._strike = strike
        self._visits = 0
        self._struck_with: BaseException | None = None

    def __call__(self) -> "Run":
        """Run it to its end.

        Raises:
            BaseException: What neither we nor an error of the scenario raised, such
                as a real Ctrl-C.
        """
        only = None if self._place is None else self._place.spot
        with self._watched():
            try:
                act = partial(call_scenario, self._scenario, self.folder, self._done)
                call_traced(act, self._by, self._meet, only)
                self.completed = True
            except BaseException as error:
                if not (
                    isinstance(error, Exception | SystemExit) or self._is_ours(error)
                ):
                    raise
                self.error = error
            # Who deals with an exception lets go of its frames, and what they hold.
            _forget_frames(self.error)
            _forget_frames(self._struck_with)
        return self

    def _done(
        self, what: Any
    ) -> None:  # pragma: no cover - coverage does not trace meanwhile
        # As it is now: the scenario may go on to change it.
        self.done.append(deepcopy(what))

    def _meet(
        self, spot: Spot
    ) -> None:  # pragma: no cover - coverage does not trace meanwhile
        """Come by a place: note it, or strike there once."""
        if self._place is None:
            self.spots.append(spot)
            self.dones.append(len(self.done))
            return
        self._visits += 1
        if self._visits != self._place.visit:
            return
        self.is_struck = True
        sys.settrace(None)
        try:
            self._strike()
        except BaseException as error:
            self._struck_with = error
            raise

    def _is_ours(self, error: BaseException) -> bool:
        return error is self._struck_with

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Let each run be the same, and hear of what it opens."""
        with ExitStack() as stack:
            stack.enter_context(self.opened.watched())
            stack.enter_context(in_step())
            stack.enter_context(_uncollected())
            hook = self._without_ours(sys.unraisablehook)
            stack.enter_context(replaced(sys, "unraisablehook", hook))
            init = self._kept(Storify.__init__)
            stack.enter_context(replaced(Storify, "__init__", init))
            yield

    def _kept(self, real: Callable[..., None]) -> Callable[..., None]:
        def init(
            sf: Storify, *args: Any, **options: Any
        ) -> None:  # pragma: no cover - coverage does not trace meanwhile
            real(sf, *args, **options)
            if any(each is sf for each in self.opened.storifys()):
                self.live.append(sf)

        return init

    def _without_ours(self, real: Callable[[Any], object]) -> Callable[[Any], object]:
        """Say nothing of a finalizer that we interrupted."""

        def hook(
            unraisable: Any,
        ) -> None:  # pragma: no cover - coverage does not trace meanwhile
            if not self._is_ours(unraisable.exc_value):
                real(unraisable)

        return hook


@contextmanager
def _uncollected() -> Generator[None]:
    """Let the garbage collector not come by: it would at another place in each run."""
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what an exception, and those it was raised in, hold."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            left += [each.__cause__, each.__context__]
