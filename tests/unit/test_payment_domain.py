"""Payments from wallets: every event in every state, money that is taken and given back once."""

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
)
from payment.domain import MAX_BALANCE, UNSETTLED, EntryKind, PaymentState, payment_id
from payment.reactions import reactions
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.wallets import (
    LATER,
    ORDER,
    ORDERS,
    cancel,
    decremented,
    is_untouched,
    name_of,
    payments,
    timed_out,
    wallets,
)

WALLET = payments(PaymentMethod.WALLET)
EVENTS: dict[str, Event] = {
    "StockDecremented": decremented(),
    "OrderTimedOut": timed_out(),
    "OrderCancelRequested": cancel(1),
    "another OrderCancelRequested": cancel(2),
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
    at = wallets(100, WALLET[state])
    emitted = handle(reactions, EVENTS[name], at)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert is_untouched(at)
        return
    after, emits, balance = MOVES[state, name]
    assert name_of(at.payments[ORDER]) == after
    assert [type(event) for event in emitted] == [emits]
    assert at.wallets["c"].balance == balance
    assert list(at.external_calls) == []


def test_the_events_are_all_of_them() -> None:
    assert reactions.handles == {StockDecremented, OrderTimedOut, OrderCancelRequested}
    assert frozenset({PaymentState.INTENT, PaymentState.REFUNDING}) == UNSETTLED


def test_a_payment_is_taken() -> None:
    at = wallets(100)
    completed = PaymentCompleted(
        order_id=ORDER,
        payment_id=payment_id(ORDER),
        customer_id="c",
        method=PaymentMethod.WALLET,
        amount=60,
        discount_amount=5,
    )
    assert handle(reactions, decremented(), at) == (completed,)
    (row,) = at.payments.inserted
    assert (row.state, row.fail_reason, row.amount) == (PaymentState.CAPTURED, None, 60)
    (entry,) = at.ledger
    assert (entry.kind, entry.delta, entry.balance_after) == (EntryKind.PAYMENT, -60, 40)
    assert (entry.order_id, entry.top_up_id, entry.created_at) == (ORDER, None, LATER)


@pytest.mark.parametrize(
    ("balance", "reason"),
    [(None, FailReason.WALLET_NOT_FOUND), (59, FailReason.INSUFFICIENT_BALANCE)],
)
def test_a_payment_is_refused(balance: int | None, reason: FailReason) -> None:
    at = wallets(balance)
    assert handle(reactions, decremented(), at) == (PaymentFailed(order_id=ORDER, reason=reason),)
    (row,) = at.payments.inserted
    assert (row.state, row.fail_reason, row.amount) == (PaymentState.FAILED, reason, 60)
    assert [*at.wallets.inserted, *at.wallets.updated, *at.ledger] == []


def test_the_last_won_is_enough_and_nothing_costs_nothing() -> None:
    at = wallets(60)
    emitted = [
        *handle(reactions, decremented(), at),
        *handle(reactions, decremented(ORDERS[1], "c", 0), at),
    ]
    assert [type(event) for event in emitted] == [PaymentCompleted, PaymentCompleted]
    assert at.wallets["c"].balance == 0
    assert len(list(at.ledger)) == 1


@pytest.mark.parametrize("method", list(PaymentMethod))
def test_an_order_that_timed_out_before_it_came_here_is_never_paid(method: PaymentMethod) -> None:
    at = wallets(100)
    reason = FailReason.ORDER_TIMED_OUT
    emitted = handle(reactions, timed_out(method=method), at)
    assert emitted == (PaymentFailed(order_id=ORDER, reason=reason),)
    (tombstone,) = at.payments.inserted
    assert (tombstone.state, tombstone.fail_reason) == (PaymentState.FAILED, reason)
    assert (tombstone.method, tombstone.amount) == (method, 0)
    assert handle(reactions, decremented(method=method), at) == ()
    assert [*at.ledger, *at.external_calls] == []


# ---------------------------------------------------------------- giving back


def test_a_refund_is_booked_and_said_with_its_attempt() -> None:
    at = wallets(0, WALLET["KEPT"])
    refunded = PaymentRefunded(order_id=ORDER, payment_id=payment_id(ORDER), amount=60, attempt=2)
    assert handle(reactions, cancel(2), at) == (refunded,)
    (entry,) = at.ledger
    assert (entry.kind, entry.delta, entry.balance_after) == (EntryKind.REFUND, 60, 60)
    assert (entry.order_id, entry.created_at) == (ORDER, LATER)


@pytest.mark.parametrize("balance", [None, MAX_BALANCE - 59])
def test_a_refund_that_no_wallet_can_take_is_refused_and_may_be_tried_again(
    balance: int | None,
) -> None:
    at = wallets(balance, WALLET["CAPTURED"])
    assert handle(reactions, cancel(1), at) == (PaymentRefundFailed(order_id=ORDER, attempt=1),)
    assert name_of(at.payments[ORDER]) == "CAPTURED"
    assert [*at.wallets.updated, *at.ledger] == []
    assert handle(reactions, cancel(1), at) == ()
    assert handle(reactions, cancel(2), at) == (PaymentRefundFailed(order_id=ORDER, attempt=2),)


def test_what_cost_nothing_is_given_back_without_an_entry() -> None:
    at = wallets(0)
    handle(reactions, decremented(amount=0), at)
    refunded = PaymentRefunded(order_id=ORDER, payment_id=payment_id(ORDER), amount=0, attempt=1)
    assert handle(reactions, cancel(1), at) == (refunded,)
    assert list(at.ledger) == []


def test_an_order_has_one_payment_id() -> None:
    assert payment_id(ORDER) == payment_id(ORDER.upper())
    assert len({payment_id(order_id) for order_id in ORDERS}) == len(ORDERS)
