"""A run of a scenario, which may end at a disk call, and what it leaves behind."""

import inspect
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, NoReturn, Self, TypeAlias, TypeVar, cast
from weakref import ref

from storify._autosave import Saves, autosaver
from storify._manager import Storify
from storify.codec import Codec
from storify.database.session import shutdown
from storify.database.session.session import Session
from storify.engine import Engine
from storify.engine.file import index
from storify.exceptions import DatabaseClosedError
from storify.models import Registry
from storify.threads import Job

from ._disk import Entry, Fault, Killed, Recorder, injected, replaced

# --- what a scenario opens in its folder: known while it runs, unusable afterwards ----

T = TypeVar("T")

_NEVER_NS = 10**18


class _Ended:
    """Stands where the engine of an ended run was."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> NoReturn:
        msg = (
            f"cannot use a database of a run that has ended at its {self._kind} "
            f"({name}); open what it left with reopen()"
        )
        raise DatabaseClosedError(msg)


class Opened:
    """The databases that a scenario has opened in a folder.

    Attributes:
        home: The folder of the first `Storify`, seen from that of the run.
    """

    def __init__(self, folder: Path, kind: str = "crash point") -> None:
        self._folder = folder
        self._kind = kind
        self._sessions: list[ref[Session]] = []
        self._storifys: list[ref[Storify]] = []
        self._codecs: list[Codec] = []
        self.home: str | None = None

    @contextmanager
    def watched(self) -> Generator[None]:
        """Hear of each database that is opened."""
        with ExitStack() as stack:
            for owner, name, stand_in in (
                (Storify, "__init__", self._made(Storify.__init__)),
                (autosaver, "watch", self._watch(autosaver.watch)),
                (shutdown, "remember", self._remember(shutdown.remember)),
                # How old a file is depends on how fast the machine is: by its age no
                # index counts here, where all runs take the same way.
                (index, "RACY_NS", _NEVER_NS if index.RACY_NS > 0 else index.RACY_NS),
            ):
                stack.enter_context(replaced(owner, name, stand_in))
            yield

    def storifys(self) -> Iterator[Storify]:
        return _living(self._storifys)

    def sessions(self) -> Iterator[Session]:
        return _living(self._sessions)

    def models(self) -> list[type[Any]]:
        """Return the model classes that the databases know, each once."""
        found: dict[type[Any], None] = {}
        for codec in self._codecs:
            registry: Registry = cast("Any", codec._unstructure).__self__
            found.update(dict.fromkeys(registry._by_class))
        return list(found)

    def end(self) -> None:
        """Let nothing write any more: no finalizer, no exit, no object kept."""
        ended = cast("Engine", _Ended(self._kind))
        for session in self.sessions():
            shutdown.forget(session)
            session.engine = session.syncing._engine = ended
        for sf in self.storifys():
            sf._catalog = cast("Any", ended)

    def _holds(self, path: str) -> bool:
        return is_within(self._folder, os.path.abspath(path))

    def _made(self, real: Callable[..., None]) -> Callable[..., None]:
        def init(sf: Storify, *args: Any, **options: Any) -> None:
            real(sf, *args, **options)
            if not self._holds(sf.root):
                return
            self._storifys.append(ref(sf))
            if self.home is None:
                self.home = os.path.relpath(sf.root, self._folder)

        return init

    def _watch(self, real: Callable[[Saves], None]) -> Callable[[Saves], None]:
        """Keep the autosave away: its thread would make each run another one."""

        def watch(target: Saves) -> None:
            if not isinstance(target, Storify) or not self._holds(target.root):
                real(target)

        return watch

    def _remember(self, real: Callable[[Session], None]) -> Callable[[Session], None]:
        def remember(session: Session) -> None:
            real(session)
            if self._holds(session.engine.location):
                self._sessions.append(ref(session))
                self._codecs.append(session.codec)

        return remember


def is_within(folder: Path, path: str) -> bool:
    return f"{path}{os.sep}".startswith(f"{folder}{os.sep}")


def _living(refs: Sequence[ref[T]]) -> Iterator[T]:
    for each in refs:
        found = each()
        if found is not None:  # an empty Storify is false
            yield found


# --- one run of a scenario in a folder of its own, which may end at a disk call -------
#
# After its end nothing of the run writes: its databases count as closed, and their
# engines refuse. Its files are those that it had at that moment.

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
    """The report of a run after its end.

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
    """One run of a scenario in *folder*, which is empty and has no links in its path.

    At the disk call of number *at* happens *what*, as in `Fault`. *last_words* are called
    at the end of a killed run, in the midst of the call: a process of its own ends there.
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


# --- a run in a process of its own, which really ends at its crash point --------------
#
# The process is a new interpreter, so the scenario is looked up there by its name.
# What it has to report, it sends before it ends.


def run_in_child(
    scenario: Scenario, folder: Path, at: int = 0, what: int | str = "kill"
) -> Report:
    """Run as `Run` does, in a process that ends there."""
    _require_importable(scenario)
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, scenario, folder, at, what))
    process.start()
    sender.close()
    with receiver:
        try:
            report: Report | None = receiver.recv()
        except EOFError:
            report = None
    process.join()
    code = process.exitcode
    process.close()
    if report is None:
        msg = (
            f"cannot run {scenario!r} in a child process: it ended with code {code} "
            f"before the scenario did; see what it wrote to stderr"
        )
        raise RuntimeError(msg)
    return report


def _require_importable(scenario: Scenario) -> None:
    name = getattr(scenario, "__qualname__", "")
    found: object = sys.modules.get(getattr(scenario, "__module__", ""))
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not scenario:
        msg = (
            f"cannot run {scenario!r} in a child process: it is not found by its "
            f"name; use a function of a module"
        )
        raise TypeError(msg)


def _run(  # pragma: no cover - it is killed, and its coverage with it
    sender: "Connection[Report, Report]",
    scenario: Scenario,
    folder: Path,
    at: int,
    what: int | str,
) -> None:
    def end() -> NoReturn:
        run.sum_up()
        _send(sender, run.report)
        # Without SIGKILL, which is on Windows, this ends it as suddenly.
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        os._exit(1)

    run = Run(scenario, folder, at, what, last_words=end)
    run()
    end()


def _send(  # pragma: no cover - as above
    sender: "Connection[Report, Report]", report: Report
) -> None:
    if report.error is not None:
        # The traceback stays behind.
        report.error.add_note("".join(traceback.format_exception(report.error)))
    try:
        sender.send(report)
    except Exception as error:  # noqa: BLE001 - the others are to be closed, too
        msg = (
            f"cannot report from a child process: {error}; give to done(...), and "
            f"raise, what can be pickled"
        )
        sender.send(Report(calls=report.calls, error=RuntimeError(msg)))


# --- what a run left behind: its files, what was promised, and a `Storify` over them ---

P = TypeVar("P")

#: It tells warnings: that a run which was cut off has left temporary files is no news.
LOG = logging.getLogger("storify.crashed")
LOG.setLevel(logging.WARNING)


class Left(Generic[P]):
    """The state left behind by a run that was ended, or struck, at one point.

    Args:
        kind: What the point is called, for messages.
        point: Where it happened.
        root: The folder with its files.
        home: The folder of its first `Storify`, seen from *root*.
        models: The classes that its databases knew.
    """

    def __init__(
        self,
        kind: str,
        point: P,
        root: "os.PathLike[str]",
        home: str | None,
        models: list[type[Any]],
    ) -> None:
        self.point = point
        self._kind = kind
        self._folder = os.fspath(root)
        self._home = home
        self._models = models
        self._reopened: list[_Survivor] = []

    def reopen(
        self, folder: str | os.PathLike[str] | None = None, **options: Any
    ) -> Storify:
        """Open what is on disk, as the next start of the program would.

        It is closed when the loop moves on.

        Args:
            folder: Inside of `root`; that of the first `Storify` that the scenario
                made unless given.
            options: Of `Storify`. *models* are the classes that the databases of
                the scenario knew unless given, *save_interval* is None, *log* the
                logger ``storify.crashed``. What was registered as a type must be
                given again.
        """
        inside = (self._home or "") if folder is None else os.fspath(folder)
        given: dict[str, Any] = {
            "models": self._models,
            "save_interval": None,
            "log": LOG,
        }
        sf = _Survivor(os.path.join(self._folder, inside), **{**given, **options})
        sf.left = self
        self._reopened.append(sf)
        return sf

    def close(self) -> None:
        """Close what was reopened; it is done for you.

        Raises:
            The errors of `Storify.close`.
        """
        while self._reopened:
            self._reopened.pop().close()

    def tell(self, error: BaseException) -> None:
        """Note in an exception where it was."""
        note = f"{self._kind}: {self.point}\nwhat it left: {self._folder}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def __enter__(self) -> Self:
        """Return this object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what was reopened; name the point in the exception."""
        if error is None:
            self.close()
            return
        self.tell(error)
        try:
            self.close()
        except Exception as late:  # noqa: BLE001 - the first error is the one to see
            error.add_note(f"closing what was reopened failed, too: {late!r}")


class _Survivor(Storify):
    """A `Storify` that says at which point its block failed."""

    left: Left[Any]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Name the point in the exception, and close."""
        if error is not None:
            self.left.tell(error)
        super().__exit__(kind, error, traceback)


# --- what is logged at a point, shown if the test fails there -------------------------
#
# A loop over points that pass makes as many warnings as it has points: of databases
# that were cut off, which is what the points are for. They would stand before those of
# the one point that fails.

_OF_RUNS = logging.getLogger("storify")


@contextmanager
def held_back(
    earlier: Sequence[logging.LogRecord] | None = None,
) -> Generator[list[logging.LogRecord]]:
    """Hold back what Storify logs in the block; show it if an exception leaves it.

    *earlier* is what the run logged that led to this point. The block is the test's then,
    and only what it reopened is held back.
    """
    records = list(earlier or ())
    loggers = (LOG, _OF_RUNS) if earlier is None else (LOG,)

    def hold(record: logging.LogRecord) -> bool:
        records.append(record)
        return False

    try:
        with ExitStack() as stack:
            for logger in loggers:
                logger.addFilter(hold)
                stack.callback(logger.removeFilter, hold)
            yield records
    except BaseException:  # also when the loop is left, which ends its generator
        for record in records:
            logging.getLogger(record.name).handle(record)
        raise


# --- how many points are tried where somebody has another depth in mind than the test ---

#: In a tuple: None is a depth, too.
_asked: ContextVar[tuple[int | None] | None] = ContextVar("depth", default=None)


@contextmanager
def depth(most: int | None) -> Generator[None]:
    """Let each ``crash_points``, and its twin, in the block try so many points, None for all.

    The pytest plugin calls it, for ``--storify-crash``.
    """
    token = _asked.set((most,))
    try:
        yield
    finally:
        _asked.reset(token)


def most_of(given: int | None) -> int | None:
    """Return the number of points to try, where the scenario's author said *given*."""
    asked = _asked.get()
    return given if asked is None else asked[0]
