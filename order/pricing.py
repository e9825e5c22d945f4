"""What orders and carts cost, by the price projection. Pure, as `order/domain.py` is.

The projection is a read model: product owns the prices and publishes them as ProductChanged. How
many units are available is not in it; product decides that when the order is placed.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from events.contract import MAX_AMOUNT, MAX_TOTAL, Line, ProductStatus
from order.cart import Cart, CartItem
from order.commands import PlaceOrder, no_product, price_mismatch
from order.domain import ListedProduct
from saga.errors import Invalid, Refused
from saga.unit_of_work import Rows


def price_lines(command: PlaceOrder, prices: Rows[str, ListedProduct]) -> tuple[Line, ...]:
    """The order's lines at today's prices, one for each product, in the client's order.

    Raises NotFound or Refused when a product can't be ordered, when a price that the client sent is
    not the product's or the total not the sum, and Invalid when it is too much.
    """
    quantities: dict[str, int] = {}
    for wanted in command.items:
        product = get_product(wanted.product_id, prices)
        if wanted.price is not None and wanted.price != product.price:
            raise price_mismatch(wanted.price, product.price, wanted.product_id)
        quantities[wanted.product_id] = quantities.get(wanted.product_id, 0) + wanted.quantity
    lines = tuple(
        Line(product_id=product_id, quantity=quantity, price=prices[product_id].price)
        for product_id, quantity in quantities.items()
    )
    if any(line.quantity > MAX_AMOUNT for line in lines) or total(lines) > MAX_TOTAL:
        raise Invalid.field(
            "items", f"at most {MAX_AMOUNT} of a product and KRW {MAX_TOTAL} in one order"
        )
    if command.price is not None and command.price != total(lines):
        raise price_mismatch(command.price, total(lines))
    return lines


def total(lines: Iterable[Line]) -> int:
    """The sum of the lines, in KRW."""
    return sum(line.price * line.quantity for line in lines)


def get_product(product_id: str, prices: Rows[str, ListedProduct]) -> ListedProduct:
    """A product that can be ordered. Raises NotFound, or Refused for a discontinued one."""
    product = prices.get(product_id)
    if product is None:
        raise no_product(product_id)
    if product.status is ProductStatus.DISCONTINUED:
        raise Refused(
            f"{product.name} is not sold any more",
            code="PRODUCT_DISCONTINUED",
            details={"productId": product_id},
        )
    return product


# ---------------------------------------------------------------- carts


class Problem(StrEnum):
    """Why a line can't be ordered now."""

    PRODUCT_DISCONTINUED = "PRODUCT_DISCONTINUED"
    SOLD_OUT = "SOLD_OUT"


class PricedItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line with its current price for one unit. `problem` is why it is not `available`."""

    product_id: str
    name: str
    quantity: int
    price: int
    amount: int
    available: bool
    problem: Problem | None


class PricedCart(msgspec.Struct, frozen=True, kw_only=True):
    """`total_amount` leaves out discontinued products, and includes sold-out ones."""

    customer_id: str
    items: tuple[PricedItem, ...]
    total_amount: int


def price_cart(customer_id: str, cart: Cart | None, prices: Rows[str, ListedProduct]) -> PricedCart:
    """A cart at the current prices. None: the customer has never had one."""
    lines = cart.items if cart else ()
    items = tuple(_price_item(item, prices[item.product_id]) for item in lines)
    gone = Problem.PRODUCT_DISCONTINUED
    total_amount = sum(item.amount for item in items if item.problem is not gone)
    return PricedCart(customer_id=customer_id, items=items, total_amount=total_amount)


def _price_item(item: CartItem, product: ListedProduct) -> PricedItem:
    problem = _problem(product)
    return PricedItem(
        product_id=item.product_id,
        name=product.name,
        quantity=item.quantity,
        price=product.price,
        amount=product.price * item.quantity,
        available=problem is None,
        problem=problem,
    )


def _problem(product: ListedProduct) -> Problem | None:
    if product.status is ProductStatus.DISCONTINUED:
        return Problem.PRODUCT_DISCONTINUED
    return Problem.SOLD_OUT if product.sold_out else None
