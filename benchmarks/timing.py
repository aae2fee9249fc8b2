"""Measuring on shared, noisy machines: interleaved rounds, medians, ratios."""

import gc
import statistics
import time
from collections.abc import Callable

__all__ = ["Measured", "measure", "print_table"]


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


def measure(
    actions: dict[str, Callable[[], object]], *, rounds: int = 7
) -> dict[str, Measured]:
    """Run all *actions* in turn, *rounds* times, after one warm-up.

    Taking turns lets a slow moment of the machine hit all of them alike. The
    collector is off while an action runs, for all alike.
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
            del kept
            if counted:
                results[name].times_s.append(elapsed_s)
    return results


def print_table(
    title: str, results: dict[str, Measured], *, base: str, count: int = 1
) -> None:
    """Print medians and ratios against *base*, with their spread over the rounds."""
    print(f"\n{title}")
    print(f"  {'':34} {'median':>10} {'x base':>8}   spread")
    for result in results.values():
        ratios = [
            mine / theirs
            for mine, theirs in zip(result.times_s, results[base].times_s, strict=True)
        ]
        unit = (
            f"{result.median_s / count * 1e6:8.2f}us"
            if count > 1
            else f"{result.median_s * 1e3:8.2f}ms"
        )
        print(
            f"  {result.name:34} {unit:>10} {statistics.median(ratios):8.2f}"
            f"   {min(ratios):.2f}-{max(ratios):.2f}"
        )
