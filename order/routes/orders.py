"""Orders over HTTP: placing one begins its saga."""

from collections import Counter
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from chassis.service import Service
from chassis.web.access import SIGNED_IN, CurrentCaller
from chassis.web.actions import records_for_others
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.error_codes import USER_NOT_FOUND
from chassis.web.fast_path import FAST_PATH
from chassis.web.idempotency import key_of
from chassis.web.response_headers import LOCATION
from chassis.web.schemas import (
    Body,
    OptionalKey,
    TraceContext,
    View,
    answered,
    refusals,
)
from events.contract import OrderCancelled, PaymentRefundFailed, RequestAmount
from order import store
from order.commands import CancelOrder, WantedLine
from order.domain import MAX_LINES, STATES, Order, OrderState, OrderStatus
from order.errors import (
    ACCOUNT_ERASED,
    ADDRESS_NOT_FOUND,
    INSUFFICIENT_STOCK,
    INVALID_STATE,
    ORDER_NOT_FOUND,
    PRICE_MISMATCH,
    PRODUCT_DISCONTINUED,
    PRODUCT_NOT_FOUND,
)
from order.load_shedding import ShedLoad
from order.routes import OrderService
from order.routes.placing import (
    AcceptedView,
    OrderOptions,
    OrderView,
    Prefer,
    accept,
    command_of,
    find_order,
    find_own,
    order_view,
    order_views,
    wait_until,
)
from order.steps import Step, TracedStep, step_of
from order.unit_of_work import OrderUnitOfWork
from saga import envelope
from saga.errors import DependencyFailed

OrderId = Annotated[UUID, PathParameter(name="orderId")]

CANCEL_WAIT_SECONDS = 5
REREAD_SECONDS = 0.1
"""How often to re-read a cancelling order: its row changes a moment after PaymentRefundFailed."""


class OrderedItem(Body):
    """`price`, if sent, must be the product's price for one unit, in KRW."""

    product_id: UUID
    quantity: RequestAmount
    price: RequestAmount | None = None


class NewOrder(OrderOptions, kw_only=True):
    """`price`, if sent, must be the total, in KRW. `couponId` is an issued coupon's id."""

    customer_id: UUID
    items: Annotated[list[OrderedItem], msgspec.Meta(min_length=1, max_length=MAX_LINES)]


OrderPage = Annotated[Page[OrderView], shown_as("OrderPage")]


class Trace(View):
    """The events of an order."""

    order_id: str
    events: list[TracedStep]


class OrderController(Controller):
    path = "/orders"
    tags = ("orders",)

    @post(
        status_code=202,
        summary="Place an order",
        guards=[SIGNED_IN],
        middleware=[ShedLoad],
        opt=FAST_PATH | records_for_others("ORDER_PLACE", on="orderId"),
        responses=refusals(
            ACCOUNT_ERASED,
            ADDRESS_NOT_FOUND,
            INSUFFICIENT_STOCK,
            PRICE_MISMATCH,
            PRODUCT_DISCONTINUED,
            PRODUCT_NOT_FOUND,
            422,
            body=True,
        )
        | {
            200: answered(OrderView, "The order, when it ended within Prefer: wait=N"),
            202: answered(AcceptedView, "The order is stored; its saga continues"),
        },
        response_headers=[LOCATION],
    )
    async def place_order(
        self,
        data: JSONBody[NewOrder],
        service: OrderService,
        caller: CurrentCaller,
        idempotency_key: OptionalKey = None,
        prefer: Prefer = None,
        trace: TraceContext = None,
    ) -> Response[AcceptedView | OrderView]:
        """202 when the order is stored; its saga continues in the background.

        With `Prefer: wait=N` (up to 30 s): 200 with the whole order when it has ended. With an
        Idempotency-Key, the same request gets the first answer again and places no second order.
        """
        caller.check(str(data.customer_id))
        lines = (
            WantedLine(product_id=str(item.product_id), quantity=item.quantity, price=item.price)
            for item in data.items
        )
        command = command_of(service.new_id(), str(data.customer_id), lines, data)
        key = key_of(f"orders/{data.customer_id}", idempotency_key, data)
        return await accept(service, command, key, trace, prefer)

    @get(
        "/{orderId:str}",
        summary="One order",
        guards=[SIGNED_IN],
        responses=refusals(ORDER_NOT_FOUND),
    )
    async def get_order(
        self, order_id: OrderId, service: OrderService, caller: CurrentCaller
    ) -> OrderView:
        """The order as it is now. Its `status` never goes backwards."""
        return await order_view(service, await find_own(service, caller, str(order_id)))

    @get(summary="Orders, newest first", guards=[SIGNED_IN], responses=refusals(USER_NOT_FOUND))
    async def list_orders(
        self,
        service: OrderService,
        caller: CurrentCaller,
        paging: Paging,
        customer_id: Annotated[UUID | None, QueryParameter(name="customerId")] = None,
        status: FromQuery[OrderStatus | None] = None,
    ) -> OrderPage:
        """A customer's orders; of one status, or of all.

        Without `customerId` the caller's own; those of all customers for a shopkeeper.
        """
        customer = caller.own(str(customer_id) if customer_id else None)
        async with service.reading() as connection:
            found, total = await store.list_orders(
                connection,
                customer_id=customer,
                states=STATES[status] if status else None,
                offset=paging.offset,
                size=paging.size,
            )
        return paging.of(await order_views(service, found), total)

    @post(
        "/{orderId:str}/cancel",
        status_code=200,
        summary="Cancel a COMPLETED order",
        guards=[SIGNED_IN],
        opt=records_for_others("ORDER_CANCEL", on="orderId"),
        responses=refusals(INVALID_STATE, ORDER_NOT_FOUND, 424)
        | {202: answered(OrderView, "The cancel is in flight")},
    )
    async def cancel_order(
        self, order_id: OrderId, service: OrderService, caller: CurrentCaller
    ) -> Response[OrderView]:
        """Refunds the payment and gives back stock and coupon. Waits up to 5 s for that.

        200 with the order CANCELLED, or 202 while the cancel is in flight: then read the order's
        `cancellation`. 424 when the refund was refused: the order stays COMPLETED. Concurrent calls
        cancel the order once.
        """
        await find_own(service, caller, str(order_id))
        requested: Order = (await service.ask(CancelOrder(order_id=str(order_id)))).result
        order = await _wait_until_cancel_ended(service, requested)
        if order is None:
            return Response(await order_view(service, requested), status_code=202)
        if order.state is not OrderState.CANCELLED:
            raise DependencyFailed(
                "the refund was refused; the order stays COMPLETED",
                details={"orderId": order.order_id, "attempt": requested.attempt},
            )
        return Response(await order_view(service, order), status_code=200)

    @get(
        "/{orderId:str}/trace",
        summary="An order's events, in order",
        guards=[SIGNED_IN],
        responses=refusals(ORDER_NOT_FOUND),
    )
    async def get_order_trace(
        self, order_id: OrderId, service: OrderService, caller: CurrentCaller
    ) -> Trace:
        """From the event stream, which keeps them for a week. Operators may read it too."""
        if caller.operates:
            await find_order(service, str(order_id))
        else:
            await find_own(service, caller, str(order_id))
        messages = await service.broker.history(f"saga.{order_id}.*")
        times = Counter[str]()
        steps: dict[str, Step] = {}
        for message in messages:
            step = step_of(message, message.headers.get(envelope.EVENT_ID, ""))
            steps.setdefault(step.id, step)  # a retransmission is counted
            times[step.id] += 1
        events = [TracedStep.of(step, times=times[step.id]) for step in steps.values()]
        return Trace(order_id=str(order_id), events=events)


async def _wait_until_cancel_ended(
    service: Service[OrderUnitOfWork], requested: Order
) -> Order | None:
    """The order when this attempt to cancel it has ended; None after 5 s."""

    def has_ended(order: Order) -> bool:
        return order.state is not OrderState.CANCELLING or order.attempt != requested.attempt

    return await wait_until(
        service,
        requested.order_id,
        has_ended,
        (OrderCancelled, PaymentRefundFailed),
        wait_seconds=CANCEL_WAIT_SECONDS,
        reread_seconds=REREAD_SECONDS,
    )


ROUTES = [OrderController]
