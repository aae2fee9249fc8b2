"""Which older states are kept: the last ones, then one an hour, one a day.

Hours and days are those that the clock showed, in the order of the commits. It may
have been wrong: what it showed in between two hours that are in order, and is not
between them itself, is no hour of its own, and takes the place of none::

    10 h   11 h   (2036)   12 h   13 h
    14 h   15 h   (1970)   16 h   17 h
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby, takewhile
from typing import NamedTuple

__all__ = ["Keep", "dropped"]


class Keep(NamedTuple):
    """A policy for older states.

    Attributes:
        last: How many of the newest are kept; at least the newest good one is.
            5 unless set, as in release 0.0.11. 0 makes none at a commit.
        hourly: For how many hours, of those that have a state, the newest of the
            hour is kept as well. Hours and days are those of UTC.
        daily: For how many days the newest of the day is kept as well.
    """

    last: int = 5
    hourly: int = 0
    daily: int = 0

    @classmethod
    def of(cls, keep: "Keep | int | None") -> "Keep":
        """Return a policy; a number is that of the last ones, None the default.

        Raises:
            ValueError: A number is negative.
            TypeError: It is no policy at all.
        """
        if keep is None:
            return cls()
        policy = keep if isinstance(keep, Keep) else cls(keep)
        if any(type(count) is not int for count in policy):
            msg = f"keep must be a number of backups, or a Keep of numbers: {keep!r}"
            raise TypeError(msg)
        if min(policy) < 0:
            msg = f"keep must not be negative: {keep!r}"
            raise ValueError(msg)
        return policy


def _hour(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y%m%d%H}"


def _day(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y%m%d}"


def dropped(times: Sequence[datetime | None], keep: Keep, now: datetime) -> list[int]:
    """Return which states go, by their place in *times*, newest first.

    A state without a time counts for the last ones alone. The first stays always.

    Args:
        times: What the clock said at the commits.
        keep: The policy.
        now: What it says.
    """
    least = max(keep.last, 1)
    if not (keep.hourly or keep.daily):
        return list(range(least, len(times)))
    stay: set[int] = set()
    dated = list(takewhile(lambda time: time is not None, times))
    rules: list[tuple[int, Callable[[datetime], str]]] = [
        (keep.hourly, _hour),
        (keep.daily, _day),
    ]
    for count, period in rules:
        if not count:
            continue
        names = [period(time) for time in dated if time is not None]
        stay.update(_newest_of_each(names, period(now))[:count])
    return [
        place for place in range(len(times)) if place >= least and place not in stay
    ]


def _newest_of_each(names: Sequence[str], now: str) -> list[int]:
    """Where each period begins, newest first; without those that cannot be."""
    runs = [next(run) for _, run in groupby(range(len(names)), names.__getitem__)]
    older = [*(names[place] for place in runs[1:]), ""]
    places: dict[str, int] = {}
    newer = now
    for place, before in zip(runs, older, strict=False):
        name = names[place]
        if before <= newer and not before <= name <= newer:
            continue
        newer = name
        places.setdefault(name, place)
    return list(places.values())
