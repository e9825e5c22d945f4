"""What the order service does for each event and command."""

import msgspec

from events.contract import (
    CONTRACT,
    KEYS,
    SAGA,
    Address,
    AddressChanged,
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
    ShippingAddressesErased,
    ShippingAddressGiven,
    StockUnavailable,
    StockWaitlisted,
    UserErased,
)
from order.addresses import KnownAddress
from order.adoption import adoptions
from order.cart import Cart
from order.commands import (
    AcceptedOrder,
    AddToCart,
    CancelOrder,
    ChangeCartItem,
    ExpireOrder,
    PlaceOrder,
    SetHotProduct,
    TakeFromCart,
    account_erased,
    empty_cart,
    no_address,
    no_cart_item,
    no_order,
    no_product,
    not_completed,
)
from order.domain import EXPIRES, OPEN, ListedProduct, Order, OrderState
from order.pricing import PricedCart, get_product, price_cart, price_lines, total
from order.unit_of_work import OrderUnitOfWork
from saga.reactions import Reactions, Result

reactions = Reactions("order", CONTRACT, adoptions, follows={SAGA, KEYS})


@reactions.command
def place_order(
    command: PlaceOrder, uow: OrderUnitOfWork
) -> Result[AcceptedOrder, OrderCreated | ShippingAddressGiven]:
    """Accept an order at today's prices and begin its saga."""
    if not command.items:
        raise empty_cart()
    address = _address_of(command, uow)
    lines = price_lines(command, uow.prices)
    amount = total(lines)
    uow.orders[command.order_id] = Order(
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
        attempt=0,
        created_at=uow.now,
        completed_at=None,
        updated_at=uow.now,
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
        accepted_at=uow.now,
    )
    accepted = AcceptedOrder(order_id=command.order_id, total_amount=amount)
    if address is None:
        return Result(accepted, created)
    uow.ship(command.order_id, command.customer_id, address)
    given = ShippingAddressGiven(
        customer_id=command.customer_id, order_id=command.order_id, address=address
    )
    return Result(accepted, created, given)


def _address_of(command: PlaceOrder, uow: OrderUnitOfWork) -> Address | None:
    """Where to ship the order to. Raises Refused."""
    if not command.is_shipped:
        return None
    if uow.is_erased(command.customer_id):
        raise account_erased()
    if command.address_id is None:
        return command.address
    known = uow.addresses.get(command.address_id)
    if known is None or known.customer_id != command.customer_id or known.address is None:
        raise no_address(command.address_id)
    return known.address


@reactions.on
def wait_for_stock(event: StockWaitlisted, uow: OrderUnitOfWork) -> None:
    """Stock is short and the customer wants to wait: the order is in the queue."""
    order = uow.in_state(event.order_id, OrderState.PENDING)
    if order is not None:
        uow.orders[order.order_id] = order.wait(event.position, uow.now)


@reactions.on
def complete(event: PaymentCompleted, uow: OrderUnitOfWork) -> OrderCompleted | None:
    """The order is paid: complete it.

    Units that were ordered from a cart leave it, as far as they are still in it.
    """
    order = uow.in_state(event.order_id, *OPEN)
    if order is None:
        return None
    order = order.complete(event.amount, event.discount_amount, uow.now)
    uow.orders[order.order_id] = order
    cart = uow.carts.get(order.customer_id) if order.from_cart else None
    if cart is not None:
        uow.carts[cart.customer_id] = cart.minus(order.items, uow.now)
    return OrderCompleted(
        order_id=order.order_id,
        customer_id=order.customer_id,
        items=order.items,
        total_amount=order.total_amount,
        discount_amount=order.discount_amount,
        payable_amount=order.payable_amount,
        completed_at=uow.now,
    )


@reactions.compensation
def fail(
    event: CouponRejected | StockUnavailable | PaymentFailed, uow: OrderUnitOfWork
) -> OrderFailed | None:
    """A step failed: the order fails for the same reason."""
    order = uow.in_state(event.order_id, *OPEN)
    if order is None:
        return None
    uow.orders[order.order_id] = order.fail(event.reason, uow.now)
    return OrderFailed(order_id=order.order_id, customer_id=order.customer_id, reason=event.reason)


@reactions.command
def expire(command: ExpireOrder, uow: OrderUnitOfWork) -> Result[None, OrderTimedOut]:
    """The order's deadline has come: ask payment to decide, because only payment can."""
    order = uow.in_state(command.order_id, *EXPIRES)
    if order is None:
        return Result(None)
    uow.orders[order.order_id] = order.move_to(EXPIRES[order.state], uow.now)
    timed_out = OrderTimedOut(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
    )
    return Result(None, timed_out)


@reactions.command
def cancel(command: CancelOrder, uow: OrderUnitOfWork) -> Result[Order, OrderCancelRequested]:
    """Ask payment for a refund; a cancel that is in flight is joined."""
    order = uow.orders.get(command.order_id)
    if order is None:
        raise no_order(command.order_id)
    if order.state is OrderState.CANCELLING:
        return Result(order)
    if order.state is not OrderState.COMPLETED:
        raise not_completed(order)
    order = uow.orders[order.order_id] = order.begin_cancel(uow.now, order.attempt + 1)
    return Result(order, OrderCancelRequested(order_id=order.order_id, attempt=order.attempt))


@reactions.on
def refuse_cancel(event: PaymentRefundFailed, uow: OrderUnitOfWork) -> None:
    """The refund was refused: the order is COMPLETED again; an older attempt's event is ignored."""
    order = uow.in_state(event.order_id, OrderState.CANCELLING)
    if order is not None and order.attempt == event.attempt:
        uow.orders[order.order_id] = order.move_to(OrderState.COMPLETED, uow.now)


@reactions.compensation
def finish_cancel(event: CouponRestored, uow: OrderUnitOfWork) -> OrderCancelled | None:
    """Payment, product and coupon have undone their steps: the order is CANCELLED."""
    order = uow.in_state(event.order_id, OrderState.CANCELLING)
    if order is None:
        return None
    uow.orders[order.order_id] = order.move_to(OrderState.CANCELLED, uow.now)
    return OrderCancelled(
        order_id=order.order_id,
        customer_id=order.customer_id,
        items=order.items,
        completed_at=order.completed_at or uow.now,
    )


@reactions.on
def project_price(event: ProductChanged, uow: OrderUnitOfWork) -> None:
    """Update the price projection; an older version is ignored."""
    known = uow.prices.get(event.product_id)
    if known is not None and known.version >= event.version:
        return
    uow.prices[event.product_id] = ListedProduct(
        product_id=event.product_id,
        version=event.version,
        name=event.name,
        price=event.price,
        status=event.status,
        sold_out=event.sold_out,
        hot=known.hot if known is not None else False,
        updated_at=uow.now,
    )


@reactions.command
def set_hot_product(command: SetHotProduct, uow: OrderUnitOfWork) -> ListedProduct:
    """Store whether a product is hot; its leases are in Redis."""
    product = uow.prices.get(command.product_id)
    if product is None:
        raise no_product(command.product_id)
    product = msgspec.structs.replace(product, hot=command.hot, updated_at=uow.now)
    uow.prices[command.product_id] = product
    return product


# ---------------------------------------------------------------- carts


@reactions.command
def add_to_cart(command: AddToCart, uow: OrderUnitOfWork) -> PricedCart:
    """Add units of a product that can be ordered; units of the same product add up."""
    get_product(command.product_id, uow.prices)
    cart = uow.cart_of(command.customer_id)
    quantity = cart.quantity_of(command.product_id) + command.quantity
    return _store_cart(cart.with_quantity(command.product_id, quantity, uow.now), uow)


@reactions.command
def change_cart_item(command: ChangeCartItem, uow: OrderUnitOfWork) -> PricedCart:
    """Set the quantity of a product that is in the cart."""
    cart = uow.cart_of(command.customer_id)
    if not cart.quantity_of(command.product_id):
        raise no_cart_item(command.product_id)
    return _store_cart(cart.with_quantity(command.product_id, command.quantity, uow.now), uow)


@reactions.command
def take_from_cart(command: TakeFromCart, uow: OrderUnitOfWork) -> None:
    """Remove a product, or all of them; removing a product that is not there has no effect."""
    cart = uow.carts.get(command.customer_id)
    if cart is not None:
        now, product_id = uow.now, command.product_id
        left = cart.without(product_id, now) if product_id else cart.empty(now)
        uow.carts[cart.customer_id] = left


def _store_cart(cart: Cart, uow: OrderUnitOfWork) -> PricedCart:
    uow.carts[cart.customer_id] = cart
    return price_cart(cart.customer_id, cart, uow.prices)


# ---------------------------------------------------------------- addresses


@reactions.on
def copy_address(event: AddressChanged, uow: OrderUnitOfWork) -> None:
    """Update the copy of an address book; an older version is ignored."""
    address = event.address
    uow.copy_address(
        KnownAddress(
            address_id=event.address_id,
            customer_id=event.user_id,
            version=event.version,
            street=address.street if address else None,
            postal_code=address.postal_code if address else None,
            city=address.city if address else None,
        )
    )


@reactions.on
def erase_person(event: UserErased, uow: OrderUnitOfWork) -> ShippingAddressesErased | None:
    """Erase the person's addresses, also those of orders that are under way, and the cart."""
    if uow.is_erased(event.user_id):
        return None
    uow.erase(event.user_id)
    return ShippingAddressesErased(user_id=event.user_id)
