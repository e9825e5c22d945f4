"""Placing an order over HTTP, from a body or from a cart: command, waiting and response."""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Response
from litestar.params import HeaderParameter

from chassis.processing.messages import Done, IdempotencyKey
from chassis.service import Service
from chassis.web.access import Caller
from chassis.web.idempotency import replay_headers
from chassis.web.schemas import Body, Text, View
from events.contract import (
    Address,
    FailReason,
    Line,
    OnShortage,
    OrderCompleted,
    OrderFailed,
    PaymentMethod,
    RequestTotal,
)
from order import store
from order.commands import AcceptedOrder, PlaceOrder, WantedLine, no_order
from order.domain import OPEN, Cancellation, Order, OrderStatus, Stage
from order.hot_products import HotProductAdmission
from order.stages import stage_of
from order.unit_of_work import OrderUnitOfWork
from saga.envelope import subject_of
from saga.errors import Invalid
from saga.event import Event

Prefer = Annotated[
    str | None, HeaderParameter(name="Prefer", description="wait=N: wait up to N seconds")
]

MAX_WAIT_SECONDS = 30

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?=$|[,;\s])", re.IGNORECASE)


class ShippingAddress(Body):
    """Where to ship an order to."""

    street: Text
    postal_code: Text
    city: Text


class OrderOptions(Body):
    """The options of an order beside its lines.

    `price`, if sent, must be the total, in KRW. `couponId` is an issued coupon's id. `addressId`
    is one of the customer's address book; in its place an `address` may be sent.
    """

    price: RequestTotal | None = None
    coupon_id: UUID | None = None
    address: ShippingAddress | None = None
    address_id: UUID | None = None
    payment_method: PaymentMethod = PaymentMethod.WALLET
    on_shortage: OnShortage = OnShortage.REJECT


class AcceptedView(View):
    """Both ids are the same."""

    order_id: str
    order_tracking_id: str
    status: OrderStatus
    total_amount: int


class OrderView(View):
    """Amounts in KRW. `failReason` is null unless the order FAILED.

    `stage` is the last step of the saga that a PENDING order has reached; it stays when it ends. It
    is null while the broker can't be asked for it.

    `queuePosition` is the place, from 1, at which the order joined the queue for stock; null unless
    it had to wait. `cancellation` is the state of the last cancel; null when there was none.
    """

    order_id: str
    order_tracking_id: str
    customer_id: str
    status: OrderStatus
    stage: Stage | None
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


async def order_view(service: Service[OrderUnitOfWork], order: Order) -> OrderView:
    [view] = await order_views(service, [order])
    return view


async def order_views(
    service: Service[OrderUnitOfWork], orders: Sequence[Order]
) -> list[OrderView]:
    """The orders with their addresses and stages."""
    async with service.reading() as connection:
        found = await store.find_addresses(connection, [order.order_id for order in orders])
    stages = await asyncio.gather(*(stage_of(service, order) for order in orders))
    return [
        OrderView.of(
            order,
            stage=stage,
            order_tracking_id=order.order_id,
            address=found.get(order.order_id),
        )
        for order, stage in zip(orders, stages, strict=True)
    ]


def command_of(
    order_id: str,
    customer_id: str,
    items: Iterable[WantedLine],
    options: OrderOptions,
    *,
    from_cart: bool = False,
) -> PlaceOrder:
    """Raises Invalid for two addresses."""
    address = None
    if options.address is not None and options.address_id is not None:
        raise Invalid("addressId: send it or an address, not both")
    if sent := options.address:
        address = Address(street=sent.street, postal_code=sent.postal_code, city=sent.city)
    return PlaceOrder(
        order_id=order_id,
        customer_id=customer_id,
        items=tuple(items),
        price=options.price,
        coupon_id=str(options.coupon_id) if options.coupon_id else None,
        payment_method=options.payment_method,
        on_shortage=options.on_shortage,
        address=address,
        address_id=str(options.address_id) if options.address_id else None,
        from_cart=from_cart,
    )


async def accept(
    service: Service[OrderUnitOfWork],
    command: PlaceOrder,
    key: IdempotencyKey | None,
    trace: str | None,
    prefer: str | None,
) -> Response[AcceptedView | OrderView]:
    """Place an order through hot-product admission, and wait for its end as long as `prefer` asks.

    Raises Refused, from admission or from the order's rules, and RetryLater.
    """
    wait_seconds = _wait_seconds(prefer)
    done = await service.components.of_type(HotProductAdmission).admit(
        service, command, key, lambda: service.ask(command, key, trace)
    )
    if wait_seconds == 0:
        return await _respond(service, done)
    ended = await _wait_until_ended(service, done.result.order_id, wait_seconds)
    response = await _respond(service, done, ended)
    response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    return response


def _wait_seconds(prefer: str | None) -> int:
    """The `wait` preference (RFC 7240, section 4.3), at most 30. Other preferences are ignored."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else 0


async def _wait_until_ended(
    service: Service[OrderUnitOfWork], order_id: str, wait_seconds: int
) -> Order | None:
    """The order when it has ended; None after `wait_seconds`."""

    def has_ended(order: Order) -> bool:
        return order.state not in OPEN

    events = (OrderCompleted, OrderFailed)
    return await wait_until(service, order_id, has_ended, events, wait_seconds=wait_seconds)


async def wait_until(
    service: Service[OrderUnitOfWork],
    order_id: str,
    condition: Callable[[Order], bool],
    events: Iterable[type[Event]],
    *,
    wait_seconds: float,
    reread_seconds: float | None = None,
) -> Order | None:
    """The order when the condition holds for it; None after `wait_seconds`.

    Subscribes to the events on the broker, because another instance may handle them. The order is
    read again when the subscription has begun, so an event just before it is not missed.
    """
    subjects = [subject_of(event, order_id) for event in events]
    try:
        async with (
            asyncio.timeout(wait_seconds),
            service.broker.notifications(*subjects) as notified,
        ):
            while not condition(order := await find_order(service, order_id)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(reread_seconds):
                        await notified.wait()
                notified.clear()
            return order
    except TimeoutError:  # other instances may reach the broker while this one can't
        order = await find_order(service, order_id)
        return order if condition(order) else None


async def find_order(service: Service[OrderUnitOfWork], order_id: str) -> Order:
    """Raises NotFound."""
    async with service.reading() as connection:
        order = await store.find_order(connection, order_id)
    if order is None:
        raise no_order(order_id)
    return order


async def find_own(service: Service[OrderUnitOfWork], caller: Caller, order_id: str) -> Order:
    """Raises NotFound also for another customer's order."""
    order = await find_order(service, order_id)
    caller.find(order.customer_id, lambda: no_order(order_id))
    return order


async def _respond(
    service: Service[OrderUnitOfWork], done: Done, ended: Order | None = None
) -> Response[AcceptedView | OrderView]:
    accepted: AcceptedOrder = done.result
    view = AcceptedView(
        order_id=accepted.order_id,
        order_tracking_id=accepted.order_id,
        status=OrderStatus.PENDING,
        total_amount=accepted.total_amount,
    )
    headers = {"Location": f"/api/v1/orders/{accepted.order_id}", **replay_headers(done)}
    if ended is not None:
        view_of_ended = await order_view(service, ended)
        return Response(view_of_ended, status_code=200, headers=headers)
    return Response(view, status_code=202, headers=headers)
