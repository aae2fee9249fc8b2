"""What a warehouse has, and who waits for it.

* `models`: what is stored.
* `warehouse`: what can be done with it.
"""

from .models import Line, Order, Product, Sku, Status, Stock
from .warehouse import InventoryError, OutOfStockError, Warehouse

__all__ = [
    "InventoryError",
    "Line",
    "Order",
    "OutOfStockError",
    "Product",
    "Sku",
    "Status",
    "Stock",
    "Warehouse",
]
