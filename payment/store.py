"""The payment service's tables: loading the rows of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Index,
    MetaData,
    Table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from events.contract import FailReason, PaymentMethod
from infra.rows import Ledger, values_of
from infra.tables import Appended, Mapped, Sequence64, Time, Uuid, Won64, one_of
from payment.domain import Entry, EntryKind, Payment, PaymentState, Wallet, Wallets

schema = MetaData()

wallets_table = Table(
    "wallets",
    schema,
    Column("customer_id", Uuid, primary_key=True),
    Column("balance", Won64, CheckConstraint("balance >= 0"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

ledger_table = Table(
    "wallet_ledger",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("customer_id", Uuid, nullable=False),
    Column("kind", one_of(EntryKind), nullable=False),
    Column("delta", Won64, nullable=False),
    Column("balance_after", Won64, CheckConstraint("balance_after >= 0"), nullable=False),
    Column("order_id", Uuid),
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
    Column("amount", Won64, nullable=False),
    Column("state", one_of(PaymentState), nullable=False),
    Column("fail_reason", one_of(FailReason)),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

_wallets: Mapped[str, Wallet] = Mapped(wallets_table, Wallet, "customer_id")
_payments: Mapped[str, Payment] = Mapped(payments_table, Payment, "order_id")
_ledger = Appended(ledger_table, Entry)


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Wallets:
    """The orders' payments and the wallets of everybody concerned."""
    payments = _payments.load(connection, "order_id", values_of(messages, "order_id"))
    wallets = _wallets.load(connection, "customer_id", values_of(messages, "customer_id"))
    return Wallets(now, wallets, payments, Ledger())


def save(connection: Connection, wallets: Wallets) -> None:
    _wallets.save(connection, wallets.wallets)
    _payments.save(connection, wallets.payments)
    _ledger.append(connection, wallets.ledger)


# ---------------------------------------------------------------- reading


async def find_wallet(connection: AsyncConnection, customer_id: str) -> Wallet | None:
    return await _wallets.find(connection, "customer_id", customer_id)


async def entries(
    connection: AsyncConnection, customer_id: str, *, offset: int, size: int
) -> tuple[list[Entry], int]:
    """A wallet's ledger, newest first, and how many lines it has."""
    his = ledger_table.c.customer_id == customer_id
    newest = ledger_table.c.id.desc()
    return await _ledger.page(connection, his, newest, offset=offset, size=size)


async def find_payment(connection: AsyncConnection, payment_id: str) -> Payment | None:
    return await _payments.find(connection, "payment_id", payment_id)


async def payments_of(connection: AsyncConnection, order_id: str) -> list[Payment]:
    payment = await _payments.find(connection, "order_id", order_id)
    return [payment] if payment else []
