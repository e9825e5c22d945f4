"""The outbox and its relay, on a real database and a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import msgspec
import nats
import pytest
from nats.js.api import DiscardPolicy
from sqlalchemy import insert, select

from chassis.broker.jetstream import JetStream
from chassis.outbox.relay import CLAIM_SECONDS, Mark, Relay, mark_published
from chassis.ports import Clock, DeliveredMessage, system_clock
from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import FailReason, PaymentFailed
from payment.reactions import reactions
from saga import envelope
from saga.errors import Outage
from tests.integration.conftest import NatsServer
from tests.kit.client import wait_until
from tests.kit.settings import settings_of

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def relay(
    database: Database, url: str, instance: str = "me", clock: Clock = system_clock
) -> AsyncIterator[Relay]:
    """A running relay, as in an instance of a service."""
    broker = JetStream(reactions, settings_of("payment", {"NATS_URL": url, "INSTANCE": instance}))
    running = Relay(
        database, broker, clock, service="payment", instance=instance, personal={"PERSONAL"}
    )
    await database.run(running.forget_claims)

    def ignore(_: DeliveredMessage) -> None: ...

    async def trust() -> None: ...

    await broker.start(ignore, lambda: 0, trust)
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await broker.stop()


def events(count: int) -> list[envelope.OutboundEvent]:
    failed = [
        PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR) for _ in range(count)
    ]
    return [envelope.encode(each, datetime.now(UTC)) for each in failed]


async def store(
    database: Database,
    outbound: list[envelope.OutboundEvent],
    claimed_by: str,
    claimed_until: datetime,
) -> None:
    """Write events into the outbox, as a batch does."""
    claim = {"claimed_by": claimed_by, "claimed_until": claimed_until}
    rows = [msgspec.structs.asdict(each) | claim for each in outbound]
    await database.run(lambda connection: connection.execute(insert(tables.outbox), rows))


async def published(database: Database) -> dict[str, int | None]:
    """The event ids in the outbox, with the stream sequences of published rows."""
    columns = select(tables.outbox.c.event_id, tables.outbox.c.stream_sequence)
    async with database.reading() as connection:
        return {row[0]: row[1] for row in await connection.execute(columns)}


async def all_published(database: Database) -> None:
    async def none_left() -> bool:
        return None not in (await published(database)).values()

    await wait_until(none_left, "the whole outbox is published")


async def stream(url: str) -> list[str]:
    """The event ids in the stream, in order."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()
        last = (await jetstream.stream_info("SAGA")).state.last_seq
        found = [await jetstream.get_msg("SAGA", seq=seq) for seq in range(1, last + 1)]
        return [(message.headers or {})["ce-id"] for message in found]
    finally:
        await client.close()


async def test_offered_events_are_published_at_once_and_marked(
    database: Database, nats_server: NatsServer
) -> None:
    outbound = events(50)
    async with relay(database, nats_server.url) as running:
        await store(database, outbound, *running.claim(datetime.now(UTC)))
        running.offer(outbound)
        await asyncio.wait_for(running.drained(), 5)
        await all_published(database)
    ids = [each.event_id for each in outbound]
    assert await stream(nats_server.url) == ids
    marked = await published(database)
    assert [marked[each] for each in ids] == list(range(1, 51))


async def test_rows_of_a_dead_instance_are_swept_up_in_order(
    database: Database, nats_server: NatsServer
) -> None:
    outbound = events(2500)
    await store(database, outbound, claimed_by="dead", claimed_until=LONG_AGO)
    async with relay(database, nats_server.url):
        await all_published(database)
    assert await stream(nats_server.url) == [each.event_id for each in outbound]


async def test_rows_claimed_by_another_instance_wait_until_the_claim_expires(
    database: Database, nats_server: NatsServer
) -> None:
    now = datetime.now(UTC)
    claimed, free = events(1), events(1)
    later = now + timedelta(seconds=CLAIM_SECONDS)
    await store(database, claimed, claimed_by="other", claimed_until=later)
    await store(database, free, claimed_by="other", claimed_until=LONG_AGO)
    time = [now]
    async with relay(database, nats_server.url, clock=lambda: time[0]):

        async def free_is_out() -> bool:
            return (await published(database))[free[0].event_id] is not None

        await wait_until(free_is_out, "the free row is published")
        assert (await published(database))[claimed[0].event_id] is None
        time[0] = later
        await all_published(database)
    assert await stream(nats_server.url) == [free[0].event_id, claimed[0].event_id]


async def test_claim_of_a_clock_that_was_ahead_is_void(
    database: Database, nats_server: NatsServer
) -> None:
    outbound = events(1)
    next_year = datetime.now(UTC) + timedelta(days=365)
    await store(database, outbound, claimed_by="dead", claimed_until=next_year)
    async with relay(database, nats_server.url):
        await all_published(database)


async def test_instance_publishes_its_claimed_rows_after_a_restart(
    database: Database, nats_server: NatsServer
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    outbound = events(3)
    await store(database, outbound, claimed_by="me", claimed_until=later)
    async with relay(database, nats_server.url, instance="me"):
        await all_published(database)
    assert len(await stream(nats_server.url)) == 3


async def test_nothing_is_lost_while_the_broker_is_away(
    database: Database, nats_server: NatsServer
) -> None:
    await nats_server.stop()
    outbound = events(20)
    async with relay(database, nats_server.url) as running:
        await store(database, outbound[:10], *running.claim(datetime.now(UTC)))
        running.offer(outbound[:10])
        assert set((await published(database)).values()) == {None}
        await nats_server.start()
        await asyncio.wait_for(running.drained(), 20)
        await nats_server.stop()
        await store(database, outbound[10:], *running.claim(datetime.now(UTC)))
        running.offer(outbound[10:])
        await nats_server.start()
        await asyncio.wait_for(running.drained(), 20)
        await all_published(database)
    assert await stream(nats_server.url) == [each.event_id for each in outbound]


async def test_second_publication_leaves_one_copy_in_the_stream(
    database: Database, nats_server: NatsServer
) -> None:
    outbound = events(5)
    for _ in range(2):
        async with relay(database, nats_server.url) as running:
            running.offer(outbound)
            await asyncio.wait_for(running.drained(), 5)
    assert await stream(nats_server.url) == [each.event_id for each in outbound]


async def test_two_instances_share_the_sweep_without_skipping_a_row(
    database: Database, database_url: str, nats_server: NatsServer
) -> None:
    outbound = events(3000)
    await store(database, outbound, claimed_by="dead", claimed_until=LONG_AGO)
    other = Database(database_url)
    async with (
        relay(database, nats_server.url, instance="one"),
        relay(other, nats_server.url, instance="two"),
    ):
        await all_published(database)
    await other.close()
    assert sorted(await stream(nats_server.url)) == sorted(each.event_id for each in outbound)


@pytest.fixture
def idle(database: Database, nats_server: NatsServer) -> Relay:
    """A relay that is not running."""
    broker = JetStream(
        reactions, settings_of("payment", {"NATS_URL": nats_server.url, "INSTANCE": "me"})
    )
    return Relay(database, broker, system_clock, service="payment", instance="me")


def published_by(relay: Relay, outbound: envelope.OutboundEvent) -> Mark:
    mark = Mark(outbound.event_id, published_at=LONG_AGO, stream_sequence=7)
    relay._published[outbound.event_id] = mark
    return mark


async def test_acknowledgements_stay_when_they_could_not_be_marked(idle: Relay) -> None:
    (outbound,) = events(1)
    mark = published_by(idle, outbound)
    with pytest.raises(Outage), idle.acknowledgements():
        raise Outage("locked")
    with idle.acknowledgements() as acknowledgements:
        assert acknowledgements.marks == {outbound.event_id: mark}
    with idle.acknowledgements() as acknowledgements:
        assert acknowledgements.marks == {}


async def test_rows_acknowledged_on_a_lost_connection_are_free_at_once(
    idle: Relay, database: Database
) -> None:
    """Not only when their claim ends: an order could end meanwhile, with earlier events missing."""
    (outbound,) = events(1)
    await store(database, [outbound], "me", datetime.now(UTC) + timedelta(hours=1))
    published_by(idle, outbound)

    await idle.forget_acknowledgements()

    claimed_until = await database.run(lambda db: db.scalar(select(tables.outbox.c.claimed_until)))
    assert claimed_until is not None
    assert claimed_until <= datetime.now(UTC)


async def test_acknowledgements_of_a_lost_connection_are_not_marked(idle: Relay) -> None:
    """The broker may have lost its store; a row that is not marked is published again."""
    (outbound,) = events(1)
    published_by(idle, outbound)

    async def lost_in_the_middle() -> None:
        with idle.acknowledgements():
            await idle.forget_acknowledgements()
            raise Outage("locked")

    with pytest.raises(Outage):
        await lost_in_the_middle()
    with idle.acknowledgements() as acknowledgements:
        assert acknowledgements.marks == {}
    published_by(idle, outbound)
    await idle.forget_acknowledgements()
    with idle.acknowledgements() as acknowledgements:
        assert acknowledgements.marks == {}


async def test_marks_under_way_when_the_connection_is_lost_are_undone(
    database: Database, idle: Relay
) -> None:
    uncertain, sure = events(2)
    await store(database, [uncertain, sure], "me", LONG_AGO)
    published_by(idle, sure)
    with idle.acknowledgements() as acknowledgements:
        await database.run(partial(mark_published, acknowledgements))
    idle.marked.clear()  # a check of the streams covers it
    published_by(idle, uncertain)
    with idle.acknowledgements() as acknowledgements:
        marking = asyncio.create_task(database.run(partial(mark_published, acknowledgements)))
        await asyncio.sleep(0)  # the writer has it
        await idle.forget_acknowledgements()
        await marking
    assert await published(database) == {uncertain.event_id: None, sure.event_id: 7}


async def test_events_that_a_full_stream_refuses_are_published_once_it_has_room(
    database: Database, nats_server: NatsServer
) -> None:
    async with relay(database, nats_server.url) as running, nats_server.jetstream() as jetstream:
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        assert isinstance(running.broker, JetStream)
        config = (await jetstream.stream_info("SAGA")).config
        limited = config.evolve(max_bytes=5_000, discard=DiscardPolicy.NEW)
        await jetstream.update_stream(limited)
        outbound = events(50)
        await store(database, outbound, *running.claim(datetime.now(UTC)))
        running.offer(outbound)

        async def is_full() -> bool:
            return running.broker.is_full

        await wait_until(is_full, "the stream refuses events")
        assert None in (await published(database)).values()
        await jetstream.update_stream(limited.evolve(max_bytes=100_000))
        await asyncio.wait_for(running.drained(), 10)
        await all_published(database)
        assert not running.broker.is_full
