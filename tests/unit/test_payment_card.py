"""Payments by card: every message in every state, and what is wanted of the gateway then."""

from datetime import timedelta

import msgspec
import pytest

from events.contract import (
    Event,
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
from payment.domain import ERRAND_SECONDS, Payment, ResumePayment, payment_id
from payment.external_calls import Action, Errand, GatewayDecided, Outcome, Purpose
from payment.reactions import reactions
from saga.envelope import id_of
from tests.unit.telling import tell
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
RETRY_AT = LATER + timedelta(seconds=ERRAND_SECONDS)
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
        (state, Outcome.CAPTURED): ("CAPTURED", 0, PaymentCompleted, None)
        for state in ("INTENT", "VOIDING")
    },
    **{
        (state, outcome): FAILED
        for state in ("INTENT", "VOIDING")
        for outcome in (Outcome.DECLINED, Outcome.VOIDED)
    },
    ("CAPTURED", "OrderCancelRequested"): ("REFUNDING", 1, None, Action.REFUND),
    ("CAPTURED", "another OrderCancelRequested"): ("REFUNDING", 2, None, Action.REFUND),
    ("KEPT", "another OrderCancelRequested"): ("REFUNDING", 2, None, Action.REFUND),
    ("REFUNDING", Outcome.REFUNDED): ("REFUNDED", 1, PaymentRefunded, None),
    ("REFUNDING", Outcome.REFUND_REFUSED): ("CAPTURED", 1, PaymentRefundFailed, None),
    ("FAILED", Outcome.CAPTURED): ("STRAY", 0, None, Action.REFUND),
    ("STRAY", Outcome.REFUNDED): ("STRAYED", 0, None, None),
}


def card(name: str) -> Payment:
    payment = CARD[name]
    assert payment is not None
    return payment


@pytest.mark.parametrize("name", [*EVENTS, *Outcome])
@pytest.mark.parametrize("state", CARD)
def test_every_message_in_every_state(state: str, name: str) -> None:
    row = CARD[state]
    attempt = row.attempt if row else 0
    at = wallets(100, row)
    said = tell(reactions, EVENTS.get(name) or decided(Outcome(name), attempt), at)
    if (state, name) not in MOVES:
        assert said == ()
        assert is_untouched(at)
        return
    after, attempt, says, action = MOVES[state, name]
    payment = at.payments[ORDER]
    assert (name_of(payment), payment.attempt, payment.updated_at) == (after, attempt, LATER)
    assert [type(event) for event in said] == ([says] if says else [])
    assert [errand.action for errand in at.errands] == ([action] if action else [])
    assert payment.retry_at == (RETRY_AT if action else None)
    assert [*at.wallets.updated, *at.ledger] == []


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_a_decision_about_another_attempt_is_none_about_this_one(
    attempt: int, outcome: Outcome
) -> None:
    at = wallets(0, card("REFUNDING").moved(NOW, attempt=2))
    assert tell(reactions, decided(outcome, attempt), at) == ()
    assert is_untouched(at)


@pytest.mark.parametrize("state", CARD)
def test_a_decision_is_answered_with_the_payment_as_it_is(state: str) -> None:
    at = wallets(0, CARD[state])
    answer = reactions.carry_out(decided(Outcome.CAPTURED), at)
    assert answer.value == at.payments.get(ORDER)


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        ("INTENT", Outcome.DECLINED, FailReason.PG_DECLINED),
        ("INTENT", Outcome.VOIDED, FailReason.PG_DECLINED),
        ("VOIDING", Outcome.DECLINED, FailReason.PG_DECLINED),
        ("VOIDING", Outcome.VOIDED, FailReason.ORDER_TIMED_OUT),
    ],
)
def test_why_a_payment_by_card_failed(state: str, outcome: Outcome, reason: FailReason) -> None:
    at = wallets(None, CARD[state])
    assert tell(reactions, decided(outcome), at) == (PaymentFailed(order_id=ORDER, reason=reason),)
    assert at.payments[ORDER].fail_reason is reason


def test_a_captured_payment_is_completed_as_it_was_intended() -> None:
    at = wallets(None)
    tell(reactions, EVENTS["StockDecremented"], at)
    completed = PaymentCompleted(
        order_id=ORDER,
        payment_id=payment_id(ORDER),
        customer_id="c",
        method=PaymentMethod.CARD,
        amount=60,
        discount_amount=5,
    )
    assert tell(reactions, decided(Outcome.CAPTURED), at) == (completed,)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            Outcome.REFUNDED,
            PaymentRefunded(order_id=ORDER, payment_id=payment_id(ORDER), amount=60, attempt=1),
        ),
        (Outcome.REFUND_REFUSED, PaymentRefundFailed(order_id=ORDER, attempt=1)),
    ],
)
def test_the_end_of_a_refund_is_said_with_its_attempt(outcome: Outcome, said: Event) -> None:
    assert tell(reactions, decided(outcome, 1), wallets(0, CARD["REFUNDING"])) == (said,)


@pytest.mark.parametrize(
    ("state", "outcome", "cause"),
    [
        ("INTENT", Outcome.CAPTURED, StockDecremented),
        ("INTENT", Outcome.DECLINED, StockDecremented),
        ("VOIDING", Outcome.CAPTURED, OrderTimedOut),
        ("VOIDING", Outcome.VOIDED, OrderTimedOut),
        ("REFUNDING", Outcome.REFUNDED, OrderCancelRequested),
        ("REFUNDING", Outcome.REFUND_REFUSED, OrderCancelRequested),
    ],
)
def test_what_the_gateway_decided_follows_from_the_event_that_made_us_ask(
    state: str, outcome: Outcome, cause: type[Event]
) -> None:
    row = card(state)
    answer = reactions.carry_out(decided(outcome, row.attempt), wallets(0, row))
    assert (len(answer.events), answer.cause_id) == (1, id_of(cause, ORDER, row.attempt))


def test_a_card_is_not_asked_for_nothing_and_gets_nothing_back() -> None:
    at = wallets(None)
    free = decremented(amount=0, method=PaymentMethod.CARD)
    said = [*tell(reactions, free, at), *tell(reactions, cancel(1), at)]
    assert [type(event) for event in said] == [PaymentCompleted, PaymentRefunded]
    assert [*at.errands, *at.ledger] == []


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
    assert card(state).errand == Errand(
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
    assert card(state).errand is None


def test_a_charge_keeps_its_key_and_each_refund_has_its_own() -> None:
    rows = [card("STRAY"), *(card("REFUNDING").moved(NOW, attempt=k) for k in (1, 2))]
    errands = [errand for row in (card("INTENT"), *rows) if (errand := row.errand)]
    assert {errand.key for errand in errands} == {payment_id(ORDER)}
    refund_keys = [errand.refund_key for errand in errands[1:]]
    assert len({payment_id(ORDER), *refund_keys}) == 1 + len(rows)


@pytest.mark.parametrize("state", ["INTENT", "VOIDING", "REFUNDING", "STRAY"])
def test_an_errand_brings_its_answer_back_to_its_order_and_attempt(state: str) -> None:
    errand = card(state).errand
    assert errand is not None
    command = GatewayDecided(order_id=ORDER, outcome=Outcome.CAPTURED, attempt=errand.attempt)
    assert errand.decided(Outcome.CAPTURED) == command


@pytest.mark.parametrize("state", ["INTENT", "VOIDING", "REFUNDING", "STRAY"])
def test_an_errand_that_was_lost_is_sent_for_again_unchanged(state: str) -> None:
    lost = msgspec.structs.replace(card(state), retry_at=LATER)
    at = wallets(0, lost)
    for _ in range(2):  # the second finds that it is not due
        assert tell(reactions, RESUME, at) == ()
    assert list(at.errands) == [lost.errand]
    assert at.payments[ORDER] == msgspec.structs.replace(lost, retry_at=RETRY_AT)


@pytest.mark.parametrize("state", CARD)
def test_an_errand_that_is_not_due_is_left_alone(state: str) -> None:
    at = wallets(0, CARD[state])
    assert tell(reactions, RESUME, at) == ()
    assert is_untouched(at)
