"""Loads and saves the unit of work of a batch, and reads what the routes and timers ask for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.tables import in_range
from payment import tables
from payment.commands import ResumePayment, ResumeTopUp
from payment.domain import Entry, Payment, TopUp, Wallet
from payment.external_calls import EXTERNAL_CALL_SECONDS
from payment.settings import Settings
from payment.unit_of_work import PaymentUnitOfWork
from saga.due import due_ranges
from saga.unit_of_work import Ledger, values_of

MAX_DUE = 200
"""So many external calls of a kind are begun again at once."""


def _due(key: Column[str], retry_at: Column[Any]) -> Select[str]:
    return select(key).where(in_range(retry_at)).limit(MAX_DUE)


_payments_due = _due(tables.payments_table.c.order_id, tables.payments_table.c.retry_at)
_top_ups_due = _due(tables.top_ups_table.c.top_up_id, tables.top_ups_table.c.retry_at)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> PaymentUnitOfWork:
    """The orders' payments, the top-ups, and the wallets of their customers."""
    payments = tables.payments.load(connection, "order_id", values_of(messages, "order_id"))
    top_ups = tables.top_ups.load(connection, "top_up_id", values_of(messages, "top_up_id"))
    customers = values_of([*messages, *payments.loaded, *top_ups.loaded], "customer_id", "user_id")
    wallets = tables.wallets.load(connection, "customer_id", customers)
    return PaymentUnitOfWork(now, wallets, payments, top_ups, Ledger())


def save(connection: Connection, uow: PaymentUnitOfWork) -> None:
    tables.wallets.save(connection, uow.wallets)
    tables.payments.save(connection, uow.payments)
    tables.top_ups.save(connection, uow.top_ups)
    tables.entries.append(connection, uow.ledger)


# ---------------------------------------------------------------- reading


async def find_overdue_calls(
    connection: AsyncConnection, now: datetime, _: Settings
) -> list[ResumePayment | ResumeTopUp]:
    """The payments and top-ups whose external call had no outcome in time."""
    overdue: list[ResumePayment | ResumeTopUp] = []
    for times in due_ranges(now, longest_seconds=EXTERNAL_CALL_SECONDS):
        payments = await connection.scalars(_payments_due, times)
        overdue += [ResumePayment(order_id=found) for found in payments]
        top_ups = await connection.scalars(_top_ups_due, times)
        overdue += [ResumeTopUp(top_up_id=found) for found in top_ups]
    return overdue


async def find_wallet(connection: AsyncConnection, customer_id: str) -> Wallet | None:
    return await tables.wallets.find(connection, "customer_id", customer_id)


async def entries(
    connection: AsyncConnection, customer_id: str, *, offset: int, size: int
) -> tuple[list[Entry], int]:
    """A page of a wallet's ledger, newest first, and how many entries it has."""
    columns = tables.ledger_table.c
    of_customer = columns.customer_id == customer_id
    return await tables.entries.page(
        connection, of_customer, columns.id.desc(), offset=offset, size=size
    )


async def find_top_up(connection: AsyncConnection, top_up_id: str) -> TopUp | None:
    return await tables.top_ups.find(connection, "top_up_id", top_up_id)


async def balance_after(connection: AsyncConnection, top_up_id: str) -> int:
    """The wallet's balance right after this top-up was booked."""
    columns = tables.ledger_table.c
    booked = select(columns.balance_after).where(columns.top_up_id == top_up_id)
    balance: int = (await connection.execute(booked)).scalar_one()
    return balance


async def find_payment(connection: AsyncConnection, payment_id: str) -> Payment | None:
    return await tables.payments.find(connection, "payment_id", payment_id)


async def find_payment_of(connection: AsyncConnection, order_id: str) -> Payment | None:
    return await tables.payments.find(connection, "order_id", order_id)


async def page_of_payments(
    connection: AsyncConnection,
    *,
    order_id: str | None = None,
    customer_id: str | None = None,
    offset: int,
    size: int,
) -> tuple[list[Payment], int]:
    """A page of the payments of an order, a customer, or both, newest first, and their number."""
    columns = tables.payments_table.c
    wanted = {columns.order_id: order_id, columns.customer_id: customer_id}
    matching = and_(*(column == value for column, value in wanted.items() if value is not None))
    newest_first = columns.created_at.desc(), columns.order_id.desc()
    return await tables.payments.page(connection, matching, *newest_first, offset=offset, size=size)
