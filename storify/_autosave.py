"""Autosave: a flush at intervals, and nothing else; this module owns no files.

One daemon thread a process calls the autosave of everything it watches. It
holds them weakly, so watching keeps nothing alive, and ends when nothing is
left to watch. A `Storify` may be made in the handler of a signal, so nothing here
waits for a lock. The end of the program is not its business: every open database
flushes itself then (`storify.database`).

A forked child has no such thread and starts none for what it inherited: its
parent saves that.
"""

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

#: The thread sleeps at least so long, whatever it is told.
_SHORTEST_S = 0.05
#: When a target is tried again that raised although it must not.
_AFTER_ERROR_S = 60.0


class Saves(Protocol):
    """Things that can be saved at intervals."""

    def autosave(self) -> float:
        """Save what is due and give the seconds until more is; never raise."""
        ...


class Autosaver:
    """A thread that calls ``autosave()`` of what it watches.

    Args:
        wait: Sleeps for so many seconds or until something new is watched.
    """

    def __init__(self, wait: Callable[[float], object] | None = None) -> None:
        self._wait = wait or self._wait_for_bell
        self.reset()

    def reset(self) -> None:
        """Watch nothing; for a forked child, where the thread does not live."""
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._watched: dict[int, weakref.ref[Saves]] = {}
        #: The thread that runs, under 0; there is one or none.
        self._thread: dict[int, threading.Thread] = {}

    def watch(self, target: Saves) -> None:
        """Call ``target.autosave()`` when it is due, while somebody holds it."""
        here = id(target)
        self._watched[here] = weakref.ref(target, partial(self._watched.pop, here))
        self._bell.put(None)  # it may be due before what the thread waits for
        thread = threading.Thread(
            target=self._run, name="storify-autosave", daemon=True
        )
        try:
            if self._thread.setdefault(0, thread) is thread:
                thread.start()
        except BaseException:
            if self._thread.get(0) is thread and thread.ident is None:
                self._thread.clear()
            raise

    def _run(self) -> None:
        while (delay_s := self._save_due()) is not None:
            self._wait(max(delay_s, _SHORTEST_S))

    def _wait_for_bell(self, seconds: float) -> None:
        with suppress(Empty):
            self._bell.get(timeout=seconds)

    def _save_due(self) -> float | None:
        """Save what is due; None, and the thread is over, if nothing is watched."""
        found = [each() for each in list(self._watched.values())]
        targets = [target for target in found if target is not None]
        if targets:
            return min(map(_save, targets))
        me = self._thread.pop(0, None)
        # Whoever came meanwhile took it that this thread goes on.
        if self._watched and me and self._thread.setdefault(0, me) is me:
            return _SHORTEST_S
        return None


def _save(target: Saves) -> float:
    try:
        return target.autosave()
    except Exception:  # noqa: BLE001 - one broken promise must not end all saving
        # it is there: whoever is watched has loaded it
        from storify.logger import Logger  # noqa: PLC0415 -- it takes 3 ms

        Logger().traceback(f"autosave of {target!r} failed")
        return _AFTER_ERROR_S


#: The one of this process.
autosaver = Autosaver()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=autosaver.reset)
