"""Waiting for stock: to join the queues, to be served from them, to leave them. Pure.

Every message that makes stock available or empties a place serves the queues itself. So after each
message, no order waits that is first in its queues and whose lines are available.
"""

from collections.abc import Iterable

import msgspec

from events.contract import CouponUsed, FailReason, Line, StockDecremented, StockUnavailable
from product.domain import Hold, HoldState, Product
from product.queues import Place
from product.unit_of_work import ProductUnitOfWork


def has_queue(uow: ProductUnitOfWork, items: Iterable[Line]) -> bool:
    """Does any order wait for one of these products?"""
    return any(uow.products[line.product_id].waiting for line in items)


def join(uow: ProductUnitOfWork, event: CouponUsed) -> int:
    """Append the order to the queue of each product. Returns its place in the longest, from 1."""
    for line in event.items:
        product = uow.products[line.product_id]
        ticket = product.last_ticket + 1
        uow.products[line.product_id] = msgspec.structs.replace(
            product, waiting=product.waiting + 1, last_ticket=ticket
        )
        uow.queues[line.product_id, event.order_id] = Place(
            product_id=line.product_id,
            order_id=event.order_id,
            ticket=ticket,
            quantity=line.quantity,
            waiting=True,
            since=uow.now,
        )
    uow.record(event.order_id, HoldState.WAITING, event.items, wanted=event)
    return max(uow.products[line.product_id].waiting for line in event.items)


def refuse(
    uow: ProductUnitOfWork, hold: Hold, reason: FailReason, product_id: str
) -> StockUnavailable:
    """End the order's wait without stock."""
    leave(uow, hold)
    uow.record(hold.order_id, HoldState.REFUSED)
    return StockUnavailable(order_id=hold.order_id, reason=reason, product_id=product_id)


def leave(uow: ProductUnitOfWork, hold: Hold) -> list[str]:
    """Leave the queues. Returns the products whose next order may be served now."""
    for line in hold.items:
        key = line.product_id, hold.order_id
        uow.queues[key] = msgspec.structs.replace(uow.queues[key], waiting=False)
        product = uow.products[line.product_id]
        uow.products[line.product_id] = msgspec.structs.replace(
            product, waiting=product.waiting - 1
        )
    return product_ids(hold.items)


def serve(uow: ProductUnitOfWork, changed: Iterable[str]) -> list[StockDecremented]:
    """Serve the queues of these products, and the others of each order that is served."""
    emitted = []
    to_serve = list(changed)
    assert uow.queues.are_loaded or not to_serve, "served from queues that were not loaded"
    while to_serve:
        hold = _next_served(uow, to_serve[-1])
        if hold is None:
            to_serve.pop()
            continue
        assert hold.wanted is not None
        leave(uow, hold)
        uow.reserve(hold.order_id, hold.items)
        emitted.append(stock_decremented(hold.wanted))
        to_serve += product_ids(hold.items)
    return emitted


def close_queue(
    uow: ProductUnitOfWork, product: Product
) -> list[StockDecremented | StockUnavailable]:
    """Refuse all orders that wait for a discontinued product, and serve the queues they leave."""
    emitted: list[StockDecremented | StockUnavailable] = []
    left: list[str] = []
    for place in uow.queues.waiting(product.product_id):
        hold = uow.holds[place.order_id]
        reason = FailReason.PRODUCT_DISCONTINUED
        emitted.append(refuse(uow, hold, reason, product.product_id))
        left += product_ids(hold.items)
    return emitted + serve(uow, left)


def product_ids(items: Iterable[Line]) -> list[str]:
    return [line.product_id for line in items]


def stock_decremented(event: CouponUsed) -> StockDecremented:
    """The event for an order whose lines are held, now or after a wait."""
    return StockDecremented(
        order_id=event.order_id,
        customer_id=event.customer_id,
        items=event.items,
        total_amount=event.total_amount,
        discount_amount=event.discount_amount,
        payable_amount=event.payable_amount,
        payment_method=event.payment_method,
    )


def _next_served(uow: ProductUnitOfWork, product_id: str) -> Hold | None:
    """The first order in this product's queue, if it is first in its others and all is there."""
    place = uow.queues.first(product_id)
    if place is None:
        return None
    hold = uow.holds[place.order_id]
    for line in hold.items:
        first = uow.queues.first(line.product_id)
        if first is None or first.order_id != hold.order_id:
            return None
        if uow.products[line.product_id].available < line.quantity:
            return None
    return hold
