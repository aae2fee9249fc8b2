"""Declared models: attrs in place, options, fields, defaults, decorators."""
# ruff: noqa: D101, D102, PLC0205, S105, S106 -- the classes are the examples, odd on purpose

import copy
import dataclasses
import subprocess
import sys
import threading
import types
import typing
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import KW_ONLY, dataclass, is_dataclass
from dataclasses import fields as fields_of
from datetime import date
from enum import Enum
from functools import cached_property
from types import SimpleNamespace
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeVar,
    cast,
)

import attrs
import pytest

from storify.exceptions import ModelError, UnstorableError
from storify.models import Model, Registry, asdict, extras, field

T = TypeVar("T")


class Point(Model):
    x: int
    y: int = 0


class Tagged(Model):
    name: str
    tags: list[str] = []
    origin: Point = Point(0, 0)


class Secret(Model):
    name: str
    _token: str = "none"
    cache: dict[str, int] = field(factory=dict, stored=False)


class Base(Model):
    id: int
    limit: ClassVar[int] = 5


class Derived(Base):
    name: str = ""


class Box(Model, Generic[T]):
    item: T
    rest: list[T] = []


def reload(obj, *more):
    """Give what a load makes of a stored object."""
    registry = Registry([type(obj), *more])
    return registry.structure(registry.unstructure(obj))


def test_annotations_make_init_repr_and_eq():
    """A declared class gets its methods from attrs, without a decorator."""
    point = Point(1, y=2)

    assert repr(point) == "Point(x=1, y=2)"
    assert point == Point(1, 2)
    assert point != Point(1, 3)


def test_a_record_is_wrapped_in_its_keyname():
    """An object is stored as {keyname: fields}, its values live."""
    tagged = Tagged("a")

    tree = Registry([Tagged]).unstructure(tagged)

    assert list(tree) == ["__Tagged__"]
    assert list(tree["__Tagged__"]) == ["name", "tags", "origin"]
    assert tree["__Tagged__"]["tags"] is tagged.tags
    assert tree["__Tagged__"]["origin"] is tagged.origin


def test_mutable_and_model_defaults_are_copied():
    """No two objects share a default that can change."""
    one, two = Tagged("a"), Tagged("b")

    one.tags.append("x")
    one.origin.x = 9

    assert two == Tagged("b")
    assert two.tags == []
    assert two.origin == Point(0, 0)


def test_filled_and_handwritten_defaults_are_copied():
    """A default list with items and an object of a hand-written class too."""

    class Plain(Model):
        def __init__(self, n=0):
            self.n = n

    class Owner(Model):
        items: list[list[int]] = [[1]]
        plain: Plain = Plain()
        fixed: tuple[int, ...] = (1,)
        made: set[int] = field(factory=set)

    one, two = Owner(), Owner()
    one.items[0].append(2)
    one.plain.n = 5

    assert two.items == [[1]]
    assert two.plain.n == 0
    assert one.fixed is two.fixed


def test_private_and_unstored_fields_stay_out():
    """They are not stored, not compared and not shown; a load gives defaults."""
    secret = Secret("a", _token="t", cache={"a": 1})

    loaded = reload(secret)

    assert repr(secret) == "Secret(name='a')"
    assert secret == Secret("a")
    assert loaded._token == "none"
    assert loaded.cache == {}
    assert Registry([Secret]).unstructure(secret) == {"__Secret__": {"name": "a"}}
    assert asdict(secret) == {"name": "a"}


def test_private_fields_of_frozen_and_validated_classes():
    """They get their defaults at load where assignment is guarded too."""

    class Guarded(Model, frozen=True):
        a: int = field(validator=attrs.validators.ge(0))
        _b: list[int] = field(factory=list)
        _c: int = field(default=attrs.Factory(lambda self: self.a, takes_self=True))

    loaded = reload(Guarded(3))

    assert (loaded.a, loaded._b, loaded._c) == (3, [], 3)


def test_an_unstored_field_needs_a_default():
    """After a load it would have no value."""
    with pytest.raises(ModelError, match=r"Bad\._x: a field that is not stored"):

        class Bad(Model):
            _x: int

    with pytest.raises(TypeError, match="give it a default"):

        class Worse(Model):
            x: int = field(stored=False)


def test_alias_and_key():
    """The parameter, the attribute and the name on disk may all differ."""

    class Renamed(Model):
        klass: str = field(alias="class_", key="class")
        _hidden: int = field(default=0, alias="hidden")
        _attrs: int = attrs.field(default=0, alias="shown")

    obj = Renamed(class_="a", hidden=2, shown=3)

    assert Registry([Renamed]).unstructure(obj) == {"__Renamed__": {"class": "a"}}
    assert (obj.klass, obj._hidden, obj._attrs) == ("a", 2, 3)
    assert reload(obj) == obj
    assert asdict(obj) == {"klass": "a"}


def test_private_parameter_keeps_its_underscore():
    """As type checkers see it; attrs alone would strip it."""
    assert Secret("a", _token="b")._token == "b"
    with pytest.raises(TypeError):
        Secret("a", token="b")


@pytest.mark.parametrize(
    "body",
    [
        {"a": int, "b": int, "keys": {"a": "b"}},
        {"a": int, "b": int, "was": {"a": "b"}},
        {"a": int, "keys": {"a": "_v"}},
    ],
)
def test_names_on_disk_must_differ(body):
    """Two fields under one name, or one under the version's, are refused."""
    keys, was = body.pop("keys", {}), body.pop("was", {})
    fields = {n: field(key=keys.get(n), was=was.get(n, ())) for n in body}

    with pytest.raises(ModelError, match=r"name|version"):
        type("Clash", (Model,), {"__annotations__": body, **fields})


def test_validators_and_converters_run_at_construction_and_assignment_only():
    """A load takes what is stored; converters need not be idempotent."""

    class Account(Model):
        password: str = field(converter=lambda raw: f"<{raw}>")
        age: int = field(default=0, validator=attrs.validators.ge(0))

    account = Account("x")
    account.password = "y"
    with pytest.raises(ValueError, match="age"):
        account.age = -1
    tree = Registry([Account]).unstructure(account)
    tree["__Account__"]["age"] = -5

    loaded = Registry([Account]).structure(tree)

    assert loaded.password == "<y>"
    assert loaded.age == -5


def test_the_default_of_a_converted_field_is_converted():
    """A missing name gives what the constructor would have given."""

    class Converted(Model):
        a: int = field(default="5", converter=int)
        b: int = field(
            default="6",
            converter=attrs.Converter(lambda v, obj: int(v) + obj.a, takes_self=True),
        )

    loaded = Registry([Converted]).structure({"__Converted__": {}})

    assert loaded == Converted()
    assert (loaded.a, loaded.b) == (5, 11)
    assert Converted().evolve(b="1").b == 6


def test_post_init_runs_but_does_not_change_stored_values():
    """What it computes from fields is there; what is stored is not counted up."""

    class Counter(Model):
        n: int
        loads: int = 0
        double: int = field(init=False, stored=False, default=0)

        def __attrs_post_init__(self):
            self.loads += 1
            self.double = self.n * 2

    counter = Counter(2)

    loaded = reload(counter)
    slowly = Registry([Counter]).structure({"__Counter__": {"n": 3}})

    assert (loaded.loads, loaded.double) == (1, 4)
    assert (slowly.n, slowly.double) == (3, 6)


def test_class_options():
    """frozen, kw_only, eq, order, repr and init are those of attrs."""

    class Frozen(Model, frozen=True):
        a: int

    class Keywords(Model, kw_only=True):
        a: int

    class Identity(Model, eq=False, repr=False):
        a: int

    class Ordered(Model, order=True):
        a: int

    class Uninit(Model, init=False):
        a: int

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Frozen(1).a = 2
    assert hash(Frozen(1)) == hash(Frozen(1))
    assert reload(Frozen(1)) == Frozen(1)
    with pytest.raises(TypeError):
        Keywords(1)
    assert Identity(1) != Identity(1)
    assert "a=1" not in repr(Identity(1))
    assert Ordered(1) < Ordered(2)
    uninit = Uninit()
    uninit.a = 3
    assert reload(uninit).a == 3


def test_own_methods_are_left_alone():
    """A class's own __repr__, __eq__ and __replace__ win over generated ones."""

    class Own(Model):
        a: int

        def __repr__(self):
            return "mine"

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        def __replace__(self, **changes):
            return "replaced"

    assert repr(Own(1)) == "mine"
    assert Own(1) == Own(2)
    assert Own(1).__replace__() == "replaced"


@pytest.mark.parametrize(
    "options",
    [
        {"frosen": True},
        {"keyname": ""},
        {"keyname": 3},
        {"was": [""]},
        {"version": -1},
        {"version": "1"},
        {"extra": "ignore"},
    ],
)
def test_a_wrong_option_is_refused(options):
    """A typo in the class line is a TypeError that names the class."""
    with pytest.raises(TypeError, match="Typo"):
        type("Typo", (Model,), {}, **options)


def test_options_of_mixins_are_passed_on():
    """A mixin's own class options work beside storify's."""

    class Mixin:
        def __init_subclass__(cls, *, plugin="", **kwargs):
            super().__init_subclass__(**kwargs)
            cls.plugin = plugin

    class Plugged(Model, Mixin, plugin="p", frozen=True):
        a: int = 0

    class Broken:
        def __init_subclass__(cls):
            msg = "mine"
            raise TypeError(msg)

    assert Plugged.plugin == "p"
    with pytest.raises(TypeError, match="mine"):

        class Sub(Model, Broken):
            pass


@pytest.mark.parametrize(
    "decorate", [attrs.define, dataclass(slots=True), attrs.frozen]
)
def test_a_decorator_that_makes_a_new_class_is_refused(decorate):
    """The registry would keep the class that was thrown away."""

    class Fine(Model):
        a: int = 0

    with pytest.raises(ModelError, match="do not decorate"):
        decorate(Fine)


IN_PLACE = [attrs.define(slots=False), dataclass, dataclass(frozen=True)]


@pytest.mark.parametrize("decorate", IN_PLACE, ids=["attrs", "bare", "options"])
def test_a_decorator_that_changes_the_class_in_place_is_refused_too(decorate):
    """At once, with the remedy: it would replace what was made of the fields."""
    with pytest.raises(ModelError, match=r"do not decorate.*class Fine\(Model, frozen"):

        @decorate
        class Fine(Model):
            a: int


def test_a_decorator_that_asks_for_nothing_is_refused_at_registration():
    """As that of a dataclass is without an ``__init__`` of its own."""

    @dataclass(init=False)
    class Fine(Model):
        a: int = 0

    with pytest.raises(ModelError, match="do not decorate"):
        Registry([Fine])


def test_a_model_is_no_dataclass():
    """Nobody who asks is told otherwise, or gets another error than of any class."""

    class Fine(Model):
        a: int = 0

    assert not any(map(is_dataclass, (Model, Fine, Fine())))
    assert not hasattr(Fine, "__post_init__")
    with pytest.raises(TypeError, match="dataclass"):
        fields_of(cast("Any", Fine))


def test_a_hand_written_model_may_be_decorated():
    """It has no fields that were made for it."""

    @dataclass(init=False)
    class Written(Model):
        a: int

        def __init__(self, a):
            self.a = a

    assert Written(1) == Written(1)


class SlottedMixin:
    __slots__ = ("rank",)


@attrs.define
class SlottedAttrs:
    a: int


@dataclass
class DataBase:
    a: int


@pytest.mark.parametrize(
    ("base", "why"),
    [
        (Exception, "built in"),
        (dict, "built in"),
        (OrderedDict, "built in"),
        (threading.local, "built in"),
        (SimpleNamespace, "built in"),
        (SlottedMixin, "__slots__"),
        (SlottedAttrs, r"attrs.define\(slots=False\)"),
        (DataBase, "a dataclass"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_base_whose_data_would_be_lost_is_refused(base, why, is_first):
    """When the class is made, whatever the order of the bases."""
    bases = (base, Model) if is_first else (Model, base)

    with pytest.raises(ModelError, match=f"base {base.__qualname__} .*{why}"):
        types.new_class("Refused", bases)


def test_an_enum_is_no_model():
    """Its members are made once, and never loaded."""
    with pytest.raises(ModelError, match="base Enum is an enum"):

        class Level(Model, Enum):
            A = 1


def test_an_attrs_class_with_a_dict_is_a_base():
    """Its fields are fields of the model."""

    @attrs.define(slots=False)
    class Base:
        a: int

    class Sub(Base, Model):
        n: int = 0

    assert reload(Sub(1, 2)) == Sub(a=1, n=2)
    assert copy.deepcopy(Sub(1, 2)).evolve(n=5) == Sub(1, 5)


class Ordered(Model):
    a: int = 0
    b: str = "x"


class Left(Model):
    n: int = 0
    s: str = "l"


class Right(Model):
    m: int = 0
    s: str = "r"


class Required(Model):
    a: int
    b: int = 1


def test_a_field_that_is_defined_again_keeps_its_place():
    """As in a dataclass, which type checkers believe in."""

    class Again(Ordered):
        a: int = 5

    class Both(Left, Right):
        pass

    class RequiredAgain(Required):
        a: int

    assert Again(1, "y") == Again(a=1, b="y")
    assert Again.__match_args__ == ("a", "b")
    assert Again().a == 5
    assert Both(1, "x", 2) == Both(m=1, s="x", n=2)
    assert Both().s == "l"
    assert RequiredAgain(1, 2) == RequiredAgain(a=1, b=2)
    assert list(Registry([Again]).unstructure(Again())["__Again__"]) == ["a", "b"]


def test_fields_behind_kw_only_are_keywords():
    """As in a dataclass."""

    class Job(Model):
        n: int
        _: KW_ONLY
        f: int = 3
        g: str

    assert Job(1, g="x") == Job(n=1, f=3, g="x")
    assert Job.__match_args__ == ("n",)
    with pytest.raises(TypeError):
        Job(1, 2, g="x")
    with pytest.raises(ModelError, match="twice"):
        types.new_class("Twice", (Model,), exec_body=_two_kw_only)


def _two_kw_only(body):
    body["__annotations__"] = {"_": KW_ONLY, "a": int, "__": KW_ONLY}


@pytest.mark.parametrize(
    "hint",
    [
        "ClassVar[int]", "t.ClassVar", "some.ClassVar[int]", "Mine [ 'int' ]",
        "Annotated[Mine[int], (1, 2)]", "typing.ClassVar[int]",
        Annotated[ClassVar[int], 1],
    ],
    ids=str,
)  # fmt: skip
def test_a_class_variable_is_one_under_any_name(hint, monkeypatch):
    """Type checkers resolve the name; it is no field, and its name is guarded."""
    monkeypatch.setitem(globals(), "Mine", ClassVar)
    monkeypatch.setitem(globals(), "some", typing)
    body = {
        "__annotations__": {"LIMIT": hint, "n": int},
        "LIMIT": 10,
        "n": 0,
        "__module__": __name__,
    }

    made = types.new_class("Made", (Model,), exec_body=lambda ns: ns.update(body))

    assert repr(made(5)) == "Made(n=5)"
    assert reload(made(5)) == made(5)
    loaded = Registry([made]).structure({"__Made__": {"n": 1, "LIMIT": 5}})
    assert loaded.LIMIT == 10


class Day(Enum):
    MON = 1


_NONE: Any = None
DATE = date(2026, 1, 1)


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (None, None),
        (typing.Union[_NONE, None], None),  # noqa: UP007 -- as Optional gives it
        (list[_NONE], None),
        (list[_NONE] | None, None),
        (Day.MON, Day.MON),
        (typing.Union[cast("Any", DATE), None], DATE),  # noqa: UP007 -- idem
    ],
    ids=str,
)
def test_a_field_that_hides_its_type_is_refused(hint, default):
    """Its annotation was read when its name stood for the default already."""
    body = {"__annotations__": {"Day": hint}, "Day": default, "__module__": __name__}

    with pytest.raises(ModelError, match=r"Hiding\.Day: the field hides its type"):
        types.new_class("Hiding", (Model,), exec_body=lambda ns: ns.update(body))


def test_a_field_described_by_field_hides_its_type_too():
    """What the name stands for is then what field() gave."""
    with pytest.raises(ModelError, match="hides its type"):

        class Hiding(Model):
            Day: list[Day] = field(factory=list)


def test_a_field_may_have_the_name_of_a_type():
    """As long as its annotation is about another."""

    class Fine(Model):
        Day: str | None = None
        names: dict[str, None] | None = None
        word: Literal["a"] = "a"

    assert reload(Fine()) == Fine()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tags": dataclasses.field(default_factory=list)}, "use storify.field"),
        ({"__post_init__": lambda _: None}, "name it __attrs_post_init__"),
    ],
)
def test_what_only_a_dataclass_understands_is_refused(body, said):
    """It would be the default, or never be called."""
    body = {"__annotations__": {"tags": list}, **body}

    with pytest.raises(ModelError, match=said):
        types.new_class("Habit", (Model,), exec_body=lambda ns: ns.update(body))


@pytest.mark.parametrize(
    ("hints", "body", "said"),
    [
        ({"a": int, "b": int}, {"a": 1}, r"M\.b: a required field cannot follow a,"),
        ({"self": int}, {}, r"M\.self: self is a parameter"),
        ({"a": int, "b": int}, {"b": field(alias="a")}, r"M\.b: a is a parameter"),
        ({"a": int}, {"a": field(alias="if")}, r"M\.a: 'if' can be no parameter"),
    ],
)
def test_parameters_that_cannot_be_are_refused(hints, body, said):
    """With class and field, and what to do."""
    body = {"__annotations__": hints, "__module__": __name__, **body}

    with pytest.raises(ModelError, match=said):
        types.new_class("M", (Model,), exec_body=lambda ns: ns.update(body))


class Paid(Model, frozen=True):
    pass


class Bag(Model):
    theme = "light"


class Written(Bag):
    def __init__(self, a=0):
        self.a = a


class Initialised:
    def __init__(self, a):
        self.a = a


def test_a_class_without_fields_is_compared_by_what_is_on_its_objects():
    """It is declared; not so a class with an __init__, its own or of a mixin."""

    class Mixed(Initialised, Bag):
        pass

    one, other = Bag(), Bag()
    other.theme = "dark"

    assert (Paid() == Paid(), repr(Paid()), len({Paid(), Paid()})) == (
        True,
        "Paid()",
        1,
    )
    assert reload(Paid()) == Paid()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Paid().a = 1
    assert (one == Bag(), one == other, len({one, other, Bag()})) == (True, False, 2)
    assert reload(other) == other
    assert (Written(1) == Written(1), len({Written(1), Written(1)})) == (False, 2)
    assert Mixed(3).a == 3
    assert Mixed(3) != Mixed(3)
    assert extras(reload(other)) == {"theme": "dark"}
    assert list(Registry([Bag]).misfits(reload(other), Bag)) == []


def test_slots_are_refused():
    """What lies in slots is invisible to storing by attributes."""
    with pytest.raises(ModelError, match="__slots__"):

        class Slotted(Model):
            __slots__ = ("a",)

    with pytest.raises(ModelError, match="__slots__"):

        class One(Model):
            __slots__ = "a"


def test_a_field_without_annotation_is_refused():
    """Otherwise attrs would drop the annotated ones silently."""
    with pytest.raises(attrs.exceptions.UnannotatedAttributeError):

        class Half(Model):
            a: int
            b = field(default=1)


def test_field_refuses_unknown_options():
    """A typo in field() is a TypeError too."""
    with pytest.raises(TypeError, match="defalt"):
        field(defalt=1)


def test_field_passes_attrs_options_on():
    """metadata, repr, eq and order reach attrs."""

    class Options(Model, order=True):
        a: int = field(default=1, repr=False, eq=False, order=False, metadata={"m": 1})
        b: int = field(default=2, kw_only=True, init=True)

    assert repr(Options()) == "Options(b=2)"
    assert Options(1) == Options(9)
    assert attrs.fields_dict(Options)["a"].metadata["m"] == 1


def test_inheritance():
    """Fields and methods are inherited; class variables are no fields."""
    derived = Derived(1, "n")

    assert reload(derived) == derived
    assert Registry([Derived]).unstructure(derived) == {
        "__Derived__": {"id": 1, "name": "n"}
    }
    assert isinstance(derived, Base)


def test_a_subclass_without_fields_of_its_own_is_declared():
    """It has the fields of its base and its own keyname."""

    class Sub(Point):
        pass

    assert reload(Sub(1, 2)) == Sub(1, 2)
    assert Sub(1, 2) != Point(1, 2)


def test_generic_abstract_and_mixin_classes():
    """Generic, ABC and plain mixins combine with Model."""

    class Shape(ABC):
        @abstractmethod
        def area(self): ...

    class Named:
        label: str = "unstored"

        def title(self):
            return type(self).__name__

    class Square(Model, Shape, Named):
        side: int

        def area(self):
            return self.side**2

    class Abstract(Model, ABC):
        a: int

        @abstractmethod
        def run(self): ...

    square = reload(Square(3))

    assert square.area() == 9
    assert square.title() == "Square"
    assert reload(Box(1, [2])) == Box(1, [2])
    with pytest.raises(TypeError, match="abstract"):
        Abstract(1)


def test_copy_deepcopy_weakref_and_match():
    """Objects behave as any others."""
    tagged = Tagged("a", ["x"])

    shallow, deep = copy.copy(tagged), copy.deepcopy(tagged)

    assert shallow.tags is tagged.tags
    assert deep == tagged
    assert deep.tags is not tagged.tags
    assert weakref.ref(tagged)() is tagged
    match tagged:
        case Tagged(name, tags):
            assert (name, tags) == ("a", ["x"])


def test_evolve():
    """A changed copy: converters for what changed, validators for all."""
    calls = []

    class Person(Model):
        name: str = field(converter=lambda v: calls.append(v) or v)
        age: int = field(default=0, validator=attrs.validators.ge(0))
        _note: str = ""

        @cached_property
        def shout(self):
            return self.name.upper()

        def __attrs_post_init__(self):
            self._note = f"{self.name} {self.age}"

    person = Person("a", 1)
    assert person.shout == "A"
    calls.clear()

    older = person.evolve(age=2)
    renamed = person.evolve(name="b")

    assert (older.name, older.age, older._note) == ("a", 2, "a 2")
    assert renamed.shout == "B"
    assert calls == ["b"]
    assert person.age == 1
    with pytest.raises(ValueError, match="age"):
        person.evolve(age=-1)
    with pytest.raises(TypeError, match="unknown field 'nme'"):
        person.evolve(nme="x")


def test_evolve_keeps_what_the_class_does_not_know():
    """Also frozen and hand-written objects, and copy.replace."""

    class Frozen(Model, frozen=True):
        a: int

    class Hand(Model):
        def __init__(self, a=0):
            self.a = a

    loaded = Registry([Frozen]).structure({"__Frozen__": {"a": 1, "z": 2}})

    changed = loaded.evolve(a=5)

    assert extras(changed) == {"z": 2}
    assert changed == Frozen(5)
    assert Hand(1).evolve(a=2).a == 2
    if sys.version_info >= (3, 13):
        assert extras(copy.replace(loaded, a=6)) == {"z": 2}


def test_undeclared_attributes_are_saved():
    """Public ones; private and computed ones are not."""

    class Open(Model):
        a: int = 0

        @cached_property
        def costly(self):
            return self.a + 1

    obj = Open()
    obj.note = "n"
    obj._hidden = 1
    assert obj.costly == 1
    registry = Registry([Open])

    tree = registry.unstructure(obj)
    loaded = registry.structure(tree)

    assert tree == {"__Open__": {"a": 0, "note": "n"}}
    assert registry.unstructure(loaded) == tree
    assert loaded.note == "n"
    assert extras(loaded) == extras(obj) == {"note": "n"}


class Stamped:
    created: int = 0


class Account(Stamped, Model):
    owner: str
    _held: int = 0
    kept: str = field(default="", stored=False)

    def __attrs_post_init__(self):
        self.opened = 1

    @property
    def total(self):
        return self.cents

    @total.setter
    def total(self, cents):
        self.cents = cents


@pytest.mark.parametrize("names", [(), ("_held",), ("kept",), ("_held", "kept")])
def test_undeclared_attributes_come_back_as_attributes(names):
    """Those of a mixin, a method, a setter and after-init; fields deleted or not."""
    account = Account("Ann")
    account.created, account.total, account.opened = 5, 7, 3
    for name in names:
        delattr(account, name)

    loaded = reload(account)

    assert (loaded.created, loaded.cents, loaded.opened) == (5, 7, 3)
    assert reload(loaded).created == 5
    del loaded.created
    assert reload(loaded).created == 0


def test_one_undeclared_attribute_in_the_place_of_an_unset_field():
    """As many attributes as fields are not just the fields."""

    class Late(Model):
        a: int
        b: int = field(init=False)

    late = Late(1)
    late.note = "n"

    assert reload(late).note == "n"


def test_what_comes_back_aside_is_no_attribute():
    """Names of a class, of another field or its past never hide it at load."""

    class User(Model, dropped="gone"):
        LIMIT = 5
        name: str = field(default="", key="n", was="called")
        cache: int = field(default=0, stored=False)

        def run(self):
            return "ran"

    fields = {"n": "x", "LIMIT": 1, "run": 2, "cache": 3, "called": 4, "name": 5}
    registry = Registry([User])

    user = registry.structure({"__User__": {**fields, "gone": 1}})

    assert (user.LIMIT, user.run(), user.cache, user.name) == (5, "ran", 0, "x")
    assert registry.unstructure(user) == {"__User__": fields}


@pytest.mark.parametrize("name", ["LIMIT", "kind", "run", "called", "gone"])
def test_an_attribute_that_would_not_come_back_is_refused(name):
    """It hides something of the class, or a name that load takes for another."""

    class User(Model, dropped="gone"):
        LIMIT = 5
        kind: ClassVar[str] = "user"
        name: str = field(default="", was="called")

        def run(self):
            return "ran"

    user = User()
    setattr(user, name, 1)

    with pytest.raises(UnstorableError, match=name) as caught:
        Registry([User]).unstructure(user)
    assert caught.value.path == f"$.{name}"


def test_an_undeclared_attribute_must_not_hide_a_field():
    """Named as another field is on disk, one of the two would be lost."""

    class Keyed(Model):
        a: int = field(default=1, key="b")

    obj = Keyed()
    obj.b = 2

    with pytest.raises(UnstorableError) as caught:
        Registry([Keyed]).unstructure(obj)
    assert caught.value.path == "$.b"


def test_a_deleted_field_is_refused_at_write():
    """The record could not be loaded again."""
    point = Point(1)
    del point.x

    with pytest.raises(UnstorableError, match=r"Point\.x") as caught:
        Registry([Point]).unstructure(point)
    assert caught.value.path == "$.x"


def test_a_field_never_set_stays_unset():
    """init=False without default may be missing in memory and on disk."""

    class Late(Model, version=1):
        a: int
        b: int = field(init=False)

    registry = Registry([Late])
    late = Late(1)

    tree = registry.unstructure(late)
    loaded = registry.structure(tree)

    assert tree == {"__Late__": {"a": 1, "_v": 1}}
    assert not hasattr(loaded, "b")
    late.b = 2
    assert reload(late).b == 2


def test_the_models_own_methods():
    """_to_dict and _from_dict give and take {field: value}, also unregistered."""
    point = Point(1, 2)

    assert point._to_dict() == {"x": 1, "y": 2}
    assert Point(0)._from_dict({"x": 5}) == Point(5, 0)
    assert Point._deserialize({"x": 7, "y": 8}) == Point(7, 8)
    assert Point._keyname() == "__Point__"


def test_to_dict_and_from_dict_leave_the_version_to_the_registry():
    """_v belongs to the record, not to the fields."""

    class Versioned(Model, version=2):
        a: int = 0

    assert Versioned()._to_dict() == {"a": 0}
    assert Versioned()._from_dict({"a": 4}).a == 4
    assert Registry([Versioned]).unstructure(Versioned()) == {
        "__Versioned__": {"a": 0, "_v": 2}
    }


def test_the_hooks_are_those_of_cattrs():
    """The registry's converter holds the generated functions for each class."""
    registry = Registry([Derived, Base])
    registry.unstructure(Derived(1))
    converter = registry.converter

    assert converter.unstructure(Derived(1, "n")) == {"id": 1, "name": "n"}
    assert converter.structure({"id": 1}, Derived) == Derived(1)
    assert converter.structure({"__Derived__": {"id": 1}}, Derived) == Derived(1)
    assert converter.structure({"id": 1}, Base) == Base(1)
    assert (
        converter.get_structure_hook(Derived) is registry._by_class[Derived].structure
    )


def test_asdict_is_plain_all_the_way_down():
    """Nested models in any container become dicts; unknown names are there."""
    loaded = Registry([Point]).structure(
        {"__Point__": {"x": 1, "y": 2, "z": 3, "_q": 4}}
    )
    tagged = Tagged("a", ["t"], loaded)
    tagged.more = {"k": (Point(1), [Point(2)])}

    assert asdict(tagged) == {
        "name": "a",
        "tags": ["t"],
        "origin": {"x": 1, "y": 2, "z": 3},
        "more": {"k": ({"x": 1, "y": 0}, [{"x": 2, "y": 0}])},
    }
    with pytest.raises(TypeError, match="dict"):
        asdict({})


def test_a_bare_model_takes_attributes():
    """Model itself is a hand-written class without __init__."""
    model: Any = Model()
    model.a = 1

    assert reload(model).a == 1
    assert model._to_dict() == {"a": 1}


def test_the_guides_import_path():
    """storify.model gives the same Model and field."""
    import storify.model  # noqa: PLC0415 -- what is tested

    assert storify.model.Model is Model
    assert storify.model.field is field


def test_cattrs_is_imported_when_the_converter_is_asked_for_only():
    """Storing, loading and converting what an older class wrote stays quick."""
    code = (
        "import sys\n"
        "from storify.models import Model, Registry\n"
        "class B(Model):\n    b: tuple[int, ...] = ()\n"
        "class A(Model):\n    a: B\n"
        "r = Registry([A])\n"
        "r.unstructure(A(B()))\n"
        "assert r.structure({'__A__': {'a': {'b': [1]}}}) == A(B((1,)))\n"
        "assert 'cattrs' not in sys.modules\n"
        "assert r.converter.unstructure(A(B())) == {'a': B()}\n"
        "assert 'cattrs' in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 -- our own
