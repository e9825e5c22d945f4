"""The order service over HTTP: the way into the saga."""

import asyncio
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from events import wire
from events.contract import (
    Address,
    Event,
    FailReason,
    Line,
    OnShortage,
    OrderCancelled,
    OrderCompleted,
    OrderFailed,
    PaymentMethod,
    PaymentRefundFailed,
)
from events.wire import subject_of
from infra.errors import DependencyFailed
from infra.messages import Done
from infra.ports import Outgoing
from infra.service import Service
from infra.shapes import Amount, Body, OptionalKey, Page, Size, Text, View, answered, refusals
from infra.web import idempotency
from order import store
from order.domain import (
    OPEN,
    STATES,
    Accepted,
    Cancellation,
    CancelOrder,
    Order,
    Orders,
    OrderState,
    OrderStatus,
    PlaceOrder,
    WantedLine,
    no_order,
)
from order.door import AtTheDoor
from order.gate import Gate

OrderId = Annotated[UUID, PathParameter(name="orderId")]

LONGEST_WAIT_SECONDS = 30
CANCEL_WAIT_SECONDS = 5
LOOK_SECONDS = 0.1
"""How soon to look again for what no event of our own tells: a cancel that was refused."""

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?=$|[,;\s])", re.IGNORECASE)


class OrderedItem(Body):
    """`price`, where it is sent, must be the product's price for one unit."""

    product_id: UUID
    quantity: Amount
    price: Amount | None = None


class ShippingAddress(Body):
    street: Text
    postal_code: Text
    city: Text


class NewOrder(Body):
    """`price`, where it is sent, must be the sum of all. `couponId` is an issued coupon's id."""

    customer_id: UUID
    items: Annotated[list[OrderedItem], msgspec.Meta(min_length=1, max_length=100)]
    price: Amount | None = None
    coupon_id: UUID | None = None
    address: ShippingAddress | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT


class AcceptedView(View):
    """Both ids are the same."""

    order_id: str
    order_tracking_id: str
    status: OrderStatus
    total_amount: int


class OrderView(View):
    """Amounts in won. `failReason` says why an order FAILED.

    `queuePosition` is the place, from 1, at which the order joined the queue for stock; null unless
    it had to wait. `cancellation` is null until somebody cancels the order, and then says how that
    stands.
    """

    order_id: str
    order_tracking_id: str
    customer_id: str
    status: OrderStatus
    fail_reason: FailReason | None
    items: tuple[Line, ...]
    total_amount: int
    discount_amount: int
    payable_amount: int
    coupon_id: str | None
    payment_method: PaymentMethod
    address: Address | None
    cancellation: Cancellation | None
    queue_position: int | None
    created_at: datetime
    updated_at: datetime


class OrderPage(View):
    items: list[OrderView]
    page: int
    size: int
    total: int


class Step(View):
    """An event of an order. `cause` is the id of the event that made its service say it."""

    name: str
    service: str
    time: str
    id: str
    cause: str | None


class Trace(View):
    order_id: str
    events: list[Step]


class OrderController(Controller):
    path = "/orders"
    tags = ("orders",)

    @post(
        status_code=202,
        summary="Place an order",
        middleware=[AtTheDoor],
        responses=refusals(404, 422, body=True)
        | {200: answered(OrderView, "What became of it, where Prefer: wait=N was long enough")},
    )
    async def place(
        self,
        data: NewOrder,
        request: Request[object, object, State],
        service: Service[Orders],
        idempotency_key: OptionalKey = None,
        prefer: Annotated[
            str | None, HeaderParameter(name="Prefer", description="wait=N: wait up to N seconds")
        ] = None,
    ) -> Response[AcceptedView | OrderView]:
        """202 once the order is safely stored; its saga goes on by itself.

        With `Prefer: wait=N` (up to 30 s): 200 with the whole order once it has ended. With an
        Idempotency-Key, the same request again gives the first answer and places no second order.
        """
        command = _place(service.new_id(), data)
        key = idempotency(f"orders/{data.customer_id}", idempotency_key, data)
        wait_seconds = _wait_seconds(prefer)
        trace = request.headers.get(wire.TRACE)
        done = await service.part(Gate).through(
            service, command, key, lambda: service.ask(command, key, trace)
        )
        if wait_seconds == 0:
            return _accepted(done)
        response = _accepted(done, await _ended(service, done.answer.order_id, wait_seconds))
        response.headers["Preference-Applied"] = f"wait={wait_seconds}"
        return response

    @get("/{orderId:str}", summary="One order", responses=refusals(404))
    async def read(self, order_id: OrderId, service: Service[Orders]) -> OrderView:
        return _order(await _find(service, str(order_id)))

    @get(summary="Orders, newest first", responses=refusals())
    async def list_orders(
        self,
        service: Service[Orders],
        customer_id: Annotated[UUID | None, QueryParameter(name="customerId")] = None,
        status: OrderStatus | None = None,
        page: Page = 0,
        size: Size = 20,
    ) -> OrderPage:
        async with service.reading() as connection:
            found, total = await store.list_orders(
                connection,
                customer_id=str(customer_id) if customer_id else None,
                states=STATES[status] if status else None,
                offset=page * size,
                size=size,
            )
        return OrderPage(items=[_order(each) for each in found], page=page, size=size, total=total)

    @post(
        "/{orderId:str}/cancel",
        status_code=200,
        summary="Cancel a COMPLETED order",
        responses=refusals(404, 424) | {202: answered(OrderView, "The cancel is on its way")},
    )
    async def cancel(self, order_id: OrderId, service: Service[Orders]) -> Response[OrderView]:
        """Give the money, the stock and the coupon back. Waits up to 5 s for that.

        200 with the order CANCELLED, or 202 while the cancel is still on its way: then look at the
        order's `cancellation`. When the refund was refused, 424: the order stays COMPLETED. Several
        calls at once cancel the order once.
        """
        asked: Order = (await service.ask(CancelOrder(order_id=str(order_id)))).answer
        order = await _cancelled(service, asked)
        if order is None:
            return Response(_order(asked), status_code=202)
        if order.state is not OrderState.CANCELLED:
            raise DependencyFailed(
                "the refund was refused; the order stays COMPLETED",
                details={"orderId": order.order_id, "attempt": asked.attempt},
            )
        return Response(_order(order), status_code=200)

    @get("/{orderId:str}/trace", summary="An order's events, in order", responses=refusals(404))
    async def trace(self, order_id: OrderId, service: Service[Orders]) -> Trace:
        """Read from the event stream, which keeps them for a week."""
        await _find(service, str(order_id))
        messages = await service.broker.history(f"saga.{order_id}.*")
        steps: dict[str, Step] = {}
        for step in map(_step, messages):
            steps.setdefault(step.id, step)  # what was said again is shown where it was said first
        return Trace(order_id=str(order_id), events=list(steps.values()))


def _place(order_id: str, data: NewOrder) -> PlaceOrder:
    items = tuple(
        WantedLine(product_id=str(item.product_id), quantity=item.quantity, price=item.price)
        for item in data.items
    )
    address = None
    if sent := data.address:
        address = Address(street=sent.street, postal_code=sent.postal_code, city=sent.city)
    return PlaceOrder(
        order_id=order_id,
        customer_id=str(data.customer_id),
        items=items,
        price=data.price,
        coupon_id=str(data.coupon_id) if data.coupon_id else None,
        payment_method=data.payment_method,
        on_shortage=data.on_shortage,
        address=address,
    )


def _wait_seconds(prefer: str | None) -> int:
    """The `wait` preference (RFC 7240, section 4.3), at most 30. Any other is passed over."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT_SECONDS) if found else 0


async def _ended(service: Service[Orders], order_id: str, wait_seconds: int) -> Order | None:
    """The order once it has ended; None when that takes longer than the client will wait."""
    ends = (OrderCompleted, OrderFailed)
    return await _once(
        service, order_id, lambda order: order.state not in OPEN, ends, wait_seconds=wait_seconds
    )


async def _cancelled(service: Service[Orders], asked: Order) -> Order | None:
    """The order once this attempt to cancel it has come to an end; None after 5 s."""

    def over(order: Order) -> bool:
        return order.state is not OrderState.CANCELLING or order.attempt != asked.attempt

    return await _once(
        service,
        asked.order_id,
        over,
        (OrderCancelled, PaymentRefundFailed),
        wait_seconds=CANCEL_WAIT_SECONDS,
        look_seconds=LOOK_SECONDS,
    )


async def _once(
    service: Service[Orders],
    order_id: str,
    over: Callable[[Order], bool],
    events: Iterable[type[Event]],
    *,
    wait_seconds: float,
    look_seconds: float | None = None,
) -> Order | None:
    """The order once it is as wanted; None when that takes too long.

    Listens to the events on the broker, for another instance may be the one that hears of it; and
    looks once more when the listening has begun, so that the end can't slip by in between.
    """
    subjects = [subject_of(event, order_id) for event in events]
    try:
        async with asyncio.timeout(wait_seconds), service.broker.listening(*subjects) as look:
            while not over(order := await _find(service, order_id)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(look_seconds):
                        await look.wait()
                look.clear()
            return order
    except TimeoutError:
        return None


async def _find(service: Service[Orders], order_id: str) -> Order:
    async with service.reading() as connection:
        order = await store.find_order(connection, order_id)
    if order is None:
        raise no_order(order_id)
    return order


def _accepted(done: Done, ended: Order | None = None) -> Response[AcceptedView | OrderView]:
    accepted: Accepted = done.answer
    view = AcceptedView(
        order_id=accepted.order_id,
        order_tracking_id=accepted.order_id,
        status=OrderStatus.PENDING,
        total_amount=accepted.total_amount,
    )
    headers = {"Location": f"/api/v1/orders/{accepted.order_id}"}
    if done.replayed:
        headers["Idempotency-Replayed"] = "true"
    if ended is not None:
        return Response(_order(ended), status_code=200, headers=headers)
    return Response(view, status_code=202, headers=headers)


def _order(order: Order) -> OrderView:
    return OrderView.of(order, order_tracking_id=order.order_id)


def _step(message: Outgoing) -> Step:
    headers = message.headers
    return Step(
        name=message.subject.rpartition(".")[2],
        service=headers.get(wire.SOURCE, ""),
        time=headers.get(wire.TIME, ""),
        id=headers.get(wire.EVENT_ID, ""),
        cause=headers.get(wire.CAUSE),
    )


ROUTES = [OrderController]
