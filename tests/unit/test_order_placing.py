"""Placing orders: their prices, the price projection, and hot products."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import (
    MAX_AMOUNT,
    MAX_TOTAL,
    Address,
    OrderCreated,
    ProductChanged,
    ProductStatus,
    ShippingAddressGiven,
)
from order.addresses import ShippingAddress
from order.commands import AcceptedOrder, PlaceOrder, SetHotProduct, WantedLine
from order.domain import OrderState
from order.pricing import price_lines, total
from order.reactions import reactions
from saga.errors import NotFound, Refused
from saga.unit_of_work import Rows
from tests.unit.order_fixtures import (
    CUSTOMER,
    ORDER,
    listed_product,
    listed_products,
    unit_of_work,
)


def wants(*lines: tuple[str, int], price: int | None = None) -> PlaceOrder:
    items = tuple(WantedLine(product_id=product, quantity=count) for product, count in lines)
    return PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items, price=price)


def test_order_created_has_all_that_coupon_needs() -> None:
    uow = unit_of_work(prices=listed_products(30, 7))
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
    result = reactions.execute(command, uow)
    uow.release()
    (order,) = uow.orders.inserted
    assert result.value == AcceptedOrder(order_id=ORDER, total_amount=88)
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
        accepted_at=uow.now,
    )
    assert command.address is not None
    given = ShippingAddressGiven(customer_id=CUSTOMER, order_id=ORDER, address=command.address)
    assert result.events == (created, given)
    assert uow.shipping.inserted == [ShippingAddress.of(ORDER, CUSTOMER, command.address)]


def test_order_without_an_address_costs_no_row_and_no_event_for_one() -> None:
    uow = unit_of_work(prices=listed_products(30))
    [event] = reactions.execute(wants(("p0", 1)), uow).events
    uow.release()
    assert isinstance(event, OrderCreated)
    assert (uow.shipping.inserted, uow.recipients.inserted) == ([], [])


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
def test_refused_orders_are_not_stored(command: PlaceOrder, code: str) -> None:
    prices = Rows(
        {
            "p0": listed_product("p0", 30),
            "gone": listed_product("gone", 30, ProductStatus.DISCONTINUED),
            "dear": listed_product("dear", MAX_AMOUNT),
        }
    )
    uow = unit_of_work(prices=prices)
    with pytest.raises(Refused) as refused:
        reactions.execute(command, uow)
    assert refused.value.code == code
    assert refused.value.message
    uow.release()
    assert uow.orders.inserted == []


def test_wrong_price_names_its_product() -> None:
    items = (
        WantedLine(product_id="p0", quantity=1),
        WantedLine(product_id="p1", quantity=1, price=8),
    )
    command = PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items)
    with pytest.raises(Refused) as refused:
        price_lines(command, listed_products(30, 7))
    assert refused.value.details == {"sent": 8, "price": 7, "productId": "p1"}


wanted_lines = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1000)), min_size=1, max_size=9)
four_prices = st.lists(st.integers(1, MAX_AMOUNT), min_size=4, max_size=4)


@settings(deadline=None)
@given(wanted_lines, four_prices)
def test_total_is_sum_of_lines(lines: list[tuple[int, int]], prices: list[int]) -> None:
    command = wants(*((f"p{which}", count) for which, count in lines))
    found = price_lines(command, listed_products(*prices))
    products = [line.product_id for line in found]
    assert products == list(dict.fromkeys(f"p{which}" for which, _ in lines))
    assert total(found) == sum(prices[which] * count for which, count in lines) <= MAX_TOTAL
    assert sum(line.quantity for line in found) == sum(count for _, count in lines)


@settings(deadline=None)
@given(wanted_lines, four_prices, st.integers(1, 2 * MAX_AMOUNT))
def test_wrong_total_is_refused(lines: list[tuple[int, int]], prices: list[int], sent: int) -> None:
    correct = sum(prices[which] * count for which, count in lines)
    ordered = [(f"p{which}", count) for which, count in lines]
    assert price_lines(wants(*ordered, price=correct), listed_products(*prices))
    if sent != correct:
        with pytest.raises(Refused) as refused:
            price_lines(wants(*ordered, price=sent), listed_products(*prices))
        assert refused.value.code == "PRICE_MISMATCH"
        assert refused.value.details == {"sent": sent, "price": correct}


# ---------------------------------------------------------------- the price projection


def changed(version: int) -> ProductChanged:
    status = ProductStatus.DISCONTINUED if version % 3 == 0 else ProductStatus.ACTIVE
    return ProductChanged(
        product_id="p", version=version, name=f"v{version}", price=version * 10, status=status
    )


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1).flatmap(st.permutations))
def test_newest_version_wins_in_any_order(versions: Sequence[int]) -> None:
    uow = unit_of_work()
    for version in versions:
        assert reactions.react(changed(version), uow) == ()
        uow.release()
    newest = changed(max(versions))
    known = uow.prices["p"]
    assert (known.version, known.name) == (newest.version, newest.name)
    assert (known.price, known.status) == (newest.price, newest.status)


# ---------------------------------------------------------------- hot products


def test_product_stays_hot_when_its_price_changes() -> None:
    uow = unit_of_work(prices=listed_products(5))
    result = reactions.execute(SetHotProduct(product_id="p0", hot=True), uow)
    assert (result.value.hot, result.events) == (True, ())
    reactions.react(
        ProductChanged(product_id="p0", version=2, name="x", price=6, status=ProductStatus.ACTIVE),
        uow,
    )
    assert (uow.prices["p0"].hot, uow.prices["p0"].price) == (True, 6)
    assert not reactions.execute(SetHotProduct(product_id="p0", hot=False), uow).value.hot


def test_unknown_product_can_not_be_hot() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(SetHotProduct(product_id="p0", hot=True), unit_of_work())
    assert refused.value.code == "PRODUCT_NOT_FOUND"
