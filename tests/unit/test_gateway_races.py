"""Calls and outcomes in any order, repeated: money is captured and refunded once."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import PaymentCompleted, PaymentFailed, PaymentMethod, PaymentRefunded
from payment.commands import BeginTopUp, ChargeWallet, GiveUpTopUp, ResumePayment, ResumeTopUp
from payment.domain import MAX_BALANCE, PaymentState, TopUpState, payment_id
from payment.external_calls import payment_call
from tests.unit.gateway import Exchange, Gateway, Land, Settle
from tests.unit.handling import is_distinct
from tests.unit.payment_fixtures import (
    ORDER,
    cancel_requested,
    name_of,
    order_timed_out,
    stock_decremented,
    unit_of_work,
)

KEY = payment_id(ORDER)
A_MINUTE = timedelta(minutes=1)
lands, settles = (st.builds(step, st.integers(0, 9)) for step in (Land, Settle))


# ---------------------------------------------------------------- orders

CARD_FORWARD = {
    ("NONE", "INTENT"),
    ("NONE", "FAILED"),
    ("INTENT", "VOIDING"),
    ("INTENT", "CAPTURED"),
    ("INTENT", "FAILED"),
    ("VOIDING", "CAPTURED"),
    ("VOIDING", "FAILED"),
    ("CAPTURED", "REFUNDING"),
    ("REFUNDING", "CAPTURED"),
    ("REFUNDING", "REFUNDED"),
    ("FAILED", "ORPHANED"),
    ("ORPHANED", "RETURNED"),
}
card_steps = st.lists(
    st.one_of(
        lands,
        settles,
        st.just(stock_decremented(method=PaymentMethod.CARD)),
        st.just(order_timed_out(method=PaymentMethod.CARD)),
        st.integers(1, 3).map(cancel_requested),
        st.just(ResumePayment(order_id=ORDER)),
    ),
    max_size=30,
)
gateways = st.builds(
    Gateway,
    st.sampled_from([(), (KEY,)]),
    st.sets(st.integers(1, 3).map(lambda attempt: f"{KEY}/refund/{attempt}")),
    fences=st.booleans(),
)


@settings(deadline=None)
@given(gateways, card_steps)
def test_card_is_charged_once_and_refunded_once(gateway: Gateway, steps: list[object]) -> None:
    exchange = Exchange(unit_of_work(None), gateway)
    seen = ["NONE"]
    for step in steps:
        exchange.uow.now += A_MINUTE
        exchange.do(step)
        seen.append(name_of(exchange.uow.payments.get(ORDER)))
        assert 0 <= gateway.held(KEY) <= 60
    moves = {(before, after) for before, after in pairwise(seen) if before != after}
    assert moves <= CARD_FORWARD
    exchange.settle()
    check_end(exchange)


def check_end(exchange: Exchange) -> None:
    """At rest: the emitted events and the gateway's money agree with the payment."""
    payment = exchange.uow.payments.get(ORDER)
    assert payment is None or payment_call(payment) is None
    is_captured = payment is not None and payment.state is PaymentState.CAPTURED
    assert exchange.gateway.held(KEY) == (60 if is_captured else 0)
    emitted = {type(event) for event in exchange.emitted}
    ended = {
        "NONE": set(),
        "CAPTURED": {PaymentCompleted},
        "FAILED": {PaymentFailed},
        "RETURNED": {PaymentFailed},  # an orphaned capture, refunded
        "REFUNDED": {PaymentCompleted, PaymentRefunded},
    }
    decisions = {PaymentCompleted, PaymentFailed, PaymentRefunded}
    assert emitted & decisions == ended[name_of(payment)]
    assert is_distinct(exchange.emitted)


# ---------------------------------------------------------------- top-ups

TOP_UPS = ("t1", "t2")
TOP_UP_FORWARD = {
    (TopUpState.INTENT, TopUpState.BOOKED),
    (TopUpState.INTENT, TopUpState.FAILED),
    (TopUpState.INTENT, TopUpState.VOIDING),
    (TopUpState.INTENT, TopUpState.REFUNDING),
    (TopUpState.VOIDING, TopUpState.FAILED),
    (TopUpState.VOIDING, TopUpState.REFUNDING),
    (TopUpState.FAILED, TopUpState.REFUNDING),
    (TopUpState.REFUNDING, TopUpState.REFUNDED),
}
ENDED = (TopUpState.BOOKED, TopUpState.FAILED, TopUpState.VOIDING, TopUpState.REFUNDED)
top_up_ids = st.sampled_from(TOP_UPS)
top_up_steps = st.lists(
    st.one_of(
        lands,
        settles,
        st.builds(GiveUpTopUp, top_up_id=top_up_ids),
        st.builds(ResumeTopUp, top_up_id=top_up_ids),
        st.builds(ChargeWallet, customer_id=st.just("c"), amount=st.integers(1, 60)),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(
    st.builds(Gateway, st.sets(top_up_ids), fences=st.booleans()),
    st.integers(0, 60),
    top_up_steps,
)
def test_top_up_is_booked_or_nothing_is_captured_for_it(
    gateway: Gateway, room: int, steps: list[object]
) -> None:
    """Each top-up fits when it begins; other charges may leave no room for it."""
    exchange = Exchange(unit_of_work(MAX_BALANCE - 60 - room), gateway)
    for top_up_id in TOP_UPS:
        exchange.do(BeginTopUp(top_up_id=top_up_id, customer_id="c", amount=60))
    for step in steps:
        before = states(exchange)
        exchange.uow.now += A_MINUTE
        exchange.do(step)
        moves = zip(before, states(exchange), strict=True)
        assert {move for move in moves if move[0] is not move[1]} <= TOP_UP_FORWARD
    exchange.settle()
    uow = exchange.uow
    assert uow.wallets["c"].balance <= MAX_BALANCE
    for top_up_id, state in zip(TOP_UPS, states(exchange), strict=True):
        assert state in ENDED
        assert uow.top_ups[top_up_id].retry_at is None
        booked = [entry.delta for entry in uow.ledger if entry.top_up_id == top_up_id]
        assert booked == ([60] if state is TopUpState.BOOKED else [])
        assert gateway.held(top_up_id) == sum(booked)


def states(exchange: Exchange) -> list[TopUpState]:
    return [exchange.uow.top_ups[top_up_id].state for top_up_id in TOP_UPS]
