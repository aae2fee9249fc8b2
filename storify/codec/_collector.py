"""Work that makes many objects at once, without the garbage collector in between."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["collector_paused"]


@contextmanager
def collector_paused() -> Generator[None]:
    """Keep the garbage collector from walking a tree again and again as it grows.

    Two threads may overlap: the one that found it running starts it again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
