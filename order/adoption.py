"""How the order service adopts what it had published before its database was restored."""

from events.contract import (
    CONTRACT,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderCreated,
    OrderFailed,
    OrderTimedOut,
    SagaEvent,
    ShippingAddressesErased,
    ShippingAddressGiven,
)
from order.domain import EXPIRES, OPEN, Order, OrderState
from order.unit_of_work import OrderUnitOfWork
from saga.adoption import Adoptions, CannotAdopt

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_created(event: OrderCreated, uow: OrderUnitOfWork) -> str | None:
    """The order was accepted. Whether it came from a cart is in no event."""
    if event.order_id not in uow.orders:
        uow.orders[event.order_id] = Order(
            order_id=event.order_id,
            customer_id=event.customer_id,
            state=OrderState.PENDING,
            fail_reason=None,
            items=event.items,
            total_amount=event.total_amount,
            discount_amount=0,
            payable_amount=event.total_amount,
            coupon_id=event.coupon_id,
            payment_method=event.payment_method,
            attempt=0,
            created_at=event.accepted_at or uow.now,
            completed_at=None,
            updated_at=uow.now,
        )
    if event.address is not None:
        uow.ship(event.order_id, event.customer_id, event.address)
    return None


@adoptions.rule
def adopt_shipping_address(event: ShippingAddressGiven, uow: OrderUnitOfWork) -> str | None:
    """The order has an address. The order itself may be adopted later: it is in another stream."""
    if uow.is_erased(event.customer_id):
        uow.erase(event.customer_id)  # the stream is not purged yet, and the event must not return
    else:
        uow.ship(event.order_id, event.customer_id, event.address)
    return None


@adoptions.rule
def adopt_erased(event: ShippingAddressesErased, uow: OrderUnitOfWork) -> str | None:
    """The customer was erased after the backup, which still has the addresses."""
    uow.erase(event.user_id)
    return None


@adoptions.rule
def adopt_timed_out(event: OrderTimedOut, uow: OrderUnitOfWork) -> str | None:
    """Payment was asked to decide."""
    order = _order_of(event, uow)
    if order.state in EXPIRES:
        uow.orders[order.order_id] = order.move_to(EXPIRES[order.state], uow.now)
    return None


@adoptions.rule
def adopt_completed(event: OrderCompleted, uow: OrderUnitOfWork) -> str | None:
    """The order was paid. Its cancel may be known already."""
    order = _order_of(event, uow)
    if order.completed_at is None:
        completed = order.complete(event.payable_amount, event.discount_amount, event.completed_at)
        state = completed.state if order.state in OPEN else order.state
        uow.orders[order.order_id] = completed.move_to(state, uow.now)
    return None


@adoptions.rule
def adopt_failed(event: OrderFailed, uow: OrderUnitOfWork) -> str | None:
    """A step failed."""
    order = _order_of(event, uow)
    if order.state in OPEN:
        uow.orders[order.order_id] = order.fail(event.reason, uow.now)
    return None


@adoptions.rule
def adopt_cancel_requested(event: OrderCancelRequested, uow: OrderUnitOfWork) -> str | None:
    """The customer cancelled. An earlier attempt may not be known as refused yet."""
    order = _order_of(event, uow)
    if order.attempt < event.attempt:
        cancelling = order.begin_cancel(uow.now, event.attempt)
        is_over = order.state is OrderState.CANCELLED
        state = order.state if is_over else cancelling.state
        uow.orders[order.order_id] = cancelling.move_to(state, uow.now)
    return None


@adoptions.rule
def adopt_cancelled(event: OrderCancelled, uow: OrderUnitOfWork) -> str | None:
    """Everything was undone."""
    order = _order_of(event, uow)
    uow.orders[order.order_id] = order.move_to(OrderState.CANCELLED, uow.now)
    return None


def _order_of(event: SagaEvent, uow: OrderUnitOfWork) -> Order:
    order = uow.orders.get(event.order_id)
    if order is None:
        raise CannotAdopt("neither the database nor the stream has the order's beginning")
    return order
