"""How the product service adopts what it had published before its database was restored.

Waiting orders are not served on the way: whom the service had served is in its own events.
"""

import msgspec

from events.contract import (
    CONTRACT,
    CouponUsed,
    Line,
    ProductChanged,
    StockDecremented,
    StockRestored,
    StockUnavailable,
    StockWaitlisted,
)
from product import waitlist
from product.domain import HoldState, PriceSince, Product
from product.unit_of_work import ProductUnitOfWork
from saga.adoption import Adoptions, CannotAdopt
from saga.event import Event

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_decremented(event: StockDecremented, uow: ProductUnitOfWork) -> str | None:
    """The order holds its lines. A product that is short goes below zero."""
    hold = uow.holds.get(event.order_id)
    if hold is not None and hold.state is not HoldState.WAITING:
        return None
    _check_known(event.items, uow)
    if hold is not None:
        waitlist.leave(uow, hold)
    uow.reserve(event.order_id, event.items)
    short = [
        f"product {line.product_id} is short by {missing} units or more"
        for line in event.items
        if 0 < (missing := -uow.products[line.product_id].available) <= line.quantity
    ]
    return "; ".join(short) or None


@adoptions.rule
def adopt_waitlisted(
    event: StockWaitlisted, uow: ProductUnitOfWork, cause: Event | None
) -> str | None:
    """The order waits in the queue. What it wants is in the event's cause."""
    if event.order_id in uow.holds:
        return None
    if not isinstance(cause, CouponUsed):
        raise CannotAdopt("the event that caused it, with the order's lines, is not in the stream")
    _check_known(cause.items, uow)
    waitlist.join(uow, cause)
    return None


@adoptions.rule
def adopt_unavailable(event: StockUnavailable, uow: ProductUnitOfWork) -> str | None:
    """The order was refused, at once or after a wait."""
    hold = uow.holds.get(event.order_id)
    if hold is None or hold.state is HoldState.WAITING:
        if hold is not None:
            waitlist.leave(uow, hold)
        uow.record(event.order_id, HoldState.REFUSED)
    return None


@adoptions.rule
def adopt_restored(event: StockRestored, uow: ProductUnitOfWork) -> str | None:
    """What the order held or had bought is available again."""
    hold = uow.holds.get(event.order_id)
    if hold is not None and hold.state in (HoldState.HELD, HoldState.SOLD):
        uow.restore(hold)
    elif hold is None or hold.state is HoldState.WAITING:
        if hold is not None:
            waitlist.leave(uow, hold)
        uow.record(event.order_id, HoldState.RELEASED)
    return None


@adoptions.rule
def adopt_changed(event: ProductChanged, uow: ProductUnitOfWork) -> str | None:
    """The product as others know it. Its texts and its stock are in no event."""
    known = uow.products.get(event.product_id)
    if known is not None and known.version >= event.version:
        return None
    product = known or Product(
        product_id=event.product_id,
        version=event.version,
        name=event.name,
        price=event.price,
        description="",
        category="",
        status=event.status,
        available=0,
        reserved=0,
        sold_out=event.sold_out,
        created_at=uow.now,
        updated_at=uow.now,
    )
    if known is None or known.price != event.price:
        price = PriceSince(product_id=event.product_id, price=event.price, since=uow.now)
        uow.prices.add(price)
    uow.products[event.product_id] = msgspec.structs.replace(
        product,
        version=event.version,
        name=event.name,
        price=event.price,
        status=event.status,
        sold_out=event.sold_out,
        updated_at=uow.now,
    )
    if known is None:
        return f"product {event.product_id} is not in the backup: its texts and stock are missing"
    return None


def _check_known(items: tuple[Line, ...], uow: ProductUnitOfWork) -> None:
    """Raises CannotAdopt when neither the backup nor the catalogue has a product."""
    for line in items:
        if line.product_id not in uow.products:
            raise CannotAdopt(f"product {line.product_id} is neither in the backup nor in a stream")
