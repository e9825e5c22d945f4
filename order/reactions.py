"""What the order service does when it hears an event or is asked for something."""

import msgspec

from events.contract import (
    CONTRACT,
    SAGA,
    CouponRejected,
    CouponRestored,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderCreated,
    OrderFailed,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefundFailed,
    ProductChanged,
    StockUnavailable,
    StockWaitlisted,
)
from order.cart import (
    AddToCart,
    Cart,
    ChangeCartItem,
    PricedCart,
    TakeFromCart,
    cart_of,
    empty_cart,
    no_cart_item,
    priced_cart,
)
from order.domain import (
    EXPIRES,
    OPEN,
    Accepted,
    CancelOrder,
    ExpireOrder,
    ListedProduct,
    Order,
    Orders,
    OrderState,
    PlaceOrder,
    SetHotProduct,
    no_order,
    no_product,
    not_completed,
    offered,
    priced,
    total,
)
from saga.reactions import Reactions, Result

reactions = Reactions("order", CONTRACT, follows={SAGA})


@reactions.command
def place_order(command: PlaceOrder, orders: Orders) -> Result[Accepted, OrderCreated]:
    """Accept an order at today's prices and begin its saga."""
    if not command.items:
        raise empty_cart()
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
        attempt=0,
        created_at=orders.now,
        completed_at=None,
        updated_at=orders.now,
        from_cart=command.from_cart,
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
    return Result(Accepted(order_id=command.order_id, total_amount=amount), created)


@reactions.on
def wait(event: StockWaitlisted, orders: Orders) -> None:
    """There is too little stock, and the order waits for more, as its customer wished."""
    order = orders.in_state(event.order_id, OrderState.PENDING)
    if order is not None:
        orders.orders[order.order_id] = order.waiting(event.position, orders.now)


@reactions.on
def complete(event: PaymentCompleted, orders: Orders) -> OrderCompleted | None:
    """The order is paid: it is done.

    What came from a cart leaves it: the units that were ordered, as far as they are still there.
    """
    order = orders.in_state(event.order_id, *OPEN)
    if order is None:
        return None
    order = order.completed(event.amount, event.discount_amount, orders.now)
    orders.orders[order.order_id] = order
    cart = orders.carts.get(order.customer_id) if order.from_cart else None
    if cart is not None:
        orders.carts[cart.customer_id] = cart.less(order.items, orders.now)
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
    order = orders.in_state(event.order_id, *OPEN)
    if order is None:
        return None
    orders.orders[order.order_id] = order.failed(event.reason, orders.now)
    return OrderFailed(order_id=order.order_id, customer_id=order.customer_id, reason=event.reason)


@reactions.command
def expire(command: ExpireOrder, orders: Orders) -> Result[None, OrderTimedOut]:
    """The order has waited long enough: ask payment to decide, which alone can."""
    order = orders.in_state(command.order_id, *EXPIRES)
    if order is None:
        return Result(None)
    orders.orders[order.order_id] = order.moved(EXPIRES[order.state], orders.now)
    timed_out = OrderTimedOut(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
    )
    return Result(None, timed_out)


@reactions.command
def cancel(command: CancelOrder, orders: Orders) -> Result[Order, OrderCancelRequested]:
    """Ask for the money back. A cancel that is on its way already is joined."""
    order = orders.orders.get(command.order_id)
    if order is None:
        raise no_order(command.order_id)
    if order.state is OrderState.CANCELLING:
        return Result(order)
    if order.state is not OrderState.COMPLETED:
        raise not_completed(order)
    order = orders.orders[order.order_id] = order.cancelling(orders.now)
    return Result(order, OrderCancelRequested(order_id=order.order_id, attempt=order.attempt))


@reactions.on
def keep(event: PaymentRefundFailed, orders: Orders) -> None:
    """The refund was refused: the order stays as it was. An older attempt's refusal is void."""
    order = orders.in_state(event.order_id, OrderState.CANCELLING)
    if order is not None and order.attempt == event.attempt:
        orders.orders[order.order_id] = order.moved(OrderState.COMPLETED, orders.now)


@reactions.compensation
def finish_cancel(event: CouponRestored, orders: Orders) -> OrderCancelled | None:
    """Payment, product and coupon have undone their parts: the order is cancelled."""
    order = orders.in_state(event.order_id, OrderState.CANCELLING)
    if order is None:
        return None
    orders.orders[order.order_id] = order.moved(OrderState.CANCELLED, orders.now)
    return OrderCancelled(
        order_id=order.order_id,
        customer_id=order.customer_id,
        items=order.items,
        completed_at=order.completed_at or orders.now,
    )


@reactions.on
def learn_price(event: ProductChanged, orders: Orders) -> None:
    """Keep the price list up to date; an older message changes nothing."""
    known = orders.price_list.get(event.product_id)
    if known is not None and known.version >= event.version:
        return
    orders.price_list[event.product_id] = ListedProduct(
        product_id=event.product_id,
        version=event.version,
        name=event.name,
        price=event.price,
        status=event.status,
        sold_out=event.sold_out,
        hot=known.hot if known is not None else False,
        updated_at=orders.now,
    )


@reactions.command
def set_hot_product(command: SetHotProduct, orders: Orders) -> ListedProduct:
    """Remember that a product is hot, or is no longer; the gate itself stands in Redis."""
    offer = orders.price_list.get(command.product_id)
    if offer is None:
        raise no_product(command.product_id)
    offer = msgspec.structs.replace(offer, hot=command.hot, updated_at=orders.now)
    orders.price_list[command.product_id] = offer
    return offer


# ---------------------------------------------------------------- carts


@reactions.command
def add_to_cart(command: AddToCart, orders: Orders) -> PricedCart:
    """Put units of a product that is sold into the cart; more of the same adds up."""
    offered(command.product_id, orders.price_list)
    cart = cart_of(command.customer_id, orders)
    quantity = cart.quantity_of(command.product_id) + command.quantity
    return _keep_cart(cart.holding(command.product_id, quantity, orders.now), orders)


@reactions.command
def change_cart_item(command: ChangeCartItem, orders: Orders) -> PricedCart:
    """Have another quantity of a product that is in the cart."""
    cart = cart_of(command.customer_id, orders)
    if not cart.quantity_of(command.product_id):
        raise no_cart_item(command.product_id)
    return _keep_cart(cart.holding(command.product_id, command.quantity, orders.now), orders)


@reactions.command
def take_from_cart(command: TakeFromCart, orders: Orders) -> None:
    """Take a product out, or everything. What is not in it need not be."""
    cart = orders.carts.get(command.customer_id)
    if cart is not None:
        now, product_id = orders.now, command.product_id
        left = cart.without(product_id, now) if product_id else cart.emptied(now)
        orders.carts[cart.customer_id] = left


def _keep_cart(cart: Cart, orders: Orders) -> PricedCart:
    orders.carts[cart.customer_id] = cart
    return priced_cart(cart.customer_id, cart, orders.price_list)
