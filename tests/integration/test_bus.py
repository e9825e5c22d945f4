"""JetStream as the services use it: streams, durables, delivery, history, the client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from nats.errors import BadSubjectError

from chassis.broker.declaration import ACK_WAIT_SECONDS
from chassis.broker.jetstream import JetStream
from chassis.broker.nats_client import NatsClient, check_version
from chassis.ports import DeliveredMessage, OutgoingMessage
from events.contract import CONTRACT, OrderCompleted, StockDecremented
from payment.reactions import reactions
from saga import envelope
from saga.errors import BrokerAway, ConfigurationError
from saga.reactions import Reactions
from tests.integration.conftest import NatsServer
from tests.kit.client import wait_until
from tests.kit.settings import settings_of


class Inbox:
    """Receives up to `room` messages at a time, and acknowledges them when a test asks for it."""

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


async def test_durable_describes_what_its_service_handles_and_emits(
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
        "payment handles OrderCancelRequested, OrderTimedOut, StockDecremented"
    )
    metadata = durable.metadata or {}
    handled = ["OrderCancelRequested", "OrderTimedOut", "StockDecremented"]
    emitted = ["PaymentCompleted", "PaymentFailed", "PaymentRefundFailed", "PaymentRefunded"]
    assert json.loads(metadata["hears"]) == handled
    assert json.loads(metadata["says"]) == emitted


async def test_only_handled_events_are_delivered(nats_server: NatsServer) -> None:
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


async def test_pull_requests_no_more_than_the_mailbox_has_room_for(nats_server: NatsServer) -> None:
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


async def test_unacknowledged_message_is_delivered_again(nats_server: NatsServer) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker:
        await broker.publish([message()])
        await received(inbox, 1)
        inbox.held.clear()

        async def again() -> bool:
            return len(inbox.all) == 2

        await wait_until(again, "it is delivered again", timeout_seconds=2 * ACK_WAIT_SECONDS)
    assert inbox.all[0] == inbox.all[1]


async def test_delivery_continues_after_the_broker_was_killed(nats_server: NatsServer) -> None:
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


async def test_deleted_stream_is_recreated(nats_server: NatsServer) -> None:
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


async def test_deleted_durable_is_recreated(nats_server: NatsServer) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker, nats_server.jetstream() as js:
        await js.delete_consumer("SAGA", "payment")
        await broker.publish([message()])
        await received(inbox, 1)


async def test_history_of_an_order_is_read_in_order_without_a_consumer(
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


async def test_notification_of_a_message(nats_server: NatsServer) -> None:
    order_id = str(uuid4())
    async with (
        bus(nats_server.url, Inbox()) as broker,
        broker.notifications(f"saga.{order_id}.OrderCompleted") as notified,
    ):
        await asyncio.wait_for(notified.wait(), 5)  # the subscription has begun
        notified.clear()
        await broker.publish([message(), message(order_id)])
        assert not notified.is_set()
        await broker.publish([OutgoingMessage(f"saga.{order_id}.OrderCompleted", b"{}", {})])
        await asyncio.wait_for(notified.wait(), 5)


async def test_subscription_that_timed_out_does_not_end_the_read_loop(
    nats_server: NatsServer,
) -> None:
    inbox = Inbox()
    async with bus(nats_server.url, inbox) as broker:
        with nats_server.hanging():
            async with broker.notifications("saga.*.OrderCompleted") as notified:
                await asyncio.wait_for(notified.wait(), 5)  # its flush has timed out
        began = asyncio.get_running_loop().time()
        assert await broker.publish([message()]) == [1]
        await received(inbox, 1)
        # Far below the time after which the client replaces a dead connection.
        assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ("as usual", "as usual"),
        ("", ""),
        ("Grüße", "Grüße"),
        ("one\r\nce-id: forged", "one  ce-id: forged"),
        ("  around  ", "around"),
    ],
)
async def test_header_value_can_not_add_a_header(
    value: str, arrives: str, nats_server: NatsServer
) -> None:
    client = NatsClient()
    await client.connect(nats_server.url)
    subscription = await client.subscribe("headers")
    await client.publish("headers", b"body", headers={"first": "1", "second": value})
    message = await subscription.next_msg(5)
    assert message.headers == {"first": "1", "second": arrives}
    await client.close()


async def test_flush_returns_behind_what_was_sent(nats_server: NatsServer) -> None:
    async with overheard(nats_server) as (url, sent):
        client = NatsClient()
        await client.connect(url)
        sent.clear()
        await client.subscribe("subject")
        await client.flush()
        assert words(sent)[-2:] == [b"SUB", b"PING"]
        await client.publish("subject", b"body")
        await client.flush()
        assert words(sent)[-3:] == [b"PUB", b"body", b"PING"]
        await client.close()


async def test_piggybacked_message_is_sent_with_the_next_one_or_soon(
    nats_server: NatsServer,
) -> None:
    async with overheard(nats_server) as (url, sent):
        client = NatsClient()
        await client.connect(url)
        sent.clear()
        client.piggyback("first", b"1")
        client.piggyback("second", b"22")
        await client.publish("third", b"333")
        await client.flush()
        messages = sent.replace(b"PING\r\n", b"")
        assert messages == b"PUB first  1\r\n1\r\nPUB second  2\r\n22\r\nPUB third  3\r\n333\r\n"

        sent.clear()
        client.piggyback("fourth", b"4")

        async def by_itself() -> bool:
            return sent == b"PUB fourth  1\r\n4\r\n"

        await wait_until(by_itself, "the piggybacked message is sent by itself")
        await client.close()
        client.piggyback("fifth", b"5")  # without a connection: no error
    assert b"fifth" not in sent


@pytest.mark.parametrize("subject", ["", "two words", "a\r\nPUB b 0", "tab\tbed"])
async def test_invalid_subject_is_refused_and_sends_nothing(
    nats_server: NatsServer, subject: str
) -> None:
    async with overheard(nats_server) as (url, sent):
        client = NatsClient()
        await client.connect(url)
        sent.clear()
        with pytest.raises(BadSubjectError):
            await client.publish(subject, b"body")
        client.piggyback(subject, b"body")
        await client.flush()
        await client.close()
    assert set(words(sent)) == {b"PING"}


async def test_read_loop_survives_malformed_messages(nats_server: NatsServer) -> None:
    """As raw bytes, for a client refuses to publish them."""
    client = NatsClient()
    await client.connect(nats_server.url)
    subscription = await client.subscribe("malformed.>")
    await client.flush()
    address = urlsplit(nats_server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    await reader.readline()
    writer.write(b'CONNECT {"headers":true,"verbose":false}\r\n')
    writer.write(b"PUB malformed.form\x0cfeed 1\r\n1\r\n")
    writer.write(b"PUB malformed.\xff\xfe 1\r\n2\r\n")
    writer.write(b"HPUB malformed.status 14 15\r\nNATS/1.0 \xff\r\n\r\n3\r\n")
    await writer.drain()
    received = [await subscription.next_msg(5) for _ in range(3)]
    assert [message.data for message in received] == [b"1", b"2", b"3"]
    assert received[0].subject == "malformed.form\x0cfeed"
    writer.close()
    await client.close()


def test_unknown_version_of_the_client_is_refused() -> None:
    check_version("2.16.7")
    with pytest.raises(ConfigurationError, match=r"written for nats-py 2\.16\.\*, and version 3"):
        check_version("3.0.0")


def test_missing_name_of_the_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("nats.protocol.parser.MSG_RE")
    with pytest.raises(ConfigurationError, match="lacks MSG_RE"):
        check_version("2.16.0")


def words(sent: bytearray) -> list[bytes]:
    """The first word of each line."""
    return [line.split()[0] for line in bytes(sent).split(b"\r\n") if line]


@asynccontextmanager
async def overheard(server: NatsServer) -> AsyncIterator[tuple[str, bytearray]]:
    """The URL of a proxy of the server for one client, and everything that the client sends."""
    sent = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker = urlsplit(server.url)
        its_reader, its_writer = await asyncio.open_connection(broker.hostname, broker.port)
        await asyncio.gather(
            pass_on(reader, its_writer, sent), pass_on(its_reader, writer, bytearray())
        )

    proxy = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"nats://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", sent
    finally:
        proxy.close()


async def pass_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, received: bytearray
) -> None:
    while data := await source.read(65_536):
        received += data
        sink.write(data)
    sink.close()


async def test_undelivered_is_unknown_until_the_streams_are_verified(
    nats_server: NatsServer,
) -> None:
    """In recovery mode adoption comes first, and the durables begin again: 0 is too early."""
    environment = {"NATS_URL": nats_server.url, "INSTANCE": "payment-1"}
    broker = JetStream(reactions, settings_of("payment", environment))
    is_verified = asyncio.Event()
    is_verifying = asyncio.Event()

    async def verify() -> None:
        is_verifying.set()
        await is_verified.wait()

    await broker.start(lambda _: None, lambda: 1, verify)
    await asyncio.wait_for(is_verifying.wait(), 10)
    with pytest.raises(BrokerAway):
        await broker.undelivered()
    is_verified.set()
    await asyncio.wait_for(broker.wait_connected(), 10)
    assert await broker.undelivered() == 0
    await broker.stop()
