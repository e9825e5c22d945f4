"""Placing orders: prices at the door, and the price list that they are checked against."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import MAX_AMOUNT, Address, OrderCreated, ProductChanged, ProductStatus
from order.domain import (
    MAX_TOTAL,
    Accepted,
    OrderState,
    PlaceOrder,
    SetHotProduct,
    WantedLine,
    priced,
    total,
)
from order.reactions import reactions
from saga.errors import NotFound, Refused
from saga.unit_of_work import Rows
from tests.unit.order_fixtures import CUSTOMER, ORDER, offer, offers, orders


def wants(*lines: tuple[str, int], price: int | None = None) -> PlaceOrder:
    items = tuple(WantedLine(product_id=product, quantity=count) for product, count in lines)
    return PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items, price=price)


def test_placing_says_all_that_the_next_service_needs() -> None:
    at = orders(price_list=offers(30, 7))
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
    answer = reactions.execute(command, at)
    at.release()
    (order,) = at.orders.inserted
    assert answer.value == Accepted(order_id=ORDER, total_amount=88)
    assert (order.state, order.fail_reason, order.attempt) == (OrderState.PENDING, None, 0)
    assert (order.total_amount, order.discount_amount, order.payable_amount) == (88, 0, 88)
    assert [(line.product_id, line.quantity, line.price) for line in order.items] == [
        ("p1", 4, 7),
        ("p0", 2, 30),
    ]
    created = OrderCreated(
        order_id=ORDER,
        customer_id=CUSTOMER,
        items=order.items,
        total_amount=88,
        coupon_id="c",
        address=command.address,
    )
    assert answer.events == (created,)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (wants(("nothing", 1)), "PRODUCT_NOT_FOUND"),
        (wants(("p0", 1), ("nothing", 1)), "PRODUCT_NOT_FOUND"),
        (wants(("gone", 1)), "PRODUCT_DISCONTINUED"),
        (wants(("p0", 2), price=59), "PRICE_MISMATCH"),
        (wants(("p0", MAX_AMOUNT), ("p0", 1)), "VALIDATION_ERROR"),
        (wants(("dear", MAX_AMOUNT)), "VALIDATION_ERROR"),
    ],
)
def test_what_can_not_be_ordered(command: PlaceOrder, code: str) -> None:
    price_list = Rows(
        {
            "p0": offer("p0", 30),
            "gone": offer("gone", 30, ProductStatus.DISCONTINUED),
            "dear": offer("dear", MAX_AMOUNT),
        }
    )
    at = orders(price_list=price_list)
    with pytest.raises(Refused) as refused:
        reactions.execute(command, at)
    assert refused.value.code == code
    assert refused.value.message
    at.release()
    assert at.orders.inserted == []


wanted_lines = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1000)), min_size=1, max_size=9)
four_prices = st.lists(st.integers(1, MAX_AMOUNT), min_size=4, max_size=4)


@settings(deadline=None)
@given(wanted_lines, four_prices)
def test_the_sum_is_what_the_lines_cost(lines: list[tuple[int, int]], prices: list[int]) -> None:
    command = wants(*((f"p{which}", count) for which, count in lines))
    found = priced(command, offers(*prices))
    products = [line.product_id for line in found]
    assert products == list(dict.fromkeys(f"p{which}" for which, _ in lines))
    assert total(found) == sum(prices[which] * count for which, count in lines) <= MAX_TOTAL
    assert sum(line.quantity for line in found) == sum(count for _, count in lines)


@settings(deadline=None)
@given(wanted_lines, four_prices, st.integers(1, 2 * MAX_AMOUNT))
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
    at = orders()
    for version in versions:
        assert reactions.react(changed(version), at) == ()
        at.release()
    newest = changed(max(versions))
    known = at.price_list["p"]
    assert (known.version, known.name) == (newest.version, newest.name)
    assert (known.price, known.status) == (newest.price, newest.status)


# ---------------------------------------------------------------- hot products


def test_a_product_stays_hot_when_its_price_changes() -> None:
    at = orders(price_list=offers(5))
    answer = reactions.execute(SetHotProduct(product_id="p0", hot=True), at)
    assert (answer.value.hot, answer.events) == (True, ())
    reactions.react(
        ProductChanged(product_id="p0", version=2, name="x", price=6, status=ProductStatus.ACTIVE),
        at,
    )
    assert (at.price_list["p0"].hot, at.price_list["p0"].price) == (True, 6)
    assert not reactions.execute(SetHotProduct(product_id="p0", hot=False), at).value.hot


def test_a_product_that_nobody_knows_can_not_be_hot() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(SetHotProduct(product_id="p0", hot=True), orders())
    assert refused.value.code == "PRODUCT_NOT_FOUND"
