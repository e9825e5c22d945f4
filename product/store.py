"""The product service's tables: loading the rows of a batch, saving what changed, reading."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from events.contract import CouponUsed, Line, ProductStatus
from infra.mapping import Mapped
from infra.rows import Ledger, Rows, values_of
from infra.tables import Json, Sequence64, Time, Uuid, Won64, index_unsettled, one_of
from product.domain import UNSETTLED, BookStock, Entry, Hold, HoldState, Product, Shelves

schema = MetaData()

holds_table = Table(
    "holds",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("state", one_of(HoldState), nullable=False),
    Column("items", Json(tuple[Line, ...]), nullable=False),
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
    Index("stock_ledger_once_a_request", "product_id", "request_id", unique=True),
    Index("stock_ledger_of_product", "product_id", "id"),
)

_holds: Mapped[str, Hold] = Mapped(holds_table, Hold, "order_id")
_products: Mapped[str, Product] = Mapped(products_table, Product, "product_id")
_entries: Mapped[tuple[str, str], Entry] = Mapped(ledger_table, Entry, "product_id", "request_id")


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Shelves:
    """The orders' rows, all products that they or the commands name, and earlier bookings."""
    holds = _holds.load(connection, "order_id", values_of(messages, "order_id"))
    ordering = [message for message in messages if isinstance(message, CouponUsed)]
    lines = [line for order in ordering for line in order.items]
    lines += [line for hold in holds.loaded for line in hold.items]
    wanted = {*values_of(lines, "product_id"), *values_of(messages, "product_id")}
    products = _products.load(connection, "product_id", sorted(wanted))
    booking = [message for message in messages if isinstance(message, BookStock)]
    return Shelves(now, holds, products, _booked_already(connection, booking), Ledger())


def save(connection: Connection, shelves: Shelves) -> None:
    _holds.save(connection, shelves.holds)
    _products.save(connection, shelves.products)
    _entries.append(connection, shelves.ledger)


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


# ---------------------------------------------------------------- reading


async def find_product(connection: AsyncConnection, product_id: str) -> Product | None:
    return await _products.find(connection, "product_id", product_id)


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
    """A product's stock ledger from `since` to before `until`, newest first, and its length."""
    columns = ledger_table.c
    conditions: list[ColumnElement[bool]] = [columns.product_id == product_id]
    if since is not None:
        conditions.append(columns.created_at >= since)
    if until is not None:
        conditions.append(columns.created_at < until)
    newest = columns.id.desc()
    return await _entries.page(connection, and_(*conditions), newest, offset=offset, size=size)
