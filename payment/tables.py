"""The payment service's tables, and how their rows are loaded and written."""

from sqlalchemy import Boolean, Column, Connection, Index, Integer, MetaData, String, Table

from chassis.storage.mapping import Appended, Mapped
from chassis.storage.migrations import Upgrade, add_column, allow_negative
from chassis.storage.tables import Integer64, Sequence64, Time, Uuid, index_unsettled, one_of
from events.contract import FailReason, PaymentMethod
from payment.domain import (
    MAX_DETAIL_CHARACTERS,
    MAX_TRANSACTION_ID_CHARACTERS,
    UNSETTLED,
    Entry,
    EntryKind,
    OrphanedCapture,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
    Wallet,
)

schema = MetaData()


def _index_due(table: Table) -> None:
    """Few rows have an external call under way: the index holds those alone."""
    waits = table.c.retry_at.is_not(None)
    Index(f"{table.name}_due", table.c.retry_at, sqlite_where=waits, postgresql_where=waits)


wallets_table = Table(
    "wallets",
    schema,
    Column("customer_id", Uuid, primary_key=True),
    Column("balance", Integer64, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

ledger_table = Table(
    "wallet_ledger",
    schema,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("customer_id", Uuid, nullable=False),
    Column("kind", one_of(EntryKind), nullable=False),
    Column("delta", Integer64, nullable=False),
    Column("balance_after", Integer64, nullable=False),
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
    Column("amount", Integer64, nullable=False),
    Column("discount_amount", Integer64, nullable=False),
    Column("state", one_of(PaymentState), nullable=False),
    Column("fail_reason", one_of(FailReason)),
    Column("attempt", Integer, nullable=False),
    Column("voiding", Boolean, nullable=False),
    Column("stray", one_of(OrphanedCapture)),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("retry_at", Time),
    Column("gateway_transaction_id", String(MAX_TRANSACTION_ID_CHARACTERS)),
    Column("fail_detail", String(MAX_DETAIL_CHARACTERS)),
    Column("paid_at", Time),
    Column("refunded_at", Time),
)
_by_customer = Index(
    "payments_of_customer", payments_table.c.customer_id, payments_table.c.created_at
)
index_unsettled(payments_table, UNSETTLED)
_index_due(payments_table)

top_ups_table = Table(
    "top_ups",
    schema,
    Column("top_up_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("amount", Integer64, nullable=False),
    Column("state", one_of(TopUpState), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("retry_at", Time),
    Column("gateway_transaction_id", String(MAX_TRANSACTION_ID_CHARACTERS)),
    Column("fail_detail", String(MAX_DETAIL_CHARACTERS)),
)
_index_due(top_ups_table)

wallets: Mapped[str, Wallet] = Mapped(wallets_table, Wallet, "customer_id")
payments: Mapped[str, Payment] = Mapped(payments_table, Payment, "order_id")
top_ups: Mapped[str, TopUp] = Mapped(top_ups_table, TopUp, "top_up_id")
entries: Appended[Entry] = Appended(ledger_table, Entry)


def _allow_negative_balances(connection: Connection) -> None:
    """A restored wallet may lack top-ups that were spent since: its payments stand all the same."""
    allow_negative(connection, "wallets", "balance")
    allow_negative(connection, "wallet_ledger", "balance_after")


def _add_what_the_gateway_tells(connection: Connection) -> None:
    """Its transaction, its reason, when money moved, and payments by customer.

    Older rows don't know them.
    """
    for table in (payments_table, top_ups_table):
        add_column(connection, table.c.gateway_transaction_id)
        add_column(connection, table.c.fail_detail)
    add_column(connection, payments_table.c.paid_at)
    add_column(connection, payments_table.c.refunded_at)
    _by_customer.create(connection, checkfirst=True)


UPGRADES = (
    Upgrade(2, _allow_negative_balances),
    Upgrade(4, _add_what_the_gateway_tells),
)
