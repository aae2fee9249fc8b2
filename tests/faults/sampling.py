"""How much is tried, as ``STORIFY_DEPTH`` says: ``quick``, ``ci`` or ``soak``.

Quick is what is done by default. A test server does twice as much, a soak
everything. Tests of one depth try the same in each run; ``STORIFY_SEED`` set to
anything moves the samples.
"""

import itertools
import os
import random
import sys
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

DEPTH = os.environ.get("STORIFY_DEPTH") or "quick"
SOAK = DEPTH == "soak"

#: How many times as much as in a quick run.
TIMES = {"quick": 1, "ci": 2, "soak": sys.maxsize}[DEPTH]


def runs(quick: int, soak: int) -> int:
    """How often a thing is done."""
    return min(quick * TIMES, soak)


def fewer(quick: int, otherwise: int) -> int:
    """How often a thing is done that a quick run alone does less often."""
    return quick if DEPTH == "quick" else otherwise


def seeded(*what: object) -> random.Random:
    """Chance that is the same in each run of one test."""
    return random.Random(repr((os.environ.get("STORIFY_SEED"), what)))  # noqa: S311


def sample(items: Sequence[T], quick: int, *what: object) -> list[T]:
    """*quick* items or as many times more, spread over the whole length."""
    count = quick * TIMES
    if len(items) <= count:
        return list(items)
    chance = seeded(*what)
    edges = [len(items) * part // count for part in range(count + 1)]
    return [
        items[chance.randrange(low, high)] for low, high in itertools.pairwise(edges)
    ]
