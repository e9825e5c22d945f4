"""Wallets and payments. Pure: no clock, no I/O, no framework.

Payment is the arbiter of the saga: an order is sold from the moment at which its row here is
CAPTURED, and dead from the moment at which it is FAILED. The row moves once, in the transaction
that takes the money:

    NONE -> CAPTURED | FAILED
"""

from datetime import datetime
from enum import StrEnum
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from events.contract import FailReason, PaymentMethod, StockDecremented
from infra.errors import Conflict, NotFound
from infra.rows import Ledger, Rows, WorkingSet

LARGEST_BALANCE = 10**15
"""A wallet's limit in won, far inside what the column can hold."""


class PaymentState(StrEnum):
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"


UNSETTLED: frozenset[PaymentState] = frozenset()


class EntryKind(StrEnum):
    OPENING = "OPENING"
    CHARGE = "CHARGE"
    PAYMENT = "PAYMENT"


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    balance: int
    created_at: datetime
    updated_at: datetime


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a wallet's ledger: won in (positive) or out (negative), and what was left then."""

    customer_id: str
    kind: EntryKind
    delta: int
    balance_after: int
    order_id: str | None
    created_at: datetime


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service, and its payment's history."""

    order_id: str
    payment_id: str
    customer_id: str
    method: PaymentMethod
    amount: int
    state: PaymentState
    fail_reason: FailReason | None
    created_at: datetime
    updated_at: datetime


class Wallets(WorkingSet):
    """What a batch works on. A balance changes in `book` and nowhere else."""

    def __init__(
        self,
        now: datetime,
        wallets: Rows[str, Wallet],
        payments: Rows[str, Payment],
        ledger: Ledger[Entry],
    ) -> None:
        super().__init__(now, wallets, payments, ledger)
        self.wallets = wallets
        self.payments = payments
        self.ledger = ledger

    def open(self, customer_id: str, balance: int = 0) -> Wallet:
        """A new wallet, with an opening balance where there is one."""
        wallet = Wallet(
            customer_id=customer_id, balance=0, created_at=self.now, updated_at=self.now
        )
        self.wallets[customer_id] = wallet
        return self.book(wallet, EntryKind.OPENING, balance) if balance else wallet

    def book(
        self, wallet: Wallet, kind: EntryKind, delta: int, order_id: str | None = None
    ) -> Wallet:
        """Change a balance together with its ledger. Raises Conflict outside 0 to the limit."""
        balance = wallet.balance + delta
        if not 0 <= balance <= LARGEST_BALANCE:
            raise Conflict(
                f"the balance would be {balance} won; it stays from 0 to {LARGEST_BALANCE}",
                code="BALANCE_OUT_OF_RANGE",
            )
        booked = msgspec.structs.replace(wallet, balance=balance, updated_at=self.now)
        self.wallets[wallet.customer_id] = booked
        self.ledger.add(
            Entry(
                customer_id=wallet.customer_id,
                kind=kind,
                delta=delta,
                balance_after=balance,
                order_id=order_id,
                created_at=self.now,
            )
        )
        return booked

    def record(self, event: StockDecremented, fail_reason: FailReason | None) -> Payment:
        """Write down the verdict on an order's payment."""
        payment = Payment(
            order_id=event.order_id,
            payment_id=payment_id(event.order_id),
            customer_id=event.customer_id,
            method=event.payment_method,
            amount=event.payable_amount,
            state=PaymentState.FAILED if fail_reason else PaymentState.CAPTURED,
            fail_reason=fail_reason,
            created_at=self.now,
            updated_at=self.now,
        )
        self.payments[event.order_id] = payment
        return payment


def payment_id(order_id: str) -> str:
    """An order has one payment: its id follows from the order's."""
    return str(uuid5(NAMESPACE_OID, f"payment/{UUID(order_id)}"))


# ---------------------------------------------------------------- commands


class OpenWallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str


class OpenedWallet(msgspec.Struct, frozen=True, kw_only=True):
    """`new` is False when the customer had one already: then nothing was changed."""

    wallet: Wallet
    new: bool


class ChargeWallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    amount: int


class SeedWallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    balance: int


SEED = (
    SeedWallet(customer_id="3fa85f64-5717-4562-b3fc-2c963f66afa6", balance=1_000_000),
    SeedWallet(customer_id="123e4567-e89b-12d3-a456-426614174000", balance=500_000),
    SeedWallet(customer_id="987fcdeb-51a2-43d1-b4c5-316227849201", balance=250_000),
)
"""The wallets of a new stack."""


def no_wallet(customer_id: str) -> NotFound:
    return NotFound(
        f"customer {customer_id} has no wallet; open one with POST /api/v1/wallets",
        code="WALLET_NOT_FOUND",
    )
