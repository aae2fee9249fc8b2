"""`models` and `storable`: every field drawn, within what types and validators say."""
# ruff: noqa: D101, D102 -- the classes are what is drawn

import abc
import collections
import dataclasses
import datetime as dt
import enum
import ipaddress
import math
import numbers
import os
import pathlib
import re
import struct
import sys
import uuid
from collections import abc as collections_abc
from decimal import Decimal
from fractions import Fraction
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Self,
    TypedDict,
    TypeVar,
)

import annotated_types as at
import attrs
import pytest
from attrs import validators as v
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument, NoSuchExample, Unsatisfiable
from hypothesis.internal.conjecture.data import ConjectureData

from faults.sampling import fewer
from storify import Model, Ref, field
from storify.models import Registry
from storify.testing import assert_roundtrip, models, storable
from storify.testing._models import models_with_defaults
from storify.testing._same import facts
from storify.testing._scalars import (
    FREE,
    _is_known,
    hashables,
    of_metadata,
    plain_trees,
)

T = TypeVar("T")
UserId = NewType("UserId", int)
Json = dict[str, Any] | list[Any] | str | None

quick = settings(
    max_examples=fewer(15, 30),
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def reach(strategy, test, examples=1000):
    """Give an example that passes *test*; fail if there is none."""
    # the first that is found: shrinking it would take most of the time
    more = settings(quick, max_examples=examples, phases=[Phase.generate])
    return find(strategy, test, settings=more)


def hold(strategy, test):
    """Assert that every example passes *test*."""

    @quick
    @given(strategy)
    def run(value):
        assert test(value), value

    run()


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclasses.dataclass
class Size:
    width: Annotated[int, at.Ge(1)]
    tags: list[str] = dataclasses.field(default_factory=list)
    area: int = dataclasses.field(init=False, default=0)


@attrs.define
class Shape:
    sides: int = attrs.field(validator=v.ge(3))
    _name: str = ""


class Markup(str):
    __slots__ = ()


class Tags(list[str]):
    pass


class Leaf(Model):
    n: int = 0


class SubLeaf(Leaf):
    extra: str = "x"


class Box(Model, Generic[T]):
    item: T
    more: list[T] = []


class Ints(Box[int]):
    pass


class Node(Model):
    value: int
    next: "Node | None" = None
    children: list["Node"] = []
    by_name: dict[str, Self] = {}


class Tree(TypedDict):
    name: str
    kids: list["Tree"]
    leaf: NotRequired[Leaf]


class Named(TypedDict):
    leaf: Leaf


class Mixin(abc.ABC):
    @abc.abstractmethod
    def give(self):
        """Give something."""


class Mixed(Mixin, Model):
    n: int

    def give(self):
        return self.n


HINTS: list[Any] = [
    *(None, bool, int, float, complex, str, bytes, bytearray, Decimal, Fraction),
    *(dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, range, slice),
    *(pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PurePath, pathlib.Path),
    *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network),
    *(ipaddress.IPv6Network, ipaddress.IPv4Interface, ipaddress.IPv6Interface),
    *(list[int], set[str], frozenset[int], tuple[int, ...], tuple[int, str], tuple[()]),
    *(dict[str, int], dict[tuple[int, int], str], collections.deque[int]),
    *(collections.Counter[str], collections.OrderedDict[str, int]),
    *(collections.defaultdict[str, list[int]], list, dict, set, tuple),
    *(collections_abc.Sequence[int], collections_abc.Mapping[str, int]),
    *(collections_abc.Set[int], collections_abc.MutableSet[int]),
    *(collections_abc.Iterable[str], collections_abc.MutableMapping[str, int]),
    *(collections_abc.Hashable, collections_abc.Sized, os.PathLike, numbers.Number),
    *(numbers.Real, numbers.Integral, Any, object, int | str | None, T, UserId),
    *(Literal["a", 1], Colour, Access, Point, Movie, Size, Shape, Markup, Tags),
    *(Leaf, Leaf | Node | None, Box[int], Box[Leaf], list[Box[str]], Json, Ints),
    *(Tree, list[Tree], tuple[Leaf, ...], list[tuple[Leaf, int]], dict[int, Movie]),
    *(list[Annotated[Leaf, "a note"]], list[Named], Mixin),
    *(dict[str, list[Leaf | int]], Annotated[int, "a note"], Ref[Leaf]),
]


@pytest.mark.parametrize("odd", [False, True], ids=["plain", "adversarial"])
@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: str(hint)[-40:])
def test_whatever_an_annotation_says_is_drawn_and_conforms(hint, odd):
    """Each kind of annotation gives values that fit it, more than one if it can."""
    one = type("One", (Model,), {"__annotations__": {"value": hint}})
    seen = set()

    @quick
    @given(models(one, adversarial=odd))
    def run(obj):
        registry = Registry([one, SubLeaf, Mixed], register_type=lambda _: None)
        assert list(registry.misfits(obj, one)) == []
        seen.add(repr(obj))

    run()

    assert len(seen) > 1 or hint in {None, tuple[()]}


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: str(hint)[-40:])
def test_whatever_is_drawn_comes_back(hint):
    """The oracle has nothing against a correct class, of any annotation."""
    one = type("One", (Model,), {"__annotations__": {"value": hint}})

    assert_roundtrip(one, examples=20)


class Bounded(Model, kw_only=True):
    age: int = field(validator=[v.ge(18), v.lt(21)])
    open: int = field(validator=v.and_(v.gt(1), v.le(3)))
    score: float = field(validator=[v.gt(0.0), v.lt(1.0)])
    price: Decimal = field(validator=[v.ge(Decimal(1)), v.le(Decimal(2))])
    part: Fraction = field(validator=[v.ge(0), v.le(1)])
    day: dt.date = field(validator=v.ge(dt.date(2026, 1, 1)))
    moment: dt.datetime = field(validator=v.lt(dt.datetime(2000, 1, 1, tzinfo=dt.UTC)))
    clock: dt.time = field(validator=v.le(dt.time(12)))
    wait: dt.timedelta = field(validator=v.ge(dt.timedelta(0)))
    code: str = field(validator=v.matches_re(r"[A-Z]{2}[0-9]"))

    name: str = field(validator=[v.min_len(2), v.max_len(3)])
    raw: bytes = field(validator=v.max_len(2))
    begins: str = field(validator=v.matches_re("[A-Z]", func=re.match))
    holds: str = field(validator=v.matches_re("[0-9]", func=re.search))
    octets: bytes = field(validator=v.matches_re(b"[a-c]+"))
    kind: str = field(validator=v.in_(["a", "b"]))
    both: str | None = field(validator=[v.in_(["a", "b"]), v.in_(["b", "c"])])
    twice: int = field(validator=[v.ge(3), v.gt(3), v.lt(9), v.lt(6), v.ge(1)])
    lists: list[int] = field(
        validator=[v.deep_iterable(v.ge(1)), v.deep_iterable(v.le(3))]
    )
    choice: Annotated[int, "a note"] | str = field(validator=v.in_([1, "x", 2.5]))
    sub: str = field(validator=v.in_("ab"))
    some: int = field(validator=v.in_({1, 2, 3}))
    maybe: int | None = field(validator=v.optional(v.ge(5)))
    anything: Any = field(validator=v.instance_of((int, str)))
    large: Any = field(validator=v.ge(7))
    like: Any = field(validator=v.matches_re("a+"))
    tags: list[str] = field(
        validator=v.deep_iterable(
            v.min_len(2), v.and_(v.instance_of(list), v.min_len(1))
        )
    )
    words: dict[str, int] = field(
        validator=v.deep_mapping(v.max_len(2), v.ge(1), v.instance_of(dict))
    )
    either: int = field(validator=v.or_(v.lt(-5), v.gt(5)))
    not_three: int = field(validator=v.not_(v.in_([3])))
    even: int = field(validator=lambda _s, _a, value: _even(value))
    items: Annotated[list[Annotated[int, at.Interval(ge=1, lt=4)]], at.Len(1, 2)]
    steps: Annotated[int, at.MultipleOf(7), at.Gt(0)]
    upper: Annotated[str, at.Predicate(lambda s: "a" not in s)]
    aware: Annotated[dt.datetime, at.Timezone(...)]
    naive: Annotated[dt.datetime, at.Timezone(None)]
    paris: Annotated[dt.datetime, at.Timezone("Europe/Paris")]
    utc: Annotated[dt.datetime, at.Timezone(dt.UTC)]
    given: Annotated[int, st.sampled_from([1, 2])]
    above: Annotated[int | None, at.Ge(3), at.Le(4)]
    limited: Annotated[str, at.MinLen(1), at.MaxLen(1)]


def _even(value):
    if value % 2:
        msg = "odd"
        raise ValueError(msg)


@pytest.mark.parametrize("odd", [False, True], ids=["plain", "adversarial"])
def test_bounds_hold(odd):
    """Attrs ran the validators; the extras of Annotated are looked at here."""

    def test(b):
        return (
            all(1 <= n < 4 for n in b.items)
            and 1 <= len(b.items) <= 2
            and b.steps > 0
            and b.steps % 7 == 0
            and "a" not in b.upper
            and b.aware.tzinfo is not None
            and b.naive.tzinfo is None
            and str(b.paris.tzinfo) == "Europe/Paris"
            and b.utc.tzinfo is dt.UTC
            and b.given in {1, 2}
            and b.above in {None, 3, 4}
            and len(b.limited) == 1
        )

    hold(models(Bounded, adversarial=odd), test)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", [18, 19, 20]),
        ("open", [2, 3]),
        ("price", [Decimal(1), Decimal(2)]),
        ("part", [0, 1]),
        ("day", [dt.date(2026, 1, 1)]),
        ("wait", [dt.timedelta(0)]),
        ("kind", ["a", "b"]),
        ("sub", ["a", "ab"]),
        ("some", [1, 2, 3]),
        ("maybe", [None, 5]),
        ("either", [-6, 6]),
        ("items", [[1], [3, 3]]),
        ("steps", [7]),
        ("above", [None, 3, 4]),
    ],
)
def test_the_edges_of_bounds_are_reached(name, values):
    """What lies just within is drawn, not only what is easy."""
    for value in values:
        one = models(_only(name))

        reach(one, lambda obj, value=value: getattr(obj, name) == value, 3000)


def _only(name):
    """Make a class of one field of `Bounded`."""
    attribute = getattr(attrs.fields(Bounded), name)
    body = {
        "__annotations__": {name: attribute.type},
        name: field(validator=attribute.validator),
    }
    return type(f"Only{name}", (Model,), body)


def test_whether_hundreds_of_fields_keep_their_defaults_is_drawn_in_one_go(monkeypatch):
    """Each would cost more than its value; so would a strategy for each field."""
    names = [f"f{at}" for at in range(100)]
    body: Any = {
        "__annotations__": dict.fromkeys(names, int),
        **dict.fromkeys(names, 0),
    }
    wide_class: Any = type(Model)("Wide", (Model,), {**body, "__module__": __name__})
    drawn = 0
    draw = ConjectureData.draw

    def counted(self, *args, **options):
        nonlocal drawn
        drawn += 1
        return draw(self, *args, **options)

    monkeypatch.setattr(ConjectureData, "draw", counted)
    objects: list[Any] = []

    @settings(quick, max_examples=20)
    @given(models(wide_class))
    def draw_some(wide):
        objects.append(wide)

    draw_some()

    assert drawn < 2 * len(names) * len(objects)
    assert storable() is storable()


def test_defaults_are_one_possible_value():
    """Fields with defaults are drawn; that they are left out occurs, too."""

    class Defaults(Model):
        n: int = 7
        tags: list[str] = ["x"]
        wrong: int = None  # type: ignore[assignment]
        computed: int = field(default=attrs.Factory(lambda self: self.n, True))

    reach(models(Defaults), lambda d: d.n not in {0, 7} and d.tags not in ([], ["x"]))
    reach(models(Defaults), lambda d: d.n == 7 and d.tags == ["x"])
    reach(models(Defaults), lambda d: d.wrong is None)
    reach(models(Defaults), lambda d: d.computed != d.n)


class Odd(Model, frozen=True):
    shown: int
    _hidden: str = "h"
    told: str = field(alias="text", key="text on disk", kw_only=True)
    unstored: int = field(default=3, stored=False)
    later: int = field(init=False, default=0)


def test_aliases_keys_frozen_and_later_fields_are_drawn():
    """Private and unstored fields keep their defaults."""
    odd = reach(models(Odd), lambda o: o.later and o.told and o.shown)

    assert (odd._hidden, odd.unstored) == ("h", 3)
    reach(
        models(Odd, _hidden=st.just("z"), unstored=st.just(4)),
        lambda o: o.unstored == 4,
    )
    hold(
        models(Odd, text=st.just("t"), later=st.just(9)),
        lambda o: (o.told, o.later) == ("t", 9),
    )
    hold(models(Odd, told=st.just("t")), lambda o: o.told == "t")


class Computed(Model):
    first: str
    last: str
    full: str = field(init=False)
    lower: str = field(
        init=False, default=attrs.Factory(lambda s: s.last.lower(), True)
    )

    def __attrs_post_init__(self):
        if self.first == "bad":
            msg = "a bad name"
            raise ValueError(msg)
        self.full = f"{self.first} {self.last}"


def test_what_a_class_computes_is_left_to_it():
    """And what its own __attrs_post_init__ refuses by ValueError is not drawn."""
    hold(models(Computed), lambda c: c.full == f"{c.first} {c.last}")
    hold(models(Computed), lambda c: c.lower == c.last.lower())
    hold(
        models(Computed, first=st.sampled_from(["bad", "good"])),
        lambda c: c.first == "good",
    )


def test_a_bug_in_post_init_is_no_refusal():
    """Other errors than ValueError reach the user."""

    class Buggy(Model):
        name: str

        def __attrs_post_init__(self):
            self.name[0]

    with pytest.raises(IndexError):
        hold(models(Buggy), bool)


def _positive(n):
    if n < 0:
        msg = "negative"
        raise ValueError(msg)
    return n


class Converting(Model):
    n: int = field(converter=int)
    born: dt.date = field(converter=dt.date.fromisoformat)
    words: list[str] = field(converter=lambda text: text.split())
    positive: int = field(converter=_positive)
    upper: str = field(converter=str.upper)
    scaled: int = field(
        converter=attrs.Converter(lambda value, _: value * 2, takes_self=True)
    )

    def __attrs_post_init__(self):
        self.seen = True


def test_converters_that_do_not_take_what_the_field_holds_are_passed_by():
    """The object holds what its annotations say; what a converter refuses does not."""
    hold(
        models(Converting),
        lambda c: (
            type(c.born) is dt.date
            and type(c.words) is list
            and c.positive >= 0
            and c.upper == c.upper.upper()
        ),
    )
    hold(models(Dated), lambda d: type(d.born) is dt.date)
    reach(models(Converting), lambda c: c.words and c.born != dt.date(2000, 1, 1))


class Dated(Model):
    born: dt.date = field(converter=dt.date.fromisoformat)


class Range(Model):
    low: int
    high: int = field()

    @high.validator
    def _check(self, _, value):
        if value < self.low:
            msg = "high is below low"
            raise ValueError(msg)


def test_validators_that_look_at_other_fields_filter_objects():
    """They are asked when the whole object is there."""
    hold(models(Range), lambda r: r.low <= r.high)
    reach(models(Range), lambda r: r.low < r.high)


class Impossible(Model):
    n: int = field(validator=lambda *_: _even(1))


def test_what_no_value_passes_is_unsatisfiable():
    """Hypothesis says so, and no invalid object is drawn."""
    with pytest.raises(Unsatisfiable):
        hold(models(Impossible), bool)


def test_recursive_models_end_and_are_nested():
    """Also through lists and dicts of themselves, and adversarial ones."""
    for odd in (False, True):
        deep = reach(
            models(Node, adversarial=odd), lambda n: n.next and n.next.children
        )

        assert isinstance(deep.next.children[0], Node)
    reach(models(Node), lambda n: n.by_name)


@dataclasses.dataclass
class Link:
    value: int
    next: "Link | None" = None
    others: "list[Branch]" = dataclasses.field(default_factory=list)


class Branch(NamedTuple):
    link: Link
    twigs: "dict[str, Twig]" = {}


@attrs.define
class Twig:
    branch: Branch | None = None


class Chain(Model):
    first: Link


def test_recursive_classes_that_are_no_models_end_and_are_nested():
    """Dataclasses, named tuples and attrs classes, that hold each other too."""
    for odd in (False, True):
        chains = models(Chain, adversarial=odd)
        reach(chains, lambda c: c.first.next and c.first.next.others)
        reach(chains, lambda c: any(each.twigs for each in c.first.others))


def test_generics_draw_what_they_are_given():
    """A parametrised class, a subclass of one, and one in a field."""
    hold(models(Box[int]), lambda b: type(b.item) is int)
    hold(models(Box[Leaf]), lambda b: type(b.item) is Leaf)
    hold(models(Ints), lambda b: all(type(n) is int for n in (b.item, *b.more)))
    reach(models(Box), lambda b: type(b.item) is not int)


class Figure(Model, abc.ABC):
    name: str

    @abc.abstractmethod
    def area(self):
        """Give the area."""


class Circle(Figure):
    radius: float

    def area(self):
        return math.pi * self.radius**2


class Square(Figure):
    side: float

    def area(self):
        return self.side**2


class Drawing(Model):
    figures: list[Figure]
    leaf: Leaf | None = None


class Lonely(Model, abc.ABC):
    @abc.abstractmethod
    def nothing(self):
        """Do nothing."""


def test_abstract_classes_draw_their_subclasses():
    """And others draw theirs if asked for, in fields too."""
    reach(models(Figure), lambda f: type(f) is Circle)
    reach(models(Figure, name=st.just("n")), lambda f: type(f) is Square)
    reach(models(Drawing), lambda d: {type(f) for f in d.figures} == {Circle, Square})
    hold(models(Drawing), lambda d: type(d.leaf) is not SubLeaf)
    reach(models(Drawing, subclasses=True), lambda d: type(d.leaf) is SubLeaf)
    reach(models(Leaf, subclasses=True), lambda leaf: type(leaf) is SubLeaf)
    with pytest.raises(InvalidArgument, match="abstract and has no subclass"):
        models(Lonely)


class Task(Model):
    done: bool

    def __init__(self, title: str, owner: "Leaf | None" = None, *, level=1):
        self.title = title
        self.owner = owner
        self.done = False
        self.level = level


class Untyped(Model):
    def __init__(self, user_id=None, name=None):
        self.user_id = user_id
        self.name = name


class Plain(Model):
    def __init__(self):
        self.name = None
        self.size = 0


class Strict(Model):
    def __init__(self, size: int, /, **more: Any):
        if size < 0:
            msg = "negative"
            raise ValueError(msg)
        self.size = size
        vars(self).update(more)


class Unresolved(Model):
    def __init__(self, name: "Missing" = None):  # noqa: F821 -- on purpose
        self.name = name


class Empty(Model):
    pass


def test_handwritten_classes_are_drawn_by_their_annotations():
    """Of parameters and attributes; what has no annotation keeps its default."""
    task = reach(models(Task), lambda t: t.done and t.owner and t.title)

    assert task.level == 1
    hold(models(Task, level=st.just(2)), lambda t: t.level == 2)
    hold(models(Strict), lambda s: s.size >= 0)
    hold(models(Strict, extra=st.just(1)), lambda s: s.extra == 1)
    hold(models(Empty), lambda e: type(e) is Empty)


def test_handwritten_classes_without_annotations_are_given_strategies():
    """For parameters, and for attributes that __init__ sets."""
    untyped = models(Untyped, name=st.text())

    hold(untyped, lambda u: type(u.name) is str and u.user_id is None)
    hold(models(Unresolved, name=st.just(1)), lambda u: u.name == 1)
    hold(models(Plain, name=st.text()), lambda p: type(p.name) is str)
    for cls, names in ((Untyped, "name, user_id"), (Plain, "name, size")):
        with pytest.raises(InvalidArgument, match=f"nothing is known of {names}"):
            hold(models(cls), bool)


def test_unknown_names_and_classes_are_refused_at_once():
    """A typo is no field that is silently left out."""
    for cls in (Leaf, Task, Plain):
        with pytest.raises(TypeError, match="has no field agee, sizee"):
            models(cls, agee=st.none(), sizee=st.none())
    for what in (int, Size, list[int], "Leaf"):
        with pytest.raises(TypeError, match=r"takes a Model class.* st\.builds\(\)"):
            models(what)


def test_what_cannot_be_drawn_is_told():
    """A field that no value fits, an enum without members."""

    class NoMembers(enum.Enum):
        pass

    class Calls(Model):
        call: Any

        def __init__(self, call: collections_abc.Callable[[], int]):
            self.call = call

    with pytest.raises(InvalidArgument, match=r"cannot draw .*Calls\.call"):
        hold(models(Calls), bool)
    with pytest.raises(InvalidArgument, match="it has no members"):
        hold(models(Box[NoMembers]), bool)


class Mine:
    def __init__(self, n):
        self.n = n


class Counted:
    def __init__(self, n: int):
        self.n = n


class Keeper(Model):
    kept: Counted | None = None


class Holder(Model):
    mine: Mine = field(stored=True, default=None)
    leaf: "Registered | None" = None
    sizes: list["OwnSize"] = []


class Registered(Model):
    n: int = 0


@dataclasses.dataclass
class OwnSize:
    n: int


def test_strategies_that_the_user_registered_go_first():
    """For classes that are no models, and for models."""
    st.register_type_strategy(Mine, st.builds(Mine, st.just(5)))
    st.register_type_strategy(OwnSize, st.builds(OwnSize, st.just(6)))
    st.register_type_strategy(Registered, st.builds(Registered, n=st.just(4)))

    holder = reach(models(Holder), lambda h: h.mine and h.leaf and h.sizes)

    assert (holder.mine.n, holder.leaf.n, holder.sizes[0].n) == (5, 4, 6)


def test_other_classes_are_left_to_hypothesis():
    """Which builds them from their annotations."""
    reach(models(Keeper), lambda k: k.kept is not None and type(k.kept.n) is int)


def test_metadata_of_unknown_kinds_says_nothing(monkeypatch):
    """Nor do those of annotated_types where nobody imported it."""
    assert of_metadata(["a note", 5]) == FREE
    assert of_metadata([at.Ge(1)]).admit(None)
    assert not of_metadata([at.Ge(1)]).admit("a")

    monkeypatch.delitem(sys.modules, "annotated_types")

    assert of_metadata([at.Ge(1)]) == FREE


BITS = {
    "a NaN": lambda o: isinstance(o.f, float) and math.isnan(o.f),
    "a NaN with a payload": lambda o: _is_odd_nan(o.f),
    "-0.0": lambda o: str(o.f) == "-0.0",
    "2**64": lambda o: o.n == 2**64,
    "-2**63 - 1": lambda o: o.n == -(2**63) - 1,
    "a surrogate": lambda o: "\ud800" <= max(o.s, default="") <= "\udfff",
    "a NUL": lambda o: o.s == "\0",
    "a fold": lambda o: o.t.fold == 1,
    "an odd offset": lambda o: bool(o.t.utcoffset() and o.t.utcoffset().microseconds),
    "an empty key": lambda o: "" in o.d,
    "a key like a keyname": lambda o: "__Adverse__" in o.d,
    "a shared reference": lambda o: len(o.rows) > 1 and o.rows[0] is o.rows[-1],
    "deep nesting": lambda o: _depth(o.x) > 30,
    "a dict like a record": lambda o: isinstance(o.x, dict) and "__A__" in o.x,
}


class Adverse(Model):
    f: float
    n: int
    s: str
    t: dt.datetime
    d: dict[str, int]
    rows: list[list[int]]
    x: Any


def _is_odd_nan(value):
    return struct.pack(">d", value)[1] & 15 and value != value  # noqa: PLR0124 -- NaN


def _depth(value):
    depth = 0
    while value and isinstance(value, (list, dict)):
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
        depth += 1
    return depth


@pytest.mark.parametrize("what", BITS)
def test_adversarial_ones_hold_what_breaks_stores(what):
    """Where the types admit it; others hold none of the worst."""
    plain = {"n": st.just(0), "s": st.just(""), "f": st.just(0.0), "x": st.none()}
    wanted = {"a NaN": "f", "-0.0": "f", "a NaN with a payload": "f"}
    asked = wanted.get(what, {"2": "n", "-": "n"}.get(what[0], ""))
    asked = asked or {"a surrogate": "s", "a NUL": "s"}.get(what, "x")
    few = {name: s for name, s in plain.items() if name != asked}

    reach(models(Adverse, adversarial=True, **few), BITS[what], 20_000)


def test_plain_ones_are_equal_to_themselves():
    """No NaN, no lone surrogates: a first test is about the user's own code."""
    hold(models(Adverse), lambda o: o == o and o.s.encode() is not None)  # noqa: PLR0124 -- NaN


def test_storable_values_are_of_every_kind():
    """Of each class that the codec stores by itself, as values and as keys."""
    seen = set()

    @settings(quick, max_examples=400)
    @given(storable())
    def run(value):
        seen.update(type(fact.value) for fact in facts(value))

    run()

    assert seen >= {
        *(int, float, str, bytes, bytearray, complex, Decimal, Fraction, uuid.UUID),
        *(dt.datetime, dt.date, dt.time, dt.timedelta, range, slice, type(...)),
        *(list, tuple, dict, set, frozenset, collections.deque, collections.Counter),
        *(collections.OrderedDict, collections.defaultdict, ipaddress.IPv4Address),
    }
    reach(hashables(), lambda value: type(value) is tuple)
    reach(plain_trees(), lambda value: type(value) is dict)
    with pytest.raises(NoSuchExample):
        reach(plain_trees(), lambda value: type(value) is tuple)


def test_builds_and_from_type_heed_validators():
    """Hypothesis' own ways to make objects work for every model."""
    hold(st.from_type(Range), lambda r: r.low <= r.high)
    hold(st.builds(Range), lambda r: r.low <= r.high)
    hold(st.builds(Range, st.just(5)), lambda r: r.low == 5 <= r.high)
    hold(st.builds(Range, high=st.just(5)), lambda r: r.low <= r.high == 5)
    hold(st.builds(Leaf), lambda leaf: leaf == Leaf())
    reach(st.builds(Leaf, n=...), lambda leaf: leaf.n)
    reach(st.builds(Converting), lambda c: c.words)
    hold(st.from_type(Box[int]), lambda b: type(b.item) is int)
    reach(st.from_type(Figure), lambda f: type(f) is Square)
    reach(st.from_type(list[Leaf]), bool)
    with pytest.raises(TypeError, match="no parameter no"):
        hold(st.builds(Range, no=st.none()), bool)


def test_what_is_drawn_from_is_shown_by_the_names_of_fields():
    """Hypothesis prints it with each failure."""
    shown = repr(models_with_defaults(Range))

    assert "low=integers()" in shown
    assert "Attribute(" not in shown


def test_a_system_without_time_zones_draws_others():
    """A name that is not known there is left out."""
    assert _is_known("UTC")
    assert not _is_known("Nowhere/City")


@attrs.define
class NoModel:
    n: int = attrs.field(validator=v.in_([1, 2]))


def test_builds_of_other_attrs_classes_is_hypothesis_own():
    """What is no model is none of our business."""
    hold(st.builds(NoModel), lambda each: each.n in {1, 2})


@quick
@given(storable(adversarial=True), st.data())
def test_whatever_is_drawn_can_be_shown(value, data):
    """A failing example is printed; a Counter of a signalling NaN could not be."""
    counts = data.draw(st.dictionaries(st.integers(), storable(adversarial=True)))

    assert repr([value, counts])
