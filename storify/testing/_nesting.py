"""How deep in records the value is that is drawn: recursive models must end.

What is drawn is decided by the level alone, so a failing example shrinks as others.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from hypothesis import strategies as st

__all__ = ["deeper", "few", "is_endless", "one_level", "shallow"]

_LEVELS: Final = 3
_ENDLESS: Final = 30


class _Level(threading.local):
    value = 0


_level: Final = _Level()


@contextmanager
def deeper() -> Generator[None]:
    """Draw what is in here one level deeper."""
    _level.value += 1
    try:
        yield
    finally:
        _level.value -= 1


def is_endless() -> bool:
    """Tell whether the value is so deep that each of its kind must hold another."""
    return _level.value > _ENDLESS


@st.composite
def one_level(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    """Return of *inner*, one level deeper."""
    with deeper():
        return draw(inner)


@st.composite
def shallow(
    draw: st.DrawFn, full: st.SearchStrategy[Any], flat: st.SearchStrategy[Any]
) -> Any:
    """Return of *full*, or of *flat* where it is deep enough already."""
    return draw(flat if _level.value > _LEVELS else full)


@st.composite
def few(
    draw: st.DrawFn,
    least: int,
    most: int | None,
    make: Callable[[int, int | None], st.SearchStrategy[Any]],
) -> Any:
    """Return collections of records, smaller ones the deeper they are.

    Args:
        draw: Hypothesis'.
        least: The least size.
        most: The largest, None for any.
        make: Gives those of a least and a largest size.
    """
    # its own level is 1 for what a field of the outermost record holds
    by_level = {0: most, 1: 3, 2: 1, 3: 1}
    caps = [n for n in (most, by_level.get(_level.value, 0)) if n is not None]
    return draw(make(least, max(least, min(caps)) if caps else None))
