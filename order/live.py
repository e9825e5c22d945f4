"""Following an order live: which events a listener gets, and when it is over. No framework.

A listener keeps no queue. After each wake-up it re-reads the stream from its position, passes on
the events that are new, and waits. So it takes the same memory however slow its client is, delays
no other client, and misses no event, because the stream has all of them.
"""

import asyncio
import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress

from prometheus_client import Gauge

from chassis.components import Component
from chassis.ports import START, StoredMessage
from chassis.service import Service
from events.contract import (
    CONTRACT,
    SAGA,
    OrderCancelled,
    OrderCompleted,
    OrderFailed,
    PaymentRefundFailed,
)
from order import store
from order.domain import Order, OrderState
from order.settings import Settings
from order.steps import Step, step_of
from order.unit_of_work import OrderUnitOfWork
from saga import envelope
from saga.errors import RetryLater

followers = Gauge("shop_listeners", "Clients that follow an order live.")

HEARTBEAT_SECONDS = 15
REREAD_AFTER_SECONDS = (0.1, 0.5, 2.0)
"""When to re-read after a notification: the event may reach the stream a moment later, and the
order's row too."""

MAX_CONCURRENT_READS = 64
"""By the listeners of one instance; the broker drops requests beyond 10,000."""

_LAST_EVENTS = frozenset(
    event.__name__ for event in (OrderCompleted, OrderFailed, OrderCancelled, PaymentRefundFailed)
)


class Listeners(Component[OrderUnitOfWork]):
    """The listeners of one instance."""

    def __init__(self, settings: Settings) -> None:
        self._max = settings.max_listeners
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            # The other half of the process's connections is for all other requests.
            self._max = min(self._max, descriptors // 2)
        self._listeners: set[Listener] = set()
        self._waiting_to_leave: asyncio.Task[None] | None = None
        self.reads = asyncio.Semaphore(MAX_CONCURRENT_READS)
        followers.set_function(lambda: len(self._listeners))

    def add(self, listener: "Listener") -> None:
        """Count a listener, until it is removed. Raises RetryLater when there are too many."""
        if len(self._listeners) >= self._max:
            raise RetryLater("too many clients follow orders here; try again, or GET the order")
        self._listeners.add(listener)

    def remove(self, listener: "Listener") -> None:
        self._listeners.discard(listener)

    async def start(self, service: Service[OrderUnitOfWork]) -> None:
        self._waiting_to_leave = asyncio.create_task(self._end_when_leaving(service))

    async def close(self) -> None:
        if self._waiting_to_leave is not None:
            self._waiting_to_leave.cancel()

    async def _end_when_leaving(self, service: Service[OrderUnitOfWork]) -> None:
        await service.leaving.wait()
        for listener in list(self._listeners):
            listener.wake()


class Listener:
    """Follows one order for one client, from behind the event `after` on.

    `is_over`: the order has ended, and the listener has passed on its last event.
    """

    def __init__(self, service: Service[OrderUnitOfWork], order: Order, after: str | None) -> None:
        self._service = service
        self._reads = service.components.of_type(Listeners).reads
        self._order = order
        self._after = after
        self._subject = f"saga.{order.order_id}.*"
        self._position = START
        self._passed_on: set[str] = set()
        self._may_be_over = False
        self._wakeup: asyncio.Event | None = None
        self.is_over = self._has_ended()

    async def read_new(self) -> list[Step]:
        """The events that are new in the stream, each once; none while the broker is away."""
        # Shielded: a client that disconnects must not cancel a call of nats-py half way.
        return await asyncio.shield(self._read_new())

    async def follow(self, steps: list[Step]) -> AsyncGenerator[list[Step]]:
        """Yield these steps, then new ones until it is over. An empty list is a heartbeat."""
        if steps:
            yield steps
        if not self._goes_on():
            return
        async with self._service.broker.notifications(self._subject) as self._wakeup:
            rereads: Iterator[float] = iter(())
            while self._goes_on():
                pause_seconds = next(rereads, HEARTBEAT_SECONDS)
                was_woken = await _wait(self._wakeup, pause_seconds)
                if was_woken:
                    rereads = iter(REREAD_AFTER_SECONDS)
                steps = await self.read_new()
                if steps or (not was_woken and pause_seconds == HEARTBEAT_SECONDS):
                    yield steps

    def wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup.set()

    def _goes_on(self) -> bool:
        return not (self.is_over or self._service.leaving.is_set())

    async def _read_new(self) -> list[Step]:
        try:
            async with self._reads:
                history = await self._service.broker.history_since(self._subject, self._position)
        except RetryLater:
            return []
        messages, self._position = history
        steps = self._select_new(messages)
        with suppress(RetryLater):
            await self._reread_order()
        return steps

    def _select_new(self, messages: list[StoredMessage]) -> list[Step]:
        found: dict[str, Step] = {}
        for message in messages:
            with suppress(envelope.MalformedMessage):  # not an event, so no step either
                inbound = envelope.decode(CONTRACT, message.subject, message.body, message.headers)
                if inbound.event_id not in self._passed_on:
                    found.setdefault(inbound.event_id, step_of(message, inbound.event_id))
        self._passed_on |= found.keys()
        self._may_be_over |= any(step.name in _LAST_EVENTS for step in found.values())
        steps = _sort_by_cause(list(found.values()))
        after, self._after = self._after, None
        known = next((index for index, step in enumerate(steps) if step.id == after), None)
        return steps if known is None else steps[known + 1 :]

    async def _reread_order(self) -> None:
        """Read the order's row: a cancel may follow the event that ended the order."""
        if not self._may_be_over:
            return
        async with self._service.reading() as connection:
            order = await store.find_order(connection, self._order.order_id)
        assert order is not None, "orders are never deleted"
        self._order = order
        self.is_over = self._has_ended()

    def _has_ended(self) -> bool:
        """The row may be ahead of the stream: then the order's last event is still to come, unless
        it is so old that the stream has dropped it."""
        last_event_id = _last_event_id(self._order)
        if last_event_id is None:
            return False
        age = self._service.clock() - self._order.updated_at
        return last_event_id in self._passed_on or age.total_seconds() > SAGA.max_age_seconds


def _sort_by_cause(steps: list[Step]) -> list[Step]:
    """In the order of the stream, but no step before its cause.

    A stream that was lost is republished in another order. A client that reconnects behind an event
    must still find its effects behind it, and none of the events before it, or it would get the
    same ones in a circle. So every client gets an order's events in the same sequence.
    """
    ordered: list[Step] = []
    while steps:
        missing = {step.id for step in steps}
        first = next((step for step in steps if step.cause not in missing), steps[0])
        ordered.append(first)
        steps = [step for step in steps if step is not first]
    return ordered


def _last_event_id(order: Order) -> str | None:
    """The id of the event with which the order ended; None for one that goes on."""
    match order.state:
        case OrderState.FAILED:
            return envelope.id_of(OrderFailed, order.order_id)
        case OrderState.CANCELLED:
            return envelope.id_of(OrderCancelled, order.order_id)
        case OrderState.COMPLETED if order.attempt:
            return envelope.id_of(PaymentRefundFailed, order.order_id, order.attempt)
        case OrderState.COMPLETED:
            return envelope.id_of(OrderCompleted, order.order_id)
    return None


async def _wait(event: asyncio.Event, timeout_seconds: float) -> bool:
    """Wait for an event, at most this long, and clear it. Was it set?"""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await event.wait()
    was_set = event.is_set()
    event.clear()
    return was_set
