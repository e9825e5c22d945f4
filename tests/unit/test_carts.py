"""Carts: changing one, its current prices, and checking out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.contract import MAX_AMOUNT, Line, ProductStatus
from order.cart import Cart, CartItem
from order.commands import AddToCart, ChangeCartItem, PlaceOrder, TakeFromCart, WantedLine
from order.domain import MAX_LINES, ListedProduct, OrderState
from order.pricing import PricedItem, Problem, price_cart
from order.reactions import reactions
from order.unit_of_work import OrderUnitOfWork
from saga.errors import Refused
from saga.event import Event
from saga.unit_of_work import Rows
from tests.unit.order_fixtures import (
    CUSTOMER,
    FAILURES,
    LATER,
    NOW,
    ORDER,
    PAID,
    listed_product,
    unit_of_work,
)

PRICES = {"p0": 30, "p1": 7}


def cart(*lines: tuple[str, int]) -> Cart:
    items = tuple(CartItem(product_id=product, quantity=count) for product, count in lines)
    return Cart(customer_id=CUSTOMER, items=items, created_at=NOW, updated_at=NOW)


def with_cart(
    *lines: tuple[str, int], prices: Rows[str, ListedProduct] | None = None
) -> OrderUnitOfWork:
    """With a cart of these lines, or none, and a price projection."""
    carts = Rows({CUSTOMER: cart(*lines)}) if lines else Rows[str, Cart]()
    projection = Rows({name: listed_product(name, price) for name, price in PRICES.items()})
    return unit_of_work(prices=prices or projection, carts=carts)


def add(product: str, quantity: int) -> AddToCart:
    return AddToCart(customer_id=CUSTOMER, product_id=product, quantity=quantity)


def change(product: str, quantity: int) -> ChangeCartItem:
    return ChangeCartItem(customer_id=CUSTOMER, product_id=product, quantity=quantity)


def lines_in(uow: OrderUnitOfWork) -> list[tuple[str, int]]:
    found = uow.carts.get(CUSTOMER)
    return [(item.product_id, item.quantity) for item in found.items] if found else []


def refusal(command: object, uow: OrderUnitOfWork) -> str:
    """The code that the command is refused with; the cart is unchanged."""
    before = lines_in(uow)
    with pytest.raises(Refused) as refused:
        reactions.execute(command, uow)
    assert refused.value.message
    assert lines_in(uow) == before
    return refused.value.code


# ---------------------------------------------------------------- changing one


def test_units_of_same_product_add_up_in_one_line() -> None:
    uow = with_cart()
    for command in (add("p1", 2), add("p0", 1)):
        reactions.execute(command, uow)
        uow.release()
    result = reactions.execute(add("p1", 3), uow)
    assert lines_in(uow) == [("p1", 5), ("p0", 1)]
    assert result.events == ()
    assert result.value == price_cart(CUSTOMER, uow.carts[CUSTOMER], uow.prices)
    assert result.value.total_amount == 5 * 7 + 30


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (add("nothing", 1), "PRODUCT_NOT_FOUND"),
        (add("gone", 1), "PRODUCT_DISCONTINUED"),
        (add("p0", MAX_AMOUNT - 1), "VALIDATION_ERROR"),
        (change("p1", 1), "CART_ITEM_NOT_FOUND"),
    ],
)
def test_refused_changes_leave_cart_unchanged(command: object, code: str) -> None:
    prices = Rows(
        {
            "p0": listed_product("p0", 30),
            "gone": listed_product("gone", 1, ProductStatus.DISCONTINUED),
        }
    )
    assert refusal(command, with_cart(("p0", 2), prices=prices)) == code


def test_cart_holds_as_many_products_as_an_order() -> None:
    names = [f"p{number}" for number in range(MAX_LINES + 1)]
    uow = with_cart(
        *((name, 1) for name in names[:-1]),
        prices=Rows({name: listed_product(name, 1) for name in names}),
    )
    assert refusal(add(names[-1], 1), uow) == "CART_FULL"
    reactions.execute(add(names[0], 1), uow)
    reactions.execute(TakeFromCart(customer_id=CUSTOMER, product_id=names[1]), uow)
    reactions.execute(add(names[-1], 1), uow)
    assert lines_in(uow)[0] == (names[0], 2)
    assert len(lines_in(uow)) == MAX_LINES


def test_changed_line_keeps_its_place() -> None:
    uow = with_cart(("p0", 2), ("p1", 3))
    assert reactions.execute(change("p0", MAX_AMOUNT), uow).value.items[0].quantity == MAX_AMOUNT
    assert lines_in(uow) == [("p0", MAX_AMOUNT), ("p1", 3)]


def test_taking_a_product_out_twice_is_idempotent() -> None:
    uow = with_cart(("p0", 2), ("p1", 3))
    for _ in range(2):
        reactions.execute(TakeFromCart(customer_id=CUSTOMER, product_id="p0"), uow)
        assert lines_in(uow) == [("p1", 3)]
    for _ in range(2):
        reactions.execute(TakeFromCart(customer_id=CUSTOMER), uow)
        assert lines_in(uow) == []


def test_taking_from_a_missing_cart_writes_nothing() -> None:
    uow = with_cart()
    reactions.execute(TakeFromCart(customer_id=CUSTOMER), uow)
    uow.release()
    assert uow.carts.inserted == []


# ---------------------------------------------------------------- prices


def test_total_leaves_out_discontinued_products() -> None:
    prices = Rows(
        {
            "p0": listed_product("p0", 30),
            "gone": listed_product("gone", 9, ProductStatus.DISCONTINUED),
        }
    )
    shown = price_cart(CUSTOMER, cart(("gone", 2), ("p0", 3)), prices)
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


def test_empty_cart_costs_nothing() -> None:
    for empty in (None, cart()):
        shown = price_cart(CUSTOMER, empty, Rows())
        assert (shown.items, shown.total_amount) == ((), 0)


# ---------------------------------------------------------------- checking out


def place(*lines: tuple[str, int], from_cart: bool = True) -> PlaceOrder:
    items = tuple(WantedLine(product_id=product, quantity=count) for product, count in lines)
    return PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, items=items, from_cart=from_cart)


def test_units_stay_in_cart_until_order_completes() -> None:
    uow = with_cart(("p0", 2), ("p1", 3))
    reactions.execute(place(("p0", 2), ("p1", 3)), uow)
    assert uow.orders[ORDER].from_cart
    assert lines_in(uow) == [("p0", 2), ("p1", 3)]
    reactions.execute(add("p0", 4), uow)
    reactions.react(PAID, uow)
    assert lines_in(uow) == [("p0", 4)]
    assert reactions.react(PAID, uow) == ()
    assert lines_in(uow) == [("p0", 4)]


@pytest.mark.parametrize("failure", FAILURES)
def test_failed_order_leaves_cart_unchanged(failure: Event) -> None:
    uow = with_cart(("p0", 2))
    reactions.execute(place(("p0", 2)), uow)
    reactions.react(failure, uow)
    assert uow.orders[ORDER].state is OrderState.FAILED
    assert lines_in(uow) == [("p0", 2)]


def test_order_not_from_cart_leaves_cart_unchanged() -> None:
    uow = with_cart(("p0", 2))
    reactions.execute(place(("p0", 2), from_cart=False), uow)
    assert reactions.react(PAID, uow)
    assert lines_in(uow) == [("p0", 2)]


def test_order_of_a_missing_cart_completes() -> None:
    uow = with_cart()
    reactions.execute(place(("p0", 1)), uow)
    assert reactions.react(PAID, uow)
    assert uow.orders[ORDER].state is OrderState.COMPLETED
    assert lines_in(uow) == []


def test_empty_cart_can_not_be_ordered() -> None:
    assert refusal(place(), with_cart()) == "CART_EMPTY"


lines = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9))


@settings(deadline=None)
@given(lines, lines)
def test_completed_order_takes_at_most_what_is_in_cart(
    there: dict[str, int], bought: dict[str, int]
) -> None:
    taken = [Line(product_id=name, quantity=count, price=1) for name, count in bought.items()]
    left = cart(*there.items()).minus(taken, LATER)
    expected = {name: count - bought.get(name, 0) for name, count in there.items()}
    assert {item.product_id: item.quantity for item in left.items} == {
        name: count for name, count in expected.items() if count > 0
    }
