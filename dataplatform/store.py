"""The sender's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select
from sqlalchemy import true as everything
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.tables import in_range, in_states
from dataplatform import tables
from dataplatform.domain import LONGEST_PAUSE_SECONDS, UNSETTLED, Delivery, DeliveryState
from dataplatform.unit_of_work import DeliveryUnitOfWork
from saga.due import due_ranges
from saga.unit_of_work import values_of

_columns = tables.deliveries_table.c
_due = (
    select(_columns.order_id)
    .where(in_states(tables.deliveries_table, UNSETTLED), in_range(_columns.next_at))
    .order_by(_columns.next_at)
    .limit(bindparam("limit"))
)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> DeliveryUnitOfWork:
    order_ids = values_of(messages, "order_id")
    return DeliveryUnitOfWork(now, tables.deliveries.load(connection, "order_id", order_ids))


def save(connection: Connection, uow: DeliveryUnitOfWork) -> None:
    tables.deliveries.save(connection, uow.deliveries)


# ---------------------------------------------------------------- reading


async def find_due(connection: AsyncConnection, now: datetime, limit: int) -> list[str]:
    """The orders whose deliveries are due, the longest overdue first; at most `limit`."""
    due: list[str] = []
    for times in due_ranges(now, longest_seconds=LONGEST_PAUSE_SECONDS):
        due += await connection.scalars(_due, {"limit": limit - len(due), **times})
    return due


async def find_delivery(connection: AsyncConnection, order_id: str) -> Delivery | None:
    return await tables.deliveries.find(connection, "order_id", order_id)


async def list_deliveries(
    connection: AsyncConnection, *, state: DeliveryState | None, offset: int, size: int
) -> tuple[list[Delivery], int]:
    """Deliveries, the newest orders first (an order's id begins with its time), and how many."""
    matching = everything() if state is None else in_states(tables.deliveries_table, [state])
    newest = _columns.order_id.desc()
    return await tables.deliveries.page(connection, matching, newest, offset=offset, size=size)
