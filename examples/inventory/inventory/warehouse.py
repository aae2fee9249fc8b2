"""What can be done in a warehouse: receive, reserve, ship, cancel.

Stock and orders are in one database, since they change together: a transaction is
one commit of one database. Products change by themselves, and have their own.

    catalogue        Sku      -> Product
    warehouse        "BOL-0012" -> Stock,  "order 7" -> Order
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from storify import Database, Query, Storify

from .models import Line, Order, Product, Sku, Status, Stock

__all__ = ["InventoryError", "OutOfStockError", "Warehouse"]


class InventoryError(Exception):
    """Something cannot be done, and nothing was changed."""


class OutOfStockError(InventoryError):
    """More is wanted than is free."""


def _status_of(record: Stock | Order) -> Status | None:
    return record.status if isinstance(record, Order) else None


class Warehouse:
    """Products, what there is of them, and orders.

    What changes something is durable when it returns, and all or nothing. The
    moment is given by the caller.
    """

    def __init__(
        self, catalogue: Database[Product, Sku], records: Database[Stock | Order]
    ) -> None:
        self._catalogue = catalogue
        self._records = records
        self._by_barcode = catalogue.index(lambda p: p.barcode, unique=True)
        self._by_status = records.index(_status_of)

    @classmethod
    def open(cls, sf: Storify) -> Self:
        """Open the databases of a warehouse, or make them."""
        return cls(
            sf.get_db("catalogue", model=Product, key=Sku),
            sf.get_db("warehouse", model=(Stock, Order)),
        )

    # -- products --------------------------------------------------------------

    def list_product(self, product: Product) -> None:
        """Put a product into the catalogue, or change it.

        Raises:
            DuplicateKeyError: Another product has its barcode.
        """
        with self._catalogue.transaction():
            self._catalogue[product.sku] = product

    def product(self, sku: Sku) -> Product:
        """Give a product.

        Raises:
            InventoryError: It is not in the catalogue.
        """
        try:
            return self._catalogue[sku]
        except KeyError:
            msg = f"there is no product {sku}"
            raise InventoryError(msg) from None

    def scan(self, barcode: str) -> Product | None:
        """Give the product that has a barcode."""
        return self._by_barcode.get(barcode)

    # -- what changes the stock --------------------------------------------------

    def receive(self, sku: Sku, quantity: int, *, minimum: int | None = None) -> None:
        """Take what was delivered; and note from how few on more is to be bought.

        Raises:
            InventoryError: There is no such product, or nothing was delivered.
        """
        self.product(sku)
        _require_some(quantity)
        with self._records.transaction() as records:
            records[str(sku)] = stock = self.stock(sku)
            stock.on_hand += quantity
            if minimum is not None:
                stock.minimum = minimum

    def reserve(
        self, number: int, customer: str, wanted: Mapping[Sku, int], now: datetime
    ) -> Order:
        """Promise products to a customer; give the new order, which is live.

        Raises:
            OutOfStockError: There is less of a product.
            InventoryError: There is no such product, nothing is wanted, or there is
                an order of that number.
        """
        with self._records.transaction() as records:
            if _key_of(number) in records:
                msg = f"there is an order {number} already"
                raise InventoryError(msg)
            lines: list[Line] = []
            for sku, quantity in wanted.items():
                self.product(sku)
                _require_some(quantity)
                stock = self.stock(sku)
                if quantity > stock.free:
                    msg = f"{quantity} of {sku} are wanted, {stock.free} are free"
                    raise OutOfStockError(msg)
                stock.reserved += quantity
                lines.append(Line(self._catalogue.ref(sku), quantity))
            _require_some(len(lines))
            order = Order(customer, lines, now)
            records[_key_of(number)] = order
        return order

    def ship(self, number: int, now: datetime) -> None:
        """Hand an order over: what it has reserved leaves the warehouse.

        Raises:
            InventoryError: There is no such order that waits.
        """
        with self._records.transaction():
            order = self._waiting(number)
            for line in order.lines:
                stock = self.stock(line.product.key)
                stock.on_hand -= line.quantity
                stock.reserved -= line.quantity
            order.status, order.closed = Status.SHIPPED, now

    def cancel(self, number: int, now: datetime) -> None:
        """Close an order, and free what it has reserved.

        Raises:
            InventoryError: There is no such order that waits.
        """
        with self._records.transaction():
            order = self._waiting(number)
            for line in order.lines:
                self.stock(line.product.key).reserved -= line.quantity
            order.status, order.closed = Status.CANCELLED, now

    # -- questions ---------------------------------------------------------------

    def stock(self, sku: Sku) -> Stock:
        """Give what there is of a product, live; nothing if it never came."""
        found = self._records.get(str(sku))
        return found if isinstance(found, Stock) else Stock(sku)

    def order(self, number: int) -> Order:
        """Give an order, live.

        Raises:
            InventoryError: There is none of that number.
        """
        found = self._records.get(_key_of(number))
        if not isinstance(found, Order):
            msg = f"there is no order {number}"
            raise InventoryError(msg)
        return found

    def waiting(self) -> Query[Order]:
        """Give the orders that are to be shipped."""
        return self._by_status.find(Status.RESERVED).of(Order)

    def to_buy(self) -> list[Sku]:
        """Give the products of which too few are free, those that lack most first."""
        few = self._records.of(Stock).where(lambda stock: stock.free < stock.minimum)
        by_lack = few.sorted(key=lambda stock: stock.free - stock.minimum)
        return by_lack.map(lambda stock: stock.sku).list()

    def price_cents(self, number: int) -> int:
        """Add up what an order costs by the prices of now.

        Raises:
            DanglingRefError: A product of it is no longer in the catalogue.
            InventoryError: There is none of that number.
        """
        lines = self.order(number).lines
        return sum(line.product().price_cents * line.quantity for line in lines)

    def _waiting(self, number: int) -> Order:
        order = self.order(number)
        if order.status is not Status.RESERVED:
            msg = f"order {number} is {order.status.value}"
            raise InventoryError(msg)
        return order


def _key_of(number: int) -> str:
    return f"order {number}"


def _require_some(quantity: int) -> None:
    if quantity < 1:
        msg = f"a quantity is 1 or more, not {quantity}"
        raise InventoryError(msg)
