"""One run of a scenario in a folder of its own, which may end at a disk call.

After its end nothing of the run writes: its databases count as closed, and their
engines refuse. Its files are those that it had at that moment.
"""

import inspect
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias, cast

from storify.testing._crash.faults import Fault, Killed, injected, replaced
from storify.testing._crash.opened import Opened
from storify.testing._crash.recorder import Entry, Recorder
from storify.threads import Job

__all__ = ["Call", "Report", "Run", "Scenario", "call_scenario", "without"]

Scenario: TypeAlias = (
    Callable[[Path], object] | Callable[[Path, Callable[[Any], None]], object]
)
"""What a user wants to see ended: ``scenario(root)`` or ``scenario(root, done)``."""


class Call(NamedTuple):
    """One disk call.

    Attributes:
        name: Of the function in ``os``.
        path: What it is about, in the folder of the run.
        creates: Whether it opens a file that need not exist.
        changes: How many changes of the disk there were before it.
        done: How often the scenario had said that something is done.
    """

    name: str
    path: str
    creates: bool
    changes: int
    done: int


@dataclass
class Report:
    """What is known of a run after its end.

    Attributes:
        calls: Its disk calls.
        log: The changes of the disk, for a power cut.
        met: The paths whose content is in the log.
        done: What the scenario said is done.
        error: What it raised.
        completed: Whether it returned.
        home: The folder of its first `Storify`, seen from that of the run.
        models: The classes that its databases know.
    """

    calls: list[Call] = field(default_factory=list[Call])
    log: list[Entry] = field(default_factory=list[Entry])
    met: set[str] = field(default_factory=set[str])
    done: list[Any] = field(default_factory=list[Any])
    error: Exception | None = None
    completed: bool = False
    home: str | None = None
    models: list[type[Any]] = field(default_factory=list[type[Any]])


class _Tracing(Fault):
    """A fault that also writes down where it could strike."""

    run: "Run"

    def note(self, name: str, path: str, args: tuple[Any, ...]) -> None:
        creates = name == "open" and bool(args[1] & os.O_CREAT)
        if name in {"rename", "replace", "link"}:
            path = args[1]  # the new name says more
        report = self.run.report
        changes, done = len(report.log), len(report.done)
        report.calls.append(Call(name, path, creates, changes, done))

    def die(self) -> NoReturn:
        self.dead = True
        if self.run.last_words is not None:
            self.run.last_words()
        raise Killed


class Run:
    """One run of a scenario.

    Args:
        scenario: The user's.
        folder: Its root, empty and without links in its path.
        at: The number of the disk call where something happens; 0 for none.
        what: As in `Fault`.
        last_words: Called at the end of a killed run, in the midst of the call: a
            process of its own ends there.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        at: int = 0,
        what: int | str = "kill",
        last_words: Callable[[], object] | None = None,
    ) -> None:
        self.folder = folder
        self.last_words = last_words
        self._scenario = scenario
        recorder = Recorder(met={str(folder)})
        assert recorder.met is not None  # noqa: S101 - it was given
        self.report = Report(log=recorder.log, met=recorder.met)
        self._fault = _Tracing(at, what, under=recorder, within=str(folder))
        self._fault.run = self
        self._opened = Opened(folder)

    def __call__(self) -> Report:
        """Run to the end, or to the call where the program is killed."""
        report, fault = self.report, self._fault
        with self._watched():
            try:
                call_scenario(self._scenario, self.folder, self._done)
                report.completed = not fault.dead
            except Killed:
                pass  # it is dead, as it should be
            except Exception as error:  # noqa: BLE001 - it is told, not judged
                report.error = None if fault.dead else error
            finally:
                self._end()
        return report

    def _done(self, what: Any) -> None:
        if self._fault.dead:
            raise Killed
        # As it is now: the scenario may go on to change it.
        self.report.done.append(deepcopy(what))

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Put the disk in our hands, and hear of each database that is opened."""
        with ExitStack() as stack:
            stack.enter_context(injected(self._fault))
            stack.enter_context(self._opened.watched())
            for owner, name, stand_in in (
                (Job, "start", _at_once(Job[Any].start)),
                (sys, "unraisablehook", without(Killed, sys.unraisablehook)),
            ):
                stack.enter_context(replaced(owner, name, stand_in))
            yield

    def _end(self) -> None:
        self._fault.dead = True
        self._opened.end()
        self.sum_up()

    def sum_up(self) -> None:
        """Complete the report."""
        self.report.home = self._opened.home
        self.report.models = self._opened.models()


def call_scenario(
    scenario: Scenario, folder: Path, done: Callable[[Any], None]
) -> None:
    """Call it; one that wants to be told less is given less."""
    wanted = inspect.signature(scenario).parameters.values()
    positional = {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }
    act = cast("Callable[..., object]", scenario)
    if sum(p.kind in positional and p.default is p.empty for p in wanted) > 1:
        act(folder, done)
    else:
        act(folder)


def _at_once(
    real: Callable[[Job[Any]], Job[Any]],
) -> Callable[[Job[Any]], Job[Any]]:
    """Let what nobody waits for be done at once, so that each run makes the same calls."""

    def start(job: Job[Any]) -> Job[Any]:
        real(job)
        if not job.is_awaited:
            job.join(timeout_s=1.0)  # it may wait for what this thread has
        return job

    return start


def without(
    kind: type[BaseException], real: Callable[[Any], object]
) -> Callable[[Any], object]:
    """Say nothing of a finalizer that was ended so: it was we who did it."""

    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, kind):
            real(unraisable)

    return hook
