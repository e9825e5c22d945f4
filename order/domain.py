"""Orders, and what this service knows of products. Pure: no clock, no I/O, no framework.

An order's row moves like this:

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

The order service decides no end: it handles what coupon, product and payment have decided. At its
deadline an order asks payment to decide; a payment that completes before then completes the order.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import FailReason, Line, PaymentMethod, ProductStatus

MAX_LINES = 100
"""Different products in one order."""


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
"""The states with a deadline, and the state in which payment is asked to decide."""

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


class Stage(StrEnum):
    """The last step of the saga that an order has reached, first to last."""

    CREATED = "CREATED"
    COUPON_USED = "COUPON_USED"
    STOCK_DECREMENTED = "STOCK_DECREMENTED"
    PAID = "PAID"


_FAILED_AT = {
    FailReason.COUPON_NOT_FOUND: Stage.CREATED,
    FailReason.COUPON_NOT_OWNED: Stage.CREATED,
    FailReason.COUPON_ALREADY_USED: Stage.CREATED,
    FailReason.COUPON_NOT_YET_VALID: Stage.CREATED,
    FailReason.COUPON_EXPIRED: Stage.CREATED,
    FailReason.COUPON_REVOKED: Stage.CREATED,
    FailReason.COUPON_MIN_AMOUNT: Stage.CREATED,
    FailReason.INSUFFICIENT_STOCK: Stage.COUPON_USED,
    FailReason.PRODUCT_NOT_FOUND: Stage.COUPON_USED,
    FailReason.PRODUCT_DISCONTINUED: Stage.COUPON_USED,
    FailReason.WAIT_EXPIRED: Stage.COUPON_USED,
    FailReason.INSUFFICIENT_BALANCE: Stage.STOCK_DECREMENTED,
    FailReason.WALLET_NOT_FOUND: Stage.STOCK_DECREMENTED,
    FailReason.PG_DECLINED: Stage.STOCK_DECREMENTED,
}
"""Where an order has ended that failed for this reason. A time-out may come at any stage."""


class CancellationState(StrEnum):
    """How a cancel stands: on its way, done, or refused because the refund was."""

    REQUESTED = "REQUESTED"
    DONE = "DONE"
    REFUSED = "REFUSED"


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state of the last cancel. `attempt` counts the cancels of the order from 1."""

    state: CancellationState
    attempt: int


_CANCELLATION = {
    OrderState.CANCELLING: CancellationState.REQUESTED,
    OrderState.CANCELLED: CancellationState.DONE,
    OrderState.COMPLETED: CancellationState.REFUSED,
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row. Amounts are in KRW; each transition returns a new row.

    `payable_amount` is the total until the order is paid, because the discount is not known before.
    `attempt` counts the requested cancels. `queue_position` is the place, from 1, at which the
    order joined the queue for stock; None unless it had to wait. `from_cart`: its units leave the
    cart when it completes.
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
    attempt: int
    queue_position: int | None = None
    created_at: datetime
    completed_at: datetime | None
    updated_at: datetime
    from_cart: bool = False

    @property
    def known_stage(self) -> Stage | None:
        """How far it is, or was when it ended. None where the other services' events tell it."""
        if self.completed_at is not None:
            return Stage.PAID
        return _FAILED_AT.get(self.fail_reason) if self.fail_reason else None

    @property
    def status(self) -> OrderStatus:
        return _STATUS[self.state]

    @property
    def cancellation(self) -> Cancellation | None:
        """None for an order without a requested cancel."""
        if self.attempt == 0:
            return None
        return Cancellation(state=_CANCELLATION[self.state], attempt=self.attempt)

    def move_to(self, state: OrderState, now: datetime) -> "Order":
        return msgspec.structs.replace(self, state=state, updated_at=now)

    def wait(self, position: int, now: datetime) -> "Order":
        waiting = self.move_to(OrderState.WAITING, now)
        return msgspec.structs.replace(waiting, queue_position=position)

    def complete(self, paid: int, discount: int, now: datetime) -> "Order":
        return msgspec.structs.replace(
            self.move_to(OrderState.COMPLETED, now),
            payable_amount=paid,
            discount_amount=discount,
            completed_at=now,
        )

    def fail(self, reason: FailReason, now: datetime) -> "Order":
        return msgspec.structs.replace(self.move_to(OrderState.FAILED, now), fail_reason=reason)

    def begin_cancel(self, now: datetime, attempt: int) -> "Order":
        cancelling = self.move_to(OrderState.CANCELLING, now)
        return msgspec.structs.replace(cancelling, attempt=attempt)


class ListedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product in the price projection. `price` is for one unit, in KRW.

    `sold_out` is what the last ProductChanged had; only product can refuse an order for it.
    `hot`: orders of it go through hot-product admission (`order/hot_products.py`).
    """

    product_id: str
    version: int
    name: str
    price: int
    status: ProductStatus
    sold_out: bool
    hot: bool
    updated_at: datetime
