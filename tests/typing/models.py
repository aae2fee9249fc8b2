# Checked by mypy and pyright, never run: what users see of model classes.
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar, assert_type

import attrs

from storify.model import Model, field
from storify.models import Registry, Unloaded, asdict, migration

T = TypeVar("T")


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
