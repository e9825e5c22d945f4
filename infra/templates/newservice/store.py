"""The newservice service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from newservice import tables
from newservice.domain import CountState
from newservice.unit_of_work import NewserviceUnitOfWork
from saga.unit_of_work import values_of


def load(connection: Connection, messages: Sequence[object], now: datetime) -> NewserviceUnitOfWork:
    """The rows of the orders that the messages are about."""
    order_ids = values_of(messages, "order_id")
    return NewserviceUnitOfWork(now, tables.orders.load(connection, "order_id", order_ids))


def save(connection: Connection, uow: NewserviceUnitOfWork) -> None:
    tables.orders.save(connection, uow.orders)


async def orders_of(connection: AsyncConnection, customer_id: str) -> int:
    """How many of the customer's orders are counted."""
    columns = tables.orders_table.c
    of_customer = (columns.customer_id == customer_id) & (columns.state == CountState.COUNTED)
    return await connection.scalar(select(func.count()).where(of_customer)) or 0
