"""The shop's schema, version 4: the newest. Nested classes changed, names split.

An address may be a record of its own now, see `part_homes`: what was one record
becomes two, one of which refers to the other.
"""

import datetime as dt
import enum
from decimal import Decimal
from typing import Any

from storify import Database, Model, Ref, field
from storify.models import migration

__all__ = ["MODELS", "part_homes", "records"]


class Tier(enum.Enum):
    """What ``vip`` became."""

    PLAIN = "plain"
    GOLD = "gold"


class Setting(Model):
    """Reordered; given a default."""

    by: list[str] = []
    unit: str = ""
    value: int = 1


class Address(Model):
    """Nested, and changed in its own right: renamed and added."""

    road: str = field(was="street")
    city: str
    code: str | None = None


class Person(Model, was="__Customer__", version=2, dropped="phone"):
    """Split by a migration: the name. A home may stand elsewhere."""

    first: str
    last: str
    home: Address | Ref[Address]
    joined: dt.date = field(upgrade=dt.date.fromisoformat)
    tier: Tier
    email: str | None = None

    @staticmethod
    @migration(0)
    def _split(fields: dict[str, Any]) -> None:
        # not an Address: what this step gives must follow that class later on
        fields["home"] = {k: fields.pop(k) for k in ("street", "city")}
        fields["tier"] = Tier.GOLD if fields.pop("vip") else Tier.PLAIN

    @staticmethod
    @migration(1)
    def _name(fields: dict[str, Any]) -> None:
        # a step sees the names that were stored, also those before a rename
        name = fields.pop("full_name" if "full_name" in fields else "name")
        fields["first"], _, fields["last"] = name.partition(" ")


class Line(Model, was="__Item__"):
    """Retyped, inside of orders: the price."""

    title: str
    price: Decimal = field(upgrade=Decimal)
    quantity: int = 1


class Order(
    Model, keyname="__Purchase__", was=["order", "__Order__"], dropped=["total"]
):
    """Another keyname once more."""

    customer: str
    lines: list[Line] = field(was="items")
    paid: bool = False
    note: str = ""


MODELS = (Setting, Person, Order)


def part_homes(db: Database[Any]) -> None:
    """Make the address of each person a record of its own, in one commit."""
    with db.transaction():
        for key, person in list(db.items()):
            if isinstance(person, Person) and isinstance(person.home, Address):
                db[f"home of {key}"] = person.home
                person.home = db.ref(f"home of {key}")


def records() -> dict[str, Model]:
    """Give what a program of this version stored."""
    joined = dt.date(2020, 9, 10)
    york, bath = Address("Elm Street 1", "York", "YO1"), Address("Oak Lane 2", "Bath")
    lines = [Line("Tea", Decimal("3.20"), 4)]
    return {
        "limit": Setting(["ann"], "days", 40),
        "ann": Person("Ann", "Lee", york, joined, Tier.GOLD, "ann@lee.uk"),
        "bob": Person("Bob", "", bath, joined, Tier.PLAIN),
        "o1": Order("ann", lines, paid=True, note="ring twice"),
        "o2": Order("bob", []),
    }
