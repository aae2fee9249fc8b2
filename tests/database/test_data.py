"""The live dict over bytes: slots, keys, order, other writers, transactions, threads."""

import gc
import random
import sys
import threading
from decimal import Decimal
from enum import StrEnum
from types import CellType

import msgpack
import pytest

from durable_dict import CODEC, Durable, Point, adopt, opened, revert
from storify import DatabaseLoadError, UnstorableError
from storify.codec import Codec, DecodeError
from storify.database.live.data import Data, Stored, _Ahead
from storify.database.live.refresh import Incoming
from storify.database.live.savepoints import Savepoints
from storify.testing import same


def raw(data):
    """The keys whose values are not decoded."""
    return [
        key
        for key, slot in dict.items(data)
        if type(slot) is Stored and type(slot.cell_contents) is not tuple
    ]


def settled(data):
    """The keys whose objects are kept, but need not be looked at."""
    return [
        key
        for key, slot in dict.items(data)
        if type(slot) is Stored and type(slot.cell_contents) is tuple
    ]


# --- slots ----------------------------------------------------------------------
def test_opening_decodes_nothing():
    """Keys, length and order are there, values are not."""
    _, data = opened({"a": [1], "b": [2]})

    assert list(data) == ["a", "b"]
    assert len(data) == 2
    assert "a" in data
    assert raw(data) == ["a", "b"]
    assert data.is_clean()


def test_an_access_decodes_one_value_and_gives_it_ever_after():
    """It is the same object each time."""
    _, data = opened({"a": [1], "b": [2]})

    first = data["a"]

    assert data["a"] is first is data.get("a") is dict(data)["a"]
    assert data.touched_count() == 2


def test_a_change_inside_a_value_is_found_by_the_next_flush():
    """And nothing else is written."""
    durable, data = opened({"a": [1], "b": [2]})

    data["a"].append(5)
    changes = durable.flush(data)

    assert changes == [(CODEC.encode("a"), CODEC.encode([1, 5]))]
    assert durable.content == {"a": [1, 5], "b": [2]}


def test_what_was_only_read_is_not_written():
    """The flush finds it equal, and it need not be looked at again."""
    durable, data = opened({"a": [1], "b": [2]})
    list(data.items())

    assert durable.flush(data) == []
    assert data.is_clean()
    assert settled(data) == ["a", "b"]


def test_a_settled_object_is_given_again():
    """The program sees one object as long as it is open."""
    durable, data = opened({"a": [1]})
    identity = id(data["a"])

    durable.flush(data)

    assert settled(data) == ["a"]
    assert id(data["a"]) == identity


def test_what_the_user_holds_stays_live():
    """It may be changed at any time without another access."""
    durable, data = opened({"a": [1]})
    held = data["a"]

    durable.flush(data)
    held.append(2)

    assert len(durable.flush(data)) == 1
    assert durable.content == {"a": [1, 2]}


def test_a_new_root_is_all_new():
    """Its entries are written, in their order."""
    durable = Durable()
    data = Data(CODEC, {"b": 1, "a": [2]})

    durable.flush(data)

    assert list(durable.content.items()) == [("b", 1), ("a", [2])]
    assert data.is_clean()


def test_a_failed_commit_leaves_everything_to_be_saved():
    """New, changed, deleted and moved keys alike."""
    durable, data = opened({"a": [1], "b": [2], "c": 3, "d": 4})
    data["a"].append(1)
    del data["c"]
    data["d"] = data.pop("d")
    data["new"] = 5

    durable.flush(data, fails=True)
    changes = durable.flush(data)

    assert [value is None for _, value in changes].count(True) == 2
    assert list(durable.content.items()) == list(data.items())
    assert list(data) == ["a", "b", "d", "new"]


def test_a_cell_is_refused():
    """It is what stands for a value, so it cannot be one."""
    _, data = opened({"a": [1]})

    for put in (
        lambda: data.__setitem__("b", CellType(1)),
        lambda: data.update(b=CellType(1)),
        lambda: data.setdefault("b", CellType(1)),
    ):
        with pytest.raises(UnstorableError, match=r"'b'.*CellType") as caught:
            put()
        assert caught.value.path == "$['b']"
    assert "b" not in data


def test_a_flush_that_goes_no_further_leaves_no_trace():
    """As one that an interrupt ended: all is looked at by the next."""
    durable, data = opened({"a": [1], "b": [2], "c": [3]})
    data["a"].append(2)
    del data["b"]
    data["d"] = [4]
    first = data.begin_flush()

    second = data.begin_flush()

    assert data.flush is second is not first
    assert second.touched == {"a": [1, 2], "d": [4]}
    assert list(second.gone) == ["b"]
    data.abandon(second)
    durable.flush(data)
    assert durable.content == data == {"a": [1, 2], "c": [3], "d": [4]}


@pytest.mark.parametrize("change", ["set", "delete"])
def test_a_flush_begins_while_keys_are_set_and_deleted(change):
    """Between any two steps, as by another thread: it goes on, and nothing is lost."""
    step = struck = 0

    def strike(*_: object) -> None:
        nonlocal struck
        struck += 1
        if struck == step:
            data.pop("b") if change == "delete" else data.update(new=[1])

    while struck >= step:
        step, struck = step + 1, 0
        durable, data = opened({"x": 1})
        data.update({"a": [1], "b": [2], "c": [3]})
        sys.setprofile(strike)
        try:
            flush = data.begin_flush()
        finally:
            sys.setprofile(None)
        expected = {"a", "b", "c"} - ({"b"} if "b" not in data else set())

        assert expected <= flush.touched.keys() <= {"a", "b", "c", "new"}
        data.abandon(flush)
        durable.flush(data)
        assert durable.content == dict(data.copy())
    assert step > 20


def test_a_flush_lets_go_of_the_values():
    """Else each would count as held by the next flush."""
    durable, data = opened({"a": [1]})
    assert data["a"]
    flush = data.begin_flush()
    data.end_flush(flush, (), ())

    assert flush.touched == {}
    assert durable.flush(data) == []
    assert settled(data) == ["a"]


# --- values that cannot be read ---------------------------------------------------
def broken():
    """A root with one value that nests too deep, among good ones."""
    deep = b"\x91" * 600 + b"\xc0"
    good = CODEC.encode([1])
    entries = {CODEC.encode(key): good for key in "abcd"}
    entries[CODEC.encode("c")] = deep
    durable = Durable()
    durable.entries = entries
    return durable, durable.open()


def test_a_value_that_cannot_be_read_is_an_error_at_its_access():
    """It names the key; the other values can be read."""
    _, data = broken()

    assert data["a"] == [1]
    for access in (
        lambda: data["c"],
        lambda: data.get("c"),
        lambda: data.pop("c"),
        lambda: list(data.items()),
        data.copy,
    ):
        with pytest.raises(DatabaseLoadError, match=r"key 'c'.*nest more than"):
            access()
    assert data["d"] == [1]
    assert raw(data) == ["c"]


def test_a_value_that_cannot_be_read_is_kept_by_flushes():
    """It can be replaced or deleted."""
    durable, data = broken()
    before = durable.entries[CODEC.encode("c")]
    data["a"].append(2)

    durable.flush(data)
    assert durable.entries[CODEC.encode("c")] == before

    del data["c"]
    durable.flush(data)
    assert CODEC.encode("c") not in durable.entries


def test_iterating_gives_the_values_before_the_one_that_cannot_be_read():
    """As if they were decoded one by one."""
    _, data = broken()
    seen = []

    with pytest.raises(DatabaseLoadError):
        seen.extend(data.items())

    assert seen == [("a", [1]), ("b", [1])]


# --- keys -----------------------------------------------------------------------
class Colour(StrEnum):
    """Members equal strings."""

    RED = "red"


def test_an_equal_key_of_another_type_is_the_key_that_is_there():
    """As in a dict; its own bytes are saved."""
    durable, data = opened({1: [1], "red": [2]})

    data[True].append(2)
    data[1.0] = [*data[True], 3]
    data["red"].append(3)

    changes = durable.flush(data)

    assert same(durable.content, {1: [1, 2, 3], "red": [2, 3]})
    assert [key for key, _ in changes] == [CODEC.encode(1), CODEC.encode("red")]


def test_a_key_that_was_deleted_may_come_back_as_an_equal_one():
    """The old bytes go, the new ones come, even for the same value."""
    durable, data = opened({1: "x", Decimal("1.50"): "y", "z": 0})

    del data[1]
    data[True] = "x"
    del data[Decimal("1.50")]
    data[Decimal("1.5")] = "y"
    durable.flush(data)

    assert same(durable.content, {"z": 0, True: "x", Decimal("1.5"): "y"})
    assert durable.agrees_with(data)
    assert data.is_clean()


def test_string_keys_and_a_member_that_equals_one():
    """Access by the member finds the value under the string."""
    codec = Codec()
    codec.register(Colour)
    data = Data.opened(codec, codec.encode_items({"red": [1]}))

    data[Colour.RED].append(2)

    flush = data.begin_flush()
    assert [type(key) for key in flush.touched] == [str]
    data.abandon(flush)


@pytest.mark.parametrize(
    "key",
    [
        float("nan"),
        (1, float("nan")),
        Decimal("NaN"),
        frozenset({float("nan")}),
    ],
    ids=repr,
)
def test_a_key_with_a_nan_is_found_by_its_bytes(key):
    """It equals only itself, and another writer's is another object."""
    durable, data = opened({"a": 1, key: [1]})
    theirs = next(iter(Durable({key: 1}).open()))

    assert data.own_key(theirs) is list(data)[1]
    adopt(data, theirs, CODEC.encode([2]))

    assert len(data) == 2
    assert list(data.values()) == [1, [2]]
    assert durable.flush(data) == []


def test_a_new_key_with_a_nan_is_new():
    """No key of these bytes is there."""
    _, data = opened({"a": 1, (2, float("nan")): 2})

    adopt(data, (1, float("nan")), CODEC.encode(3))

    assert list(data.values()) == [1, 2, 3]


def test_keys_of_one_hash_are_told_apart():
    """As by a dict."""
    durable, data = opened({2**61: ["big"], 1: ["one"]})
    assert hash(2**61) == hash(1)

    data[True].append(1)

    durable.flush(data)
    assert same(durable.content, {2**61: ["big"], 1: ["one", 1]})


class Odd:
    """A key whose ``__eq__`` knows no probe."""

    def __eq__(self, other):
        return isinstance(other, Odd)

    def __hash__(self):
        return 7


def test_a_key_that_equals_only_its_kind_is_found():
    """Its ``__eq__`` says False to what it does not know."""
    first = Odd()
    data = Data(CODEC, {first: 1, "a": 2})

    assert data.own_key(Odd()) is first
    data[Odd()] = 3
    assert [key for key in data if isinstance(key, Odd)] == [first]


def test_an_unhashable_key_is_a_type_error():
    """As in a dict, for every operation."""
    _, data = opened({1: 2})

    for step in (
        lambda: data[[]],
        lambda: data.__setitem__([], 1),
        lambda: data.pop([]),
        lambda: data.setdefault([]),
        lambda: data.__delitem__([]),
    ):
        with pytest.raises(TypeError, match="unhashable"):
            step()


# --- order ----------------------------------------------------------------------
def test_a_key_that_is_deleted_and_set_goes_last():
    """In memory and in the file."""
    durable, data = opened({"a": 1, "b": 2, "c": 3})

    data["a"] = data.pop("a")
    durable.flush(data)

    assert list(data) == list(durable.content) == ["b", "c", "a"]


def test_new_keys_keep_their_order_through_a_failed_commit():
    """Also those that came while it was under way."""
    durable, data = opened({"a": 1})
    data["x"] = 1
    data["y"] = 2

    def meanwhile():
        data["z"] = 3
        data["x"] = data.pop("x")
        data["y"] = 5

    durable.flush(data, fails=True, begun=meanwhile)
    durable.flush(data)

    assert list(data.items()) == list(durable.content.items())
    assert list(data) == ["a", "y", "z", "x"]


def test_reorder_touches_no_value():
    """What is not named goes last."""
    _, data = opened({"a": 1, "b": 2, "c": 3, "d": 4})
    Incoming(data).reorder(["c", "missing", "a"])

    assert list(data) == ["c", "a", "b", "d"]
    assert data.is_clean()
    assert raw(data) == ["c", "a", "b", "d"]


def test_what_is_durable_is_known_during_a_flush():
    """Until it is done, it is what it was: for moved, deleted and new keys."""
    _, data = opened({"a": 1, "b": 2, "c": 3})
    before = [data.durable(key) for key in "abcd"]
    data["a"] = data.pop("a")
    del data["b"]
    data["c"] = 4
    data["d"] = 5

    flush = data.begin_flush()

    assert [data.durable(key) for key in "abcd"] == before
    assert list(dict(data.stored_items())) == ["c", "a", "b"]
    assert (flush.base("a"), flush.base("c")) == (before[0], before[2])
    assert (flush.base("d"), list(flush.gone)) == (None, ["a", "b"])
    data.abandon(flush)


# --- between begin and end -----------------------------------------------------------
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("when", ["begun", "encoded"])
def test_what_changes_during_a_flush_is_saved_by_the_next(fails, when):
    """Reading, changing in place, setting, deleting, moving: nothing is lost."""
    content = {key: [0] for key in "abcdefgh"}
    durable, data = opened(content)
    for key in "abcdef":
        data[key].append(1)
    del data["g"]
    data["new"] = [0]
    data["gone soon"] = [0]

    def meanwhile():
        data["a"].append(2)
        data["b"] = [9]
        del data["c"]
        data["d"] = data.pop("d")
        data["g"] = [7]
        data["h"].append(2)
        data["new"].append(2)
        del data["gone soon"]

    durable.flush(data, fails=fails, **{when: meanwhile})
    assert durable.agrees_with(data)
    durable.flush(data)

    assert durable.content == data
    assert list(durable.content) == list(data)
    assert durable.content["a"] == [0, 1, 2]
    assert durable.agrees_with(data)


def test_a_value_held_at_the_begin_and_let_go_is_looked_at_again():
    """Whoever held it may have changed it after it was encoded."""
    durable, data = opened({"a": {"x": []}})
    inner = [data["a"]["x"]]

    def meanwhile():
        inner.pop().append(1)

    durable.flush(data, encoded=meanwhile)
    durable.flush(data)

    assert durable.content == {"a": {"x": [1]}}


def random_step(data, held, chance):
    """One thing a program may do."""
    key = chance.choice("abcdef")
    step = chance.randrange(9)
    if step == 0:
        data.pop(key, None)
    elif step == 1:
        data[key] = {"n": [chance.random()]}
    elif step == 2 and key in data:
        held.append(data[key])
    elif step == 3 and key in data:
        held.append(data[key]["n"])
    elif step == 4 and held:
        each = chance.choice(held)
        (each["n"] if type(each) is dict else each).append(chance.random())
    elif step == 5 and held:
        held.pop(chance.randrange(len(held)))
    elif step == 6 and key in data:
        data[key] = data.pop(key)
    elif step == 7:
        list(data.values())
    elif step == 8 and data:
        data.popitem()


@pytest.mark.parametrize("seed", range(300))
def test_any_steps_and_flushes_lose_nothing(seed):
    """After a flush the file is what memory is, whatever happened before it."""
    chance = random.Random(seed)  # noqa: S311 - a test, not a secret
    durable, data = opened({key: {"n": [0]} for key in "abcd"})
    held = []

    def steps():
        for _ in range(chance.randrange(6)):
            random_step(data, held, chance)

    for _ in range(25):
        steps()
        durable.flush(data, fails=chance.random() < 0.3, begun=steps, encoded=steps)
        assert durable.agrees_with(data)
        steps()
        durable.flush(data)
        assert same(durable.content, data.copy())
        if chance.random() < 0.1:
            data, held = durable.open(), []


def test_an_iteration_ahead_gives_up_when_another_thread_adds_a_key():
    """The value at hand is given; the iteration itself raises in its next step."""
    _, data = opened({f"k{n}": [n] for n in range(100)})
    ahead = _Ahead(data, lambda: iter(dict.items(data)))

    assert ahead.open("k0") == [0]
    data["new"] = 1

    assert ahead.open("k50") == [50]
    assert ahead.open("k51") == [51]


# --- other writers ----------------------------------------------------------------
def test_an_adopted_value_is_decoded_when_it_is_looked_at():
    """A new key goes last, a deleted one goes."""
    _, data = opened({"a": [1], "b": [2]})

    adopt(data, "a", CODEC.encode([9]))
    adopt(data, "new", CODEC.encode([3]))
    adopt(data, "b", None)
    adopt(data, "never there", None)

    assert raw(data) == ["a", "new"]
    assert data.is_clean()
    assert data == {"a": [9], "new": [3]}


def test_an_adopted_value_goes_into_the_object_that_is_held():
    """Reference and database stay one."""
    durable, data = opened({"m": Point(x=1, tags=["a"]), "l": [[1], 2]})
    point, items = data["m"], data["l"]
    inner = items[0]

    adopt(data, "m", CODEC.encode(Point(x=2, tags=["b"])))
    adopt(data, "l", CODEC.encode([[7], 8]))

    assert data["m"] is point == Point(x=2, tags=["b"])
    assert data["l"] is items == [[7], 8]
    assert items[0] is inner
    assert data.durable("l") == CODEC.encode([[7], 8])
    durable.entries = dict(
        zip(durable.entries, map(CODEC.encode, [point, items]), strict=True)
    )
    assert durable.flush(data) == []


def test_a_key_that_moves_takes_an_adopted_value_along():
    """It goes last by the next flush, with what the other writer set."""
    durable, data = opened({"a": [1], "b": 2})
    data["a"] = data.pop("a")
    moved = data["a"]

    adopt(data, "a", CODEC.encode([9]))
    durable.entries[CODEC.encode("a")] = CODEC.encode([9])

    assert data["a"] is moved == [9]
    assert durable.agrees_with(data)
    durable.flush(data)
    assert list(durable.content.items()) == list(data.items()) == [("b", 2), ("a", [9])]


def test_an_adopted_value_that_cannot_be_read_is_an_error_at_its_access():
    """The other writer's bytes are what is durable."""
    _, data = opened({"a": [1]})
    held = data["a"]
    deep = b"\x91" * 600 + b"\xc0"

    adopt(data, "a", deep)

    with pytest.raises(DatabaseLoadError, match="key 'a'"):
        data["a"]
    assert data.durable("a") == deep
    assert held == [1]


def test_a_rebased_key_keeps_my_value():
    """It is compared with the other writer's, and written."""
    durable, data = opened({"a": 1, "b": 2, "c": 3})
    data["a"] = 10
    del data["b"]
    data["new"] = 11

    Incoming(data).rebase("a", CODEC.encode(5))
    Incoming(data).rebase("b", CODEC.encode(6))
    Incoming(data).rebase("new", CODEC.encode(11))
    assert data.durable("a") == CODEC.encode(5)
    changes = durable.flush(data)

    assert changes == [
        (CODEC.encode("b"), None),
        (CODEC.encode("a"), CODEC.encode(10)),
    ]


def test_a_key_that_others_deleted_is_new_again_when_rebased():
    """Mine is written; what both deleted is not."""
    durable, data = opened({"a": [1], "b": 2, "c": 3, "d": 4})
    data["a"].append(1)
    del data["b"]
    data["d"] = data.pop("d")

    Incoming(data).rebase("a", None)
    Incoming(data).rebase("b", None)
    Incoming(data).rebase("c", None)
    Incoming(data).rebase("d", None)
    changes = durable.flush(data)

    assert sorted(changes) == sorted(
        CODEC.encode_items({"a": [1, 1], "c": 3, "d": 4}).items()
    )


def test_a_key_that_others_deleted_goes_last_with_my_value():
    """There the next flush puts it; another order is followed by that flush, too."""
    durable, data = opened({"a": 1, "b": 2, "c": 3})
    data["a"] = 10
    data["b"] = 11
    data["new"] = 12
    durable.entries = CODEC.encode_items({"c": 3})

    Incoming(data).rebase("a", None)
    Incoming(data).rebase("b", None)
    assert list(data) == ["c", "new", "a", "b"]
    Incoming(data).reorder(["c", "b", "new"])
    durable.flush(data)

    assert list(durable.content) == list(data) == ["c", "b", "new", "a"]


def test_revert_drops_what_was_changed_here():
    """In place where it was changed in place."""
    durable, data = opened({"a": [1], "b": 2, "c": [3], "d": [4]})
    held = data["a"]
    held.append(1)
    del data["b"]
    data["new"] = 1
    data["d"] = [*data.pop("d"), 1]

    for key in ("a", "b", "new", "c", "d", "missing"):
        revert(data, key)

    assert data == {"a": [1], "b": 2, "c": [3], "d": [4]}
    assert data["a"] is held
    assert durable.flush(data) == []
    assert data.durable("missing") is None


def test_revert_brings_the_key_back_that_was_there():
    """Not the equal one that took its place."""
    durable, data = opened({1: "x"})
    del data[1]
    data[True] = "y"

    revert(data, True)

    assert same(data.copy(), {1: "x"})
    assert durable.flush(data) == []


def test_two_keys_that_are_one_are_refused():
    """A dict would lose one of them."""
    one, true = CODEC.encode(1), CODEC.encode(True)

    with pytest.raises(DecodeError, match="one for Python"):
        Data.opened(CODEC, {one: one, true: one})


# --- transactions -------------------------------------------------------------------
def encode(values):
    """Give the bytes of each value."""
    return {key: CODEC.encode(value) for key, value in values.items()}


def test_rollback_returns_to_the_same_objects_and_content():
    """Same keys, same order; what is held stays live."""
    durable, data = opened({"a": [1], "b": {"x": [2]}, "c": 3, "d": [4]})
    dirty, read = data["a"], data["d"]
    dirty.append(2)
    data["new"] = [5]

    Savepoints(data).begin(encode)
    inside = data["b"]
    inside["x"].append(9)
    dirty.append(3)
    read.clear()
    data["newer"] = 1
    data["a"] = "other"
    del data["c"]
    data["c"] = "again"
    data.pop("new")
    Savepoints(data).rollback()()

    assert list(data) == ["a", "b", "c", "d", "new"]
    assert data == {"a": [1, 2], "b": {"x": [2]}, "c": 3, "d": [4], "new": [5]}
    assert data["a"] is dirty
    assert data["b"] is inside
    assert data["d"] is read
    inside["x"].append(7)
    durable.flush(data)
    assert list(durable.content.items()) == list(data.items())
    assert durable.content["b"] == {"x": [2, 7]}


def test_rollback_decodes_nothing_that_was_not_looked_at():
    """A value that was set or deleted unread is a placeholder again."""
    _, data = opened({"a": [1], "b": [2], "c": [3]})

    Savepoints(data).begin()
    data["a"] = 5
    del data["b"]
    Savepoints(data).rollback()()

    assert raw(data) == list(data) == ["a", "b", "c"]
    assert data.is_clean()


def test_rollback_parts_what_was_moved_from_one_value_to_another():
    """Restoring both in place would give one of them the content of the other."""
    _, data = opened({"a": {"x": [1]}, "b": {"x": [2]}, "c": [[3]]})
    a, b, c = data["a"], data["b"], data["c"]

    Savepoints(data).begin()
    b["x"] = a["x"]
    c[0] = a["x"]
    a["x"] = b
    Savepoints(data).rollback()()

    assert data == {"a": {"x": [1]}, "b": {"x": [2]}, "c": [[3]]}
    assert (data["a"], data["b"], data["c"]) == (a, b, c)
    assert data["a"] is a
    assert data["b"] is b


def test_rollback_parts_models_and_lists_that_share():
    """They get parts of their own."""
    content = {"p": Point(x=1, tags=["a"]), "q": Point(x=2, tags=["b"]), "l": [["c"]]}
    _, data = opened(content)
    p, q, items = data["p"], data["q"], data["l"]

    Savepoints(data).begin()
    p.tags = q.tags = items[0]
    Savepoints(data).rollback()()

    assert data == content
    assert (data["p"] is p, data["q"] is q, data["l"] is items) == (True, True, True)


def test_rollback_of_what_another_writer_spelled():
    """It is as it was read, whatever its bytes are, and parts are the same objects."""
    long_one = b"\x81\xa1x\x92\xcd\x00\x01\x91\x02"
    data = Data.opened(CODEC, {b"\xa1a": long_one, b"\xa1b": long_one})
    read, changed = data["a"], data["b"]
    inner = changed["x"][1]

    Savepoints(data).begin()
    inner.append(3)
    Savepoints(data).rollback()()

    assert data == {"a": {"x": [1, [2]]}, "b": {"x": [1, [2]]}}
    assert data["a"] is read
    assert changed["x"][1] is inner
    assert data.durable("b") == long_one


def test_rollback_of_what_cannot_be_read_any_more():
    """The class of a record was lost meanwhile: the object stays as it is."""
    codec = Codec()
    data = Data.opened(codec, Durable({"a": [1], "b": [2]}).entries)
    held = data["a"]
    Savepoints(data).begin()
    held.append(2)
    codec.decode = lambda _: (_ for _ in ()).throw(DecodeError("lost"))

    Savepoints(data).rollback()()

    assert data["a"] is held == [1, 2]
    assert raw(data) == ["b"]


def test_rollback_of_a_model_keeps_what_is_never_stored():
    """As a merge does."""
    _, data = opened({"m": Point(x=1, tags=["a"])})
    point = data["m"]

    Savepoints(data).begin()
    point.x = 2
    point.tags.append("b")
    point._note = "mine"
    Savepoints(data).rollback()()

    assert data["m"] is point == Point(x=1, tags=["a"])
    assert point._note == "mine"


def test_rollback_undoes_what_cannot_be_saved():
    """The value was replaced by something that no file can hold."""
    _, data = opened({"a": [1]})
    held = data["a"]

    Savepoints(data).begin()
    held.append(object())
    data["b"] = object()
    Savepoints(data).rollback()()

    assert data == {"a": [1]}
    assert data["a"] is held


def test_a_savepoint_inside_a_savepoint():
    """The inner one returns to what the outer one made, the outer one to all before."""
    _, data = opened({"a": [1], "b": [2], "c": [3]})
    Savepoints(data).begin(encode)
    data["a"].append(10)
    Savepoints(data).begin(encode)
    data["a"].append(20)
    data["b"].append(20)
    del data["c"]
    Savepoints(data).rollback()()

    assert data == {"a": [1, 10], "b": [2], "c": [3]}

    Savepoints(data).begin(encode)
    del data["b"]
    data["new"] = 1
    Savepoints(data).commit()
    Savepoints(data).rollback()()

    assert list(data.items()) == [("a", [1]), ("b", [2]), ("c", [3])]


def test_what_an_inner_rollback_left_in_use_is_restored_by_the_outer():
    """It was first handed out inside both."""
    _, data = opened({"a": [1]})
    Savepoints(data).begin()
    Savepoints(data).begin()
    held = data["a"]
    held.append(2)
    Savepoints(data).rollback()()
    held.append(3)
    Savepoints(data).rollback()()

    assert data["a"] is held == [1]


def test_a_value_that_cannot_be_encoded_makes_no_savepoint():
    """There is nothing to return to."""
    _, data = opened({"a": [1]})
    data["b"] = object()

    for way in (encode, None):
        with pytest.raises(UnstorableError):
            Savepoints(data).begin(way)
    with pytest.raises(IndexError):
        Savepoints(data).rollback()()


def test_a_failed_commit_inside_a_savepoint_can_be_rolled_back():
    """A successful one cannot: the changes are durable."""
    durable, data = opened({"a": [1], "b": [2]})
    Savepoints(data).begin()
    data["a"].append(2)
    del data["b"]
    data["new"] = 1
    durable.flush(data, fails=True)
    Savepoints(data).rollback()()
    assert list(data.items()) == [("a", [1]), ("b", [2])]

    Savepoints(data).begin()
    data["a"].append(3)
    durable.flush(data)
    Savepoints(data).rollback()()
    assert data == {"a": [1, 3], "b": [2]} == durable.content


def test_nothing_is_adopted_inside_a_savepoint():
    """The transaction holds the lock of the file."""
    _, data = opened({"a": [1]})
    Savepoints(data).begin()

    with pytest.raises(RuntimeError, match="transaction"):
        adopt(data, "a", None)


def test_rollback_brings_back_the_key_itself():
    """1 and True are one key, of two kinds of bytes."""
    durable, data = opened({1: "x", 2: "y"})

    Savepoints(data).begin()
    del data[1]
    data[True] = "z"
    Savepoints(data).rollback()()

    assert same(data.copy(), {1: "x", 2: "y"})
    assert durable.flush(data) == []


@pytest.mark.parametrize("seed", range(200))
def test_any_steps_are_rolled_back(seed):
    """Content, order and objects of the begin; savepoints inside one another."""
    chance = random.Random(seed)  # noqa: S311 - a test, not a secret
    durable, data = opened({key: {"n": [0]} for key in "abcd"})
    held = []
    for _ in range(6):
        for _ in range(chance.randrange(6)):
            random_step(data, held, chance)
        levels = []
        for _ in range(chance.randrange(1, 4)):
            Savepoints(data).begin(encode)
            levels.append((CODEC.encode_items(data.copy()), dict(dict.items(data))))
            for _ in range(chance.randrange(8)):
                random_step(data, held, chance)
        while levels:
            before, objects = levels.pop()
            if chance.random() < 0.3:
                Savepoints(data).commit()
                continue
            Savepoints(data).rollback()()
            assert list(CODEC.encode_items(data.copy()).items()) == list(before.items())
            assert all(
                data[key] is value
                for key, value in objects.items()
                if type(value) is not Stored
            )
        durable.flush(data)
        assert same(durable.content, data.copy())


# --- threads ------------------------------------------------------------------------
RECORD = {"__x__": {"y": 1}}
WITH_RECORD = msgpack.packb({"a": RECORD, "b": 1})


def test_two_threads_that_read_one_value_get_one_object():
    """Both decode it at the same time; the first to have it wins."""
    both = threading.Barrier(2)

    def structure(tree):
        if "__x__" in tree:
            both.wait(5)
        return tree

    data = Data.opened(Codec(structure=structure), Codec.split(WITH_RECORD))
    got = []
    threads = [threading.Thread(target=lambda: got.append(data["a"])) for _ in "12"]

    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert got[0] is got[1] is data["a"]


def test_a_key_that_vanishes_while_it_is_decoded_is_missing():
    """As if it had been deleted before."""
    for read in (lambda d: d.get("a", 5), lambda d: d.pop("a", 5)):
        opened_ones = []

        def structure(tree, ones=opened_ones):
            ones[0].__delitem__("a") if "a" in ones[0] else None
            return tree

        opened_ones.append(
            Data.opened(Codec(structure=structure), Codec.split(WITH_RECORD))
        )
        assert read(opened_ones[0]) == 5


def test_a_hook_may_use_the_data():
    """No lock is held while it runs."""
    done = []

    def structure(tree):
        thread = threading.Thread(target=lambda: done.append(data["b"]))
        thread.start()
        thread.join(5)
        return tree

    data = Data.opened(Codec(structure=structure), Codec.split(WITH_RECORD))

    assert data["a"] == RECORD
    assert done[0] == 1


def test_threads_that_change_values_lose_nothing():
    """Counters in nested lists, against flushes without a pause."""
    durable, data = opened({str(n): {"n": [0]} for n in range(8)})
    rounds = 300

    def count():
        chance = random.Random(threading.get_ident())  # noqa: S311 - idem
        for _ in range(rounds):
            with lock:
                data[str(chance.randrange(8))]["n"][0] += 1

    lock = threading.Lock()
    threads = [threading.Thread(target=count) for _ in range(3)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        durable.flush(data)
    for each in threads:
        each.join()
    durable.flush(data)

    assert sum(each["n"][0] for each in durable.content.values()) == 3 * rounds


def test_nothing_is_collected_that_is_open():
    """The collector follows placeholders and what they keep."""
    durable, data = opened({"a": [[1]]})
    assert data["a"]
    durable.flush(data)

    gc.collect()

    assert data == {"a": [[1]]}
    assert msgpack.packb(data) == durable.payload
