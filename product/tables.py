"""The product service's tables, and how their rows are loaded and written."""

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Date,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    false,
    func,
    insert,
    literal_column,
    select,
    update,
)

from chassis.ports import new_id
from chassis.storage.mapping import Appended, Mapped
from chassis.storage.migrations import Upgrade, add_column, allow_negative
from chassis.storage.statements import adding
from chassis.storage.tables import Integer64, Json, Sequence64, Time, Uuid, index_unsettled, one_of
from events.contract import CouponUsed, Line, ProductStatus
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
from product.queues import Place
from product.sales import HOURS, SalesRow

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
    Column("price", Integer64, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", String(200), nullable=False),
    Column("status", one_of(ProductStatus), nullable=False),
    Column("available", Integer64, nullable=False),
    Column("reserved", Integer64, CheckConstraint("reserved >= 0"), nullable=False),
    Column("waiting", Integer, CheckConstraint("waiting >= 0"), nullable=False),
    Column("last_ticket", Integer64, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("search_name", Text),  # null in a row that an instance of an older version inserted
    Column("sold_out", Boolean, nullable=False, server_default=false()),
    Index("products_on_offer", "status", "created_at", "product_id"),
    Index("products_of_category", "category", "status", "created_at"),
)

is_shown_wrongly = products_table.c.sold_out != (products_table.c.available <= literal_column("0"))
_shown_wrongly = Index(
    "products_shown_wrongly",
    products_table.c.product_id,
    sqlite_where=is_shown_wrongly,
    postgresql_where=is_shown_wrongly,
)

categories_table = Table(
    "categories",
    schema,
    Column("category_id", Uuid, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at", Time, nullable=False),
)

ledger_table = Table(
    "stock_ledger",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("product_id", Uuid, nullable=False),
    Column("request_id", String(255), nullable=False),
    Column("delta", Integer64, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("order_id", Uuid),
    Column("balance_after", Integer64, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("booked_by", String(200)),
    Index("stock_ledger_once_a_request", "product_id", "request_id", unique=True),
    # With the time, so that a page far down, or between two times, is counted in this index alone.
    Index("stock_ledger_of_product", "product_id", "id", "created_at"),
)

places_table = Table(
    "places",
    schema,
    Column("product_id", Uuid, primary_key=True),
    Column("order_id", Uuid, primary_key=True),
    Column("ticket", Integer64, nullable=False),
    Column("quantity", Integer64, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("since", Time, nullable=False),
    Index("places_of_order", "order_id"),
)
is_waiting = places_table.c.waiting.is_(True)
Index(
    "places_in_queue",
    places_table.c.product_id,
    places_table.c.ticket,
    sqlite_where=is_waiting,
    postgresql_where=is_waiting,
)

prices_table = Table(
    "prices",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("product_id", Uuid, nullable=False),
    Column("price", Integer64, nullable=False),
    Column("since", Time, nullable=False),
    Index("prices_of_product", "product_id", "id"),
)

HOUR_COLUMNS = tuple(f"h{hour:02}" for hour in HOURS)

sales_table = Table(
    "sales",
    schema,
    Column("day", Date, primary_key=True),
    Column("product_id", Uuid, primary_key=True),
    Column("units", Integer64, nullable=False),
    *(Column(name, Integer64, nullable=False) for name in HOUR_COLUMNS),
    Index("sales_of_whole_days", "day", "product_id", "units"),  # a ranking reads this alone
    sqlite_with_rowid=False,
)

holds: Mapped[str, Hold] = Mapped(holds_table, Hold, "order_id")
products: Mapped[str, Product] = Mapped(
    products_table, Product, "product_id", derived=["search_name"]
)
categories: Mapped[str, Category] = Mapped(categories_table, Category, "category_id")
entries: Mapped[tuple[str, str], Entry] = Mapped(ledger_table, Entry, "product_id", "request_id")
places: Mapped[tuple[str, str], Place] = Mapped(places_table, Place, "product_id", "order_id")
prices: Appended[PriceSince] = Appended(prices_table, PriceSince)
sales = adding(sales_table, ("units", *HOUR_COLUMNS), by=("day", "product_id"))


def sales_columns(row: SalesRow) -> dict[str, Any]:
    """The values of a row of `sales` by column."""
    return dict(zip(("day", "product_id", "units", *HOUR_COLUMNS), row, strict=True))


def _allow_negative_stock(connection: Connection) -> None:
    """Restored stock may lack units that were brought in and sold since: the orders stand."""
    allow_negative(connection, "products", "available")
    allow_negative(connection, "stock_ledger", "balance_after")


def _create_categories(connection: Connection) -> None:
    """One of each name that products have."""
    columns, category = categories_table.c, products_table.c.category
    query = select(category, func.min(products_table.c.created_at)).where(
        category != "", category.not_in(select(columns.name))
    )
    for name, created_at in connection.execute(query.group_by(category)).all():
        row = {"category_id": new_id(), "name": name, "created_at": created_at}
        connection.execute(insert(categories_table), row)


def _add_search_names(connection: Connection) -> None:
    add_column(connection, products_table.c.search_name)
    product_id, name = products_table.c.product_id, products_table.c.name
    found = connection.execute(select(product_id, name)).all()
    rows = [{"id": each.product_id, "found_by": to_search_text(each.name)} for each in found]
    if rows:
        this_row = update(products_table).where(product_id == bindparam("id"))
        connection.execute(this_row.values(search_name=bindparam("found_by")), rows)


def _add_sold_out(connection: Connection) -> None:
    add_column(connection, products_table.c.sold_out)
    is_sold_out = products_table.c.available <= 0
    connection.execute(update(products_table).values(sold_out=is_sold_out))
    _shown_wrongly.create(connection, checkfirst=True)


UPGRADES = (
    Upgrade(2, _allow_negative_stock),
    Upgrade(5, _add_search_names),
    Upgrade(8, _create_categories),
    Upgrade(9, _add_sold_out),
)
