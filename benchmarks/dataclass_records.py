"""The benchmarks' record as a dataclass: what a program without Storify declares.

Stores that pickle take it as it is. For stores of JSON there are `to_tree` and
`from_tree`, written as one writes them by hand: explicit, fast, unchecked.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contents import Role, contents

__all__ = ["Address", "User", "from_tree", "to_tree", "user"]


@dataclass
class Address:
    """A nested record."""

    street: str
    city: str
    zip_code: str


@dataclass
class User:
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


def to_tree(user: User) -> dict[str, Any]:
    """Give plain dicts that JSON can hold."""
    return {
        **vars(user),
        "joined": user.joined.isoformat(),
        "role": user.role.value,
        "address": vars(user.address),
    }


def from_tree(tree: dict[str, Any]) -> User:
    """Make the record again; the reverse of `to_tree`."""
    fields = dict(tree)
    fields["joined"] = datetime.fromisoformat(fields["joined"])
    fields["role"] = Role(fields["role"])
    fields["address"] = Address(**fields["address"])
    return User(**fields)
