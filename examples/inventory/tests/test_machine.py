"""Whatever is done in a warehouse, what is promised is there."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    initialize,
    invariant,
    multiple,
    rule,
)
from storify import Storify
from storify.testing import DatabaseMachine

from inventory import (
    InventoryError,
    Order,
    Product,
    Sku,
    Status,
    Stock,
    Warehouse,
)

SKUS = [Sku("BOL", 12), Sku("NUT", 7)]
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)

CATALOGUE = Storify("memory://", save_interval=None).get_db(
    "catalogue",
    {sku: Product(sku, "A thing", 25) for sku in SKUS},
    model=Product,
    key=Sku,
)

deliveries = st.integers(4, 12)
quantities = st.integers(1, 4)


class Warehouses(DatabaseMachine[Stock | Order]):
    """A warehouse at work; meanwhile it is closed and opened, and saved by others.

    That comes with the machine, and so does the comparison with what was saved.
    """

    classes = (Stock, Order)
    at_random = False
    orders = Bundle[int]("orders")

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse over the database of now."""
        return Warehouse(CATALOGUE, self.db)

    def done(self) -> None:
        """See that what the warehouse did is saved, and right from now on."""
        assert not self.db.dirty()
        self.accept()

    @initialize(quantity=deliveries)
    def fill(self, quantity: int) -> None:
        """Have something to sell."""
        for sku in SKUS:
            self.receive(sku, quantity)

    @rule(sku=st.sampled_from(SKUS), quantity=deliveries)
    def receive(self, sku: Sku, quantity: int) -> None:
        """Take a delivery."""
        self.warehouse.receive(sku, quantity)
        self.done()

    @rule(
        target=orders,
        number=st.integers(1, 9),
        wanted=st.dictionaries(st.sampled_from(SKUS), quantities, min_size=1),
    )
    def reserve(
        self, number: int, wanted: dict[Sku, int]
    ) -> int | MultipleResults[int]:
        """Place an order; if it cannot be met, there is none."""
        try:
            self.warehouse.reserve(number, "Ann", wanted, NOON)
        except InventoryError:
            return multiple()
        finally:
            self.done()
        return number

    @rule(number=orders, is_shipped=st.booleans())
    def close(self, number: int, *, is_shipped: bool) -> None:
        """Ship an order or cancel it, if it waits."""
        act = self.warehouse.ship if is_shipped else self.warehouse.cancel
        with suppress(InventoryError):
            act(number, NOON)
        self.done()

    @invariant()
    def stock_is_never_negative(self) -> None:
        """What is reserved is there."""
        for stock in self.db.of(Stock):
            assert 0 <= stock.reserved <= stock.on_hand

    @invariant()
    def what_is_reserved_is_waited_for(self) -> None:
        """Each piece by one order, and no order waits for what is not reserved."""
        waited_for = Counter[Sku]()
        for order in self.db.of(Order).where(lambda o: o.status is Status.RESERVED):
            for line in order.lines:
                waited_for[line.product.key] += line.quantity
        reserved = {stock.sku: stock.reserved for stock in self.db.of(Stock)}

        assert waited_for == Counter(reserved)


TestWarehouses = Warehouses.TestCase
TestWarehouses.settings = settings(
    TestWarehouses.settings, max_examples=2 * TestWarehouses.settings.max_examples
)
