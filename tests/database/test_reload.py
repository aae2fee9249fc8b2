"""Bringing in what others committed, with unsaved changes of one's own."""

import pytest

from storify import ConflictError, Model, Storify


class User(Model):
    """A declared model."""

    name: str
    tags: list[str] = []


def test_reload_adopts_and_writes_nothing(pair):
    """Objects held are refreshed, my changes stay unsaved."""
    db, other = pair
    held = db["a"]
    other["a"].append(2)
    del other["b"]
    other["new"] = 1
    other.flush()
    db["c"] = 4

    db.reload()

    assert db.data == {"a": [1, 2], "c": 4, "new": 1}
    assert db["a"] is held
    assert db.dirty() == {"c"}
    other.reload()
    assert other["c"] == 3


def test_reload_without_news_changes_nothing(pair):
    """Unsaved changes stay, in contrast to load."""
    db, _ = pair
    db["c"] = 4

    db.reload()

    assert db.dirty() == {"c"}


def conflict(pair):
    """Change keys on both sides, in all ways."""
    db, other = pair
    other["a"].append(2)
    del other["b"]
    other["c"] = "theirs"
    other["both"] = "theirs"
    other["only"] = "theirs"
    other.flush()
    db["a"].append(3)
    db["b"]["x"] = 2
    del db["c"]
    db["both"] = "mine"
    db["mine"] = 1


def test_a_conflict_is_raised_and_changes_nothing(pair):
    """The message says what to do, the error has the keys."""
    db, _ = pair
    conflict(pair)
    before = list(db.items())

    with pytest.raises(ConflictError, match=r'reload\(keep="mine"\)') as caught:
        db.reload()

    assert set(caught.value.keys) == {"a", "b", "c", "both"}
    assert list(db.items()) == before
    assert db.dirty() == {"a", "b", "c", "both", "mine"}


def test_mine_stay_pending_on_top_of_theirs(pair):
    """The next flush writes them."""
    db, other = pair
    conflict(pair)

    db.reload(keep="mine")
    between = dict(db.data)
    pending = db.dirty()
    db.flush()
    other.reload()

    expected = {"a": [1, 3], "b": {"x": 2}, "both": "mine", "mine": 1, "only": "theirs"}
    assert between == expected
    assert pending == {"a", "b", "c", "both", "mine"}
    assert other.data == expected


def test_theirs_replace_mine_in_place(pair):
    """Changes of other keys stay pending."""
    db, other = pair
    conflict(pair)
    held = db["a"]

    db.reload(keep="theirs")
    between = dict(db.data)
    pending = db.dirty()
    db.flush()
    other.reload()

    expected = {
        "a": [1, 2],
        "c": "theirs",
        "both": "theirs",
        "only": "theirs",
        "mine": 1,
    }
    assert between == expected
    assert db["a"] is held
    assert pending == {"mine"}
    assert other.data == expected


def test_equal_changes_are_no_conflict(pair):
    """The same new value on both sides needs no decision."""
    db, other = pair
    other["c"] = 9
    del other["b"]
    other.flush()
    db["c"] = 9
    del db["b"]

    db.reload()

    assert db.dirty() == set()
    assert db.data == {"a": [1], "c": 9}


def test_the_order_is_that_of_the_file(pair):
    """New keys of others stand before my unsaved ones, as they will in the file."""
    db, other = pair
    other["theirs"] = 1
    other["a"] = other.pop("a")
    other.flush()
    db["mine"] = 1
    db["b"] = db.pop("b")

    db.reload()
    before = list(db)
    db.flush()
    other.load()

    assert before == ["c", "theirs", "a", "mine", "b"]
    assert list(other) == list(db) == before


@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_a_list_root_is_one_value(side):
    """Either the one or the other list remains, in the object that is there."""
    sf = Storify("memory://lists", save_interval=None)
    one = sf.get_db("log", root=[1])
    one.flush()
    two = Storify("memory://lists", save_interval=None).get_db("log")
    two.append("theirs")
    two.flush()
    one.append("mine")
    data = one.data

    with pytest.raises(ConflictError, match="whole list"):
        one.reload()
    one.reload(keep=side)
    between = list(one)
    one.flush()
    two.reload()

    assert one.data is data
    assert between == [1, side] == two.data
    for db in (one, two):
        db.close()


@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_a_root_of_another_kind_is_one_value_too(pair, side):
    """A list here and a dict there cannot be merged."""
    db, other = pair
    other.data = ["theirs"]
    other.flush()
    db["mine"] = 1

    with pytest.raises(ConflictError):
        db.reload()
    db.reload(keep=side)
    between = db.data
    db.flush()
    other.reload()

    expected = (
        ["theirs"]
        if side == "theirs"
        else {
            "a": [1],
            "b": {"x": 1},
            "c": 3,
            "mine": 1,
        }
    )
    assert between == other.data == expected


def test_a_side_must_be_named_right(pair):
    """A slip is not taken for one of them."""
    db, _ = pair

    with pytest.raises(ValueError, match="mine"):
        db.reload(keep="ours")


@pytest.mark.parametrize("side", ["mine", "theirs"])
@pytest.mark.parametrize(("key", "twin"), [(1, True), (True, 1)])
def test_a_key_that_gave_way_to_an_equal_one_conflicts_with_a_change(
    pair, side, key, twin
):
    """They deleted what is changed here, and set the other in its place."""
    mine, other = pair
    mine[key] = "old"
    mine.flush()
    other.reload()
    del other[key]
    other[twin] = "theirs"
    other.flush()
    mine[key] = "mine"

    with pytest.raises(ConflictError) as caught:
        mine.flush()
    mine.reload(keep=side)
    mine.flush()
    other.reload()

    assert caught.value.keys == (key,)
    expected = (key, "mine") if side == "mine" else (twin, "theirs")
    for db in pair:
        db.load()
        found = list(db.items())[-1]
        assert (type(found[0]), found) == (type(expected[0]), expected)


@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_keys_that_are_one_for_python_are_a_conflict(pair, side):
    """A dict has 1 or True, a file could have both and be unreadable."""
    db, other = pair
    other[True] = "theirs"
    other.flush()
    db[1] = "mine"

    with pytest.raises(ConflictError):
        db.flush()
    db.reload(keep=side)
    db.flush()
    other.load()

    expected = [(1, "mine")] if side == "mine" else [(True, "theirs")]
    for each in (db, other):
        found = list(each.items())[3:]
        assert [(repr(key), value) for key, value in found] == [
            (repr(key), value) for key, value in expected
        ]
