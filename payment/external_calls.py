"""The external calls of payments and top-ups to the payment gateway. Pure.

A reaction decides on a call, `payment/gateway.py` executes it after the commit, and its outcome
returns as a command.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from payment.commands import SettlePayment, SettleTopUp
from payment.domain import (
    Decision,
    OrphanedCapture,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
)

EXTERNAL_CALL_SECONDS = 30
"""A call without an outcome by then is begun again, by any instance."""


class Action(StrEnum):
    CHARGE = "CHARGE"
    VOID = "VOID"
    REFUND = "REFUND"


class Purpose(StrEnum):
    ORDER = "ORDER"
    TOP_UP = "TOP_UP"


class GatewayCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to the gateway. `key` is the charge's idempotency key there.

    `subject` is the order or the top-up. `attempt` tells an order's refunds apart. `began_at` is
    when the key was first used: the gateway remembers a key for a limited time.
    """

    action: Action
    purpose: Purpose
    subject: str
    key: str
    customer_id: str
    amount: int
    attempt: int
    began_at: datetime

    @property
    def refund_key(self) -> str:
        """The refund's own idempotency key: one for each attempt."""
        return f"{self.key}/refund/{self.attempt}"

    def command(self, decision: Decision) -> SettlePayment | SettleTopUp:
        """The command that brings the decision back."""
        if self.purpose is Purpose.TOP_UP:
            return SettleTopUp(top_up_id=self.subject, decision=decision)
        return SettlePayment(order_id=self.subject, decision=decision, attempt=self.attempt)


def payment_call(payment: Payment) -> GatewayCall | None:
    """The call that a payment needs in its state, if any."""
    if payment.state is PaymentState.INTENT:
        action = Action.VOID if payment.voiding else Action.CHARGE
    elif payment.state is PaymentState.REFUNDING or payment.stray is OrphanedCapture.RETURNING:
        action = Action.REFUND
    else:
        return None
    return GatewayCall(
        action=action,
        purpose=Purpose.ORDER,
        subject=payment.order_id,
        key=payment.payment_id,
        customer_id=payment.customer_id,
        amount=payment.amount,
        attempt=0 if payment.stray else payment.attempt,
        began_at=payment.created_at,
    )


_TOP_UP_ACTIONS = {
    TopUpState.INTENT: Action.CHARGE,
    TopUpState.VOIDING: Action.VOID,
    TopUpState.REFUNDING: Action.REFUND,
}


def top_up_call(top_up: TopUp) -> GatewayCall | None:
    """The call that a top-up needs in its state, if any."""
    action = _TOP_UP_ACTIONS.get(top_up.state)
    if action is None:
        return None
    return GatewayCall(
        action=action,
        purpose=Purpose.TOP_UP,
        subject=top_up.top_up_id,
        key=top_up.top_up_id,
        customer_id=top_up.customer_id,
        amount=top_up.amount,
        attempt=0,
        began_at=top_up.created_at,
    )
