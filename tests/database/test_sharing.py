"""Several instances on one database: merge by key, conflict, identity."""

import threading
from collections import Counter, OrderedDict, defaultdict, deque
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import version
from shared_parts import Bag, sharing
from storify import ConflictError, Model, Ref, Storify
from storify.database.live.refresh import refresh
from storify.database.live.slots import Slots
from storify.testing import same


class User(Model):
    """A declared model."""

    name: str
    tags: list[str] = []


class Session(Model):
    """A model with a part that is never stored."""

    name: str
    _token: str = ""


class Point(Model, frozen=True):
    """A frozen model; with a list in it, it can still be changed."""

    x: object


@pytest.fixture
def pair(anywhere):
    """Two databases over one file, as two programs have them."""
    one = Storify(anywhere, save_interval=None, models=[User, Point])
    db = one.get_db("d")
    db.update(a=[1], b={"x": 1}, c=3)
    db.flush()
    two = Storify(anywhere, save_interval=None, models=[User, Point])
    return db, two.get_db("d")


def test_changes_of_different_keys_are_merged(pair):
    """The second writer adopts what the first one committed."""
    mine, theirs = pair
    theirs["t"] = 1
    theirs["c"] = 4
    del theirs["b"]
    theirs.flush()
    mine["m"] = 2

    mine.flush()
    theirs.flush()

    assert mine.data == theirs.data == {"a": [1], "c": 4, "m": 2, "t": 1}


@pytest.mark.parametrize("others", [(), ("t",)], ids=["alone", "beside a new one"])
def test_what_they_deleted_and_i_keep_goes_behind_what_is_new(pair, others):
    """It is new in the file; the order in memory is the one that is saved."""
    mine, theirs = pair
    del theirs["a"]
    theirs.update(dict.fromkeys(others, 1))
    theirs.flush()
    mine.update(a=[2], m=2)

    mine.reload(keep="mine")
    mine.flush()
    theirs.reload()

    assert list(mine) == list(theirs) == ["b", "c", *others, "m", "a"]


def test_what_came_and_went_at_theirs_is_no_deletion(pair):
    """A key that is new here stays where it was set."""
    mine, theirs = pair
    theirs.update(new=1, t=1)
    theirs.flush()
    del theirs["new"]
    theirs.flush()
    mine.update(new=2, m=2)

    mine.reload(keep="mine")
    mine.flush()
    theirs.reload()

    assert list(mine) == list(theirs) == ["a", "b", "c", "t", "new", "m"]


def test_a_flush_without_changes_adopts_and_does_not_write(pair, anywhere):
    """A stale instance never overwrites what is newer."""
    mine, theirs = pair
    theirs["c"] = 4
    theirs.flush()
    before = version(anywhere)

    mine.flush()

    assert mine["c"] == 4
    assert version(anywhere) == before


def test_a_conflict_names_the_key_and_loses_nothing(pair):
    """The file keeps theirs, memory keeps mine and stays dirty."""
    mine, theirs = pair
    theirs["c"] = "theirs"
    theirs.flush()
    mine["c"] = "mine"
    mine["other"] = 1

    with pytest.raises(ConflictError, match="'c'") as caught:
        mine.flush()

    assert caught.value.keys == ("c",)
    assert mine["c"] == "mine"
    assert mine.dirty() == {"c", "other"}
    assert theirs["c"] == "theirs"
    mine.load()
    assert mine["c"] == "theirs"


def test_a_deleted_key_conflicts_with_a_changed_one(pair):
    """Neither side wins silently."""
    mine, theirs = pair
    del theirs["a"]
    theirs.flush()
    mine["a"].append(2)

    with pytest.raises(ConflictError, match="'a'"):
        mine.flush()

    mine.load()


def test_many_conflicts_are_counted(pair):
    """The message names the first ones."""
    mine, theirs = pair
    theirs.update({f"k{number}": 1 for number in range(8)})
    theirs.flush()
    mine.update({f"k{number}": 2 for number in range(8)})

    with pytest.raises(ConflictError, match="and 3 more"):
        mine.flush()

    mine.load()


def test_equal_changes_do_not_conflict(pair):
    """Both sides set the same value: nothing is lost either way."""
    mine, theirs = pair
    theirs["c"] = 9
    theirs.flush()
    mine["c"] = 9

    mine.flush()

    assert mine["c"] == 9


def test_adopted_values_are_refreshed_in_place(pair):
    """A reference that the user holds stays the live object."""
    mine, theirs = pair
    mine["u"] = User("Ann", ["x"])
    mine.flush()
    theirs.flush()
    held_list, held_user = mine["a"], mine["u"]
    held_tags = held_user.tags
    theirs["a"].append(2)
    theirs["u"].name = "Bea"
    theirs["u"].tags.append("y")
    theirs.flush()

    mine.flush()

    assert held_list == [1, 2]
    assert mine["a"] is held_list
    assert held_user == User("Bea", ["x", "y"])
    assert held_tags is mine["u"].tags
    held_user.name = "Cleo"
    mine.flush()
    theirs.flush()
    assert theirs["u"].name == "Cleo"


def test_a_part_in_two_places_takes_what_each_of_them_holds(pair):
    """In the file they are two; the object here stays the first of them."""
    mine, theirs = pair
    part = {"n": 1}
    mine["a"] = [part, {"again": part}]
    mine.flush()
    theirs.reload()
    theirs["a"][1]["again"]["n"] = 2
    theirs.flush()

    mine.reload()

    assert mine["a"] == [{"n": 1}, {"again": {"n": 2}}]
    assert mine["a"][0] is part
    assert not mine.dirty()


@pytest.mark.parametrize("changes_too", [False, True])
def test_a_part_of_two_values_is_not_changed_for_one_of_them(pair, changes_too):
    """What they changed under one key says nothing of another key."""
    mine, theirs = pair
    user = User("Ada")
    mine.update(a=user, b={"of": user}, c=user)
    mine.flush()
    theirs.reload()
    theirs["a"].name = "Bob"
    theirs["b"]["of"].tags.append("x")
    theirs.flush()
    if changes_too:
        mine["a"] = [user]

    mine.reload(keep="theirs")

    assert mine["a"] == User("Bob")
    assert mine["b"] == {"of": User("Ada", ["x"])}
    assert mine["c"] is user
    assert user == User("Ada")
    assert not mine.dirty()


def raised(value, by):
    """Give *value* of parts that are all its own, with other numbers in it."""
    if isinstance(value, int):
        return value + by
    if isinstance(value, Bag):
        return Bag(raised(value.held, by))
    if isinstance(value, dict):
        return {key: raised(each, by) for key, each in value.items()}
    return type(value)(raised(each, by) for each in value)


@given(
    sharing(),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
    st.sets(st.sampled_from("ab")),
)
def test_whatever_is_shared_each_key_takes_what_was_committed_for_it(
    content, changed, changed_too
):
    """Each key is as durable afterwards, and no other is changed."""
    name = "memory://shared-parts"
    one, two = (Storify(name, save_interval=None, models=[Bag]) for _ in range(2))
    mine, theirs = one.get_db("d"), two.get_db("d")
    mine.data = content
    mine.flush()
    theirs.reload()
    before = deepcopy(dict(theirs.data))
    for key, by in changed.items():
        theirs[key] = raised(theirs[key], by)
    theirs.flush()
    changed = {key for key in "abc" if not same(before[key], theirs[key])}
    for key in changed_too:
        mine[key] = [mine[key]]

    mine.reload(keep="theirs")

    for key in "abc":
        mine_stays = key in changed_too - changed
        assert same(mine[key], [before[key]] if mine_stays else theirs[key])
    assert mine.dirty() == changed_too - changed
    for db in (mine, theirs):
        db.close(discard=True)


def test_a_key_that_came_back_in_place_of_an_equal_one_is_the_durable_one(pair):
    """1 and True hold the same here, so only the keys tell them apart."""
    mine, theirs = pair
    mine[True] = "same"
    mine.flush()
    theirs.reload()
    del mine[True]
    mine[1] = "same"
    mine.flush()

    mine.backups.restore(mine.backups.list[0])
    theirs.reload()

    for db in (mine, theirs):
        assert list(db)[3:] == [True]
        assert [type(key) for key in db][3:] == [bool]
    theirs[1] = "other"
    theirs.flush()
    mine.load()
    assert mine.data == theirs.data == {"a": [1], "b": {"x": 1}, "c": 3, True: "other"}


def test_a_restored_part_in_two_places_is_two_parts(pair):
    """What a backup holds is what a program that opens it anew would see."""
    db, _ = pair
    part = {}
    db["a"] = [part, {"again": part}]
    db.flush()
    db["a"].append(1)
    db.flush()

    db.backups.restore(db.backups.list[0])
    db["a"][0]["n"] = 1

    assert db["a"] == [{"n": 1}, {"again": {}}]


def test_a_part_in_two_places_of_a_list_root_takes_what_each_holds(anywhere):
    """The items of a list are its parts."""
    one, two = (Storify(anywhere, save_interval=None) for _ in range(2))
    part = {"n": 1}
    mine = one.get_db("d", root=[])
    mine.data += [part, part]
    mine.flush()
    theirs = two.get_db("d")
    theirs.data[1]["n"] = 2
    theirs.flush()

    mine.reload()

    assert mine.data == [{"n": 1}, {"n": 2}]
    assert mine.data[0] is part


@pytest.mark.parametrize(
    "key", [float("nan"), (float("nan"), 1)], ids=["alone", "deep"]
)
def test_a_nan_key_survives_a_merge(anywhere, key):
    """A dict finds it only by identity, so it is merged by its bytes."""
    mine = Storify(anywhere, save_interval=None).get_db("d")
    mine.update({"a": 1, key: 2, "b": 3})
    mine.flush()
    theirs = Storify(anywhere, save_interval=None).get_db("d")
    theirs.data[next(each for each in theirs if each not in ("a", "b"))] = 5
    del theirs["a"]
    theirs["a"] = 1
    theirs.flush()

    mine.flush()

    assert [(repr(each), value) for each, value in mine.items()] == [
        (repr(key), 5),
        ("'b'", 3),
        ("'a'", 1),
    ]
    assert mine.data[key] == 5


def test_what_is_held_takes_what_others_committed_at_the_first_try(pair, monkeypatch):
    """Who holds it may change it at any time: that is nothing to wait for."""
    mine, theirs = pair
    mine.update({f"k{n}": {"n": n} for n in range(30)}, a={"n": 1})
    mine.flush()
    held, *_ = all_held = [mine["a"], *mine.values()]
    theirs.reload()
    theirs["a"]["n"] = 2
    theirs.flush()
    begun = []
    begin = Slots.begin_flush
    monkeypatch.setattr(
        Slots, "begin_flush", lambda slots: begun.append(0) or begin(slots)
    )

    mine.reload()

    assert held is all_held[0] == {"n": 2}
    assert len(begun) == 1


def test_another_order_of_keys_is_adopted(pair, anywhere):
    """Without changes here, nothing is written to restore the old order."""
    mine, theirs = pair
    theirs["a"] = theirs.pop("a")
    theirs.flush()
    before = version(anywhere)

    mine.flush()

    assert list(mine) == ["b", "c", "a"]
    assert version(anywhere) == before


def test_list_roots_merge_if_one_side_changed(anywhere):
    """A list has no keys: the side that changed wins, in place."""
    one, two = Storify(anywhere), Storify(anywhere)
    mine = one.get_db("log", root=[1])
    mine.flush()
    theirs = two.get_db("log")
    held = mine.data
    theirs.append(2)
    theirs.flush()

    mine.flush()

    assert mine.data == [1, 2]
    assert mine.data is held


def test_list_roots_conflict_as_a_whole(anywhere):
    """Both sides changed: the error says so, without keys."""
    one, two = Storify(anywhere), Storify(anywhere)
    mine = one.get_db("log", root=[1])
    mine.flush()
    theirs = two.get_db("log")
    theirs.append(2)
    theirs.flush()
    mine.append(3)

    with pytest.raises(ConflictError, match="whole list") as caught:
        mine.flush()

    assert caught.value.keys == ()
    mine.load()


def test_a_root_that_changed_its_kind_conflicts_with_a_change(anywhere):
    """A dict here and a list there cannot be merged."""
    one, two = Storify(anywhere), Storify(anywhere)
    mine = one.get_db("d")
    mine["a"] = 1
    mine.flush()
    theirs = two.get_db("d")
    theirs.data = [1]
    theirs.flush()
    mine["a"] = 2

    with pytest.raises(ConflictError):
        mine.flush()

    mine.load()
    assert mine.data == [1]


@pytest.mark.parametrize("side", ["mine", "theirs"])
@pytest.mark.parametrize(("mine", "theirs"), [([7], {"a": 1}), ({"q": 7}, [1])])
def test_a_conflict_over_the_kind_of_a_root_is_settled_either_way(
    side, mine, theirs, anywhere
):
    """What took the place of a dict, or of a list, stays; or it goes with the change."""
    one, two = (Storify(anywhere, save_interval=None) for _ in range(2))
    db = one.get_db("d", root=theirs)
    db.flush()
    other = two.get_db("d", root=type(theirs)())
    db.data = mine
    if isinstance(theirs, dict):
        other["b"] = 2
    else:
        other.append(2)
    other.flush()

    with pytest.raises(ConflictError, match="whole"):
        db.flush()
    db.reload(keep=side)
    db.flush()

    assert db.data == (mine if side == "mine" else other.data)
    other.reload()
    assert other.data == db.data


def test_two_that_make_the_same_database_merge(anywhere):
    """Neither found a file when it opened; both contents are kept."""
    mine, theirs = Storify(anywhere).get_db("d"), Storify(anywhere).get_db("d")
    theirs["t"] = 1
    theirs.flush()
    mine["m"] = 2

    mine.flush()

    assert mine.data == {"m": 2, "t": 1}


def test_a_database_removed_by_another_is_written_anew(pair, anywhere):
    """Flushing with changes loses nothing of what is in memory."""
    mine, theirs = pair
    theirs.destroy()
    mine["m"] = 1

    mine.flush()

    assert Storify(anywhere).get_db("d").data == {
        "a": [1],
        "b": {"x": 1},
        "c": 3,
        "m": 1,
    }


def test_many_writers_lose_nothing(anywhere):
    """Eight instances in threads write keys of their own."""
    errors = []

    def write(number):
        db = Storify(anywhere, save_interval=None).get_db("d")
        try:
            for step in range(10):
                db[f"{number}-{step}"] = step
                db.flush()
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(Storify(anywhere).get_db("d")) == 80


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([1, [2], 3], [1, [5]]),
        ({"a": 1, "b": [2]}, {"b": [3], "c": 4}),
        ({1, 2}, {2, 3}),
        (deque([1], maxlen=3), deque([2, 3], maxlen=3)),
        (bytearray(b"ab"), bytearray(b"cde")),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
        (Counter("aab"), Counter("abc")),
        (User("A", ["x"]), User("B", ["y", "z"])),
        (Point([1]), Point([2])),
    ],
)
def test_refresh_gives_the_new_content_to_the_old_object(old, new):
    """The same object, equal to the new value, also in its order."""
    result = refresh(old, new)

    assert result is old
    assert result == new
    if isinstance(new, dict):
        assert list(result) == list(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, 2),
        ([1], (1,)),
        ((1,), (2,)),
        (deque([1], maxlen=3), deque([1], maxlen=4)),
        (User("A"), Point(1)),
        (Point(1), Point(2)),
        (Ref("users", "a"), Ref("users", "b")),
    ],
)
def test_refresh_replaces_what_cannot_be_changed(old, new):
    """An immutable value or another type is replaced."""
    assert refresh(old, new) is new


def test_refresh_fills_a_frozen_model_that_holds_a_list():
    """Somebody may hold that list, and change it."""
    mine = [1]
    old = Point(mine)

    refresh(old, Point([2]))

    assert old.x is mine
    assert mine == [2]


def test_refresh_leaves_what_is_never_stored():
    """An underscored field is the program's own, not the other writer's."""
    old = Session("A")
    old._token = "mine"  # noqa: S105 - no secret

    refresh(old, Session("B"))

    assert (old.name, old._token) == ("B", "mine")


def test_refresh_takes_unknown_fields():
    """They are saved again as the other writer has them."""
    sf = Storify("memory://", models=[Session])
    registry = sf._schema.registry
    old, new = (
        registry.structure({"__Session__": {"name": name, "later": name * 2}})
        for name in ("A", "B")
    )

    refresh(old, new)

    assert registry.unstructure(old) == {"__Session__": {"name": "B", "later": "BB"}}


def test_refresh_tells_apart_keys_that_are_equal():
    """1 and True are one key for a dict, but not for the file."""
    old = {True: "a"}

    refresh(old, {1: "a"})

    assert [type(key) for key in old] == [int]


def test_refresh_takes_the_default_factory():
    """It is part of a defaultdict's value."""
    old = defaultdict(int, a=1)

    refresh(old, defaultdict(list, a=1))

    assert old.default_factory is list
