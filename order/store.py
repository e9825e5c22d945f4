"""The order service's tables: loading the rows of a batch, saving what changed, reading.

An order's lines and address are values of the order: written once, with it, and read with it. So
they stand in its row as JSON, and an order costs one insert. A cart's lines stand in its row too:
whoever changes one has all of them locked.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.mapping import Mapped
from chassis.storage.tables import (
    Json,
    Krw64,
    Time,
    Uuid,
    idempotency_keys,
    in_states,
    index_states,
    index_unsettled,
    one_of,
)
from events.contract import (
    Address,
    FailReason,
    Line,
    PaymentCompleted,
    PaymentMethod,
    ProductChanged,
    ProductStatus,
)
from order.cart import (
    AddToCart,
    Cart,
    CartItem,
    ChangeCartItem,
    PricedCart,
    TakeFromCart,
    priced_cart,
)
from order.domain import (
    STATES,
    UNSETTLED,
    ExpireOrder,
    ListedProduct,
    Order,
    Orders,
    OrderState,
    OrderStatus,
    PlaceOrder,
    SetHotProduct,
)
from order.settings import Settings
from saga.unit_of_work import Rows, values_of

MAX_DUE = 500
"""So many expired orders are taken care of at once."""

schema = MetaData()

orders_table = Table(
    "orders",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("state", one_of(OrderState), nullable=False),
    Column("fail_reason", one_of(FailReason)),
    Column("items", Json(tuple[Line, ...]), nullable=False),
    Column("total_amount", Krw64, nullable=False),
    Column("discount_amount", Krw64, nullable=False),
    Column("payable_amount", Krw64, nullable=False),
    Column("coupon_id", Uuid),
    Column("payment_method", one_of(PaymentMethod), nullable=False),
    Column("address", Json(Address)),
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

price_list_table = Table(
    "price_list",
    schema,
    Column("product_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("price", Krw64, nullable=False),
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

_orders: Mapped[str, Order] = Mapped(orders_table, Order, "order_id")
_price_list: Mapped[str, ListedProduct] = Mapped(price_list_table, ListedProduct, "product_id")
_carts: Mapped[str, Cart] = Mapped(carts_table, Cart, "customer_id")

_with_deadline = {
    OrderState.PENDING: STATES[OrderStatus.PENDING],
    OrderState.WAITING: STATES[OrderStatus.WAITING],
}
_overdue = {
    state: select(orders_table.c.order_id)
    .where(
        in_states(orders_table, indexed),
        orders_table.c.state == state,
        orders_table.c.created_at <= bindparam("latest"),
    )
    .order_by(orders_table.c.created_at)
    .limit(MAX_DUE)
    for state, indexed in _with_deadline.items()
}

_hot = select(price_list_table.c.product_id).where(price_list_table.c.hot)
_known = select(idempotency_keys.c.key).where(
    idempotency_keys.c.key == bindparam("key"), idempotency_keys.c.scope == bindparam("scope")
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Orders:
    """The orders and carts that messages are about, and the offers that they need or change."""
    placed = [message for message in messages if isinstance(message, PlaceOrder)]
    told = [message for message in messages if not isinstance(message, PlaceOrder)]
    orders = _orders.load(connection, "order_id", values_of(told, "order_id"))
    carts = _load_carts(connection, messages, orders)
    lines: list[object] = [line for command in placed for line in command.items]
    shown = {each.customer_id for each in messages if isinstance(each, AddToCart | ChangeCartItem)}
    lines += [item for cart in carts.loaded if cart.customer_id in shown for item in cart.items]
    changed = [e for e in messages if isinstance(e, ProductChanged | SetHotProduct | AddToCart)]
    offers = _price_list.load(connection, "product_id", values_of([*lines, *changed], "product_id"))
    return Orders(now, orders, offers, carts)


def _load_carts(
    connection: Connection, messages: Sequence[object], orders: Rows[str, Order]
) -> Rows[str, Cart]:
    """The carts that are changed: by commands, and by orders from them that complete."""
    commands = [e for e in messages if isinstance(e, AddToCart | ChangeCartItem | TakeFromCart)]
    paid = {each.order_id for each in messages if isinstance(each, PaymentCompleted)}
    bought = [order for order in orders.loaded if order.from_cart and order.order_id in paid]
    return _carts.load(connection, "customer_id", values_of([*commands, *bought], "customer_id"))


def save(connection: Connection, orders: Orders) -> None:
    _orders.save(connection, orders.orders)
    _price_list.save(connection, orders.price_list)
    _carts.save(connection, orders.carts)


# ---------------------------------------------------------------- reading


async def find_order(connection: AsyncConnection, order_id: str) -> Order | None:
    return await _orders.find(connection, "order_id", order_id)


async def show_cart(connection: AsyncConnection, customer_id: str) -> PricedCart:
    """The cart at the prices of the moment."""
    cart = await find_cart(connection, customer_id)
    offers = Rows[str, ListedProduct]()
    if cart is not None and cart.items:
        ids = [item.product_id for item in cart.items]
        query = select(*_price_list.columns).where(price_list_table.c.product_id.in_(ids))
        found = map(_price_list.row, await connection.execute(query))
        offers = Rows({offer.product_id: offer for offer in found})
    return priced_cart(customer_id, cart, offers)


async def find_cart(connection: AsyncConnection, customer_id: str) -> Cart | None:
    return await _carts.find(connection, "customer_id", customer_id)


async def overdue(
    connection: AsyncConnection, now: datetime, settings: Settings
) -> list[ExpireOrder]:
    """The orders whose deadline has come, the oldest first.

    One that waits for stock has the time to wait besides; product ends it before, as a rule.
    """
    seconds = {
        OrderState.PENDING: settings.order_timeout_seconds,
        OrderState.WAITING: settings.wait_timeout_seconds + settings.order_timeout_seconds,
    }
    due: list[ExpireOrder] = []
    for state, allowed_seconds in seconds.items():
        latest = now - timedelta(seconds=allowed_seconds)
        found = await connection.scalars(_overdue[state], {"latest": latest})
        due += [ExpireOrder(order_id=order_id) for order_id in found]
    return due


async def list_orders(
    connection: AsyncConnection,
    *,
    customer_id: str | None,
    states: Collection[OrderState] | None,
    offset: int,
    size: int,
) -> tuple[list[Order], int]:
    """Orders, newest first, and how many there are."""
    columns = orders_table.c
    conditions: list[ColumnElement[bool]] = []
    if customer_id is not None:
        conditions.append(columns.customer_id == customer_id)
    if states is not None:
        conditions.append(in_states(orders_table, states))
    matching = and_(true(), *conditions)
    order = (columns.created_at.desc(), columns.order_id)
    return await _orders.page(connection, matching, *order, offset=offset, size=size)


async def hot_products(connection: AsyncConnection) -> set[str]:
    """The products that a gate is to stand in front of."""
    return set(await connection.scalars(_hot))


async def is_known(connection: AsyncConnection, scope: str, key: str) -> bool:
    """Was an answer kept under this idempotency key?"""
    return await connection.scalar(_known, {"key": key, "scope": scope}) is not None
