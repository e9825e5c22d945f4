"""Orders: prices at the door, and every event in every state."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import (
    LARGEST,
    Address,
    CouponRejected,
    Event,
    FailReason,
    OrderCompleted,
    OrderCreated,
    OrderFailed,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    ProductChanged,
    ProductStatus,
    StockUnavailable,
)
from infra.errors import Refused
from infra.rows import Rows
from order.domain import (
    LARGEST_TOTAL,
    UNSETTLED,
    Accepted,
    Offer,
    Order,
    Orders,
    OrderState,
    PlaceOrder,
    WantedLine,
    priced,
    total,
)
from order.reactions import reactions

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
ORDER, CUSTOMER, PAYMENT = "order-1", "customer-1", "payment-1"

PAID = PaymentCompleted(
    order_id=ORDER,
    payment_id=PAYMENT,
    customer_id=CUSTOMER,
    method=PaymentMethod.WALLET,
    amount=70,
    discount_amount=20,
)
FAILURES = [
    PaymentFailed(order_id=ORDER, reason=FailReason.INSUFFICIENT_BALANCE),
    CouponRejected(order_id=ORDER, reason=FailReason.COUPON_EXPIRED),
    StockUnavailable(order_id=ORDER, reason=FailReason.INSUFFICIENT_STOCK, product_id="p"),
]
END_EVENTS: list[Event] = [PAID, *FAILURES]


def offer(product_id: str, price: int, status: ProductStatus = ProductStatus.ACTIVE) -> Offer:
    return Offer(
        product_id=product_id,
        version=1,
        name=product_id,
        price=price,
        status=status,
        updated_at=NOW,
    )


def offers(*prices: int) -> Rows[str, Offer]:
    return Rows({f"p{i}": offer(f"p{i}", price) for i, price in enumerate(prices)})


def working_set(price_list: Rows[str, Offer] | None = None, *orders: Order) -> Orders:
    return Orders(LATER, Rows({order.order_id: order for order in orders}), price_list or Rows())


def placed(state: OrderState = OrderState.PENDING) -> Order:
    """An order of 3 units at 30 won, as it is in this state."""
    orders = working_set(offers(30))
    wanted = (WantedLine(product_id="p0", quantity=3),)
    command = PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=wanted, coupon_id="c")
    reactions.carry_out(command, orders)
    orders.keep()
    (order,) = orders.orders.inserted
    if state is OrderState.COMPLETED:
        return order.completed(70, 20, NOW)
    return order.failed(FailReason.PG_DECLINED, NOW) if state is OrderState.FAILED else order


def wants(*lines: tuple[str, int], price: int | None = None) -> PlaceOrder:
    items = tuple(WantedLine(product_id=product, quantity=count) for product, count in lines)
    return PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items, price=price)


# ---------------------------------------------------------------- the states


@pytest.mark.parametrize("event", END_EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", [None, OrderState.COMPLETED, OrderState.FAILED])
def test_an_order_that_is_not_pending_hears_nothing(state: OrderState | None, event: Event) -> None:
    orders = working_set(None, *([placed(state)] if state else []))
    assert reactions.react(event, orders) == ()
    orders.keep()
    assert [*orders.orders.inserted, *orders.orders.updated] == []


def test_a_pending_order_is_paid() -> None:
    orders = working_set(None, placed())
    (said,) = reactions.react(PAID, orders)
    orders.keep()
    (order,) = orders.orders.updated
    assert (order.state, order.fail_reason) == (OrderState.COMPLETED, None)
    assert (order.total_amount, order.discount_amount, order.payable_amount) == (90, 20, 70)
    assert (order.created_at, order.updated_at) == (LATER, LATER)
    assert said == OrderCompleted(
        order_id=ORDER,
        customer_id=CUSTOMER,
        items=order.items,
        total_amount=90,
        discount_amount=20,
        payable_amount=70,
        completed_at=LATER,
    )


@pytest.mark.parametrize("event", FAILURES, ids=lambda event: type(event).__name__)
def test_a_pending_order_fails_for_the_reason_that_was_said(
    event: PaymentFailed | CouponRejected | StockUnavailable,
) -> None:
    orders = working_set(None, placed())
    (said,) = reactions.react(event, orders)
    orders.keep()
    (order,) = orders.orders.updated
    assert (order.state, order.fail_reason) == (OrderState.FAILED, event.reason)
    assert said == OrderFailed(order_id=ORDER, customer_id=CUSTOMER, reason=event.reason)


def test_only_a_pending_order_owes_an_answer() -> None:
    assert frozenset({OrderState.PENDING}) == UNSETTLED
    assert reactions.hears == {type(event) for event in END_EVENTS} | {ProductChanged}


@settings(deadline=None)
@given(st.lists(st.sampled_from(END_EVENTS)))
def test_an_order_ends_once_and_stays_as_it_ended(events: list[Event]) -> None:
    orders = working_set(None, placed())
    said: list[Event] = []
    seen = [OrderState.PENDING]
    for event in events:
        said += reactions.react(event, orders)
        orders.keep()
        seen.append(orders.orders[ORDER].state)
    ends = seen[1:]
    assert len(said) == min(len(events), 1)
    assert len(set(ends)) <= 1
    if events:
        is_paid = isinstance(events[0], PaymentCompleted)
        assert ends[0] is (OrderState.COMPLETED if is_paid else OrderState.FAILED)


# ---------------------------------------------------------------- placing


def test_placing_says_all_that_the_next_service_needs() -> None:
    orders = working_set(offers(30, 7))
    command = PlaceOrder(
        order_id=ORDER,
        customer_id=CUSTOMER,
        items=(
            WantedLine(product_id="p1", quantity=1),
            WantedLine(product_id="p0", quantity=2, price=30),
            WantedLine(product_id="p1", quantity=3),
        ),
        price=88,
        coupon_id="c",
        address=Address(street="s", postal_code="1", city="c"),
    )
    answer, (created,) = reactions.carry_out(command, orders)
    orders.keep()
    (order,) = orders.orders.inserted
    assert answer == Accepted(order_id=ORDER, total_amount=88)
    assert (order.state, order.fail_reason) == (OrderState.PENDING, None)
    assert (order.total_amount, order.discount_amount, order.payable_amount) == (88, 0, 88)
    assert [(line.product_id, line.quantity, line.price) for line in order.items] == [
        ("p1", 4, 7),
        ("p0", 2, 30),
    ]
    assert created == OrderCreated(
        order_id=ORDER,
        customer_id=CUSTOMER,
        items=order.items,
        total_amount=88,
        coupon_id="c",
        address=command.address,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (wants(("nothing", 1)), "PRODUCT_NOT_FOUND"),
        (wants(("p0", 1), ("nothing", 1)), "PRODUCT_NOT_FOUND"),
        (wants(("gone", 1)), "PRODUCT_DISCONTINUED"),
        (wants(("p0", 2), price=59), "PRICE_MISMATCH"),
        (wants(("p0", LARGEST), ("p0", 1)), "VALIDATION_ERROR"),
        (wants(("dear", LARGEST)), "VALIDATION_ERROR"),
    ],
)
def test_what_can_not_be_ordered(command: PlaceOrder, code: str) -> None:
    price_list = Rows(
        {
            "p0": offer("p0", 30),
            "gone": offer("gone", 30, ProductStatus.DISCONTINUED),
            "dear": offer("dear", LARGEST),
        }
    )
    orders = working_set(price_list)
    with pytest.raises(Refused) as refused:
        reactions.carry_out(command, orders)
    assert refused.value.code == code
    assert refused.value.message
    orders.keep()
    assert orders.orders.inserted == []


wanted_lines = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1000)), min_size=1, max_size=9)
four_prices = st.lists(st.integers(1, LARGEST), min_size=4, max_size=4)


@settings(deadline=None)
@given(wanted_lines, four_prices)
def test_the_sum_is_what_the_lines_cost(lines: list[tuple[int, int]], prices: list[int]) -> None:
    command = wants(*((f"p{which}", count) for which, count in lines))
    found = priced(command, offers(*prices))
    products = [line.product_id for line in found]
    assert products == list(dict.fromkeys(f"p{which}" for which, _ in lines))
    assert total(found) == sum(prices[which] * count for which, count in lines) <= LARGEST_TOTAL
    assert sum(line.quantity for line in found) == sum(count for _, count in lines)


@settings(deadline=None)
@given(wanted_lines, four_prices, st.integers(1, 2 * LARGEST))
def test_a_price_is_right_or_refused(
    lines: list[tuple[int, int]], prices: list[int], sent: int
) -> None:
    right = sum(prices[which] * count for which, count in lines)
    ordered = [(f"p{which}", count) for which, count in lines]
    assert priced(wants(*ordered, price=right), offers(*prices))
    if sent != right:
        with pytest.raises(Refused) as refused:
            priced(wants(*ordered, price=sent), offers(*prices))
        assert refused.value.code == "PRICE_MISMATCH"
        assert refused.value.details == {"sent": sent, "price": right}


# ---------------------------------------------------------------- the price list


def changed(version: int) -> ProductChanged:
    status = ProductStatus.DISCONTINUED if version % 3 == 0 else ProductStatus.ACTIVE
    return ProductChanged(
        product_id="p", version=version, name=f"v{version}", price=version * 10, status=status
    )


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1).flatmap(st.permutations))
def test_the_newest_price_holds_in_whatever_order_they_come(versions: Sequence[int]) -> None:
    orders = working_set()
    for version in versions:
        assert reactions.react(changed(version), orders) == ()
        orders.keep()
    newest = changed(max(versions))
    known = orders.price_list["p"]
    assert (known.version, known.name) == (newest.version, newest.name)
    assert (known.price, known.status) == (newest.price, newest.status)
