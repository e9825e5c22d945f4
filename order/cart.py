"""Carts: what customers mean to order. Pure: no clock, no I/O, no framework.

A cart holds products and quantities. Their prices are those of the moment, from the price list, and
so is whether they are still sold, and sold out. Nothing is reserved, and how much there is of a
product is not known here: product decides that when the cart is ordered.

All lines of a cart stand in one row: who changes it has all of it locked.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import MAX_AMOUNT, Line, ProductStatus
from order.domain import MAX_LINES, ListedProduct, Orders
from saga.errors import Invalid, NotFound, Refused
from saga.unit_of_work import Rows


class CartItem(msgspec.Struct, frozen=True, kw_only=True):
    product_id: str
    quantity: int


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's cart: one line for each product, in the order in which they were put in."""

    customer_id: str
    items: tuple[CartItem, ...]
    created_at: datetime
    updated_at: datetime

    def quantity_of(self, product_id: str) -> int:
        """0 for a product that is not in it."""
        return next((item.quantity for item in self.items if item.product_id == product_id), 0)

    def holding(self, product_id: str, quantity: int, now: datetime) -> "Cart":
        """With so many of a product, and no others. Raises Invalid or Refused for too much."""
        if quantity > MAX_AMOUNT:
            raise Invalid(f"quantity: at most {MAX_AMOUNT} of a product in a cart")
        cart = self._with({product_id: quantity}, now)
        if len(cart.items) > MAX_LINES:
            raise Refused(
                f"a cart holds at most {MAX_LINES} products; take one out first", code="CART_FULL"
            )
        return cart

    def without(self, product_id: str, now: datetime) -> "Cart":
        return self._with({product_id: 0}, now)

    def emptied(self, now: datetime) -> "Cart":
        return self._with({item.product_id: 0 for item in self.items}, now)

    def less(self, bought: Iterable[Line], now: datetime) -> "Cart":
        """Without what was bought, as far as it is still in it."""
        left = {
            each.product_id: self.quantity_of(each.product_id) - each.quantity for each in bought
        }
        return self._with(left, now)

    def _with(self, changes: dict[str, int], now: datetime) -> "Cart":
        """With these quantities instead; a line of nothing is gone."""
        quantities = {item.product_id: item.quantity for item in self.items} | changes
        items = tuple(
            CartItem(product_id=product_id, quantity=quantity)
            for product_id, quantity in quantities.items()
            if quantity > 0
        )
        if items == self.items:
            return self
        return msgspec.structs.replace(self, items=items, updated_at=now)


# ---------------------------------------------------------------- as it is shown


class Problem(StrEnum):
    """Why a line can't be ordered now."""

    PRODUCT_DISCONTINUED = "PRODUCT_DISCONTINUED"
    SOLD_OUT = "SOLD_OUT"


class PricedItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line at the price of the moment, for one unit. `problem` says why it is not `available`."""

    product_id: str
    name: str
    quantity: int
    price: int
    amount: int
    available: bool
    problem: Problem | None


class PricedCart(msgspec.Struct, frozen=True, kw_only=True):
    """`total_amount` is the sum of what can be ordered, what is sold out among it."""

    customer_id: str
    items: tuple[PricedItem, ...]
    total_amount: int


def priced_cart(
    customer_id: str, cart: Cart | None, price_list: Rows[str, ListedProduct]
) -> PricedCart:
    """A cart at the prices of the moment. None: nothing was ever in it."""
    lines = cart.items if cart else ()
    items = tuple(_priced(item, price_list[item.product_id]) for item in lines)
    gone = Problem.PRODUCT_DISCONTINUED
    total_amount = sum(item.amount for item in items if item.problem is not gone)
    return PricedCart(customer_id=customer_id, items=items, total_amount=total_amount)


def _priced(item: CartItem, offer: ListedProduct) -> PricedItem:
    problem = _problem(offer)
    return PricedItem(
        product_id=item.product_id,
        name=offer.name,
        quantity=item.quantity,
        price=offer.price,
        amount=offer.price * item.quantity,
        available=problem is None,
        problem=problem,
    )


def _problem(offer: ListedProduct) -> Problem | None:
    if offer.status is ProductStatus.DISCONTINUED:
        return Problem.PRODUCT_DISCONTINUED
    return Problem.SOLD_OUT if offer.sold_out else None


# ---------------------------------------------------------------- commands


class AddToCart(msgspec.Struct, frozen=True, kw_only=True):
    """So many more of a product."""

    customer_id: str
    product_id: str
    quantity: int


class ChangeCartItem(msgspec.Struct, frozen=True, kw_only=True):
    """So many of a product that is in the cart, instead of as many as there are."""

    customer_id: str
    product_id: str
    quantity: int


class TakeFromCart(msgspec.Struct, frozen=True, kw_only=True):
    """A product, or everything."""

    customer_id: str
    product_id: str | None = None


def cart_of(customer_id: str, orders: Orders) -> Cart:
    """The customer's cart: a new one for the first time."""
    new = Cart(customer_id=customer_id, items=(), created_at=orders.now, updated_at=orders.now)
    return orders.carts.get(customer_id) or new


def empty_cart() -> Refused:
    return Refused("there is nothing in the cart; put something in first", code="CART_EMPTY")


def no_cart_item(product_id: str) -> NotFound:
    return NotFound(
        f"there is no product {product_id} in the cart; add it first",
        code="CART_ITEM_NOT_FOUND",
        details={"productId": product_id},
    )
