"""A payment service's rows in each state, and the messages that it handles."""

from datetime import UTC, datetime, timedelta

from events.contract import (
    FailReason,
    Line,
    OrderCancelRequested,
    OrderTimedOut,
    PaymentMethod,
    StockDecremented,
)
from payment.commands import SettlePayment
from payment.domain import (
    Decision,
    GatewayOutcome,
    OrphanedCapture,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
    Wallet,
    payment_id,
)
from payment.unit_of_work import PaymentUnitOfWork
from saga.unit_of_work import Ledger, Rows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
BEGAN = NOW - timedelta(hours=1)
DUE = NOW + timedelta(seconds=30)
"""When an external call that is under way is begun again."""

ORDERS = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(5)]
ORDER = ORDERS[0]
LINES = (Line(product_id="p", quantity=1, price=60),)


def stock_decremented(
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


def order_timed_out(
    order_id: str = ORDER, customer: str = "c", method: PaymentMethod = PaymentMethod.WALLET
) -> OrderTimedOut:
    return OrderTimedOut(order_id=order_id, customer_id=customer, payment_method=method)


def cancel_requested(attempt: int, order_id: str = ORDER) -> OrderCancelRequested:
    return OrderCancelRequested(order_id=order_id, attempt=attempt)


def settle(outcome: GatewayOutcome, attempt: int = 0) -> SettlePayment:
    return SettlePayment(order_id=ORDER, decision=Decision(outcome=outcome), attempt=attempt)


def payments(method: PaymentMethod) -> dict[str, Payment | None]:
    """The order's payment in each state, by name. KEPT: the first cancel was refused. ORPHANED and
    RETURNED: money was captured after it had FAILED."""
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
    captured = intent.change(NOW, state=PaymentState.CAPTURED, retry_at=None)
    failed = captured.change(NOW, state=PaymentState.FAILED, fail_reason=FailReason.PG_DECLINED)
    return {
        "NONE": None,
        "INTENT": intent,
        "VOIDING": intent.change(NOW, voiding=True),
        "CAPTURED": captured,
        "KEPT": captured.change(NOW, attempt=1),
        "FAILED": failed,
        "ORPHANED": failed.change(NOW, stray=OrphanedCapture.RETURNING, retry_at=DUE),
        "RETURNED": failed.change(NOW, stray=OrphanedCapture.RETURNED),
        "REFUNDING": intent.change(NOW, state=PaymentState.REFUNDING, attempt=1),
        "REFUNDED": captured.change(NOW, state=PaymentState.REFUNDED, attempt=1),
    }


def name_of(payment: Payment | None) -> str:
    """The name of its state among `payments`; CAPTURED for KEPT too."""
    if payment is None:
        return "NONE"
    if payment.stray is not None:
        return "ORPHANED" if payment.stray is OrphanedCapture.RETURNING else "RETURNED"
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


def unit_of_work(balance: int | None, *rows: Payment | TopUp | None) -> PaymentUnitOfWork:
    """The customer c with this balance in KRW; None: without a wallet."""
    by_order = {row.order_id: row for row in rows if isinstance(row, Payment)}
    top_ups = {row.top_up_id: row for row in rows if isinstance(row, TopUp)}
    wallets = {}
    if balance is not None:
        wallets["c"] = Wallet(customer_id="c", balance=balance, created_at=NOW, updated_at=NOW)
    return PaymentUnitOfWork(LATER, Rows(wallets), Rows(by_order), Rows(top_ups), Ledger())


def is_unchanged(uow: PaymentUnitOfWork) -> bool:
    tables = (uow.wallets, uow.payments, uow.top_ups)
    changed = [row for rows in tables for row in (*rows.inserted, *rows.updated)]
    return not [*changed, *uow.ledger, *uow.external_calls]
