"""What is stored: products, what there is of them, and orders."""

from datetime import datetime
from enum import Enum
from typing import Any

from attrs.validators import ge, le, matches_re, min_len
from storify import Model, Ref, field, migration


class Sku(Model, frozen=True):
    """Names a product. It is a value: equal ones are one key of a database."""

    group: str = field(validator=matches_re("[A-Z]{3}"))
    number: int = field(validator=[ge(1), le(9999)])

    def __str__(self) -> str:
        """Give it as it stands on the label, ``BOL-0012``."""
        return f"{self.group}-{self.number:04}"


class Product(Model, version=1):
    """Something that is sold.

    Prices were a float until version 1. They are cents now, and the name, which was
    ``title`` in the first files, is still read from there.
    """

    sku: Sku
    name: str = field(validator=min_len(1), was="title")
    price_cents: int = field(validator=ge(0))
    barcode: str | None = None

    @staticmethod
    @migration(0)
    def _count_cents(fields: dict[str, Any]) -> None:
        fields["price_cents"] = round(fields.pop("price") * 100)


class Stock(Model):
    """What there is of one product; a part of it may be promised already."""

    sku: Sku
    on_hand: int = 0
    reserved: int = 0
    minimum: int = 0

    @property
    def free(self) -> int:
        """What can still be promised."""
        return self.on_hand - self.reserved


class Status(Enum):
    """How far an order has come."""

    RESERVED = "reserved"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


class Line(Model, frozen=True):
    """So many of one product."""

    product: Ref[Product]
    quantity: int = field(validator=ge(1))


class Order(Model):
    """What a customer wants."""

    customer: str
    lines: list[Line]
    placed: datetime
    status: Status = Status.RESERVED
    closed: datetime | None = None
