"""What the order service reads for a batch: a cart only where one is changed."""

from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import Connection, create_engine

from order import store
from order.cart import AddToCart, Cart, CartItem, ChangeCartItem, TakeFromCart
from order.domain import CancelOrder, OrderState, PlaceOrder, WantedLine
from tests.unit.order_fixtures import (
    CUSTOMER,
    FAILURES,
    IN_STATE,
    LATER,
    NOW,
    ORDER,
    PAID,
    offer,
    orders,
)

PENDING = msgspec.structs.replace(IN_STATE[OrderState.PENDING], items=())
FROM_CART = "order-2"
PLACE = PlaceOrder(
    order_id="new",
    customer_id=CUSTOMER,
    items=(WantedLine(product_id="p0", quantity=1),),
    from_cart=True,
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    """Two orders of a customer, one of them from a cart, which still holds a product."""
    with create_engine("sqlite://").begin() as connection:
        store.schema.create_all(connection)
        at = orders()
        at.orders[ORDER] = PENDING
        at.orders[FROM_CART] = msgspec.structs.replace(PENDING, order_id=FROM_CART, from_cart=True)
        at.price_list["p0"] = offer("p0", 30)
        at.price_list["p1"] = offer("p1", 7)
        items = (CartItem(product_id="p0", quantity=2),)
        at.carts[CUSTOMER] = Cart(customer_id=CUSTOMER, items=items, created_at=NOW, updated_at=NOW)
        at.release()
        store.save(connection, at)
        yield connection


def asked(connection: Connection, *messages: object) -> list[str]:
    """The tables that are read for these messages."""
    statements: list[str] = []
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.set_trace_callback(statements.append)
    store.load(connection, messages, LATER)
    driver.set_trace_callback(None)
    return [statement.partition("FROM ")[2].split()[0] for statement in statements]


def test_an_ordinary_order_costs_nothing_more(connection: Connection) -> None:
    assert asked(connection, PLACE) == ["price_list"]
    assert asked(connection, PAID, CancelOrder(order_id=ORDER)) == ["orders"]


def test_an_order_from_a_cart_needs_it_when_it_is_paid_and_only_then(
    connection: Connection,
) -> None:
    paid = msgspec.structs.replace(PAID, order_id=FROM_CART)
    failed = msgspec.structs.replace(FAILURES[0], order_id=FROM_CART)
    assert asked(connection, failed, CancelOrder(order_id=FROM_CART), PAID) == ["orders"]
    assert asked(connection, paid) == ["orders", "carts"]
    assert store.load(connection, [paid], LATER).carts[CUSTOMER].quantity_of("p0") == 2


def test_a_cart_that_is_shown_needs_the_offers_of_its_products(connection: Connection) -> None:
    add = AddToCart(customer_id=CUSTOMER, product_id="p1", quantity=1)
    change = ChangeCartItem(customer_id=CUSTOMER, product_id="p0", quantity=1)
    for command, offers in ((add, {"p0", "p1"}), (change, {"p0"})):
        at = store.load(connection, [command], LATER)
        assert {each.product_id for each in at.price_list.loaded} == offers
    assert asked(connection, add) == ["carts", "price_list"]
    assert asked(connection, TakeFromCart(customer_id=CUSTOMER)) == ["carts"]
