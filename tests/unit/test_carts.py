"""Carts: what goes in, what comes out, what it costs, and what an order takes from it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import MAX_AMOUNT, Line, ProductStatus
from order.cart import (
    AddToCart,
    Cart,
    CartItem,
    ChangeCartItem,
    PricedItem,
    Problem,
    TakeFromCart,
    priced_cart,
)
from order.domain import MAX_LINES, ListedProduct, Orders, OrderState, PlaceOrder, WantedLine
from order.reactions import reactions
from saga.errors import Refused
from saga.event import Event
from saga.unit_of_work import Rows
from tests.unit.order_fixtures import CUSTOMER, FAILURES, LATER, NOW, ORDER, PAID, offer, orders

PRICES = {"p0": 30, "p1": 7}


def cart(*lines: tuple[str, int]) -> Cart:
    items = tuple(CartItem(product_id=product, quantity=count) for product, count in lines)
    return Cart(customer_id=CUSTOMER, items=items, created_at=NOW, updated_at=NOW)


def shop(*lines: tuple[str, int], price_list: Rows[str, ListedProduct] | None = None) -> Orders:
    """A cart with these lines, or none, and what is sold."""
    known = Rows({CUSTOMER: cart(*lines)}) if lines else Rows[str, Cart]()
    offers = Rows({name: offer(name, price) for name, price in PRICES.items()})
    return orders(price_list=price_list or offers, carts=known)


def add(product: str, quantity: int) -> AddToCart:
    return AddToCart(customer_id=CUSTOMER, product_id=product, quantity=quantity)


def change(product: str, quantity: int) -> ChangeCartItem:
    return ChangeCartItem(customer_id=CUSTOMER, product_id=product, quantity=quantity)


def held(at: Orders) -> list[tuple[str, int]]:
    found = at.carts.get(CUSTOMER)
    return [(item.product_id, item.quantity) for item in found.items] if found else []


def refusal(command: object, at: Orders) -> str:
    """The code that it is refused with; the cart stays as it was."""
    before = held(at)
    with pytest.raises(Refused) as refused:
        reactions.execute(command, at)
    assert refused.value.message
    assert held(at) == before
    return refused.value.code


# ---------------------------------------------------------------- changing it


def test_the_same_product_adds_up_in_its_line() -> None:
    at = shop()
    for command in (add("p1", 2), add("p0", 1)):
        reactions.execute(command, at)
        at.release()
    answer = reactions.execute(add("p1", 3), at)
    assert held(at) == [("p1", 5), ("p0", 1)]
    assert answer.events == ()
    assert answer.value == priced_cart(CUSTOMER, at.carts[CUSTOMER], at.price_list)
    assert answer.value.total_amount == 5 * 7 + 30


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (add("nothing", 1), "PRODUCT_NOT_FOUND"),
        (add("gone", 1), "PRODUCT_DISCONTINUED"),
        (add("p0", MAX_AMOUNT - 1), "VALIDATION_ERROR"),
        (change("p1", 1), "CART_ITEM_NOT_FOUND"),
    ],
)
def test_what_can_not_be_put_into_it(command: object, code: str) -> None:
    price_list = Rows({"p0": offer("p0", 30), "gone": offer("gone", 1, ProductStatus.DISCONTINUED)})
    assert refusal(command, shop(("p0", 2), price_list=price_list)) == code


def test_it_holds_as_many_products_as_an_order() -> None:
    names = [f"p{number}" for number in range(MAX_LINES + 1)]
    at = shop(
        *((name, 1) for name in names[:-1]),
        price_list=Rows({name: offer(name, 1) for name in names}),
    )
    assert refusal(add(names[-1], 1), at) == "CART_FULL"
    reactions.execute(add(names[0], 1), at)
    reactions.execute(TakeFromCart(customer_id=CUSTOMER, product_id=names[1]), at)
    reactions.execute(add(names[-1], 1), at)
    assert held(at)[0] == (names[0], 2)
    assert len(held(at)) == MAX_LINES


def test_a_quantity_is_changed_where_it_stands() -> None:
    at = shop(("p0", 2), ("p1", 3))
    assert reactions.execute(change("p0", MAX_AMOUNT), at).value.items[0].quantity == MAX_AMOUNT
    assert held(at) == [("p0", MAX_AMOUNT), ("p1", 3)]


def test_what_is_taken_out_twice_is_out() -> None:
    at = shop(("p0", 2), ("p1", 3))
    for _ in range(2):
        reactions.execute(TakeFromCart(customer_id=CUSTOMER, product_id="p0"), at)
        assert held(at) == [("p1", 3)]
    for _ in range(2):
        reactions.execute(TakeFromCart(customer_id=CUSTOMER), at)
        assert held(at) == []


def test_nothing_is_written_for_somebody_who_has_no_cart() -> None:
    at = shop()
    reactions.execute(TakeFromCart(customer_id=CUSTOMER), at)
    at.release()
    assert at.carts.inserted == []


# ---------------------------------------------------------------- as it is shown


def test_it_costs_what_can_be_bought_of_it() -> None:
    price_list = Rows({"p0": offer("p0", 30), "gone": offer("gone", 9, ProductStatus.DISCONTINUED)})
    shown = priced_cart(CUSTOMER, cart(("gone", 2), ("p0", 3)), price_list)
    assert shown.customer_id == CUSTOMER
    assert shown.total_amount == 90
    assert shown.items == (
        PricedItem(
            product_id="gone",
            name="gone",
            quantity=2,
            price=9,
            amount=18,
            available=False,
            problem=Problem.PRODUCT_DISCONTINUED,
        ),
        PricedItem(
            product_id="p0",
            name="p0",
            quantity=3,
            price=30,
            amount=90,
            available=True,
            problem=None,
        ),
    )


def test_an_empty_cart_costs_nothing() -> None:
    for empty in (None, cart()):
        shown = priced_cart(CUSTOMER, empty, Rows())
        assert (shown.items, shown.total_amount) == ((), 0)


# ---------------------------------------------------------------- ordering it


def ordered(*lines: tuple[str, int], from_cart: bool = True) -> PlaceOrder:
    items = tuple(WantedLine(product_id=product, quantity=count) for product, count in lines)
    return PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items, from_cart=from_cart)


def test_what_was_ordered_stays_in_it_until_the_order_completes() -> None:
    at = shop(("p0", 2), ("p1", 3))
    reactions.execute(ordered(("p0", 2), ("p1", 3)), at)
    assert at.orders[ORDER].from_cart
    assert held(at) == [("p0", 2), ("p1", 3)]
    reactions.execute(add("p0", 4), at)
    reactions.react(PAID, at)
    assert held(at) == [("p0", 4)]
    assert reactions.react(PAID, at) == ()
    assert held(at) == [("p0", 4)]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_order_that_fails_leaves_it_as_it_is(failure: Event) -> None:
    at = shop(("p0", 2))
    reactions.execute(ordered(("p0", 2)), at)
    reactions.react(failure, at)
    assert at.orders[ORDER].state is OrderState.FAILED
    assert held(at) == [("p0", 2)]


def test_an_order_that_is_not_from_it_leaves_it_alone() -> None:
    at = shop(("p0", 2))
    reactions.execute(ordered(("p0", 2), from_cart=False), at)
    assert reactions.react(PAID, at)
    assert held(at) == [("p0", 2)]


def test_an_order_of_a_cart_that_is_gone_completes() -> None:
    at = shop()
    reactions.execute(ordered(("p0", 1)), at)
    assert reactions.react(PAID, at)
    assert at.orders[ORDER].state is OrderState.COMPLETED
    assert held(at) == []


def test_an_empty_cart_can_not_be_ordered() -> None:
    assert refusal(ordered(), shop()) == "CART_EMPTY"


lines = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9))


@settings(deadline=None)
@given(lines, lines)
def test_an_order_takes_no_more_than_there_is(
    there: dict[str, int], bought: dict[str, int]
) -> None:
    taken = [Line(product_id=name, quantity=count, price=1) for name, count in bought.items()]
    left = cart(*there.items()).less(taken, LATER)
    right = {name: count - bought.get(name, 0) for name, count in there.items()}
    assert {item.product_id: item.quantity for item in left.items} == {
        name: count for name, count in right.items() if count > 0
    }
