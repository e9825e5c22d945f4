"""What payment wants of the gateway, and what the gateway decides. Pure, as the domain is.

An errand is decided on by a reaction, carried out after its commit (`payment/gateway.py`), and its
answer comes back as a command.
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class Action(StrEnum):
    CHARGE = "CHARGE"
    VOID = "VOID"
    REFUND = "REFUND"


class Purpose(StrEnum):
    ORDER = "ORDER"
    TOP_UP = "TOP_UP"


class GatewayOutcome(StrEnum):
    """What the gateway has decided. That nobody knows is not among them: then it is asked again."""

    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"
    REFUND_REFUSED = "REFUND_REFUSED"


class GatewayCall(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of the gateway. `key` is the charge's idempotency key there.

    `subject` is the order or the top-up. `attempt` tells an order's refunds apart. `began_at` is
    when the key was first used: the gateway remembers it for so long only.
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

    def decided(self, outcome: GatewayOutcome) -> "GatewayDecided | TopUpDecided":
        """The command that brings the gateway's answer back."""
        if self.purpose is Purpose.TOP_UP:
            return TopUpDecided(top_up_id=self.subject, outcome=outcome)
        return GatewayDecided(order_id=self.subject, outcome=outcome, attempt=self.attempt)


class GatewayDecided(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's answer about an order's payment. Of a refund, `attempt` says which."""

    order_id: str
    outcome: GatewayOutcome
    attempt: int


class TopUpDecided(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's answer about a top-up."""

    top_up_id: str
    outcome: GatewayOutcome
