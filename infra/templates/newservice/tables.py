"""The newservice service's tables, and how their rows are loaded and written."""

from sqlalchemy import Column, MetaData, Table

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Time, Uuid, one_of
from newservice.domain import CountedOrder, CountState

schema = MetaData()

orders_table = Table(
    "counted_orders",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False, index=True),
    Column("state", one_of(CountState), nullable=False),
    Column("updated_at", Time, nullable=False),
)

orders: Mapped[str, CountedOrder] = Mapped(orders_table, CountedOrder, "order_id")
