"""How much is tried: a sample, or everything with ``STORIFY_SOAK=1``.

A sample is the same in each run. ``STORIFY_SEED`` set to anything moves it.
"""

import itertools
import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SOAK = os.environ.get("STORIFY_SOAK") == "1"


def runs(quick: int, soak: int) -> int:
    """How often a thing is done."""
    return soak if SOAK else quick


def seeded(*what: object) -> random.Random:
    """Chance that is the same in each run of one test."""
    return random.Random(repr((os.environ.get("STORIFY_SEED"), what)))  # noqa: S311


def sample(items: Sequence[T], quick: int, *what: object) -> list[T]:
    """All items in a soak; else *quick* of them, spread over the whole length."""
    if SOAK or len(items) <= quick:
        return list(items)
    chance = seeded(*what)
    edges = [len(items) * part // quick for part in range(quick + 1)]
    return [
        items[chance.randrange(low, high)] for low, high in itertools.pairwise(edges)
    ]
