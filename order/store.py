"""The order service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.tables import idempotency_keys, in_range, in_states
from events.contract import (
    Address,
    AddressChanged,
    OrderCreated,
    PaymentCompleted,
    ProductChanged,
    ShippingAddressesErased,
    ShippingAddressGiven,
    UserErased,
)
from order import tables
from order.addresses import KnownAddress, Recipient, ShippingAddress
from order.cart import Cart
from order.commands import (
    AddToCart,
    ChangeCartItem,
    ExpireOrder,
    PlaceOrder,
    SetHotProduct,
    TakeFromCart,
)
from order.domain import STATES, ListedProduct, Order, OrderState, OrderStatus
from order.pricing import PricedCart, price_cart
from order.settings import Settings
from order.unit_of_work import OrderUnitOfWork
from saga.due import due_ranges
from saga.unit_of_work import Rows, values_of

MAX_OVERDUE = 500
"""Orders in one state that a look for overdue ones finds."""

_orders = tables.orders_table.c
_prices = tables.prices_table.c

_with_deadline = {
    OrderState.PENDING: STATES[OrderStatus.PENDING],
    OrderState.WAITING: STATES[OrderStatus.WAITING],
}
_overdue = {
    state: select(_orders.order_id)
    .where(
        in_states(tables.orders_table, indexed),
        _orders.state == state,
        in_range(_orders.created_at),
    )
    .order_by(_orders.created_at)
    .limit(MAX_OVERDUE)
    for state, indexed in _with_deadline.items()
}

_hot = select(_prices.product_id).where(_prices.hot)
_key = select(idempotency_keys.c.key).where(
    idempotency_keys.c.key == bindparam("key"), idempotency_keys.c.scope == bindparam("scope")
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> OrderUnitOfWork:
    """The orders and carts that messages are about, and the products that they need or change."""
    placed = [message for message in messages if isinstance(message, PlaceOrder)]
    others = [message for message in messages if not isinstance(message, PlaceOrder)]
    orders = tables.orders.load(connection, "order_id", values_of(others, "order_id"))
    carts = _load_carts(connection, messages, orders)
    lines: list[object] = [line for command in placed for line in command.items]
    shown = {each.customer_id for each in messages if isinstance(each, AddToCart | ChangeCartItem)}
    lines += [item for cart in carts.loaded if cart.customer_id in shown for item in cart.items]
    changed = [e for e in messages if isinstance(e, ProductChanged | SetHotProduct | AddToCart)]
    products = values_of([*lines, *changed], "product_id")
    prices = tables.prices.load(connection, "product_id", products)
    return OrderUnitOfWork(now, orders, prices, carts, *_load_addresses(connection, messages))


def _load_addresses(
    connection: Connection, messages: Sequence[object]
) -> tuple[Rows[str, Recipient], Rows[str, KnownAddress], Rows[str, ShippingAddress]]:
    """For messages with an address, of which orders without one are none."""
    about = [each for each in messages if _is_about_address(each)]
    customers = values_of(about, "customer_id", "user_id")
    adopted = [each for each in about if isinstance(each, ShippingAddressGiven | OrderCreated)]
    return (
        tables.recipients.load(connection, "customer_id", customers),
        tables.addresses.load(connection, "address_id", values_of(about, "address_id")),
        tables.shipping.load(connection, "order_id", values_of(adopted, "order_id")),
    )


def _is_about_address(message: object) -> bool:
    if isinstance(message, PlaceOrder):
        return message.is_shipped
    if isinstance(message, OrderCreated):
        return message.address is not None
    kinds = AddressChanged | UserErased | ShippingAddressGiven | ShippingAddressesErased
    return isinstance(message, kinds)


def _load_carts(
    connection: Connection, messages: Sequence[object], orders: Rows[str, Order]
) -> Rows[str, Cart]:
    """The carts that are changed: by commands, and by orders from them that complete."""
    commands = [e for e in messages if isinstance(e, AddToCart | ChangeCartItem | TakeFromCart)]
    paid = {each.order_id for each in messages if isinstance(each, PaymentCompleted)}
    bought = [order for order in orders.loaded if order.from_cart and order.order_id in paid]
    customers = values_of([*commands, *bought], "customer_id")
    return tables.carts.load(connection, "customer_id", customers)


def save(connection: Connection, uow: OrderUnitOfWork) -> None:
    tables.orders.save(connection, uow.orders)
    tables.prices.save(connection, uow.prices)
    tables.carts.save(connection, uow.carts)
    tables.recipients.save(connection, uow.recipients)
    tables.addresses.save(connection, uow.addresses)
    tables.shipping.save(connection, uow.shipping)
    if erased := {each.key for each in uow.erased}:
        _erase(connection, erased)


def _erase(connection: Connection, customers: Collection[str]) -> None:
    for table in (tables.addresses_table, tables.shipping_table, tables.carts_table):
        connection.execute(delete(table).where(table.c.customer_id.in_(customers)))
    has_address = _orders.customer_id.in_(customers) & _orders.address.is_not(None)
    connection.execute(update(tables.orders_table).where(has_address).values(address=None))


# ---------------------------------------------------------------- reading


async def find_order(connection: AsyncConnection, order_id: str) -> Order | None:
    return await tables.orders.find(connection, "order_id", order_id)


async def find_addresses(
    connection: AsyncConnection, order_ids: Collection[str]
) -> dict[str, Address]:
    """Where these orders are shipped to; none for an order without an address."""
    snapshots = tables.shipping_table
    query = (
        select(_orders.order_id, _orders.address, *snapshots.c["street", "postal_code", "city"])
        .outerjoin(snapshots, snapshots.c.order_id == _orders.order_id)
        .where(_orders.order_id.in_(order_ids))
    )
    found: dict[str, Address] = {}
    for order_id, of_version_before, street, postal_code, city in await connection.execute(query):
        if street is not None:
            found[order_id] = Address(street=street, postal_code=postal_code, city=city)
        elif of_version_before is not None:
            found[order_id] = of_version_before
    return found


async def find_priced_cart(connection: AsyncConnection, customer_id: str) -> PricedCart:
    """The customer's cart at the current prices; an empty one if there is none."""
    cart = await find_cart(connection, customer_id)
    prices = Rows[str, ListedProduct]()
    if cart is not None and cart.items:
        ids = [item.product_id for item in cart.items]
        query = select(*tables.prices.columns).where(_prices.product_id.in_(ids))
        found = map(tables.prices.row, await connection.execute(query))
        prices = Rows({product.product_id: product for product in found})
    return price_cart(customer_id, cart, prices)


async def find_cart(connection: AsyncConnection, customer_id: str) -> Cart | None:
    return await tables.carts.find(connection, "customer_id", customer_id)


async def find_overdue(
    connection: AsyncConnection, now: datetime, settings: Settings
) -> list[ExpireOrder]:
    """The orders whose deadline has come, the oldest first.

    An order that waits for stock has the time to wait as well; product normally ends it before.
    """
    seconds = {
        OrderState.PENDING: settings.order_timeout_seconds,
        OrderState.WAITING: settings.wait_timeout_seconds + settings.order_timeout_seconds,
    }
    overdue: list[ExpireOrder] = []
    for state, allowed_seconds in seconds.items():
        times = due_ranges(now, waited_seconds=allowed_seconds, longest_seconds=allowed_seconds)
        for each in times:
            found = await connection.scalars(_overdue[state], each)
            overdue += [ExpireOrder(order_id=order_id) for order_id in found]
    return overdue


async def list_orders(
    connection: AsyncConnection,
    *,
    customer_id: str | None,
    states: Collection[OrderState] | None,
    offset: int,
    size: int,
) -> tuple[list[Order], int]:
    """Orders, newest first, and how many there are."""
    conditions: list[ColumnElement[bool]] = []
    if customer_id is not None:
        conditions.append(_orders.customer_id == customer_id)
    if states is not None:
        conditions.append(in_states(tables.orders_table, states))
    matching = and_(true(), *conditions)
    newest = (_orders.created_at.desc(), _orders.order_id)
    return await tables.orders.page(connection, matching, *newest, offset=offset, size=size)


async def find_hot_products(connection: AsyncConnection) -> set[str]:
    """The ids of the products with hot-product admission."""
    return set(await connection.scalars(_hot))


async def is_key_known(connection: AsyncConnection, scope: str, key: str) -> bool:
    """Is an answer stored under this idempotency key?"""
    return await connection.scalar(_key, {"key": key, "scope": scope}) is not None
