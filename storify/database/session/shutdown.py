"""The last flush of a database: when nobody holds it any more, or at the end.

A finalizer may run at any moment: the collector starts it in the middle of whatever a
thread is doing, also of a commit, or inside of the parser. So all that it does is hand
the session to a saver thread.

However a process ends, as far as Python lets us see it, what is dirty is saved then;
what cannot be is put aside, and said in a few lines:

    normal end, SystemExit, an exception, Ctrl-C     atexit
    a child of multiprocessing                       its finalizers: it skips atexit
    SIGTERM, SIGHUP                                  a handler of ours

Other threads may go on until the very end, as those that answer requests. So where
nothing comes after the last save, a database is not given back: who changes it waits.

A forked child does not save what its parent holds. What it changes of it is said once.

**Signals.** SIGTERM and SIGHUP end Python without a word, where the program has no
handler for them; and so does SIGINT where somebody took Python's own handler away. Then
ours saves, and lets the signal end the process as it would have. A handler of the
program, or of its server, is left alone. Some servers take the signal, end what they
are doing, give it back to the default handler and raise it again: what they give it
back to is ours then. Only the main thread can set a handler, and a database may be
opened in another one. So ours is set when this module is imported, and does nothing
more than the default one before somebody opens a database that wants it.

**Forks.** A fork is one step: no handler of a signal runs before the child is set up.
Python forgets, in a child, the signals that came before it began to run there. With the
default handler such a signal ends the child at once; with one in Python, as ours is, it
would be lost, and who has started a process and ends it waits for ever. One that comes
a little later would run while the child takes what its parent holds for its own, or cut
that short. So they wait from before a fork until the child has let go of all that is
its parent's.
"""

import atexit
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from storify.database.session.keys import contents
from storify.exceptions import DatabaseLockedError, StaleStateError
from storify.threads import Caller, Job, Turn, finish_all, in_saver, patience

if TYPE_CHECKING:
    from storify.database.session.session import Session
    from storify.engine import Engine
    from storify.logger import LoggerLike

__all__ = [
    "finalize",
    "finish_orphans",
    "forget",
    "heed_signals",
    "is_open",
    "open_sessions",
    "remember",
    "save_all",
    "save_at_exit",
    "save_before_signal",
]


#: How long the end of a program waits for a lock that somebody else has.
_PATIENCE_S: Final = 8.0
#: How many lines the end of a program says at most.
_LINES: Final = 10

#: Sessions that may still write, by their ids.
_open: dict[int, "weakref.ref[Session]"] = {}
#: The last flushes that are under way, and whose they are.
_orphans: "dict[Job[Any], Engine]" = {}


def remember(session: "Session") -> None:
    """Count *session* as open: it may still write."""
    _finish_as_a_child()
    here = id(session)
    _open[here] = weakref.ref(session, partial(_open.pop, here))


def forget(session: "Session") -> None:
    """Count *session* as closed: nothing is flushed any more."""
    _open.pop(id(session), None)


def is_open(engine: "Engine") -> bool:
    """Whether a live database of this process uses what *engine* keeps."""
    identity = engine.identity
    return any(each.engine.identity == identity for each in open_sessions())


def open_sessions() -> "list[Session]":
    """All sessions of this process that may still write."""
    found = [each() for each in list(_open.values())]
    return [session for session in found if session is not None]


# -- when nobody holds it any more ----------------------------------------------------


def finalize(session: "Session") -> None:
    """Let the session of a database that nobody holds be flushed, by another thread."""
    if session.is_inherited or id(session) not in _open:
        return
    if session.lock.is_turn_of(_end):
        return  # it is being saved for the last time
    job = Job(partial(_finish_orphan, session), Caller(object(), 0), is_awaited=False)
    _orphans[job] = session.engine
    job.on_end(partial(_orphans.pop, job, None))
    job.start()


def _finish_orphan(session: "Session") -> None:
    _Report(session.log).finish(session, _Step.CLOSE)


def finish_orphans(engine: "Engine") -> None:
    """Wait for last flushes of what *engine* keeps: they come before what follows.

    Unless the caller keeps others out, for whom they would wait.
    """
    if not _orphans or in_saver() or engine.is_locked_by_caller():
        return
    identity = engine.identity
    for job, other in list(_orphans.items()):
        if other.identity == identity:
            job.join()


# -- at the end of the process --------------------------------------------------------


class _End:
    """The end of the process; it has the turn of each database, and keeps it.

    So nobody is told that something was changed which comes too late to be saved.
    """


_end: Final = _End()


def save_before_signal() -> None:
    """Save all that is open before a signal ends the process.

    The first process of a container goes on: its kernel spares it.
    """
    if os.getpid() == 1:
        for session in open_sessions():
            session.autosave()
        return
    _save_all([_Step.SAVE, _Step.KEEP])


def save_all() -> None:
    """Save and close all that is open, or put it aside; other threads may go on.

    As at the end of a child of multiprocessing, which waits for its threads afterwards.
    """
    _save_all([_Step.CLOSE])


@atexit.register
def save_at_exit() -> None:
    """Save all at the end of the program; only threads that are daemons go on."""
    finish_all(_PATIENCE_S)
    _save_all([_Step.SAVE, _Step.KEEP_AND_CLOSE])
    finish_all(_PATIENCE_S)


class _Step(Enum):
    """A step that is taken with each database.

    First all are saved, and then again with nobody else let in any more: who waits for
    one of them may have the lock of another.
    """

    SAVE = auto()
    KEEP = auto()
    CLOSE = auto()
    KEEP_AND_CLOSE = auto()

    @property
    def is_last(self) -> bool:
        """Whether nobody changes anything afterwards."""
        return self in {_Step.KEEP, _Step.KEEP_AND_CLOSE}

    @property
    def closes(self) -> bool:
        """Whether the database is closed."""
        return self in {_Step.CLOSE, _Step.KEEP_AND_CLOSE}


def _save_all(steps: Iterable[_Step]) -> None:
    """Save all that is open, or put it aside, and say so."""
    said = _Report(None)
    interrupt: BaseException | None = None
    for step, session in ((step, each) for step in steps for each in open_sessions()):
        try:
            said.finish(session, step)
        except Exception as error:  # noqa: BLE001 - the other databases are to be saved still
            line = f"ending database {session.name!r} failed: {error}"
            said.say(session.log, line, error)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            interrupt = error
            said.finish(session, step)
    said.close()
    if interrupt is not None:
        raise interrupt


class _Report:
    """The report of the end of databases: a few lines, whatever their number.

    Args:
        log: Where it is said; None: to the log of each database.
    """

    def __init__(self, log: "LoggerLike | None") -> None:
        self._log = log
        self._lines = 0
        self._last: LoggerLike | None = log
        #: Those that were put aside.
        self._aside: set[Session] = set()

    def say(self, log: "LoggerLike", line: str, error: BaseException | None) -> None:
        """Say a line, or count it."""
        self._lines += 1
        self._last = log
        if self._lines < _LINES:
            # it is there: whoever has a database has loaded it
            from storify.logger import report  # noqa: PLC0415 -- it takes 3 ms

            report(log, line, error)
        elif error is not None:
            log.debug(line)

    def close(self) -> None:
        """Tell of the lines that were only counted."""
        more = self._lines - _LINES + 1
        if self._last is not None and more > 0:
            self._last.error(f"{more} more databases were not saved as they should be")

    def finish(self, session: "Session", step: _Step) -> None:
        """Flush for the last time; what cannot be committed is put aside.

        A database that was removed meanwhile is not made again, nor an empty one that
        never was.
        """
        if id(session) not in _open:
            return
        if session.is_inherited:
            self._tell_of_changes(session)
            return
        with patience(_PATIENCE_S):
            frame = sys._getframe()  # noqa: SLF001 - whose end is that of the turn
            turn: Turn | None = None
            try:
                turn = _take(session, None if step.is_last else frame)
                if id(session) not in _open:
                    return  # whoever had the lock has done it
                if session not in self._aside:
                    _flush(session, turn, for_good=step.is_last)
            except Exception as error:  # noqa: BLE001 - there is no next call to raise it in
                if not _is_clean(session, error):
                    self._put_aside(session, error)
            if step.closes and turn is not None:
                self._close(session)

    def _tell_of_changes(self, session: "Session") -> None:
        forget(session)
        if not session.was_told_of_fork and session.is_changed_by_child():
            self.say(session.log, session.words_about_fork(), None)

    def _close(self, session: "Session") -> None:
        try:
            session.close()
        except OSError as error:
            # All is durable; the next opening folds the journal in.
            line = f"closing database {session.name!r} failed: {error}"
            self.say(session.log, line, error)

    def _put_aside(self, session: "Session", error: Exception) -> None:
        if session in self._aside or id(session) not in _open:
            return
        self._aside.add(session)
        lost: list[Exception] = []
        name = session.name
        try:
            entries, is_whole = _storable(session, lost.append)
            where = session.engine.save_unsaved(session.codec.join(entries))
        except Exception as failure:  # noqa: BLE001 - the other databases are to be saved still
            line = f"unsaved data of database {name!r} are lost: {failure}; {error}"
            self.say(session.log, line, failure)
            return
        more = f" (and {len(lost) - 1:,} more like it)" if len(lost) > 1 else ""
        line = (
            f"database {name!r} was not saved: {error}{more}; what can be stored is in "
            f"{where}; {_remedy(session, where)} brings it back"
            if is_whole
            else f"database {name!r} was not saved: {error}{more}; the records that were "
            f"set or changed are in {where}; set them again"
        )
        self.say(session.log, line, error)


def _is_clean(session: "Session", error: Exception) -> bool:
    """Whether nothing is unsaved of a database whose server cannot be reached."""
    if not isinstance(error, OSError):
        return False
    try:
        return not session.dirty()
    except Exception:  # noqa: BLE001 - it is put aside, which tells more
        return False


def _storable(
    session: "Session", report: Callable[[Exception], None]
) -> tuple[dict[bytes, bytes], bool]:
    """Return the entries that can be stored, and whether they are all.

    What memory does not have cannot be had of a server that is away, nor of a state that
    is not kept any more: then it is what was set or changed.
    """
    try:
        return session.root.storable(report), True
    except (OSError, StaleStateError):
        pending, refused = session.begin_look()
        pending.drop()
        for error in refused.values():
            report(error)
        found = contents(pending.changes).items()
        return {key: value for key, value in found if value is not None}, False


def _remedy(session: "Session", where: str) -> str:
    folder, name = os.path.split(where)
    if folder == session.engine.backup_location:
        return f"db.backups.restore({name.removesuffix('.mpack')!r})"
    if "#" in name:
        return f"db.backups.restore({name.rpartition('#')[2]!r})"
    return f"db.load({where!r})"


def _take(session: "Session", frame: FrameType | None) -> Turn:
    """Take the turn for a function, or else for the end of the process.

    Raises:
        DatabaseLockedError, TransactionError: Somebody else has it.
    """
    guard = _end if frame is None else None
    turn = session.lock.take(frame, guard, timeout_s=_PATIENCE_S)
    if turn is None:
        msg = "another thread is inside its lock"
        raise DatabaseLockedError(msg)
    return turn


def _flush(session: "Session", turn: Turn, *, for_good: bool) -> None:
    session.finish_cut_off(_PATIENCE_S)
    session.roll_back_to(0)
    if for_good:
        session.close_for_good()
    if not _is_worth_a_flush(session):
        return
    if turn.is_of_guard() and session.dirty():
        # By the handler of a signal, in the middle of what belongs together.
        msg = "the program ended inside of `with db.lock`"
        raise DatabaseLockedError(msg)
    session.flush()


def _is_worth_a_flush(session: "Session") -> bool:
    """Whether a flush that nobody asked for should write.

    Not a read-only database, nor an empty one that was never saved, nor
    one that was removed meanwhile.
    """
    if session.readonly:
        return False
    if session.version is None:
        return bool(session.data)
    newer = session.engine.changes_since(session.version)
    if newer is None or newer.version is not None or session.engine.open() is not None:
        return True
    session.log.warning(f"database {session.name!r} was removed while it was open")
    return False


# -- signals -------------------------------------------------------------------------

_NAMES: Final = ("SIGTERM", "SIGHUP", "SIGINT")
_NUMBERS: Final = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

_signal: Final = signal.signal


class _Wish:
    """The wish of the program.

    Attributes:
        saves: Whether somebody has opened a database that is to be saved.
    """

    saves = False


def heed_signals(*, wanted: bool) -> None:
    """Save all when a signal would end the process, or leave signals alone.

    Args:
        wanted: What one database wants. All are saved if one of them wants it.
    """
    _Wish.saves |= wanted
    if threading.current_thread() is not threading.main_thread():
        return
    if _Wish.saves:
        _take_over()
    else:
        _give_back()


def _take_over() -> None:
    """Put our handler in place of the default one, now and whenever it comes back."""
    for number in _NUMBERS:
        if signal.getsignal(number) is signal.SIG_DFL:
            try:
                _signal(number, _save_and_end)
            except ValueError:  # in another interpreter of this process
                return
    signal.signal = _signal_or_save


def _give_back() -> None:
    signal.signal = _signal
    for number in _NUMBERS:
        if signal.getsignal(number) is _save_and_end:
            _signal(number, signal.SIG_DFL)


def _signal_or_save(signalnum: Any, handler: Any) -> Any:
    """Set the handler of a signal; in place of the default one, the one that saves."""
    ours = handler == signal.SIG_DFL and signalnum in _NUMBERS
    before = _signal(signalnum, _save_and_end if ours else handler)
    return signal.SIG_DFL if before is _save_and_end else before


def _save_and_end(number: int, frame: FrameType | None) -> None:
    del frame
    try:
        if _Wish.saves:
            save_before_signal()
    finally:
        _signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        # Still here: the first process of a container, which its kernel spares.
        _signal(number, _save_and_end)


# -- children -------------------------------------------------------------------------


class _Child:
    """The process that has arranged for its end as a child of multiprocessing.

    Attributes:
        pid: Its number.
    """

    pid = 0


def _finish_as_a_child() -> None:
    """Arrange that a child of multiprocessing saves at its end: it skips atexit."""
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return
    if _Child.pid != os.getpid():
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, save_all, exitpriority=100)
        _Child.pid = os.getpid()


def _begin_as_a_child() -> None:
    """Let go, in a forked child, of what its parent has open."""
    for session in open_sessions():
        session.reopen()
        session.after_fork()
    _orphans.clear()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # It clears its finalizers first, so only now is told what is to be done then.
        util.register_after_fork(_Child, _finish_forked)


def _finish_forked(_: Callable[[], object]) -> None:
    _finish_as_a_child()


class _Masks(threading.local):
    """The signals that each thread had blocked when it began to fork.

    Attributes:
        before: The signals; None if it does not fork.
    """

    before: set[int] | None = None


_masks = _Masks()


def _block() -> None:
    # Known before it is done: a handler that is due may raise from each of these calls.
    _masks.before = {int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _unblock() -> None:
    before, _masks.before = _masks.before, None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- what is arranged when this is imported ----------------------------------------------

if threading.current_thread() is threading.main_thread():  # pragma: no branch
    _take_over()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_begin_as_a_child)
    # What is arranged last is done first before a fork, and last after it.
    os.register_at_fork(
        before=_block, after_in_parent=_unblock, after_in_child=_unblock
    )
