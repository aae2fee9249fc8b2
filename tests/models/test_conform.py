"""Annotations as shapes: what conforms, what converts, what cannot be stored."""
# ruff: noqa: D101, D102, B024, B027, DTZ001, F722, F821, PLC0415, PYI061, S102, UP007, UP044, UP045, ICN001 -- the classes are the examples, odd on purpose

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import sys
import threading
import typing
import uuid
from abc import ABC
from collections import abc
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    Required,
    Self,
    TypedDict,
    TypeVar,
    TypeVarTuple,
    Union,
    Unpack,
)

import attrs
import pytest
import typing_extensions

from storify.exceptions import DuplicateKeynameError, ModelError
from storify.models import Misfit, Model, Registry, field
from storify.models.hints import Parser, describe, refuse_unstorable

T = TypeVar("T")
B = TypeVar("B", bound=int)
C = TypeVar("C", int, str)
Ts = TypeVarTuple("Ts")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "r"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Loose(enum.Enum):
    A = 1

    @classmethod
    def _missing_(cls, value):
        return cls.A


class Pair(NamedTuple):
    a: int
    b: str


class Movie(TypedDict):
    title: Required[str]
    year: NotRequired[int]


def _numpy_bool():
    """Make an object of a class that is named as a built-in one, as numpy's are."""
    return type("bool", (), {"__module__": __name__})()


class Tree(TypedDict, total=False):
    value: int
    children: "list[Tree]"


class Address(Model):
    city: str


class Company(Model):
    name: str


class Box(Model, Generic[T]):
    item: T
    more: list[T] = []


class IntBox(Box[int]):
    pass


class Mapped(Box[dict[str, T]], Generic[T]):
    pass


class Runs(Protocol):
    def run(self): ...


class Shape(ABC):
    @typing.final
    def area(self): ...


class Circle(Model, Shape):
    radius: int = 0


@dataclasses.dataclass
class Data:
    a: int = 0


class Stringy(str):
    __slots__ = ()


@dataclasses.dataclass
class SubData(Data):
    b: list[str] = dataclasses.field(default_factory=list)


@attrs.frozen
class Money:
    amount: int
    unit: str = "EUR"


@dataclasses.dataclass
class Cell(Generic[T, B]):
    item: T
    number: B
    more: "Cell[T, B] | None" = None


@dataclasses.dataclass
class StrCell(Cell[str, int]):
    pass


class Row(NamedTuple, Generic[T]):
    cell: T
    boxes: "list[Box[int]]"


Bare = collections.namedtuple("Bare", "a b")  # noqa: PYI024 -- without annotations


class Deal(Model):
    price: Money
    by_pair: dict[Pair, list[Data]] = {}
    chain: Self | None = None


Json = typing_extensions.TypeAliasType(
    "Json", "dict[str, Json] | list[Json] | str | int | None"
)
Listed = typing_extensions.TypeAliasType("Listed", list[T], type_params=(T,))

now = dt.datetime(2024, 1, 2)
today = dt.date(2024, 1, 2)

CONFORMING = [
    (int, 1), (int, True), (float, 1.5), (float, 1), (complex, 1), (str, "a"),
    (str, Stringy("a")), (bytes, b""), (bytearray, bytearray()), (None, None),
    (bool, False), (Any, object()), (object, 1), (T, 1), (B, 1), (C, "a"),
    (dt.date, now), (dt.datetime, now), (decimal.Decimal, decimal.Decimal(1)),
    (uuid.UUID, uuid.UUID(int=1)), (pathlib.Path, pathlib.Path("a")),
    (ipaddress.IPv4Address, ipaddress.IPv4Address(1)), (range, range(3)),
    (Optional[int], None), (int | None, 2), (Union[int, str], "a"),
    (list, [1]), (list[int], [1]), (list[Any], ["a"]), (list[int], [1]),
    (list, [1]), (tuple, (1,)), (tuple[()], ()), (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2)), (tuple[Unpack[tuple[int, ...]]], (1,)),
    (set[int], {1}), (frozenset[str], frozenset("a")), (dict, {1: 2}),
    (dict[str, list[int]], {"a": [1]}), (collections.deque[int], collections.deque([1])),
    (collections.OrderedDict[str, int], collections.OrderedDict(a=1)),
    (collections.defaultdict[str, int], collections.defaultdict(int, a=1)),
    (collections.Counter[str], collections.Counter("ab")), (collections.Counter, collections.Counter()),
    (abc.Sequence[int], (1,)), (abc.Sequence[str], "ab"), (abc.Iterable[int], {1}),
    (abc.Iterable[int], {1: "a"}), (abc.Sequence[int], range(10**12)),
    (abc.Mapping[str, int], {"a": 1}), (abc.Set[int], {1}), (abc.Collection, [1]),
    (abc.Hashable, 1), (Literal["a", 1], 1), (Literal[None], None),
    (Annotated[int, "meta"], 1), (Final[int], 1), (Final, 1), (UserId, 1),
    (LiteralString, "a"), (Colour, Colour.RED), (enum.Enum, Colour.RED),
    (Pair, Pair(1, "a")), (Movie, {"title": "t"}), (Movie, {"title": "t", "year": 1}),
    (Tree, {"value": 1, "children": [{"children": []}]}), (Runs, object()),
    (Address, Address("c")), (Address | Company, Company("c")), (Box[int], Box(1)),
    (IntBox, IntBox(1)), (Shape, Circle()), (Data, Data()),
    (Json, {"a": [{"b": None}, 1]}), (Listed[int], [1]), (int | list[str] | None, ["a"]),
    (int | list[str] | list[int], [1]), (Literal["a"] | None, "a"), (Colour | None, None),
    (list[Address], [Address("a")]), (list[list[int | None]], [[1, None]]),
    (SubData, SubData(1, ["a"])), (Data, SubData()), (Money, Money(1)),
    (Cell, Cell(object(), 1, Cell("a", 2))), (StrCell, StrCell("a", 1)),
    (Row, Row(1, [Box(1)])), (Bare, Bare(1, "a")), (Deal, Deal(Money(1), {Pair(1, "a"): []})),
    (tuple[int, str], Pair(1, "a")), (tuple[int | str, ...], Pair(1, "a")),
    (Box[int] | Box[str], Box("a", ["b"])), (Box[int] | Box[str], Box(1, [2])),
    (Box[int] | Box, Box("a")), (Box | Box[int], Box("a")),
    (Box[int] | Box[str] | None, None), (list[Box[int]] | list[Box[str]], [Box("a")]),
    (list[Box[int]] | list[Box[str]], []), (Box[int] | IntBox, IntBox(1)),
    (dict[str, Box[int] | Box[str]], {"a": Box(1), "b": Box("b")}),
    (Box[Box[int] | Box[str]] | Box[Box[bytes]], Box(Box(b""))),
    (Box[Box[int] | Box[str]] | Box[Box[bytes]], Box(Box("a"))),
    (dict[str, dict[str, float]], {"a": {"b": 1.0}}), (list[Address] | None, None),
]  # fmt: skip

MISFITS = [
    (int, "a", "$", "int", "str"),
    (str, None, "$", "str", "NoneType"),
    (bool, "false", "$", "bool", "str"),
    (bool, 1, "$", "bool", "int"),
    (int, 3.7, "$", "int", "float"),
    (None, 0, "$", "None", "int"),
    (B, "a", "$", "int", "str"),
    (int | None, "a", "$", "int | None", "str"),
    (list[int], (1,), "$", "list[int]", "tuple"),
    (list[int], [1, "a"], "$[1]", "int", "str"),
    (list[int] | None, [1, "a"], "$[1]", "int", "str"),
    (list[int] | list[str], [1, "a"], "$", "list[int] | list[str]", "list"),
    (tuple[int, str], (1, 2), "$[1]", "str", "int"),
    (tuple[int, str], (1,), "$", "tuple[int, str]", "tuple"),
    (tuple[()], (1,), "$", "tuple[()]", "tuple"),
    (tuple[int, ...], ("a",), "$[0]", "int", "str"),
    (set[int], {"a"}, "$[*]", "int", "str"),
    (dict[str, int], {"a": "b"}, "$['a']", "int", "str"),
    (dict[str, int], {1: 2}, "$[1] (key)", "str", "int"),
    (dict[str, list[int]], {"a": ["x"]}, "$['a'][0]", "int", "str"),
    (abc.Sequence[int], "a", "$", "Sequence[int]", "str"),
    (abc.Iterable[int], {"a": 1}, "$['a'] (key)", "int", "str"),
    (Literal["a", 1], True, "$", "Literal['a', 1]", "bool"),
    (Literal["a"], [], "$", "Literal['a']", "list"),
    (Colour, "r", "$", "Colour", "str"),
    (Movie, {"title": 1}, "$['title']", "str", "int"),
    (Movie, {"year": 1}, "$['title']", "str", "nothing"),
    (Movie, {"title": "a", "x": 1}, "$['x']", "no such key of Movie", "int"),
    (
        list[Movie] | None,
        [{"x": 1, "title": ""}],
        "$[0]['x']",
        "no such key of Movie",
        "int",
    ),
    (Movie | None, {"year": 1}, "$['title']", "str", "nothing"),
    (Movie | dict[str, int], {"year": "x"}, "$['year']", "int", "str"),
    (Movie | Tree, {"x": 1}, "$", "Movie | Tree", "dict"),
    (Movie, 5, "$", "Movie", "int"),
    (bool | None, _numpy_bool(), "$", "bool | None", f"{__name__}.bool"),
    (list[bool], [_numpy_bool()], "$[0]", "bool", f"{__name__}.bool"),
    (dict[str, int] | bool, [], "$", "dict[str, int] | bool", "list"),
    (list[int] | bool, (), "$", "list[int] | bool", "tuple"),
    (
        list[int | dict[str, int]] | bool,
        {},
        "$",
        "list[int | dict[str, int]] | bool",
        "dict",
    ),
    (Tree, {"children": [{"value": "x"}]}, "$['children'][0]['value']", "int", "str"),
    (Address, {"city": "c"}, "$", "Address", "dict"),
    (Address, Address(1), "$.city", "str", "int"),
    (Any, [{"k": (Address(1),)}], "$[0]['k'][0].city", "str", "int"),
    (list[int], [Address("a")], "$[0]", "int", "Address"),
    (Address | Company, Company(5), "$.name", "str", "int"),
    (Box[int], Box("a"), "$.item", "int", "str"),
    (Box[int], Box(1, ["a"]), "$.more[0]", "int", "str"),
    (Box[int], 5, "$", "Box[int]", "int"),
    (IntBox, IntBox("a"), "$.item", "int", "str"),
    (Mapped[int], Mapped({"a": "b"}), "$.item['a']", "int", "str"),
    (Json, {"a": [1.5]}, "$", "Json", "dict"),
    (Listed[int], ["a"], "$[0]", "int", "str"),
    (Pair, Pair("x", "a"), "$.a", "int", "str"),
    (Data, Data("x"), "$.a", "int", "str"),
    (Data, SubData(1, [5]), "$.b[0]", "str", "int"),
    (Money, Money("x"), "$.amount", "int", "str"),
    (Any, [{"k": (Money(1, 2),)}], "$[0]['k'][0].unit", "str", "int"),
    (Any, {Pair("x", "a"): 1}, "$[Pair(a='x', b='a')] (key).a", "int", "str"),
    (list[int], [Data()], "$[0]", "int", "Data"),
    (Cell, Cell(1, "x"), "$.number", "int", "str"),
    (Cell, Cell(1, 1, Cell(1, "x")), "$.more.number", "int", "str"),
    (StrCell, StrCell(1, 1), "$.item", "str", "int"),
    (Row, Row(1, [Box("x")]), "$.boxes[0].item", "int", "str"),
    (Bare, Bare(Data("x"), 1), "$.a.a", "int", "str"),
    (Deal, Deal(Money("x")), "$.price.amount", "int", "str"),
    (
        Deal,
        Deal(Money(1), chain=Deal(Money(1), {Pair(1, "a"): [Data(), Data("x")]})),
        "$.chain.by_pair[Pair(a=1, b='a')][1].a",
        "int",
        "str",
    ),
    (tuple[int, str], Pair("x", "a"), "$.a", "int", "str"),
    (tuple[int, int], Pair(1, "a"), "$[1]", "int", "str"),
    (tuple[int, ...], Pair(1, "a"), "$[1]", "int", "str"),
    (tuple[int], Pair(1, "a"), "$", "tuple[int]", "Pair"),
    (tuple[Box[int], Any], Bare(Box("a"), 1), "$[0].item", "int", "str"),
    (Box[int] | Box[str], Box(b"x"), "$.item", "int", "bytes"),
    (Box[int] | Box[str], Box("a", [1]), "$.item", "int", "str"),
    (Box[int] | Box[str], IntBox("a"), "$.item", "int", "str"),
    (
        dict[str, Box[int] | Box[str]],
        {"a": Box(None)},
        "$['a'].item",
        "int",
        "NoneType",
    ),
    (
        Box[Box[int] | Box[str]] | Box[Box[bytes]],
        Box(Box(1.5)),
        "$.item.item",
        "int",
        "float",
    ),
]


@pytest.mark.parametrize(("hint", "value"), CONFORMING, ids=range(len(CONFORMING)))
def test_what_a_type_checker_accepts_conforms(hint, value):
    """No misfit, in a field no conversion, and no warning."""
    warnings = []
    holder = type("Holder", (Model,), {"__annotations__": {"f": hint}})
    registry = Registry([holder], warn=warnings.append)

    loaded = registry.structure({"__Holder__": {"f": value}})

    assert list(registry.misfits(value, hint)) == []
    assert loaded.f is value
    assert warnings == []
    assert list(registry.misfits(loaded, holder)) == []


BARE = {
    "Tuple": (1, "a"),
    "List": [1],
    "Set": {1},
    "FrozenSet": frozenset({1}),
    "Deque": collections.deque([1]),
    "Dict": {1: 2},
    "DefaultDict": collections.defaultdict(int, a=1),
    "OrderedDict": collections.OrderedDict(a=1),
    "Counter": collections.Counter("a"),
    "AbstractSet": {1},
    "MutableSet": {1},
    "Sequence": (1,),
    "MutableSequence": [1],
    "Collection": [1],
    "Iterable": [1],
    "Mapping": {1: 2},
    "MutableMapping": {1: 2},
}


@pytest.mark.parametrize(("name", "value"), BARE.items())
def test_a_bare_name_of_typing_is_its_class(name, value):
    """As `typing.Tuple`, which is `tuple`: with any items, also inside others."""
    bare = getattr(typing, name)

    for hint, nested in [(bare, value), (bare | None, value), (list[bare], [value])]:
        assert list(Registry().misfits(nested, hint)) == []


@pytest.mark.parametrize(
    ("hint", "value", "path", "expected", "found"), MISFITS, ids=range(len(MISFITS))
)
def test_misfits_are_listed_with_path_and_types(hint, value, path, expected, found):
    """The place, what was expected, and the type that was found."""
    misfits = list(Registry().misfits(value, hint))

    if "Json" not in expected:
        kind = "missing" if found == "nothing" else "wrong type"
        assert misfits[0] == Misfit(path, kind, expected, found)
    assert len(misfits) == 1


def test_all_misfits_are_listed_in_order():
    """Not just the first; a value of the wrong type is still looked into."""

    class Owner(Model):
        a: int
        homes: list[Address]
        b: str = ""

    owner = Owner("x", (Address(1), Address("ok")), 2)
    owner.note = Address(3)

    assert [m.path for m in Registry([Owner]).misfits(owner, Owner)] == [
        "$.a", "$.homes", "$.homes[0].city", "$.b", "$.note.city",
    ]  # fmt: skip


def test_unloaded_records_are_misfits():
    """Wherever they stand, also where anything may; they say what is wrong."""
    registry = Registry([Address], warn=lambda _: None)
    record = registry.structure({"__Address__": {}})
    unknown = registry.structure({"__Elsewhere__": {}})

    assert list(registry.misfits([record], Any)) == [
        Misfit("$[0].city", "missing", "str", "nothing")
    ]
    assert list(registry.misfits(unknown, Address)) == [
        Misfit("$", "unregistered class", "Address", "__Elsewhere__")
    ]


def test_cycles_and_shared_values_end():
    """Each is visited once."""
    value: list[Any] = [Address(1)]
    value += [value, value[0]]

    assert [m.path for m in Registry().misfits(value, Any)] == ["$[0].city"]


def test_deep_values_are_checked_without_recursion():
    """Deeper than Python's stack."""
    value: Any = [Address(1)]
    for _ in range(5000):
        value = [value]

    assert len(list(Registry().misfits(value, Any))) == 1


# --- plain classes ----------------------------------------------------------------


@dataclasses.dataclass
class Loosely:
    """Annotations of all kinds of which some say nothing."""

    shared: ClassVar[int] = "x"
    given: dataclasses.InitVar[int] = "x"
    given_too: "dataclasses.InitVar[int]" = "x"
    call: abc.Callable[[], int] = "x"
    unknown: "Nowhere" = "x"
    odd: "1 / 0" = "x"
    wrong: "1 +" = "x"
    also: "list[Nowhere]" = "x"
    later: list["Nowhere"] = "x"
    movie: "LostMovie" = "x"
    same: "Loosely | None" = None
    own: Self | None = None
    number: int = 0


class LostMovie(TypedDict):
    title: "Nowhere"


def test_what_an_annotation_of_a_plain_class_does_not_tell_is_anything():
    """It never raises, and the other fields are judged all the same."""
    loose = Loosely(same=Loosely(number="x"), own=Loosely(own=5), number="y")
    untyped = attrs.make_class(
        "Untyped", {"a": attrs.field(), "b": attrs.field(type=int)}
    )

    registry = Registry()

    assert [m.path for m in registry.misfits([loose], Any)] == [
        "$[0].same.number", "$[0].own.own", "$[0].number",
    ]  # fmt: skip
    assert [m.path for m in registry.misfits(untyped("x", "x"), Any)] == ["$.b"]


class Percent:
    """A descriptor, in a field as the documentation of dataclasses has it."""

    def __get__(self, obj, _):
        return 50 if obj is None else obj._percent

    def __set__(self, obj, value):
        obj._percent = int(value)


@dataclasses.dataclass
class Graded:
    percent: Percent = Percent()
    number: int = 0


def test_the_annotation_of_a_descriptor_says_nothing_about_values():
    """They are what it gives."""
    graded = Graded("5", "x")

    assert [m.path for m in Registry().misfits(graded, Any)] == ["$.number"]


class Several(Generic[T, Unpack[Ts]]):
    """Generic in more than type variables."""


@dataclasses.dataclass
class Wide(Several[T, Unpack[Ts]], Generic[T, Unpack[Ts]]):
    first: T
    rest: tuple[Unpack[Ts]]
    number: int = 0


@dataclasses.dataclass
class Narrow(Wide[int, str, str]):
    more: int = 0


def test_what_several_type_variables_stand_for_is_anything():
    """Better no verdict than a wrong one; also of a class with odd bases."""
    fine, wrong = Narrow(1, ("a", "b")), Narrow(1, ("a", "b"), "x", "y")
    odd = dataclasses.make_dataclass(
        "Odd", [("a", int), ("b", "int")], namespace={"__orig_bases__": None}
    )

    registry = Registry()

    assert list(registry.misfits(fine, Any)) == []
    assert [m.path for m in registry.misfits(wrong, Any)] == ["$.number", "$.more"]
    assert [m.path for m in registry.misfits(odd("x", "x"), Any)] == ["$.a"]


def test_a_name_that_is_defined_later_is_found_then(monkeypatch):
    """An annotation that cannot be resolved yet is tried again."""
    registry = Registry()
    loose = Loosely(unknown="x")
    assert list(registry.misfits(loose, Any)) == []

    monkeypatch.setattr(sys.modules[__name__], "Nowhere", int, raising=False)

    assert [m.path for m in registry.misfits(loose, Any)] == [
        "$.unknown", "$.also", "$.later", "$.movie",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", [Data("x"), Money("x"), Pair("x", 1), Pair("x", "y")], ids=str
)
def test_a_class_with_hooks_of_its_own_is_judged_by_nobody(value):
    """Its annotations may say nothing about what its hooks store."""
    kept = {type(value)}
    registry = Registry(hooked=kept.__contains__)

    assert list(registry.misfits([value], Any)) == []
    assert registry.plain_check()(value)
    kept.clear()
    assert list(registry.misfits([value], Any))
    assert not registry.plain_check()(value)


def test_what_is_in_a_class_with_hooks_is_looked_into():
    """As far as it is a record or a container."""
    registry = Registry(hooked={Bare, Cell}.__contains__)
    value = Bare(Cell(Data("x"), None), 1)

    assert [m.path for m in registry.misfits(value, Any)] == ["$[0].item.a"]


def test_members_of_an_enum_are_no_data():
    """They stand in the program, even if they are tuples or dataclasses as well."""

    class Planet(Pair, enum.Enum):
        EARTH = "x", 1

    class Creature(Data, enum.Enum):
        DOG = "x"

    registry = Registry()

    for member in (Planet.EARTH, Creature.DOG):
        assert list(registry.misfits([member], Any)) == []
        assert registry.plain_check()(member)


def test_objects_that_lack_fields_are_judged_by_the_others():
    """A field that was deleted is no value."""
    data = SubData("x", [1])
    del data.b

    assert [m.path for m in Registry().misfits(data, Any)] == ["$.a"]


def test_the_fields_of_a_plain_class_are_those_that_are_stored():
    """A class of attrs over a dataclass has none of the fields of its base."""

    @attrs.define
    class Over(Data):
        size: int

    over = Over("x")

    assert [m.path for m in Registry().misfits(over, Any)] == ["$.size"]


def test_a_plain_object_within_itself_ends():
    """It is visited once for each annotation, also where one is not resolved."""
    cell = Cell("a", "x")
    cell.more = cell
    loose = Loosely()
    loose.unknown = loose.same = loose

    assert [m.path for m in Registry().misfits(cell, Any)] == [
        "$.number", "$.more.number",
    ]  # fmt: skip
    assert list(Registry().misfits(loose, Any)) == []


@pytest.mark.parametrize(
    ("value", "is_plain"),
    [
        (Data(1), True), (Data("x"), False), (SubData(1, ["a"]), True),
        (SubData(1, [1]), False), (Pair(1, "a"), True), (Pair(1, 1), False),
        (Bare("x", 1), True), (Money(1), True), (Money(1, 1), False), ([1], True),
        (Row(1, [Box(1)]), False), (Loosely(), True), (Stringy("a"), True),
    ],
    ids=str,
)  # fmt: skip
def test_plain_objects_are_judged_without_a_walk(value, is_plain):
    """By their own fields; what only a walk can tell is not said to be right."""
    assert Registry().plain_check()(value) is is_plain


def test_a_field_that_cannot_be_read_is_not_said_to_be_right():
    """Code of the class may stand behind it."""

    @dataclasses.dataclass
    class Guarded:
        a: int

        def __getattribute__(self, name):
            if name == "a":
                raise ArithmeticError
            return super().__getattribute__(name)

    assert not Registry().plain_check()(Guarded(1))


# --- unions of parametrised models ------------------------------------------------


class Chain(Model, Generic[T]):
    value: T
    links: "list[Chain[int] | Chain[str] | Chain[bytes]]" = []


def chain(length, value, last):
    """Link chains of which the last has another value."""
    made = Chain(last)
    for _ in range(length):
        made = Chain(value, [made])
    return made


def test_parametrisations_within_one_another_are_chosen_in_linear_time():
    """However deep: each is looked at once for each arm of each parametrisation."""
    inspected = []
    hint = Chain[int] | Chain[str] | Chain[bytes]

    class Counting(Registry):
        def shapes_of_model(self, cls, args):
            inspected.append(args)
            return super().shapes_of_model(cls, args)

    registry = Counting(warn=lambda _: None)

    assert list(registry.misfits(chain(1000, b"x", b"x"), hint)) == []
    assert len(inspected) <= 10 * 1001
    (misfit,) = registry.misfits(chain(20, b"x", 1.5), hint)
    assert misfit.path == "$" + ".links[0]" * 20 + ".value"


def test_a_parametrised_object_within_itself_ends():
    """While it is looked at it is taken for right."""
    made = chain(2, "a", "b")
    made.links[0].links[0].links.append(made)
    registry = Registry(warn=lambda _: None)

    assert list(registry.misfits(made, Chain[int] | Chain[str])) == []
    made.links[0].links[0].value = None
    assert list(registry.misfits(made, Chain[int] | Chain[str]))


def test_a_recursive_alias_too_deep_to_judge_is_let_pass():
    """Better no verdict than a wrong one."""
    value: Any = 1.5
    for _ in range(5000):
        value = [value]

    assert list(Registry().misfits(value, Json | None)) == []


class Holder(Model):
    number: int = 0
    flag: bool = False
    text: str = ""
    real: float = 0.0
    address: Address | None = None
    either: Address | Company | None = None
    homes: list[Address] = []
    pair: tuple[int, str] = (0, "")
    row: tuple[int, ...] = ()
    nested: tuple[tuple[int, ...], ...] = ()
    unique: set[int] = set()
    frozen: frozenset[int] = frozenset()
    queue: collections.deque[int] = field(factory=collections.deque)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    loose: Loose = Loose.A
    raw: bytearray = bytearray()
    raws: list[bytearray] = []
    ordered: collections.OrderedDict[str, int] = field(factory=collections.OrderedDict)
    byname: dict[str, Address] = {}
    default: collections.defaultdict[str, int] | None = None
    boxed: Box[Address] | None = None
    maybe: tuple[int, ...] | None = None
    seq: abc.Sequence[Address] = ()
    aset: abc.Set[bytearray | int] = frozenset()
    movie: Movie | None = None
    json: Json = None
    listed: list[int] = []


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("address", {"city": "c"}, Address("c")),
        ("either", {"city": "c"}, Address("c")),
        ("either", {"name": "c"}, Company("c")),
        ("homes", [{"city": "c"}], [Address("c")]),
        ("pair", [1, "a"], (1, "a")),
        ("row", [1, 2], (1, 2)),
        ("row", collections.deque([1]), (1,)),
        ("nested", [[1], [2]], ((1,), (2,))),
        ("unique", [1, 2], {1, 2}),
        ("unique", frozenset({1}), {1}),
        ("frozen", [1, 2], frozenset({1, 2})),
        ("queue", [1], collections.deque([1])),
        ("colour", "r", Colour.RED),
        ("colour", 2, Colour.BLUE),
        ("level", 1, Level.LOW),
        ("raw", b"ab", bytearray(b"ab")),
        ("raws", [b"ab"], [bytearray(b"ab")]),
        ("ordered", {"a": 1}, collections.OrderedDict(a=1)),
        ("byname", {"a": {"city": "c"}}, {"a": Address("c")}),
        ("boxed", {"item": {"city": "c"}}, Box(Address("c"))),
        ("maybe", [1], (1,)),
        ("seq", ({"city": "c"},), (Address("c"),)),
        ("listed", (1, 2), [1, 2]),
    ],
)
def test_what_loses_nothing_is_converted(name, stored, expected):
    """Unwrapped dicts, lists for tuples and sets, raw enum values, bytes."""
    warnings = []
    registry = Registry([Holder], warn=warnings.append)

    value = getattr(registry.structure({"__Holder__": {name: stored}}), name)

    assert value == expected
    assert type(value) is type(expected)
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("number", None), ("number", 3.7), ("number", "3"), ("flag", "false"),
        ("flag", 1), ("text", None), ("text", b"a"), ("real", "1.5"),
        ("address", {"town": "c"}), ("address", "c"), ("either", {"x": 1}),
        ("homes", [{"city": "c"}, {"x": 1}]), ("homes", "c"), ("pair", [1]),
        ("row", "ab"), ("row", ["a"]), ("unique", [1, 1]), ("unique", [[1]]),
        ("unique", {"a": 1}), ("colour", "x"), ("colour", 2.0), ("level", True),
        ("loose", 5), ("loose", []), ("raw", "ab"), ("ordered", {"a": "b"}),
        ("byname", {"a": {"city": "c"}, "b": 1}), ("byname", [1]),
        ("default", {"a": 1}), ("boxed", {"more": 1}), ("boxed", [1]), ("maybe", ["a"]),
        ("movie", {"title": 1}), ("json", 1.5), ("listed", {1}),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_lose_something_is_kept_as_it_is(name, stored):
    """It is reported once, and its value is not in the report."""
    warnings = []
    registry = Registry([Holder], warn=warnings.append)
    record = {"__Holder__": {name: stored}}

    loaded = registry.structure(record)
    registry.structure(record)

    assert getattr(loaded, name) is stored
    assert registry.unstructure(loaded)["__Holder__"][name] is stored
    assert len(warnings) == 1
    assert f"Holder.{name}: expected" in warnings[0]
    assert list(registry.misfits(loaded, Holder))


def test_true_in_an_int_and_an_int_in_a_float_stay():
    """Type checkers accept both, so they conform, and nothing is coerced."""
    registry = Registry([Holder])

    loaded = registry.structure({"__Holder__": {"number": True, "real": 3}})

    assert loaded.number is True
    assert type(loaded.real) is int


def test_an_ambiguous_union_is_not_guessed():
    """A dict that both arms take stays a dict."""

    class One(Model):
        a: int = 0

    class Two(Model):
        a: int = 0

    class Either(Model):
        it: One | Two

    registry = Registry([Either], warn=lambda _: None)

    assert registry.structure({"__Either__": {"it": {"a": 1}}}).it == {"a": 1}


def test_conversion_takes_no_parsed_strings():
    """A date in a str is data of another type, not a date."""

    class Dated(Model):
        day: dt.date
        id: uuid.UUID

    registry = Registry([Dated], warn=lambda _: None)
    fields = {"day": "2024-01-02", "id": str(uuid.UUID(int=1))}

    loaded = registry.structure({"__Dated__": fields})

    assert (loaded.day, loaded.id) == tuple(fields.values())


def test_the_converter_by_itself_refuses_what_it_cannot_do():
    """Hooks of the registry's converter never coerce."""
    converter = Registry([Holder]).converter

    assert converter.structure([1], tuple[int, ...]) == (1,)
    assert converter.structure({"item": 1}, Box[int]) == Box(1)
    assert converter.structure("r", Colour) is Colour.RED
    for value, hint in [
        ("1", int),
        (1, str),
        (None, str),
        ("a", list[str]),
        (1, Address),
    ]:
        with pytest.raises(Exception, match=type(value).__name__):
            converter.structure(value, hint)


class Thread:
    pass


@pytest.mark.parametrize(
    "hint",
    [
        abc.Callable[[int], str], typing.Callable, type[int], type, abc.Iterator[int],
        abc.Generator, abc.Awaitable[int], threading.Thread, threading.Lock, Thread,
        typing.IO[str], list[type], dict[str, abc.Callable[[], None]], int | type,
        tuple[int, type], collections.ChainMap, typing.Never, dataclasses.InitVar[int],
        "abc.Callable[[], int]", Box[type], memoryview, typing.TypeGuard[int],
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_at_registration(hint):
    """The error names the class and the field."""
    holder = type("Holder", (Model,), {"__annotations__": {"bad": hint}})
    holder.__module__ = __name__

    with pytest.raises(ModelError, match=r"Holder\.bad"):
        Registry([holder])


def test_unstored_fields_may_have_any_annotation():
    """They never reach the file."""

    class Holder(Model):
        callback: abc.Callable[[], None] | None = field(default=None, stored=False)
        _lock: threading.Thread | None = None

    assert Registry([Holder]).structure({"__Holder__": {}}).callback is None


def test_an_annotation_that_makes_no_sense():
    """It is a ModelError too."""

    class Odd(Model):
        a: "1 +"

    with pytest.raises(ModelError, match=r"Odd\.a: the annotation cannot be read"):
        Registry([Odd])
    with pytest.raises(ModelError, match="cannot be stored"):
        Registry().misfits(1, abc.Callable[[], int])
    with pytest.raises(ModelError, match="cannot be stored"):
        Registry().misfits(1, "NotResolved")


def test_other_classes_are_offered_to_the_codec():
    """What register_type takes is fine; what it raises for is refused."""
    offered = []

    class Holder(Model):
        a: Colour
        b: Pair
        c: Data
        d: Stringy
        e: Thread

    Registry([Holder], register_type=offered.append)

    assert offered == [Colour, Pair, Data, Stringy, Thread]

    def clash(_):
        msg = "two enums"
        raise DuplicateKeynameError(msg)

    with pytest.raises(DuplicateKeynameError, match="two enums"):
        Registry([Holder], register_type=clash)


def test_the_default_of_register_type():
    """Kinds of classes that a codec can take."""

    @attrs.define
    class Attrs:
        a: int = 0

    for cls in (Colour, Pair, Data, Stringy, Attrs):
        refuse_unstorable(cls)
    with pytest.raises(TypeError, match="no Model"):
        refuse_unstorable(Thread)


def test_generic_models_are_substituted():
    """Type variables stand for what a subclass or an alias gives them."""

    class Node(Model, Generic[T]):
        value: T
        children: "list[Node[T]]" = []

    class Strings(Node[str]):
        pass

    registry = Registry([Strings, Node], warn=lambda _: None)

    loaded = registry.structure({"__Strings__": {"value": "a"}})

    assert loaded == Strings("a")
    assert [m.path for m in registry.misfits(Strings(1), Strings)] == ["$.value"]
    assert [m.path for m in registry.misfits(Node(1, [Node("a")]), Node[int])] == [
        "$.children[0].value"
    ]
    converted = registry.converter.structure(
        {"value": [1], "children": [{"value": [2]}]}, Node[tuple[int, ...]]
    )
    assert converted == Node((1,), [Node((2,))])


def test_self_and_postponed_annotations():
    """Self, strings, and ForwardRefs inside generics all resolve."""

    class Person(Model):
        name: str
        parent: Self | None = None
        friends: "list[Person]" = []
        boss: Optional["Person"] = None

    registry = Registry([Person])
    plain = {"name": "a", "parent": {"name": "b"}, "friends": [{"name": "c"}]}

    loaded = registry.structure({"__Person__": {**plain, "boss": {"name": "d"}}})

    assert loaded == Person("a", Person("b"), [Person("c")], Person("d"))
    assert attrs.fields_dict(Person)["friends"].type == list[Person]


def test_names_of_an_enclosing_function_and_class():
    """Types that only a function or class body knows are found."""

    class Kind(enum.Enum):
        A = "a"

    import datetime as local_module

    class Outer:
        class Inner(Model):
            kind: "Kind"
            day: "local_module.date"
            other: "Other | None" = None

        class Other(Model):
            a: int = 0

    loaded = Registry([Outer.Inner]).structure(
        {"__Inner__": {"kind": "a", "day": today, "other": {"a": 1}}}
    )

    assert loaded == Outer.Inner(Kind.A, today, Outer.Other(1))


def test_an_ambiguous_name_is_not_guessed():
    """Two classes of one name elsewhere do not resolve an annotation."""

    def one():
        class Twin(Model):
            a: int = 0

        return Twin

    def two():
        class Twin(Model):
            b: int = 0

        return Twin

    class Owner(Model):
        twin: "Twin" = None

    twins = one(), two()

    with pytest.raises(ModelError, match="Twin"):
        Registry([Owner]).unstructure(Owner())
    registry = Registry([Owner, twins[1]])
    assert registry.structure({"__Owner__": {"twin": {"b": 2}}}).twin == twins[1](2)


def test_shapes_read_like_annotations():
    """For messages and the check report."""
    parser = Parser(lambda _: None, lambda _: None)

    for hint, text in [
        (dict[str, int | None], "dict[str, int | None]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Any, "Any"),
        (Box[int], "Box[int]"),
        (Box[list[int]], "Box[list[int]]"),
        (Movie, "Movie"),
        (Literal["a", 1], "Literal['a', 1]"),
        (list[Tree], "list[Tree]"),
    ]:
        assert describe(parser.parse(hint)) == text


if sys.version_info >= (3, 12):
    exec(
        """
class New[X](Model):
    item: "X"
    more: list[X] = []

type Alias[Y] = list[Y] | dict[str, Alias[Y]]
type Plain = int | None
"""
    )

    def test_new_syntax_of_python_3_12():
        """Type parameters and type statements."""
        registry = Registry([New], warn=lambda _: None)

        assert [m.path for m in registry.misfits(New(1, ["a"]), New[int])] == [
            "$.more[0]"
        ]
        assert list(registry.misfits({"a": [1]}, Alias[int])) == []
        assert list(registry.misfits({"a": ["x"]}, Alias[int]))
        assert list(registry.misfits(1, Plain)) == []


def test_a_misfit_reads_as_one_line():
    """With the database in front, if there is one."""
    misfit = Misfit("$['a'].age", "wrong type", "int", "str")

    assert str(misfit) == "$['a'].age: wrong type: expected int, found str"
    assert str(misfit._replace(database="users")).startswith("users $['a'].age: ")


Defaulted = typing_extensions.TypeVar("Defaulted", default=int)


class DefaultedBox(Model, Generic[Defaulted]):
    item: Defaulted


def test_a_type_variable_stands_for_its_default():
    """Where a generic class gives no arguments, as type checkers read it."""

    class Holder(Model):
        box: DefaultedBox

    registry = Registry([Holder])

    assert [str(m) for m in registry.misfits(Holder(DefaultedBox("x")), Holder)] == [
        "$.box.item: wrong type: expected int, found str"
    ]
    assert not list(registry.misfits(Holder(DefaultedBox(1)), Holder))
    assert not list(registry.misfits(DefaultedBox("x"), DefaultedBox[str]))


def test_another_class_of_that_name_is_told_with_its_module():
    """Not as a str where a str is expected."""
    other = type("str", (), {"__module__": "elsewhere"})

    assert [m.found for m in Registry().misfits(other(), str)] == ["elsewhere.str"]
