"""What a warehouse does, on a real folder; all is read from the disk in the end."""

from datetime import UTC, datetime, timedelta

import pytest
from storify import DanglingRefError, DuplicateKeyError, Storify
from storify.testing import Reopen

from inventory import (
    InventoryError,
    OutOfStockError,
    Product,
    Sku,
    Status,
    Warehouse,
)

BOLT, NUT = Sku("BOL", 12), Sku("NUT", 7)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def opened(sf: Storify) -> Warehouse:
    """Open a warehouse that has 10 bolts and 4 nuts."""
    warehouse = Warehouse.open(sf)
    warehouse.list_product(Product(BOLT, "Bolt", 25, "401"))
    warehouse.list_product(Product(NUT, "Nut", 10))
    warehouse.receive(BOLT, 10, minimum=8)
    warehouse.receive(NUT, 4)
    return warehouse


def test_what_is_shipped_has_left(sf: Storify, reopen: Reopen) -> None:
    """An order reserves, and takes away in the end."""
    warehouse = opened(sf)
    warehouse.reserve(1, "Ann", {BOLT: 3, NUT: 4}, NOON)
    assert [warehouse.stock(sku).free for sku in (BOLT, NUT)] == [7, 0]

    warehouse.ship(1, LATER)

    again = Warehouse.open(reopen(sf))
    stock = again.stock(BOLT)
    assert (stock.on_hand, stock.reserved) == (7, 0)
    order = again.order(1)
    assert (order.status, order.placed, order.closed) == (Status.SHIPPED, NOON, LATER)


def test_what_is_cancelled_is_free_again(sf: Storify, reopen: Reopen) -> None:
    """Nothing has left."""
    warehouse = opened(sf)
    warehouse.reserve(1, "Ann", {BOLT: 3}, NOON)

    warehouse.cancel(1, LATER)

    again = Warehouse.open(reopen(sf))
    assert again.stock(BOLT).free == again.stock(BOLT).on_hand == 10
    assert again.order(1).status is Status.CANCELLED


def test_an_order_that_cannot_be_met_changes_nothing(
    sf: Storify, reopen: Reopen
) -> None:
    """The bolts that were reserved before the nuts ran out are free."""
    warehouse = opened(sf)

    with pytest.raises(OutOfStockError, match="5 of NUT-0007 are wanted, 4 are free"):
        warehouse.reserve(1, "Ann", {BOLT: 3, NUT: 5}, NOON)

    assert warehouse.stock(BOLT).reserved == 0
    assert not Warehouse.open(reopen(sf)).waiting().exists()


def test_what_makes_no_sense_is_refused(sf: Storify) -> None:
    """And nothing is changed."""
    warehouse = opened(sf)
    warehouse.reserve(1, "Ann", {BOLT: 1}, NOON)
    warehouse.ship(1, LATER)

    with pytest.raises(InventoryError, match="order 1 is shipped"):
        warehouse.cancel(1, LATER)
    with pytest.raises(InventoryError, match="there is no order 2"):
        warehouse.ship(2, LATER)
    with pytest.raises(InventoryError, match="there is an order 1 already"):
        warehouse.reserve(1, "Bob", {BOLT: 1}, NOON)
    with pytest.raises(InventoryError, match="there is no product CAP-0001"):
        warehouse.receive(Sku("CAP", 1), 5)
    with pytest.raises(InventoryError, match="1 or more, not 0"):
        warehouse.reserve(2, "Bob", {}, NOON)
    with pytest.raises(InventoryError, match="1 or more, not -2"):
        warehouse.receive(BOLT, -2)

    assert (warehouse.stock(BOLT).on_hand, warehouse.stock(BOLT).reserved) == (9, 0)


def test_a_barcode_names_one_product(sf: Storify, reopen: Reopen) -> None:
    """The index refuses a second one, and what was listed stays."""
    warehouse = opened(sf)

    with pytest.raises(DuplicateKeyError):
        warehouse.list_product(Product(NUT, "Nut", 10, "401"))

    again = Warehouse.open(reopen(sf))
    found = again.scan("401")
    assert found is not None
    assert found.sku == BOLT
    assert again.product(NUT).barcode is None
    assert again.scan("402") is None


def test_questions_are_answered_from_what_is_there(sf: Storify) -> None:
    """By an index, a query, and the references of an order."""
    warehouse = opened(sf)
    warehouse.receive(NUT, 1, minimum=9)
    warehouse.reserve(1, "Ann", {BOLT: 3, NUT: 2}, NOON)
    warehouse.reserve(2, "Bob", {BOLT: 1}, NOON)
    warehouse.reserve(3, "Cy", {BOLT: 1}, NOON)
    warehouse.ship(2, LATER)

    assert warehouse.to_buy() == [NUT, BOLT]
    assert [order.customer for order in warehouse.waiting()] == ["Ann", "Cy"]
    assert warehouse.price_cents(1) == 95
    warehouse.product(BOLT).price_cents = 30
    assert warehouse.price_cents(1) == 110


def test_a_product_that_is_gone_is_told(sf: Storify) -> None:
    """Its order is still there, and `check` names the place."""
    warehouse = opened(sf)
    warehouse.reserve(1, "Ann", {BOLT: 1}, NOON)

    del sf["catalogue"][BOLT]

    assert [misfit.kind for misfit in sf.check()] == ["dangling ref"]
    with pytest.raises(DanglingRefError):
        warehouse.price_cents(1)
