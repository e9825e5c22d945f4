"""Following an order live: its events as server-sent events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import msgspec
from litestar import Controller, Response, get
from litestar.background_tasks import BackgroundTask
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream

from chassis.service import Service
from chassis.web.schemas import View, refusals
from order.domain import Orders
from order.live import Listener, Live
from order.routes.orders import OrderId
from order.routes.placing import find
from order.steps import Step
from saga.event import ID_PATTERN

EVENT_STREAM = "text/event-stream"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would else wait until it has a page full
}
_HEARTBEAT = b":\n\n"
_encode = msgspec.json.Encoder().encode


class LiveEvent(View):
    """The fields of a server-sent event. `data` is a step as in the trace, in JSON."""

    id: str
    event: str
    data: str


class LiveController(Controller):
    path = "/orders"
    tags = ("orders",)

    @get(
        "/{orderId:str}/events",
        summary="An order's events, live",
        media_type=EVENT_STREAM,
        responses=refusals(404)
        | {
            200: ResponseSpec(
                LiveEvent,
                description="Server-sent events",
                media_type=EVENT_STREAM,
                generate_examples=False,
            ),
            204: ResponseSpec(
                None, description="The order has ended, and there is nothing more to tell"
            ),
        },
    )
    async def events(
        self,
        order_id: OrderId,
        service: Service[Orders],
        last_event_id: Annotated[
            str | None,
            HeaderParameter(
                name="Last-Event-ID", pattern=ID_PATTERN, description="go on behind this event"
            ),
        ] = None,
    ) -> Response[None] | Stream:
        """Each event once, as it is said: first those of the past, then each new one.

        `id` and `event` are the event's id and name, `data` is a step as in the trace. About every
        15 s a comment keeps the connection open. The response ends with the order: when it is
        COMPLETED and no cancel is under way, FAILED or CANCELLED. It may end sooner, as when the
        service stops: ask again, as EventSource does by itself. With Last-Event-ID it goes on
        behind that event, or from the start if the order has none of this id. 204, which tells
        EventSource to stop, says that nothing more will come. What others undo for an order that
        FAILED may be said after its end: who asks again gets that, too.

        While the broker is away the stream stays open and tells everything later. 503 is the answer
        to more listeners than an instance takes (MOST_LISTENERS): EventSource gives up then.
        """
        order = await find(service, str(order_id))
        listener = Listener(service, order, last_event_id)
        live = service.components.of_type(Live)
        live.enter(listener)
        try:
            found = await listener.look()
        except BaseException:
            live.leave(listener)
            raise
        if listener.over and not found:
            live.leave(listener)
            return Response(None, status_code=204)
        told = _told(live, listener, found)
        close = BackgroundTask(_close, live, listener, told)
        return Stream(told, media_type=EVENT_STREAM, headers=_HEADERS, background=close)


async def _told(live: Live, listener: Listener, found: list[Step]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(listener.follow(found)) as following:
            async for steps in following:
                yield b"".join(map(_event, steps)) or _HEARTBEAT
    finally:
        live.leave(listener)


async def _close(live: Live, listener: Listener, told: AsyncGenerator[bytes]) -> None:
    """The client is gone, perhaps before the first word, or in the middle of one."""
    await told.aclose()
    live.leave(listener)


def _event(step: Step) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        step.id.encode(),
        step.name.encode(),
        _encode(step),
    )


ROUTES = [LiveController]
