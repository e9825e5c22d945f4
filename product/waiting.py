"""Waiting for stock: taking a place in the queue, being served, leaving. Pure.

Whoever changes what is available, or leaves a queue, has the queues served with it: after each
message nobody waits whose turn it is and whose stock is there.
"""

from collections.abc import Iterable

import msgspec

from events.contract import CouponUsed, FailReason, Line, StockDecremented, StockUnavailable
from product.domain import Hold, HoldState, Product, Shelves
from product.queues import Place


def has_queue(shelves: Shelves, items: Iterable[Line]) -> bool:
    """Does anybody wait for one of these products?"""
    return any(shelves.products[line.product_id].waiting for line in items)


def join(shelves: Shelves, event: CouponUsed) -> int:
    """Stand at the end of the queue of each product. Returns the place in the longest, from 1."""
    for line in event.items:
        product = shelves.products[line.product_id]
        ticket = product.last_ticket + 1
        shelves.products[line.product_id] = msgspec.structs.replace(
            product, waiting=product.waiting + 1, last_ticket=ticket
        )
        shelves.queues[line.product_id, event.order_id] = Place(
            product_id=line.product_id,
            order_id=event.order_id,
            ticket=ticket,
            quantity=line.quantity,
            waiting=True,
            since=shelves.now,
        )
    shelves.record(event.order_id, HoldState.WAITING, event.items, wanted=event)
    return max(shelves.products[line.product_id].waiting for line in event.items)


def give_up(shelves: Shelves, hold: Hold, reason: FailReason, product_id: str) -> StockUnavailable:
    """The order waits no longer, and gets nothing."""
    leave(shelves, hold)
    shelves.record(hold.order_id, HoldState.REFUSED)
    return StockUnavailable(order_id=hold.order_id, reason=reason, product_id=product_id)


def leave(shelves: Shelves, hold: Hold) -> list[str]:
    """Leave the queues. Returns the products of which somebody else may be served now."""
    for line in hold.items:
        key = line.product_id, hold.order_id
        shelves.queues[key] = msgspec.structs.replace(shelves.queues[key], waiting=False)
        product = shelves.products[line.product_id]
        shelves.products[line.product_id] = msgspec.structs.replace(
            product, waiting=product.waiting - 1
        )
    return products_of(hold.items)


def serve(shelves: Shelves, product_ids: Iterable[str]) -> list[StockDecremented]:
    """Give these products to those whose turn it is, and look whose turn it is then elsewhere."""
    emitted = []
    looking = list(product_ids)
    assert shelves.queues.are_known or not looking, "served from queues that were not loaded"
    while looking:
        hold = _next_served(shelves, looking[-1])
        if hold is None:
            looking.pop()
            continue
        assert hold.wanted is not None
        leave(shelves, hold)
        shelves.take(hold.order_id, hold.items)
        emitted.append(decremented(hold.wanted))
        looking += products_of(hold.items)
    return emitted


def close(shelves: Shelves, product: Product) -> list[StockDecremented | StockUnavailable]:
    """The product is not sold any more: nobody who wanted it has anything to wait for."""
    emitted: list[StockDecremented | StockUnavailable] = []
    left: list[str] = []
    for place in shelves.queues.waiting(product.product_id):
        hold = shelves.holds[place.order_id]
        reason = FailReason.PRODUCT_DISCONTINUED
        emitted.append(give_up(shelves, hold, reason, product.product_id))
        left += products_of(hold.items)
    return emitted + serve(shelves, left)


def products_of(items: Iterable[Line]) -> list[str]:
    return [line.product_id for line in items]


def decremented(event: CouponUsed) -> StockDecremented:
    """What is said once the order's lines are held."""
    return StockDecremented(
        order_id=event.order_id,
        customer_id=event.customer_id,
        items=event.items,
        total_amount=event.total_amount,
        discount_amount=event.discount_amount,
        payable_amount=event.payable_amount,
        payment_method=event.payment_method,
    )


def _next_served(shelves: Shelves, product_id: str) -> Hold | None:
    """The order that stands first for this product, if it can have all of its lines now."""
    place = shelves.queues.first(product_id)
    if place is None:
        return None
    hold = shelves.holds[place.order_id]
    for line in hold.items:
        first = shelves.queues.first(line.product_id)
        if first is None or first.order_id != hold.order_id:
            return None
        if shelves.products[line.product_id].available < line.quantity:
            return None
    return hold
