"""What type checkers see of queries; checked, never run."""

from collections.abc import Iterator
from typing import Any, assert_type

from typing_extensions import TypeIs

from storify import Database, Model, Query, Storify


class User(Model):
    name: str
    age: int = 0
    email: str | None = None
    tags: list[str] = []


class Admin(User):
    level: int = 1


class Order(Model):
    total: float


def is_admin(user: User) -> TypeIs[Admin]:
    return isinstance(user, Admin)


def with_email(user: User) -> bool:
    return user.email is not None


sf = Storify("memory://")
users = sf.get_db("users", model=User)
numbered = sf.get_db("numbered", model=User, key=int)
mixed = sf.get_db("mixed", model=(User, Order))
admins = sf.get_db("admins", model=Admin)

assert_type(mixed.of((User, Order)).list(), list[User | Order])
assert_type(mixed.where().of((Admin, Order)).first(), Admin | Order | None)
assert_type(users.where().first(User("Nobody")), User)

# A query has the types of its database, and each step keeps them.
adults = users.where(lambda u: u.age >= 18)
assert_type(adults, Query[User])
assert_type(users.where(), Query[User, str])
assert_type(users.where(with_email, lambda u: "x" in u.tags), Query[User])
assert_type(adults.where(lambda u: u.name > "a"), Query[User])
assert_type(adults.sorted(key=lambda u: u.age, reverse=True), Query[User])
assert_type(adults.limit(3), Query[User])
assert_type(adults.offset(3).limit(3), Query[User])
assert_type(numbered.where(with_email), Query[User, int])

# What it gives.
assert_type(adults.first(), User | None)
assert_type(adults.one(), User)
assert_type(adults.count(), int)
assert_type(adults.exists(), bool)
assert_type(adults.list(), list[User])
assert_type(list(adults), list[User])
assert_type(iter(adults), Iterator[User])
assert_type(list(adults.keys()), list[str])
assert_type(list(adults.items()), list[tuple[str, User]])
assert_type(list(numbered.where().keys()), list[int])
assert_type(dict(numbered.where().items()), dict[int, User])
for adult in adults:
    assert_type(adult, User)

# What is made of the records.
assert_type(adults.map(lambda u: u.name), Query[str])
assert_type(adults.map(lambda u: u.name).first(), str | None)
assert_type(adults.map(lambda u: (u.name, u.age)).one(), tuple[str, int])
assert_type(numbered.where().map(lambda u: u.email), Query[str | None, int])
assert_type(list(adults.map(str).items()), list[tuple[str, str]])

# A view of one type of several, by a class or by a test that narrows.
assert_type(mixed.where(), Query[User | Order])
assert_type(mixed.of(User), Query[User])
assert_type(mixed.of(Order).map(lambda o: o.total).list(), list[float])
assert_type(mixed.of(Admin).where(lambda a: a.level > 1).first(), Admin | None)
assert_type(users.where(with_email).of(Admin), Query[Admin])
assert_type(users.of(is_admin), Query[Admin])
assert_type(users.of(is_admin).map(lambda a: a.level), Query[int])
assert_type(numbered.where(with_email).of(is_admin).first(), Admin | None)
assert_type(sf["users"].of(User), Query[User, Any])
assert_type(sf["users"].where(lambda u: u.whatever), Query[Any, Any])

# Annotated alone.
annotated: Database[User, int] = sf.get_db("numbered")
assert_type(annotated.where(lambda u: u.age > 1).first(), User | None)


def oldest(query: Query[User]) -> User | None:
    return query.sorted(key=lambda u: u.age, reverse=True).first()


def last(query: Query[User | Order]) -> float:
    return max(each.total if isinstance(each, Order) else 0 for each in query)


assert_type(oldest(adults), User | None)
# A query only gives, so one of a narrower type will do.
assert_type(oldest(admins.where()), User | None)
assert_type(last(mixed.of(Order)), float)

users.where(lambda u: u.nmae == "x")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
users.where(lambda u: u.age < "x")  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownLambdaType]
users.where(lambda: True)  # type: ignore[misc, arg-type]  # pyright: ignore[reportArgumentType]
users.where(True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.where(lambda u: u.email.lower() == "x")  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
mixed.where(lambda each: each.total > 1)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
admins.of(is_admin).map(lambda a: a.lvl)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
users.of("User")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
adults.limit("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
adults.first().age += 1  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
adults.sorted(lambda u: u.nmae)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
adults[0]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
oldest(mixed.of(Order))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
admins_only: Query[Admin] = adults  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
oldest(numbered.where())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
names: Query[int] = adults.map(lambda u: u.name)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportAssignmentType]
