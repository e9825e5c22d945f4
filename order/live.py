"""What one listener is told of an order while it goes on, and when that is over. No framework.

A listener keeps no queue. Whatever wakes it, it reads what is new in the stream, tells that, and
waits again. So it takes the same memory however slow its client is, delays nobody but itself, and
misses nothing: the stream is the truth.
"""

import asyncio
import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress

from chassis.components import Component
from chassis.observability import metrics
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
from order.domain import Order, Orders, OrderState
from order.settings import Settings
from order.steps import Step, step_of
from saga import envelope
from saga.errors import RetryLater

HEARTBEAT_SECONDS = 15
SOON_SECONDS = (0.1, 0.5, 2.0)
"""When to look again after an event went by: the stream may have it a moment later only, and the
order's row too."""

READING_AT_ONCE = 64
"""So many listeners of an instance read at once; the broker drops requests beyond 10,000."""

_LAST_WORDS = frozenset(
    event.__name__ for event in (OrderCompleted, OrderFailed, OrderCancelled, PaymentRefundFailed)
)


class Live(Component[Orders]):
    """The listeners of one instance."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_listeners
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            # Half of the connections that a process may have are for everybody else.
            self._most = min(self._most, descriptors // 2)
        self._listeners: set[Listener] = set()
        self._letting_go: asyncio.Task[None] | None = None
        self.reading = asyncio.Semaphore(READING_AT_ONCE)
        metrics.listeners.set_function(lambda: len(self._listeners))

    def enter(self, listener: "Listener") -> None:
        """One more, who has to leave in the end. Raises RetryLater when there are too many."""
        if len(self._listeners) >= self._most:
            raise RetryLater("too many follow their orders here; try again, or read the order")
        self._listeners.add(listener)

    def leave(self, listener: "Listener") -> None:
        self._listeners.discard(listener)

    async def start(self, service: Service[Orders]) -> None:
        self._letting_go = asyncio.create_task(self._let_go(service))

    async def close(self) -> None:
        if self._letting_go is not None:
            self._letting_go.cancel()

    async def _let_go(self, service: Service[Orders]) -> None:
        await service.leaving.wait()
        for listener in list(self._listeners):
            listener.wake()


class Listener:
    """One who follows an order, from behind the event `after` on.

    `over`: the order has ended, and the event that it ended with was told.
    """

    def __init__(self, service: Service[Orders], order: Order, after: str | None) -> None:
        self._service = service
        self._live = service.components.of_type(Live)
        self._order = order
        self._after = after
        self._subject = f"saga.{order.order_id}.*"
        self._place = START
        self._told: set[str] = set()
        self._may_be_over = False
        self._wake: asyncio.Event | None = None
        self.over = self._is_over()

    async def look(self) -> list[Step]:
        """What is new in the stream, each event once; nothing while the broker is away."""
        # Shielded: a client that goes away must not cut a call of the broker's client in half.
        return await asyncio.shield(self._look())

    async def follow(self, found: list[Step]) -> AsyncGenerator[list[Step]]:
        """Tell what was found, then what comes until it is over. Nothing: a heartbeat."""
        if found:
            yield found
        if not self._goes_on():
            return
        async with self._service.broker.notifications(self._subject) as self._wake:
            soon: Iterator[float] = iter(())
            while self._goes_on():
                pause_seconds = next(soon, HEARTBEAT_SECONDS)
                was_woken = await _is_set(self._wake, pause_seconds)
                if was_woken:
                    soon = iter(SOON_SECONDS)
                found = await self.look()
                if found or (not was_woken and pause_seconds == HEARTBEAT_SECONDS):
                    yield found

    def wake(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def _goes_on(self) -> bool:
        return not (self.over or self._service.leaving.is_set())

    async def _look(self) -> list[Step]:
        try:
            async with self._live.reading:
                history = await self._service.broker.history_since(self._subject, self._place)
        except RetryLater:
            return []
        messages, self._place = history
        found = self._new(messages)
        with suppress(RetryLater):
            await self._see_whether_over()
        return found

    def _new(self, messages: list[StoredMessage]) -> list[Step]:
        steps: dict[str, Step] = {}
        for message in messages:
            with suppress(envelope.MalformedMessage):  # not an event, so no step either
                opened = envelope.decode(CONTRACT, message.subject, message.body, message.headers)
                if opened.event_id not in self._told:
                    steps.setdefault(opened.event_id, step_of(message, opened.event_id))
        self._told |= steps.keys()
        self._may_be_over |= any(step.name in _LAST_WORDS for step in steps.values())
        ordered = _causes_first(list(steps.values()))
        after, self._after = self._after, None
        place = next((at for at, step in enumerate(ordered) if step.id == after), None)
        return ordered if place is None else ordered[place + 1 :]

    async def _see_whether_over(self) -> None:
        """Look at the order's row, for what ends an order may be followed by a cancel."""
        if not self._may_be_over:
            return
        async with self._service.reading() as connection:
            order = await store.find_order(connection, self._order.order_id)
        assert order is not None, "orders are never deleted"
        self._order = order
        self.over = self._is_over()

    def _is_over(self) -> bool:
        """The row may be ahead of the stream: then its last event is still to come, unless it was
        so long ago that the stream keeps it no more."""
        last_word = _last_word(self._order)
        if last_word is None:
            return False
        age = self._service.clock() - self._order.updated_at
        return last_word in self._told or age.total_seconds() > SAGA.max_age_seconds


def _causes_first(steps: list[Step]) -> list[Step]:
    """As they stand in the stream, but none before its cause.

    A stream that was lost is filled again in another order. A client that goes on behind an event
    has to find behind it what followed from it all the same; and nothing that it knows, or it would
    be told in circles. So all that is said of an order has one order, whoever asks.
    """
    ordered: list[Step] = []
    while steps:
        missing = {step.id for step in steps}
        first = next((step for step in steps if step.cause not in missing), steps[0])
        ordered.append(first)
        steps = [step for step in steps if step is not first]
    return ordered


def _last_word(order: Order) -> str | None:
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


async def _is_set(event: asyncio.Event, within_seconds: float) -> bool:
    """Wait for an event, but not for longer, and clear it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            await event.wait()
    was_set = event.is_set()
    event.clear()
    return was_set
