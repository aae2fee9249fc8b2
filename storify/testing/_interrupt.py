"""Interrupt points: a scenario of yours, interrupted anywhere inside of Storify.

What coverage cannot see, because it does not trace meanwhile, is marked *untraced*.
"""

import gc
import os
import sys
import tempfile
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from storify._manager import Storify
from storify.database import Database
from storify.engine.file import lock
from storify.engine.file.snapshot import descriptors_held
from storify.threads import Job, _saver, finish_all

from ._crash import (
    WORK_S,
    fresh,
    make_work,
    remove_work,
    require_most,
    spread,
)
from ._disk import replaced
from ._runs import (
    Left,
    Opened,
    Scenario,
    call_scenario,
    held_back,
    is_within,
    most_of,
)
from ._same import difference
from ._tracing import BYS, By, Place, Spot, call_traced, number_visits

# --- saver threads in step with the thread that is interrupted ------------------------
#
# What is handed to a saver thread is begun when its caller waits for it, and the caller
# goes on when it has ended: so it can be interrupted before the work and after it, each
# time at the same place.


_AnyJob = Job[Any]

#: How long it is waited until a saver thread has nothing to do.
_IDLE_S: Final = 0.1
#: How long work is waited for that may itself wait for this thread.
_PATIENCE_S: Final = 1.0


@contextmanager
def in_step() -> Generator[None]:
    """Let the saver threads keep in step with this thread in the block.

    At its end all work has ended.
    """
    finish_all(WORK_S)
    Job(list).start().join()  # so that there is a saver thread
    steps = _Steps()
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (Job, "start", steps.start(Job[Any].start)),
            (Job, "run", steps.run(Job[Any].run)),
            (Job, "on_end", steps.on_end(Job[Any].on_end)),
            (_saver, "allocate_lock", steps.bell),
        ):
            stack.enter_context(replaced(owner, name, stand_in))
        try:
            yield
        finally:
            steps.begin()
            finish_all(WORK_S)


class _Steps:
    """The turns of the threads of a run."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        #: What opens for work that was handed over and must not begin yet.
        self._gates: dict[_AnyJob, threading.Event] = {}

    def begin(self) -> None:
        while self._gates:
            _, gate = self._gates.popitem()
            gate.set()

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def start(self, real: Callable[[_AnyJob], _AnyJob]) -> Callable[[_AnyJob], _AnyJob]:
        def start(job: _AnyJob) -> _AnyJob:  # pragma: no cover - untraced
            if not self.is_here():
                return real(job)
            _wait_until(_is_settled, _IDLE_S)
            if job.is_awaited:
                self._gates[job] = threading.Event()
                return real(job)
            real(job)
            # It may wait for what this thread has.
            _wait_until(lambda: job.is_ended, _PATIENCE_S)
            return job

        return start

    def run(self, real: Callable[[_AnyJob], None]) -> Callable[[_AnyJob], None]:
        def run(job: _AnyJob) -> None:
            gate = self._gates.get(job)
            if gate is not None and not self.is_here():
                gate.wait(WORK_S)
            real(job)

        return run

    def on_end(
        self, real: Callable[[_AnyJob, Callable[[], object]], None]
    ) -> Callable[[_AnyJob, Callable[[], object]], None]:
        def on_end(
            job: _AnyJob, action: Callable[[], object]
        ) -> None:  # pragma: no cover - untraced
            real(job, action)
            self.begin()

        return on_end

    def bell(self) -> "_Bell":
        """Make what the end of work is waited for with."""
        return _Bell(self)


class _Bell:  # pragma: no cover - untraced
    """A lock that lets work begin when its end is waited for."""

    def __init__(self, steps: _Steps) -> None:
        self._steps = steps
        self._lock = allocate_lock()

    def acquire(self, timeout: float = -1) -> bool:
        if timeout < 0:
            return self._lock.acquire()
        self._steps.begin()
        return self._lock.acquire(timeout=WORK_S if self._steps.is_here() else timeout)

    def release(self) -> None:
        self._lock.release()


def _is_settled() -> bool:
    """Whether there is an idle saver thread, or none will be soon."""
    savers = sum(each.name == "storify-saver" for each in threading.enumerate())
    return bool(_saver._idle) or len(_saver._jobs) >= savers


def _wait_until(is_so: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not is_so() and time.monotonic() < until:
        time.sleep(0)


# --- one run of a scenario in a folder of its own, struck at a place inside of Storify ---

Strike = Callable[[], object]
"""What happens at a place: it raises, or does what the handler of a signal does."""


class Run:
    """One run of a scenario in *folder*, which goes on after it was struck at *place*.

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

    def _done(self, what: Any) -> None:  # pragma: no cover - untraced
        # As it is now: the scenario may go on to change it.
        self.done.append(deepcopy(what))

    def _meet(self, spot: Spot) -> None:  # pragma: no cover - untraced
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
        ) -> None:  # pragma: no cover - untraced
            real(sf, *args, **options)
            if any(each is sf for each in self.opened.storifys()):
                self.live.append(sf)

        return init

    def _without_ours(self, real: Callable[[Any], object]) -> Callable[[Any], object]:
        """Say nothing of a finalizer that we interrupted."""

        def hook(unraisable: Any) -> None:  # pragma: no cover - untraced
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


# --- what an interrupt left: live objects, and what is on disk ------------------------

#: Where a system tells what this process has open.
_FDS = Path("/proc/self/fd")


class Interrupted(Left[Place]):
    """The state after one interrupt point, when the program has dealt with it.

    As a context manager it closes what was reopened, and an exception that leaves
    the block gets a note that names the point; so does one that leaves
    ``with interrupted.reopen() as sf:``.

    Attributes:
        point: Where it was; ``str()`` of it is one line.
        root: The folder that the scenario got; removed when the loop moves on.
        done: What the scenario had given to ``done(...)``, in order.
        error: What the scenario raised: the interrupt itself as a rule; None if it
            returned.
        completed: Whether the scenario returned: it dealt with the interrupt by
            itself, or a handler was run and raised nothing.
        live: Each `Storify` that the scenario had made in its folder, with the
            databases that it had open: they are as the interrupt left them.
    """

    def __init__(self, point: Place, run: Run) -> None:
        models = run.opened.models()
        super().__init__("interrupt point", point, run.folder, run.opened.home, models)
        self.root: Path = run.folder
        self.done: list[Any] = list(run.done)
        self.error: BaseException | None = run.error
        self.completed: bool = run.completed
        self.live: tuple[Storify, ...] = tuple(run.live)
        self._opened = run.opened

    @property
    def databases(self) -> list[Database[Any, Any]]:
        """The databases that are open in `live`."""
        return [db for sf in self.live for db in sf.databases if not db.defunct]

    @property
    def locks(self) -> list[str]:
        """The names of databases of which a lock is held."""
        files = [
            os.path.relpath(path, self.root)
            for path in list(lock._holds)
            if is_within(self.root, path) and lock._held(path) is not None
        ]
        turns = [
            session.name
            for session in self._opened.sessions()
            if session.lock.holder() is not None
        ]
        return sorted({*files, *turns})

    @property
    def descriptors(self) -> list[str]:
        """The files in `root` that are open in this process, where Linux tells it.

        Without those that an open database reads its records from.
        """
        links = list(_FDS.iterdir()) if _FDS.is_dir() else []
        held = set(map(str, descriptors_held()))
        ours = (link for link in links if link.name not in held)
        paths = (path for link in ours for path in _target(link))
        return sorted(path for path in paths if is_within(self.root, path))

    def assert_sound(self, **options: Any) -> None:
        """See that Storify has kept its own promises, whatever your program's are.

        No lock is held and no file is left open; the databases in `live` can be
        flushed, have nothing unsaved then, and are on disk what they are in memory.
        They are flushed by this.

        Args:
            options: Of `reopen`.

        Raises:
            AssertionError: It is not so.
        """
        wrong = list(self._left_behind())
        for db in self.databases:
            wrong += self._flushed(db, options)
        wrong += self._left_behind()
        if wrong:
            error = AssertionError("; ".join(dict.fromkeys(wrong)))
            self.tell(error)
            raise error

    def _left_behind(self) -> Iterator[str]:
        for each in self.locks:
            yield f"a lock is held: {each}"
        for path in self.descriptors:
            yield f"a file is left open: {os.path.relpath(path, self.root)}"

    def _flushed(
        self, db: Database[Any, Any], options: dict[str, Any]
    ) -> Iterator[str]:
        if db._source.use.readonly:
            return
        try:
            db.flush()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            yield f"the next flush of {db.name!r} raises {error!r}"
            return
        if keys := db.dirty():
            yield f"{db.name!r} is dirty after a flush: {keys!r}"
        folder, name = os.path.split(os.path.relpath(db.path, self.root))
        with self.reopen(folder, **options) as sf:
            there = sf.get_db(name.removesuffix(".mpack"), readonly=True)
            found = difference(_content(db), _content(there))
        if found is not None:
            yield f"{db.name!r} is not on disk what it is in memory: {found}"

    def end(self) -> None:
        """Let nothing of the run write any more."""
        self._opened.end()

    def __repr__(self) -> str:
        """Tell the point, what was done and what was raised."""
        raised = "" if self.error is None else f", error={self.error!r}"
        return f"<Interrupted {self.point}; done={self.done!r}{raised}>"


def _content(db: Database[Any, Any]) -> Any:
    root = cast("dict[Any, Any] | list[Any]", db.data)
    return list(root) if isinstance(root, list) else dict(root.items())


def _target(link: Path) -> Iterator[str]:
    try:
        yield os.readlink(link)
    except FileNotFoundError:  # that by which the folder was read
        return


# --- the interrupt points of a scenario, one after the other --------------------------

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
    kind = error if isinstance(error, type) else type(error)
    what = kind.__name__ if handler is None else "handler"
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
        if by not in BYS:
            msg = f"by must be one of {BYS}: {by!r}"
            raise ValueError(msg)
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
        """Run until it comes to its place; fail if it does not, or a check in it did."""
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
) -> NoReturn:  # pragma: no cover - untraced
    """Raise an error, as if it had not been raised before."""
    if isinstance(error, BaseException):
        error.__context__ = None
    raise error
