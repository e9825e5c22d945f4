"""The order service's tables, and how their rows are loaded and written.

An order's lines are values of the order: written once, with it, and read with it. So they are in
its row as JSON, and an order costs one insert. A cart's lines are in its row too. All personal data
is in tables of its own.
"""

from sqlalchemy import Boolean, Column, Connection, Index, Integer, MetaData, String, Table, text

from chassis.storage.mapping import Mapped
from chassis.storage.migrations import Upgrade, drop_check
from chassis.storage.tables import (
    Integer64,
    Json,
    Time,
    Uuid,
    index_states,
    index_unsettled,
    one_of,
)
from events.contract import Address, FailReason, Line, PaymentMethod, ProductStatus
from order.addresses import KnownAddress, Recipient, ShippingAddress
from order.cart import Cart, CartItem
from order.domain import STATES, UNSETTLED, ListedProduct, Order, OrderState
from saga.personal import personal

schema = MetaData()

orders_table = Table(
    "orders",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("state", one_of(OrderState), nullable=False),
    Column("fail_reason", one_of(FailReason, is_checked=False)),
    Column("items", Json(tuple[Line, ...]), nullable=False),
    Column("total_amount", Integer64, nullable=False),
    Column("discount_amount", Integer64, nullable=False),
    Column("payable_amount", Integer64, nullable=False),
    Column("coupon_id", Uuid),
    Column("payment_method", one_of(PaymentMethod), nullable=False),
    # Written by instances of the version before alone; since then in shipping_addresses.
    Column("address", Json(Address), info=personal("To ship the order to.")),
    Column("attempt", Integer, nullable=False),
    Column("queue_position", Integer),
    Column("created_at", Time, nullable=False),
    Column("completed_at", Time),
    Column("updated_at", Time, nullable=False),
    Column("from_cart", Boolean, nullable=False),
    Index("orders_of_customer", "customer_id", "created_at"),
    Index("orders_by_time", "created_at"),
)
for _status, _states in STATES.items():
    index_states(f"orders_{_status.lower()}", orders_table.c.created_at, _states)
index_unsettled(orders_table, UNSETTLED)

prices_table = Table(
    "price_list",
    schema,
    Column("product_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("price", Integer64, nullable=False),
    Column("status", one_of(ProductStatus), nullable=False),
    Column("sold_out", Boolean, nullable=False),
    Column("hot", Boolean, nullable=False),
    Column("updated_at", Time, nullable=False),
)

carts_table = Table(
    "carts",
    schema,
    Column("customer_id", Uuid, primary_key=True),
    Column("items", Json(tuple[CartItem, ...]), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

recipients_table = Table(
    "recipients",
    schema,
    Column("customer_id", Uuid, primary_key=True),
    Column("created_at", Time, nullable=False),
    Column("erased_at", Time),
)

addresses_table = Table(
    "addresses",
    schema,
    Column("address_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("street", String(200), info=personal("To ship later orders to.")),
    Column("postal_code", String(200), info=personal("To ship later orders to.")),
    Column("city", String(200), info=personal("To ship later orders to.")),
)

shipping_table = Table(
    "shipping_addresses",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False, index=True),
    Column("street", String(200), nullable=False, info=personal("To ship the order to.")),
    Column("postal_code", String(200), nullable=False, info=personal("To ship the order to.")),
    Column("city", String(200), nullable=False, info=personal("To ship the order to.")),
)

recipients: Mapped[str, Recipient] = Mapped(recipients_table, Recipient, "customer_id")
addresses: Mapped[str, KnownAddress] = Mapped(addresses_table, KnownAddress, "address_id")
shipping: Mapped[str, ShippingAddress] = Mapped(shipping_table, ShippingAddress, "order_id")
orders: Mapped[str, Order] = Mapped(orders_table, Order, "order_id")
prices: Mapped[str, ListedProduct] = Mapped(prices_table, ListedProduct, "product_id")
carts: Mapped[str, Cart] = Mapped(carts_table, Cart, "customer_id")


def _take_any_reason(connection: Connection) -> None:
    drop_check(connection, "orders", "failreason")


_FIELDS = {
    "sqlite": "json_extract(address, '$.{}')",
    "postgresql": "(address::json ->> '{}')",
}


def _move_addresses(connection: Connection) -> None:
    """Out of the orders' rows into a table of their own."""
    field = _FIELDS[connection.dialect.name]
    columns = ", ".join(field.format(name) for name in ("street", "postalCode", "city"))
    connection.execute(
        text(
            "INSERT INTO shipping_addresses "  # noqa: S608 - names from this code
            "(order_id, customer_id, street, postal_code, city) "
            f"SELECT order_id, customer_id, {columns} FROM orders "
            "WHERE address IS NOT NULL ON CONFLICT DO NOTHING"
        )
    )
    connection.execute(
        text(
            "INSERT INTO recipients (customer_id, created_at) "
            "SELECT customer_id, MIN(created_at) FROM orders "
            "WHERE address IS NOT NULL GROUP BY customer_id ON CONFLICT DO NOTHING"
        )
    )
    connection.execute(text("UPDATE orders SET address = NULL WHERE address IS NOT NULL"))


UPGRADES = (Upgrade(7, _take_any_reason), Upgrade(10, _move_addresses))
