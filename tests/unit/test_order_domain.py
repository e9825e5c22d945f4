"""Orders: every event and command in every state, and the status that a client sees."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import (
    AddressChanged,
    CouponRejected,
    FailReason,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderFailed,
    OrderTimedOut,
    PaymentFailed,
    ProductChanged,
    StockUnavailable,
    UserErased,
)
from order.commands import AddToCart, ChangeCartItem, PlaceOrder, SetHotProduct, TakeFromCart
from order.domain import (
    STATES,
    UNSETTLED,
    CancellationState,
    Order,
    OrderState,
    OrderStatus,
    Stage,
)
from order.reactions import reactions
from saga.event import Event
from tests.unit.handling import handle, is_distinct
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
    refund_failed,
    unit_of_work,
)

MESSAGES: Mapping[str, object] = {
    type(message).__name__: message
    for message in (PAID, *FAILURES, WAITLISTED, UNDONE, refund_failed(1), EXPIRE, CANCEL)
} | {"another PaymentRefundFailed": refund_failed(2)}
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
    uow = unit_of_work(state)
    emitted = handle(reactions, MESSAGES[name], uow)
    if (state, name) not in MOVES:
        assert emitted == ()
        assert [*uow.orders.inserted, *uow.orders.updated] == []
        return
    after, emits = MOVES[state, name]
    (order,) = uow.orders.updated
    assert (order.state, order.updated_at) == (after, LATER)
    assert [type(event) for event in emitted] == ([emits] if emits else [])


@pytest.mark.parametrize(
    ("reason", "stage"),
    [
        (FailReason.COUPON_EXPIRED, Stage.CREATED),
        (FailReason.INSUFFICIENT_STOCK, Stage.COUPON_USED),
        (FailReason.PG_DECLINED, Stage.STOCK_DECREMENTED),
        (FailReason.ORDER_TIMED_OUT, None),
    ],
)
def test_stage_of_a_failed_order_is_where_it_ended(reason: FailReason, stage: Stage | None) -> None:
    uow = unit_of_work(OrderState.PENDING)
    handle(reactions, PaymentFailed(order_id=ORDER, reason=reason), uow)
    assert uow.orders[ORDER].known_stage is stage


def test_every_reason_but_a_time_out_tells_the_stage() -> None:
    uow = unit_of_work(OrderState.PENDING)
    untold = set()
    for reason in FailReason:
        handle(reactions, PaymentFailed(order_id=ORDER, reason=reason), uow)
        if uow.orders[ORDER].known_stage is None:
            untold.add(reason)
        uow.roll_back()
        uow = unit_of_work(OrderState.PENDING)
    assert untold == {FailReason.ORDER_TIMED_OUT, FailReason.SYSTEM_ERROR}


def test_paid_order_tells_its_stage_and_an_open_one_does_not() -> None:
    uow = unit_of_work(OrderState.PENDING)
    assert uow.orders[ORDER].known_stage is None
    handle(reactions, PAID, uow)
    assert uow.orders[ORDER].known_stage is Stage.PAID


def test_every_event_and_command_is_tested() -> None:
    tested = {type(message) for message in MESSAGES.values()}
    others = {ProductChanged, PlaceOrder, SetHotProduct, AddToCart, ChangeCartItem, TakeFromCart}
    others |= {AddressChanged, UserErased}  # in test_addresses
    assert {*reactions.handles, *reactions.commands} == tested | others


def test_unsettled_states_are_open_or_cancelling() -> None:
    assert frozenset({*OPEN, OrderState.CANCELLING}) == UNSETTLED


@pytest.mark.parametrize("state", OPEN)
def test_paid_order_completes(state: OrderState) -> None:
    uow = unit_of_work(state)
    emitted = handle(reactions, PAID, uow)
    order = uow.orders[ORDER]
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
def test_order_fails_with_reason_of_event(
    state: OrderState, event: PaymentFailed | CouponRejected | StockUnavailable
) -> None:
    uow = unit_of_work(state)
    emitted = handle(reactions, event, uow)
    assert uow.orders[ORDER].fail_reason is event.reason
    assert emitted == (OrderFailed(order_id=ORDER, customer_id=CUSTOMER, reason=event.reason),)


def test_waiting_order_has_queue_position() -> None:
    uow = unit_of_work(OrderState.PENDING)
    handle(reactions, WAITLISTED, uow)
    assert (uow.orders[ORDER].status, uow.orders[ORDER].queue_position) == (OrderStatus.WAITING, 7)


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
def test_status_of_each_state(state: OrderState, status: OrderStatus) -> None:
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
message_lists = st.lists(
    st.one_of(st.sampled_from([*MESSAGES.values()]), st.integers(1, 4).map(refund_failed)),
    max_size=30,
)


@settings(deadline=None)
@given(message_lists)
def test_status_never_goes_backwards(messages: list[object]) -> None:
    uow = unit_of_work(OrderState.PENDING)
    seen = [uow.orders[ORDER]]
    emitted: list[Event] = []
    for message in messages:
        emitted += handle(reactions, message, uow)
        seen.append(uow.orders[ORDER])
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
