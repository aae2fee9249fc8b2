"""Signals that would end the process at once: what is dirty is saved first.

SIGTERM and SIGHUP end Python without a word, where the program has no handler for
them. Then ours saves, and lets the signal end the process as it would have. A handler
of the program, or of its server, is left alone. Some servers take the signal, end what
they are doing, give it back to the default handler and raise it again: what they give
it back to is ours then.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from storify.database._forks import keep_signals_away
from storify.database._shutdown import save_all

__all__ = ["save_on_signals"]

_NAMES: Final = ("SIGTERM", "SIGHUP")
_NUMBERS: Final = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

_signal: Final[Callable[[Any, Any], Any]] = signal.signal


def save_on_signals() -> None:
    """Save all when a signal would end the process; done once, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _NUMBERS:
        handler = signal.getsignal(number)
        try:
            if handler is signal.SIG_DFL:
                _signal(number, _save_and_end)
            elif callable(handler) and handler is not _save_and_end:
                # What it gives the signal back to is the default handler, or ours.
                signal.signal = _signal_or_save
        except ValueError:  # in another interpreter of this process
            return


def _signal_or_save(signalnum: Any, handler: Any) -> Any:
    """Set the handler of a signal; in place of the default one, the one that saves."""
    ours = handler == signal.SIG_DFL and signalnum in _NUMBERS
    before = _signal(signalnum, _save_and_end if ours else handler)
    return signal.SIG_DFL if before is _save_and_end else before


def _save_and_end(number: int, frame: FrameType | None) -> None:
    del frame
    try:
        save_all(closing=False)
    finally:
        _signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


keep_signals_away()
