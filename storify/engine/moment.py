"""The times of commits, by a clock that may have been wrong; which older states stay.

A state has an *order*, later than that of every state before it, and a *clock*: what
the clock said. As long as the clock goes forward they are one time. Its *stamp* is::

    20261123T054100.000000Z                            both
    20271123T054100.000001Z~20261123T054200.000000Z    the clock went back: a tick
                                                       after the state before, and
                                                       what the clock said

A clock that is corrected by at most two seconds, by the network or for a leap second,
counts as one that stood still: a time that it shows twice means the first one.

Where it goes back by more, it was wrong before that or is wrong after, and the states
do not tell which. So of two states that the clock has in the other order both are
*misdated*; so is one that is later than the clock now. Which state was current at a
time is known if no misdated one was committed between the two well-dated ones that
the time lies between.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, groupby, takewhile
from typing import Final, NamedTuple

from storify.exceptions import MisdatedError

TICK: Final = timedelta(microseconds=1)
SLACK: Final = timedelta(seconds=2)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)

_TIME: Final = r"\d{8}T\d{6}\.\d{6}Z"
STAMP: Final = rf"{_TIME}(?:~{_TIME})?"
"""What a stamp looks like; one that does may still be no time."""

# By hand: strptime is slow, and imports a module at its first call.
_DIGITS: Final = r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{6})Z"


class Moment(NamedTuple):
    """The time of a commit.

    Attributes:
        order: Tells which of two states is the later one.
        clock: What the clock said.
    """

    order: datetime
    clock: datetime


def stamp_of(order: datetime, clock: datetime | None = None) -> str:
    """A moment as it stands in names: in UTC, and later ones sort after."""
    if clock is not None and clock != order:
        return f"{stamp_of(order)}~{stamp_of(clock)}"
    # strftime takes longer, and drops the zeros of years before 1000 on some systems.
    utc = order.astimezone(UTC)
    day = f"{utc.year:04}{utc.month:02}{utc.day:02}"
    return f"{day}T{utc.hour:02}{utc.minute:02}{utc.second:02}.{utc.microsecond:06}Z"


@lru_cache(1024)
def moment_of(stamp: str) -> Moment | None:
    """The moment in a name; None for what is none."""
    order, tilde, clock = stamp.partition("~")
    first = _parse(order)
    second = _parse(clock) if tilde else first
    return None if first is None or second is None else Moment(first, second)


def time_of(stamp: str) -> datetime | None:
    """The time that a name says; None for digits that are no time."""
    moment = moment_of(stamp)
    return None if moment is None else moment.clock


@lru_cache
def _digits() -> re.Pattern[str]:
    return re.compile(_DIGITS, re.ASCII)


def _parse(text: str) -> datetime | None:
    match = _digits().fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, microsecond = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    except ValueError:
        return None


def went_back(before: Moment | None, now: datetime) -> bool:
    """Whether the clock shows less than at the last commit, by more than a trifle."""
    return before is not None and before.clock - now > SLACK


def next_moment(before: Moment | None, now: datetime) -> Moment:
    """The moment of a commit.

    Args:
        before: That of the last one.
        now: What the clock says.
    """
    now = now.astimezone(UTC)
    if before is None:
        return Moment(now, now)
    if now <= before.clock and not went_back(before, now):
        now = _after(before.clock)
    return Moment(max(now, _after(before.order)), now)


def _after(time: datetime) -> datetime:
    # A state at the end of time cannot be topped; it does not happen by itself.
    return time + TICK if time < _LAST else time


def current_at(moments: Sequence[Moment], time: datetime, now: datetime) -> int | None:
    """Find the state that was the present one at a time.

    Args:
        moments: Of all states, in order.
        time: When.
        now: What the clock says.

    Returns:
        Its place in *moments*; None if all are later.

    Raises:
        MisdatedError: It cannot be known.
    """
    dated = _well_dated([moment.clock for moment in moments], now)
    # They ascend, so the last one that is not later was there last.
    found = max((at for at in dated if moments[at].clock <= time), default=-1)
    if found >= 0 and moments[found].clock == time:
        return found
    later = next((at for at in dated if at > found), len(moments))
    if later - found > 1:
        misdated = f"{moments[found + 1].clock:%Y-%m-%d %H:%M:%S} UTC"
        msg = (
            f"cannot tell which state was current at {time}: the clock was wrong "
            f"about then, a state of that time is dated {misdated}; take one by its id, "
            f"db.backups.list has them in the order of their commits"
        )
        raise MisdatedError(msg)
    return None if found < 0 else found


def _well_dated(clocks: Sequence[datetime], now: datetime) -> list[int]:
    """The times, of those that a clock showed in order, that fit all others."""
    possible = [at for at, clock in enumerate(clocks) if clock - now <= SLACK]
    times = [clocks[at] for at in possible]
    before = accumulate(times, max, initial=_FIRST)
    after = [*accumulate(times[:0:-1], min, initial=_LAST)][::-1]
    return [
        at
        for at, time, low, high in zip(possible, times, before, after, strict=False)
        if low < time < high
    ]


# --- which older states are kept: the last ones, then one an hour, one a day ----------
#
# Hours and days are those that the clock showed, in the order of the commits. What it
# showed in between two hours that are in order, and is not between them itself, is no
# hour of its own, and takes the place of none::
#
#     10 h   11 h   (2036)   12 h   13 h
#     14 h   15 h   (1970)   16 h   17 h


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
    """The beginnings of periods, newest first; without those that cannot be."""
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
