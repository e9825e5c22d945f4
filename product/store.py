"""Loads and saves the unit of work of a batch, and reads what the routes and timers ask for."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.statements import Statement, among
from chassis.storage.tables import in_range, in_states
from events.contract import (
    CouponUsed,
    PaymentFailed,
    PaymentRefunded,
    ProductStatus,
    StockDecremented,
    StockRestored,
    StockUnavailable,
)
from product import tables
from product.commands import (
    BookStock,
    ChangeProduct,
    CreateCategory,
    CreateProduct,
    EndWait,
    RenameCategory,
    SeedCategory,
    ShowAvailability,
)
from product.domain import (
    UNSETTLED,
    Category,
    Entry,
    Hold,
    HoldState,
    PriceSince,
    Product,
    to_search_text,
)
from product.queues import Place, Queues
from product.sales import sum_by_day
from product.settings import Settings
from product.unit_of_work import ProductUnitOfWork
from saga.due import due_ranges
from saga.unit_of_work import Ledger, Rows, values_of

_WITH_LINES = CouponUsed | StockDecremented | StockRestored

MAX_DUE = 500
"""So many expired waits are ended at once."""

_ticket = tables.places_table.c.ticket
_in_queue = select(*tables.places.columns).where(tables.is_waiting).order_by(_ticket)
_first = Statement(
    _in_queue.where(tables.places_table.c.product_id == bindparam("product_id"))
    .limit(bindparam("most"))
    .with_for_update()
)
_wanting = Statement(
    select(tables.places_table.c.order_id).where(
        tables.is_waiting, among(tables.places_table.c.product_id, "product_ids")
    )
)
_shown_wrongly = (
    select(tables.products_table.c.product_id).where(tables.is_shown_wrongly).limit(MAX_DUE)
)
_expired_waits = (
    select(tables.holds_table.c.order_id)
    .where(
        in_states(tables.holds_table, UNSETTLED),
        tables.holds_table.c.state == HoldState.WAITING,
        in_range(tables.holds_table.c.updated_at),
    )
    .order_by(tables.holds_table.c.updated_at)
    .limit(MAX_DUE)
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> ProductUnitOfWork:
    """The orders' holds, the products of all their lines and of the commands, earlier entries.

    The queues too, where this batch may serve an order. Sales need nothing: they are added to the
    numbers that are there.
    """
    holds = tables.holds.load(connection, "order_id", values_of(messages, "order_id"))
    lines = [line for each in messages if isinstance(each, _WITH_LINES) for line in each.items]
    lines += [line for hold in holds.loaded for line in hold.items]
    wanted = {*values_of(lines, "product_id"), *values_of(messages, "product_id")}
    categories = _load_categories(connection, messages)
    products = tables.products.load(connection, "product_id", sorted(wanted))
    products |= _load_renamed(connection, messages, categories)
    booking = [message for message in messages if isinstance(message, BookStock)]
    queues = Queues(are_loaded=not any(each.waiting for each in products.loaded))
    if not queues.are_loaded and any(map(_may_serve, messages)):
        holds, products, queues = _load_queues(connection, messages, holds, products)
    booked = _load_booked(connection, booking)
    return ProductUnitOfWork(now, holds, products, booked, Ledger(), queues, categories)


def save(connection: Connection, uow: ProductUnitOfWork) -> None:
    tables.holds.save(connection, uow.holds)
    tables.products.save(connection, uow.products)
    tables.categories.save(connection, uow.categories)
    tables.places.save(connection, uow.queues)
    tables.entries.append(connection, uow.ledger)
    tables.prices.append(connection, uow.prices)
    tables.sales.execute_many(connection, map(tables.sales_columns, sum_by_day(uow.sales)))


def _load_categories(connection: Connection, messages: Sequence[object]) -> Rows[str, Category]:
    """The categories that commands name, rename or seed, before their products."""
    by = [each for each in messages if isinstance(each, RenameCategory | SeedCategory)]
    naming = [each for each in messages if isinstance(each, CreateProduct | ChangeProduct)]
    making = [each for each in messages if isinstance(each, CreateCategory | RenameCategory)]
    names = sorted({*values_of(naming, "category"), *values_of(making, "name")} - {""})
    by_id = tables.categories.load(connection, "category_id", values_of(by, "category_id"))
    return by_id | tables.categories.load(connection, "name", names)


def _load_renamed(
    connection: Connection, messages: Sequence[object], categories: Rows[str, Category]
) -> Rows[str, Product]:
    """The products of the categories that are renamed."""
    ids = {each.category_id for each in messages if isinstance(each, RenameCategory)}
    names = [each.name for each in categories.loaded if each.category_id in ids]
    return tables.products.load(connection, "category", sorted(names))


def _load_booked(
    connection: Connection, booking: Sequence[BookStock]
) -> Rows[tuple[str, str], Entry]:
    """The entries that these commands would repeat."""
    if not booking:
        return Rows()
    query = select(*tables.entries.columns).where(
        tables.ledger_table.c.product_id.in_({each.product_id for each in booking}),
        tables.ledger_table.c.request_id.in_({each.request_id for each in booking}),
    )
    rows = [tables.entries.row(row) for row in connection.execute(query)]
    return Rows({(row.product_id, row.request_id): row for row in rows})


def _may_serve(message: object) -> bool:
    """Does it serve the queues, or let an order leave them?"""
    match message:
        case PaymentFailed() | PaymentRefunded() | EndWait():
            return True
        case StockDecremented() | StockUnavailable() | StockRestored():
            return True  # adopted by a restored service, which then lets the order leave its queues
        case BookStock():
            return message.delta > 0
        case ChangeProduct():
            return message.status is ProductStatus.DISCONTINUED
    return False


def _load_queues(
    connection: Connection,
    messages: Sequence[object],
    holds: Rows[str, Hold],
    products: Rows[str, Product],
) -> tuple[Rows[str, Hold], Rows[str, Product], Queues]:
    """The orders that this batch may serve, with all products that they want.

    An order that is served takes one unit at least. So of each queue as many places are enough as
    there may be units, plus one for each order that leaves the queue otherwise.
    """
    leaving = _find_leaving(connection, messages, holds)
    places = tables.places.load(connection, "order_id", leaving)
    units = _max_units(messages, holds)
    done: set[str] = set()
    while new := sorted(
        p.product_id for p in products.loaded if p.waiting and p.product_id not in done
    ):
        for product_id in new:
            most = products[product_id].available + units[product_id] + len(leaving) + 1
            rows = _first.fetch(connection, product_id=product_id, most=most)
            first = map(tables.places.row, rows)
            places |= Rows({(each.product_id, each.order_id): each for each in first})
        done.update(new)
        orders = [each for each in values_of(places.loaded, "order_id") if each not in holds]
        holds |= tables.holds.load(connection, "order_id", orders)
        lines = [line for hold in holds.loaded for line in hold.items]
        wanted = [each for each in values_of(lines, "product_id") if each not in products]
        products |= tables.products.load(connection, "product_id", wanted)
    queues = Queues({(each.product_id, each.order_id): each for each in places.loaded})
    return holds, products, queues


def _find_leaving(
    connection: Connection, messages: Sequence[object], holds: Rows[str, Hold]
) -> list[str]:
    """The orders that may leave their queues without being served."""
    closed = [
        each.product_id
        for each in messages
        if isinstance(each, ChangeProduct) and each.status is ProductStatus.DISCONTINUED
    ]
    wanting = _wanting.fetch(connection, product_ids=closed) if closed else []
    waiting = [hold.order_id for hold in holds.loaded if hold.state is HoldState.WAITING]
    return sorted({*waiting, *(order_id for (order_id,) in wanting)})


def _max_units(messages: Sequence[object], holds: Rows[str, Hold]) -> Counter[str]:
    """How many units of each product this batch may make available at most."""
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


async def find_category(connection: AsyncConnection, category_id: str) -> Category | None:
    return await tables.categories.find(connection, "category_id", category_id)


async def list_categories(
    connection: AsyncConnection, *, offset: int, size: int
) -> tuple[list[Category], int]:
    """A page of the categories by name, and how many there are."""
    by_name = tables.categories_table.c.name
    return await tables.categories.page(connection, true(), by_name, offset=offset, size=size)


async def find_expired_waits(
    connection: AsyncConnection, now: datetime, settings: Settings
) -> list[EndWait]:
    """The orders whose wait for stock is over, the oldest first."""
    seconds = settings.wait_timeout_seconds
    ended: list[EndWait] = []
    for each in due_ranges(now, waited_seconds=seconds, longest_seconds=seconds):
        found = await connection.scalars(_expired_waits, each)
        ended += [EndWait(order_id=order_id) for order_id in found]
    return ended


async def find_shown_wrongly(
    connection: AsyncConnection, _: datetime, __: Settings
) -> list[ShowAvailability]:
    """The products that others are shown as sold out and are not, or the other way round."""
    found = await connection.scalars(_shown_wrongly)
    return [ShowAvailability(product_id=product_id) for product_id in found]


async def queue(
    connection: AsyncConnection, product_id: str, *, offset: int, size: int
) -> tuple[list[Place], int]:
    """A page of the places in a product's queue, first to last, and how many there are."""
    matching = and_(tables.is_waiting, tables.places_table.c.product_id == product_id)
    return await tables.places.page(connection, matching, _ticket, offset=offset, size=size)


async def find_products(connection: AsyncConnection, product_ids: Collection[str]) -> list[Product]:
    """Those of these products that exist."""
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
    """A page of the products whose name contains the text, oldest first, and how many match."""
    columns = tables.products_table.c
    conditions: list[ColumnElement[bool]] = [columns.status == status]
    if category is not None:
        conditions.append(columns.category == category)
    if text:
        name = func.coalesce(columns.search_name, columns.name)
        conditions.append(name.contains(to_search_text(text), autoescape=True))
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
    """A page of a product's stock ledger from `since` to before `until`, and how many rows match.

    Oldest first, by id: the order of the commits, since each booking locks the product's row. So
    rows are only added at the end, and a full page stays as it is.
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
    """A page of a product's prices, oldest first, and how many it has had."""
    columns = tables.prices_table.c
    matching = columns.product_id == product_id
    return await tables.prices.page(connection, matching, columns.id, offset=offset, size=size)
