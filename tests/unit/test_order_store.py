"""Which rows the order service loads for a batch: carts only where they change."""

from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import Connection, create_engine

from order import store, tables
from order.cart import Cart, CartItem
from order.commands import (
    AddToCart,
    CancelOrder,
    ChangeCartItem,
    PlaceOrder,
    TakeFromCart,
    WantedLine,
)
from order.domain import OrderState
from tests.unit.order_fixtures import (
    CUSTOMER,
    FAILURES,
    IN_STATE,
    LATER,
    NOW,
    ORDER,
    PAID,
    listed_product,
    unit_of_work,
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
        tables.schema.create_all(connection)
        uow = unit_of_work()
        uow.orders[ORDER] = PENDING
        uow.orders[FROM_CART] = msgspec.structs.replace(PENDING, order_id=FROM_CART, from_cart=True)
        uow.prices["p0"] = listed_product("p0", 30)
        uow.prices["p1"] = listed_product("p1", 7)
        items = (CartItem(product_id="p0", quantity=2),)
        uow.carts[CUSTOMER] = Cart(
            customer_id=CUSTOMER, items=items, created_at=NOW, updated_at=NOW
        )
        uow.release()
        store.save(connection, uow)
        yield connection


def tables_read(connection: Connection, *messages: object) -> list[str]:
    """The tables that are read to load these messages, in order."""
    statements: list[str] = []
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.set_trace_callback(statements.append)
    store.load(connection, messages, LATER)
    driver.set_trace_callback(None)
    return [statement.partition("FROM ")[2].split()[0] for statement in statements]


def test_order_without_cart_reads_one_table(connection: Connection) -> None:
    assert tables_read(connection, PLACE) == ["price_list"]
    assert tables_read(connection, PAID, CancelOrder(order_id=ORDER)) == ["orders"]


def test_order_from_cart_loads_cart_only_when_paid(
    connection: Connection,
) -> None:
    paid = msgspec.structs.replace(PAID, order_id=FROM_CART)
    failed = msgspec.structs.replace(FAILURES[0], order_id=FROM_CART)
    assert tables_read(connection, failed, CancelOrder(order_id=FROM_CART), PAID) == ["orders"]
    assert tables_read(connection, paid) == ["orders", "carts"]
    assert store.load(connection, [paid], LATER).carts[CUSTOMER].quantity_of("p0") == 2


def test_changed_cart_loads_prices_of_its_products(connection: Connection) -> None:
    add = AddToCart(customer_id=CUSTOMER, product_id="p1", quantity=1)
    change = ChangeCartItem(customer_id=CUSTOMER, product_id="p0", quantity=1)
    for command, products in ((add, {"p0", "p1"}), (change, {"p0"})):
        uow = store.load(connection, [command], LATER)
        assert {each.product_id for each in uow.prices.loaded} == products
    assert tables_read(connection, add) == ["carts", "price_list"]
    assert tables_read(connection, TakeFromCart(customer_id=CUSTOMER)) == ["carts"]
