"""What is stored comes back: each class, and what older programs have stored."""

from attrs.validators import ge, le, min_len
from hypothesis import given, settings
from hypothesis import strategies as st
from storify import Model, field
from storify.testing import assert_roundtrip, assert_upgrades, models, same, temp_db

from inventory import Order, Product, Sku, Stock


def test_products_come_back() -> None:
    """Whatever the validators admit."""
    assert_roundtrip(Product)


def test_stock_comes_back() -> None:
    """Also what no program should store."""
    assert_roundtrip(Stock)


def test_orders_come_back_in_another_program() -> None:
    """References, enums and moments, from a file that a new interpreter reads."""
    assert_roundtrip(Order, examples=50, new_process=True)


def test_odd_texts_and_numbers_come_back() -> None:
    """What breaks stores: NUL, surrogates, integers of 65 bits."""
    assert_roundtrip(models(Order, adversarial=True))


@settings(deadline=None)
@given(st.from_type(Product))
def test_a_product_is_found_by_an_equal_sku(product: Product) -> None:
    """A frozen model is a key by its value."""
    sku = Sku(product.sku.group, product.sku.number)

    with temp_db(Product, key=Sku, engine="memory") as catalogue:
        catalogue[product.sku] = product
        catalogue.flush()

        assert same(catalogue[sku], product)


class ProductV0(Model, keyname="__Product__"):
    """As it was: the price is in euros."""

    sku: Sku
    title: str = field(validator=min_len(1))
    price: float = field(validator=[ge(0), le(1_000_000)])


def test_products_of_the_first_program_are_read() -> None:
    """Not a cent is lost, and the first program loses nothing of ours."""
    assert_upgrades(ProductV0, Product, check=_is_the_same)


def _is_the_same(old: ProductV0, new: Product) -> None:
    assert new.price_cents == round(old.price * 100)
    assert (new.sku, new.name, new.barcode) == (old.sku, old.title, None)


class StockV0(Model, keyname="__Stock__"):
    """As it was: nothing is reserved."""

    sku: Sku
    on_hand: int


def test_stock_of_the_first_program_is_read() -> None:
    """What is new has its defaults."""
    assert_upgrades(
        StockV0,
        Stock,
        check=lambda old, new: (new.on_hand, new.reserved) == (old.on_hand, 0),
    )


@given(models(Sku))
def test_a_label_names_one_product(sku: Sku) -> None:
    """It can be read back."""
    group, _, number = str(sku).partition("-")

    assert Sku(group, int(number)) == sku
    assert len(str(sku)) == 8
