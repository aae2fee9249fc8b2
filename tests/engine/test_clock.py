"""A clock that was wrong for a while: no state is given for a time it was not of.

``files/clock_ahead`` is a folder whose clock was a year ahead at generation 4, as it
was written before names told what the clock had said.
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    FORMAT,
    backups,
    commit,
    found,
    journaling,
    main,
    make_engine,
    whole_of,
)
from stand_ins import Log
from storify.engine import Commit, FileCatalog, Keep, MemoryCatalog
from storify.engine.moment import (
    Moment,
    current_at,
    moment_of,
    next_moment,
    stamp_of,
)
from storify.exceptions import MisdatedError

FILES = Path(__file__).parent / "files"
START = datetime(2026, 11, 23, 5, 41, tzinfo=UTC)
YEAR, DAY = timedelta(days=365), timedelta(days=1)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
KEY = FORMAT.encode("value")


class Bench:
    """An engine whose clock is set by hand, and the time that it really is."""

    def __init__(self, catalog, log):
        self.log = log
        self.true = START
        self.wrong_by = timedelta()
        self.catalog = catalog(lambda: self.true + self.wrong_by, log)
        self.engine = self.catalog.engine("users")
        self.version = None

    def put(self, value, *, after=MINUTE, wrong_by=timedelta(), **options):
        """Commit a value, so long after the last one; give when that is."""
        self.true += after
        self.wrong_by = wrong_by
        change = [(KEY, FORMAT.encode(value))]
        self.version = self.engine.commit(Commit(self.version, change, **options))
        self.wrong_by = timedelta()
        return self.true

    def at(self, time):
        """The value of then."""
        return FORMAT.decode_root(whole_of(self.engine.state(time)))["value"]

    def kept(self, *kinds):
        """The values in the backups, or those of some kinds, newest first."""
        return [
            FORMAT.decode_root(whole_of(self.engine.state(info.id)))["value"]
            for info in self.engine.backups()
            if not kinds or info.kind in kinds
        ]


@pytest.fixture(params=["file", "journal", "memory"])
def bench(request, tmp_path):
    """An engine of each kind; what was committed is kept for long."""

    def catalog(clock, log):
        if request.param == "memory":
            return MemoryCatalog(root_format=FORMAT, clock=clock, keep=100)
        return FileCatalog(
            tmp_path / "data",
            root_format=FORMAT,
            log=log,
            clock=clock,
            keep=100,
            sync="interval" if request.param == "journal" else "commit",
        )

    return Bench(catalog, Log())


def test_a_clock_ahead_for_one_commit_takes_no_time_from_other_states(bench):
    """The states after it are found by what the clock said then."""
    before = bench.put("before")
    bench.put("ahead", wrong_by=YEAR)
    times = [bench.put(f"after {number}") for number in range(8)]

    assert bench.at(datetime.max.replace(tzinfo=UTC)) == "after 7"
    for number, time in enumerate(times):
        for later in (timedelta(), 59 * SECOND):
            assert bench.at(time + later) == f"after {number}"
    assert bench.at(before) == "before"
    assert bench.kept() == [
        *(f"after {n}" for n in range(6, -1, -1)),
        "ahead",
        "before",
    ]


def test_which_state_was_current_beside_a_misdated_one_is_not_known(bench):
    """It is refused, with what to do; by its id each state is there."""
    before = bench.put("before")
    bench.put("ahead", wrong_by=YEAR)
    misdated = bench.engine.backups

    for time in (before + SECOND, bench.true, bench.true + YEAR, bench.true + 9 * YEAR):
        with pytest.raises(MisdatedError, match=r"the clock was wrong.*by its id"):
            bench.at(time)
    after = bench.put("after")
    for time in (before + SECOND, after - SECOND):
        with pytest.raises(FileNotFoundError, match=r"db\.backups\.list"):
            bench.at(time)
    assert bench.at(before) == "before"
    assert bench.at(after) == "after"
    (ahead, _) = misdated()
    assert FORMAT.decode_root(whole_of(bench.engine.state(ahead.id))) == {
        "value": "ahead"
    }


def test_the_time_of_a_backup_is_what_the_clock_said(bench):
    """Their order is that of the commits all the same."""
    times = [
        bench.put("before"),
        bench.put("ahead", wrong_by=YEAR) + YEAR,
        bench.put("after"),
        bench.put("later"),
    ]
    bench.put("last", compact=True)

    infos = bench.engine.backups()

    assert [info.time for info in infos] == times[::-1]
    assert bench.kept() == ["later", "after", "ahead", "before"]
    assert [info.id for info in infos] == sorted(
        (info.id for info in infos), reverse=True
    )


def test_a_clock_behind_for_one_commit_hides_no_other_state(bench):
    """As that of a board without a battery, before it has asked the network.

    No state of before is given for a time at which it was not, nor the one that
    was saved in 1970.
    """
    first = bench.put("first")
    second = bench.put("second", after=DAY)
    bench.put("behind", wrong_by=-20 * YEAR)
    after = bench.put("after")
    last = bench.put("last")

    assert bench.at(after) == "after"
    assert bench.at(last + YEAR) == "last"
    for time in (first - 10 * YEAR, first + HOUR, second + SECOND, after - SECOND):
        with pytest.raises(MisdatedError):
            bench.at(time)


def test_a_clock_that_is_wrong_now_knows_nothing(bench):
    """Until it is right again."""
    time = bench.put("one")
    bench.put("two")
    bench.wrong_by = -YEAR

    with pytest.raises(MisdatedError):
        bench.at(time)
    bench.wrong_by = timedelta()

    assert bench.at(time) == "one"


@pytest.mark.parametrize("back", [timedelta(microseconds=1), SECOND / 2, SECOND])
def test_a_clock_that_is_corrected_by_a_moment_does_no_harm(bench, back):
    """A time that it showed twice is taken for the first one; nothing is refused."""
    first = bench.put("first")
    second = bench.put("second", after=SECOND / 10, wrong_by=timedelta())
    third = bench.put("third", after=SECOND / 10, wrong_by=-back)
    last = bench.put("last", wrong_by=-back)

    assert bench.at(first) == "first"
    assert bench.at(second) == "second"
    assert bench.at(third + SECOND) == "third"
    assert bench.at(last) == "last"
    assert bench.log.lines == []


def test_many_small_corrections_are_no_large_one(bench):
    """Each is passed over, but together they are noticed."""
    wrong_by = timedelta()
    for number in range(20):
        wrong_by -= SECOND
        bench.put(number, after=SECOND / 100, wrong_by=wrong_by)

    times = [info.time for info in bench.engine.backups()]

    assert max(times) - min(times) > 15 * SECOND


def test_a_clock_that_was_set_back_for_good_blurs_what_it_showed_twice(bench):
    """An hour that is there twice is refused; what was before and after is known."""
    times = [bench.put(number, after=HOUR, wrong_by=HOUR) for number in range(5)]
    right = [bench.put(number, after=25 * MINUTE) for number in range(5, 10)]

    for number, time in enumerate(times[:4]):
        assert bench.at(time + HOUR) == number
    for number, time in enumerate(right[2:], start=7):
        assert bench.at(time) == number
    for time in (right[0], right[1], right[1] + 20 * MINUTE, times[4] + HOUR):
        with pytest.raises(MisdatedError):
            bench.at(time)


@pytest.mark.parametrize("bench", ["file", "journal"], indirect=True)
def test_a_clock_that_was_set_back_is_told_of_once(bench):
    """With what it says, what that does, and what to do."""
    bench.put("before")
    bench.put("ahead", wrong_by=YEAR)
    assert bench.log.lines == []

    for number in range(4):
        bench.put(number, compact=number == 2)

    (line,) = bench.log.warnings
    assert "users.mpack" in line
    assert "2027-11-23 05:43" in line
    assert "2026-11-23 05:44" in line
    assert "db.backups.list" in line
    bench.put("behind", wrong_by=-DAY)
    assert len(bench.log.warnings) == 2
    for number in range(4):
        bench.put(number)
    assert len(bench.log.warnings) == 2


@pytest.mark.parametrize("bench", ["file", "journal"], indirect=True)
@pytest.mark.parametrize("between", ["close", "rename", "destroy", "purge", "backup"])
def test_what_the_clock_said_outlives_the_program(bench, between, tmp_path):
    """It stands in names, frames and the record."""
    bench.put("before")
    bench.put("ahead", wrong_by=YEAR)
    time = bench.put("after")
    if between == "rename":
        bench.catalog.rename("users", "people")
        shutil.move(tmp_path / "data" / "people.mpack", tmp_path)
        shutil.move(tmp_path / "people.mpack", tmp_path / "data")
    else:
        getattr(bench.engine, between)()
    bench.engine = bench.catalog.engine("people" if between == "rename" else "users")

    assert bench.at(time) == "after"
    bench.version = bench.engine.load().version if between != "destroy" else None
    later = bench.put("later")
    assert bench.at(later) == "later"
    assert bench.at(time + SECOND) == "after"
    if between != "purge":
        assert bench.kept() == ["after", "ahead", "before"]


@pytest.mark.parametrize("bench", ["file", "memory"], indirect=True)
@pytest.mark.parametrize("wrong_by", [YEAR, -YEAR, 5 * HOUR, -5 * HOUR])
def test_a_clock_that_was_wrong_once_costs_no_other_state_its_place(bench, wrong_by):
    """A state for each of the last hours and days stays, and no more."""
    bench.engine.keep = Keep(5, hourly=24, daily=7)
    for number in range(30):
        bench.put(number, after=HOUR)
    bench.put("wrong", after=MINUTE, wrong_by=wrong_by)
    for number in range(30, 69):
        bench.put(number, after=HOUR)

    # 68 is the present one. 24 hours, and the last of each of the two days before.
    assert bench.kept("snapshot") == [*range(67, 43, -1), 41, 17]


@pytest.mark.parametrize("bench", ["file", "memory"], indirect=True)
def test_hourly_states_after_a_clock_ahead_are_kept(bench):
    """Each is of an hour of its own."""
    bench.engine.keep = Keep(5, hourly=24, daily=7)
    bench.put("before")
    bench.put("ahead", wrong_by=YEAR)
    for number in range(39):
        bench.put(number, after=HOUR)

    assert bench.kept("snapshot") == list(range(37, 13, -1))


def test_a_folder_of_a_clock_ahead_opens_as_it_is(tmp_path):
    """What the clock said then is not known, so its states are misdated."""
    shutil.copytree(FILES / "clock_ahead", tmp_path / "data")
    folder, log = tmp_path / "data", Log()
    now = datetime(2026, 11, 24, tzinfo=UTC)

    with journaling():
        engine = make_engine(folder, log=log, clock=lambda: now)
        assert found(engine) == 9
        assert len(engine.backups()) == 8
        assert engine.verify() == []
        assert (
            FORMAT.decode_root(whole_of(engine.state(START + HOUR)))["generation"] == 2
        )
        for time in (START + 3 * HOUR, now):
            with pytest.raises(MisdatedError):
                whole_of(engine.state(time))
        assert log.lines == []
        for generation in range(10, 20):
            commit(engine, generation)
            now += HOUR

    assert len(log.warnings) == 1
    assert FORMAT.decode_root(whole_of(engine.state(now)))["generation"] == 19
    last = FORMAT.decode_root(whole_of(engine.state(now - HOUR - SECOND)))
    assert last["generation"] == 18
    assert any("~" in path.name for path in backups(folder).iterdir())


def test_what_was_put_aside_last_stays_whatever_the_clock_said(tmp_path):
    """Of damaged files the newest five are kept."""
    bench = Bench(
        lambda clock, log: FileCatalog(
            tmp_path, root_format=FORMAT, log=log, clock=clock
        ),
        Log(),
    )
    for number in range(8):
        bench.put(number)
        bench.put(f"{number} again")
        bench.wrong_by = {3: YEAR, 7: -YEAR}.get(number, timedelta())
        main(tmp_path).write_bytes(b"rot %d" % number)
        bench.version = bench.engine.load().version

    bench.put("last")

    kept = sorted(backups(tmp_path).glob("*.corrupt"))
    assert [path.read_bytes() for path in kept] == [b"rot %d" % n for n in range(3, 8)]


# The parts


def test_a_stamp_says_what_the_clock_said_where_that_is_another_time():
    """It can be read back, and sorts by the order of commits."""
    first = Moment(START, START)
    ahead = next_moment(first, START + YEAR)
    after = next_moment(ahead, START + HOUR)
    later = next_moment(after, START + HOUR)

    stamps = [stamp_of(*moment) for moment in (first, ahead, after, later)]

    assert stamps == sorted(stamps)
    assert [len(stamp) for stamp in stamps] == [23, 23, 47, 47]
    assert [moment_of(stamp) for stamp in stamps] == [first, ahead, after, later]
    assert after.clock == START + HOUR
    assert later.clock > after.clock
    for bad in (f"{stamps[0]}~", f"~{stamps[0]}", f"{stamps[0]}~{stamps[2]}"):
        assert moment_of(bad) is None


errors = st.sampled_from([timedelta()] * 6 + [YEAR, 2 * YEAR, -YEAR, -2 * YEAR])


@given(
    st.lists(st.tuples(st.integers(1, 9), errors), max_size=20),
    st.integers(0, 200),
)
def test_no_state_is_given_for_a_time_at_which_it_was_not(steps, asked):
    """If the clock is right now, and was at the first commit."""
    true, moments = [START], [Moment(START, START)]
    for minutes, error in steps:
        true.append(true[-1] + minutes * MINUTE)
        moments.append(next_moment(moments[-1], true[-1] + error))
    now = true[-1] + MINUTE
    time = min(START + asked * MINUTE, now)
    expected = max(place for place, each in enumerate(true) if each <= time)

    try:
        given = current_at(moments, time, now)
    except MisdatedError:
        assert any(error for _, error in steps)
    else:
        assert given == expected


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(-9, 200))
def test_a_clock_that_is_right_leaves_nothing_unknown(steps, asked):
    """Each state is found from its commit to the next one."""
    moments = [Moment(START, START)]
    for minutes in steps:
        moments.append(next_moment(moments[-1], moments[-1].clock + minutes * MINUTE))

    time = START + asked * MINUTE
    expected = [at for at, each in enumerate(moments) if each.clock <= time]

    given = current_at(moments, time, max(time, moments[-1].clock))
    assert given == (expected[-1] if expected else None)
