"""Following an order live: its events as server-sent events."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Annotated

import msgspec
from litestar import Controller, Response, get
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream

from chassis.web.access import SIGNED_IN, CurrentCaller
from chassis.web.schemas import refusals
from order.errors import ORDER_NOT_FOUND
from order.live import Listener, Listeners
from order.routes import OrderService
from order.routes.orders import OrderId
from order.routes.placing import find_own
from order.steps import Step
from saga.event import ID_PATTERN

EVENT_STREAM = "text/event-stream"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # else nginx delays events until its buffer is full
}
_HEARTBEAT = b":\n\n"
_encode_json = msgspec.json.Encoder().encode


class LiveController(Controller):
    path = "/orders"
    tags = ("orders",)

    @get(
        "/{orderId:str}/events",
        summary="An order's events, live",
        guards=[SIGNED_IN],
        media_type=EVENT_STREAM,
        response_headers=[
            ResponseHeader(name=name, description=f"`{value}`", documentation_only=True)
            for name, value in _HEADERS.items()
        ],
        responses=refusals(ORDER_NOT_FOUND)
        | {
            200: ResponseSpec(
                str,
                description="Server-sent events with `id`, `event` and `data`",
                media_type=EVENT_STREAM,
                generate_examples=False,
            ),
            204: ResponseSpec(None, description="The order has ended, and no event follows"),
        },
    )
    async def follow_order(
        self,
        order_id: OrderId,
        service: OrderService,
        caller: CurrentCaller,
        last_event_id: Annotated[
            str | None,
            HeaderParameter(
                name="Last-Event-ID", pattern=ID_PATTERN, description="begin behind this event"
            ),
        ] = None,
    ) -> Response[None] | Stream:
        """Each event once: first those of the past, then each new one as it is published.

        `id` and `event` are the event's id and name, `data` is a step as in the trace. About every
        15 s a comment keeps the connection open. The response ends with the order: when it is
        COMPLETED and no cancel is in flight, FAILED or CANCELLED. It may end sooner, as when the
        service stops: connect again, as EventSource does by itself. With Last-Event-ID it begins
        behind that event, or from the start if the order has none of this id. 204 means that no
        event follows; EventSource stops then. Compensations of a FAILED order may be published
        after its end: a client that connects again gets those, too.

        While the broker is away the stream stays open, and sends everything later. 503 when an
        instance has MOST_LISTENERS listeners already: EventSource gives up then.
        """
        order = await find_own(service, caller, str(order_id))
        listener = Listener(service, order, last_event_id)
        listeners = service.components.of_type(Listeners)
        listeners.add(listener)
        with ExitStack() as cleanup:
            cleanup.callback(listeners.remove, listener)
            steps = await listener.read_new()
            if listener.is_over and not steps:
                return Response(None, status_code=204)
            remove = cleanup.pop_all()
        body = _encode_steps(listener, steps, remove)
        close = BackgroundTask(_close, body, remove)
        return Stream(body, media_type=EVENT_STREAM, headers=_HEADERS, background=close)


async def _encode_steps(
    listener: Listener, steps: list[Step], remove: ExitStack
) -> AsyncGenerator[bytes]:
    with remove:
        async with aclosing(listener.follow(steps)) as following:
            async for new in following:
                yield b"".join(map(_encode_step, new)) or _HEARTBEAT


async def _close(body: AsyncGenerator[bytes], remove: ExitStack) -> None:
    """The client has disconnected, perhaps before the body began or in the middle of an event."""
    await body.aclose()
    remove.close()


def _encode_step(step: Step) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        step.id.encode(),
        step.name.encode(),
        _encode_json(step),
    )


ROUTES = [LiveController]
