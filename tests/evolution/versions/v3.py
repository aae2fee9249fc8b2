"""The shop's schema, version 3: a class is split in two, classes get other names."""

import datetime as dt
import enum
from typing import Any

from storify import Model, field
from storify.models import migration

__all__ = ["MODELS", "records"]


class Tier(enum.Enum):
    """What ``vip`` became."""

    PLAIN = "plain"
    GOLD = "gold"


class Setting(Model):
    """Added: who set it."""

    value: int
    unit: str = ""
    by: list[str] = []


class Address(Model):
    """Split off from customers."""

    street: str
    city: str


class Person(Model, was="__Customer__", version=1, dropped="phone"):
    """Another name for the class. Split: the address. Retyped: vip, now a tier."""

    full_name: str = field(was="name")
    home: Address
    joined: dt.date = field(upgrade=dt.date.fromisoformat)
    tier: Tier
    email: str | None = None

    @staticmethod
    @migration(0)
    def _split(fields: dict[str, Any]) -> None:
        # not an Address: what this step gives must follow that class later on
        fields["home"] = {k: fields.pop(k) for k in ("street", "city")}
        fields["tier"] = Tier.GOLD if fields.pop("vip") else Tier.PLAIN


class Line(Model, was="__Item__"):
    """Another name for a nested class."""

    title: str
    price: str
    quantity: int = 1


class Order(Model, keyname="order", was="__Order__", dropped=["total"]):
    """Renamed: the items. Added: paid. Removed and given up: the total."""

    customer: str
    lines: list[Line] = field(was="items")
    paid: bool = False
    note: str = ""


MODELS = (Setting, Person, Order)


def records() -> dict[str, Model]:
    """Give what a program of this version stored."""
    joined = dt.date(2015, 7, 8)
    york, bath = Address("Elm Street 1", "York"), Address("Oak Lane 2", "Bath")
    lines = [Line("Tea", "3.00", 4)]
    return {
        "limit": Setting(30, "days", ["ann"]),
        "ann": Person("Ann Lee", york, joined, Tier.GOLD, "ann@lee.uk"),
        "bob": Person("Bob", bath, joined, Tier.PLAIN),
        "o1": Order("ann", lines, paid=True, note="ring twice"),
        "o2": Order("bob", []),
    }
