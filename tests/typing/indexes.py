"""What type checkers see of indexes; checked, never run."""

from collections.abc import Iterator
from datetime import date
from typing import Any, assert_type

from storify import Index, Model, Query, Storify


class User(Model):
    name: str
    age: int = 0
    email: str | None = None
    born: date | None = None


sf = Storify("memory://")
users = sf.get_db("users", model=User)
numbered = sf.get_db("numbered", model=User, key=int)

# The values, the records and the keys have their types.
by_name = users.index(lambda u: u.name)
assert_type(by_name, Index[str, User])
assert_type(by_name["Ann"], User)
assert_type(by_name["Ann"].age, int)
assert_type(by_name.get("Ann"), User | None)
assert_type(by_name.find("Ann"), Query[User])
assert_type(by_name.find("Ann").sorted(key=lambda u: u.age).first(), User | None)
assert_type("Ann" in by_name, bool)
assert_type(iter(by_name), Iterator[str])
assert_type(len(by_name), int)
by_age = numbered.index(lambda u: u.age, unique=True)
assert_type(by_age, Index[int, User, int])
assert_type(by_age.find(30), Query[User, int])
assert_type(list(by_age.find(30).items()), list[tuple[int, User]])

# None leaves a record out, so it is none of the values.
assert_type(users.index(lambda u: u.email, unique=True), Index[str, User])
assert_type(users.index(lambda u: u.born.year if u.born else None), Index[int, User])
assert_type(list(users.index(lambda u: u.email)), list[str])

# Values of several parts.
assert_type(users.index(lambda u: (u.age, u.name)), Index[tuple[int, str], User])
assert_type(numbered.index(lambda u: u.born), Index[date, User, int])
assert_type(sf["users"].index(lambda u: u.email), Index[Any, Any, Any])


def find(index: Index[str, User], value: str) -> User:
    return index[value]


assert_type(find(by_name, "Ann"), User)

users.index(lambda u: u.nmae)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
users.index(lambda: "x")  # type: ignore[misc, arg-type]  # pyright: ignore[reportArgumentType]
users.index("name")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.index(lambda u: u.name, uniq=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
users.index(lambda u: u.name, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
by_name[3]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
by_name.get(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
by_name.find(b"Ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
by_name.get("Ann").age += 1  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
by_name["Ann"] = User("Ann")  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
by_age["x"].name = "Bea"  # type: ignore[index]  # pyright: ignore[reportArgumentType]
find(by_age, "Ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
wrong: Index[str, User] = users.index(lambda u: u.age)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportAssignmentType]
