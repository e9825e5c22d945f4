"""How the payment service adopts what it had published before its database was restored."""

from events.contract import (
    CONTRACT,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefunded,
    PaymentRefundFailed,
    StockDecremented,
)
from payment.domain import EntryKind, Payment, PaymentState, payment_id
from payment.unit_of_work import PaymentUnitOfWork
from saga.adoption import Adoptions, CannotAdopt
from saga.event import Event

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_completed(event: PaymentCompleted, uow: PaymentUnitOfWork) -> str | None:
    """The money was captured. A wallet that is short goes below zero."""
    known = uow.payments.get(event.order_id)
    if known is not None and known.state is not PaymentState.INTENT:
        return None
    uow.payments[event.order_id] = Payment(
        order_id=event.order_id,
        payment_id=payment_id(event.order_id),
        customer_id=event.customer_id,
        method=event.method,
        amount=event.amount,
        discount_amount=event.discount_amount,
        state=PaymentState.CAPTURED,
        fail_reason=None,
        attempt=0,
        voiding=known.voiding if known else False,
        stray=None,
        created_at=known.created_at if known else uow.now,
        updated_at=uow.now,
        retry_at=None,
        paid_at=uow.now,
    )
    if event.method is PaymentMethod.CARD or event.amount == 0:
        return None
    return _book(event.customer_id, EntryKind.PAYMENT, -event.amount, event.order_id, uow)


@adoptions.rule
def adopt_failed(event: PaymentFailed, uow: PaymentUnitOfWork, cause: Event | None) -> str | None:
    """The payment failed. Whose it was, and how it was to be paid, is in the event's cause."""
    payment = uow.payments.get(event.order_id)
    if payment is None:
        if not isinstance(cause, StockDecremented | OrderTimedOut):
            raise CannotAdopt("the event that caused it, with the customer, is not in the stream")
        payment = uow.record(cause, PaymentState.FAILED)
    if payment.state in (PaymentState.INTENT, PaymentState.FAILED):
        uow.payments[event.order_id] = payment.change(
            uow.now, state=PaymentState.FAILED, fail_reason=event.reason, retry_at=None
        )
    return None


@adoptions.rule
def adopt_refunded(event: PaymentRefunded, uow: PaymentUnitOfWork) -> str | None:
    """The money was refunded, at the gateway or into the wallet."""
    payment = _payment_of(event, uow)
    if payment.state is PaymentState.REFUNDED:
        return None
    uow.payments[event.order_id] = payment.change(
        uow.now,
        state=PaymentState.REFUNDED,
        attempt=event.attempt,
        retry_at=None,
        refunded_at=uow.now,
    )
    if payment.method is PaymentMethod.CARD or event.amount == 0:
        return None
    return _book(payment.customer_id, EntryKind.REFUND, event.amount, event.order_id, uow)


@adoptions.rule
def adopt_refund_failed(event: PaymentRefundFailed, uow: PaymentUnitOfWork) -> str | None:
    """The refund was refused: the money stays captured, unless a later attempt is known."""
    payment = _payment_of(event, uow)
    if payment.state is PaymentState.REFUNDED or payment.attempt > event.attempt:
        return None
    uow.payments[event.order_id] = payment.change(
        uow.now, state=PaymentState.CAPTURED, attempt=event.attempt, retry_at=None
    )
    return None


def _payment_of(event: PaymentRefunded | PaymentRefundFailed, uow: PaymentUnitOfWork) -> Payment:
    payment = uow.payments.get(event.order_id)
    if payment is None:
        raise CannotAdopt("neither the database nor the stream has the order's payment")
    return payment


def _book(
    customer_id: str, kind: EntryKind, delta: int, order_id: str, uow: PaymentUnitOfWork
) -> str | None:
    """Book what was booked. Returns what the wallet lacks, where it goes below zero by this."""
    known = uow.wallets.get(customer_id)
    before = known or uow.open_wallet(customer_id)
    wallet = uow.book(before, kind, delta, order_id=order_id, is_adopted=True)
    if wallet.balance < 0 <= before.balance:
        return f"the wallet of customer {customer_id} is short by {-wallet.balance} KRW or more"
    return f"the wallet of customer {customer_id} is not in the backup" if known is None else None
