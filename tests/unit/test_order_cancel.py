"""Cancel and time-out of an order: what is asked for, by whom it is decided, and how it stands."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import OrderCancelled, OrderCancelRequested, OrderTimedOut, PaymentMethod
from order.domain import Cancellation, CancellationState, OrderState, OrderStatus
from order.reactions import reactions
from saga.errors import NotFound, Refused
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
    kept,
    orders,
)
from tests.unit.telling import tell


def test_a_cancel_asks_for_the_money_and_is_answered_with_the_order() -> None:
    at = orders(OrderState.COMPLETED)
    answer = reactions.execute(CANCEL, at)
    at.release()
    assert answer.events == (OrderCancelRequested(order_id=ORDER, attempt=1),)
    assert answer.value == at.orders[ORDER]
    assert answer.value.status is OrderStatus.COMPLETED


def test_a_cancel_that_is_on_its_way_is_joined() -> None:
    at = orders(OrderState.CANCELLING)
    answer = reactions.execute(CANCEL, at)
    assert (answer.value, answer.events) == (IN_STATE[OrderState.CANCELLING], ())


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (OrderState.PENDING, "PENDING"),
        (OrderState.EXPIRING, "PENDING"),
        (OrderState.FAILED, "FAILED"),
        (OrderState.CANCELLED, "CANCELLED"),
    ],
)
def test_only_a_completed_order_can_be_cancelled(state: OrderState, status: str) -> None:
    with pytest.raises(Refused) as refused:
        reactions.execute(CANCEL, orders(state))
    assert (refused.value.code, refused.value.details) == ("INVALID_STATE", {"status": status})


def test_an_order_that_nobody_placed_can_not_be_cancelled() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(CANCEL, orders())
    assert refused.value.code == "ORDER_NOT_FOUND"


def test_a_cancelled_order_tells_what_came_back_and_when_it_had_been_bought() -> None:
    at = orders(OrderState.CANCELLING)
    emitted = tell(reactions, UNDONE, at)
    items = IN_STATE[OrderState.CANCELLING].items
    cancelled = OrderCancelled(order_id=ORDER, customer_id=CUSTOMER, items=items, completed_at=NOW)
    assert emitted == (cancelled,)
    assert at.orders[ORDER].completed_at == NOW


def test_a_refused_cancel_leaves_the_order_as_it_was_but_for_the_attempt() -> None:
    at = orders(OrderState.COMPLETED)
    for message in (CANCEL, kept(1)):
        tell(reactions, message, at)
    before = IN_STATE[OrderState.COMPLETED]
    assert at.orders[ORDER] == msgspec.structs.replace(before, attempt=1, updated_at=LATER)


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(1, 6)))
def test_only_the_refusal_of_this_attempt_ends_it(attempt: int, received: list[int]) -> None:
    at = orders(OrderState.COMPLETED)
    for refused in range(1, attempt):
        assert tell(reactions, CANCEL, at) == (
            OrderCancelRequested(order_id=ORDER, attempt=refused),
        )
        tell(reactions, kept(refused), at)
    tell(reactions, CANCEL, at)
    for each in received:
        assert tell(reactions, kept(each), at) == ()
    is_over = attempt in received
    assert at.orders[ORDER].state is (OrderState.COMPLETED if is_over else OrderState.CANCELLING)


@pytest.mark.parametrize(
    ("state", "stands"),
    [
        (OrderState.PENDING, None),
        (OrderState.EXPIRING, None),
        (OrderState.COMPLETED, None),
        (OrderState.FAILED, None),
        (OrderState.CANCELLING, CancellationState.REQUESTED),
        (OrderState.CANCELLED, CancellationState.DONE),
    ],
)
def test_how_the_cancel_stands(state: OrderState, stands: CancellationState | None) -> None:
    cancellation = IN_STATE[state].cancellation
    assert cancellation == (Cancellation(state=stands, attempt=1) if stands else None)


def test_a_refused_cancel_is_seen_until_the_next_one() -> None:
    at = orders(OrderState.CANCELLING)
    tell(reactions, kept(1), at)
    refused = Cancellation(state=CancellationState.REFUSED, attempt=1)
    assert at.orders[ORDER].cancellation == refused
    tell(reactions, CANCEL, at)
    requested = Cancellation(state=CancellationState.REQUESTED, attempt=2)
    assert at.orders[ORDER].cancellation == requested


# ---------------------------------------------------------------- time-out


@pytest.mark.parametrize("method", list(PaymentMethod))
def test_at_its_deadline_an_order_asks_payment_and_decides_nothing(method: PaymentMethod) -> None:
    at = orders()
    pending = msgspec.structs.replace(IN_STATE[OrderState.PENDING], payment_method=method)
    at.orders[ORDER] = pending
    emitted = tell(reactions, EXPIRE, at)
    assert emitted == (OrderTimedOut(order_id=ORDER, customer_id=CUSTOMER, payment_method=method),)
    assert at.orders[ORDER] == pending.moved(OrderState.EXPIRING, LATER)
    assert tell(reactions, EXPIRE, at) == ()


@settings(deadline=None)
@given(st.permutations([EXPIRE, PAID, *FAILURES]))
def test_who_decides_first_is_believed_whenever_the_deadline_comes(messages: list[object]) -> None:
    at = orders(OrderState.PENDING)
    for message in messages:
        tell(reactions, message, at)
    verdict = next(message for message in messages if message is not EXPIRE)
    ended = OrderState.COMPLETED if verdict is PAID else OrderState.FAILED
    assert at.orders[ORDER].state is ended
