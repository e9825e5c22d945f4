"""JetStream as the services use it: streams, durables, delivery, history."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError

from chassis.broker.jetstream import ACK_WAIT_SECONDS, JetStream
from chassis.broker.nats_client import NatsClient
from chassis.ports import DeliveredMessage, OutgoingMessage
from events.contract import CONTRACT, OrderCompleted, StockDecremented
from payment.reactions import reactions
from saga import envelope
from saga.reactions import Reactions
from tests.integration.conftest import NatsServer
from tests.kit.client import wait_until
from tests.kit.settings import settings_of


class Inbox:
    """Receives, with room for so many at a time, and acknowledges when told to."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.held: list[DeliveredMessage] = []
        self.all: list[str] = []

    def receive(self, delivery: DeliveredMessage) -> None:
        self.held.append(delivery)
        self.all.append(delivery.subject)

    async def acknowledge(self) -> None:
        for delivery in self.held:
            delivery.ack()
        self.held.clear()


@asynccontextmanager
async def bus(url: str, inbox: Inbox, registry: Reactions = reactions) -> AsyncIterator[JetStream]:
    broker = JetStream(registry, settings_of("payment", {"NATS_URL": url, "INSTANCE": "payment-1"}))

    async def trust() -> None: ...

    await broker.start(inbox.receive, lambda: inbox.room - len(inbox.held), trust)
    await asyncio.wait_for(broker.wait_connected(), 10)
    try:
        yield broker
    finally:
        await broker.stop_delivering()
        await broker.stop()


def message(order_id: str | None = None) -> OutgoingMessage:
    event = StockDecremented(
        order_id=order_id or str(uuid4()),
        customer_id=str(uuid4()),
        items=(),
        total_amount=1,
        discount_amount=0,
        payable_amount=1,
    )
    outbound = envelope.encode(event, datetime.now(UTC))
    return OutgoingMessage(outbound.subject, outbound.body, envelope.headers(outbound, "product"))


async def received(inbox: Inbox, count: int) -> None:
    async def enough() -> bool:
        return len(inbox.all) >= count

    await wait_until(enough, f"{count} messages are delivered")


async def test_the_running_choreography_can_be_read_from_the_broker(
    nats_server: NatsServer,
) -> None:
    async with bus(nats_server.url, Inbox()), nats_server.jetstream() as js:
        stream = (await js.stream_info("SAGA")).config
        durable = (await js.consumer_info("SAGA", "payment")).config
    assert stream.subjects == ["saga.*.*"]
    assert stream.allow_direct
    assert durable.durable_name == "payment"
    assert durable.max_deliver == -1
    filters = durable.filter_subjects or [durable.filter_subject]
    assert filters == [
        "saga.*.OrderCancelRequested",
        "saga.*.OrderTimedOut",
        "saga.*.StockDecremented",
    ]
    assert durable.description == (
        "payment: hears OrderCancelRequested, OrderTimedOut, StockDecremented"
    )
    metadata = durable.metadata or {}
    received = ["OrderCancelRequested", "OrderTimedOut", "StockDecremented"]
    emitted = ["PaymentCompleted", "PaymentFailed", "PaymentRefundFailed", "PaymentRefunded"]
    assert json.loads(metadata["hears"]) == received
    assert json.loads(metadata["says"]) == emitted


async def test_only_what_the_service_hears_is_delivered(nats_server: NatsServer) -> None:
    inbox = Inbox()
    order_id = str(uuid4())
    async with bus(nats_server.url, inbox) as broker:
        foreign = OutgoingMessage(f"saga.{order_id}.{OrderCompleted.__name__}", b"{}", {})
        assert await broker.publish([foreign, message(order_id)]) == [1, 2]
        await received(inbox, 1)
        [delivery] = inbox.held
        assert (delivery.stream, delivery.sequence) == ("SAGA", 2)
        assert delivery.subject == f"saga.{order_id}.StockDecremented"
        assert (delivery.headers or {})["ce-source"] == "product"


async def test_filter_of_existing_durable_follows_the_reactions(nats_server: NatsServer) -> None:
    """An upgrade drops a reaction: its events are not delivered, and the position stays."""
    older = Reactions("payment", CONTRACT)

    @older.on
    def drop(event: OrderCompleted, uow: object) -> None: ...

    @older.on
    def keep(event: StockDecremented, uow: object) -> None: ...

    before, after = Inbox(), Inbox()
    order_id = str(uuid4())
    completed = OutgoingMessage(f"saga.{order_id}.OrderCompleted", b"{}", {})
    async with bus(nats_server.url, before, older) as broker:
        await broker.publish([completed, message(order_id)])
        await received(before, 2)
        await before.acknowledge()
    async with nats_server.jetstream() as js:
        await js.publish(completed.subject, b"{}")
    async with bus(nats_server.url, after) as broker, nats_server.jetstream() as js:
        await broker.publish([completed, message()])
        await received(after, 1)
        durable = await js.consumer_info("SAGA", "payment")
    assert [delivery.sequence for delivery in after.held] == [5]
    assert durable.config.filter_subjects == [
        "saga.*.OrderCancelRequested",
        "saga.*.OrderTimedOut",
        "saga.*.StockDecremented",
    ]
    assert durable.num_pending == 0


async def test_no_more_is_fetched_than_there_is_room_for(nats_server: NatsServer) -> None:
    inbox = Inbox(room=10)
    async with bus(nats_server.url, inbox) as broker, nats_server.jetstream() as js:
        await broker.publish([message() for _ in range(35)])
        await received(inbox, 10)
        info = await js.consumer_info("SAGA", "payment")
        assert (info.num_ack_pending, info.num_pending) == (10, 25)
        for total in (20, 30, 35):
            await inbox.acknowledge()
            broker.resume()
            await received(inbox, total)
    assert len(set(inbox.all)) == 35


async def test_what_is_not_acknowledged_comes_again(nats_server: NatsServer) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker:
        await broker.publish([message()])
        await received(inbox, 1)
        inbox.held.clear()

        async def again() -> bool:
            return len(inbox.all) == 2

        await wait_until(again, "it is delivered again", timeout_seconds=2 * ACK_WAIT_SECONDS)
    assert inbox.all[0] == inbox.all[1]


async def test_delivery_goes_on_after_the_broker_was_killed(nats_server: NatsServer) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker:
        await broker.publish([message() for _ in range(3)])
        await received(inbox, 3)
        await inbox.acknowledge()
        await nats_server.stop()
        assert await broker.publish([message()]) == [None]
        await nats_server.start()
        await asyncio.wait_for(broker.wait_connected(), 10)
        late = message()

        async def stored() -> bool:
            return await broker.publish([late]) != [None]

        await wait_until(stored, "the broker stores events again")

        async def delivered() -> bool:
            return late.subject in inbox.all

        await wait_until(delivered, "the event is delivered")


async def test_a_stream_that_was_deleted_is_made_anew(nats_server: NatsServer) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker, nats_server.jetstream() as js:
        await broker.publish([message()])
        await received(inbox, 1)
        await inbox.acknowledge()
        await js.delete_stream("SAGA")
        after = message()

        async def stored() -> bool:
            return await broker.publish([after]) != [None]

        await wait_until(stored, "the stream is there again")
        await received(inbox, 2)
    assert inbox.all[1] == after.subject


async def test_a_durable_that_was_deleted_is_made_anew(nats_server: NatsServer) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker, nats_server.jetstream() as js:
        await js.delete_consumer("SAGA", "payment")
        await broker.publish([message()])
        await received(inbox, 1)


async def test_the_history_of_an_order_is_read_in_order_without_a_consumer(
    nats_server: NatsServer,
) -> None:
    order_id = str(uuid4())
    async with bus(nats_server.url, Inbox()) as broker, nats_server.jetstream() as js:
        assert await broker.history(f"saga.{order_id}.*") == []
        other = OutgoingMessage(f"saga.{order_id}.OrderCompleted", b"{}", {"ce-id": "2"})
        await broker.publish([message(), message(order_id), message(), other])
        found = await broker.history(f"saga.{order_id}.*")
        consumers = await js.consumers_info("SAGA")
    names = [each.subject.rpartition(".")[2] for each in found]
    assert names == ["StockDecremented", "OrderCompleted"]
    assert found[1].headers["ce-id"] == "2"
    assert [consumer.name for consumer in consumers] == ["payment"]


async def test_a_passing_message_is_noticed(nats_server: NatsServer) -> None:
    order_id = str(uuid4())
    async with (
        bus(nats_server.url, Inbox()) as broker,
        broker.notifications(f"saga.{order_id}.OrderCompleted") as look,
    ):
        await asyncio.wait_for(look.wait(), 5)  # it listens now
        look.clear()
        await broker.publish([message(), message(order_id)])
        assert not look.is_set()
        await broker.publish([OutgoingMessage(f"saga.{order_id}.OrderCompleted", b"{}", {})])
        await asyncio.wait_for(look.wait(), 5)


async def test_a_listener_who_gave_up_on_a_hanging_broker_hurts_nobody(
    nats_server: NatsServer,
) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker:
        with nats_server.hanging():
            async with broker.notifications("saga.*.OrderCompleted") as look:
                await asyncio.wait_for(look.wait(), 5)  # the listening was given up
        began = asyncio.get_running_loop().time()
        assert await broker.publish([message()]) == [1]
        await received(inbox, 1)
        # Far below the time after which a dead connection would be noticed and made anew.
        assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plain", "as usual"),
        ("empty", ""),
        ("word", "Grüße"),
        ("injected", "one\r\nce-id: forged"),
        ("spaced", "  around  "),
    ],
)
async def test_headers_arrive_as_the_client_would_send_them(
    name: str, value: str, nats_server: NatsServer
) -> None:
    """Those of our own making go a shorter way; whatever else there may be goes the client's."""
    received: list[dict[str, str] | None] = []
    sturdy, plain = NatsClient(), Client()
    for client in (sturdy, plain):
        await client.connect(nats_server.url)

    async def hear(message: Msg) -> None:
        received.append(message.headers)

    await plain.subscribe("headers", cb=hear)
    await plain.jetstream().account_info()  # its own flush may overtake the subscription
    for client in (sturdy, plain):
        await client.publish("headers", b"body", headers={"first": "1", name: value})
        await client.flush()

    async def both() -> bool:
        return len(received) == 2

    await wait_until(both, "both were heard")
    assert received[0] == received[1]
    assert "ce-id" not in (received[0] or {})
    for client in (sturdy, plain):
        await client.close()


async def test_a_flush_comes_behind_what_was_said_before(nats_server: NatsServer) -> None:
    async with overheard(nats_server) as (url, emitted):
        client = NatsClient()
        await client.connect(url)
        emitted.clear()
        await client.subscribe("subject")
        await client.flush()
        await client.publish("subject", b"body")
        await client.flush()
        words = [line.split()[0] for line in emitted.split(b"\r\n") if line]
        await client.close()
    assert words == [b"SUB", b"PING", b"PUB", b"body", b"PING"]


async def test_an_acknowledgement_goes_with_what_is_said_next_or_soon(
    nats_server: NatsServer,
) -> None:
    async with overheard(nats_server) as (url, emitted):
        client = NatsClient()
        await client.connect(url)
        emitted.clear()
        client.publish_along("first", b"1")
        client.publish_along("second", b"22")
        await client.publish("third", b"333")
        await client.flush()
        assert emitted == (
            b"PUB first  1\r\n1\r\nPUB second  2\r\n22\r\nPUB third  3\r\n333\r\nPING\r\n"
        )

        emitted.clear()
        client.publish_along("fourth", b"4")

        async def by_itself() -> bool:
            return emitted == b"PUB fourth  1\r\n4\r\n"

        await wait_until(by_itself, "the acknowledgement is sent by itself")
        await client.close()
        client.publish_along("fifth", b"5")  # nobody is there to take it: no error
    assert b"fifth" not in emitted


@pytest.mark.parametrize("subject", ["", "two words", "a\r\nPUB b 0", "tab\tbed"])
async def test_a_subject_that_is_none_is_refused_and_says_nothing(
    nats_server: NatsServer, subject: str
) -> None:
    async with overheard(nats_server) as (url, emitted):
        client = NatsClient()
        await client.connect(url)
        emitted.clear()
        with pytest.raises(BadSubjectError):
            await client.publish(subject, b"body")
        client.publish_along(subject, b"body")
        await client.flush()
        await client.close()
    assert emitted == b"PING\r\n"


@asynccontextmanager
async def overheard(server: NatsServer) -> AsyncIterator[tuple[str, bytearray]]:
    """A way to the server for one client, and all that the client says on it."""
    emitted = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker = urlsplit(server.url)
        its_reader, its_writer = await asyncio.open_connection(broker.hostname, broker.port)
        await asyncio.gather(
            pass_on(reader, its_writer, emitted), pass_on(its_reader, writer, bytearray())
        )

    notifications = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"nats://127.0.0.1:{notifications.sockets[0].getsockname()[1]}", emitted
    finally:
        notifications.close()


async def pass_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, received: bytearray
) -> None:
    while data := await source.read(65_536):
        received += data
        sink.write(data)
    sink.close()
