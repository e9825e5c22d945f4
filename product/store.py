"""The product service's tables: loading the rows of a batch, saving what changed, reading."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Date,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from events.contract import (
    CouponUsed,
    Line,
    OrderCancelled,
    OrderCompleted,
    PaymentFailed,
    PaymentRefunded,
    ProductStatus,
)
from infra.mapping import Appended, Mapped
from infra.rows import Ledger, Rows, values_of
from infra.settings import Settings
from infra.statements import Statement, adding, among
from infra.tables import Json, Sequence64, Time, Uuid, Won64, in_states, index_unsettled, one_of
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
from product.sales import HOURS, summed

MOST_DUE = 500

schema = MetaData()

holds_table = Table(
    "holds",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("state", one_of(HoldState), nullable=False),
    Column("items", Json(tuple[Line, ...]), nullable=False),
    Column("wanted", Json(CouponUsed)),
    Column("updated_at", Time, nullable=False),
)
index_unsettled(holds_table, UNSETTLED)

products_table = Table(
    "products",
    schema,
    Column("product_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("price", Won64, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", String(200), nullable=False),
    Column("status", one_of(ProductStatus), nullable=False),
    Column("available", Won64, CheckConstraint("available >= 0"), nullable=False),
    Column("reserved", Won64, CheckConstraint("reserved >= 0"), nullable=False),
    Column("waiting", Integer, CheckConstraint("waiting >= 0"), nullable=False),
    Column("last_ticket", Won64, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Index("products_on_offer", "status", "created_at", "product_id"),
    Index("products_of_category", "category", "status", "created_at"),
)

ledger_table = Table(
    "stock_ledger",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("product_id", Uuid, nullable=False),
    Column("request_id", String(255), nullable=False),
    Column("delta", Won64, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("order_id", Uuid),
    Column("balance_after", Won64, CheckConstraint("balance_after >= 0"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("booked_by", String(200)),
    Index("stock_ledger_once_a_request", "product_id", "request_id", unique=True),
    # With the time in it, so that a page far down, or one between two times, is counted off here.
    Index("stock_ledger_of_product", "product_id", "id", "created_at"),
)

places_table = Table(
    "places",
    schema,
    Column("product_id", Uuid, primary_key=True),
    Column("order_id", Uuid, primary_key=True),
    Column("ticket", Won64, nullable=False),
    Column("quantity", Won64, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("since", Time, nullable=False),
    Index("places_of_order", "order_id"),
)
_waiting = places_table.c.waiting.is_(True)
Index(
    "places_in_queue",
    places_table.c.product_id,
    places_table.c.ticket,
    sqlite_where=_waiting,
    postgresql_where=_waiting,
)

prices_table = Table(
    "prices",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("product_id", Uuid, nullable=False),
    Column("price", Won64, nullable=False),
    Column("since", Time, nullable=False),
    Index("prices_of_product", "product_id", "id"),
)

HOUR_COLUMNS = tuple(f"h{hour:02}" for hour in HOURS)

sales_table = Table(
    "sales",
    schema,
    Column("day", Date, primary_key=True),
    Column("product_id", Uuid, primary_key=True),
    Column("units", Won64, nullable=False),
    *(Column(name, Won64, nullable=False) for name in HOUR_COLUMNS),
    Index("sales_of_whole_days", "day", "product_id", "units"),  # a ranking reads this alone
    sqlite_with_rowid=False,
)

_holds: Mapped[str, Hold] = Mapped(holds_table, Hold, "order_id")
_products: Mapped[str, Product] = Mapped(products_table, Product, "product_id")
_entries: Mapped[tuple[str, str], Entry] = Mapped(ledger_table, Entry, "product_id", "request_id")
_places: Mapped[tuple[str, str], Place] = Mapped(places_table, Place, "product_id", "order_id")
_prices: Appended[PriceSince] = Appended(prices_table, PriceSince)
_sales = adding(sales_table, ("units", *HOUR_COLUMNS), by=("day", "product_id"))

_in_queue = select(*_places.columns).where(_waiting).order_by(places_table.c.ticket)
_first = Statement(
    _in_queue.where(places_table.c.product_id == bindparam("product_id"))
    .limit(bindparam("most"))
    .with_for_update(),
    "product_id",
    "most",
)
_wanting = Statement(
    select(places_table.c.order_id).where(
        _waiting, among(places_table.c.product_id, "product_ids")
    ),
    "product_ids",
)
_waited_out = (
    select(holds_table.c.order_id)
    .where(
        in_states(holds_table, UNSETTLED),
        holds_table.c.state == HoldState.WAITING,
        holds_table.c.updated_at <= bindparam("latest"),
    )
    .order_by(holds_table.c.updated_at)
    .limit(MOST_DUE)
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Shelves:
    """The orders' rows, all products that they or the commands name, and earlier bookings.

    The queues too, where this batch may serve somebody. Sales need nothing: they are added to
    whatever is there.
    """
    messages = [each for each in messages if not isinstance(each, OrderCompleted | OrderCancelled)]
    holds = _holds.load(connection, "order_id", values_of(messages, "order_id"))
    ordering = [message for message in messages if isinstance(message, CouponUsed)]
    lines = [line for order in ordering for line in order.items]
    lines += [line for hold in holds.loaded for line in hold.items]
    wanted = {*values_of(lines, "product_id"), *values_of(messages, "product_id")}
    products = _products.load(connection, "product_id", sorted(wanted))
    booking = [message for message in messages if isinstance(message, BookStock)]
    queues = Queues()
    if any(map(_may_serve, messages)) and any(each.waiting for each in products.loaded):
        holds, products, queues = _with_queues(connection, messages, holds, products)
    return Shelves(now, holds, products, _booked_already(connection, booking), Ledger(), queues)


def save(connection: Connection, shelves: Shelves) -> None:
    _holds.save(connection, shelves.holds)
    _products.save(connection, shelves.products)
    _places.save(connection, shelves.queues)
    _entries.append(connection, shelves.ledger)
    _prices.append(connection, shelves.prices)
    _sales.run(connection, summed(shelves.sales))


def _booked_already(
    connection: Connection, booking: Sequence[BookStock]
) -> Rows[tuple[str, str], Entry]:
    if not booking:
        return Rows()
    query = select(*_entries.columns).where(
        ledger_table.c.product_id.in_({each.product_id for each in booking}),
        ledger_table.c.request_id.in_({each.request_id for each in booking}),
    )
    rows = [_entries.row(row) for row in connection.execute(query)]
    return Rows({(row.product_id, row.request_id): row for row in rows})


def _may_serve(message: object) -> bool:
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
    places = _places.load(connection, "order_id", leaving)
    units = _units_to_come(messages, holds)
    looked: set[str] = set()
    while looking := sorted(
        p.product_id for p in products.loaded if p.waiting and p.product_id not in looked
    ):
        for product_id in looking:
            most = products[product_id].available + units[product_id] + len(leaving) + 1
            first = map(_places.row, _first.rows(connection, product_id, most))
            places |= Rows({(each.product_id, each.order_id): each for each in first})
        looked.update(looking)
        new = [
            order_id for order_id in values_of(places.loaded, "order_id") if order_id not in holds
        ]
        holds |= _holds.load(connection, "order_id", new)
        lines = [line for hold in holds.loaded for line in hold.items]
        wanted = [each for each in values_of(lines, "product_id") if each not in products]
        products |= _products.load(connection, "product_id", wanted)
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
    return await _products.find(connection, "product_id", product_id)


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
    matching = and_(_waiting, places_table.c.product_id == product_id)
    ticket = places_table.c.ticket
    return await _places.page(connection, matching, ticket, offset=offset, size=size)


async def find_products(connection: AsyncConnection, product_ids: Collection[str]) -> list[Product]:
    """Those of these products that there are."""
    if not product_ids:
        return []
    query = select(*_products.columns).where(products_table.c.product_id.in_(product_ids))
    return [_products.row(row) for row in await connection.execute(query)]


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
    columns = products_table.c
    conditions: list[ColumnElement[bool]] = [columns.status == status]
    if category is not None:
        conditions.append(columns.category == category)
    if text:
        conditions.append(columns.name.icontains(text, autoescape=True))
    order = (columns.created_at, columns.product_id)
    return await _products.page(connection, and_(*conditions), *order, offset=offset, size=size)


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
    columns = ledger_table.c
    conditions: list[ColumnElement[bool]] = [columns.product_id == product_id]
    if since is not None:
        conditions.append(columns.created_at >= since)
    if until is not None:
        conditions.append(columns.created_at < until)
    return await _entries.page(connection, and_(*conditions), columns.id, offset=offset, size=size)


async def price_history(
    connection: AsyncConnection, product_id: str, *, offset: int, size: int
) -> tuple[list[PriceSince], int]:
    """A product's prices, oldest first, and how many it has had."""
    columns = prices_table.c
    matching = columns.product_id == product_id
    return await _prices.page(connection, matching, columns.id, offset=offset, size=size)
