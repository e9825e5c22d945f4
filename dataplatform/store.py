"""The data platform's sender: its table, loading the rows of a batch, saving what changed, reading.

What is sent stands in the delivery's row as JSON: it is written once and read as a whole.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, bindparam, select
from sqlalchemy import true as everything
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.mapping import Mapped
from chassis.storage.tables import (
    Json,
    Time,
    Uuid,
    in_states,
    index_states,
    index_unsettled,
    one_of,
)
from dataplatform.domain import UNSETTLED, CompletedOrder, Deliveries, Delivery, DeliveryState
from saga.unit_of_work import values_of

schema = MetaData()

deliveries_table = Table(
    "deliveries",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("state", one_of(DeliveryState), nullable=False),
    Column("body", Json(CompletedOrder), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("next_at", Time),
    Column("sent_at", Time),
)
for _state in DeliveryState:
    index_states(f"deliveries_{_state.lower()}", deliveries_table.c.order_id, [_state])
index_unsettled(deliveries_table, UNSETTLED)
index_states("deliveries_due", deliveries_table.c.next_at, UNSETTLED)

_deliveries: Mapped[str, Delivery] = Mapped(deliveries_table, Delivery, "order_id")

_due = (
    select(deliveries_table.c.order_id)
    .where(in_states(deliveries_table, UNSETTLED), deliveries_table.c.next_at <= bindparam("now"))
    .order_by(deliveries_table.c.next_at)
    .limit(bindparam("most"))
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Deliveries:
    order_ids = values_of(messages, "order_id")
    return Deliveries(now, _deliveries.load(connection, "order_id", order_ids))


def save(connection: Connection, deliveries: Deliveries) -> None:
    _deliveries.save(connection, deliveries.rows)


# ---------------------------------------------------------------- reading


async def due(connection: AsyncConnection, now: datetime, most: int) -> list[str]:
    """The orders whose deliveries are due, those that have waited longest first."""
    return list(await connection.scalars(_due, {"now": now, "most": most}))


async def find_delivery(connection: AsyncConnection, order_id: str) -> Delivery | None:
    return await _deliveries.find(connection, "order_id", order_id)


async def list_deliveries(
    connection: AsyncConnection, *, state: DeliveryState | None, offset: int, size: int
) -> tuple[list[Delivery], int]:
    """Deliveries, the newest orders first (an order's id begins with its time), and how many."""
    matching = everything() if state is None else in_states(deliveries_table, [state])
    newest = deliveries_table.c.order_id.desc()
    return await _deliveries.page(connection, matching, newest, offset=offset, size=size)
