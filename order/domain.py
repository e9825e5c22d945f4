"""Orders and the price list that they are accepted at. Pure: no clock, no I/O, no framework.

An order's row moves forward only:

    PENDING -> COMPLETED | FAILED

The order service decides neither: it hears what the others decided.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import (
    LARGEST,
    Address,
    FailReason,
    Line,
    OnShortage,
    PaymentMethod,
    ProductStatus,
)
from infra.errors import Invalid, NotFound, Refused
from infra.rows import Rows, WorkingSet

LARGEST_TOTAL = 10**15
"""The most that one order may cost, in won."""


class OrderState(StrEnum):
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


UNSETTLED = frozenset({OrderState.PENDING})


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Until it is paid, `payable_amount` is its total: the coupon has not spoken yet."""

    order_id: str
    customer_id: str
    state: OrderState
    fail_reason: FailReason | None
    items: tuple[Line, ...]
    total_amount: int
    discount_amount: int
    payable_amount: int
    coupon_id: str | None
    payment_method: PaymentMethod
    address: Address | None
    created_at: datetime
    updated_at: datetime

    def completed(self, paid: int, discount: int, now: datetime) -> "Order":
        return msgspec.structs.replace(
            self,
            state=OrderState.COMPLETED,
            payable_amount=paid,
            discount_amount=discount,
            updated_at=now,
        )

    def failed(self, reason: FailReason, now: datetime) -> "Order":
        return msgspec.structs.replace(
            self, state=OrderState.FAILED, fail_reason=reason, updated_at=now
        )


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What the order service knows of a product: its line in the price list."""

    product_id: str
    version: int
    name: str
    price: int
    status: ProductStatus
    updated_at: datetime


class Orders(WorkingSet):
    """What a batch works on."""

    def __init__(
        self, now: datetime, orders: Rows[str, Order], price_list: Rows[str, Offer]
    ) -> None:
        super().__init__(now, orders, price_list)
        self.orders = orders
        self.price_list = price_list

    def pending(self, order_id: str) -> Order | None:
        """The order, if it still waits for its end."""
        order = self.orders.get(order_id)
        return order if order is not None and order.state is OrderState.PENDING else None


# ---------------------------------------------------------------- commands


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `price` is what it believes one unit costs, if it says so."""

    product_id: str
    quantity: int
    price: int | None = None


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`price` is what the client believes all of it costs, if it says so."""

    order_id: str
    customer_id: str
    items: tuple[WantedLine, ...]
    price: int | None = None
    coupon_id: str | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT
    address: Address | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str
    total_amount: int


def priced(command: PlaceOrder, price_list: Rows[str, Offer]) -> tuple[Line, ...]:
    """The order's lines at today's prices, one for each product, in the client's order.

    Raises NotFound or Refused when a product can't be ordered, when a price that the client sent is
    not the product's or the total not the sum, and Invalid when it is too much.
    """
    quantities: dict[str, int] = {}
    for wanted in command.items:
        offer = _offered(wanted, price_list)
        if wanted.price is not None and wanted.price != offer.price:
            raise _mismatch(f"items of {wanted.product_id}", wanted.price, offer.price)
        quantities[wanted.product_id] = quantities.get(wanted.product_id, 0) + wanted.quantity
    lines = tuple(
        Line(product_id=product_id, quantity=quantity, price=price_list[product_id].price)
        for product_id, quantity in quantities.items()
    )
    if any(line.quantity > LARGEST for line in lines) or total(lines) > LARGEST_TOTAL:
        raise Invalid(f"items: at most {LARGEST} of a product and {LARGEST_TOTAL} won in one order")
    if command.price is not None and command.price != total(lines):
        raise _mismatch("price", command.price, total(lines))
    return lines


def total(lines: Iterable[Line]) -> int:
    return sum(line.price * line.quantity for line in lines)


def _offered(wanted: WantedLine, price_list: Rows[str, Offer]) -> Offer:
    offer = price_list.get(wanted.product_id)
    if offer is None:
        raise no_product(wanted.product_id)
    if offer.status is ProductStatus.DISCONTINUED:
        raise Refused(
            f"{offer.name} is not sold any more",
            code="PRODUCT_DISCONTINUED",
            details={"productId": wanted.product_id},
        )
    return offer


def _mismatch(what: str, sent: int, right: int) -> Refused:
    return Refused(
        f"{what}: the price is {right} won, not {sent}; show it to the customer and order again",
        code="PRICE_MISMATCH",
        details={"sent": sent, "price": right},
    )


def no_product(product_id: str) -> NotFound:
    return NotFound(
        f"there is no product {product_id}",
        code="PRODUCT_NOT_FOUND",
        details={"productId": product_id},
    )


def no_order(order_id: str) -> NotFound:
    return NotFound(f"there is no order {order_id}", code="ORDER_NOT_FOUND")
