"""Which older states a policy keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import FORMAT, backups, commit, generations, make_engine, whole_of
from storify.engine import Keep
from storify.engine.moment import dropped

NOW = datetime(2026, 1, 1, tzinfo=UTC)

times = st.lists(
    st.datetimes(datetime(2020, 1, 1), datetime(2021, 1, 1)).map(  # noqa: DTZ001
        lambda time: time.replace(tzinfo=UTC)
    ),
    max_size=30,
).map(lambda found: sorted(found, reverse=True))
policies = st.builds(Keep, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))


@given(times, policies)
def test_the_last_ones_stay_and_so_do_hours_and_days(found, keep):
    """Each rule keeps so many, no rule drops what another keeps."""
    gone = set(dropped(found, keep, NOW))
    stay = [place for place in range(len(found)) if place not in gone]

    assert stay[: max(keep.last, 1)] == list(range(len(found)))[: max(keep.last, 1)]
    for count, period in ((keep.hourly, "%Y%m%d%H"), (keep.daily, "%Y%m%d")):
        periods = list(dict.fromkeys(f"{time:{period}}" for time in found))
        kept = {f"{found[place]:{period}}" for place in stay}
        assert set(periods[:count]) <= kept
    assert len(stay) <= max(keep.last, 1) + keep.hourly + keep.daily


@given(times, policies)
def test_pruning_again_drops_nothing(found, keep):
    """What a policy keeps it keeps."""
    gone = set(dropped(found, keep, NOW))
    left = [time for place, time in enumerate(found) if place not in gone]

    assert dropped(left, keep, NOW) == []


@given(times, st.integers(0, 5))
def test_the_newest_of_a_period_is_the_one_that_stays(found, hours):
    """An hour in which much was saved does not push other hours out."""
    gone = set(dropped(found, Keep(1, hourly=hours), NOW))

    for place in range(1, len(found)):
        if place not in gone:
            assert f"{found[place - 1]:%Y%m%d%H}" != f"{found[place]:%Y%m%d%H}"


def test_states_without_a_time_count_for_the_last_ones_alone():
    """They are the oldest."""
    assert dropped([NOW, None, None], Keep(2, hourly=9, daily=9), NOW) == [2]
    assert dropped([None, None], Keep(0), NOW) == [1]
    assert dropped([], Keep(0), NOW) == []
    assert dropped([NOW], Keep(1 << 60), NOW) == []


@given(times, policies, st.integers(0, 30), st.integers(1, 3), st.booleans())
def test_a_clock_that_was_wrong_costs_no_other_state_its_place(
    found, keep, place, count, ahead
):
    """What it showed in an hour of its own is no hour that counts."""
    place = min(place, len(found))
    wrong = datetime(2036 if ahead else 1970, 1, 1, tzinfo=UTC)
    mixed = [*found[:place], *[wrong] * count, *found[place:]]

    keep = keep._replace(last=1)  # the newest one stays, be it wrong

    gone, alone = dropped(mixed, keep, NOW), dropped(found, keep, NOW)

    stay = {time for at, time in enumerate(mixed) if at not in gone}
    assert stay >= {time for at, time in enumerate(found) if at and at not in alone}


def test_a_clock_that_is_wrong_now_drops_nothing_else():
    """It is the states that tell of each other."""
    hours = [NOW - timedelta(hours=each) for each in range(30)]

    for now in (
        NOW,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2036, 1, 1, tzinfo=UTC),
    ):
        assert dropped(hours, Keep(5, hourly=24), now) == [*range(24, 30)]


@pytest.mark.parametrize(
    ("given", "policy"),
    [(None, Keep(5)), (3, Keep(3)), (0, Keep(0)), (Keep(1, 2, 3), Keep(1, 2, 3))],
)
def test_a_number_is_a_policy(given, policy):
    """That of the last ones."""
    assert Keep.of(given) == policy


@pytest.mark.parametrize(
    ("given", "error"),
    [(-1, ValueError), (Keep(1, -1), ValueError), ("5", TypeError), (True, TypeError)],
)
def test_what_is_no_policy_is_refused(given, error):
    """Before anything is deleted."""
    with pytest.raises(error, match="keep must"):
        Keep.of(given)


def test_an_engine_keeps_one_state_of_each_hour_and_day(tmp_path):
    """Each with the commit that led on from it."""
    now = datetime(2026, 11, 23, 5, 41, tzinfo=UTC)
    engine = make_engine(tmp_path, clock=lambda: now, keep=Keep(2, hourly=3, daily=2))
    for generation in range(1, 61):
        commit(engine, generation)
        now += timedelta(minutes=20)

    snapshots = [each for each in engine.backups() if each.kind == "snapshot"]
    hours = {f"{each.time:%d %H}" for each in snapshots}

    assert len(hours) >= 3
    assert 3 <= len(snapshots) <= 7
    journals = list(backups(tmp_path).glob("*.journal"))
    assert len(journals) == len(snapshots)
    assert generations(engine)[:2] == [59, 58]
    assert engine.verify() == []
    assert FORMAT.split(whole_of(engine.state(snapshots[-1].time)))


def test_no_policy_drops_the_only_good_state(tmp_path):
    """0 makes no backup at a commit, and a second copy all the same for a journal."""
    engine = make_engine(tmp_path, keep=0)
    for generation in range(1, 4):
        commit(engine, generation)

    assert engine.backups() == []
    assert engine.backup() is not None
    commit(engine, 4)
    assert len([each for each in engine.backups() if each.kind == "snapshot"]) == 1
