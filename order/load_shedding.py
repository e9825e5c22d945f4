"""Load shedding in the order service: no more orders are admitted than can be completed.

Under overload, those are as many as complete. When the broker has no room left for more events,
none: an accepted order would wait until older events have expired.
"""

from litestar.types import ASGIApp, Receive, Scope, Send
from prometheus_client import Counter

from chassis.components import Component
from chassis.service import Service
from chassis.web.errors import ReadyMade
from chassis.web.load_shedding import LoadShedder
from order.domain import OrderState
from order.settings import Settings
from order.unit_of_work import OrderUnitOfWork
from saga.errors import RetryLater

_ENDS = frozenset({OrderState.COMPLETED, OrderState.FAILED})

rejected_orders = Counter("shop_orders_rejected_total", "Orders that load shedding rejected.")


class OrderLoadShedding(Component[OrderUnitOfWork]):
    """One per instance, which measures and limits the orders of that instance alone."""

    def __init__(self, settings: Settings) -> None:
        self._shedder = LoadShedder(
            overload_latency_seconds=settings.overload_latency_seconds,
            max_per_second=settings.orders_per_second,
        )

    def admits(self) -> bool:
        return self._shedder.admit()

    def committed(self, uow: OrderUnitOfWork) -> None:
        """Measure the completion latency of the orders that a batch has ended.

        Orders that waited for stock are left out: their latency is no sign of load.
        """
        latencies_seconds = [
            (uow.now - order.created_at).total_seconds()
            for order in uow.orders.updated
            if order.state in _ENDS and order.attempt == 0 and order.queue_position is None
        ]
        if latencies_seconds:
            self._shedder.record(latencies_seconds)


class ShedLoad:
    """ASGI middleware of the routes that place orders."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service: Service[OrderUnitOfWork] = scope["litestar_app"].state["service"]
        if not service.outbox.has_room:
            rejection = _NO_ROOM
        elif not service.components.of_type(OrderLoadShedding).admits():
            rejection = _OVERLOAD
        else:
            await self._app(scope, receive, send)
            return
        rejected_orders.inc()
        for message in rejection.messages(scope):
            await send(message)


# Encoded once, because rejections are most of the work under overload.
_OVERLOAD = ReadyMade(
    RetryLater("more orders come than can be completed; send this one again in a second")
)
_NO_ROOM = ReadyMade(
    RetryLater("the event stream is full; an operator has to make room; send this one again later")
)
