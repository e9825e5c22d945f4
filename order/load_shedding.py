"""The order service's door: in a crowd, no more orders are let in than are brought to an end."""

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from chassis.components import Component
from chassis.observability import metrics
from chassis.service import Service
from chassis.web.load_shedding import LoadShedder
from chassis.web.schemas import Error
from order.domain import Orders, OrderState
from order.settings import Settings
from saga.errors import RetryLater

_ENDS = frozenset({OrderState.COMPLETED, OrderState.FAILED})


class OrderLoadShedding(Component[Orders]):
    """One per instance: what it sees ending is its share, and so is what it lets in."""

    def __init__(self, settings: Settings) -> None:
        self._admission = LoadShedder(
            overload_latency_seconds=settings.overload_latency_seconds,
            max_per_second=settings.orders_per_second,
        )

    def admits(self) -> bool:
        return self._admission.admits()

    def committed(self, uow: Orders) -> None:
        """A batch is done: look at the orders that it has brought to an end.

        One that waited for stock tells nothing of how busy we are.
        """
        ages = [
            (uow.now - order.created_at).total_seconds()
            for order in uow.orders.updated
            if order.state in _ENDS and order.attempt == 0 and order.queue_position is None
        ]
        if ages:
            self._admission.ended(ages)


class ShedLoad:
    """ASGI middleware of the routes that place orders."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service: Service[Orders] = scope["litestar_app"].state["service"]
        if not service.components.of_type(OrderLoadShedding).admits():
            metrics.rejected.inc()
            await send(_START)
            await send(_BODY)
            return
        await self._app(scope, receive, send)


# Ready-made: in a crowd, most of the work would else be to say no.
_OVERLOADED = RetryLater("more orders come than can be done; send this one again in a second")
_ERROR = msgspec.json.encode(Error(error=_OVERLOADED.code, message=_OVERLOADED.message))
_START: HTTPResponseStartEvent = {
    "type": "http.response.start",
    "status": _OVERLOADED.status_code,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(_ERROR)).encode()),
        (b"retry-after", str(_OVERLOADED.retry_after_seconds).encode()),
    ],
}
_BODY: HTTPResponseBodyEvent = {"type": "http.response.body", "body": _ERROR, "more_body": False}
