"""Which descriptors are ours, so that a forked child can let go of them.

A child gets a copy of each descriptor that is open at the moment of the fork. One of a
lock would keep the lock, as long as the child lives; so a descriptor is known from
before anybody else can fork to after it is closed.
"""

import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["closed", "forget", "opened", "unforked"]

T = TypeVar("T")

#: How long a fork waits for a descriptor that is being opened: it may be on a network.
_PATIENCE_S: Final = 5.0

_open: set[int] = set()

#: Let forked children keep a descriptor, which reads alone; or it is closed. In C.
forget: Final[Callable[[int], None]] = _open.discard


class _Changing:
    """What keeps forks away while a descriptor comes or goes.

    Attributes:
        lock: Held meanwhile, and by a fork.
        is_forking: Whether a fork has it.
    """

    lock = threading.RLock()
    is_forking = False


def opened(how: Callable[..., int], *args: Any) -> int:
    """Open a descriptor."""
    with _Changing.lock:
        fd = how(*args)
        _open.add(fd)
        return fd


def unforked(how: Callable[..., T], *args: Any) -> T:
    """Make a call that has a descriptor only as long as it lasts."""
    with _Changing.lock:
        return how(*args)


def closed(how: Callable[[int], object], fd: int) -> None:
    """Close a descriptor."""
    with _Changing.lock:
        _open.discard(fd)
        how(fd)


def _before_fork() -> None:
    _Changing.is_forking = _Changing.lock.acquire(timeout=_PATIENCE_S)


def _after_fork() -> None:
    if _Changing.is_forking:
        _Changing.is_forking = False
        _Changing.lock.release()


def _forget_parent() -> None:
    _Changing.lock = threading.RLock()
    _Changing.is_forking = False
    for fd in _open:
        try:
            # Only closed: an unlock would free the lock of the parent too.
            os.close(fd)
        except OSError:  # closed by the program, which closes all that it finds
            continue
    _open.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_forget_parent,
    )
