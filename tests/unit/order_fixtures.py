"""One order in each state, all that it can be told, and a price list, for the tests of orders."""

from datetime import UTC, datetime, timedelta

from events.contract import (
    CouponRejected,
    CouponRestored,
    FailReason,
    Line,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefundFailed,
    ProductStatus,
    StockUnavailable,
    StockWaitlisted,
)
from order.cart import Cart
from order.domain import CancelOrder, ExpireOrder, ListedProduct, Order, Orders, OrderState
from saga.unit_of_work import Rows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
ORDER, CUSTOMER, PAYMENT = "order-1", "customer-1", "payment-1"

PAID = PaymentCompleted(
    order_id=ORDER,
    payment_id=PAYMENT,
    customer_id=CUSTOMER,
    method=PaymentMethod.WALLET,
    amount=70,
    discount_amount=20,
)
FAILURES = (
    PaymentFailed(order_id=ORDER, reason=FailReason.INSUFFICIENT_BALANCE),
    CouponRejected(order_id=ORDER, reason=FailReason.COUPON_EXPIRED),
    StockUnavailable(order_id=ORDER, reason=FailReason.INSUFFICIENT_STOCK, product_id="p"),
)
WAITLISTED = StockWaitlisted(order_id=ORDER, position=7)
UNDONE = CouponRestored(order_id=ORDER, coupon_id="c")
EXPIRE = ExpireOrder(order_id=ORDER)
CANCEL = CancelOrder(order_id=ORDER)

_PENDING = Order(
    order_id=ORDER,
    customer_id=CUSTOMER,
    state=OrderState.PENDING,
    fail_reason=None,
    items=(Line(product_id="p0", quantity=3, price=30),),
    total_amount=90,
    discount_amount=0,
    payable_amount=90,
    coupon_id="c",
    payment_method=PaymentMethod.WALLET,
    address=None,
    attempt=0,
    created_at=NOW,
    completed_at=None,
    updated_at=NOW,
)
_COMPLETED = _PENDING.completed(70, 20, NOW)
IN_STATE = {
    OrderState.PENDING: _PENDING,
    OrderState.EXPIRING: _PENDING.moved(OrderState.EXPIRING, NOW),
    OrderState.WAITING: _PENDING.waiting(7, NOW),
    OrderState.WAIT_EXPIRING: _PENDING.waiting(7, NOW).moved(OrderState.WAIT_EXPIRING, NOW),
    OrderState.COMPLETED: _COMPLETED,
    OrderState.CANCELLING: _COMPLETED.cancelling(NOW),
    OrderState.CANCELLED: _COMPLETED.cancelling(NOW).moved(OrderState.CANCELLED, NOW),
    OrderState.FAILED: _PENDING.failed(FailReason.PG_DECLINED, NOW),
}
"""A cancel that was asked for is the first."""


def kept(attempt: int) -> PaymentRefundFailed:
    """The refund of this attempt was refused."""
    return PaymentRefundFailed(order_id=ORDER, attempt=attempt)


def orders(
    state: OrderState | None = None,
    price_list: Rows[str, ListedProduct] | None = None,
    carts: Rows[str, Cart] | None = None,
) -> Orders:
    """The rows when the order is in this state; None: it is not there."""
    known = {ORDER: IN_STATE[state]} if state else {}
    return Orders(LATER, Rows(known), price_list or Rows(), carts or Rows())


def offer(
    product_id: str, price: int, status: ProductStatus = ProductStatus.ACTIVE
) -> ListedProduct:
    return ListedProduct(
        product_id=product_id,
        version=1,
        name=product_id,
        price=price,
        status=status,
        sold_out=False,
        hot=False,
        updated_at=NOW,
    )


def offers(*prices: int) -> Rows[str, ListedProduct]:
    return Rows({f"p{i}": offer(f"p{i}", price) for i, price in enumerate(prices)})
