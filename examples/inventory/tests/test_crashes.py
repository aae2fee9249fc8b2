"""The machine may stop at any moment: an order is shipped, or it is not."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from storify import Storify
from storify.testing import crash_points

from inventory import Order, Product, Sku, Status, Warehouse

BOLT, NUT = Sku("BOL", 12), Sku("NUT", 7)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def ship(root: Path, done: Callable[[str], object]) -> None:
    """Ship an order of two products."""
    with Storify(root, save_interval=None) as sf:
        warehouse = Warehouse.open(sf)
        for sku in (BOLT, NUT):
            warehouse.list_product(Product(sku, "A thing", 25))
            warehouse.receive(sku, 5)
        warehouse.reserve(1, "Ann", {BOLT: 2, NUT: 5}, NOON)
        done("reserved")
        warehouse.ship(1, NOON)
        done("shipped")


#: How far the order has come, and what there is of both products.
State = tuple[Status | None, int, int, int, int]

BEFORE: set[State] = {(None, 0, 0, 0, 0), (None, 5, 0, 0, 0), (None, 5, 0, 5, 0)}
RESERVED: State = (Status.RESERVED, 5, 2, 5, 5)
SHIPPED: State = (Status.SHIPPED, 3, 0, 0, 0)


def found(sf: Storify) -> State:
    """Give what is left of it."""
    warehouse = Warehouse.open(sf)
    order = sf["warehouse"].get("order 1")
    bolts, nuts = warehouse.stock(BOLT), warehouse.stock(NUT)
    status = order.status if isinstance(order, Order) else None
    return status, bolts.on_hand, bolts.reserved, nuts.on_hand, nuts.reserved


@pytest.mark.storify_crash
def test_an_order_is_shipped_as_a_whole(tmp_path: Path) -> None:
    """Whatever disk call is the last one; and what was done stays done."""
    # by what was done, all that may be found
    states: dict[tuple[str, ...], set[State]] = {
        (): {*BEFORE, RESERVED},
        ("reserved",): {RESERVED, SHIPPED},
        ("reserved", "shipped"): {SHIPPED},
    }

    for crashed in crash_points(ship, tmp_path, most=150):
        with crashed.reopen() as sf:
            assert found(sf) in states[tuple(crashed.done)]
            assert sf.check() == []
