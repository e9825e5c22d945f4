"""The payment service's tables: loading the rows of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    bindparam,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.mapping import Appended, Mapped
from chassis.storage.tables import Krw64, Sequence64, Time, Uuid, index_unsettled, one_of
from events.contract import FailReason, PaymentMethod
from payment.domain import (
    UNSETTLED,
    Entry,
    EntryKind,
    OrphanedCapture,
    Payment,
    PaymentState,
    ResumePayment,
    ResumeTopUp,
    TopUp,
    TopUpState,
    Wallet,
    Wallets,
)
from payment.settings import Settings
from saga.unit_of_work import Ledger, values_of

MAX_DUE = 200
"""So many errands are begun again at once."""

schema = MetaData()


def _index_due(table: Table) -> None:
    """Few rows wait for the gateway at any time: the index holds those alone."""
    waits = table.c.retry_at.is_not(None)
    Index(f"{table.name}_due", table.c.retry_at, sqlite_where=waits, postgresql_where=waits)


wallets_table = Table(
    "wallets",
    schema,
    Column("customer_id", Uuid, primary_key=True),
    Column("balance", Krw64, CheckConstraint("balance >= 0"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

ledger_table = Table(
    "wallet_ledger",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("customer_id", Uuid, nullable=False),
    Column("kind", one_of(EntryKind), nullable=False),
    Column("delta", Krw64, nullable=False),
    Column("balance_after", Krw64, CheckConstraint("balance_after >= 0"), nullable=False),
    Column("order_id", Uuid),
    Column("top_up_id", Uuid, unique=True),
    Column("created_at", Time, nullable=False),
    Index("wallet_ledger_of_customer", "customer_id", "id"),
    Index("wallet_ledger_once_an_order", "order_id", "kind", unique=True),
)

payments_table = Table(
    "payments",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("payment_id", Uuid, nullable=False, unique=True),
    Column("customer_id", Uuid, nullable=False),
    Column("method", one_of(PaymentMethod), nullable=False),
    Column("amount", Krw64, nullable=False),
    Column("discount_amount", Krw64, nullable=False),
    Column("state", one_of(PaymentState), nullable=False),
    Column("fail_reason", one_of(FailReason)),
    Column("attempt", Integer, nullable=False),
    Column("voiding", Boolean, nullable=False),
    Column("stray", one_of(OrphanedCapture)),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("retry_at", Time),
)
index_unsettled(payments_table, UNSETTLED)
_index_due(payments_table)

top_ups_table = Table(
    "top_ups",
    schema,
    Column("top_up_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("amount", Krw64, nullable=False),
    Column("state", one_of(TopUpState), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("retry_at", Time),
)
_index_due(top_ups_table)

_wallets: Mapped[str, Wallet] = Mapped(wallets_table, Wallet, "customer_id")
_payments: Mapped[str, Payment] = Mapped(payments_table, Payment, "order_id")
_top_ups: Mapped[str, TopUp] = Mapped(top_ups_table, TopUp, "top_up_id")
_ledger = Appended(ledger_table, Entry)


def _due(key: Column[str], retry_at: Column[Any]) -> Select[str]:
    return select(key).where(retry_at <= bindparam("now")).limit(MAX_DUE)


_payments_due = _due(payments_table.c.order_id, payments_table.c.retry_at)
_top_ups_due = _due(top_ups_table.c.top_up_id, top_ups_table.c.retry_at)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Wallets:
    """The orders' payments, the top-ups, and the wallets of everybody concerned."""
    payments = _payments.load(connection, "order_id", values_of(messages, "order_id"))
    top_ups = _top_ups.load(connection, "top_up_id", values_of(messages, "top_up_id"))
    concerned = [*messages, *payments.loaded, *top_ups.loaded]
    wallets = _wallets.load(connection, "customer_id", values_of(concerned, "customer_id"))
    return Wallets(now, wallets, payments, top_ups, Ledger())


def save(connection: Connection, wallets: Wallets) -> None:
    _wallets.save(connection, wallets.wallets)
    _payments.save(connection, wallets.payments)
    _top_ups.save(connection, wallets.top_ups)
    _ledger.append(connection, wallets.ledger)


# ---------------------------------------------------------------- reading


async def unanswered(
    connection: AsyncConnection, now: datetime, _: Settings
) -> list[ResumePayment | ResumeTopUp]:
    """The errands to the gateway that have not come to their end in time."""
    payments = await connection.scalars(_payments_due, {"now": now})
    top_ups = await connection.scalars(_top_ups_due, {"now": now})
    return [
        *(ResumePayment(order_id=found) for found in payments),
        *(ResumeTopUp(top_up_id=found) for found in top_ups),
    ]


async def find_wallet(connection: AsyncConnection, customer_id: str) -> Wallet | None:
    return await _wallets.find(connection, "customer_id", customer_id)


async def entries(
    connection: AsyncConnection, customer_id: str, *, offset: int, size: int
) -> tuple[list[Entry], int]:
    """A wallet's ledger, newest first, and how many lines it has."""
    his = ledger_table.c.customer_id == customer_id
    newest = ledger_table.c.id.desc()
    return await _ledger.page(connection, his, newest, offset=offset, size=size)


async def find_top_up(connection: AsyncConnection, top_up_id: str) -> TopUp | None:
    return await _top_ups.find(connection, "top_up_id", top_up_id)


async def balance_after(connection: AsyncConnection, top_up_id: str) -> int:
    """What was in the wallet once this top-up was booked."""
    booked = select(ledger_table.c.balance_after).where(ledger_table.c.top_up_id == top_up_id)
    balance: int = (await connection.execute(booked)).scalar_one()
    return balance


async def find_payment(connection: AsyncConnection, payment_id: str) -> Payment | None:
    return await _payments.find(connection, "payment_id", payment_id)


async def payments_of(connection: AsyncConnection, order_id: str) -> list[Payment]:
    payment = await _payments.find(connection, "order_id", order_id)
    return [payment] if payment else []
