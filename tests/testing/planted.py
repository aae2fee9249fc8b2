"""Models with bugs, each as it happens, for a newcomer's test to find."""
# ruff: noqa: B006 -- the bugs

import datetime as dt
from typing import Any

from storify import Model, field


def hashed(text: str) -> str:
    """Stand in for a password hash."""
    return f"#{text}"


class Account(Model):
    """Its converter runs again at each load."""

    name: str
    password: str = field(converter=hashed)

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> "Account":
        return cls(**data)


class Post(Model):
    """What it stores is a list, whatever it was."""

    def __init__(self, title: str = "", tags: tuple[str, ...] = ()) -> None:
        self.title = title
        self.tags = tags

    def _to_dict(self) -> dict[str, Any]:
        return {"title": self.title, "tags": list(self.tags)}


class Address(Model):
    """It forgets the city."""

    def __init__(self, street: str = "", city: str = "") -> None:
        self.street = street
        self.city = city

    def _from_dict(self, data: dict[str, Any]) -> None:
        self.street = data["street"]


class Customer(Model):
    """A correct class around one that is not."""

    name: str
    address: Address | None = None


class Meeting(Model):
    """It takes each time for one in UTC."""

    def __init__(
        self, at: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    ) -> None:
        self.at = at

    def _to_dict(self) -> dict[str, Any]:
        return {"at": self.at.isoformat()}

    def _from_dict(self, data: dict[str, Any]) -> None:
        self.at = dt.datetime.fromisoformat(data["at"]).replace(tzinfo=dt.UTC)


class Basket(Model):
    """All baskets are one."""

    def __init__(self, owner: str = "", items: list[str] = []) -> None:
        self.owner = owner
        self.items = items


class Good(Model):
    """Nothing is wrong with it."""

    name: str
    at: dt.datetime
    tags: list[str] = []
