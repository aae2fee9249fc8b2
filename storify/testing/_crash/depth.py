"""How many points are tried where somebody has another depth in mind than the test."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["depth", "most_of"]

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
