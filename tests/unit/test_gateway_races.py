"""Whatever the gateway decides, and whenever that is heard: no money is taken or given twice."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import PaymentCompleted, PaymentFailed, PaymentMethod, PaymentRefunded
from payment.domain import (
    MAX_BALANCE,
    BeginTopUp,
    ChargeWallet,
    GiveUpTopUp,
    PaymentState,
    ResumePayment,
    ResumeTopUp,
    TopUpState,
    payment_id,
)
from tests.unit.gateway import Dealings, Gateway, Land, Tell
from tests.unit.handling import is_distinct
from tests.unit.wallets import ORDER, cancel, decremented, name_of, timed_out, wallets

KEY = payment_id(ORDER)
A_MINUTE = timedelta(minutes=1)
lands, tells = (st.builds(step, st.integers(0, 9)) for step in (Land, Tell))


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
    ("FAILED", "STRAY"),
    ("STRAY", "STRAYED"),
}
card_steps = st.lists(
    st.one_of(
        lands,
        tells,
        st.just(decremented(method=PaymentMethod.CARD)),
        st.just(timed_out(method=PaymentMethod.CARD)),
        st.integers(1, 3).map(cancel),
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
def test_a_card_is_charged_once_and_refunded_once(gateway: Gateway, steps: list[object]) -> None:
    dealings = Dealings(wallets(None), gateway)
    seen = ["NONE"]
    for step in steps:
        dealings.at.now += A_MINUTE
        dealings.go_on(step)
        seen.append(name_of(dealings.at.payments.get(ORDER)))
        assert 0 <= gateway.held(KEY) <= 60
    moves = {(before, after) for before, after in pairwise(seen) if before != after}
    assert moves <= CARD_FORWARD
    dealings.settle()
    check_end(dealings)


def check_end(dealings: Dealings) -> None:
    """Nothing is on its way any more: what we say, and what the gateway holds, is one thing."""
    payment = dealings.at.payments.get(ORDER)
    assert payment is None or payment.call is None
    is_captured = payment is not None and payment.state is PaymentState.CAPTURED
    assert dealings.gateway.held(KEY) == (60 if is_captured else 0)
    words = {type(event) for event in dealings.emitted}
    ended = {
        "NONE": set(),
        "CAPTURED": {PaymentCompleted},
        "FAILED": {PaymentFailed},
        "STRAYED": {PaymentFailed},  # captured all the same, and given back by itself
        "REFUNDED": {PaymentCompleted, PaymentRefunded},
    }
    verdicts = {PaymentCompleted, PaymentFailed, PaymentRefunded}
    assert words & verdicts == ended[name_of(payment)]
    assert is_distinct(dealings.emitted)


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
top_up_ids = st.sampled_from(TOP_UPS)
top_up_steps = st.lists(
    st.one_of(
        lands,
        tells,
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
def test_a_top_up_is_booked_or_nothing_is_taken_for_it(
    gateway: Gateway, room: int, steps: list[object]
) -> None:
    """Each would fit when it is begun; what is charged in between may leave no room for it."""
    dealings = Dealings(wallets(MAX_BALANCE - 60 - room), gateway)
    for top_up_id in TOP_UPS:
        dealings.go_on(BeginTopUp(top_up_id=top_up_id, customer_id="c", amount=60))
    for step in steps:
        before = states(dealings)
        dealings.at.now += A_MINUTE
        dealings.go_on(step)
        moves = zip(before, states(dealings), strict=True)
        assert {move for move in moves if move[0] is not move[1]} <= TOP_UP_FORWARD
    dealings.settle()
    at = dealings.at
    assert at.wallets["c"].balance <= MAX_BALANCE
    for top_up_id, state in zip(TOP_UPS, states(dealings), strict=True):
        assert state in (TopUpState.BOOKED, TopUpState.FAILED, TopUpState.REFUNDED)
        booked = [entry.delta for entry in at.ledger if entry.top_up_id == top_up_id]
        assert booked == ([60] if state is TopUpState.BOOKED else [])
        assert gateway.held(top_up_id) == sum(booked)


def states(dealings: Dealings) -> list[TopUpState]:
    return [dealings.at.top_ups[top_up_id].state for top_up_id in TOP_UPS]
