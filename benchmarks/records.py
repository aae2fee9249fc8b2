"""The record that every benchmark uses: a user with an address and a role.

Ten fields, one of them a nested model: what people store. The plain form is
what a program without Storify would hand to MessagePack.
"""

import random
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from storify import Model


class Role(Enum):
    """A small enum."""

    READER = "reader"
    EDITOR = "editor"


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


START = datetime(2020, 1, 1, tzinfo=UTC)


def users(count: int) -> list[User]:
    """Make *count* records, the same ones every time."""
    rng = random.Random(7)  # noqa: S311 - no secret
    return [
        User(
            name=f"User {number}",
            email=f"user{number}@example.com",
            age=rng.randrange(18, 90),
            score=rng.random(),
            active=number % 3 > 0,
            joined=START + timedelta(seconds=rng.randrange(10**8)),
            role=rng.choice(list(Role)),
            tags=[f"tag{rng.randrange(50)}" for _ in range(3)],
            counts={"logins": rng.randrange(1000), "posts": rng.randrange(100)},
            address=Address(f"{number} Main Street", "Springfield", f"{number:05}"),
            nickname=None if number % 2 else f"nick{number}",
        )
        for number in range(count)
    ]


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
