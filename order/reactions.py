"""What the order service does when it hears an event or is asked for something."""

from events.contract import (
    CouponRejected,
    OrderCompleted,
    OrderCreated,
    OrderFailed,
    PaymentCompleted,
    PaymentFailed,
    ProductChanged,
    StockUnavailable,
)
from events.reactions import Answer, Reactions
from order.domain import Accepted, Offer, Order, Orders, OrderState, PlaceOrder, priced, total

reactions = Reactions("order")


@reactions.command
def place_order(command: PlaceOrder, orders: Orders) -> Answer[Accepted, OrderCreated]:
    """Accept an order at today's prices and begin its saga."""
    lines = priced(command, orders.price_list)
    amount = total(lines)
    orders.orders[command.order_id] = Order(
        order_id=command.order_id,
        customer_id=command.customer_id,
        state=OrderState.PENDING,
        fail_reason=None,
        items=lines,
        total_amount=amount,
        discount_amount=0,
        payable_amount=amount,
        coupon_id=command.coupon_id,
        payment_method=command.payment_method,
        address=command.address,
        created_at=orders.now,
        updated_at=orders.now,
    )
    created = OrderCreated(
        order_id=command.order_id,
        customer_id=command.customer_id,
        items=lines,
        total_amount=amount,
        coupon_id=command.coupon_id,
        payment_method=command.payment_method,
        on_shortage=command.on_shortage,
        address=command.address,
    )
    return Answer(Accepted(order_id=command.order_id, total_amount=amount), created)


@reactions.on
def complete(event: PaymentCompleted, orders: Orders) -> OrderCompleted | None:
    """The order is paid: it is done."""
    order = orders.pending(event.order_id)
    if order is None:
        return None
    order = order.completed(event.amount, event.discount_amount, orders.now)
    orders.orders[order.order_id] = order
    return OrderCompleted(
        order_id=order.order_id,
        customer_id=order.customer_id,
        items=order.items,
        total_amount=order.total_amount,
        discount_amount=order.discount_amount,
        payable_amount=order.payable_amount,
        completed_at=orders.now,
    )


@reactions.compensation
def fail(
    event: CouponRejected | StockUnavailable | PaymentFailed, orders: Orders
) -> OrderFailed | None:
    """A step could not be done: the order came to nothing."""
    order = orders.pending(event.order_id)
    if order is None:
        return None
    orders.orders[order.order_id] = order.failed(event.reason, orders.now)
    return OrderFailed(order_id=order.order_id, customer_id=order.customer_id, reason=event.reason)


@reactions.on
def learn_price(event: ProductChanged, orders: Orders) -> None:
    """Keep the price list up to date; an older message changes nothing."""
    known = orders.price_list.get(event.product_id)
    if known is not None and known.version >= event.version:
        return
    orders.price_list[event.product_id] = Offer(
        product_id=event.product_id,
        version=event.version,
        name=event.name,
        price=event.price,
        status=event.status,
        updated_at=orders.now,
    )
