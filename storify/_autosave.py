"""When to flush: at intervals, and nothing else; this module owns no files.

One daemon thread a process calls the autosave of everything it watches. It
holds them weakly, so watching keeps nothing alive, and ends when nothing is
left to watch. The end of the program is not its business: every open database
flushes itself then (`storify.database`).

A forked child has no such thread and starts none for what it inherited: its
parent saves that.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from storify.logger import Logger

__all__ = ["Autosaver", "Saves", "autosaver"]

#: The thread sleeps at least so long, whatever it is told.
_SHORTEST_S = 0.05
#: When a target is tried again that raised although it must not.
_AFTER_ERROR_S = 60.0


class Saves(Protocol):
    """What can be saved at intervals."""

    def autosave(self) -> float:
        """Save what is due and give the seconds until more is; never raise."""
        ...


class Autosaver:
    """A thread that calls ``autosave()`` of what it watches.

    Args:
        wait: Sleeps for so many seconds or until something new is watched.
    """

    def __init__(self, wait: Callable[[float], object] | None = None) -> None:
        self._wake = threading.Event()
        self._wait = wait or self._wake.wait
        self.reset()

    def reset(self) -> None:
        """Watch nothing; for a forked child, where the thread does not live."""
        self._lock = threading.Lock()
        self._watched: weakref.WeakSet[Saves] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def watch(self, target: Saves) -> None:
        """Call ``target.autosave()`` when it is due, while somebody holds it."""
        with self._lock:
            self._watched.add(target)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="storify-autosave", daemon=True
                )
                self._thread.start()
        self._wake.set()  # it may be due before what the thread waits for

    def _run(self) -> None:
        while (delay_s := self._save_due()) is not None:
            self._wait(max(delay_s, _SHORTEST_S))

    def _save_due(self) -> float | None:
        """Save what is due; None, and the thread is over, if nothing is watched."""
        self._wake.clear()
        with self._lock:
            targets = list(self._watched)
            if not targets:
                self._thread = None
        return min(map(_save, targets), default=None)


def _save(target: Saves) -> float:
    try:
        return target.autosave()
    except Exception:  # noqa: BLE001 - one broken promise must not end all saving
        Logger().traceback(f"autosave of {target!r} failed")
        return _AFTER_ERROR_S


#: The one of this process.
autosaver = Autosaver()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=autosaver.reset)
