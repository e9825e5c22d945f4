"""Cancel and time-out of an order: requests, decisions, and the state of the cancel."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import OrderCancelled, OrderCancelRequested, OrderTimedOut, PaymentMethod
from order.domain import Cancellation, CancellationState, OrderState, OrderStatus
from order.reactions import reactions
from saga.errors import NotFound, Refused
from tests.unit.handling import handle
from tests.unit.order_fixtures import (
    CANCEL,
    CUSTOMER,
    EXPIRE,
    FAILURES,
    IN_STATE,
    LATER,
    NOW,
    ORDER,
    PAID,
    UNDONE,
    refund_failed,
    unit_of_work,
)


def test_cancel_requests_refund_and_returns_order() -> None:
    uow = unit_of_work(OrderState.COMPLETED)
    result = reactions.execute(CANCEL, uow)
    uow.release()
    assert result.events == (OrderCancelRequested(order_id=ORDER, attempt=1),)
    assert result.value == uow.orders[ORDER]
    assert result.value.status is OrderStatus.COMPLETED


def test_cancel_in_flight_is_joined() -> None:
    uow = unit_of_work(OrderState.CANCELLING)
    result = reactions.execute(CANCEL, uow)
    assert (result.value, result.events) == (IN_STATE[OrderState.CANCELLING], ())


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (OrderState.PENDING, "PENDING"),
        (OrderState.EXPIRING, "PENDING"),
        (OrderState.FAILED, "FAILED"),
        (OrderState.CANCELLED, "CANCELLED"),
    ],
)
def test_only_completed_order_can_be_cancelled(state: OrderState, status: str) -> None:
    with pytest.raises(Refused) as refused:
        reactions.execute(CANCEL, unit_of_work(state))
    assert (refused.value.code, refused.value.details) == ("INVALID_STATE", {"status": status})


def test_unknown_order_can_not_be_cancelled() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(CANCEL, unit_of_work())
    assert refused.value.code == "ORDER_NOT_FOUND"


def test_order_cancelled_event_has_items_and_completion_time() -> None:
    uow = unit_of_work(OrderState.CANCELLING)
    emitted = handle(reactions, UNDONE, uow)
    items = IN_STATE[OrderState.CANCELLING].items
    cancelled = OrderCancelled(order_id=ORDER, customer_id=CUSTOMER, items=items, completed_at=NOW)
    assert emitted == (cancelled,)
    assert uow.orders[ORDER].completed_at == NOW


def test_refused_cancel_changes_only_the_attempt() -> None:
    uow = unit_of_work(OrderState.COMPLETED)
    for message in (CANCEL, refund_failed(1)):
        handle(reactions, message, uow)
    before = IN_STATE[OrderState.COMPLETED]
    assert uow.orders[ORDER] == msgspec.structs.replace(before, attempt=1, updated_at=LATER)


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(1, 6)))
def test_only_refusal_of_this_attempt_ends_cancel(attempt: int, received: list[int]) -> None:
    uow = unit_of_work(OrderState.COMPLETED)
    for refused in range(1, attempt):
        assert handle(reactions, CANCEL, uow) == (
            OrderCancelRequested(order_id=ORDER, attempt=refused),
        )
        handle(reactions, refund_failed(refused), uow)
    handle(reactions, CANCEL, uow)
    for each in received:
        assert handle(reactions, refund_failed(each), uow) == ()
    is_over = attempt in received
    assert uow.orders[ORDER].state is (OrderState.COMPLETED if is_over else OrderState.CANCELLING)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (OrderState.PENDING, None),
        (OrderState.EXPIRING, None),
        (OrderState.COMPLETED, None),
        (OrderState.FAILED, None),
        (OrderState.CANCELLING, CancellationState.REQUESTED),
        (OrderState.CANCELLED, CancellationState.DONE),
    ],
)
def test_cancellation_of_each_state(state: OrderState, expected: CancellationState | None) -> None:
    cancellation = IN_STATE[state].cancellation
    assert cancellation == (Cancellation(state=expected, attempt=1) if expected else None)


def test_refused_cancel_is_shown_until_next_cancel() -> None:
    uow = unit_of_work(OrderState.CANCELLING)
    handle(reactions, refund_failed(1), uow)
    refused = Cancellation(state=CancellationState.REFUSED, attempt=1)
    assert uow.orders[ORDER].cancellation == refused
    handle(reactions, CANCEL, uow)
    requested = Cancellation(state=CancellationState.REQUESTED, attempt=2)
    assert uow.orders[ORDER].cancellation == requested


# ---------------------------------------------------------------- time-out


@pytest.mark.parametrize("method", list(PaymentMethod))
def test_order_at_deadline_asks_payment_and_decides_nothing(method: PaymentMethod) -> None:
    uow = unit_of_work()
    pending = msgspec.structs.replace(IN_STATE[OrderState.PENDING], payment_method=method)
    uow.orders[ORDER] = pending
    emitted = handle(reactions, EXPIRE, uow)
    assert emitted == (OrderTimedOut(order_id=ORDER, customer_id=CUSTOMER, payment_method=method),)
    assert uow.orders[ORDER] == pending.move_to(OrderState.EXPIRING, LATER)
    assert handle(reactions, EXPIRE, uow) == ()


@settings(deadline=None)
@given(st.permutations([EXPIRE, PAID, *FAILURES]))
def test_first_decision_holds_whenever_deadline_comes(messages: list[object]) -> None:
    uow = unit_of_work(OrderState.PENDING)
    for message in messages:
        handle(reactions, message, uow)
    decision = next(message for message in messages if message is not EXPIRE)
    ended = OrderState.COMPLETED if decision is PAID else OrderState.FAILED
    assert uow.orders[ORDER].state is ended
