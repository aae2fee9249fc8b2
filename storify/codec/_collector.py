"""Work that makes many objects at once, without the garbage collector in between."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from storify.threads import is_finished

__all__ = ["without_collector"]

T = TypeVar("T")


class _Paused:
    """Who turned the collector off last, to turn it on again."""

    by: FrameType | None = None


def without_collector(action: Callable[[], T]) -> T:
    """Keep the garbage collector from walking a tree again and again as it grows.

    Two threads may overlap: the one that found it running starts it again. So does
    whoever comes after one that was cut off before it could.
    """
    if not gc.isenabled() and not (_Paused.by and is_finished(_Paused.by)):
        return action()
    try:
        _Paused.by = sys._getframe()  # noqa: SLF001 - that of the one who must end it
        gc.disable()
        return action()
    finally:
        gc.enable()
        _Paused.by = None
