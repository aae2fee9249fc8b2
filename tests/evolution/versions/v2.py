"""The shop's schema, version 2: fields come, go, are renamed and retyped."""

import datetime as dt

from storify import Model, field

__all__ = ["MODELS", "records"]


class Setting(Model):
    """Added: what the value is measured in."""

    value: int
    unit: str = ""


class Customer(Model):
    """Renamed: the name. Retyped: joined. Added: email. Removed: phone."""

    full_name: str = field(was="name")
    street: str
    city: str
    joined: dt.date = field(upgrade=dt.date.fromisoformat)
    vip: int
    email: str | None = None


class Item(Model):
    """Changed in its own right, inside of orders: a quantity."""

    title: str
    price: str
    quantity: int = 1


class Order(Model, keyname="order", was="__Order__"):
    """Another keyname. A note is optional now."""

    customer: str
    items: list[Item]
    total: float
    note: str = ""


MODELS = (Setting, Customer, Item, Order)


def records() -> dict[str, Model]:
    """Give what a program of this version stored."""
    joined = dt.date(2010, 5, 6)
    items = [Item("Tea", "2.75"), Item("Jam", "3.10", 2)]
    return {
        "limit": Setting(20, "days"),
        "ann": Customer("Ann Lee", "Elm Street 1", "York", joined, 1, "ann@lee.uk"),
        "bob": Customer("Bob", "Oak Lane 2", "Bath", joined, 0),
        "o1": Order("ann", items, 8.95, "ring twice"),
        "o2": Order("bob", [], 0.0),
    }
