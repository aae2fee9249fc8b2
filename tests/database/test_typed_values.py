"""Values of every kind of declared type: stored, and refused where they misfit."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum, Flag
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
    cast,
)

import attrs
import pytest

from storify import (
    CheckError,
    CustomType,
    Model,
    ModelError,
    ModelLoadError,
    Ref,
    Storify,
    UnstorableError,
)

T = TypeVar("T")
UserId = NewType("UserId", str)


class Role(Enum):
    """An enum."""

    READER = "reader"
    EDITOR = "editor"


class Right(Flag):
    """An enum whose members are combined."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int = 0


@dataclass
class Place:
    """A dataclass."""

    zip: int
    spots: dict[Point, list[int]]


@attrs.frozen
class Price:
    """An attrs class."""

    cents: int
    unit: str | None = None


class User(Model):
    """A model."""

    name: str
    tags: list[str] = []


class Order(Model):
    """Another model."""

    total: float


class Box(Model, Generic[T]):
    """A generic model."""

    item: T


class IntBox(Box[int]):
    """A model that inherits from a parametrised one."""

    more: int = 0


class Shape(ABC):
    """An abstract class that only models fill."""

    @abstractmethod
    def area(self) -> float:
        """Give the area."""


class Square(Model, Shape):
    """Fills it."""

    side: float

    def area(self) -> float:
        """Give the area."""
        return self.side**2


class Entry(TypedDict):
    """A dict with known keys, one of which holds a model."""

    user: User
    role: NotRequired[Role]


class Broken(Model):
    """A model with a field that no codec could store."""

    callback: Callable[[], int]


GOOD: list[tuple[Any, list[Any]]] = [
    (int, [5, True]),
    (float, [1.5, 2]),
    (type(None), [None]),
    (date, [date(2020, 2, 29)]),
    (list[int], [[], [1, 2]]),
    (dict[str, Box[int]], [{"a": Box(1)}]),
    (tuple[int, str], [(1, "a")]),
    (tuple[int, ...], [(), (1, 2)]),
    (set[Role], [set(), {Role.READER}]),
    (Role, [Role.READER]),
    (Right, [Right.READ, Right.READ | Right.WRITE]),
    (Point, [Point(1)]),
    (Entry, [{"user": User("a")}, {"user": User("a"), "role": Role.EDITOR}]),
    (User, [User("a", ["b"])]),
    (Box[int], [Box(1), IntBox(1, 2)]),
    (Box, [Box(1), Box("a")]),
    (Box[list[User]], [Box([User("a")])]),
    (list[Ref[User]], [[]]),
    ((User, Order, Role), [User("a"), Order(1.5), Role.READER]),
    (int | None, [1, None]),
    (Literal["on", "off"], ["on"]),
    (UserId, [UserId("u1")]),
    (NewType("Owner", User), [User("a")]),
    (Annotated[int, "metres"], [5]),
    (Sequence[int], [[1], (1,)]),
    (Shape, [Square(1.5)]),
    (Any, [5, "x"]),
    (Place, [Place(1, {}), Place(1, {Point(1): [2]})]),
    (Price, [Price(1), Price(1, "EUR")]),
    (dict[Price, Point | Place], [{Price(1): Point(1), Price(2): Place(1, {})}]),
    ((Box[int], Box[str]), [Box(1), Box("x"), IntBox(1)]),
    (list[Box[int] | Box[str] | None], [[Box(1), None, Box("x")]]),
    ((Box[Box[int]], Box[Box[str]]), [Box(Box(1)), Box(Box("x"))]),
]

BAD: list[tuple[Any, Any, str]] = [
    (int, "x", ""),
    (int, 1.5, ""),
    (float, "x", ""),
    (str, b"x", ""),
    (bool, 1, ""),
    (date, "2020-02-29", ""),
    (list[int], (1,), ""),
    (list[int], [1, "x"], "[1]"),
    (list[list[int]], [[], [1, None]], "[1][1]"),
    (dict[str, int], {"a": "x"}, "['a']"),
    (dict[str, int], {1: 1}, "[1] (key)"),
    (dict[str, Box[int]], {"a": Box("x")}, "['a'].item"),
    (tuple[int, str], (1, 2), "[1]"),
    (tuple[int, str], (1,), ""),
    (tuple[int, str], [1, "a"], ""),
    (set[int], {"x"}, "[*]"),
    (Role, "reader", ""),
    (Right, 1, ""),
    (Point, (1, 2), ""),
    (Entry, {"role": Role.READER}, "['user']"),
    (Entry, {"user": User(5)}, "['user'].name"),
    (Entry, {"user": User("a"), "more": 1}, "['more']"),
    (User, Order(1.5), ""),
    (User, {"name": "a"}, ""),
    (User, User("a", ["b", 5]), ".tags[1]"),
    (list[User], [User("a"), User(5)], "[1].name"),
    (Box[int], Box("a"), ".item"),
    (Box[int], IntBox("a"), ".item"),
    (Box[list[User]], Box([User(5)]), ".item[0].name"),
    (Box[Box[int]], Box(Box("a")), ".item.item"),
    (list[Ref[User]], [User("a")], "[0]"),
    ((User, Order), 5, ""),
    ((User, Order), Order("x"), ".total"),
    ((Box[int], Role), Box("x"), ".item"),
    (int | None, "x", ""),
    (Literal["on", "off"], "of", ""),
    (UserId, 5, ""),
    (Annotated[int, "metres"], "5", ""),
    (Sequence[int], ["x"], "[0]"),
    (Shape, User("a"), ""),
    (Point, Point("x"), ".x"),
    (list[Point], [Point(1), Point(1, None)], "[1].y"),
    (Place, Place("x", {}), ".zip"),
    (Place, Place(1, {Point(1): ["x"]}), ".spots[Point(x=1, y=0)][0]"),
    (Place, Place(1, {Point("x"): []}), ".spots[Point(x='x', y=0)] (key).x"),
    (Price, Price(1, b"x"), ".unit"),
    (Any, {"a": [Price("x")]}, "['a'][0].cents"),
    (dict[Price, int], {Price("x"): 1}, "[Price(cents='x', unit=None)] (key).cents"),
    (Box[Place], Box(Place("x", {})), ".item.zip"),
    ((Box[int], Box[str]), Box(None), ".item"),
    ((Box[Box[int]], Box[Box[str]]), Box(Box(None)), ".item.item"),
    (list[Box[int] | Box[str]], [Box(1), Box("x"), Box(b"x")], "[2].item"),
]

BAD_KEYS: list[tuple[Any, Any, Any, str]] = [
    (int, 1, "x", "['x']"),
    (Role, Role.READER, "reader", "['reader']"),
    (date, date(2020, 2, 29), "2020", "['2020']"),
    (tuple[int, str], (1, "a"), (1, 2), "[(1, 2)][1]"),
    (UserId, UserId("a"), 5, "[5]"),
    (Literal["a", "b"], "a", "c", "['c']"),
    (Point, Point(1), Point("x"), "[Point(x='x', y=0)].x"),
    (Price, Price(1), Price("x"), "[Price(cents='x', unit=None)].cents"),
]


@pytest.mark.parametrize(("model", "values"), GOOD, ids=str)
def test_a_value_of_its_declared_type_is_stored(model, values, anywhere):
    """A strict database takes it, and a new program that names the type reads it."""
    with Storify(anywhere, models=[IntBox, Square], types=[Point]) as sf:
        db = sf.get_db("d", model=model, strict=True)
        db.update(enumerate(values))

    with Storify(anywhere, models=[IntBox, Square], types=[Point]) as sf:
        again = sf.get_db("d", model=model, strict=True)
        assert list(again.values()) == values
        assert list(map(type, again.values())) == list(map(type, values))


@pytest.mark.parametrize(("model", "value", "place"), BAD, ids=str)
def test_a_strict_database_tells_where_a_value_misfits(model, value, place):
    """The path leads into the value, which is not stored."""
    with Storify("memory://", models=[IntBox]) as sf:
        db = sf.get_db("d", model=model, strict=True)

        with pytest.raises(CheckError) as caught:
            db["k"] = value

        assert caught.value.path == f"$['k']{place}"
        assert db.data == {}


@pytest.mark.parametrize(("key", "good", "bad", "place"), BAD_KEYS, ids=str)
def test_a_strict_database_tells_which_key_misfits(key, good, bad, place):
    """Keys may be of any hashable type; another one is refused."""
    with Storify("memory://") as sf:
        db = sf.get_db("d", model=int, key=key, strict=True)
        db[good] = 1

        with pytest.raises(CheckError) as caught:
            db[bad] = 2

        assert caught.value.path == f"${place}"
        assert db.data == {good: 1}


@dataclass
class Line:
    """A part of an order."""

    sku: str


class Order(Model, dropped="gone"):
    """A record with a method."""

    line: Line

    def run(self):
        """Do it."""


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda order: setattr(order, "run", 1), "$['k'].run"),
        (lambda order: setattr(order, "gone", 1), "$['k'].gone"),
        (lambda order: setattr(order.line, "memo", 1), "$['k'].line.memo"),
    ],
    ids=["hides a method", "dropped", "in a dataclass"],
)
def test_a_strict_database_tells_of_an_attribute_that_would_be_lost(spoil, place):
    """At once; another one refuses it at the flush."""
    order = Order(Line("a"))
    spoil(order)
    with Storify("memory://") as sf:
        strict = sf.get_db("strict", model=Order, strict=True)
        db = sf.get_db("d", model=Order)
        db["k"] = order

        with pytest.raises(CheckError) as caught:
            strict["k"] = order
        assert caught.value.path == place
        with pytest.raises(UnstorableError) as refused:
            db.flush()
        assert refused.value.path == place
        db.close(discard=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda db: db.update(b=Box("x")),
        lambda db: db.update({"b": Box("x")}),
        lambda db: db.update([("b", Box("x"))]),
        lambda db: db.setdefault("b", Box("x")),
    ],
    ids=["update by name", "update", "update by pairs", "setdefault"],
)
def test_whatever_puts_a_value_checks_it(change):
    """Each way into a strict dict is guarded."""
    with Storify("memory://") as sf:
        db = sf.get_db("d", model=Box[int], strict=True)
        db["a"] = Box(1)

        with pytest.raises(CheckError) as caught:
            change(db)

        assert caught.value.path == "$['b'].item"
        assert db.data == {"a": Box(1)}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda db: db.append(Box("x")), "$[1].item"),
        (lambda db: db.__setitem__(0, Box("x")), "$[0].item"),
    ],
    ids=["append", "set"],
)
def test_whatever_puts_an_item_checks_it(change, place):
    """Each way into a strict list is guarded."""
    with Storify("memory://") as sf:
        db = sf.get_db("d", root=[Box(1)], model=Box[int], strict=True)

        with pytest.raises(CheckError) as caught:
            change(db)

        assert caught.value.path == place
        assert db.data == [Box(1)]


@pytest.mark.parametrize(
    ("content", "place"),
    [({"a": [1], "b": ["x"]}, "$['b'][0]"), ([[1], ["x"]], "$[1][0]")],
    ids=["dict", "list"],
)
def test_the_content_of_a_new_strict_database_is_checked(content, place):
    """It is not made."""
    with Storify("memory://") as sf:
        with pytest.raises(CheckError) as caught:
            sf.get_db("d", content, model=list[int], strict=True)

        assert caught.value.path == place
        assert list(sf) == []


def test_a_transaction_in_a_strict_database_checks_too():
    """What is refused there ends the transaction, unless it is caught."""
    with Storify("memory://") as sf:
        db = sf.get_db("d", model=int, strict=True)

        def change():
            with db.transaction() as inside:
                inside["a"] = 1
                inside["b"] = "x"

        with pytest.raises(CheckError):
            change()

        assert db.data == {}


def test_a_class_may_be_registered_after_a_database_named_it():
    """Until then it could be a base whose subclasses are stored."""

    class Money:
        def __init__(self, cents):
            self.cents = cents

    with Storify("memory://") as sf:
        db = sf.get_db("d", model=Money, strict=True)
        sf.register_type(Money, encode=lambda each: each.cents, decode=Money)
        db["a"] = Money(5)
        db.flush()

        with pytest.raises(CheckError):
            db["b"] = 5

        assert db["a"].cents == 5


@pytest.mark.parametrize(
    "model",
    [
        Broken,
        list[Broken],
        "User",
        5,
        lambda: None,
        Callable[[int], int],
        (User, "x"),
        list[Callable[[], int]],
    ],
    ids=[
        "model",
        "models",
        "name",
        "value",
        "function",
        "Callable",
        "tuple with a name",
        "nested",
    ],
)
def test_what_is_no_storable_type_is_refused_at_opening(model):
    """Not only when the first value is set; nothing is opened."""
    with Storify("memory://") as sf:
        with pytest.raises(ModelError, match="cannot be stored"):
            sf.get_db("d", model=model)

        assert list(sf) == []


class Level(Enum):
    """An enum that loses a member with the next release."""

    LOW = 1
    HIGH = 2


@dataclass
class Place:
    """A dataclass that loses a field with the next release."""

    x: int
    y: int = 0


class Player(Model):
    """A record of before."""

    name: str
    age: int = 0
    level: Level = Level.LOW
    place: Place | None = None
    friend: "Player | None" = None
    more: Any = None


def release() -> Any:
    """Define the classes of the next release under the same names."""

    class Level(Enum):
        LOW = 1

    @dataclass
    class Place:
        x: int

    class Player(Model):
        name: str
        age: int = 0
        level: Level = Level.LOW
        place: Place | None = None
        friend: "Player | None" = None
        more: Any = None

    return Player


MISFITTING: dict[str, tuple[Any, str]] = {
    "int": (3, "$['int']"),
    "none": (None, "$['none']"),
    "str": (Player("a", cast("Any", "old")), "$['str'].age"),
    "enum": (Player("a", level=Level.HIGH), "$['enum'].level"),
    "dataclass": (Player("a", place=Place(1, 2)), "$['dataclass'].place"),
    "nested": (
        Player("a", friend=Player("b", cast("Any", None))),
        "$['nested'].friend.age",
    ),
    "other model": (Box(1), "$['other model']"),
}


@pytest.fixture(params=[False, True], ids=["", "strict"])
def next_release(request, anywhere):
    """Give a typed database of the next release over records of before."""
    values = {key: value for key, (value, _) in MISFITTING.items()}
    with Storify(anywhere, models=[Player, Box], types=[Level, Place]) as sf:
        sf["d"].update(values, fine=Player("f"), open=Player("g", more=[Level.HIGH]))
    new = release()
    with Storify(anywhere, strict=request.param) as sf:
        yield sf.get_db("d", model=new), new


@pytest.mark.parametrize("key", MISFITTING)
@pytest.mark.parametrize(
    "read",
    [
        lambda db, key: db[key],
        lambda db, key: db.get(key),
        lambda db, key: db.setdefault(key, None),
        lambda db, key: db.pop(key),
        lambda db, _: list(db.items()),
        lambda db, _: list(db.values()),
        lambda db, _: db.where(lambda _: True).count(),
        lambda db, _: db.index(lambda player: player.name),
    ],
    ids=["[]", "get", "setdefault", "pop", "items", "values", "where", "index"],
)
def test_a_typed_database_gives_what_is_of_its_type_or_raises(next_release, key, read):
    """Whatever reads it; raw() gives what lies there."""
    db, _ = next_release
    for other in MISFITTING:
        if other != key:
            del db[other]

    with pytest.raises(ModelLoadError, match=r"db\.raw\('") as caught:
        read(db, key)

    assert caught.value.path == MISFITTING[key][1]
    assert db.raw(key) is db.data[key]
    del db[key]
    assert [player.name for player in db.values()] == ["f", "g"]
    assert db.where(lambda _: True).count() == 2


def test_what_is_repaired_in_place_is_read_again(next_release):
    """By any way of reading."""
    db, new = next_release
    for key in ("int", "none", "other model"):
        db[key] = new("z")

    db.raw("str").age = 5
    db.raw("enum").level = new("a").level
    db.raw("dataclass").place = None
    db.raw("nested").friend = None

    assert db["str"].age == 5
    assert {type(player) for player in db.values()} == {new}
    assert db.where(lambda player: player.name == "a").count() == 4


def test_items_of_a_typed_list_are_of_its_type_or_an_error(anywhere):
    """As those of a dict."""
    with Storify(anywhere, models=[Player], types=[Level]) as sf:
        db = sf.get_db("l", root=[Player("a", level=Level.HIGH), 3, Player("b")])
        db.flush()
    new = release()
    with Storify(anywhere) as sf:
        db = sf.get_db("l", model=new, key=int)
        with pytest.raises(ModelLoadError) as caught:
            db[0]
        assert caught.value.path == "$[0].level"
        with pytest.raises(ModelLoadError, match=r"expected .*Player, found int"):
            db[1]
        for read in (
            lambda: db[1:],
            lambda: list(db),
            lambda: db.pop(1),
            lambda: db.where(lambda _: True).count(),
        ):
            with pytest.raises(ModelLoadError):
                read()
        assert db[2] == new("b")
        assert db[2:] == [new("b")]
        assert db.raw(1) == 3
        del db[0:2]
        assert list(db) == [new("b")]
        assert db.pop() == new("b")


class Wish(TypedDict):
    """A dict with known keys."""

    name: str
    size: NotRequired[int]


@dataclass
class Spot:
    """A dataclass."""

    lat: float


class Way(NamedTuple):
    """A named tuple."""

    spots: list[Spot]


@attrs.define
class Fee:
    """An attrs class."""

    cents: int


class Pair(Model, Generic[T]):
    """A generic model that may be in itself."""

    item: T
    next: "Pair[T] | None" = None


class Trip(Model):
    """A model with all of these in its fields."""

    spot: Spot | None = None
    fee: Fee | None = None
    box: Box[int] | None = None
    boxes: dict[str, Box[list[int]]] = {}
    wish: Wish | None = None
    more: Any = None


def _any(value: object) -> Any:
    return value


MISFITTING_INSIDE: dict[str, tuple[Any, Any, Any, str]] = {
    # name: the type, what fits it, what does not, and where
    "list": (list[int], [1, 2], [1, "2"], "[1]"),
    "list of lists": (list[list[int]], [[], [1]], [[], ["1"]], "[1][0]"),
    "list of models": (list[User], [User("a")], [User("a"), 3], "[1]"),
    "dict of models": (dict[str, User], {"a": User("a")}, {"a": 3}, "['a']"),
    "key": (dict[int, int], {1: 1}, {"1": 1}, "['1'] (key)"),
    "tuple": (tuple[int, str], (1, "a"), (1, 2), "[1]"),
    "set": (set[int], {1}, {"a"}, "[*]"),
    "optional": (list[int] | None, None, ["a"], "[0]"),
    "literal": (Literal["a", "b"], "a", "c", ""),
    "typed dict": (Wish, {"name": "a"}, {"name": "a", "size": "b"}, "['size']"),
    "missing key": (Wish, {"name": "a"}, {"size": 1}, "['name']"),
    "dataclass": (Spot, Spot(1.5), Spot(_any("1.5")), ".lat"),
    "named tuple": (Way, Way([Spot(1)]), Way([Spot(_any("1"))]), ".spots[0].lat"),
    "attrs class": (Fee, Fee(1), Fee(_any("1")), ".cents"),
    "generic": (Box[int], Box(1), Box("1"), ".item"),
    "subclass": (Box[int], IntBox(1), IntBox(_any("1")), ".item"),
    "generic of generics": (Box[Box[int]], Box(Box(1)), Box(Box("1")), ".item.item"),
    "generic in itself": (
        Pair[int],
        Pair(1, Pair(2)),
        Pair(1, Pair(2, _any(Pair("3")))),
        ".next.next.item",
    ),
    "field: dataclass": (Trip, Trip(Spot(1)), Trip(Spot(_any("1"))), ".spot.lat"),
    "field: attrs class": (
        Trip,
        Trip(fee=Fee(1)),
        Trip(fee=Fee(_any(None))),
        ".fee.cents",
    ),
    "field: generic": (Trip, Trip(box=Box(1)), Trip(box=_any(Box("1"))), ".box.item"),
    "field: generics": (
        Trip,
        Trip(boxes={"a": Box([1])}),
        Trip(boxes={"a": Box([_any("1")])}),
        ".boxes['a'].item[0]",
    ),
    "field: typed dict": (
        Trip,
        Trip(wish={"name": "a"}),
        Trip(wish=_any({"name": 1})),
        ".wish['name']",
    ),
    "where anything may be": (
        dict[str, Any],
        {"a": [Spot(1)]},
        {"a": [Spot(_any("1"))]},
        "['a'][0].lat",
    ),
    "field of any type": (
        Trip,
        Trip(more=[Fee(1)]),
        Trip(more=[Fee(_any("1"))]),
        ".more[0].cents",
    ),
}
READS: dict[str, Callable[[Any, Any], object]] = {
    "[]": lambda db, key: db[key],
    "get": lambda db, key: db.get(key),
    "pop": lambda db, key: db.pop(key),
    "values": lambda db, _: list(db.values()),
    "where": lambda db, _: list(db.where(lambda _: True)),
    "count": lambda db, _: db.where(lambda _: True).count(),
}


@pytest.mark.parametrize("name", MISFITTING_INSIDE)
@pytest.mark.parametrize("read", READS)
def test_what_is_inside_is_of_its_type_or_an_error(anywhere, name, read):
    """In plain data, generic models and plain classes, wherever they stand."""
    hint, good, bad, place = MISFITTING_INSIDE[name]
    known: Any = {"models": [User, Box, IntBox, Pair, Trip], "types": [Spot, Way, Fee]}
    with Storify(anywhere, **known) as sf:
        sf["d"].update(good=good, bad=bad)

    with Storify(anywhere, **known) as sf:
        db = sf.get_db("d", model=hint)
        with pytest.raises(ModelLoadError, match=r"db\.raw\('bad'\)") as caught:
            READS[read](db, "bad")
        assert caught.value.path == f"$['bad']{place}"
        assert db["good"] == good
        assert db.raw("bad") == bad
        db["bad"] = db["good"]
        assert db.where(lambda value: value == good).count() == 2


@pytest.mark.parametrize("name", MISFITTING_INSIDE)
def test_items_of_a_typed_list_are_of_its_type_inside_too(anywhere, name):
    """As the values of a dict."""
    hint, good, bad, place = MISFITTING_INSIDE[name]
    known: Any = {"models": [User, Box, IntBox, Pair, Trip], "types": [Spot, Way, Fee]}
    with Storify(anywhere, **known) as sf:
        sf.get_db("l", root=[good, bad]).flush()

    with Storify(anywhere, **known) as sf:
        db = sf.get_db("l", model=hint, key=int)
        with pytest.raises(ModelLoadError) as caught:
            list(db)
        assert caught.value.path == f"$[1]{place}"
        assert db[0] == good
        assert db.raw(1) == bad


def test_what_was_read_before_a_database_was_typed_is_judged_too(anywhere):
    """What is in memory then was loaded without a look."""
    with Storify(anywhere) as sf:
        sf["d"].update(a=[1], b=["x"])

    with Storify(anywhere) as sf:
        held = list(sf["d"].values())
        db = sf.get_db("d", model=list[int])
        with pytest.raises(ModelLoadError, match="expected int, found str"):
            db["b"]
        assert db["a"] is held[0]


def test_what_is_repaired_inside_is_read_again(anywhere):
    """In the list that `raw` gives."""
    with Storify(anywhere) as sf:
        sf["d"]["k"] = [1, "2"]

    with Storify(anywhere) as sf:
        db = sf.get_db("d", model=list[int])
        with pytest.raises(ModelLoadError):
            db["k"]
        db.raw("k")[1] = 2
        assert db["k"] == [1, 2]


def test_what_the_hooks_of_the_user_make_is_not_judged_by_annotations(anywhere):
    """They say how its objects are stored."""
    custom = CustomType(Spot, lambda spot: spot.lat, lambda lat: Spot(str(lat)))
    with Storify(anywhere, types=[custom]) as sf:
        sf["d"]["k"] = Spot(1.5)

    with Storify(anywhere, types=[custom]) as sf:
        assert sf.get_db("d", model=Spot)["k"] == Spot(_any("1.5"))


def test_data_too_deep_for_a_quick_look_are_judged_all_the_same(anywhere):
    """In a chain of generic models."""
    good: Pair[int] = Pair(0)
    for number in range(200):
        good = Pair(number, good)
    with Storify(anywhere, models=[Pair]) as sf:
        sf["d"]["k"] = good

    with Storify(anywhere) as sf:
        assert sf.get_db("d", model=Pair[int])["k"] == good


class Gift(TypedDict):
    """A dict with other keys."""

    giver: str
    price: float


class Wishes(Model):
    """A model that holds dicts with known keys."""

    wish: Wish | None = None
    either: Wish | Gift | None = None
    all: list[Wish] = []


WRONG_KEYS: dict[str, tuple[Any, Any, str, str]] = {
    "missing": (Wish, {"size": 1}, "['name']", "expected str, found nothing"),
    "extra": (Wish, {"name": "a", "c": 1}, "['c']", "expected no such key of Wish"),
    "of the nearest": (
        Wish | Gift,
        {"giver": "a"},
        "['price']",
        "expected float, found nothing",
    ),
    "field": (Wishes, Wishes(_any({})), ".wish['name']", "expected str, found nothing"),
    "item": (
        Wishes,
        Wishes(all=[_any({"name": "a", "c": 1})]),
        ".all[0]['c']",
        "expected no such key of Wish",
    ),
    "field of several": (
        Wishes,
        Wishes(either=_any({"giver": "a"})),
        ".either['price']",
        "expected float, found nothing",
    ),
}


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_what_is_wrong_with_the_keys_of_a_typed_dict_is_named(anywhere, name):
    """When it is loaded, and when a strict database refuses it."""
    hint, value, place, reason = WRONG_KEYS[name]
    with Storify(anywhere, models=[Wishes]) as sf:
        sf["d"]["k"] = value

    with Storify(anywhere) as sf:
        with pytest.raises(ModelLoadError, match=reason) as loading:
            sf.get_db("d", model=hint)["k"]
        strict = sf.get_db("s", model=hint, strict=True)
        with pytest.raises(CheckError, match=reason) as setting:
            strict["k"] = value

    assert loading.value.path == setting.value.path == f"$['k']{place}"


def test_the_log_names_a_key_that_is_missing(anywhere, caplog):
    """It is a part of the type, not of the data."""
    with Storify(anywhere, models=[Wishes]) as sf:
        sf["d"]["k"] = Wishes(_any({}))

    with Storify(anywhere, models=[Wishes]) as sf:
        assert sf["d"]["k"].wish == {}

    assert "Wishes.wish: expected str, found nothing at ['name'] inside" in caplog.text
