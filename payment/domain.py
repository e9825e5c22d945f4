"""Wallets, payments, and errands to the gateway. Pure: no clock, no I/O, no framework.

Payment is the arbiter of the saga: an order is sold from the moment at which its row here is
CAPTURED, and dead from the moment at which it is FAILED.

    NONE -> CAPTURED | FAILED                    wallet: money and verdict in one transaction
    NONE -> INTENT -> CAPTURED | FAILED          card: the gateway decides
    CAPTURED -> REFUNDING(attempt) -> REFUNDED   a cancel; CAPTURED again when it was refused

The gateway is called after the commit that decided on the call (an *errand*), under a key that was
stored with it; its answer comes back as a command. An outcome that nobody knows is asked for again
under the same key. Before a payment is given up its key is voided at the gateway, so that a charge
in flight can't land afterwards.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from events.contract import FailReason, OrderTimedOut, PaymentMethod, StockDecremented
from payment.external_calls import Action, GatewayCall, Purpose
from saga import ids
from saga.errors import Conflict, NotFound
from saga.unit_of_work import Ledger, Rows, UnitOfWork

MAX_BALANCE = 10**15
"""A wallet's limit in won, far inside what the column can hold."""

EXTERNAL_CALL_SECONDS = 30
"""An errand that has not come to its end by then is begun again, by whichever instance sees it."""


class PaymentState(StrEnum):
    INTENT = "INTENT"
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


class OrphanedCapture(StrEnum):
    """Money that a gateway has captured although its key was fenced: it goes back by itself."""

    RETURNING = "RETURNING"
    RETURNED = "RETURNED"


UNSETTLED = frozenset({PaymentState.INTENT, PaymentState.REFUNDING})


class TopUpState(StrEnum):
    """INTENT -> BOOKED | FAILED. One that nobody waits for any more is VOIDING, then FAILED; money
    that was captured for it all the same goes back: REFUNDING -> REFUNDED."""

    INTENT = "INTENT"
    BOOKED = "BOOKED"
    VOIDING = "VOIDING"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


class EntryKind(StrEnum):
    OPENING = "OPENING"
    CHARGE = "CHARGE"
    PAYMENT = "PAYMENT"
    REFUND = "REFUND"


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    balance: int
    created_at: datetime
    updated_at: datetime

    def fits(self, delta: int) -> bool:
        """Would the balance stay from 0 to the limit?"""
        return 0 <= self.balance + delta <= MAX_BALANCE

    def check(self, delta: int) -> None:
        """Raises Conflict when it would not."""
        if not self.fits(delta):
            raise Conflict(
                f"the balance would be {self.balance + delta} won; "
                f"it stays from 0 to {MAX_BALANCE}",
                code="BALANCE_OUT_OF_RANGE",
            )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a wallet's ledger: won in (positive) or out (negative), and what was left then."""

    customer_id: str
    kind: EntryKind
    delta: int
    balance_after: int
    order_id: str | None
    top_up_id: str | None
    created_at: datetime


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service, and its payment's history.

    `attempt` is the last cancel that was heard. `voiding`: it is to be given up, if that is still
    possible. `stray`: what became of money that was captured for it after it had FAILED.
    """

    order_id: str
    payment_id: str
    customer_id: str
    method: PaymentMethod
    amount: int
    discount_amount: int
    state: PaymentState
    fail_reason: FailReason | None
    attempt: int
    voiding: bool
    stray: OrphanedCapture | None
    created_at: datetime
    updated_at: datetime
    retry_at: datetime | None

    def moved(self, now: datetime, **changes: object) -> "Payment":
        return msgspec.structs.replace(self, updated_at=now, **changes)

    @property
    def call(self) -> "GatewayCall | None":
        """What is to be had from the gateway for it now."""
        if self.state is PaymentState.INTENT:
            action = Action.VOID if self.voiding else Action.CHARGE
        elif self.state is PaymentState.REFUNDING or self.stray is OrphanedCapture.RETURNING:
            action = Action.REFUND
        else:
            return None
        return GatewayCall(
            action=action,
            purpose=Purpose.ORDER,
            subject=self.order_id,
            key=self.payment_id,
            customer_id=self.customer_id,
            amount=self.amount,
            attempt=0 if self.stray else self.attempt,
            began_at=self.created_at,
        )


_TOP_UP_ACTIONS = {
    TopUpState.INTENT: Action.CHARGE,
    TopUpState.VOIDING: Action.VOID,
    TopUpState.REFUNDING: Action.REFUND,
}


class TopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a customer brings into a wallet through the gateway."""

    top_up_id: str
    customer_id: str
    amount: int
    state: TopUpState
    created_at: datetime
    updated_at: datetime
    retry_at: datetime | None

    def moved(self, state: TopUpState, now: datetime) -> "TopUp":
        return msgspec.structs.replace(self, state=state, updated_at=now, retry_at=None)

    @property
    def call(self) -> "GatewayCall | None":
        """What is to be had from the gateway for it now."""
        action = _TOP_UP_ACTIONS.get(self.state)
        if action is None:
            return None
        return GatewayCall(
            action=action,
            purpose=Purpose.TOP_UP,
            subject=self.top_up_id,
            key=self.top_up_id,
            customer_id=self.customer_id,
            amount=self.amount,
            attempt=0,
            began_at=self.created_at,
        )


class Wallets(UnitOfWork):
    """What a batch works on. A balance changes in `book` and nowhere else."""

    def __init__(
        self,
        now: datetime,
        wallets: Rows[str, Wallet],
        payments: Rows[str, Payment],
        top_ups: Rows[str, TopUp],
        ledger: Ledger[Entry],
    ) -> None:
        self.orphaned_captures: Ledger[Payment] = Ledger()
        super().__init__(now, wallets, payments, top_ups, ledger, self.orphaned_captures)
        self.wallets = wallets
        self.payments = payments
        self.top_ups = top_ups
        self.ledger = ledger

    def open(self, customer_id: str, balance: int = 0) -> Wallet:
        """A new wallet, with an opening balance where there is one."""
        wallet = Wallet(
            customer_id=customer_id, balance=0, created_at=self.now, updated_at=self.now
        )
        self.wallets[customer_id] = wallet
        return self.book(wallet, EntryKind.OPENING, balance) if balance else wallet

    def book(
        self,
        wallet: Wallet,
        kind: EntryKind,
        delta: int,
        *,
        order_id: str | None = None,
        top_up_id: str | None = None,
    ) -> Wallet:
        """Change a balance together with its ledger. Raises Conflict outside 0 to the limit."""
        wallet.check(delta)
        balance = wallet.balance + delta
        booked = msgspec.structs.replace(wallet, balance=balance, updated_at=self.now)
        self.wallets[wallet.customer_id] = booked
        self.ledger.add(
            Entry(
                customer_id=wallet.customer_id,
                kind=kind,
                delta=delta,
                balance_after=balance,
                order_id=order_id,
                top_up_id=top_up_id,
                created_at=self.now,
            )
        )
        return booked

    def record(
        self,
        event: StockDecremented | OrderTimedOut,
        state: PaymentState,
        fail_reason: FailReason | None = None,
    ) -> Payment:
        """Write down an order's payment. One that timed out before it came here owes nothing."""
        owed, discount = 0, 0
        if isinstance(event, StockDecremented):
            owed, discount = event.payable_amount, event.discount_amount
        payment = Payment(
            order_id=event.order_id,
            payment_id=payment_id(event.order_id),
            customer_id=event.customer_id,
            method=event.payment_method,
            amount=owed,
            discount_amount=discount,
            state=state,
            fail_reason=fail_reason,
            attempt=0,
            voiding=False,
            stray=None,
            created_at=self.now,
            updated_at=self.now,
            retry_at=None,
        )
        self.payments[event.order_id] = payment
        return payment

    def move(self, payment: Payment, **changes: object) -> Payment:
        """Move a payment on, and send for what is to be had from the gateway then."""
        moved = payment.moved(self.now, retry_at=None, **changes)
        self.payments[payment.order_id] = moved
        return self.begin_call(moved)

    def begin_call(self, payment: Payment) -> Payment:
        """Begin the payment's errand, or begin it again."""
        if call := payment.call:
            self.external_calls.add(call)
            payment = msgspec.structs.replace(payment, retry_at=self._retry_at)
            self.payments[payment.order_id] = payment
        return payment

    def begin_top_up_call(self, top_up: TopUp) -> TopUp:
        """Keep a top-up as it is now, and send for what is to be had from the gateway for it."""
        if call := top_up.call:
            self.external_calls.add(call)
            top_up = msgspec.structs.replace(top_up, retry_at=self._retry_at)
        self.top_ups[top_up.top_up_id] = top_up
        return top_up

    @property
    def _retry_at(self) -> datetime:
        return self.now + timedelta(seconds=EXTERNAL_CALL_SECONDS)


def payment_id(order_id: str) -> str:
    """An order has one payment: its id follows from the order's."""
    return ids.derived(order_id, "payment")


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


class BeginTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Bring money into a wallet through the gateway."""

    top_up_id: str
    customer_id: str
    amount: int


class GiveUpTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody waits for it any more: see to it that nothing is taken for it."""

    top_up_id: str


class ResumePayment(msgspec.Struct, frozen=True, kw_only=True):
    """An errand for this order has not come to its end in time."""

    order_id: str


class ResumeTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """An errand for this top-up has not come to its end in time."""

    top_up_id: str


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


def no_top_up(top_up_id: str) -> NotFound:
    return NotFound(f"there is no top-up {top_up_id}", code="TOP_UP_NOT_FOUND")
