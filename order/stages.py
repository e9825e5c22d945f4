"""The stage of an order: its row tells it once the order has ended, its events until then.

They are asked for when a client asks. The order service does not handle them: that would cost each
order a fifth more of its work (decision 35).
"""

from chassis.service import Service
from events.contract import SAGA, CouponUsed, StockDecremented
from order.domain import Order, Stage
from order.unit_of_work import OrderUnitOfWork
from saga.envelope import subject_of
from saga.errors import Outage
from saga.event import Event

_REACHED_BY: dict[type[Event], Stage] = {
    StockDecremented: Stage.STOCK_DECREMENTED,
    CouponUsed: Stage.COUPON_USED,
}
"""The furthest first."""


async def stage_of(service: Service[OrderUnitOfWork], order: Order) -> Stage | None:
    """None while the broker can't be asked, or when it keeps the order's events no longer."""
    if order.known_stage is not None:
        return order.known_stage
    age = service.clock() - order.created_at
    if age.total_seconds() > SAGA.max_age_seconds:
        return None
    try:
        for event, stage in _REACHED_BY.items():
            if await service.broker.last(subject_of(event, order.order_id)) is not None:
                return stage
    except Outage:
        return None
    return Stage.CREATED
