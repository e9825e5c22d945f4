"""What a listener is told, and when it is over: against a stream and a row that need not agree."""

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
from order.live import Listener, Live
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
        self.components = Components([Live(settings_of("order", {}))])

        async def find_order(*_: object) -> Order:
            return self.row

        monkeypatch.setattr(store, "find_order", find_order)

    def listener(self, after: Event | None = None) -> Listener:
        service: Any = self
        return Listener(service, self.row, envelope.event_id(after) if after else None)

    def say(self, *events: Event, at: datetime = NOW, cause: Event | None = None) -> None:
        cause_id = envelope.event_id(cause) if cause else None
        for event in events:
            outbound = envelope.encode(event, at, cause_id=cause_id)
            self.stream.append(
                StoredMessage(outbound.subject, outbound.body, envelope.headers(outbound, "x"))
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


async def told(listener: Listener) -> list[str]:
    return [step.name for step in await listener.look()]


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
async def test_it_is_over_when_the_last_event_was_told(
    monkeypatch: pytest.MonkeyPatch, row: Order, last: Event, before: list[Event]
) -> None:
    """The row may be ahead of the stream, by any number of events."""
    world = World(monkeypatch, row)
    listener = world.listener()
    for event in (*before, last):
        await told(listener)
        assert not listener.over
        world.say(event)
    assert await told(listener) == [type(last).__name__]
    assert listener.over


@pytest.mark.parametrize(
    "row",
    [in_state(OrderState.PENDING), in_state(OrderState.EXPIRING), in_state(OrderState.CANCELLING)],
)
async def test_an_order_that_goes_on_is_not_over(
    monkeypatch: pytest.MonkeyPatch, row: Order
) -> None:
    world = World(monkeypatch, row)
    world.say(COMPLETED, REQUESTED)
    world.now += timedelta(days=100)
    listener = world.listener()
    assert await told(listener) == ["OrderCompleted", "OrderCancelRequested"]
    assert not listener.over


async def test_a_stream_that_was_filled_again_in_another_order_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client knows REQUESTED; what came after it stands before it now."""
    world = World(monkeypatch, in_state(OrderState.COMPLETED, 1))
    later = NOW + timedelta(seconds=1)
    world.say(REFUSED, at=later, cause=REQUESTED)
    world.say(COMPLETED, REQUESTED)
    assert await told(world.listener(REQUESTED)) == ["PaymentRefundFailed"]
    assert await told(world.listener(REFUSED)) == []


async def test_what_was_said_later_and_stands_before_is_not_told_in_circles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two services undo their parts at the same time: neither follows from the other."""
    world = World(monkeypatch, in_state(OrderState.FAILED))
    world.say(CANCELLED, at=NOW + timedelta(seconds=2))
    world.say(FAILED, at=NOW)
    world.say(REFUSED, at=NOW + timedelta(seconds=1))
    assert await told(world.listener(FAILED)) == ["PaymentRefundFailed"]
    assert await told(world.listener(REFUSED)) == []


async def test_a_clock_that_is_behind_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_state(OrderState.COMPLETED, 1))
    world.say(COMPLETED, REQUESTED)
    world.say(REFUSED, at=NOW - timedelta(seconds=1))
    assert await told(world.listener(REQUESTED)) == ["PaymentRefundFailed"]


async def test_the_row_may_be_behind_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refund was refused, but the order service has not heard of it yet."""
    world = World(monkeypatch, in_state(OrderState.CANCELLING))
    world.say(COMPLETED, REQUESTED, REFUSED)
    listener = world.listener()
    await told(listener)
    assert not listener.over
    world.row, world.database_is_away = in_state(OrderState.COMPLETED, 1), True
    assert await told(listener) == []
    assert not listener.over
    world.database_is_away = False
    assert await told(listener) == []
    assert listener.over


async def test_what_the_stream_keeps_no_more_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, in_state(OrderState.COMPLETED))
    world.now += timedelta(seconds=SAGA.max_age_seconds - 1)
    assert not world.listener().over
    world.now += timedelta(seconds=2)
    assert world.listener().over


async def test_each_event_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_state(OrderState.CANCELLING))
    world.say(COMPLETED, COMPLETED, REQUESTED)
    listener = world.listener()
    assert await told(listener) == ["OrderCompleted", "OrderCancelRequested"]
    world.say(COMPLETED)
    assert await told(listener) == []
    world.generation, world.stream = 2, []
    world.say(REQUESTED, REFUSED, COMPLETED)
    assert await told(listener) == ["PaymentRefundFailed"]


async def test_going_on_behind_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the broker comes back only later."""
    world = World(monkeypatch, in_state(OrderState.COMPLETED, 1))
    world.say(COMPLETED, REQUESTED, COMPLETED, REFUSED)
    world.broker_is_away = True
    listeners = [world.listener(after) for after in (None, COMPLETED, REQUESTED, REFUSED, FAILED)]
    assert [await told(each) for each in listeners] == [[]] * 5
    assert not any(each.over for each in listeners)
    world.broker_is_away = False
    names = ["OrderCompleted", "OrderCancelRequested", "PaymentRefundFailed"]
    assert [await told(each) for each in listeners] == [names, names[1:], names[2:], [], names]
    assert all(each.over for each in listeners)


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_state(OrderState.PENDING))
    live = Live(settings_of("order", {"MOST_LISTENERS": "1"}))
    first, second = world.listener(), world.listener()
    live.enter(first)
    with pytest.raises(RetryLater):
        live.enter(second)
    live.leave(first)
    live.leave(first)
    live.enter(second)
