"""What the product service does when it hears an event or is asked for something."""

import msgspec

from events.contract import (
    CouponUsed,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefunded,
    ProductChanged,
    ProductStatus,
    StockDecremented,
    StockRestored,
    StockUnavailable,
)
from events.reactions import Answer, Reactions
from product.domain import (
    INITIAL,
    BookStock,
    ChangeProduct,
    CreateProduct,
    Entry,
    HoldState,
    Product,
    SeedProduct,
    Shelves,
)

reactions = Reactions("product")


@reactions.on
def decrement_stock(
    event: CouponUsed, shelves: Shelves
) -> StockDecremented | StockUnavailable | StockRestored | None:
    """Hold the stock of all lines for the order, or of none.

    An order that was dead before we heard of it is told so: its coupon may have missed it.
    """
    hold = shelves.holds.get(event.order_id)
    if hold is not None:
        return StockRestored(order_id=event.order_id, items=()) if hold.is_tombstone else None
    objection = shelves.objection(event.items)
    if objection is not None:
        reason, product_id = objection
        shelves.record(event.order_id, HoldState.REFUSED)
        return StockUnavailable(order_id=event.order_id, reason=reason, product_id=product_id)
    shelves.take(event.order_id, event.items)
    return StockDecremented(
        order_id=event.order_id,
        customer_id=event.customer_id,
        items=event.items,
        total_amount=event.total_amount,
        discount_amount=event.discount_amount,
        payable_amount=event.payable_amount,
        payment_method=event.payment_method,
    )


@reactions.on
def sell(event: PaymentCompleted, shelves: Shelves) -> None:
    """The order is paid: what it holds is sold."""
    hold = shelves.holds.get(event.order_id)
    if hold is not None and hold.state is HoldState.HELD:
        shelves.sell(hold)


@reactions.compensation
def restore_stock(event: PaymentFailed | PaymentRefunded, shelves: Shelves) -> StockRestored | None:
    """The order came to nothing, or was cancelled: put back what it holds or has bought."""
    hold = shelves.holds.get(event.order_id)
    if hold is None:
        shelves.record(event.order_id, HoldState.RELEASED)  # a late CouponUsed finds it dead
        return None
    if hold.state not in (HoldState.HELD, HoldState.SOLD):
        return None
    shelves.put_back(hold)
    return StockRestored(order_id=event.order_id, items=hold.items)


@reactions.command
def create_product(command: CreateProduct, shelves: Shelves) -> Answer[Product, ProductChanged]:
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
    return Answer(shelves.products[product.product_id], _changed(product))


@reactions.command
def seed_product(command: SeedProduct, shelves: Shelves) -> Answer[Product, ProductChanged]:
    """Put a product of a new stack on offer, once."""
    known = shelves.products.get(command.product_id)
    return Answer(known) if known else create_product(command, shelves)


@reactions.command
def change_product(command: ChangeProduct, shelves: Shelves) -> Answer[Product, ProductChanged]:
    """Change what a product is called, costs, or whether it is on offer."""
    product = shelves.product(command.product_id)
    changes = command.changes()
    if all(getattr(product, name) == value for name, value in changes.items()):
        return Answer(product)
    changed = shelves.change(msgspec.structs.replace(product, **changes))
    return Answer(changed, _changed(changed))


@reactions.command
def book_stock(command: BookStock, shelves: Shelves) -> Entry:
    """Bring stock in or take it out; the same key again gives the first answer."""
    product = shelves.product(command.product_id)
    entry = shelves.booked.get((command.product_id, command.request_id))
    if entry is not None:
        command.check_repeat(entry)
        return entry
    command.check_new(product)
    entry = shelves.entry(
        product, command.request_id, command.delta, command.reason, command.order_id
    )
    shelves.book(entry)
    return entry


def _changed(product: Product) -> ProductChanged:
    return ProductChanged(
        product_id=product.product_id,
        version=product.version,
        name=product.name,
        price=product.price,
        status=product.status,
    )
