"""Measuring on shared, noisy machines: interleaved rounds, medians, ratios."""

import gc
import statistics
import time
from collections.abc import Callable

from report import Table, duration, factor

__all__ = ["Measured", "compared", "measure"]


class Measured:
    """The times of one thing, in seconds.

    Attributes:
        name: What was measured.
        times_s: One for each round.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.times_s: list[float] = []

    @property
    def median_s(self) -> float:
        """The middle time."""
        return statistics.median(self.times_s)

    def over(self, base: "Measured") -> list[float]:
        """Give the ratio to *base* in each round."""
        pairs = zip(self.times_s, base.times_s, strict=True)
        return [mine / theirs for mine, theirs in pairs]


def measure(
    actions: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    after: Callable[[object], object] | None = None,
) -> dict[str, Measured]:
    """Run all *actions* in turn, *rounds* times, after one warm-up.

    Taking turns lets a slow moment of the machine hit all of them alike. The
    collector is off while an action runs, for all alike. What an action gives is
    dropped untimed, through *after* if given.
    """
    results = {name: Measured(name) for name in actions}
    for counted in [False, *[True] * rounds]:
        for name, action in actions.items():
            gc.collect()
            gc.disable()
            start = time.perf_counter()
            kept = action()
            elapsed_s = time.perf_counter() - start
            gc.enable()
            if after:
                after(kept)
            del kept
            if counted:
                results[name].times_s.append(elapsed_s)
    return results


def compared(
    title: str, results: dict[str, Measured], *, base: str, count: int = 1
) -> Table:
    """Give medians, each divided by *count*, and ratios against *base*."""
    rows = []
    for result in results.values():
        ratios = sorted(result.over(results[base]))
        rows.append(
            [
                result.name,
                duration(result.median_s / count),
                f"{factor(statistics.median(ratios))}×",  # noqa: RUF001 - times
                f"{factor(ratios[0])}–{factor(ratios[-1])}",  # noqa: RUF001 - range
            ]
        )
    return Table(title, ["", "median", "ratio", "spread"], rows)
