"""The commands of clients, timers and the gateway, and the wallets of a new stack. Pure."""

import msgspec

from payment.domain import Decision, TopUp, TopUpState, Wallet
from saga.errors import ExternalSystemFailed, KeyReused, NotFound


class OpenWallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str


class OpenedWallet(msgspec.Struct, frozen=True, kw_only=True):
    """`new` is False when the customer had a wallet already: then nothing was changed."""

    wallet: Wallet
    new: bool


class SeedWallet(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    balance: int


class ChargeWallet(msgspec.Struct, frozen=True, kw_only=True):
    """Bring money into a wallet without a gateway."""

    customer_id: str
    amount: int


class BookCharge(msgspec.Struct, frozen=True, kw_only=True):
    """Book, in recovery mode, a charge that came in after the backup. The gateway has it already.

    `top_up_id` is None for one without a gateway.
    """

    customer_id: str
    amount: int
    top_up_id: str | None


class BeginTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Bring money into a wallet through the gateway."""

    top_up_id: str
    customer_id: str
    amount: int

    def check_replay(self, known: TopUp) -> None:
        """Raises KeyReused when the top-up of this id is another one."""
        if (known.customer_id, known.amount) != (self.customer_id, self.amount):
            raise KeyReused("this Idempotency-Key was used for another charge; send a new key")


class GiveUpTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """The client waits no longer: void the charge, so that nothing is taken for it."""

    top_up_id: str


class SettleTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that a top-up's external call brought."""

    top_up_id: str
    decision: Decision


class ResumeTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up's external call had no outcome in time: begin it again."""

    top_up_id: str


class SettlePayment(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that a payment's external call brought.

    `attempt` names the refund that it is about.
    """

    order_id: str
    decision: Decision
    attempt: int


class ResumePayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment's external call had no outcome in time: begin it again."""

    order_id: str


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
        values={"customerId": customer_id},
    )


_REFUNDED = "REFUNDED", "it came too late or no longer fits into the wallet, and is refunded"
_NOT_BOOKED = {
    TopUpState.FAILED: ("DECLINED", "the gateway declined it"),
    TopUpState.VOIDING: ("NO_ANSWER", "the gateway did not answer in time, and it is voided"),
    TopUpState.REFUNDING: _REFUNDED,
    TopUpState.REFUNDED: _REFUNDED,
}


def not_booked(top_up: TopUp) -> ExternalSystemFailed:
    """The answer for a top-up that ended without money in the wallet."""
    outcome, reason = _NOT_BOOKED[top_up.state]
    return ExternalSystemFailed(
        f"the charge has no effect: {reason}; send it again with a new key to try once more",
        code="PAYMENT_GATEWAY_FAILED",
        details={
            "outcome": outcome,
            "topUpId": top_up.top_up_id,
            "failDetail": top_up.fail_detail,
        },
    )


def no_top_up(top_up_id: str) -> NotFound:
    values = {"topUpId": top_up_id}
    return NotFound(f"there is no top-up {top_up_id}", code="TOP_UP_NOT_FOUND", values=values)
