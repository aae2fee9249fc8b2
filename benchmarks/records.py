"""The benchmarks' record as a Storify model, and as plain dicts.

The plain form is what a program without Storify would hand to MessagePack.
"""

from datetime import datetime
from typing import Any

from contents import Role, contents

from storify import Model

__all__ = ["Address", "User", "plain", "user", "users"]


class Address(Model):
    """A nested model."""

    street: str
    city: str
    zip_code: str


class User(Model):
    """The benchmark's record."""

    name: str
    email: str
    age: int
    score: float
    active: bool
    joined: datetime
    role: Role
    tags: list[str]
    counts: dict[str, int]
    address: Address
    nickname: str | None = None


def user(number: int) -> User:
    """Make record *number*, the same one every time."""
    fields = contents(number)
    fields["address"] = Address(**fields["address"])
    return User(**fields)


def users(count: int) -> list[User]:
    """Make *count* records, the same ones every time."""
    return [user(number) for number in range(count)]


def plain(user: User) -> dict[str, Any]:
    """Give the same content as plain dicts; MessagePack has no enum or class."""
    return {
        "name": user.name,
        "email": user.email,
        "age": user.age,
        "score": user.score,
        "active": user.active,
        "joined": user.joined,
        "role": user.role.value,
        "tags": user.tags,
        "counts": user.counts,
        "address": {
            "street": user.address.street,
            "city": user.address.city,
            "zip_code": user.address.zip_code,
        },
        "nickname": user.nickname,
    }
