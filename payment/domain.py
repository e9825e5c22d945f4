"""Wallets, payments and top-ups. Pure: no clock, no I/O, no framework.

Payment is the arbiter of the saga: an order is sold as soon as its payment is CAPTURED, and has
failed as soon as its payment is FAILED.

    NONE -> CAPTURED | FAILED                    wallet: money and decision in one transaction
    NONE -> INTENT -> CAPTURED | FAILED          card: the gateway decides
    CAPTURED -> REFUNDING(attempt) -> REFUNDED   a cancel; CAPTURED again when it was refused

The gateway is called after the commit that decided on the call (an *external call*), under a key
that was stored with it, and its outcome returns as a command. A call whose outcome is unknown is
retried under the same key. Before a payment is given up its key is voided at the gateway, so that a
charge in flight can't land afterwards.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import FailReason, PaymentMethod
from saga import ids
from saga.errors import Conflict

MAX_BALANCE = 10**15
"""A wallet's limit in KRW, far inside what the column can hold."""


MAX_DETAIL_CHARACTERS = 500
MAX_TRANSACTION_ID_CHARACTERS = 200
"""Of what the gateway tells, stored."""


class PaymentState(StrEnum):
    INTENT = "INTENT"
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


UNSETTLED = frozenset({PaymentState.INTENT, PaymentState.REFUNDING})


class GatewayOutcome(StrEnum):
    """A decision of the gateway. An unknown outcome is none: then the call is retried."""

    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"
    REFUND_REFUSED = "REFUND_REFUSED"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway decided. `detail` is its reason for a refusal.

    `transaction_id` is its own name of the charge.
    """

    outcome: GatewayOutcome
    transaction_id: str | None = None
    detail: str | None = None


class OrphanedCapture(StrEnum):
    """Money that the gateway captured although its key was voided: it is refunded."""

    RETURNING = "RETURNING"
    RETURNED = "RETURNED"


class TopUpState(StrEnum):
    """INTENT -> BOOKED, or FAILED when the gateway declined.

    A top-up whose client waits no longer is VOIDING, and stays so: with a `retry_at` until the
    gateway has voided the key, without one after that. Money that was captured all the same is
    refunded: REFUNDING -> REFUNDED.
    """

    INTENT = "INTENT"
    BOOKED = "BOOKED"
    VOIDING = "VOIDING"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


class EntryKind(StrEnum):
    """Why money came into a wallet or left it."""

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
        """Would the balance stay from 0 to the limit?

        A restored wallet can be below zero. It takes any money that comes in.
        """
        balance = self.balance + delta
        return (delta >= 0 or balance >= 0) and balance <= MAX_BALANCE

    def check(self, delta: int) -> None:
        """Raises Conflict when it would not."""
        if not self.fits(delta):
            raise Conflict(
                f"the balance would be {self.balance + delta} KRW; "
                f"it stays from 0 to {MAX_BALANCE}",
                code="BALANCE_OUT_OF_RANGE",
                values={"balance": self.balance + delta, "max": MAX_BALANCE},
            )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a wallet's ledger: `delta` KRW in (positive) or out (negative), and the balance."""

    customer_id: str
    kind: EntryKind
    delta: int
    balance_after: int
    order_id: str | None
    top_up_id: str | None
    created_at: datetime


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service, and its payment's history.

    `attempt` is that of the last cancel that was handled. `voiding`: the charge is being voided.
    `stray`: the state of an orphaned capture, after the payment had FAILED. `fail_detail` is the
    gateway's reason for what it refused last. A restored service does not know it, nor
    `gateway_transaction_id`, of what it adopted.
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
    gateway_transaction_id: str | None = None
    fail_detail: str | None = None
    paid_at: datetime | None = None
    refunded_at: datetime | None = None

    def change(self, now: datetime, **changes: object) -> "Payment":
        return msgspec.structs.replace(self, updated_at=now, **changes)


class TopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a customer brings into a wallet through the gateway.

    `fail_detail` is the gateway's reason for a refusal.
    """

    top_up_id: str
    customer_id: str
    amount: int
    state: TopUpState
    created_at: datetime
    updated_at: datetime
    retry_at: datetime | None
    gateway_transaction_id: str | None = None
    fail_detail: str | None = None

    def move_to(self, state: TopUpState, now: datetime) -> "TopUp":
        return msgspec.structs.replace(self, state=state, updated_at=now, retry_at=None)

    def with_decision(self, decision: Decision) -> "TopUp":
        """What the gateway tells about the charge, kept where it tells nothing new."""
        return msgspec.structs.replace(
            self,
            gateway_transaction_id=decision.transaction_id or self.gateway_transaction_id,
            fail_detail=decision.detail or self.fail_detail,
        )


def payment_id(order_id: str) -> str:
    """An order has one payment: its id follows from the order's."""
    return ids.derived(order_id, "payment")
