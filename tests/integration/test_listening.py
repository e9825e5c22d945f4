"""Notifications of messages, and reading a stream on from a position."""

import asyncio
import shutil
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from nats.errors import NoRespondersError

from chassis.broker.jetstream import JetStream
from chassis.ports import START, OutgoingMessage
from events.contract import OrderCancelRequested, OrderCompleted
from payment.reactions import reactions
from saga import envelope
from saga.errors import RetryLater
from tests.integration.conftest import NatsServer
from tests.integration.test_bus import Inbox, bus
from tests.kit.client import connect_to_broker, wait_until
from tests.kit.settings import settings_of

SUBJECT = "passing.by"


def attempt(order_id: str, number: int) -> OutgoingMessage:
    event = OrderCancelRequested(order_id=order_id, attempt=number)
    outbound = envelope.encode(event, datetime.now(UTC))
    return OutgoingMessage(outbound.subject, outbound.body, envelope.headers(outbound, "order"))


async def has_listeners(server: NatsServer) -> bool:
    async with server.jetstream() as js:
        try:
            await js._nc.request(SUBJECT, timeout=0.5)
        except NoRespondersError:
            return False
        except TimeoutError:
            return True
    raise AssertionError("no service answers there")


async def no_listener_left(server: NatsServer) -> None:
    async def none() -> bool:
        return not await has_listeners(server)

    await wait_until(none, "no subscription is left")


async def test_history_is_read_on_from_a_position(nats_server: NatsServer) -> None:
    order_id = str(uuid4())
    first, second, third = (attempt(order_id, number) for number in (1, 2, 3))
    subject = f"saga.{order_id}.*"
    async with bus(nats_server.url, Inbox()) as broker:
        assert (await broker.history_since(subject, START))[0] == []
        await broker.publish([first, attempt(str(uuid4()), 1), second])
        found, place = await broker.history_since(subject, START)
        assert [each.body for each in found] == [first.body, second.body]
        assert await broker.history_since(subject, place) == ([], place)
        await broker.publish([attempt(str(uuid4()), 1), third])
        found, place = await broker.history_since(subject, place)
        assert [each.body for each in found] == [third.body]


async def test_messages_after_the_first_notification_are_noticed(nats_server: NatsServer) -> None:
    """Otherwise a client waits for an event that has passed already."""
    async with bus(nats_server.url, Inbox()) as broker, connect_to_broker(nats_server.url) as other:
        for _ in range(300):
            async with broker.notifications(SUBJECT) as notified:
                await asyncio.wait_for(notified.wait(), 5)
                notified.clear()
                await other.publish(SUBJECT, b"")
                await other.flush()
                await asyncio.wait_for(notified.wait(), 5)


async def test_lost_stream_is_read_from_its_start(nats_server: NatsServer) -> None:
    order_id = str(uuid4())
    subject = f"saga.{order_id}.*"
    async with bus(nats_server.url, Inbox()) as broker, broker.notifications(SUBJECT) as notified:
        await asyncio.wait_for(notified.wait(), 5)
        await broker.publish([attempt(order_id, number) for number in (1, 2, 3)])
        _, place = await broker.history_since(subject, START)
        await nats_server.stop()

        async def is_away() -> bool:
            return not broker.connected

        await wait_until(is_away, "the broker is away")
        with pytest.raises(RetryLater):
            await broker.history_since(subject, place)
        shutil.rmtree(nats_server.folder)
        notified.clear()
        await nats_server.start()
        await asyncio.wait_for(notified.wait(), 20)  # the stream may be another one now
        await broker.wait_connected()
        again = attempt(order_id, 2)
        await broker.publish([again])
        found, _ = await broker.history_since(subject, place)
        assert [each.body for each in found] == [again.body]


async def test_subscription_begins_when_the_broker_comes(nats_server: NatsServer) -> None:
    await nats_server.stop()
    broker = JetStream(
        reactions, settings_of("payment", {"NATS_URL": nats_server.url, "INSTANCE": "payment-1"})
    )

    async def trust() -> None: ...

    inbox = Inbox()
    await broker.start(inbox.receive, lambda: inbox.room, trust)
    try:
        async with broker.notifications(SUBJECT):
            await asyncio.sleep(0)  # this one is closed before the broker comes
        async with broker.notifications(SUBJECT) as notified:
            assert not notified.is_set()
            await nats_server.start()
            await asyncio.wait_for(notified.wait(), 20)

            async def has_begun() -> bool:
                return await has_listeners(nats_server)

            await wait_until(has_begun, "the subscription has begun")
        await no_listener_left(nats_server)
    finally:
        await broker.stop()


async def test_closed_notification_leaves_no_subscription_on_a_hanging_broker(
    nats_server: NatsServer,
) -> None:
    async with bus(nats_server.url, Inbox()) as broker:
        with nats_server.hanging():
            async with broker.notifications(SUBJECT) as notified:
                await asyncio.wait_for(notified.wait(), 5)
        await no_listener_left(nats_server)


async def test_message_notifies_its_subscribers_alone(nats_server: NatsServer) -> None:
    order_id = str(uuid4())
    async with (
        bus(nats_server.url, Inbox()) as broker,
        broker.notifications(f"saga.{order_id}.*") as notified,
        broker.notifications(envelope.subject_of(OrderCompleted)) as other,
    ):
        for each in (notified, other):
            await asyncio.wait_for(each.wait(), 5)
            each.clear()
        await broker.publish([attempt(order_id, 1)])
        await asyncio.wait_for(notified.wait(), 5)
        assert not other.is_set()
