"""What the product service does when it hears an event or is asked for something."""

import msgspec

from events.contract import (
    CONTRACT,
    CouponUsed,
    FailReason,
    OnShortage,
    OrderCancelled,
    OrderCompleted,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefunded,
    ProductChanged,
    ProductStatus,
    StockDecremented,
    StockRestored,
    StockUnavailable,
    StockWaitlisted,
)
from product import waiting
from product.domain import (
    INITIAL,
    BookStock,
    ChangeProduct,
    CreateProduct,
    EndWait,
    Entry,
    HoldState,
    Product,
    SeedProduct,
    Shelves,
)
from product.sales import sold, taken_off
from saga.reactions import OfOthers, Reactions, Result

reactions = Reactions("product", CONTRACT)


@reactions.on
def decrement_stock(
    event: CouponUsed, shelves: Shelves
) -> tuple[
    StockDecremented
    | StockWaitlisted
    | StockUnavailable
    | StockRestored
    | OfOthers[ProductChanged],
    ...,
]:
    """Hold the stock of all lines for the order, or of none; or let it wait, if it wants to.

    An order that waits lets nobody pass: it stands behind those who wait for one of its products
    already, even if there is enough for it. One that does not wait takes what is there.
    An order that was dead before we heard of it is told so: its coupon may have missed it.
    """
    hold = shelves.holds.get(event.order_id)
    if hold is not None:
        return (StockRestored(order_id=event.order_id, items=()),) if hold.is_tombstone else ()
    objection = shelves.not_sold(event.items)
    if objection is None:
        objection = shelves.shortage(event.items)
        if event.on_shortage is OnShortage.WAIT and (
            objection or waiting.has_queue(shelves, event.items)
        ):
            position = waiting.join(shelves, event)
            return (StockWaitlisted(order_id=event.order_id, position=position),)
    if objection is not None:
        reason, product_id = objection
        shelves.record(event.order_id, HoldState.REFUSED)
        refused = StockUnavailable(order_id=event.order_id, reason=reason, product_id=product_id)
        return (refused,)
    shelves.take(event.order_id, event.items)
    return waiting.decremented(event), *_turned(shelves)


@reactions.on
def sell(event: PaymentCompleted, shelves: Shelves) -> None:
    """The order is paid: what it holds is sold."""
    hold = shelves.holds.get(event.order_id)
    if hold is not None and hold.state is HoldState.HELD:
        shelves.sell(hold)


@reactions.compensation
def restore_stock(
    event: PaymentFailed | PaymentRefunded, shelves: Shelves
) -> tuple[StockRestored | OfOthers[StockDecremented | ProductChanged], ...]:
    """The order came to nothing, or was cancelled: put back what it holds or has bought.

    What comes back goes to those who wait for it.
    """
    hold = shelves.holds.get(event.order_id)
    if hold is None:
        shelves.record(event.order_id, HoldState.RELEASED)  # a late CouponUsed finds it dead
        return ()
    if hold.state is HoldState.WAITING:
        left = waiting.leave(shelves, hold)
        shelves.record(event.order_id, HoldState.RELEASED)
        restored = StockRestored(order_id=event.order_id, items=())  # for a coupon that missed it
        return restored, *waiting.serve(shelves, left), *_turned(shelves)
    if hold.state not in (HoldState.HELD, HoldState.SOLD):
        return ()
    shelves.put_back(hold)
    restored = StockRestored(order_id=event.order_id, items=hold.items)
    served = waiting.serve(shelves, waiting.products_of(hold.items))
    return restored, *served, *_turned(shelves)


@reactions.command
def end_wait(
    command: EndWait, shelves: Shelves
) -> Result[None, StockUnavailable | OfOthers[StockDecremented | ProductChanged]]:
    """The order has waited long enough. It never had anything, so product may refuse it alone."""
    hold = shelves.holds.get(command.order_id)
    if hold is None or hold.state is not HoldState.WAITING:
        return Result(None)
    short = shelves.shortage(hold.items)
    product_id = short[1] if short else hold.items[0].product_id
    refused = waiting.give_up(shelves, hold, FailReason.WAIT_EXPIRED, product_id)
    served = waiting.serve(shelves, waiting.products_of(hold.items))
    return Result(None, refused, *served, *_turned(shelves))


@reactions.on
def count_sale(event: OrderCompleted, shelves: Shelves) -> None:
    """Count the order's units as sold in the hour of its completion."""
    for sale in sold(event):
        shelves.sales.add(sale)


@reactions.compensation
def take_sale_off(event: OrderCancelled, shelves: Shelves) -> None:
    """Take the order's units off that hour again, even if they are not counted yet."""
    for sale in taken_off(event):
        shelves.sales.add(sale)


@reactions.command
def create_product(command: CreateProduct, shelves: Shelves) -> Result[Product, ProductChanged]:
    """Put a product on offer, with its first stock."""
    product = Product(
        product_id=command.product_id,
        version=0,
        name=command.name,
        price=command.price,
        description=command.description,
        category=command.category,
        status=ProductStatus.ACTIVE,
        available=0,
        reserved=0,
        created_at=shelves.now,
        updated_at=shelves.now,
    )
    product = shelves.change(product)
    if command.stock:
        shelves.book(shelves.entry(product, INITIAL, command.stock, INITIAL, None))
    product = shelves.products[product.product_id]
    return Result(product, _changed(product))


@reactions.command
def seed_product(command: SeedProduct, shelves: Shelves) -> Result[Product, ProductChanged]:
    """Put a product of a new stack on offer, once."""
    known = shelves.products.get(command.product_id)
    return Result(known) if known else create_product(command, shelves)


@reactions.command
def change_product(
    command: ChangeProduct, shelves: Shelves
) -> Result[Product, ProductChanged | OfOthers[StockUnavailable | StockDecremented]]:
    """Change what a product is called, costs, or whether it is on offer.

    Nobody waits for a product that is not on offer any more.
    """
    product = shelves.product(command.product_id)
    changes = command.changes()
    if all(getattr(product, name) == value for name, value in changes.items()):
        return Result(product)
    changed = shelves.change(msgspec.structs.replace(product, **changes))
    is_gone = command.status is ProductStatus.DISCONTINUED
    ended = waiting.close(shelves, changed) if is_gone else []
    return Result(changed, _changed(changed), *ended, *_turned(shelves))


@reactions.command
def book_stock(
    command: BookStock, shelves: Shelves
) -> Result[Entry, OfOthers[StockDecremented | ProductChanged]]:
    """Bring stock in or take it out; the same key again gives the first answer.

    What comes in goes to those who wait for it.
    """
    product = shelves.product(command.product_id)
    entry = shelves.booked.get((command.product_id, command.request_id))
    if entry is not None:
        command.check_repeat(entry)
        return Result(entry)
    command.check_new(product)
    entry = shelves.entry(
        product, command.request_id, command.delta, command.reason, command.order_id
    )
    entry = msgspec.structs.replace(entry, booked_by=command.booked_by)
    shelves.book(entry)
    served = waiting.serve(shelves, [product.product_id]) if command.delta > 0 else []
    return Result(entry, *served, *_turned(shelves))


def _turned(shelves: Shelves) -> list[ProductChanged]:
    """The products that this message has sold out, or brought back: carts show it."""
    return [
        _changed(shelves.change(after))
        for before, after in shelves.products.open_changes
        if before is not None and (before.available > 0) != (after.available > 0)
    ]


def _changed(product: Product) -> ProductChanged:
    return ProductChanged(
        product_id=product.product_id,
        version=product.version,
        name=product.name,
        price=product.price,
        status=product.status,
        sold_out=product.available == 0,
    )
