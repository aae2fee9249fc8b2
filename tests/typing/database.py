"""What type checkers see of Storify and Database; checked, never run.

A line that must be an error carries an ignore for both checkers; both report
an ignore that is not needed, so a missing error fails.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

from storify import (
    Backups,
    Database,
    Diff,
    Keep,
    ListDatabase,
    Model,
    Ref,
    Storify,
    Unloaded,
)
from storify.testing import reopen


class User(Model):
    name: str
    age: int = 0


class Order(Model):
    total: float


sf = Storify("memory://", models=[User, Order])

# Untyped: anything goes.
plain = sf.get_db("plain")
assert_type(plain, Database[Any, Any])
assert_type(sf["plain"], Database[Any, Any])
plain["a"] = 1
plain[1] = User("Ann")

# Typed by a model.
users = sf.get_db("users", model=User)
assert_type(users, Database[User, str])
assert_type(users["u1"], User)
assert_type(users["u1"].age, int)
assert_type(users.get("u1"), User | None)
assert_type(users.pop("u1"), User)
assert_type(users.pop("u1", None), User | None)
assert_type(list(users), list[str])
assert_type(list(users.values()), list[User])
assert_type(list(users.items()), list[tuple[str, User]])
assert_type(users.data, dict[str, User])
assert_type(users.dirty(), set[str])
assert_type(users.backups, Backups)
assert_type(users.backups.list, list[str])
assert_type(iter(users), Iterator[str])
users["u2"] = User("Bea")
users["u2"] = Order(1.5)  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
users[2] = User("Bea")  # type: ignore[index]  # pyright: ignore[reportArgumentType]
users["u1"].name = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
users.update({"u3": Order(1)})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
users.append("u")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Transactions, other writers, older states.
with users.transaction() as inside:
    assert_type(inside, Database[User, str])
    inside["u1"].age += 1
assert_type(users.reload(), None)
users.reload(keep="mine")
users.reload(keep="theirs")
users.reload(keep="ours")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
now = datetime.now(UTC)
assert_type(users.at(now), Database[User, str])
assert_type(users.at(now)["u1"], User)
assert_type(users.at(users.backups.list[0])["u1"], User)
users.at(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(users.backups.diff(now), Diff)
assert_type(users.backups.diff("7").changed, set[Any])
assert_type(users.backups.restore(now, keys=["u1"]), set[Any])
assert_type(users.backups.keep, Keep)
users.backups.keep = Keep(last=5, daily=30)
users.flush(compact=True)
assert_type(users.sync(), None)

# Keys, unions, builtins, generics.
numbers = sf.get_db("numbers", model=str, key=int)
assert_type(numbers, Database[str, int])
numbers[1] = "one"
numbers["one"] = "one"  # type: ignore[index]  # pyright: ignore[reportArgumentType]
mixed = sf.get_db("mixed", model=(User, Order))
assert_type(mixed["a"], User | Order)
mixed["a"] = 5  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
three = sf.get_db("three", model=(User, Order, int))
assert_type(three["a"], User | Order | int)
lists = sf.get_db("lists", model=list[int])
assert_type(lists["a"], list[int])
keyed = sf.get_db("keyed", key=int)
assert_type(keyed, Database[Any, int])

# Lists.
log = sf.get_db("log", root=[], model=User)
assert_type(log, ListDatabase[User])
assert_type(sf.get_db("log", root=[]), ListDatabase[Any])
assert_type(sf.get_db("log", [], model=(User, Order)), ListDatabase[User | Order])
assert_type(log[0], User)
assert_type(log[1:], list[User])
assert_type(iter(log), Iterator[User])
assert_type([item for item in log], list[User])  # noqa: C416 - as it is written
assert_type(list(log), list[User])
assert_type(tuple(log), tuple[User, ...])
assert_type(sorted(log, key=lambda user: user.age), list[User])
assert_type(max(log, key=lambda user: user.age), User)
assert_type(dict(enumerate(log)), dict[int, User])
assert_type(User("Ann") in log, bool)
assert_type(log.pop(), User)
assert_type(log.pop(0), User)
first, *others = log
assert_type(first, User)
assert_type(others, list[User])
items: Sequence[User] = log
assert_type(list(reversed(log)), list[User])
assert_type(log.data, list[User])
assert_type(log.copy(), list[User])
assert_type(log.index(User("Ann")), int)
assert_type(log.count(User("Ann")), int)
assert_type(log + [User("Bo")], list[User])  # noqa: RUF005 - that is what is asked
assert_type(log.where(lambda user: user.age > 1).list(), list[User])
log.extend([User("Ann")])
log.insert(0, User("Ann"))
log.sort(key=lambda user: user.name)
log.reverse()
log += [User("Ann")]
log[0] = User("Ann")
log[0:1] = [User("Ann")]
del log[0:1]
with log.transaction() as same_log:
    assert_type(same_log, ListDatabase[User])
assert_type(reopen(log), ListDatabase[User])
assert_type(log.at(1), ListDatabase[User])
assert_type(log.ref(0), Ref[User])
assert_type(log.raw(0), Any)
numbered_log = sf.get_db("numbered_log", root=[], model=int, key=int)
assert_type(numbered_log, ListDatabase[int])
assert_type(list(numbered_log), list[int])
assert_type(sorted(numbered_log), list[int])
assert_type(sum(numbered_log), int)
for number in numbered_log:
    assert_type(number, int)
log.keys()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
log["a"]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
log.extend([5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
log.insert(0, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
log["a"]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]

# As a dict.
assert_type(users | {"u3": User("Ann")}, dict[str, User])
assert_type({"u3": User("Ann")} | users, dict[str, User])
assert_type(users.copy(), dict[str, User])
assert_type(users.popitem(), tuple[str, User])
assert_type(list(reversed(users)), list[str])
assert_type(users.get("u1", default=None), User | None)
assert_type(users.setdefault("u1", User("Ann")), User)
users |= {"u3": User("Ann")}

# Annotation alone.
annotated: Database[User] = sf.get_db("users")
assert_type(annotated["u1"], User)

# Opening otherwise.
assert_type(sf.get_db_by_path(Path("x.mpack")), Database[Any, Any])
direct: Database[User] = Database(path="x.mpack", models=[User])
assert_type(direct["u1"].name, str)
with Storify("data") as manager, manager.get_db("users", model=User) as opened:
    assert_type(manager, Storify)
    assert_type(opened, Database[User, str])
assert_type(list(sf), list[str])
assert_type("users" in sf, bool)
sf.get_db(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Storify(models=User)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Storify("memory://", keep=Keep(5, hourly=24, daily=30), sync="interval")
Storify("memory://", keep=3, sync_interval=0.5, journal=False)
Storify(sync="never")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Storify(keep="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Storify(save_interval="60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Colour:
    def __init__(self, code: int) -> None:
        self.code = code


sf.register_type(Colour, encode=lambda each: each.code, decode=Colour)
sf.register_type(Colour, encode=lambda each: each.nothing, decode=Colour)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]


def record(db: Database[Any, Any]) -> Unloaded | None:
    value = db.data["a"]
    return value if isinstance(value, Unloaded) else None
