"""Which events a listener passes on, and when it is over: the stream and the row may disagree."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from chassis.components import Components
from chassis.ports import START, StoredMessage, StreamPosition
from events.contract import (
    SAGA,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderFailed,
    PaymentRefundFailed,
)
from order import store
from order.domain import Order, OrderState
from order.live import Listener, Listeners
from saga import envelope
from saga.errors import RetryLater
from saga.event import Event
from tests.kit.settings import settings_of
from tests.unit.order_fixtures import IN_STATE, NOW

ORDER = "01a1fe36-af29-7f5b-982c-ef6c81e6fce7"
REQUESTED, REFUSED, REQUESTED_AGAIN, REFUSED_AGAIN = (
    kind(order_id=ORDER, attempt=attempt)
    for attempt in (1, 2)
    for kind in (OrderCancelRequested, PaymentRefundFailed)
)
COMPLETED = msgspec.convert(
    {
        "orderId": ORDER,
        "customerId": ORDER,
        "items": [],
        "totalAmount": 1,
        "discountAmount": 0,
        "payableAmount": 1,
        "completedAt": NOW,
    },
    OrderCompleted,
)
CANCELLED = OrderCancelled(order_id=ORDER, customer_id=ORDER, items=(), completed_at=NOW)
FAILED = msgspec.convert(
    {"orderId": ORDER, "customerId": ORDER, "reason": "SYSTEM_ERROR"}, OrderFailed
)


def in_state(state: OrderState, attempt: int | None = None) -> Order:
    order = msgspec.structs.replace(IN_STATE[state], order_id=ORDER)
    return order if attempt is None else msgspec.structs.replace(order, attempt=attempt)


class World:
    """A stream, a row and a service between them; the broker and the database may be away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, row: Order) -> None:
        self.row = row
        self.now = NOW
        self.stream: list[StoredMessage] = []
        self.generation = 1
        self.broker_is_away = self.database_is_away = False
        self.broker = self
        self.components = Components([Listeners(settings_of("order", {}))])

        async def find_order(*_: object) -> Order:
            return self.row

        monkeypatch.setattr(store, "find_order", find_order)

    def listener(self, after: Event | None = None) -> Listener:
        service: Any = self
        return Listener(service, self.row, envelope.event_id(after) if after else None)

    def publish(self, *events: Event, at: datetime = NOW, cause: Event | None = None) -> None:
        cause_id = envelope.event_id(cause) if cause else None
        for event in events:
            outbound = envelope.encode(event, at, cause_id=cause_id)
            self.stream.append(
                StoredMessage(outbound.subject, outbound.body, envelope.headers(outbound, "x"), 1)
            )

    def clock(self) -> Any:
        return self.now

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        if self.database_is_away:
            raise RetryLater("away")
        yield

    async def history_since(
        self, _: str, place: StreamPosition
    ) -> tuple[list[StoredMessage], StreamPosition]:
        if self.broker_is_away:
            raise RetryLater("away")
        sequence = place.sequence if place.generation == self.generation else START.sequence
        return self.stream[sequence:], StreamPosition(self.generation, len(self.stream))


async def new_events(listener: Listener) -> list[str]:
    return [step.name for step in await listener.read_new()]


@pytest.mark.parametrize(
    ("row", "last", "before"),
    [
        (in_state(OrderState.FAILED), FAILED, []),
        (in_state(OrderState.COMPLETED), COMPLETED, []),
        (in_state(OrderState.CANCELLED), CANCELLED, [COMPLETED, REQUESTED]),
        (in_state(OrderState.COMPLETED, 1), REFUSED, [COMPLETED, REQUESTED]),
        (
            in_state(OrderState.COMPLETED, 2),
            REFUSED_AGAIN,
            [COMPLETED, REQUESTED, REFUSED, REQUESTED_AGAIN],
        ),
    ],
)
async def test_listener_is_over_after_last_event(
    monkeypatch: pytest.MonkeyPatch, row: Order, last: Event, before: list[Event]
) -> None:
    """The row may be ahead of the stream, by any number of events."""
    world = World(monkeypatch, row)
    listener = world.listener()
    for event in (*before, last):
        await new_events(listener)
        assert not listener.is_over
        world.publish(event)
    assert await new_events(listener) == [type(last).__name__]
    assert listener.is_over


@pytest.mark.parametrize(
    "row",
    [in_state(OrderState.PENDING), in_state(OrderState.EXPIRING), in_state(OrderState.CANCELLING)],
)
async def test_listener_of_unsettled_order_is_not_over(
    monkeypatch: pytest.MonkeyPatch, row: Order
) -> None:
    world = World(monkeypatch, row)
    world.publish(COMPLETED, REQUESTED)
    world.now += timedelta(days=100)
    listener = world.listener()
    assert await new_events(listener) == ["OrderCompleted", "OrderCancelRequested"]
    assert not listener.is_over


async def test_reconnect_to_recreated_stream_misses_no_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client has REQUESTED; the event that followed it is before it now."""
    world = World(monkeypatch, in_state(OrderState.COMPLETED, 1))
    later = NOW + timedelta(seconds=1)
    world.publish(REFUSED, at=later, cause=REQUESTED)
    world.publish(COMPLETED, REQUESTED)
    assert await new_events(world.listener(REQUESTED)) == ["PaymentRefundFailed"]
    assert await new_events(world.listener(REFUSED)) == []


async def test_reconnects_do_not_repeat_events_in_a_circle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two compensations at the same time: neither is the cause of the other."""
    world = World(monkeypatch, in_state(OrderState.FAILED))
    world.publish(CANCELLED, at=NOW + timedelta(seconds=2))
    world.publish(FAILED, at=NOW)
    world.publish(REFUSED, at=NOW + timedelta(seconds=1))
    assert await new_events(world.listener(FAILED)) == ["PaymentRefundFailed"]
    assert await new_events(world.listener(REFUSED)) == []


async def test_event_with_earlier_time_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_state(OrderState.COMPLETED, 1))
    world.publish(COMPLETED, REQUESTED)
    world.publish(REFUSED, at=NOW - timedelta(seconds=1))
    assert await new_events(world.listener(REQUESTED)) == ["PaymentRefundFailed"]


async def test_listener_is_not_over_while_row_is_behind_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refund was refused, but the order service has not handled that yet."""
    world = World(monkeypatch, in_state(OrderState.CANCELLING))
    world.publish(COMPLETED, REQUESTED, REFUSED)
    listener = world.listener()
    await new_events(listener)
    assert not listener.is_over
    world.row, world.database_is_away = in_state(OrderState.COMPLETED, 1), True
    assert await new_events(listener) == []
    assert not listener.is_over
    world.database_is_away = False
    assert await new_events(listener) == []
    assert listener.is_over


async def test_listener_is_over_when_stream_has_dropped_last_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, in_state(OrderState.COMPLETED))
    world.now += timedelta(seconds=SAGA.max_age_seconds - 1)
    assert not world.listener().is_over
    world.now += timedelta(seconds=2)
    assert world.listener().is_over


async def test_retransmitted_event_is_passed_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_state(OrderState.CANCELLING))
    world.publish(COMPLETED, COMPLETED, REQUESTED)
    listener = world.listener()
    assert await new_events(listener) == ["OrderCompleted", "OrderCancelRequested"]
    world.publish(COMPLETED)
    assert await new_events(listener) == []
    world.generation, world.stream = 2, []
    world.publish(REQUESTED, REFUSED, COMPLETED)
    assert await new_events(listener) == ["PaymentRefundFailed"]


async def test_reconnect_begins_behind_last_event_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the broker is away at first."""
    world = World(monkeypatch, in_state(OrderState.COMPLETED, 1))
    world.publish(COMPLETED, REQUESTED, COMPLETED, REFUSED)
    world.broker_is_away = True
    listeners = [world.listener(after) for after in (None, COMPLETED, REQUESTED, REFUSED, FAILED)]
    assert [await new_events(each) for each in listeners] == [[]] * 5
    assert not any(each.is_over for each in listeners)
    world.broker_is_away = False
    names = ["OrderCompleted", "OrderCancelRequested", "PaymentRefundFailed"]
    assert [await new_events(each) for each in listeners] == [
        names,
        names[1:],
        names[2:],
        [],
        names,
    ]
    assert all(each.is_over for each in listeners)


def test_listeners_beyond_the_maximum_get_retry_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_state(OrderState.PENDING))
    listeners = Listeners(settings_of("order", {"MOST_LISTENERS": "1"}))
    first, second = world.listener(), world.listener()
    listeners.add(first)
    with pytest.raises(RetryLater):
        listeners.add(second)
    listeners.remove(first)
    listeners.remove(first)
    listeners.add(second)
