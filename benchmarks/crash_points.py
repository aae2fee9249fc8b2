"""How many crash points a scenario has, and what it costs to try them all.

Counted are the runs and what a check does as a rule: reopen, and look for what was
acknowledged.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import Report, Table, Target, arguments, duration

from storify import Model, Storify
from storify.testing import CrashPoints, crash_points

#: What 100 points should take.
TARGET_S = 1.0
ROUNDS, QUICK_ROUNDS = 5, 1


class User(Model):
    """A record."""

    name: str
    age: int = 0
    tags: tuple[str, ...] = ()


def one_save(root: Path, done: Callable[[str], None]) -> None:
    """Make a database with one record."""
    with Storify(root, save_interval=None) as sf:
        users = sf.get_db("users", model=User)
        users["u1"] = User("Ann")
        users.flush()
        done("u1")


def several_saves(root: Path, done: Callable[[str], None]) -> None:
    """Make it, save five more times, and open it again."""
    one_save(root, done)
    with Storify(root, save_interval=None) as sf:
        users = sf.get_db("users", model=User)
        for number in range(2, 7):
            users[f"u{number}"] = User("Bob", number)
            users.flush()
            done(f"u{number}")


def untyped(root: Path, done: Callable[[str], None]) -> None:
    """As the first one, without a model."""
    with Storify(root, save_interval=None) as sf:
        sf["users"]["u1"] = {"name": "Ann"}
        sf.flush()
        done("u1")


def seconds(points: CrashPoints) -> float:
    """Try all points, and give the time."""
    start = time.perf_counter()
    for crashed in points:
        with crashed.reopen() as sf:
            if not set(crashed.done) <= set(sf["users"]):
                raise AssertionError(crashed)
    return time.perf_counter() - start


def main() -> None:
    """Count and time the points of each scenario."""
    chosen = arguments(__doc__)
    rounds = QUICK_ROUNDS if chosen.quick else ROUNDS
    report, rows = Report(), []
    scenarios: tuple[Callable[..., Any], ...] = (one_save, several_saves, untyped)
    for scenario in scenarios:
        with tempfile.TemporaryDirectory() as folder:
            points = crash_points(scenario, folder)
            times_s = [seconds(points) for _ in range(rounds)]
        rows.append(
            [
                scenario.__name__.replace("_", " "),
                points.summary(),
                duration(min(times_s)),
                duration(min(times_s) / len(points)),
            ]
        )
        report.targets.append(
            Target(
                f"100 crash points of {scenario.__name__}",
                [each_s / len(points) * 100 for each_s in times_s],
                TARGET_S,
                "s",
            )
        )
    header = ["scenario", "points", "all", "each"]
    report.tables.append(Table("Crash points", header, rows))
    report.publish(chosen.json)


if __name__ == "__main__":
    main()
