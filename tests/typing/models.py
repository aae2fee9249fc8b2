"""What type checkers see of model classes; checked, never run.

Three things no checker can see without a plugin. The changes of ``evolve`` are
``Any``: `replace.py` shows what Python 3.13 brings. What a converter takes is seen
by pyright alone: mypy types the parameter as the field, so only what both refuse
stands here. A migration without ``@staticmethod`` is fine when it runs and for
mypy; pyright takes its parameter for ``self``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from typing import Any, Generic, Self, TypeVar, assert_type

import attrs

from storify.model import Model, field
from storify.models import Registry, Unloaded, asdict, extras, migration

T = TypeVar("T")
U = TypeVar("U")


def to_int(text: str) -> int:
    return int(text)


class Address(Model):
    city: str
    zip: str = ""


class User(Model):
    name: str
    age: int = 0
    tags: list[str] = []
    scores: dict[str, int] = field(factory=dict)
    address: Address | None = None
    _token: str = ""


class Admin(User):
    level: int = field(default=1, validator=attrs.validators.ge(0))


class Frozen(Model, frozen=True, order=True):
    x: int


class Keywords(Model, kw_only=True):
    a: int = 0
    b: str


class Fields(Model, keyname="__F__", was=("__G__",), version=1, extra="forbid"):
    klass: str = field(alias="class_", key="class")
    number: int = field(converter=to_int, default="0")
    items: list[int] = field(factory=list)
    computed: int = field(init=False, default=0)
    old: str = field(was="older", default="", repr=False, stored=True)
    plain: int = attrs.field(default=1)

    @staticmethod
    @migration(0)
    def _first(d: dict[str, Any]) -> dict[str, Any]:
        return d


class Converted(Model):
    tags: list[str] = field(converter=list)
    counts: dict[str, int] = field(converter=dict)
    names: set[str] = field(converter=set, default=())
    frozen: frozenset[str] = field(converter=frozenset, default=())
    pair: tuple[int, ...] = field(converter=tuple, default=())


assert_type(Converted(["a"], {"b": 1}).tags, list[str])


class Box(Model, Generic[T]):
    item: T
    more: list[T] = []


class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...


class Square(Model, Shape):
    side: float

    def area(self) -> float:
        return self.side**2


class Legacy(Model):
    def __init__(self, user_id: str | None = None) -> None:
        self.user_id = user_id


class LegacyAdmin(Legacy, init=False):
    level: int = 0


class Stored(Model):
    """Decides itself what is stored."""

    def __init__(self, code: int) -> None:
        self.code: int = code

    @classmethod
    def _keyname(cls) -> str:
        return "__code__"

    def _to_dict(self) -> dict[str, Any]:
        return {"code": self.code}

    def _from_dict(self, data: dict[str, Any]) -> Self:
        self.code = data["code"]
        return self


class Evolved(Model, version=3, was="__Old__", dropped="flag", extra="keep"):
    name: str = field(was=("title", "label"), key="n")
    born: date | None = field(default=None, upgrade=date.fromisoformat)
    score: int = field(default=0, upgrade=round)

    @staticmethod
    @migration(0)
    def _first(d: dict[str, Any]) -> None:
        d["name"] = d.pop("title")

    @migration(1)
    @staticmethod
    def _second(d: dict[str, Any]) -> dict[str, Any]:
        return {**d, "score": 1}

    @migration(2)
    def _third(d: dict[str, Any]) -> dict[str, Any]:  # pyright: ignore[reportGeneralTypeIssues]  # noqa: N805 -- not called on objects
        return d


class Pair(Box[int], Generic[U], kw_only=True):
    other: U


class Tree(Model):
    children: "list[Tree]" = []
    parent: "Tree | None" = None


class Checked(Model, kw_only=True, order=True, keyname="checked"):
    low: int = field(default=0, validator=[attrs.validators.ge(0)], order=False)
    high: int = field(default=9, eq=abs, repr=lambda value: f"<{value}>")
    id: str = field(init=False, factory=str, metadata={"unit": "none"})
    first: str = field(kw_only=False)


class ReadOnly(Frozen, frozen=True):
    y: int = 0


user = User("a", 1, ["t"], {"s": 1}, Address("c"), _token="t")  # noqa: S106 -- no secret
assert_type(user.name, str)
assert_type(user.tags, list[str])
assert_type(user.scores, dict[str, int])
assert_type(user.address, Address | None)
assert_type(user.evolve(name="b"), User)
assert_type(asdict(user), dict[str, Any])
assert_type(Admin("a", level=2).level, int)
assert_type(Admin("a").evolve(level=3), Admin)
assert_type(Frozen(1) < Frozen(2), bool)
assert_type(Keywords(b="x").b, str)
assert_type(Fields("k", items=[1]).items, list[int])
assert_type(Fields(class_="k").number, int)
assert_type(Box(1), Box[int])
assert_type(Box("a", ["b"]).more, list[str])
assert_type(Square(2.0).area(), float)
assert_type(Legacy().user_id, str | None)
assert_type(LegacyAdmin(user_id="u").level, int)
assert_type(Registry([User, Legacy]).unstructure(user), dict[str, Any] | None)
assert_type(Unloaded({}).get("x"), Any | None)

# Fields: names, aliases, private and computed ones.
assert_type(Fields("k").items, list[int])
assert_type(Fields("k").old, str)
assert_type(Fields("k").computed, int)
assert_type(user._token, str)
assert_type(Checked("x", low=1, high=2).high, int)
assert_type(Checked("x").id, str)
assert_type(Checked("x") >= Checked("y"), bool)

# Classes: generic, recursive, inherited, frozen, written by hand.
assert_type(Pair(1, [2], other="x").other, str)
assert_type(Pair(1, [2], other="x").item, int)
assert_type(Box(Box(1)).item.item, int)
assert_type(Box(1).evolve(item=2), Box[int])
assert_type(Tree(children=[Tree()]).children[0].parent, Tree | None)
assert_type(ReadOnly(1, y=2).evolve(x=3), ReadOnly)
assert_type(ReadOnly(1) < ReadOnly(2), bool)
assert_type(Admin("a", 1, level=2).address, Address | None)
assert_type(Stored(5)._to_dict(), dict[str, Any])
assert_type(Stored(5).evolve(code=6).code, int)
assert_type(LegacyAdmin("u").user_id, str | None)
assert_type(Evolved("x").born, date | None)
assert_type(Evolved("x").score, int)
assert_type(extras(user), Mapping[Any, Any])


def largest(shapes: list[Shape]) -> Shape:
    return max(shapes, key=lambda shape: shape.area())


assert_type(largest([Square(1)]).area(), float)

User()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
User("a", nick="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User("a", token="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # noqa: S106 -- no secret
user.age = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
user.nmae = "x"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
Frozen(1).x = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
Keywords(0, "b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Fields(klass="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Fields("k", computed=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Box[int]("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
print(User("a") < User("b"))  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownArgumentType]  # noqa: T201 -- uses the value
field(defualt=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Registry([int])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


class BadDefault(Model):
    a: int = field(default="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class BadFactory(Model):
    a: list[int] = field(factory=dict)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class BadOrder(Model):
    a: int = 0
    b: str  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


class BadOption(Model, extra="drop"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    a: int


class Typo(Model, keynam="x"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    a: int


class BadVersion(Model, version="1"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    a: int


class BadWas(Model):
    a: int = field(was=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


class BadUpgrade(Model):
    a: int = field(upgrade=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


class BadKey(Model):
    a: int = field(key=None, stored="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


class BadConverter(Model):
    a: int = field(converter=str)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportGeneralTypeIssues]


class BadMigrations(Model, version=2):
    a: int

    @migration(0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def _first(self, d: dict[str, Any]) -> dict[str, Any]:
        return d

    @staticmethod
    @migration("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def _second(d: dict[str, Any]) -> dict[str, Any]:
        return d


class Thawed(Frozen):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    y: int = 0


Tree(children=[Box(1)])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Checked("x", 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Checked("x", id="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ReadOnly(1).y = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
Stored()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Fields("k", number=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Pair[str](1, other=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
user.evolve("b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
largest([User("a")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
