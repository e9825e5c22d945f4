"""Load shedding in the order service: under overload, no more orders are admitted than complete."""

from litestar.types import ASGIApp, Receive, Scope, Send
from prometheus_client import Counter

from chassis.components import Component
from chassis.service import Service
from chassis.web.errors import ready_made
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
        if not service.components.of_type(OrderLoadShedding).admits():
            rejected_orders.inc()
            await send(_REJECTION_START)
            await send(_REJECTION_BODY)
            return
        await self._app(scope, receive, send)


_REJECTION = RetryLater("more orders come than can be completed; send this one again in a second")
_REJECTION_START, _REJECTION_BODY = ready_made(_REJECTION)
"""Encoded once, because rejections are most of the work under overload."""
