"""Which older states are kept: the last ones, then one an hour, one a day."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
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
        """Give a policy; a number is that of the last ones, None the default.

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


def dropped(times: Sequence[datetime | None], keep: Keep) -> list[int]:
    """Give which states go, by their place in *times*, newest first.

    A state without a time counts for the last ones alone. The first stays always.
    """
    stay = set(range(max(keep.last, 1)))
    rules: list[tuple[int, Callable[[datetime], str]]] = [
        (keep.hourly, _hour),
        (keep.daily, _day),
    ]
    for count, period in rules:
        seen: set[str] = set()
        for place, time in enumerate(times):
            if time is None or len(seen) >= count:
                break
            if (name := period(time)) not in seen:
                seen.add(name)
                stay.add(place)
    return [place for place in range(len(times)) if place not in stay]
