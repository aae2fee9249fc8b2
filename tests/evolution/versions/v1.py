"""The shop's schema, version 1: as it began."""

from storify import Model

__all__ = ["MODELS", "records"]


class Setting(Model):
    """The record that all versions understand."""

    value: int


class Customer(Model):
    """Flat, as first versions are."""

    name: str
    street: str
    city: str
    joined: str
    phone: str
    vip: int


class Item(Model):
    """One line of an order, nested in it."""

    title: str
    price: str


class Order(Model):
    """What a customer bought."""

    customer: str
    items: list[Item]
    note: str
    total: float


MODELS = (Setting, Customer, Item, Order)


def records() -> dict[str, Model]:
    """Give what a program of this version stored."""
    return {
        "limit": Setting(10),
        "ann": Customer("Ann Lee", "Elm Street 1", "York", "2001-02-03", "555", 1),
        "bob": Customer("Bob", "Oak Lane 2", "Bath", "2004-05-06", "", 0),
        "o1": Order("ann", [Item("Tea", "2.50"), Item("Cup", "4")], "fragile", 6.5),
        "o2": Order("bob", [], "", 0.0),
    }
