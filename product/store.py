"""Loading the rows of a batch from the product service's tables, saving what changed, reading."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.statements import Statement, among
from chassis.storage.tables import in_states
from events.contract import (
    CouponUsed,
    OrderCancelled,
    OrderCompleted,
    PaymentFailed,
    PaymentRefunded,
    ProductStatus,
)
from product import tables
from product.domain import (
    UNSETTLED,
    BookStock,
    ChangeProduct,
    EndWait,
    Entry,
    Hold,
    HoldState,
    PriceSince,
    Product,
    Shelves,
)
from product.queues import Place, Queues
from product.sales import summed
from product.settings import Settings
from saga.unit_of_work import Ledger, Rows, values_of

MAX_DUE = 500
"""So many orders that have waited for too long are taken care of at once."""

_ticket = tables.places_table.c.ticket
_in_queue = select(*tables.places.columns).where(tables.is_waiting).order_by(_ticket)
_first = Statement(
    _in_queue.where(tables.places_table.c.product_id == bindparam("product_id"))
    .limit(bindparam("most"))
    .with_for_update(),
    "product_id",
    "most",
)
_wanting = Statement(
    select(tables.places_table.c.order_id).where(
        tables.is_waiting, among(tables.places_table.c.product_id, "product_ids")
    ),
    "product_ids",
)
_waited_out = (
    select(tables.holds_table.c.order_id)
    .where(
        in_states(tables.holds_table, UNSETTLED),
        tables.holds_table.c.state == HoldState.WAITING,
        tables.holds_table.c.updated_at <= bindparam("latest"),
    )
    .order_by(tables.holds_table.c.updated_at)
    .limit(MAX_DUE)
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Shelves:
    """The orders' rows, all products that they or the commands name, and earlier bookings.

    The queues too, where this batch may serve somebody. Sales need nothing: they are added to
    whatever is there.
    """
    messages = [each for each in messages if not isinstance(each, OrderCompleted | OrderCancelled)]
    holds = tables.holds.load(connection, "order_id", values_of(messages, "order_id"))
    ordering = [message for message in messages if isinstance(message, CouponUsed)]
    lines = [line for order in ordering for line in order.items]
    lines += [line for hold in holds.loaded for line in hold.items]
    wanted = {*values_of(lines, "product_id"), *values_of(messages, "product_id")}
    products = tables.products.load(connection, "product_id", sorted(wanted))
    booking = [message for message in messages if isinstance(message, BookStock)]
    queues = Queues(are_known=not any(each.waiting for each in products.loaded))
    if not queues.are_known and any(map(_may_serve, messages)):
        holds, products, queues = _with_queues(connection, messages, holds, products)
    return Shelves(now, holds, products, _booked_already(connection, booking), Ledger(), queues)


def save(connection: Connection, shelves: Shelves) -> None:
    tables.holds.save(connection, shelves.holds)
    tables.products.save(connection, shelves.products)
    tables.places.save(connection, shelves.queues)
    tables.entries.append(connection, shelves.ledger)
    tables.prices.append(connection, shelves.prices)
    tables.sales.run(connection, summed(shelves.sales))


def _booked_already(
    connection: Connection, booking: Sequence[BookStock]
) -> Rows[tuple[str, str], Entry]:
    if not booking:
        return Rows()
    query = select(*tables.entries.columns).where(
        tables.ledger_table.c.product_id.in_({each.product_id for each in booking}),
        tables.ledger_table.c.request_id.in_({each.request_id for each in booking}),
    )
    rows = [tables.entries.row(row) for row in connection.execute(query)]
    return Rows({(row.product_id, row.request_id): row for row in rows})


def _may_serve(message: object) -> bool:
    """Does its reaction serve the queues?"""
    match message:
        case PaymentFailed() | PaymentRefunded() | EndWait():
            return True
        case BookStock():
            return message.delta > 0
        case ChangeProduct():
            return message.status is ProductStatus.DISCONTINUED
    return False


def _with_queues(
    connection: Connection,
    messages: Sequence[object],
    holds: Rows[str, Hold],
    products: Rows[str, Product],
) -> tuple[Rows[str, Hold], Rows[str, Product], Queues]:
    """Those too whose turn may come now, and whatever they want.

    Whoever is served takes a unit at least. So of each queue as many places are enough as there may
    be units, and one more for each order that leaves it otherwise.
    """
    leaving = _leaving(connection, messages, holds)
    places = tables.places.load(connection, "order_id", leaving)
    units = _units_to_come(messages, holds)
    looked: set[str] = set()
    while looking := sorted(
        p.product_id for p in products.loaded if p.waiting and p.product_id not in looked
    ):
        for product_id in looking:
            most = products[product_id].available + units[product_id] + len(leaving) + 1
            first = map(tables.places.row, _first.rows(connection, product_id, most))
            places |= Rows({(each.product_id, each.order_id): each for each in first})
        looked.update(looking)
        new = [
            order_id for order_id in values_of(places.loaded, "order_id") if order_id not in holds
        ]
        holds |= tables.holds.load(connection, "order_id", new)
        lines = [line for hold in holds.loaded for line in hold.items]
        wanted = [each for each in values_of(lines, "product_id") if each not in products]
        products |= tables.products.load(connection, "product_id", wanted)
    return (
        holds,
        products,
        Queues({(each.product_id, each.order_id): each for each in places.loaded}),
    )


def _leaving(
    connection: Connection, messages: Sequence[object], holds: Rows[str, Hold]
) -> list[str]:
    """The orders that may leave their queues without being served."""
    closed = [
        each.product_id
        for each in messages
        if isinstance(each, ChangeProduct) and each.status is ProductStatus.DISCONTINUED
    ]
    wanting = _wanting.rows(connection, closed) if closed else []
    waiting = [hold.order_id for hold in holds.loaded if hold.state is HoldState.WAITING]
    return sorted({*waiting, *(order_id for (order_id,) in wanting)})


def _units_to_come(messages: Sequence[object], holds: Rows[str, Hold]) -> Counter[str]:
    """At most so many units of each product this batch may bring."""
    units = Counter[str]()
    for message in messages:
        if isinstance(message, BookStock) and message.delta > 0:
            units[message.product_id] += message.delta
    for hold in holds.loaded:
        for line in hold.items:
            units[line.product_id] += line.quantity
    return units


# ---------------------------------------------------------------- reading


async def find_product(connection: AsyncConnection, product_id: str) -> Product | None:
    return await tables.products.find(connection, "product_id", product_id)


async def waited_out(
    connection: AsyncConnection, now: datetime, settings: Settings
) -> list[EndWait]:
    """The orders that have waited for stock long enough, the oldest first."""
    latest = now - timedelta(seconds=settings.wait_timeout_seconds)
    found = await connection.scalars(_waited_out, {"latest": latest})
    return [EndWait(order_id=order_id) for order_id in found]


async def queue(
    connection: AsyncConnection, product_id: str, *, offset: int, size: int
) -> tuple[list[Place], int]:
    """Those who wait for a product, the first first, and how many they are."""
    matching = and_(tables.is_waiting, tables.places_table.c.product_id == product_id)
    return await tables.places.page(connection, matching, _ticket, offset=offset, size=size)


async def find_products(connection: AsyncConnection, product_ids: Collection[str]) -> list[Product]:
    """Those of these products that there are."""
    if not product_ids:
        return []
    query = select(*tables.products.columns).where(
        tables.products_table.c.product_id.in_(product_ids)
    )
    return [tables.products.row(row) for row in await connection.execute(query)]


async def search(
    connection: AsyncConnection,
    *,
    text: str | None,
    category: str | None,
    status: ProductStatus,
    offset: int,
    size: int,
) -> tuple[list[Product], int]:
    """Products whose name contains the text, oldest first, and how many there are."""
    columns = tables.products_table.c
    conditions: list[ColumnElement[bool]] = [columns.status == status]
    if category is not None:
        conditions.append(columns.category == category)
    if text:
        conditions.append(columns.name.icontains(text, autoescape=True))
    order = (columns.created_at, columns.product_id)
    return await tables.products.page(
        connection, and_(*conditions), *order, offset=offset, size=size
    )


async def history(
    connection: AsyncConnection,
    product_id: str,
    *,
    since: datetime | None,
    until: datetime | None,
    offset: int,
    size: int,
) -> tuple[list[Entry], int]:
    """A product's stock ledger from `since` to before `until`, oldest first, and its length.

    In the order of the ids, which is the order in which they were committed: who books holds the
    lock of the product's row. So rows are only added at the end, and a full page stays as it is.
    """
    columns = tables.ledger_table.c
    conditions: list[ColumnElement[bool]] = [columns.product_id == product_id]
    if since is not None:
        conditions.append(columns.created_at >= since)
    if until is not None:
        conditions.append(columns.created_at < until)
    return await tables.entries.page(
        connection, and_(*conditions), columns.id, offset=offset, size=size
    )


async def price_history(
    connection: AsyncConnection, product_id: str, *, offset: int, size: int
) -> tuple[list[PriceSince], int]:
    """A product's prices, oldest first, and how many it has had."""
    columns = tables.prices_table.c
    matching = columns.product_id == product_id
    return await tables.prices.page(connection, matching, columns.id, offset=offset, size=size)
