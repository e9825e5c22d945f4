"""One order in each state, every message to it, and a price projection: for the tests of orders."""

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
from order.commands import CancelOrder, ExpireOrder
from order.domain import ListedProduct, Order, OrderState
from order.unit_of_work import OrderUnitOfWork
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
    attempt=0,
    created_at=NOW,
    completed_at=None,
    updated_at=NOW,
)
_COMPLETED = _PENDING.complete(70, 20, NOW)
IN_STATE = {
    OrderState.PENDING: _PENDING,
    OrderState.EXPIRING: _PENDING.move_to(OrderState.EXPIRING, NOW),
    OrderState.WAITING: _PENDING.wait(7, NOW),
    OrderState.WAIT_EXPIRING: _PENDING.wait(7, NOW).move_to(OrderState.WAIT_EXPIRING, NOW),
    OrderState.COMPLETED: _COMPLETED,
    OrderState.CANCELLING: _COMPLETED.begin_cancel(NOW, 1),
    OrderState.CANCELLED: _COMPLETED.begin_cancel(NOW, 1).move_to(OrderState.CANCELLED, NOW),
    OrderState.FAILED: _PENDING.fail(FailReason.PG_DECLINED, NOW),
}
"""A requested cancel is the first one."""


def refund_failed(attempt: int) -> PaymentRefundFailed:
    """The refund of this cancel was refused."""
    return PaymentRefundFailed(order_id=ORDER, attempt=attempt)


def unit_of_work(
    state: OrderState | None = None,
    prices: Rows[str, ListedProduct] | None = None,
    carts: Rows[str, Cart] | None = None,
) -> OrderUnitOfWork:
    """With the order in this state; None: without it."""
    orders = {ORDER: IN_STATE[state]} if state else {}
    return OrderUnitOfWork(LATER, Rows(orders), prices or Rows(), carts or Rows())


def listed_product(
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


def listed_products(*prices: int) -> Rows[str, ListedProduct]:
    return Rows({f"p{i}": listed_product(f"p{i}", price) for i, price in enumerate(prices)})
