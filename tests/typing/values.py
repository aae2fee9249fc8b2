"""What type checkers see of value and key types; checked, never run.

Two things are seen by one checker alone, so they are no examples here: pyright
takes a `NewType` for no class (``model=UserId``) and mypy an abstract class
(``model=Shape``). An annotation does in both: ``db: Database[UserId] = …``. Unions
are tuples: ``model=User | Order`` is an error in mypy, in pyright from the first
value that is set.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date
from enum import Enum, Flag
from typing import (
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    TypedDict,
    TypeVar,
    assert_type,
)

from storify import Database, Model, Ref, Storify

T = TypeVar("T")
UserId = NewType("UserId", str)


class Role(Enum):
    READER = "reader"
    EDITOR = "editor"


class Right(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Options(TypedDict):
    colour: str
    size: int


class User(Model):
    name: str
    age: int = 0


class Order(Model):
    total: float


class Box(Model, Generic[T]):
    item: T


class Shape(ABC):
    @abstractmethod
    def area(self) -> float: ...


class Square(Model, Shape):
    side: float

    def area(self) -> float:
        return self.side**2


sf = Storify("memory://")
users = sf.get_db("users", model=User)

# Builtins, enums, tuples, typed dicts.
assert_type(sf.get_db("n", model=int), Database[int])
assert_type(sf.get_db("n", model=int)["a"] + 1, int)
assert_type(sf.get_db("d", model=date)["a"].year, int)
assert_type(sf.get_db("l", model=list[User])["a"][0].name, str)
assert_type(sf.get_db("t", model=tuple[int, str])["a"], tuple[int, str])
assert_type(sf.get_db("m", model=dict[str, set[int]])["a"]["b"], set[int])
assert_type(sf.get_db("r", model=Role)["a"], Role)
assert_type(sf.get_db("f", model=Right)["a"] | Right.READ, Right)
assert_type(sf.get_db("p", model=Point)["a"].x, int)
assert_type(sf.get_db("o", model=Options)["a"]["size"], int)

# Generic classes.
assert_type(sf.get_db("b", model=Box[int]), Database[Box[int]])
assert_type(sf.get_db("b", model=Box[int])["a"].item, int)
assert_type(sf.get_db("bl", model=Box[list[User]])["a"].item[0], User)
assert_type(sf.get_db("br", model=Box[Ref[User]])["a"].item(), User)
assert_type(sf.get_db("lb", model=list[Box[str]])["a"][0].item, str)

# Unions are tuples of two to four types, with a type of the keys or without.
assert_type(sf.get_db("u2", model=(int, type(None)))["a"], int | None)
assert_type(sf.get_db("u2", model=(User, Box[int])), Database[User | Box[int]])
assert_type(sf.get_db("u3", model=(User, Order, Role)), Database[User | Order | Role])
assert_type(
    sf.get_db("u4", model=(int, str, bytes, date))["a"], int | str | bytes | date
)
assert_type(sf.get_db("k2", model=(User, Order), key=int), Database[User | Order, int])
assert_type(
    sf.get_db("k3", model=(int, str, date), key=Role).get(Role.READER),
    int | str | date | None,
)
assert_type(
    sf.get_db("k4", model=(int, str, bytes, date), key=int),
    Database[int | str | bytes | date, int],
)

# Keys of any hashable type.
assert_type(
    sf.get_db("kt", model=User, key=tuple[int, str]), Database[User, tuple[int, str]]
)
assert_type(list(sf.get_db("kd", model=User, key=date)), list[date])
assert_type(sf.get_db("ke", key=Role), Database[Any, Role])

# Annotation alone, for what is no class.
by_id: Database[User, UserId] = sf.get_db("by_id")
assert_type(by_id[UserId("u1")], User)
shapes: Database[Shape] = sf.get_db("shapes")
assert_type(shapes["s"].area(), float)
shapes["s"] = Square(2)
modes: Database[Literal["on", "off"]] = sf.get_db("modes")
modes["a"] = "on"

# As a dict.
assert_type(users.get("u", User("x")), User)
assert_type(users.get("u", 5), User | int)
assert_type(users.setdefault("u", User("x")), User)
assert_type(users.pop("u", None), User | None)
assert_type(users.popitem(), tuple[str, User])
assert_type(list(users.values()), list[User])
assert_type(iter(users.keys()), Iterator[str])
assert_type(len(users), int)
assert_type({**users}, dict[str, User])
assert_type([u.age for u in users.values()], list[int])
users.update({"u": User("x")}, v=User("y"))
users.update([("u", User("x"))])
assert_type(sf["users"], Database[Any, Any])
assert_type(sf["users"]["u"], Any)


def names(db: Database[User]) -> list[str]:
    return [user.name for user in db.values()]


assert_type(names(users), list[str])
assert_type(names(sf["users"]), list[str])

sf.get_db("n", model=int)["a"] = "x"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
sf.get_db("r", model=Role)["a"] = "reader"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
sf.get_db("b", model=Box[int])["a"] = Box("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sf.get_db("l", model=list[User])["a"] = [Order(1)]  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
sf.get_db("t", model=tuple[int, str])["a"] = (1, 2)  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
sf.get_db("o", model=Options)["a"] = {"colour": "red"}  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
sf.get_db("p", model=Point)["a"] = Point("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sf.get_db("k2", model=(User, Order), key=int)["a"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
sf.get_db("u2", model=(int, str))["a"] = 1.5  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
by_id["u1"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
shapes["s"] = User("x")  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
modes["a"] = "of"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
users.setdefault("u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
users.setdefault("u", Order(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.update(u=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
users.get(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
users.pop()["name"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
del users[5]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
names(sf.get_db("o", model=Order))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sf.get_db("x", model="User")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
sf.get_db("x", model=User, key="str")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
sf.get_db("x", model=User, strict="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
sf.get_db("x", modle=User)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
