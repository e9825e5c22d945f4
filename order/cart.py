"""Carts: products and quantities that a customer means to order. Pure, as `order/domain.py` is.

A cart has no prices (`order/pricing.py` looks them up) and reserves no stock. All its lines are in
one row, so a change of a cart locks all of it.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from events.contract import MAX_AMOUNT, Line
from order.domain import MAX_LINES
from saga.errors import Invalid, Refused


class CartItem(msgspec.Struct, frozen=True, kw_only=True):
    product_id: str
    quantity: int


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's cart: one line for each product, in the order in which they were added.

    Each change returns a new row.
    """

    customer_id: str
    items: tuple[CartItem, ...]
    created_at: datetime
    updated_at: datetime

    def quantity_of(self, product_id: str) -> int:
        """0 for a product that is not in it."""
        return next((item.quantity for item in self.items if item.product_id == product_id), 0)

    def with_quantity(self, product_id: str, quantity: int, now: datetime) -> "Cart":
        """The cart with this quantity of a product. Raises Invalid or Refused for too much."""
        if quantity > MAX_AMOUNT:
            raise Invalid.field("quantity", f"at most {MAX_AMOUNT} of a product in a cart")
        cart = self._replace({product_id: quantity}, now)
        if len(cart.items) > MAX_LINES:
            raise Refused(
                f"a cart holds at most {MAX_LINES} products; take one out first",
                code="CART_FULL",
                values={"max": MAX_LINES},
            )
        return cart

    def without(self, product_id: str, now: datetime) -> "Cart":
        return self._replace({product_id: 0}, now)

    def empty(self, now: datetime) -> "Cart":
        return self._replace({item.product_id: 0 for item in self.items}, now)

    def minus(self, bought: Iterable[Line], now: datetime) -> "Cart":
        """The cart without the bought units, as far as they are still in it."""
        left = {
            line.product_id: self.quantity_of(line.product_id) - line.quantity for line in bought
        }
        return self._replace(left, now)

    def _replace(self, changes: dict[str, int], now: datetime) -> "Cart":
        """The cart with these quantities; a line whose quantity is not positive is dropped."""
        quantities = {item.product_id: item.quantity for item in self.items} | changes
        items = tuple(
            CartItem(product_id=product_id, quantity=quantity)
            for product_id, quantity in quantities.items()
            if quantity > 0
        )
        if items == self.items:
            return self
        return msgspec.structs.replace(self, items=items, updated_at=now)
