"""What the product service does when it handles an event or executes a command."""

import msgspec

from events.contract import (
    CONTRACT,
    KEYS,
    CouponUsed,
    FailReason,
    OnShortage,
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
from product import waitlist
from product.adoption import adoptions
from product.commands import (
    BookStock,
    ChangeProduct,
    CreateCategory,
    CreateProduct,
    EndWait,
    RenameCategory,
    SeedCategory,
    SeedProduct,
    ShowAvailability,
    category_exists,
    no_category,
)
from product.domain import INITIAL, Category, Entry, HoldState, Product
from product.unit_of_work import ProductUnitOfWork
from saga.reactions import OfOthers, Reactions, Result

reactions = Reactions("product", CONTRACT, adoptions, follows={KEYS})


@reactions.on
def decrement_stock(
    event: CouponUsed, uow: ProductUnitOfWork
) -> tuple[
    StockDecremented
    | StockWaitlisted
    | StockUnavailable
    | StockRestored
    | OfOthers[ProductChanged],
    ...,
]:
    """Hold the stock of all lines for the order, or of none; or put a willing order in the queue.

    An order that may wait joins the queue behind the orders that wait for one of its products, even
    if there is enough for it. An order that may not wait takes what is available. An order that had
    failed before this event arrives gets StockRestored, since its coupon may have missed the
    failure.
    """
    hold = uow.holds.get(event.order_id)
    if hold is not None:
        return (StockRestored(order_id=event.order_id, items=()),) if hold.is_tombstone else ()
    objection = uow.find_unsellable(event.items)
    if objection is None:
        objection = uow.find_shortage(event.items)
        if event.on_shortage is OnShortage.WAIT and (
            objection or waitlist.has_queue(uow, event.items)
        ):
            position = waitlist.join(uow, event)
            return (StockWaitlisted(order_id=event.order_id, position=position),)
    if objection is not None:
        reason, product_id = objection
        uow.record(event.order_id, HoldState.REFUSED)
        refused = StockUnavailable(order_id=event.order_id, reason=reason, product_id=product_id)
        return (refused,)
    uow.reserve(event.order_id, event.items)
    return waitlist.stock_decremented(event), *_availability_changes(uow)


@reactions.on
def sell(event: PaymentCompleted, uow: ProductUnitOfWork) -> None:
    """The order is paid: its lines are sold, and counted in this hour's sales."""
    hold = uow.holds.get(event.order_id)
    if hold is not None and hold.state is HoldState.HELD:
        uow.sell(hold)


@reactions.compensation
def restore_stock(
    event: PaymentFailed | PaymentRefunded, uow: ProductUnitOfWork
) -> tuple[StockRestored | OfOthers[StockDecremented | ProductChanged], ...]:
    """The order failed or was cancelled: make available again what it holds or has bought.

    A sale is taken off the hour in which it was counted. The stock that comes back serves the
    orders that wait for it.
    """
    hold = uow.holds.get(event.order_id)
    if hold is None:
        uow.record(event.order_id, HoldState.RELEASED)  # a tombstone, for a late CouponUsed
        return ()
    if hold.state is HoldState.WAITING:
        left = waitlist.leave(uow, hold)
        uow.record(event.order_id, HoldState.RELEASED)
        # Coupon may have missed the failure.
        restored = StockRestored(order_id=event.order_id, items=())
        return restored, *waitlist.serve(uow, left), *_availability_changes(uow)
    if hold.state is HoldState.REFUSED:
        return ()
    emitted: list[StockRestored] = []
    if hold.state in (HoldState.HELD, HoldState.SOLD):
        uow.restore(hold)
        emitted.append(StockRestored(order_id=event.order_id, items=hold.items))
    # After a hold that was adopted as RELEASED too: whom it served then may not be adopted.
    served = waitlist.serve(uow, waitlist.product_ids(hold.items))
    return *emitted, *served, *_availability_changes(uow)


@reactions.command
def end_wait(
    command: EndWait, uow: ProductUnitOfWork
) -> Result[None, StockUnavailable | OfOthers[StockDecremented | ProductChanged]]:
    """Refuse an order whose wait is over. It has held nothing, so product may decide this alone."""
    hold = uow.holds.get(command.order_id)
    if hold is None or hold.state is not HoldState.WAITING:
        return Result(None)
    shortage = uow.find_shortage(hold.items)
    product_id = shortage[1] if shortage else hold.items[0].product_id
    refused = waitlist.refuse(uow, hold, FailReason.WAIT_EXPIRED, product_id)
    served = waitlist.serve(uow, waitlist.product_ids(hold.items))
    return Result(None, refused, *served, *_availability_changes(uow))


@reactions.command
def create_product(
    command: CreateProduct, uow: ProductUnitOfWork
) -> Result[Product, ProductChanged]:
    """Add a product to the catalogue, with its first stock."""
    uow.check_category(command.category)
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
        sold_out=not command.stock,
        created_at=uow.now,
        updated_at=uow.now,
    )
    product = uow.change(product)
    if command.stock:
        uow.book(uow.entry(product, INITIAL, command.stock, INITIAL, None))
    product = uow.products[product.product_id]
    return Result(product, _product_changed(product))


@reactions.command
def seed_product(command: SeedProduct, uow: ProductUnitOfWork) -> Result[Product, ProductChanged]:
    """Add a product of a new stack to the catalogue, once."""
    known = uow.products.get(command.product_id)
    return Result(known) if known else create_product(command, uow)


@reactions.command
def change_product(
    command: ChangeProduct, uow: ProductUnitOfWork
) -> Result[Product, ProductChanged | OfOthers[StockUnavailable | StockDecremented]]:
    """Change a product's name, price, texts or status.

    A product that is discontinued refuses the orders that wait for it.
    """
    product = uow.get_product(command.product_id)
    changes = command.changes()
    if all(getattr(product, name) == value for name, value in changes.items()):
        return Result(product)
    if command.category != product.category:
        uow.check_category(command.category or "")
    changed = uow.change(msgspec.structs.replace(product, **changes))
    is_gone = command.status is ProductStatus.DISCONTINUED
    ended = waitlist.close_queue(uow, changed) if is_gone else []
    return Result(changed, _product_changed(changed), *ended, *_availability_changes(uow))


@reactions.command
def show_availability(
    command: ShowAvailability, uow: ProductUnitOfWork
) -> Result[None, ProductChanged]:
    """Publish whether a product is sold out, where it was published otherwise."""
    product = uow.get_product(command.product_id)
    uow.products[product.product_id] = product
    return Result(None, *_availability_changes(uow))


@reactions.command
def create_category(command: CreateCategory, uow: ProductUnitOfWork) -> Category:
    """Add a category, which products can name then."""
    if uow.find_category(command.name) is not None:
        raise category_exists(command.name)
    category = Category(category_id=command.category_id, name=command.name, created_at=uow.now)
    uow.categories[category.category_id] = category
    return category


@reactions.command
def seed_category(command: SeedCategory, uow: ProductUnitOfWork) -> Category:
    """Add a category of a new stack, once."""
    known = uow.categories.get(command.category_id) or uow.find_category(command.name)
    return known or create_category(command, uow)


@reactions.command
def rename_category(command: RenameCategory, uow: ProductUnitOfWork) -> Category:
    """Rename a category, and with it what its products have as theirs."""
    category = uow.categories.get(command.category_id)
    if category is None:
        raise no_category(command.category_id)
    known = uow.find_category(command.name)
    if known is not None and known.category_id != category.category_id:
        raise category_exists(command.name)
    renamed = msgspec.structs.replace(category, name=command.name)
    uow.categories[category.category_id] = renamed
    for product in uow.products.current:
        if product.category == category.name:
            uow.products[product.product_id] = msgspec.structs.replace(
                product, category=renamed.name, updated_at=uow.now
            )
    return renamed


@reactions.command
def book_stock(
    command: BookStock, uow: ProductUnitOfWork
) -> Result[Entry, OfOthers[StockDecremented | ProductChanged]]:
    """Bring stock in or take it out; the same key again returns the first entry.

    Stock that comes in serves the orders that wait for it.
    """
    product = uow.get_product(command.product_id)
    entry = uow.booked.get((command.product_id, command.request_id))
    if entry is not None:
        command.check_replay(entry)
        return Result(entry)
    command.check_new(product)
    entry = uow.entry(product, command.request_id, command.delta, command.reason, command.order_id)
    entry = msgspec.structs.replace(entry, booked_by=command.booked_by)
    uow.book(entry)
    served = waitlist.serve(uow, [product.product_id]) if command.delta > 0 else []
    return Result(entry, *served, *_availability_changes(uow))


def _availability_changes(uow: ProductUnitOfWork) -> list[ProductChanged]:
    """Events for the products that this message sold out or brought back, which carts show."""
    return [
        _product_changed(
            uow.change(msgspec.structs.replace(product, sold_out=product.available <= 0))
        )
        for _, product in uow.products.open_changes
        if product.is_shown_wrongly
    ]


def _product_changed(product: Product) -> ProductChanged:
    return ProductChanged(
        product_id=product.product_id,
        version=product.version,
        name=product.name,
        price=product.price,
        status=product.status,
        sold_out=product.sold_out,
    )
