"""Payments by card: every message in every state, and the external call that follows."""

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
from payment.commands import ResumePayment, SettlePayment
from payment.domain import Decision, GatewayOutcome, Payment, payment_id
from payment.external_calls import (
    EXTERNAL_CALL_SECONDS,
    Action,
    GatewayCall,
    Purpose,
    payment_call,
)
from payment.reactions import reactions
from saga.envelope import id_of
from saga.event import Event
from tests.unit.handling import handle
from tests.unit.payment_fixtures import (
    BEGAN,
    LATER,
    NOW,
    ORDER,
    cancel_requested,
    is_unchanged,
    name_of,
    order_timed_out,
    payments,
    settle,
    stock_decremented,
    unit_of_work,
)

CARD = payments(PaymentMethod.CARD)
PAID = Decision(outcome=GatewayOutcome.CAPTURED, transaction_id="pg-1")
RETRY_AT = LATER + timedelta(seconds=EXTERNAL_CALL_SECONDS)
EVENTS: dict[str, Event] = {
    "StockDecremented": stock_decremented(method=PaymentMethod.CARD),
    "OrderTimedOut": order_timed_out(method=PaymentMethod.CARD),
    "OrderCancelRequested": cancel_requested(1),
    "another OrderCancelRequested": cancel_requested(2),
}
RESUME = ResumePayment(order_id=ORDER)

Move = tuple[str, int, type[Event] | None, Action | None]
"""The state afterwards, its attempt, the event that is emitted, and the call that begins."""

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
    ("FAILED", GatewayOutcome.CAPTURED): ("ORPHANED", 0, None, Action.REFUND),
    ("ORPHANED", GatewayOutcome.REFUNDED): ("RETURNED", 0, None, None),
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
    uow = unit_of_work(100, row)
    emitted = handle(reactions, EVENTS.get(name) or settle(GatewayOutcome(name), attempt), uow)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert is_unchanged(uow)
        return
    after, attempt, emits, action = MOVES[state, name]
    payment = uow.payments[ORDER]
    assert (name_of(payment), payment.attempt, payment.updated_at) == (after, attempt, LATER)
    assert [type(event) for event in emitted] == ([emits] if emits else [])
    assert [call.action for call in uow.external_calls] == ([action] if action else [])
    assert payment.retry_at == (RETRY_AT if action else None)
    assert [*uow.wallets.updated, *uow.ledger] == []


@pytest.mark.parametrize("outcome", list(GatewayOutcome))
@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_outcome_of_another_attempt_has_no_effect(attempt: int, outcome: GatewayOutcome) -> None:
    uow = unit_of_work(0, card("REFUNDING").change(NOW, attempt=2))
    assert handle(reactions, settle(outcome, attempt), uow) == ()
    assert is_unchanged(uow)


@pytest.mark.parametrize("state", CARD)
def test_settling_returns_the_payment(state: str) -> None:
    uow = unit_of_work(0, CARD[state])
    result = reactions.execute(settle(GatewayOutcome.CAPTURED), uow)
    assert result.value == uow.payments.get(ORDER)


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        ("INTENT", GatewayOutcome.DECLINED, FailReason.PG_DECLINED),
        ("INTENT", GatewayOutcome.VOIDED, FailReason.PG_DECLINED),
        ("VOIDING", GatewayOutcome.DECLINED, FailReason.PG_DECLINED),
        ("VOIDING", GatewayOutcome.VOIDED, FailReason.ORDER_TIMED_OUT),
    ],
)
def test_fail_reason_of_payment_by_card(
    state: str, outcome: GatewayOutcome, reason: FailReason
) -> None:
    uow = unit_of_work(None, CARD[state])
    assert handle(reactions, settle(outcome), uow) == (
        PaymentFailed(order_id=ORDER, reason=reason),
    )
    assert uow.payments[ORDER].fail_reason is reason


def test_captured_payment_emits_payment_completed() -> None:
    uow = unit_of_work(None)
    handle(reactions, EVENTS["StockDecremented"], uow)
    completed = PaymentCompleted(
        order_id=ORDER,
        payment_id=payment_id(ORDER),
        customer_id="c",
        method=PaymentMethod.CARD,
        amount=60,
        discount_amount=5,
    )
    assert handle(reactions, settle(GatewayOutcome.CAPTURED), uow) == (completed,)


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
def test_settled_refund_is_emitted_with_its_attempt(
    outcome: GatewayOutcome, emitted: Event
) -> None:
    assert handle(reactions, settle(outcome, 1), unit_of_work(0, CARD["REFUNDING"])) == (emitted,)


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
def test_settled_payment_names_the_event_that_caused_the_call(
    state: str, outcome: GatewayOutcome, cause: type[Event]
) -> None:
    row = card(state)
    result = reactions.execute(settle(outcome, row.attempt), unit_of_work(0, row))
    assert (len(result.events), result.cause_id) == (1, id_of(cause, ORDER, row.attempt))


@pytest.mark.parametrize(
    ("state", "decision", "kept"),
    [
        (
            "INTENT",
            Decision(outcome=GatewayOutcome.CAPTURED, transaction_id="pg-1"),
            ("pg-1", None, LATER, None),
        ),
        (
            "INTENT",
            Decision(
                outcome=GatewayOutcome.DECLINED, transaction_id="pg-1", detail="the card expired"
            ),
            ("pg-1", "the card expired", None, None),
        ),
        ("REFUNDING", Decision(outcome=GatewayOutcome.REFUNDED), (None, None, None, LATER)),
        (
            "REFUNDING",
            Decision(outcome=GatewayOutcome.REFUND_REFUSED, detail="closed"),
            (None, "closed", None, None),
        ),
        (
            "FAILED",
            Decision(outcome=GatewayOutcome.CAPTURED, transaction_id="pg-1"),
            ("pg-1", None, LATER, None),
        ),
        ("ORPHANED", Decision(outcome=GatewayOutcome.REFUNDED), (None, None, None, LATER)),
    ],
)
def test_payment_keeps_what_the_gateway_tells_and_when(
    state: str, decision: Decision, kept: tuple[object, ...]
) -> None:
    row = card(state)
    uow = unit_of_work(0, row)
    handle(reactions, SettlePayment(order_id=ORDER, decision=decision, attempt=row.attempt), uow)
    payment = uow.payments[ORDER]
    assert kept == (
        payment.gateway_transaction_id,
        payment.fail_detail,
        payment.paid_at,
        payment.refunded_at,
    )


def test_free_order_by_card_makes_no_external_call() -> None:
    uow = unit_of_work(None)
    free = stock_decremented(amount=0, method=PaymentMethod.CARD)
    emitted = [*handle(reactions, free, uow), *handle(reactions, cancel_requested(1), uow)]
    assert [type(event) for event in emitted] == [PaymentCompleted, PaymentRefunded]
    assert [*uow.external_calls, *uow.ledger] == []


# ---------------------------------------------------------------- external calls


@pytest.mark.parametrize(
    ("state", "action", "attempt"),
    [
        ("INTENT", Action.CHARGE, 0),
        ("VOIDING", Action.VOID, 0),
        ("REFUNDING", Action.REFUND, 1),
        ("ORPHANED", Action.REFUND, 0),
    ],
)
def test_external_call_of_each_state(state: str, action: Action, attempt: int) -> None:
    assert payment_call(card(state)) == GatewayCall(
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
def test_settled_payment_needs_no_external_call(state: str) -> None:
    assert payment_call(card(state)) is None


def test_charge_keeps_its_key_and_each_refund_has_its_own() -> None:
    rows = [card("ORPHANED"), *(card("REFUNDING").change(NOW, attempt=k) for k in (1, 2))]
    external_calls = [call for row in (card("INTENT"), *rows) if (call := payment_call(row))]
    assert {call.key for call in external_calls} == {payment_id(ORDER)}
    refund_keys = [call.refund_key for call in external_calls[1:]]
    assert len({payment_id(ORDER), *refund_keys}) == 1 + len(rows)


@pytest.mark.parametrize("state", ["INTENT", "VOIDING", "REFUNDING", "ORPHANED"])
def test_outcome_returns_to_its_order_and_attempt(state: str) -> None:
    call = payment_call(card(state))
    assert call is not None
    command = SettlePayment(order_id=ORDER, decision=PAID, attempt=call.attempt)
    assert call.command(PAID) == command


@pytest.mark.parametrize("state", ["INTENT", "VOIDING", "REFUNDING", "ORPHANED"])
def test_overdue_external_call_begins_again_unchanged(state: str) -> None:
    lost = msgspec.structs.replace(card(state), retry_at=LATER)
    uow = unit_of_work(0, lost)
    for _ in range(2):  # the second one finds it not due
        assert handle(reactions, RESUME, uow) == ()
    assert list(uow.external_calls) == [payment_call(lost)]
    assert uow.payments[ORDER] == msgspec.structs.replace(lost, retry_at=RETRY_AT)


@pytest.mark.parametrize("state", CARD)
def test_external_call_not_due_is_not_begun_again(state: str) -> None:
    uow = unit_of_work(0, CARD[state])
    assert handle(reactions, RESUME, uow) == ()
    assert is_unchanged(uow)
