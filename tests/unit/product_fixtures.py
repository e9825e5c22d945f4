"""A product service's rows, and the event with which an order asks for stock."""

from datetime import UTC, datetime, timedelta

from events.contract import (
    CouponUsed,
    Line,
    OnShortage,
    ProductStatus,
)
from product.domain import Hold, HoldState, Product
from product.queues import Place, Queues
from product.unit_of_work import ProductUnitOfWork
from saga.unit_of_work import Ledger, Rows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
LINES = (
    Line(product_id="a", quantity=2, price=30),
    Line(product_id="b", quantity=1, price=7),
)


def product(product_id: str, available: int, reserved: int = 0, waiting: int = 0) -> Product:
    return Product(
        product_id=product_id,
        version=1,
        name=product_id,
        price=30,
        description="",
        category="",
        status=ProductStatus.ACTIVE,
        available=available,
        reserved=reserved,
        sold_out=available <= 0,
        waiting=waiting,
        last_ticket=waiting,
        created_at=NOW,
        updated_at=NOW,
    )


def unit_of_work(*rows: Product | Hold) -> ProductUnitOfWork:
    products = {row.product_id: row for row in rows if isinstance(row, Product)}
    holds = {row.order_id: row for row in rows if isinstance(row, Hold)}
    queues = Queues(
        {(p.product_id, p.order_id): p for hold in holds.values() for p in places(hold)}
    )
    return ProductUnitOfWork(LATER, Rows(holds), Rows(products), Rows(), Ledger(), queues)


def waiting_hold(order_id: str, lines: tuple[Line, ...] = LINES) -> Hold:
    """The hold of an order that waits, first in each queue."""
    return Hold(
        order_id=order_id,
        state=HoldState.WAITING,
        items=lines,
        wanted=coupon_used(order_id, lines, OnShortage.WAIT),
        updated_at=NOW,
    )


def places(hold: Hold) -> list[Place]:
    return [
        Place(
            product_id=line.product_id,
            order_id=hold.order_id,
            ticket=1,
            quantity=line.quantity,
            waiting=True,
            since=NOW,
        )
        for line in hold.items
        if hold.state is HoldState.WAITING
    ]


def coupon_used(
    order_id: str = "o",
    lines: tuple[Line, ...] = LINES,
    on_shortage: OnShortage = OnShortage.REJECT,
) -> CouponUsed:
    return CouponUsed(
        order_id=order_id,
        customer_id="c",
        items=lines,
        total_amount=67,
        discount_amount=7,
        payable_amount=60,
        on_shortage=on_shortage,
    )
