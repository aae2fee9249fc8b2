"""A fork is one step: no handler of a signal runs before the child is set up.

Python forgets, in a child, the signals that came before it began to run there. With
the default handler such a signal ends the child at once; with one in Python, as ours
is, it would be lost, and who has started a process and ends it waits for ever. One that
comes a little later would run while the child takes what its parent holds for its own,
or cut that short. So they wait from before a fork until the child has let go of all
that is its parent's.
"""

import os
import signal
import threading

__all__ = ["keep_signals_away"]


class _Masks(threading.local):
    """What each thread had blocked when it began to fork.

    Attributes:
        before: The signals; None if it does not fork.
    """

    before: set[int] | None = None


_masks = _Masks()


def keep_signals_away() -> None:
    """Let signals wait while this process is forked.

    Called once, when all else is arranged that is done before and after a fork: what is
    arranged last is done first before it, and last after it.
    """
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(
            before=_block, after_in_parent=_unblock, after_in_child=_unblock
        )


def _block() -> None:
    # Known before it is done: a handler that is due may raise from each of these calls.
    _masks.before = {int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _unblock() -> None:
    before, _masks.before = _masks.before, None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
