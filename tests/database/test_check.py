"""`check`: every misfit of what is stored is found, and nothing else."""

import copy
import enum
import threading
from collections import Counter
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from faults.sampling import fewer
from model_strategies import made_classes
from stand_ins import Log
from storify import (
    CheckError,
    CustomType,
    Database,
    Misfit,
    Model,
    Ref,
    Storify,
    field,
    migration,
    testing,
)
from storify.database._schema import Schema, Use
from storify.database.maintenance.check import _Checker, check
from storify.database.session.saving import Saving
from storify.engine import MemoryEngine, Version, WholeSnapshot
from storify.logger import adapt

T = TypeVar("T")
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | int")


class Role(enum.Enum):
    """An enum."""

    ADMIN = "admin"
    GUEST = "guest"


class Address(Model):
    """A nested model."""

    street: str
    city: str


class Strict(Model, extra="forbid"):
    """A model that takes no unknown names."""

    code: int


class Versioned(Model, version=2):
    """A model with a past."""

    count: int

    @migration(0)
    @staticmethod
    def first(fields):
        """Rename a field."""
        fields["count"] = fields.pop("number")

    @migration(1)
    @staticmethod
    def second(fields):
        """Change nothing."""
        return fields


class Positive(Model):
    """A model that may refuse what it is loaded with."""

    number: int

    def __attrs_post_init__(self):
        if self.number < 0:
            raise ArithmeticError


class ByHand(Model):
    """A hand-written model; its annotation is a hint."""

    size: int

    def __init__(self, size=0):
        self.size = size


class Own(Model):
    """A model that loads itself."""

    def __init__(self, size=0):
        self.size = size

    def _from_dict(self, data):
        self.size = data["size"]


class ByHandStrict(Model, extra="forbid"):
    """A hand-written model that takes no unknown names."""

    def __init__(self):
        self.size = 0


class Box(Model, Generic[T]):
    """A generic model."""

    item: T


class Boxed(Model):
    """A class whose own check does not know what is in the box."""

    box: Box[int]


class Old(Model, was="__Older__", dropped="gone"):
    """A model that changed in each way."""

    number: int = field(was="count", upgrade=int)
    tags: tuple[str, ...] = ()


@dataclass
class Held:
    """A registered class that is no model."""

    inside: Any


@dataclass
class Place:
    """A dataclass, with fields to be judged and others."""

    zip: int
    tags: list[str] = dataclass_field(default_factory=list)
    near: "Place | None" = None
    more: Any = None


@dataclass
class Shop(Place):
    """A dataclass with a base."""

    open: bool = True


class Spot(NamedTuple):
    """A named tuple."""

    x: int
    y: float = 0.0


@attrs.frozen
class Price:
    """An attrs class."""

    cents: int
    unit: str = "EUR"


@dataclass
class Parcel:
    """A dataclass whose fields only a walk can judge."""

    box: Box[int]


class Tour(Model):
    """A model with places for all of them."""

    start: Place
    stops: list[Spot] = []
    fares: dict[Spot, Price] = {}
    best: Price | Place | None = None


class Crate(Model):
    """A model of whose field only a walk can tell what it may be."""

    box: Box[int] | Box[str] | None = None


class Route(Model):
    """A hand-written model."""

    def __init__(self, via=None):
        self.via = via

    __hash__ = None


class User(Model):
    """Like the record of the benchmarks, and with places for anything."""

    name: str
    age: int
    joined: datetime
    role: Role
    tags: list[str]
    counts: dict[str, int]
    address: Address
    nickname: str | None = None
    friend: Ref["User"] | None = None
    extra: Any = None


MODELS = [
    User, Strict, Versioned, Positive, ByHand, Own, ByHandStrict, Box, Boxed, Old,
    Tour, Crate, Route,
]  # fmt: skip
TYPES = [Held, Place, Shop, Spot, Price, Parcel]
JOINED = msgpack.Timestamp(1_700_000_000, 0)
ADMIN = msgpack.ExtType(15, b"Role\0.ADMIN")


def raw_user(number=0, **fields):
    """Give a record as it stands in a file."""
    content = {
        "name": f"user {number}",
        "age": number,
        "joined": JOINED,
        "role": ADMIN,
        "tags": ["a", "b"],
        "counts": {"x": 1, "y": number},
        "address": {"__Address__": {"street": "s", "city": "c"}},
        "nickname": None,
        "friend": None,
        "extra": None,
    }
    return {"__User__": content | fields}


def raw_ref(key, db="users"):
    """Give a reference as it stands in a file."""
    return {"__storify_ref__": {"db": db, "key": key}}


def opened(
    payload, *, models=MODELS, types=TYPES, log=None, model=None, key=None, strict=False
):
    """Open a database over the bytes of a file."""
    schema = Schema(models, types, adapt(log or Silent()))
    state = WholeSnapshot(Version("v"), schema.codec.split(payload))
    engine = MemoryEngine.holding(
        state, root_format=schema.codec, location="memory://", time=datetime.now(UTC)
    )
    use = Use.of(model, key, readonly=False, strict=strict)
    return Database._over("users", engine, schema, [], None, use, Saving())


def packed(tree):
    """Give a file with the content *tree*, as another program would write it."""
    return msgpack.packb(tree)


class Silent:
    """Takes the warnings that damaged records cause."""

    def debug(self, msg):
        """Take a message."""

    info = warning = error = traceback = debug


def found(tree, **options):
    """Give path and kind of each misfit in a file, found both ways."""
    with opened(packed(tree), **options) as db:
        quick = db.check()
        assert check(db._source, walk_all=True) == quick
    return [(misfit.path, misfit.kind) for misfit in quick]


# --- the acceptance ---------------------------------------------------------------

COUNT = 50_000

DEEP = [{"a": [{"__Strict__": {"code": 1, "b": 2}}, raw_user(7)]}]

#: What is planted, with the paths and kinds of what is to be found.
PLANTED: list[tuple[Any, list[tuple[str, str]]]] = [
    (raw_user(age="old"), [(".age", "wrong type")]),
    (raw_user(name=None), [(".name", "wrong type")]),
    (raw_user(tags=["a", 5]), [(".tags[1]", "wrong type")]),
    (raw_user(counts={"x": 1.5}), [(".counts['x']", "wrong type")]),
    (raw_user(counts={5: 1}), [(".counts[5] (key)", "wrong type")]),
    (raw_user(joined="today"), [(".joined", "wrong type")]),
    (raw_user(role="boss"), [(".role", "wrong type")]),
    (
        raw_user(address={"__Address__": {"street": 1, "city": "c"}}),
        [(".address.street", "wrong type")],
    ),
    (
        raw_user(address={"__Strict__": {"code": 1}}),
        [(".address", "wrong type")],
    ),
    (5, [("", "wrong type")]),
    ({"__Strict__": {"code": 1}}, [("", "wrong type")]),
    ({"name": "unwrapped"}, [("", "wrong type")]),
    ({"__User__": {"name": "x"}}, [
        (f".{name}", "missing")
        for name in ("age", "joined", "role", "tags", "counts", "address")
    ]),
    (
        raw_user(address={"__Address__": {"street": "s"}}),
        [(".address.city", "missing")],
    ),
    (
        raw_user(extra=[{"a": {"__Address__": {}}}]),
        [(".extra[0]['a'].street", "missing"), (".extra[0]['a'].city", "missing")],
    ),
    (raw_user(shoe=43), [(".shoe", "unknown")]),
    (raw_user(**{"shoe size": 43}), [("['shoe size']", "unknown")]),
    (
        raw_user(address={"__Address__": {"street": "s", "city": "c", "zip": 1}}),
        [(".address.zip", "unknown")],
    ),
    (raw_user(extra={"__Strict__": {"code": 1, "b": 2}}), [(".extra.b", "unknown")]),
    (raw_user(extra=DEEP), [(".extra[0]['a'][0].b", "unknown")]),
    ({"__Elsewhere__": {"a": 1}}, [("", "unregistered class")]),
    (raw_user(extra={"__Elsewhere__": {}}), [(".extra", "unregistered class")]),
    (
        raw_user(extra=msgpack.ExtType(15, b"Colour\0.RED")),
        [(".extra", "unregistered class")],
    ),
    (
        raw_user(extra={"__Versioned__": {"count": 1, "_v": 9}}),
        [(".extra", "newer version")],
    ),
    (raw_user(friend=raw_ref("nobody")), [(".friend", "dangling ref")]),
    (
        raw_user(extra=[raw_ref("k5"), raw_ref("x", "elsewhere")]),
        [(".extra[1]", "dangling ref")],
    ),
    (raw_user(extra=msgpack.ExtType(99, b"?")), [(".extra", "unreadable")]),
    (raw_user(role=msgpack.ExtType(15, b"Role\0.BOSS")), [(".role", "unreadable")]),
    (raw_user(extra={"__Positive__": {"number": -1}}), [(".extra", "unloadable")]),
    (
        raw_user(extra={"__Versioned__": {"_v": 0, "x": 1}}),
        [(".extra", "unloadable")],
    ),
]  # fmt: skip


def test_thirty_planted_misfits_are_found_and_no_others(tmp_path):
    """In 50,000 records: each by its path and kind, and nothing in a clean file."""
    assert len(PLANTED) == 30
    tree = {f"k{number}": raw_user(number) for number in range(COUNT)}
    (tmp_path / "clean.mpack").write_bytes(packed(tree))
    expected: list[tuple[str, str]] = []
    for number, (record, misfits) in enumerate(PLANTED):
        key = f"k{number * COUNT // len(PLANTED) + number}"
        tree[key] = record
        expected += [(f"$[{key!r}]{path}", kind) for path, kind in misfits]
    (tmp_path / "users.mpack").write_bytes(packed(tree))

    with Storify(tmp_path, None, Silent(), models=MODELS) as sf:
        misfits = sf.check(types={"users": User, "clean": User})

    assert [(m.path, m.kind) for m in misfits] == expected
    assert {m.database for m in misfits} == {"users"}
    assert {kind for _, kind in expected} == {
        "missing", "unknown", "wrong type", "unregistered class", "newer version",
        "dangling ref", "unreadable", "unloadable",
    }  # fmt: skip


# --- the short way is right -------------------------------------------------------


@settings(max_examples=fewer(26, 80))
@given(
    made_classes().flatmap(
        lambda made: st.tuples(st.just(made), testing.models(made.cls))
    )
)
def test_what_was_saved_fits(made_and_object):
    """Any object of any class has no misfits, typed and untyped."""
    made, obj = made_and_object
    for model in (None, made.cls):
        with Storify("memory://", None, Silent(), models=[made.cls]) as sf:
            db = sf.get_db("all", model=model)
            db["k"] = obj
            db.flush()

            assert db.check() == []
            assert check(db._source, walk_all=True) == []


DAMAGE = st.sampled_from(
    [
        None, True, 1, 2.5, "x", b"x", [], {}, [1, "x"], {"a": 1}, {1: 2},
        msgpack.ExtType(99, b"?"), msgpack.ExtType(15, b"Colour\0.GREEN"),
        msgpack.Timestamp(2**40, 7), [msgpack.ExtType(9, b"")],
        [msgpack.ExtType(25, b""), "No", 1], {"__Elsewhere__": {}},
        [msgpack.ExtType(25, b""), "Place", {"zip": 1}],
        [msgpack.ExtType(25, b""), "Place", {"zip": "x", "more": {"__Other__": {}}}],
        [msgpack.ExtType(16, b""), "Spot", {"x": None}],
        {"__Leaf__": {"n": "x"}}, {"__Other__": {}}, {"__Other__": {"code": "c"}},
        {"__storify_ref__": {"db": "users", "key": "k"}},
        {"__storify_ref__": {"db": "users", "key": "no"}},
        {"__storify_ref__": {"db": [], "key": {}}},
    ]
).map(copy.deepcopy)  # fmt: skip


def places(tree):
    """Give all containers inside *tree*."""
    if isinstance(tree, (dict, list)):
        yield tree
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from places(item)


def with_hashable_keys(pairs):
    """Make a dict; a key that is an array is a tuple, which is packed as one."""
    return {as_key(key): value for key, value in pairs}


def as_key(key):
    """Give an array as a tuple, all the way down."""
    return tuple(map(as_key, key)) if isinstance(key, list) else key


@st.composite
def damaged_files(draw):
    """Give classes, and a file of their objects of which some were tampered with."""
    all_made = draw(st.lists(made_classes(), min_size=1, max_size=3))
    models = [made.cls for made in all_made]
    with Storify("memory://", None, Silent(), models=models) as sf:
        db = sf["all"]
        for made in all_made:
            # with keys that plain MessagePack holds, too
            db[f"{len(db)}"] = draw(testing.models(made.cls, **made.parameters))
        entries = db._session.codec.encode_items(dict(db))
        payload = db._session.codec.join(entries)
    tree = msgpack.unpackb(
        payload, strict_map_key=False, object_pairs_hook=with_hashable_keys
    )
    for _ in range(draw(st.integers(1, 3))):
        filled = [each for each in places(tree) if each]
        place = filled[draw(st.integers(0, len(filled) - 1))]
        indexes = list(place) if isinstance(place, dict) else range(len(place))
        index = indexes[draw(st.integers(0, len(place) - 1))]
        how = draw(st.sampled_from(["change", "drop", "add"]))
        if how == "drop":
            del place[index]
        elif how == "add" and isinstance(place, dict):
            place[draw(st.sampled_from(["_v", "more", 5, b"x"]))] = draw(DAMAGE)
        else:
            place[index] = draw(DAMAGE)
        if not tree:
            tree = {"k": 1}
    return models, packed(tree)


@settings(max_examples=fewer(40, 120))
@given(damaged_files(), st.booleans())
def test_the_short_way_finds_what_a_walk_finds(file, typed):
    """For records of any classes, whole and damaged."""
    models, payload = file
    with Storify("memory://", None, Silent()) as sf:
        sf["users"]["k"] = 1
        with opened(payload, models=models, model=models[0] if typed else None) as db:
            db._schema.resolver = sf._schema.resolver

            assert db.check() == check(db._source, walk_all=True)
            db.close(discard=True)


# --- plain classes ----------------------------------------------------------------


def judged(content, **options):
    """Give the misfits of a database with *content*, found in each way."""
    types = options.pop("types", TYPES)
    with Storify("memory://", None, Silent(), models=MODELS, types=types) as sf:
        db = sf.get_db("all", **options)
        db.update(content)
        unsaved = db.check()
        db.flush()
        misfits = db.check()
        assert misfits == check(db._source, walk_all=True) == unsaved
        return [(m.path, m.expected, m.found) for m in misfits]


#: A value, the type of the database, and what is wrong where in the value.
PLAIN: list[tuple[Any, Any, tuple[str, str, str]]] = [
    (Place("x"), Place, (".zip", "int", "str")),
    (Place(1, near=Place("x")), Place, (".near.zip", "int", "str")),
    (Place(1, ["a", 5]), Place, (".tags[1]", "str", "int")),
    (Place(1, near=Spot(1)), Place, (".near", "Place | None", "Spot")),
    (Shop(1, near=Shop("x")), Place, (".near.zip", "int", "str")),
    (Shop(1, open=None), Shop, (".open", "bool", "NoneType")),
    (Spot("x"), Spot, (".x", "int", "str")),
    (Spot(1, None), Spot, (".y", "float", "NoneType")),
    (Spot(1, "x"), tuple[int, float], (".y", "float", "str")),
    (Price("x"), Price, (".cents", "int", "str")),
    (Parcel(Box("x")), Parcel, (".box.item", "int", "str")),
    ((1, Spot("x")), tuple[int, Spot], ("[1].x", "int", "str")),
    ([Spot("x")], list[Spot], ("[0].x", "int", "str")),
    ({"a": Place("x")}, dict[str, Place], ("['a'].zip", "int", "str")),
    ({Spot("x"): 1}, dict[Spot, int], ("[Spot(x='x', y=0.0)] (key).x", "int", "str")),
    (
        {Price("x"): 1},
        dict[Price, int],
        ("[Price(cents='x', unit='EUR')] (key).cents", "int", "str"),
    ),
    ({Spot("x")}, set[Spot], ("[*].x", "int", "str")),
    (Tour(Place("x")), Tour, (".start.zip", "int", "str")),
    (Tour(Place(1), [Spot(1), Spot("x")]), Tour, (".stops[1].x", "int", "str")),
    (
        Tour(Place(1), fares={Spot(1): Price("x")}),
        Tour,
        (".fares[Spot(x=1, y=0.0)].cents", "int", "str"),
    ),
    (
        Tour(Place(1), fares={Spot("x"): Price(1)}),
        Tour,
        (".fares[Spot(x='x', y=0.0)] (key).x", "int", "str"),
    ),
    (Tour(Place(1), best=Place("x")), Tour, (".best.zip", "int", "str")),
    (Crate(Box(b"x")), Crate, (".box.item", "int", "bytes")),
    (Tour(Place(1, more=Price("x"))), Tour, (".start.more.cents", "int", "str")),
    (Route([Place("x")]), Route, (".via[0].zip", "int", "str")),
    (Box(Place("x")), Box[Place], (".item.zip", "int", "str")),
    (Box(Place("x")), Box, (".item.zip", "int", "str")),
    (Held(Place("x")), Held, (".inside.zip", "int", "str")),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "hint", "misfit"), PLAIN, ids=range(len(PLAIN)))
def test_a_misfit_in_an_object_of_a_plain_class_is_found(bad, hint, misfit):
    """By its path, whether the database has a type or not."""
    path, *types = misfit

    for model in (None, hint):
        assert judged({"k": bad}, model=model) == [(f"$['k']{path}", *types)]


@pytest.mark.parametrize(("bad", "hint", "misfit"), PLAIN, ids=range(len(PLAIN)))
def test_a_strict_database_refuses_what_misfits_in_a_plain_class(bad, hint, misfit):
    """With the place, the annotation and the type that was found."""
    path, expected, found = misfit
    options = {"models": MODELS, "types": TYPES, "strict": True}
    with Storify("memory://", None, **options) as sf:
        for name, model in (("untyped", None), ("typed", hint)):
            db = sf.get_db(name, model=model)

            with pytest.raises(CheckError) as caught:
                db["k"] = bad

            assert caught.value.path == f"$['k']{path}"
            assert f"expected {expected}, found {found};" in str(caught.value)
            assert db.data == {}


def test_planted_misfits_in_plain_classes_are_found_and_no_others():
    """Among thousands of records that are clean."""
    content: dict[str, Any] = {}
    apart = fewer(20, 100)
    for n in range(30 * apart):
        content[f"k{n}"] = Tour(Place(n), [Spot(n, n / 2)], {Spot(n): Price(n)})
        content[f"p{n}"] = Place(n, ["a"], Shop(n), [Spot(n), {Spot(n): Price(n)}])
        content[f"d{n}"] = (Spot(n), n)
    assert judged(content) == []
    expected = []
    for number, (bad, _, (path, *types)) in enumerate(PLAIN):
        key = f"{'kpd'[number % 3]}{number * apart}"
        content[key] = bad
        expected.append((f"$[{key!r}]{path}", *types))

    assert sorted(judged(content)) == sorted(expected)


_floats = st.floats(allow_nan=False)
_spots = st.builds(Spot, st.integers(), _floats | st.integers())
_prices = st.builds(Price, st.integers(), st.text())
_places: st.SearchStrategy[Place] = st.deferred(
    lambda: st.builds(
        Place,
        st.integers(),
        st.lists(st.text()),
        st.none() | _places | st.builds(Shop, st.integers(), open=st.booleans()),
        st.none() | _places | _spots | st.lists(_prices) | st.builds(Box, _places),
    )
)
_tours = st.builds(
    Tour,
    start=_places,
    stops=st.lists(_spots),
    fares=st.dictionaries(_spots, _prices),
    best=st.none() | _prices | _places,
)


@settings(max_examples=fewer(20, 60))
@given(_tours)
def test_clean_objects_of_plain_classes_have_no_misfits(tour):
    """In fields of models, in containers, as keys, and as values of a database."""
    parts = (tour.start, tour.stops, tour.fares, tour.best)
    content = {"tour": tour, "route": Route(tour.start), **dict(enumerate(parts))}

    assert judged(content, key=Any) == []
    assert judged({"k": tour}, model=Tour) == []
    assert judged({"k": tour.start}, model=Place) == []
    assert judged(tour.fares, model=Price, key=Spot) == []
    assert judged({"k": tour.stops}, model=list[Spot]) == []


def user_with(extra):
    """Give a user with something in the field for anything."""
    address = Address("s", "c")
    return User("n", 1, datetime.now(UTC), Role.GUEST, [], {}, address, extra=extra)


#: What something may be in: the step to it, and what makes the object around it.
AROUND: list[tuple[str, Any]] = [
    ("[1]", lambda inner: [5, inner]),
    ("[1]", lambda inner: (5, inner)),
    ("['k']", lambda inner: {"j": 5, "k": inner}),
    ("[{!r}] (key)", lambda inner: {inner: 5}),
    ("[*]", lambda inner: {5, inner}),
    (".item", Box),
    (".via", Route),
    (".inside", Held),
    (".more", lambda inner: Place(5, more=inner)),
    (".extra", user_with),
]


@st.composite
def wrong_inside(draw):
    """Draw an object, the same with a value of a wrong type in it, and where that is."""
    right, wrong = draw(st.integers()), draw(st.sampled_from(["x", None, 1.5, b"x"]))
    make, path = draw(
        st.sampled_from([
            (Place, ".zip"), (Shop, ".zip"), (Spot, ".x"), (Price, ".cents"),
            (lambda value: Parcel(Box(value)), ".box.item"),
            (lambda value: Tour(Place(value)), ".start.zip"),
            (lambda value: Tour(Place(1), [Spot(value)]), ".stops[0].x"),
            (lambda value: Tour(Place(1), best=Price(value)), ".best.cents"),
        ])
    )  # fmt: skip
    good, bad = make(right), make(wrong)
    for step, make in draw(st.lists(st.sampled_from(AROUND), max_size=4)):
        try:
            good, bad, path = make(good), make(bad), step.format(bad) + path
        except TypeError:
            continue  # it cannot be hashed
    return good, bad, path


@settings(max_examples=fewer(50, 150))
@given(wrong_inside())
def test_whatever_is_around_it_one_misfit_in_a_plain_object_is_found(drawn):
    """And none if it is not there."""
    good, bad, path = drawn

    assert judged({"k": good}) == []
    assert [place for place, *_ in judged({"k": bad})] == [f"$['k']{path}"]


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (None, {"a": Place(1, ["a"], Shop(1)), "b": [Spot(1), {Spot(2): Price(3)}]}),
        (None, {"a": Box(Place(1)), "b": Tour(Place(1), [Spot(1)])}),
        (Place, {"a": Place(1), "b": Shop(2)}),
        (Place | Spot | Held, {"a": Place(1, more=Held(5)), "b": Spot(1)}),
    ],
)
def test_clean_objects_of_plain_classes_need_no_walk(model, content, monkeypatch):
    """Their fields are judged as they are decoded, which takes a tenth of the time."""
    with Storify("memory://", None, models=MODELS, types=TYPES) as sf:
        db = sf.get_db("all", model=model)
        db.update(content)
        db.flush()
        monkeypatch.setattr(_Checker, "_walk_all", None)

        assert db.check() == []


def test_a_class_with_hooks_may_hold_anything():
    """Its annotations need not hold for what its hooks make; others in it are judged."""

    def decode(stored):
        zip_, more = stored
        return Place(zip_, more=more)

    types = [CustomType(Place, lambda place: [place.zip, place.more], decode), Spot]

    assert judged({"a": Place("x", more="y")}, types=types) == []
    assert judged({"a": Place("x", more=Spot("y"))}, types=types) == [
        ("$['a'].more.x", "int", "str")
    ]


def test_hooks_that_are_registered_later_hold():
    """From then on nobody judges the fields."""
    with Storify("memory://", None, models=MODELS, types=TYPES) as sf:
        db = sf["all"]
        db["a"] = Spot("x")
        assert len(db.check()) == 1

        sf.register_type(Spot, encode=list, decode=lambda items: Spot(*items))

        assert db.check() == []
        db.close(discard=True)


def test_the_keys_of_a_database_may_be_plain_objects():
    """They are judged as values are."""
    assert judged({Spot(1): 1, Price(1): 2, (Spot(1), 2): 3}, key=Any) == []
    assert judged({Spot("x"): 1, Price("x"): 2}, key=Spot | Price) == [
        ("$[Spot(x='x', y=0.0)] (key).x", "int", "str"),
        ("$[Price(cents='x', unit='EUR')] (key).cents", "int", "str"),
    ]


def test_the_items_of_a_list_may_be_plain_objects():
    """Objects of models may be in them, and they in objects of models."""
    good = [Place(1, more=Tour(Place(1))), Spot(1), Route(Price(1))]
    bad = [Place(1, more=Tour(Place("x"))), Spot("x"), Route(Price("x"))]
    paths = ["$[0].more.start.zip", "$[1].x", "$[2].via.cents"]
    with Storify("memory://", None, models=MODELS, types=TYPES) as sf:
        assert sf.get_db("good", good).check() == []
        db = sf.get_db("bad", bad)

        assert [m.path for m in db.check()] == paths
        assert check(db._source, walk_all=True) == db.check()


def test_parametrisations_of_one_model_are_told_apart():
    """By what is in the object, and by the nearest if none is right."""
    boxes = {"i": Box(1), "s": Box("a")}

    assert judged(boxes, model=(Box[int], Box[str])) == []
    assert judged({"b": Box(b"x"), **boxes}, model=(Box[int], Box[str])) == [
        ("$['b'].item", "int", "bytes")
    ]
    assert judged({key: Crate(box) for key, box in boxes.items()}) == []


def test_what_else_is_wrong_does_not_choose_a_parametrisation():
    """A name that the class does not know is no sign of another one."""
    record = {"__Box__": {"item": "a", "more": 1}}

    assert found({"k": record}, model=(Box[int], Box[str])) == [
        ("$['k'].more", "unknown")
    ]
    dangling = {"__Box__": {"item": [raw_ref("no")]}}
    with (
        Storify("memory://", None) as sf,
        opened(packed({"k": dangling}), model=(Box[int], Box[list[Ref[User]]])) as db,
    ):
        db._schema.resolver = sf._schema.resolver

        assert [(m.path, m.kind) for m in db.check()] == [
            ("$['k'].item[0]", "dangling ref")
        ]


def test_data_that_are_too_deep_to_be_judged_at_once_are_walked_through():
    """As those of a type that contains itself; that a check fails is no verdict."""
    value: Any = 5
    for _ in range(480):
        value = [value]

    assert judged({"k": value}, model=Json) == []


# --- each kind --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "misfit"),
    [
        (raw_user(age="5"), (".age", "wrong type", "int", "str")),
        (
            {"__Strict__": {}},
            (".code", "missing", "int", "nothing"),
        ),
        (
            {"__Strict__": {"code": 1, "more": "x"}},
            (".more", "unknown", "no such field of Strict", "str"),
        ),
        (
            {"__ByHandStrict__": {"_more": 1}},
            ("._more", "unknown", "no such field of ByHandStrict", "int"),
        ),
        (
            {"__ByHand__": {"size": 1, "_secret": 1}},
            ("._secret", "unknown", "no such field of ByHand", "int"),
        ),
        ({"__ByHand__": {"size": "1"}}, (".size", "wrong type", "int", "str")),
        ({"__X__": {"a": 1}}, ("", "unregistered class", "Any", "__X__")),
        (
            [msgpack.ExtType(25, b""), "Point", {"x": 1}],
            ("", "unregistered class", "Any", "Point"),
        ),
        (
            {"__Versioned__": {"_v": 3}},
            ("", "newer version", "Versioned of version 2", "version 3"),
        ),
        ([msgpack.ExtType(21, b"")], ("", "unreadable", "Any", "list")),
        (msgpack.Timestamp(2**50, 0), ("", "unreadable", "Any", "Timestamp")),
        (
            msgpack.Timestamp(1_700_000_000, 1),
            ("", "unreadable", "Any", "Timestamp"),
        ),
        (
            {"__Versioned__": {"_v": 0}},
            ("", "unloadable", "Versioned", "MigrationError"),
        ),
        (
            {"__Positive__": {"number": -1}},
            ("", "unloadable", "Positive", "ArithmeticError"),
        ),
        ({"__Own__": {"wide": 1}}, ("", "unloadable", "Own", "KeyError")),
    ],
)
def test_each_misfit_tells_what_was_expected_and_found(record, misfit):
    """By types and names, never by values."""
    with opened(packed({"k": record})) as db:
        (only,) = db.check()

    path, *rest = misfit
    assert only == Misfit(f"$['k']{path}", *rest, "users")


def test_what_is_listed_is_not_warned_of_as_well():
    """A misfit is told once; who reads the record is warned as ever."""
    log = Log()
    with opened(packed({"k": {"__Positive__": {"number": -1}}}), log=log) as db:
        assert len(db.check()) == 1
        assert log.warnings == []

        db.data["k"]

        assert len(log.warnings) == 1


def test_what_follows_its_class_is_no_misfit():
    """Defaults, earlier names, upgrades, conversions, migrations, dropped names."""
    records = {
        "default": {"__Old__": {"number": 1}},
        "was": {"__Older__": {"count": 1}},
        "upgrade": {"__Old__": {"number": "1"}},
        "conversion": {"__Old__": {"number": 1, "tags": ["a"]}},
        "was beside": {"__Old__": {"number": 1, "count": 2, "tags": []}},
        "dropped": {"__Old__": {"number": 1, "gone": 1}},
        "migration": {"__Versioned__": {"number": 1}},
        "unwrapped": raw_user(address={"street": "s", "city": "c"}),
        "from value": raw_user(role="admin"),
        "own": {"__Own__": {"size": 1}},
        "by hand": {"__ByHand__": {"size": 1, "more": 2}},
        "post init": {"__Positive__": {"number": 1}},
    }

    assert found(records) == []


def test_a_misfit_beside_what_keeps_a_record_from_loading_is_found_too():
    """A record that lacks a field is looked into as far as it goes."""
    fields = raw_user(age="x", extra={"__X__": {}}, more={"__Y__": {}})["__User__"]
    del fields["name"]
    newer = {"__Versioned__": {"_v": 3, "inner": {"__X__": {}}}}

    assert found({"k": {"__User__": fields}, "n": newer}) == [
        ("$['k'].name", "missing"),
        ("$['k'].more", "unknown"),
        ("$['k'].age", "wrong type"),
        ("$['k'].extra", "unregistered class"),
        ("$['k'].more", "unregistered class"),
        ("$['n']", "newer version"),
        ("$['n'].inner", "unregistered class"),
    ]


def test_records_inside_registered_classes_are_looked_into():
    """The fields of a dataclass, and what is in them."""
    held = [msgpack.ExtType(25, b""), "Held", {"inside": [{"__X__": {}}]}]

    assert found({"k": held}) == [("$['k'].inside[0]", "unregistered class")]


def test_parametrised_types_are_judged_by_their_arguments():
    """A class alone does not know what is in a ``Box[int]``."""
    records = {"a": {"__Box__": {"item": 1}}, "b": {"__Box__": {"item": "x"}}}

    assert found(records) == []
    assert found(records, model=Box[int]) == [("$['b'].item", "wrong type")]
    boxed = {key: {"__Boxed__": {"box": record}} for key, record in records.items()}
    assert found(boxed) == [("$['b'].box.item", "wrong type")]


def test_keys_are_judged_too():
    """By the type of keys; one that cannot be read is a misfit in any case."""
    number = msgpack.ExtType(99, b"?")

    assert found({1: 1, "x": 1}, key=int) == [("$['x'] (key)", "wrong type")]
    assert [kind for _, kind in found({number: 1, "x": 1})] == ["unreadable"]
    assert found({1.5: 1}, key=int | str) == [("$[1.5] (key)", "wrong type")]


def test_a_key_of_a_class_that_is_not_registered_is_a_misfit():
    """It is kept in a form of its own, because a list cannot be a key."""
    key = [msgpack.ExtType(25, b""), "Point", 1]
    payload = b"\x81" + packed(key) + packed(1)
    with opened(payload) as db:
        assert [misfit.kind for misfit in db.check()] == ["unregistered class"]


def test_bytes_that_cannot_be_decoded_are_one_misfit_each():
    """The other records are judged as ever."""
    deep = b"\x91" * 600 + b"\xc0"
    parts = {number: packed(raw_user(number)) for number in range(2000)}
    parts |= {7: deep, 1500: deep, 1501: packed(raw_user(age="x"))}
    payload = b"\xde\x07\xd0" + b"".join(packed(k) + v for k, v in parts.items())

    with opened(payload, key=int) as db:
        assert [(m.path, m.kind) for m in db.check()] == [
            ("$[7]", "unreadable"),
            ("$[1500]", "unreadable"),
            ("$[1501].age", "wrong type"),
        ]


def test_the_items_of_a_list_are_judged():
    """By their indexes."""
    tree = [raw_user(0), raw_user(1, age="x"), {"__X__": {}}]

    assert found(tree, model=User) == [
        ("$[1].age", "wrong type"),
        ("$[2]", "unregistered class"),
    ]
    assert found(tree[:1], model=User) == []


# --- references -------------------------------------------------------------------


def test_references_are_followed_without_opening_databases():
    """To open ones, to others, and to lists; nothing else stays open."""
    with Storify("memory://refs", None) as sf:
        sf["list"].data = [1, 2]
        sf["saved"]["k"] = 1
        sf.close()
        db = sf["refs"]
        db["good"] = [Ref("list", 1), Ref("saved", "k"), Ref("refs", "bad")]
        db["bad"] = [
            Ref("list", 2), Ref("list", "x"), Ref("saved", "x"), Ref("none", 1),
            Ref("bad/name", 1), Ref("saved", ["unhashable"]),
        ]  # fmt: skip

        misfits = db.check()

        assert [m.path for m in misfits] == [f"$['bad'][{n}]" for n in range(6)]
        assert {m.kind for m in misfits} == {"dangling ref"}
        assert sf.databases == [db]
        db.close(discard=True)


def test_references_are_not_judged_without_other_databases(tmp_path):
    """A file that was opened alone, or whose Storify is gone."""
    with Database(path=tmp_path / "a.mpack") as db:
        db["k"] = Ref("none", 1)
        assert db.check() == []
    sf = Storify("memory://", None)
    orphan = sf["orphan"]
    orphan["k"] = Ref("none", 1)
    assert [m.kind for m in orphan.check()] == ["dangling ref"]

    del sf

    assert orphan.check() == []
    orphan.close()


def test_a_reference_into_a_damaged_database_dangles(tmp_path):
    """Its keys cannot be known."""
    (tmp_path / "bad.mpack").write_bytes(b"\xc1")
    with Storify(tmp_path, None, Silent()) as sf:
        sf["refs"]["k"] = Ref("bad", 1)

        assert [(m.database, m.path, m.kind) for m in sf.check()] == [
            ("bad", "$", "unreadable"),
            ("refs", "$['k']", "dangling ref"),
        ]


class Customer(Model):
    """A record that is referred to."""

    name: str


class Regular(Customer):
    """A subclass of it."""


class Sale(Model):
    """A record with a reference."""

    customer: Ref[Customer]


class Links(Model):
    """References inside of other things."""

    several: list[Ref[Customer]] = field(factory=list)
    either: Ref[Customer] | Ref[Address] | None = None
    number: Ref[int] | None = None
    any: Ref[Any] | None = None


def test_the_class_of_the_record_behind_a_reference_is_checked():
    """In a database that is open, one that is closed, and by one of either."""
    with Storify("memory://", None) as sf:
        people = sf["people"]
        people["number"] = 3
        people["customer"] = Customer("c")
        people["regular"] = Regular("r")
        people["address"] = Address("s", "c")
        sales = sf.get_db("sales", model=Sale)
        for key in people:
            sales[key] = Sale(people.ref(key))
        wrong = [
            Misfit(f"$[{key!r}].customer", "wrong ref", "Ref[Customer]", found, "sales")
            for key, found in (("number", "Ref[int]"), ("address", "Ref[Address]"))
        ]

        assert sales.check() == wrong
        assert sf.check() == wrong
        sf.flush()
        assert sales.check() == wrong
        people.close()
        assert sales.check() == wrong
        assert people.defunct
        sf["people"]["number"] = Customer("n")
        sf["people"]["address"].city = 5  # which is for its own database to tell
        assert sales.check() == wrong[1:]


def test_a_reference_is_checked_wherever_it_stands():
    """In containers and unions; what may refer to anything is right."""
    with Storify("memory://", None, models=[Address]) as sf:
        db = sf.get_db("links", model=Links)
        items = sf["items"]
        items["n"], items["c"], items["a"] = 1, Customer("c"), Address("s", "c")
        items["list"] = [1]
        n, c, a, listed = map(items.ref, items)
        db["right"] = Links([c], c, n, listed)
        db["also"] = Links([], a, None, n)
        db["wrong"] = Links([c, a], n, c, c)

        assert [(m.path, m.kind, m.expected, m.found) for m in db.check()] == [
            ("$['wrong'].several[1]", "wrong ref", "Ref[Customer]", "Ref[Address]"),
            ("$['wrong'].either", "wrong ref", "Ref[Customer]", "Ref[int]"),
            ("$['wrong'].number", "wrong ref", "Ref[int]", "Ref[Customer]"),
        ]


def test_a_record_that_does_not_load_is_no_wrong_reference():
    """It is a misfit where it stands."""
    with Storify("memory://", None) as sf:
        sf["people"]["bad"] = {"name": "c"}
        sf["people"].data["bad"] = Customer("c")
        sf["people"]["bad"].name = 5
        sf["sales"]["s"] = Sale(sf["people"].ref("bad"))
        sf["sales"]["to list"] = Sale(sf.get_db("l", root=[Customer("c")]).ref(0))

        assert [(m.path, m.kind) for m in sf.check()] == [
            ("$['bad'].name", "wrong type")
        ]


def test_references_that_go_round_are_checked():
    """Each record is looked at, however often it is referred to."""
    with Storify("memory://", None) as sf:
        db = sf.get_db("ring", model=Sale)
        db["a"], db["b"] = Sale(db.ref("b")), Sale(db.ref("a"))
        db["self"] = Sale(db.ref("self"))
        sf.flush()

        assert [m.found for m in db.check()] == ["Ref[Sale]"] * 3


# --- what is checked, and what it leaves ------------------------------------------


def test_what_is_unsaved_is_judged_and_stays_unsaved():
    """Changed in place, set, new, moved and deleted: as a flush would store it."""
    tree = {name: raw_user() for name in ("changed", "set", "moved", "gone", "same")}
    with opened(packed(tree | {"bad": raw_user(age="x")}), model=User) as db:
        held = db["changed"]
        held.tags.append(5)
        db["set"] = 5
        moved = db.pop("moved")
        moved.age = "x"
        db["moved"] = moved
        del db["gone"], db["bad"]
        db["new"] = User("n", "x", None, Role.GUEST, [], {}, Address("s", "c"))
        dirty = db.dirty()

        misfits = db.check()

        assert sorted(m.path for m in misfits) == [
            "$['changed'].tags[2]", "$['moved'].age", "$['new'].age",
            "$['new'].joined", "$['set']",
        ]  # fmt: skip
        assert db.dirty() == dirty
        assert db["changed"] is held
        db.close(discard=True)


def test_a_key_that_equals_the_deleted_one_is_judged():
    """True takes the place of 1."""
    with opened(packed({1: raw_user(age="x")})) as db:
        del db[1]
        db[True] = {"a": User("n", "x", None, Role.GUEST, [], {}, Address("s", "c"))}

        assert [m.path for m in db.check()] == [
            "$[True]['a'].age", "$[True]['a'].joined",
        ]  # fmt: skip
        db.close(discard=True)


def test_nobody_gets_what_was_decoded_to_be_checked():
    """What is read afterwards is clean and is an object of its own."""
    with opened(packed({"k": raw_user()})) as db:
        assert db.check() == []

        assert db._session.data.is_clean()
        assert db.dirty() == set()


def test_a_list_that_takes_the_place_of_a_dict_is_judged():
    """And the other way round."""
    with Storify("memory://", None, models=[Address]) as sf:
        db = sf["a"]
        db["k"] = 1
        db.flush()
        db.data = [Address(1, "c")]
        assert [m.path for m in db.check()] == ["$[0].street"]
        db.flush()
        db.data = {"k": Address("s", 2)}
        assert [m.path for m in db.check()] == ["$['k'].city"]


def test_progress_tells_of_each_batch():
    """Up to the number of all."""
    told = []
    tree = {str(number): number for number in range(3000)}
    with opened(packed(tree)) as db:
        db.check(lambda done, total: told.append((done, total)))

    assert told == [(1024, 3000), (2048, 3000), (3000, 3000)]


def test_all_databases_of_a_folder_are_checked(tmp_path):
    """Open ones as they are used, others read-only and by the given types."""
    open_store = partial(Storify, tmp_path, None, Silent(), models=MODELS)
    with open_store() as sf:
        sf["closed"]["k"] = 5
        sf["open"]["k"] = 5
        sf["untyped"]["k"] = 5
        sf["new"]["k"] = Address(1, "c")
    with open_store() as sf:
        db = sf.get_db("open", model=User)
        sf.get_db("untyped")["l"] = Address("s", 2)

        misfits = sf.check(types={"closed": (User, Address), "untyped": Address})

        assert [tuple(m) for m in misfits] == [
            ("$['k']", "wrong type", "User | Address", "int", "closed"),
            ("$['k'].street", "wrong type", "str", "int", "new"),
            ("$['k']", "wrong type", "User", "int", "open"),
            ("$['k']", "wrong type", "Address", "int", "untyped"),
            ("$['l'].city", "wrong type", "str", "int", "untyped"),
        ]
        assert [each.name for each in sf.databases] == ["open", "untyped"]
        assert not db.readonly
        with pytest.raises(FileNotFoundError, match="'nowhere': there is none"):
            sf.check(types={"nowhere": User})


def test_a_raw_record_that_was_changed_is_no_record_any_more():
    """It is judged as the dict that it is."""
    with opened(packed({"k": {"__X__": {"a": 1}}})) as db:
        db.data["k"]["more"] = raw = Address(5, "c")

        assert list(db._schema.registry.misfits(db.data["k"], User)) == [
            Misfit("$", "wrong type", "User", "Unloaded"),
            Misfit("$['more'].street", "wrong type", "str", "int"),
        ]
        assert raw.street == 5
        db.close(discard=True)


def test_a_key_that_cannot_be_shown_is_named_by_its_type():
    """Python refuses to write out very long integers."""
    with opened(packed({})) as db:
        db[10**5000] = Address(5, "c")

        assert [m.path for m in db.check()] == ["$[<int>].street"]
        db.close(discard=True)


def test_a_strict_database_keeps_unknown_names():
    """They are saved again, so an object that has some is taken."""
    with opened(packed({"k": raw_user(shoe=43)}), model=User, strict=True) as db:
        db["l"] = db["k"]

        kinds = Counter(misfit.kind for misfit in db.check())
        assert kinds == {"unknown": 2}
        db.close(discard=True)


def test_two_threads_may_check_at_once():
    """Each finds what there is."""
    tree = {str(number): raw_user(number) for number in range(3000)}
    tree |= {"bad": raw_user(age="x"), "ref": raw_user(friend=raw_ref("no"))}
    with Storify("memory://", None) as sf, opened(packed(tree), model=User) as db:
        db._schema.resolver = sf._schema.resolver
        results = []
        threads = [
            threading.Thread(target=lambda: results.append(db.check()))
            for _ in range(2)
        ]

        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [[m.path for m in each] for each in results] == [
            ["$['bad'].age", "$['ref'].friend"]
        ] * 2


def test_a_database_that_is_removed_meanwhile_is_passed_over(tmp_path):
    """It was there when the check began."""
    with Storify(tmp_path, None) as sf:
        sf["a"]["k"] = sf["b"]["k"] = 1
    with Storify(tmp_path, None) as sf:
        told = []

        def remove(done, total):
            told.append((done, total))
            sf.remove_db("b")

        assert sf.check(remove) == []
        assert told == [(1, 1)]


class Level(enum.IntEnum):
    """A number with a name."""

    ONE = 1


class Loose(Model):
    """A record whose fields take what is near."""

    items: list[int]
    names: set[int]
    level: Level
    inner: "Loose | None" = None


@pytest.mark.parametrize("flushed", [False, True])
def test_what_a_load_would_alter_is_told(flushed):
    """Of the objects in memory; what it made of them fits."""
    with Storify("memory://") as sf:
        db = sf.get_db("d", model=Loose)
        db["k"] = Loose((1, 2), [3], 1, {"items": [], "names": set(), "level": 1})
        if flushed:
            db.flush()

        assert [(m.path, m.expected, m.found) for m in db.check()] == [
            ("$['k'].items", "list[int]", "tuple"),
            ("$['k'].names", "set[int]", "list"),
            ("$['k'].level", "Level", "int"),
            ("$['k'].inner", "Loose | None", "dict"),
        ]
        db.flush()
        db.load()
        assert db.check() == []
        assert db["k"].items == [1, 2]
        assert db["k"].inner.level is Level.ONE
        assert db.check() == []
