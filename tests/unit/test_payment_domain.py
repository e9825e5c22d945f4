"""Payments from wallets: every event in every state, money taken once and refunded once."""

import pytest

from events.contract import (
    FailReason,
    OrderCancelRequested,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefunded,
    PaymentRefundFailed,
    StockDecremented,
    UserRegistered,
)
from payment.domain import MAX_BALANCE, UNSETTLED, EntryKind, PaymentState, payment_id
from payment.reactions import reactions
from saga.errors import Conflict
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.payment_fixtures import (
    LATER,
    ORDER,
    ORDERS,
    cancel_requested,
    is_unchanged,
    name_of,
    order_timed_out,
    payments,
    stock_decremented,
    unit_of_work,
)

WALLET = payments(PaymentMethod.WALLET)
EVENTS: dict[str, Event] = {
    "StockDecremented": stock_decremented(),
    "OrderTimedOut": order_timed_out(),
    "OrderCancelRequested": cancel_requested(1),
    "another OrderCancelRequested": cancel_requested(2),
}
MOVES: dict[tuple[str, str], tuple[str, type[Event], int]] = {
    ("NONE", "StockDecremented"): ("CAPTURED", PaymentCompleted, 40),
    ("NONE", "OrderTimedOut"): ("FAILED", PaymentFailed, 100),
    ("CAPTURED", "OrderCancelRequested"): ("REFUNDED", PaymentRefunded, 160),
    ("CAPTURED", "another OrderCancelRequested"): ("REFUNDED", PaymentRefunded, 160),
    ("KEPT", "another OrderCancelRequested"): ("REFUNDED", PaymentRefunded, 160),
}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("state", ["NONE", "CAPTURED", "KEPT", "FAILED", "REFUNDED"])
def test_every_event_in_every_state(state: str, name: str) -> None:
    uow = unit_of_work(100, WALLET[state])
    emitted = handle(reactions, EVENTS[name], uow)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert is_unchanged(uow)
        return
    after, emits, balance = MOVES[state, name]
    assert name_of(uow.payments[ORDER]) == after
    assert [type(event) for event in emitted] == [emits]
    assert uow.wallets["c"].balance == balance
    assert list(uow.external_calls) == []


def test_events_are_complete() -> None:
    of_orders = {StockDecremented, OrderTimedOut, OrderCancelRequested}
    assert reactions.handles == of_orders | {UserRegistered}
    assert frozenset({PaymentState.INTENT, PaymentState.REFUNDING}) == UNSETTLED


def test_payment_takes_money_and_books_it() -> None:
    uow = unit_of_work(100)
    completed = PaymentCompleted(
        order_id=ORDER,
        payment_id=payment_id(ORDER),
        customer_id="c",
        method=PaymentMethod.WALLET,
        amount=60,
        discount_amount=5,
    )
    assert handle(reactions, stock_decremented(), uow) == (completed,)
    (row,) = uow.payments.inserted
    assert (row.state, row.fail_reason, row.amount) == (PaymentState.CAPTURED, None, 60)
    (entry,) = uow.ledger
    assert (entry.kind, entry.delta, entry.balance_after) == (EntryKind.PAYMENT, -60, 40)
    assert (entry.order_id, entry.top_up_id, entry.created_at) == (ORDER, None, LATER)


@pytest.mark.parametrize(
    ("balance", "reason"),
    [(None, FailReason.WALLET_NOT_FOUND), (59, FailReason.INSUFFICIENT_BALANCE)],
)
def test_payment_without_enough_money_fails(balance: int | None, reason: FailReason) -> None:
    uow = unit_of_work(balance)
    assert handle(reactions, stock_decremented(), uow) == (
        PaymentFailed(order_id=ORDER, reason=reason),
    )
    (row,) = uow.payments.inserted
    assert (row.state, row.fail_reason, row.amount) == (PaymentState.FAILED, reason, 60)
    assert [*uow.wallets.inserted, *uow.wallets.updated, *uow.ledger] == []


def test_exact_balance_is_enough_and_free_order_books_nothing() -> None:
    uow = unit_of_work(60)
    emitted = [
        *handle(reactions, stock_decremented(), uow),
        *handle(reactions, stock_decremented(ORDERS[1], "c", 0), uow),
    ]
    assert [type(event) for event in emitted] == [PaymentCompleted, PaymentCompleted]
    assert uow.wallets["c"].balance == 0
    assert len(list(uow.ledger)) == 1


@pytest.mark.parametrize("method", list(PaymentMethod))
def test_order_timed_out_before_payment_is_never_paid(method: PaymentMethod) -> None:
    uow = unit_of_work(100)
    reason = FailReason.ORDER_TIMED_OUT
    emitted = handle(reactions, order_timed_out(method=method), uow)
    assert emitted == (PaymentFailed(order_id=ORDER, reason=reason),)
    (tombstone,) = uow.payments.inserted
    assert (tombstone.state, tombstone.fail_reason) == (PaymentState.FAILED, reason)
    assert (tombstone.method, tombstone.amount) == (method, 0)
    assert handle(reactions, stock_decremented(method=method), uow) == ()
    assert [*uow.ledger, *uow.external_calls] == []


# ---------------------------------------------------------------- refunds


def test_refund_is_booked_and_emitted_with_its_attempt() -> None:
    uow = unit_of_work(0, WALLET["KEPT"])
    refunded = PaymentRefunded(order_id=ORDER, payment_id=payment_id(ORDER), amount=60, attempt=2)
    assert handle(reactions, cancel_requested(2), uow) == (refunded,)
    (entry,) = uow.ledger
    assert (entry.kind, entry.delta, entry.balance_after) == (EntryKind.REFUND, 60, 60)
    assert (entry.order_id, entry.created_at) == (ORDER, LATER)


def test_wallet_below_zero_takes_money_and_gives_none() -> None:
    """A restored wallet can be there. The refund leaves it below zero, and is not refused."""
    uow = unit_of_work(-100, WALLET["CAPTURED"])
    [refunded] = handle(reactions, cancel_requested(1), uow)
    assert isinstance(refunded, PaymentRefunded)
    assert uow.wallets["c"].balance == -40
    [refused] = handle(reactions, stock_decremented(ORDERS[1]), uow)
    assert refused == PaymentFailed(order_id=ORDERS[1], reason=FailReason.INSUFFICIENT_BALANCE)
    with pytest.raises(Conflict, match="would be -41 KRW"):
        uow.wallets["c"].check(-1)


@pytest.mark.parametrize("balance", [None, MAX_BALANCE - 59])
def test_refund_without_room_in_wallet_fails_and_can_be_tried_again(
    balance: int | None,
) -> None:
    uow = unit_of_work(balance, WALLET["CAPTURED"])
    assert handle(reactions, cancel_requested(1), uow) == (
        PaymentRefundFailed(order_id=ORDER, attempt=1),
    )
    assert name_of(uow.payments[ORDER]) == "CAPTURED"
    assert [*uow.wallets.updated, *uow.ledger] == []
    assert handle(reactions, cancel_requested(1), uow) == ()
    assert handle(reactions, cancel_requested(2), uow) == (
        PaymentRefundFailed(order_id=ORDER, attempt=2),
    )


def test_free_order_is_refunded_without_an_entry() -> None:
    uow = unit_of_work(0)
    handle(reactions, stock_decremented(amount=0), uow)
    refunded = PaymentRefunded(order_id=ORDER, payment_id=payment_id(ORDER), amount=0, attempt=1)
    assert handle(reactions, cancel_requested(1), uow) == (refunded,)
    assert list(uow.ledger) == []


def test_order_has_one_payment_id() -> None:
    assert payment_id(ORDER) == payment_id(ORDER.upper())
    assert len({payment_id(order_id) for order_id in ORDERS}) == len(ORDERS)
