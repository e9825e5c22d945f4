"""Orders and the price list that they are accepted at. Pure: no clock, no I/O, no framework.

An order's row moves forward only:

    PENDING -> WAITING (in the queue for stock)
       |          |
       v          v
    EXPIRING   WAIT_EXPIRING
       |          |
       v          v          (from each of the four)
    COMPLETED or FAILED
       |
       v
    CANCELLING(attempt) -> CANCELLED, or back to COMPLETED when the refund was refused

The order service decides no end: it hears what the others decided. At its deadline an order asks
payment to decide, and a payment that won the race completes it all the same.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from events.contract import (
    MAX_AMOUNT,
    Address,
    FailReason,
    Line,
    OnShortage,
    PaymentMethod,
    ProductStatus,
)
from saga.errors import Invalid, NotFound, Refused
from saga.unit_of_work import Rows, UnitOfWork

if TYPE_CHECKING:
    from order.cart import Cart  # which builds on this file

MAX_LINES = 100
"""The most different products in one order."""

MAX_TOTAL = 10**15
"""The most that one order may cost, in won."""


class OrderState(StrEnum):
    PENDING = "PENDING"
    EXPIRING = "EXPIRING"
    WAITING = "WAITING"
    WAIT_EXPIRING = "WAIT_EXPIRING"
    COMPLETED = "COMPLETED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


EXPIRES = {
    OrderState.PENDING: OrderState.EXPIRING,
    OrderState.WAITING: OrderState.WAIT_EXPIRING,
}
"""The states with a deadline, and what follows when it comes: payment is asked to decide."""

OPEN = frozenset({*EXPIRES.keys(), *EXPIRES.values()})
UNSETTLED = OPEN | {OrderState.CANCELLING}


class OrderStatus(StrEnum):
    """What a client sees of the state. It never goes backwards."""

    PENDING = "PENDING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


STATES = {
    OrderStatus.PENDING: frozenset({OrderState.PENDING, OrderState.EXPIRING}),
    OrderStatus.WAITING: frozenset({OrderState.WAITING, OrderState.WAIT_EXPIRING}),
    OrderStatus.COMPLETED: frozenset({OrderState.COMPLETED, OrderState.CANCELLING}),
    OrderStatus.FAILED: frozenset({OrderState.FAILED}),
    OrderStatus.CANCELLED: frozenset({OrderState.CANCELLED}),
}
"""The states behind each status. An order stays COMPLETED until its cancel has taken effect."""

_STATUS = {state: status for status, states in STATES.items() for state in states}


class CancellationState(StrEnum):
    REQUESTED = "REQUESTED"
    DONE = "DONE"
    REFUSED = "REFUSED"


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the last cancel stands. `attempt` counts them from 1."""

    state: CancellationState
    attempt: int


_CANCELLATION = {
    OrderState.CANCELLING: CancellationState.REQUESTED,
    OrderState.CANCELLED: CancellationState.DONE,
    OrderState.COMPLETED: CancellationState.REFUSED,
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Until it is paid, `payable_amount` is its total: the coupon has not spoken yet.

    `attempt` counts the cancels that were asked for. `queue_position` is the place, from 1, at
    which it joined the queue for stock; None unless it had to wait. `from_cart`: its lines leave
    the cart when it completes.
    """

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
    attempt: int
    queue_position: int | None = None
    created_at: datetime
    completed_at: datetime | None
    updated_at: datetime
    from_cart: bool = False

    @property
    def status(self) -> OrderStatus:
        return _STATUS[self.state]

    @property
    def cancellation(self) -> Cancellation | None:
        """None for an order that nobody has tried to cancel."""
        if self.attempt == 0:
            return None
        return Cancellation(state=_CANCELLATION[self.state], attempt=self.attempt)

    def moved(self, state: OrderState, now: datetime) -> "Order":
        return msgspec.structs.replace(self, state=state, updated_at=now)

    def waiting(self, position: int, now: datetime) -> "Order":
        return msgspec.structs.replace(self.moved(OrderState.WAITING, now), queue_position=position)

    def completed(self, paid: int, discount: int, now: datetime) -> "Order":
        return msgspec.structs.replace(
            self.moved(OrderState.COMPLETED, now),
            payable_amount=paid,
            discount_amount=discount,
            completed_at=now,
        )

    def failed(self, reason: FailReason, now: datetime) -> "Order":
        return msgspec.structs.replace(self.moved(OrderState.FAILED, now), fail_reason=reason)

    def cancelling(self, now: datetime) -> "Order":
        return msgspec.structs.replace(
            self.moved(OrderState.CANCELLING, now), attempt=self.attempt + 1
        )


class ListedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """What the order service knows of a product: its line in the price list.

    `sold_out`: there was none when product last said so; only product can refuse an order for it.
    `hot`: so many want it that a gate stands in front of the database (`order/hot_products.py`).
    """

    product_id: str
    version: int
    name: str
    price: int
    status: ProductStatus
    sold_out: bool
    hot: bool
    updated_at: datetime


class Orders(UnitOfWork):
    """What a batch works on."""

    def __init__(
        self,
        now: datetime,
        orders: Rows[str, Order],
        price_list: Rows[str, ListedProduct],
        carts: "Rows[str, Cart]",
    ) -> None:
        super().__init__(now, orders, price_list, carts)
        self.orders = orders
        self.price_list = price_list
        self.carts = carts

    def in_state(self, order_id: str, *states: OrderState) -> Order | None:
        """The order, if it is in one of these states."""
        order = self.orders.get(order_id)
        return order if order is not None and order.state in states else None


# ---------------------------------------------------------------- commands


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `price` is what it believes one unit costs, if it says so."""

    product_id: str
    quantity: int
    price: int | None = None


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`price` is what the client believes all of it costs, if it says so.

    `from_cart`: the lines are those of the customer's cart, as they were read.
    """

    order_id: str
    customer_id: str
    items: tuple[WantedLine, ...]
    price: int | None = None
    coupon_id: str | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT
    address: Address | None = None
    from_cart: bool = False


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A customer wants the money back."""

    order_id: str


class ExpireOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order's deadline has come."""

    order_id: str


class SetHotProduct(msgspec.Struct, frozen=True, kw_only=True):
    """Put a gate in front of a product, or take it away."""

    product_id: str
    hot: bool


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str
    total_amount: int


def priced(command: PlaceOrder, price_list: Rows[str, ListedProduct]) -> tuple[Line, ...]:
    """The order's lines at today's prices, one for each product, in the client's order.

    Raises NotFound or Refused when a product can't be ordered, when a price that the client sent is
    not the product's or the total not the sum, and Invalid when it is too much.
    """
    quantities: dict[str, int] = {}
    for wanted in command.items:
        offer = offered(wanted.product_id, price_list)
        if wanted.price is not None and wanted.price != offer.price:
            raise _mismatch(f"items of {wanted.product_id}", wanted.price, offer.price)
        quantities[wanted.product_id] = quantities.get(wanted.product_id, 0) + wanted.quantity
    lines = tuple(
        Line(product_id=product_id, quantity=quantity, price=price_list[product_id].price)
        for product_id, quantity in quantities.items()
    )
    if any(line.quantity > MAX_AMOUNT for line in lines) or total(lines) > MAX_TOTAL:
        raise Invalid(f"items: at most {MAX_AMOUNT} of a product and {MAX_TOTAL} won in one order")
    if command.price is not None and command.price != total(lines):
        raise _mismatch("price", command.price, total(lines))
    return lines


def total(lines: Iterable[Line]) -> int:
    return sum(line.price * line.quantity for line in lines)


def offered(product_id: str, price_list: Rows[str, ListedProduct]) -> ListedProduct:
    """What is sold. Raises NotFound or Refused for what is not."""
    offer = price_list.get(product_id)
    if offer is None:
        raise no_product(product_id)
    if offer.status is ProductStatus.DISCONTINUED:
        raise Refused(
            f"{offer.name} is not sold any more",
            code="PRODUCT_DISCONTINUED",
            details={"productId": product_id},
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


def sold_out(product_id: str, free: int) -> Refused:
    return Refused(
        f"only {free} are left of product {product_id}" if free else "it is sold out",
        code="INSUFFICIENT_STOCK",
        details={"reason": "SOLD_OUT", "productId": product_id, "available": free},
    )


def not_completed(order: Order) -> Refused:
    return Refused(
        f"only a COMPLETED order can be cancelled, this one is {order.status}",
        code="INVALID_STATE",
        details={"status": order.status},
    )


def no_order(order_id: str) -> NotFound:
    return NotFound(f"there is no order {order_id}", code="ORDER_NOT_FOUND")
