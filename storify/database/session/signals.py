"""Signals that would end the process at once: what is dirty is saved first.

SIGTERM and SIGHUP end Python without a word, where the program has no handler for
them; and so does SIGINT where somebody took Python's own handler away. Then ours saves,
and lets the signal end the process as it would have.

A handler of the program, or of its server, is left alone. Some servers take the signal,
end what they are doing, give it back to the default handler and raise it again: what
they give it back to is ours then.

Only the main thread can set a handler, and a database may be opened in another one. So
ours is set when this module is imported, and does nothing more than the default one
before somebody opens a database that wants it.
"""

import signal
import threading
from types import FrameType
from typing import Any, Final

from storify.database.session.forks import keep_signals_away
from storify.database.session.shutdown import save_before_signal

__all__ = ["heed_signals"]

_NAMES: Final = ("SIGTERM", "SIGHUP", "SIGINT")
_NUMBERS: Final = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

_signal: Final = signal.signal


class _Wish:
    """What the program wants.

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


if threading.current_thread() is threading.main_thread():  # pragma: no branch
    _take_over()
keep_signals_away()
