"""What was handed out and let go need not be looked at; what is held must be."""

import gc
import random
import sys
import weakref
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from itertools import count
from pathlib import PurePosixPath
from uuid import UUID

import attrs
import pytest

from durable_dict import CODEC, Point, opened
from storify.database.live import ownership, slots
from storify.database.live.ownership import RELIABLE, held_elsewhere
from storify.database.live.slots import Stored

pytestmark = pytest.mark.skipif(not RELIABLE, reason="references are not counted here")

Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - a class without annotations


class Role(Enum):
    """Stored by name; its value is the class's."""

    ADMIN = ["all"]


@dataclass
class Plain:
    """A dataclass with a dict of its own."""

    items: list[int]


@dataclass(slots=True)
class Slotted:
    """A dataclass with slots."""

    items: list[int]


@attrs.define
class Attrs:
    """An attrs class, with slots."""

    items: list[int]


class Unknown:
    """A class that nothing is known of."""


class Text(str):
    """A subclass of a scalar: it can hold anything."""

    __slots__ = ("anything",)


def deep():
    """A value of each kind of container, nested."""
    return {
        "list": [[1, "a"], (1, [2]), {3, "x"}, frozenset({4})],
        "dict": {"x": {"y": [b"z", None, 2.5]}},
        "ordered": OrderedDict(a=[1]),
        "default": defaultdict(list, a=[1]),
        "counter": Counter("aab"),
        "deque": deque([[1], {}], 5),
        "bytes": bytearray(b"x"),
        "slice": slice(1, 2),
        "model": Point(x=1, tags=["a"]),
        "pair": Pair([1], {}),
        "plain": Plain([1]),
        "slotted": Slotted([1]),
        "attrs": Attrs([1]),
        "scalars": [
            datetime(2026, 1, 1, tzinfo=UTC),
            Decimal(1),
            UUID(int=1),
            PurePosixPath("a"),
            Role.ADMIN,
            range(3),
            ...,
            1 << 80,
        ],
        "empty": [(), frozenset(), {}, [], set(), b"", ""],
    }


LOOKED_INTO = (
    *(list, dict, set, deque, bytearray, tuple, frozenset, slice),
    *(Point, Plain, Slotted, Attrs),
)


def inner_objects(value):
    """Everything mutable inside a value, and itself."""
    found, level = [], [value]
    while level:
        found += level
        level = [
            each for each in gc.get_referents(*level) if isinstance(each, LOOKED_INTO)
        ]
    return found


def is_constant(value):
    """Whether nobody can change it."""
    return type(value) in (tuple, frozenset) and not any(
        isinstance(each, LOOKED_INTO) for each in value
    )


def test_what_nobody_holds_is_free():
    """For every kind of container, at any depth."""
    assert held_elsewhere([deep(), [1], {}, "text", None, 5, (1, 2), ()]) == set()


def test_what_is_held_at_any_depth_is_held():
    """Each object inside, one at a time, whatever it is."""
    values = [deep(), deep(), deep()]
    every = len(inner_objects(values[1]))
    assert every > 30

    for number in range(every):
        held = [inner_objects(values[1])[number]]
        if not is_constant(held[0]):
            assert held_elsewhere(values) == {1}, type(held[0])
        held.clear()
    assert held_elsewhere(values) == set()


def test_many_values_with_some_held():
    """Across batches, which are looked at together."""
    values = [{"n": [number]} for number in range(1000)]
    chosen = {0, 5, 63, 64, 65, 500, 999}

    held = [values[number]["n"] for number in chosen]
    assert held_elsewhere(values) == chosen

    del held
    assert held_elsewhere(values) == set()


HOLDERS = {
    "variable": lambda inner: inner,
    "iterator": iter,
    "reversed": reversed,
    "bound method": lambda inner: inner.append,
    "closure": lambda inner: lambda: inner,
    "default argument": lambda inner: lambda it=inner: it,
    "generator": lambda inner: (each for each in inner),
    "running generator": lambda inner: started(inner, 1),
    "enumerate": enumerate,
    "map": lambda inner: map(str, inner),
    "dict value": lambda inner: {1: inner},
    "dict view": lambda inner: {1: inner}.values(),
    "attribute": lambda inner: setattr(holder := Unknown(), "it", inner) or holder,
    "traceback": lambda inner: failed(inner, LookupError),
    "exception": ValueError,
    "slice of a list": lambda inner: [inner][:],
    "weak reference": weakref.ref,
    "weak proxy": weakref.proxy,
}


def started(inner, steps):
    """A generator that is in the middle of its loop."""
    generator = (each for each in inner)
    for _ in range(steps):
        next(generator)
    return generator


def failed(inner, kind):
    """An exception whose traceback has the object in a frame."""

    def fail(it):
        raise kind

    try:
        fail(inner)
    except kind as error:
        return error


@pytest.mark.parametrize("name", HOLDERS)
def test_every_way_to_hold_an_object_counts(name):
    """It need not be a variable."""
    weak = name.startswith("weak")
    values = [{"x": deque([1, 2]) if weak else [1, 2]}]
    assert held_elsewhere(values) == set()

    holder = HOLDERS[name](values[0]["x"])
    assert held_elsewhere(values) == {0}

    del holder
    gc.collect()
    assert held_elsewhere(values) == set()


VIEWS = {
    "dict view": (lambda: {"a": {"b": 1}}, lambda value: value["a"].items()),
    "dict iterator": (lambda: {"a": {"b": 1}}, lambda value: iter(value["a"])),
    "memoryview": (lambda: [bytearray(b"x")], lambda value: memoryview(value[0])),
    "vars": (lambda: [Point(x=1)], lambda value: vars(value[0])),
    "set iterator": (lambda: [{1}], lambda value: iter(value[0])),
    "namedtuple": (lambda: [Pair([], [])], lambda value: value[0]),
    "field": (lambda: [Plain([])], lambda value: value[0].items),
    "slot": (lambda: [Slotted([])], lambda value: value[0].items),
}


@pytest.mark.parametrize("name", VIEWS)
def test_what_lets_an_object_be_changed_counts(name):
    """A view, a buffer, the dict of an object."""
    make, hold = VIEWS[name]
    values = [make()]
    assert held_elsewhere(values) == set()

    holder = hold(values[0])

    assert held_elsewhere(values) == {0}
    del holder
    assert held_elsewhere(values) == set()


def test_an_object_in_two_values_counts():
    """A change by one of them is a change of both."""
    shared = [1]
    values = [{"x": shared}, {"y": [shared]}, {"z": [2]}]
    del shared

    assert held_elsewhere(values) == {0, 1}
    assert held_elsewhere([values[2]], owners=2) == set()


def test_an_object_twice_in_one_value_and_a_circle_count():
    """A tree has one way to each part; anything else is left alone."""
    inner, circle = [1], []
    twice = [inner, inner]
    circle.append(circle)
    del inner
    values = [twice, circle]
    del twice, circle

    assert held_elsewhere(values) == {0, 1}
    values[1].clear()


@pytest.mark.parametrize("make", [Unknown, Text, count, object])
def test_what_is_not_known_counts(make):
    """As a value and inside one."""
    values = [make(), [make()], {"x": {"y": make()}}, ["known"]]

    assert held_elsewhere(values) == {0, 1, 2}


def test_a_class_with_a_base_of_unknown_makeup_counts():
    """What its objects hold may be out of sight."""

    class Timed(datetime):
        pass

    class Claims(Point):
        @property
        def __dict__(self):
            return {}

    assert ownership._kind_of(Claims) == ownership.UNKNOWN
    assert ownership._kind_of(Timed) == ownership.UNKNOWN
    assert ownership._kind_of(type("Sub", (Point,), {})) != ownership.UNKNOWN


def test_a_model_with_attributes_of_its_own_is_looked_into():
    """What is never saved is the user's, and may be anything."""
    free, unknown = Point(x=1), Point(x=1)
    free._cache = [1]
    unknown._lock = Unknown()
    values = [free, unknown]
    del free, unknown

    assert held_elsewhere(values) == {1}


def test_classes_are_not_kept():
    """A class that is no longer used can go."""
    made = type("Gone", (Point,), {"__annotations__": {}})
    there = weakref.ref(made)

    ownership.Kinds()[made]
    assert ownership.Kinds().unknown == set()
    assert there() is made


def test_what_is_known_of_a_class_goes_with_it():
    """A later class may lie at the same place."""
    made = dataclass(type("Gone", (), {"__annotations__": {}}))
    ownership.Kinds()[made]
    number = id(made)
    assert number in ownership._known

    del made
    gc.collect()

    assert number not in ownership._known


def test_a_class_whose_bases_are_assigned_is_looked_at_again():
    """What its objects hold may be out of sight from then on."""

    class Open(Point):
        pass

    class Claims(Point):
        @property
        def __dict__(self):
            return {}

    class Changed(Open):
        pass

    before = ownership.Kinds()[Changed]
    Changed.__bases__ = (Claims,)

    assert before != ownership.UNKNOWN
    assert ownership.Kinds()[Changed] == ownership.UNKNOWN


def test_where_references_are_not_counted_all_is_held(monkeypatch):
    """PyPy, and builds without the global lock."""
    monkeypatch.setattr(ownership, "RELIABLE", False)

    assert held_elsewhere([[1], "a"]) == {0, 1}


def test_owners_that_the_caller_knows_of_do_not_count():
    """A flush has references to a value itself."""
    values = [[1], {}]
    also = {"a": values[0], "b": values[1]}

    assert held_elsewhere(values) == {0, 1}
    assert held_elsewhere(values, owners=2) == set()
    assert len(also) == 2


def test_a_constant_is_free_whoever_has_it():
    """Nobody can change a tuple of texts, which may be in the code of a program."""
    constant, of_lists = ("a", 1), ("a", [1])
    values = [constant, {"x": [constant, frozenset({1})]}, of_lists, {"x": of_lists}]

    assert held_elsewhere(values) == {2, 3}


# --- at work ------------------------------------------------------------------------
def nested(chance, depth=0):
    """A random value."""
    if depth > 3 or (depth and chance.random() < 0.2):
        return chance.choice([1, "text", None, 2.5, ()])
    parts = [nested(chance, depth + 1) for _ in range(chance.randrange(1, 4))]
    return chance.choice(SHAPES)(parts)


SHAPES = [
    list,
    tuple,
    deque,
    lambda parts: {f"k{n}": each for n, each in enumerate(parts)},
    lambda parts: OrderedDict((f"o{n}", each) for n, each in enumerate(parts)),
    lambda parts: Point(x=len(parts), tags=[str(each) for each in parts]),
]


def mutables(value):
    """Give every object inside a value that can be changed."""
    found, level = [], [value]
    while level:
        each = level.pop()
        if isinstance(each, (list, deque)):
            found.append(each)
            level += each
        elif isinstance(each, dict):
            found.append(each)
            level += each.values()
        elif isinstance(each, tuple):
            level += each
        elif isinstance(each, Point):
            found.append(each)
            level.append(each.tags)
    return found


def mutate(each, chance):
    """Change one object in place."""
    number = chance.random()
    if isinstance(each, (list, deque)):
        each.append(str(number))
    elif isinstance(each, dict):
        each[f"n{number}"] = number
    else:
        each.x = chance.randrange(1 << 40)


def run(seed):
    """Hold random parts, flush, change what is held, flush; give whether all is saved."""
    chance = random.Random(seed)  # noqa: S311 - a test, not a secret
    durable, data = opened({f"k{n}": nested(chance) for n in range(6)})
    held = []
    for _ in range(12):
        for _ in range(chance.randrange(4)):
            parts = mutables(data[chance.choice(list(data))])
            if parts:
                held.append(chance.choice(parts))
            del parts
        while len(held) > 4:
            held.pop(chance.randrange(len(held)))
        durable.flush(data)
        for each in held:
            if chance.random() < 0.5:
                mutate(each, chance)
            del each
        if chance.random() < 0.3:
            data[chance.choice(list(data))] = nested(chance)
        durable.flush(data)
        blobs = CODEC.encode_items(data.copy())
        if blobs != durable.entries:
            return False
    return True


@pytest.mark.parametrize("sighted", [0, slots._SIGHTED])
def test_what_is_held_at_any_depth_and_changed_later_is_saved(monkeypatch, sighted):
    """Hundreds of random programs; and settling did take place."""
    monkeypatch.setattr(slots, "_SIGHTED", sighted)
    assert all(run(seed) for seed in range(300))

    durable, data = opened({"a": {"x": [1]}, "b": 1})
    list(data.values())
    durable.flush(data)
    assert {type(slot) for slot in dict.values(data)} == {Stored}


def test_what_is_seen_to_be_held_needs_no_placeholder():
    """Of many values at once; it is saved when it is changed, and let go of later."""
    mine = {f"k{n}": {"n": [n]} for n in range(100)}
    durable, data = opened({})
    data.update(mine)
    durable.flush(data)
    assert Stored not in set(map(type, dict.values(data)))
    mine["k7"]["n"].append(1)
    mine["new"] = data["new"] = []
    del data["k8"]

    durable.flush(data)
    assert durable.content == {k: v for k, v in mine.items() if k != "k8"}
    mine.clear()
    durable.flush(data)

    assert {type(slot) for slot in dict.values(data)} == {Stored}


def test_what_is_set_or_read_since_a_mark_is_told_of_many_that_are_held():
    """What is held is looked at by its parts, so reading it is nothing."""
    mine = {f"k{n}": [n] for n in range(100)}
    _, data = opened({})
    data.update(mine, free=[1])
    mark = data.mark()

    assert data["k1"] == [1]
    data["k2"] = [2]
    assert data["free"] == [1]
    del data["k3"]

    assert data.touched_since(mark) == {"k2", "k3", "free"}


def test_what_lies_behind_a_placeholder_at_a_mark_is_not_read_since():
    """One that a flush before has left in its slot."""
    mine = {f"k{n}": [n] for n in range(100)}
    parts = [[] for _ in mine]
    for value, part in zip(mine.values(), parts, strict=True):
        value.append(part)
    durable, data = opened(dict(mine))
    mine.clear()
    list(data.values())
    durable.flush(data)  # they are held below, so each has a placeholder
    assert {type(slot) for slot in dict.values(data)} == {Stored}

    mark = data.mark()

    assert data.touched_since(mark) == set()


def never_held(values, owners=1, _kinds=None):
    """Nothing is held: what anybody would think who forgets references."""
    return set()


def only_the_top(values, owners=1, _kinds=None):
    """Only references to the value itself count."""
    expected = ownership._OWNED - 2 + owners
    return {at for at, n in enumerate(map(sys.getrefcount, values)) if n != expected}


def only_two_levels(values, owners=1, _kinds=None):
    """And to what is directly inside."""
    found = only_the_top(values, owners)
    for at, value in enumerate(values):
        inner = [each for each in gc.get_referents(value) if gc.is_tracked(each)]
        counts = list(map(sys.getrefcount, inner))
        if any(n != ownership._OWNED for n in counts):
            found.add(at)
    return found


@pytest.mark.parametrize("shallow", [never_held, only_the_top, only_two_levels])
def test_a_test_that_is_not_deep_enough_is_found_out(monkeypatch, shallow):
    """So the random programs above do test what they claim to."""
    monkeypatch.setattr(slots, "held_elsewhere", shallow)

    assert not all(run(seed) for seed in range(60))


def test_a_look_after_the_encoding_is_found_out(monkeypatch):
    """Who holds a value, changes it after the encoding and lets go before the look."""

    def lost(look_late):
        durable, data = opened({"a": {"x": [1]}})
        hand = [data["a"]["x"]]
        flush = data.begin_flush()
        blob = CODEC.encode(flush.touched["a"])
        hand.pop().append(2)
        if look_late:
            flush.look()
        assert blob == flush.base("a")
        data.end_flush(flush, (), ())
        durable.flush(data)
        return durable.content != {"a": {"x": [1, 2]}}

    assert lost(look_late=True)
    assert not lost(look_late=False)


def test_a_value_accessed_between_begin_and_end_is_not_settled():
    """It was handed out again after the look."""
    durable, data = opened({"a": {"x": [1]}})
    assert data["a"]

    got = []
    durable.flush(data, begun=lambda: got.append(data["a"]["x"]))
    got[0].append(2)
    got.clear()
    durable.flush(data)
    assert durable.content == {"a": {"x": [1, 2]}}

    durable.flush(data, encoded=lambda: got.append(data["a"]["x"]))
    got[0].append(3)
    got.clear()
    durable.flush(data)
    assert durable.content == {"a": {"x": [1, 2, 3]}}
