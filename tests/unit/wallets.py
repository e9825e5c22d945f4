"""Wallets, payments and top-ups in each state, and all that the payment service can be told."""

from datetime import UTC, datetime, timedelta

from events.contract import (
    FailReason,
    Line,
    OrderCancelRequested,
    OrderTimedOut,
    PaymentMethod,
    StockDecremented,
)
from payment.domain import (
    OrphanedCapture,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
    Wallet,
    Wallets,
    payment_id,
)
from payment.external_calls import GatewayDecided, GatewayOutcome
from saga.unit_of_work import Ledger, Rows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
BEGAN = NOW - timedelta(hours=1)
DUE = NOW + timedelta(seconds=30)
"""When an errand that is under way will be sent for again."""

ORDERS = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(5)]
ORDER = ORDERS[0]
LINES = (Line(product_id="p", quantity=1, price=60),)


def decremented(
    order_id: str = ORDER,
    customer: str = "c",
    amount: int = 60,
    method: PaymentMethod = PaymentMethod.WALLET,
) -> StockDecremented:
    return StockDecremented(
        order_id=order_id,
        customer_id=customer,
        items=LINES,
        total_amount=amount + 5,
        discount_amount=5,
        payable_amount=amount,
        payment_method=method,
    )


def timed_out(
    order_id: str = ORDER, customer: str = "c", method: PaymentMethod = PaymentMethod.WALLET
) -> OrderTimedOut:
    return OrderTimedOut(order_id=order_id, customer_id=customer, payment_method=method)


def cancel(attempt: int, order_id: str = ORDER) -> OrderCancelRequested:
    return OrderCancelRequested(order_id=order_id, attempt=attempt)


def decided(outcome: GatewayOutcome, attempt: int = 0) -> GatewayDecided:
    return GatewayDecided(order_id=ORDER, outcome=outcome, attempt=attempt)


def payments(method: PaymentMethod) -> dict[str, Payment | None]:
    """The order's payment in each state, by name; in KEPT the first cancel was refused."""
    intent = Payment(
        order_id=ORDER,
        payment_id=payment_id(ORDER),
        customer_id="c",
        method=method,
        amount=60,
        discount_amount=5,
        state=PaymentState.INTENT,
        fail_reason=None,
        attempt=0,
        voiding=False,
        stray=None,
        created_at=BEGAN,
        updated_at=NOW,
        retry_at=DUE,
    )
    captured = intent.moved(NOW, state=PaymentState.CAPTURED, retry_at=None)
    failed = captured.moved(NOW, state=PaymentState.FAILED, fail_reason=FailReason.PG_DECLINED)
    return {
        "NONE": None,
        "INTENT": intent,
        "VOIDING": intent.moved(NOW, voiding=True),
        "CAPTURED": captured,
        "KEPT": captured.moved(NOW, attempt=1),
        "FAILED": failed,
        "STRAY": failed.moved(NOW, stray=OrphanedCapture.RETURNING, retry_at=DUE),
        "STRAYED": failed.moved(NOW, stray=OrphanedCapture.RETURNED),
        "REFUNDING": intent.moved(NOW, state=PaymentState.REFUNDING, attempt=1),
        "REFUNDED": captured.moved(NOW, state=PaymentState.REFUNDED, attempt=1),
    }


def name_of(payment: Payment | None) -> str:
    """Its state's name among `payments`; KEPT is CAPTURED too."""
    if payment is None:
        return "NONE"
    if payment.stray is not None:
        return "STRAY" if payment.stray is OrphanedCapture.RETURNING else "STRAYED"
    is_intent = payment.state is PaymentState.INTENT
    return "VOIDING" if is_intent and payment.voiding else payment.state


def top_up(state: TopUpState, amount: int = 60) -> TopUp:
    return TopUp(
        top_up_id="t",
        customer_id="c",
        amount=amount,
        state=state,
        created_at=BEGAN,
        updated_at=NOW,
        retry_at=None if state in (TopUpState.BOOKED, TopUpState.FAILED) else DUE,
    )


def wallets(balance: int | None, *rows: Payment | TopUp | None) -> Wallets:
    """The customer c with this much money; None: without a wallet."""
    by_order = {row.order_id: row for row in rows if isinstance(row, Payment)}
    top_ups = {row.top_up_id: row for row in rows if isinstance(row, TopUp)}
    purses = {}
    if balance is not None:
        purses["c"] = Wallet(customer_id="c", balance=balance, created_at=NOW, updated_at=NOW)
    return Wallets(LATER, Rows(purses), Rows(by_order), Rows(top_ups), Ledger())


def is_untouched(at: Wallets) -> bool:
    tables = (at.wallets, at.payments, at.top_ups)
    changed = [row for rows in tables for row in (*rows.inserted, *rows.updated)]
    return not [*changed, *at.ledger, *at.external_calls]
