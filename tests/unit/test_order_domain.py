"""Orders: every event and command in every state, and what a client sees of it."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import (
    CouponRejected,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderFailed,
    OrderTimedOut,
    PaymentFailed,
    ProductChanged,
    StockUnavailable,
)
from order.cart import AddToCart, ChangeCartItem, TakeFromCart
from order.domain import (
    STATES,
    UNSETTLED,
    CancellationState,
    Order,
    OrderState,
    OrderStatus,
    PlaceOrder,
    SetHotProduct,
)
from order.reactions import reactions
from saga.event import Event
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
    WAITLISTED,
    kept,
    orders,
)
from tests.unit.telling import is_distinct, tell

MESSAGES: Mapping[str, object] = {
    type(message).__name__: message
    for message in (PAID, *FAILURES, WAITLISTED, UNDONE, kept(1), EXPIRE, CANCEL)
} | {"another PaymentRefundFailed": kept(2)}
OPEN = (
    OrderState.PENDING,
    OrderState.EXPIRING,
    OrderState.WAITING,
    OrderState.WAIT_EXPIRING,
)

Move = tuple[OrderState, type[Event] | None]
MOVES: dict[tuple[OrderState | None, str], Move] = {
    **{(each, "PaymentCompleted"): (OrderState.COMPLETED, OrderCompleted) for each in OPEN},
    **{
        (each, type(failure).__name__): (OrderState.FAILED, OrderFailed)
        for each in OPEN
        for failure in FAILURES
    },
    (OrderState.PENDING, "StockWaitlisted"): (OrderState.WAITING, None),
    (OrderState.PENDING, "ExpireOrder"): (OrderState.EXPIRING, OrderTimedOut),
    (OrderState.WAITING, "ExpireOrder"): (OrderState.WAIT_EXPIRING, OrderTimedOut),
    (OrderState.COMPLETED, "CancelOrder"): (OrderState.CANCELLING, OrderCancelRequested),
    (OrderState.CANCELLING, "CouponRestored"): (OrderState.CANCELLED, OrderCancelled),
    (OrderState.CANCELLING, "PaymentRefundFailed"): (OrderState.COMPLETED, None),
}
FORWARD = {(before, after) for (before, _), (after, _) in MOVES.items()}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("state", [None, *OrderState])
def test_every_message_in_every_state(state: OrderState | None, name: str) -> None:
    at = orders(state)
    emitted = tell(reactions, MESSAGES[name], at)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert [*at.orders.inserted, *at.orders.updated] == []
        return
    after, emits = MOVES[state, name]
    (order,) = at.orders.updated
    assert (order.state, order.updated_at) == (after, LATER)
    assert [type(event) for event in emitted] == ([emits] if emits else [])


def test_the_messages_are_all_of_them() -> None:
    told = {type(message) for message in MESSAGES.values()}
    others = {ProductChanged, PlaceOrder, SetHotProduct, AddToCart, ChangeCartItem, TakeFromCart}
    assert {*reactions.handles, *reactions.commands} == told | others


def test_an_order_that_waits_for_somebody_is_not_settled() -> None:
    assert frozenset({*OPEN, OrderState.CANCELLING}) == UNSETTLED


@pytest.mark.parametrize("state", OPEN)
def test_an_order_that_is_paid_is_done(state: OrderState) -> None:
    at = orders(state)
    emitted = tell(reactions, PAID, at)
    order = at.orders[ORDER]
    assert (order.total_amount, order.discount_amount, order.payable_amount) == (90, 20, 70)
    assert (order.created_at, order.completed_at) == (NOW, LATER)
    completed = OrderCompleted(
        order_id=ORDER,
        customer_id=CUSTOMER,
        items=order.items,
        total_amount=90,
        discount_amount=20,
        payable_amount=70,
        completed_at=LATER,
    )
    assert emitted == (completed,)


@pytest.mark.parametrize("event", FAILURES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", OPEN)
def test_an_order_fails_for_the_reason_that_was_said(
    state: OrderState, event: PaymentFailed | CouponRejected | StockUnavailable
) -> None:
    at = orders(state)
    emitted = tell(reactions, event, at)
    assert at.orders[ORDER].fail_reason is event.reason
    assert emitted == (OrderFailed(order_id=ORDER, customer_id=CUSTOMER, reason=event.reason),)


def test_an_order_that_waits_says_where_it_stands() -> None:
    at = orders(OrderState.PENDING)
    tell(reactions, WAITLISTED, at)
    assert (at.orders[ORDER].status, at.orders[ORDER].queue_position) == (OrderStatus.WAITING, 7)


# ---------------------------------------------------------------- what a client sees


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (OrderState.PENDING, OrderStatus.PENDING),
        (OrderState.EXPIRING, OrderStatus.PENDING),
        (OrderState.WAITING, OrderStatus.WAITING),
        (OrderState.WAIT_EXPIRING, OrderStatus.WAITING),
        (OrderState.COMPLETED, OrderStatus.COMPLETED),
        (OrderState.CANCELLING, OrderStatus.COMPLETED),
        (OrderState.CANCELLED, OrderStatus.CANCELLED),
        (OrderState.FAILED, OrderStatus.FAILED),
    ],
)
def test_the_status_of_each_state(state: OrderState, status: OrderStatus) -> None:
    assert IN_STATE[state].status is status
    assert [each for each, states in STATES.items() if state in states] == [status]


STATUS_FORWARD = {
    (OrderStatus.PENDING, OrderStatus.COMPLETED),
    (OrderStatus.PENDING, OrderStatus.FAILED),
    (OrderStatus.PENDING, OrderStatus.WAITING),
    (OrderStatus.WAITING, OrderStatus.COMPLETED),
    (OrderStatus.WAITING, OrderStatus.FAILED),
    (OrderStatus.COMPLETED, OrderStatus.CANCELLED),
}
happenings = st.lists(
    st.one_of(st.sampled_from([*MESSAGES.values()]), st.integers(1, 4).map(kept)), max_size=30
)


@settings(deadline=None)
@given(happenings)
def test_nothing_that_a_client_sees_goes_backwards(happened: list[object]) -> None:
    at = orders(OrderState.PENDING)
    seen = [at.orders[ORDER]]
    emitted: list[Event] = []
    for message in happened:
        emitted += tell(reactions, message, at)
        seen.append(at.orders[ORDER])
    assert is_distinct(emitted)
    for before, after in pairwise(seen):
        if after != before:
            check_move(before, after)


def check_move(before: Order, after: Order) -> None:
    assert (before.state, after.state) in FORWARD
    assert before.status == after.status or (before.status, after.status) in STATUS_FORWARD
    begins_cancel = after.state is OrderState.CANCELLING
    assert after.attempt == before.attempt + begins_cancel
    was, now = before.cancellation, after.cancellation
    if was is not None and now is not None and was.attempt == now.attempt:
        assert was.state is CancellationState.REQUESTED
        assert now.state is not CancellationState.REQUESTED
