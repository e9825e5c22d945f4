"""Payments by card: every message in every state, and what is wanted of the gateway then."""

from datetime import timedelta

import msgspec
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
from payment.domain import EXTERNAL_CALL_SECONDS, Payment, ResumePayment, payment_id
from payment.external_calls import Action, GatewayCall, GatewayDecided, GatewayOutcome, Purpose
from payment.reactions import reactions
from saga.envelope import id_of
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.wallets import (
    BEGAN,
    LATER,
    NOW,
    ORDER,
    cancel,
    decided,
    decremented,
    is_untouched,
    name_of,
    payments,
    timed_out,
    wallets,
)

CARD = payments(PaymentMethod.CARD)
RETRY_AT = LATER + timedelta(seconds=EXTERNAL_CALL_SECONDS)
EVENTS: dict[str, Event] = {
    "StockDecremented": decremented(method=PaymentMethod.CARD),
    "OrderTimedOut": timed_out(method=PaymentMethod.CARD),
    "OrderCancelRequested": cancel(1),
    "another OrderCancelRequested": cancel(2),
}
RESUME = ResumePayment(order_id=ORDER)

Move = tuple[str, int, type[Event] | None, Action | None]
"""The state afterwards, its attempt, what is said, and what is wanted of the gateway."""

FAILED: Move = ("FAILED", 0, PaymentFailed, None)
MOVES: dict[tuple[str, str], Move] = {
    ("NONE", "StockDecremented"): ("INTENT", 0, None, Action.CHARGE),
    ("NONE", "OrderTimedOut"): FAILED,
    ("INTENT", "OrderTimedOut"): ("VOIDING", 0, None, Action.VOID),
    **{
        (state, GatewayOutcome.CAPTURED): ("CAPTURED", 0, PaymentCompleted, None)
        for state in ("INTENT", "VOIDING")
    },
    **{
        (state, outcome): FAILED
        for state in ("INTENT", "VOIDING")
        for outcome in (GatewayOutcome.DECLINED, GatewayOutcome.VOIDED)
    },
    ("CAPTURED", "OrderCancelRequested"): ("REFUNDING", 1, None, Action.REFUND),
    ("CAPTURED", "another OrderCancelRequested"): ("REFUNDING", 2, None, Action.REFUND),
    ("KEPT", "another OrderCancelRequested"): ("REFUNDING", 2, None, Action.REFUND),
    ("REFUNDING", GatewayOutcome.REFUNDED): ("REFUNDED", 1, PaymentRefunded, None),
    ("REFUNDING", GatewayOutcome.REFUND_REFUSED): ("CAPTURED", 1, PaymentRefundFailed, None),
    ("FAILED", GatewayOutcome.CAPTURED): ("STRAY", 0, None, Action.REFUND),
    ("STRAY", GatewayOutcome.REFUNDED): ("STRAYED", 0, None, None),
}


def card(name: str) -> Payment:
    payment = CARD[name]
    assert payment is not None
    return payment


@pytest.mark.parametrize("name", [*EVENTS, *GatewayOutcome])
@pytest.mark.parametrize("state", CARD)
def test_every_message_in_every_state(state: str, name: str) -> None:
    row = CARD[state]
    attempt = row.attempt if row else 0
    at = wallets(100, row)
    emitted = handle(reactions, EVENTS.get(name) or decided(GatewayOutcome(name), attempt), at)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert is_untouched(at)
        return
    after, attempt, emits, action = MOVES[state, name]
    payment = at.payments[ORDER]
    assert (name_of(payment), payment.attempt, payment.updated_at) == (after, attempt, LATER)
    assert [type(event) for event in emitted] == ([emits] if emits else [])
    assert [call.action for call in at.external_calls] == ([action] if action else [])
    assert payment.retry_at == (RETRY_AT if action else None)
    assert [*at.wallets.updated, *at.ledger] == []


@pytest.mark.parametrize("outcome", list(GatewayOutcome))
@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_a_decision_about_another_attempt_is_none_about_this_one(
    attempt: int, outcome: GatewayOutcome
) -> None:
    at = wallets(0, card("REFUNDING").moved(NOW, attempt=2))
    assert handle(reactions, decided(outcome, attempt), at) == ()
    assert is_untouched(at)


@pytest.mark.parametrize("state", CARD)
def test_a_decision_is_answered_with_the_payment_as_it_is(state: str) -> None:
    at = wallets(0, CARD[state])
    answer = reactions.execute(decided(GatewayOutcome.CAPTURED), at)
    assert answer.value == at.payments.get(ORDER)


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        ("INTENT", GatewayOutcome.DECLINED, FailReason.PG_DECLINED),
        ("INTENT", GatewayOutcome.VOIDED, FailReason.PG_DECLINED),
        ("VOIDING", GatewayOutcome.DECLINED, FailReason.PG_DECLINED),
        ("VOIDING", GatewayOutcome.VOIDED, FailReason.ORDER_TIMED_OUT),
    ],
)
def test_why_a_payment_by_card_failed(
    state: str, outcome: GatewayOutcome, reason: FailReason
) -> None:
    at = wallets(None, CARD[state])
    assert handle(reactions, decided(outcome), at) == (
        PaymentFailed(order_id=ORDER, reason=reason),
    )
    assert at.payments[ORDER].fail_reason is reason


def test_a_captured_payment_is_completed_as_it_was_intended() -> None:
    at = wallets(None)
    handle(reactions, EVENTS["StockDecremented"], at)
    completed = PaymentCompleted(
        order_id=ORDER,
        payment_id=payment_id(ORDER),
        customer_id="c",
        method=PaymentMethod.CARD,
        amount=60,
        discount_amount=5,
    )
    assert handle(reactions, decided(GatewayOutcome.CAPTURED), at) == (completed,)


@pytest.mark.parametrize(
    ("outcome", "emitted"),
    [
        (
            GatewayOutcome.REFUNDED,
            PaymentRefunded(order_id=ORDER, payment_id=payment_id(ORDER), amount=60, attempt=1),
        ),
        (GatewayOutcome.REFUND_REFUSED, PaymentRefundFailed(order_id=ORDER, attempt=1)),
    ],
)
def test_the_end_of_a_refund_is_said_with_its_attempt(
    outcome: GatewayOutcome, emitted: Event
) -> None:
    assert handle(reactions, decided(outcome, 1), wallets(0, CARD["REFUNDING"])) == (emitted,)


@pytest.mark.parametrize(
    ("state", "outcome", "cause"),
    [
        ("INTENT", GatewayOutcome.CAPTURED, StockDecremented),
        ("INTENT", GatewayOutcome.DECLINED, StockDecremented),
        ("VOIDING", GatewayOutcome.CAPTURED, OrderTimedOut),
        ("VOIDING", GatewayOutcome.VOIDED, OrderTimedOut),
        ("REFUNDING", GatewayOutcome.REFUNDED, OrderCancelRequested),
        ("REFUNDING", GatewayOutcome.REFUND_REFUSED, OrderCancelRequested),
    ],
)
def test_what_the_gateway_decided_follows_from_the_event_that_made_us_ask(
    state: str, outcome: GatewayOutcome, cause: type[Event]
) -> None:
    row = card(state)
    answer = reactions.execute(decided(outcome, row.attempt), wallets(0, row))
    assert (len(answer.events), answer.cause_id) == (1, id_of(cause, ORDER, row.attempt))


def test_a_card_is_not_asked_for_nothing_and_gets_nothing_back() -> None:
    at = wallets(None)
    free = decremented(amount=0, method=PaymentMethod.CARD)
    emitted = [*handle(reactions, free, at), *handle(reactions, cancel(1), at)]
    assert [type(event) for event in emitted] == [PaymentCompleted, PaymentRefunded]
    assert [*at.external_calls, *at.ledger] == []


# ---------------------------------------------------------------- errands


@pytest.mark.parametrize(
    ("state", "action", "attempt"),
    [
        ("INTENT", Action.CHARGE, 0),
        ("VOIDING", Action.VOID, 0),
        ("REFUNDING", Action.REFUND, 1),
        ("STRAY", Action.REFUND, 0),
    ],
)
def test_what_is_wanted_of_the_gateway(state: str, action: Action, attempt: int) -> None:
    assert card(state).call == GatewayCall(
        action=action,
        purpose=Purpose.ORDER,
        subject=ORDER,
        key=payment_id(ORDER),
        customer_id="c",
        amount=60,
        attempt=attempt,
        began_at=BEGAN,
    )


@pytest.mark.parametrize("state", ["CAPTURED", "KEPT", "FAILED", "REFUNDED"])
def test_nothing_is_wanted_for_a_payment_that_is_settled(state: str) -> None:
    assert card(state).call is None


def test_a_charge_keeps_its_key_and_each_refund_has_its_own() -> None:
    rows = [card("STRAY"), *(card("REFUNDING").moved(NOW, attempt=k) for k in (1, 2))]
    external_calls = [call for row in (card("INTENT"), *rows) if (call := row.call)]
    assert {call.key for call in external_calls} == {payment_id(ORDER)}
    refund_keys = [call.refund_key for call in external_calls[1:]]
    assert len({payment_id(ORDER), *refund_keys}) == 1 + len(rows)


@pytest.mark.parametrize("state", ["INTENT", "VOIDING", "REFUNDING", "STRAY"])
def test_an_errand_brings_its_answer_back_to_its_order_and_attempt(state: str) -> None:
    call = card(state).call
    assert call is not None
    command = GatewayDecided(order_id=ORDER, outcome=GatewayOutcome.CAPTURED, attempt=call.attempt)
    assert call.decided(GatewayOutcome.CAPTURED) == command


@pytest.mark.parametrize("state", ["INTENT", "VOIDING", "REFUNDING", "STRAY"])
def test_an_errand_that_was_lost_is_sent_for_again_unchanged(state: str) -> None:
    lost = msgspec.structs.replace(card(state), retry_at=LATER)
    at = wallets(0, lost)
    for _ in range(2):  # the second finds that it is not due
        assert handle(reactions, RESUME, at) == ()
    assert list(at.external_calls) == [lost.call]
    assert at.payments[ORDER] == msgspec.structs.replace(lost, retry_at=RETRY_AT)


@pytest.mark.parametrize("state", CARD)
def test_an_errand_that_is_not_due_is_left_alone(state: str) -> None:
    at = wallets(0, CARD[state])
    assert handle(reactions, RESUME, at) == ()
    assert is_untouched(at)
