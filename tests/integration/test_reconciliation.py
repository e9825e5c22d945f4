"""The broker's store is lost or set back after a service has published."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError
from sqlalchemy import insert, update

from chassis.broker.jetstream import JetStream
from chassis.broker.streams import stream_config
from chassis.outbox.reconciliation import PROBES, Reconciler
from chassis.outbox.relay import Relay, mark_published
from chassis.processing.erasure import erase
from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import (
    CATALOG,
    CONTRACT,
    PERSONAL,
    SAGA,
    Address,
    PaymentFailed,
    ProductChanged,
    ProductStatus,
    ShippingAddressGiven,
)
from saga import envelope
from saga.event import Stream
from tests.integration.conftest import NatsServer
from tests.integration.test_relay import all_published, events, published, relay, store, stream
from tests.kit.client import wait_until
from tests.kit.postgres import create_database, program, running_postgres


@pytest.fixture(autouse=True)
def fast_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.outbox.relay.MARK_SECONDS", 0.05)
    monkeypatch.setattr("chassis.outbox.relay.SWEEP_SECONDS", 0.05)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def either_database(
    request: pytest.FixtureRequest, database_url: str
) -> AsyncIterator[Database]:
    if request.param == "postgresql":
        if program("initdb") is None:
            pytest.skip("PostgreSQL is not installed (make postgres)")
        server = request.getfixturevalue("postgres")
        database_url = create_database(server, f"d{uuid4().hex}")
    database = Database(database_url)
    indexes = tables.newest_only_indexes([CATALOG, PERSONAL])
    await database.create(tables.metadata, statements=indexes)
    yield database
    await database.close()


@asynccontextmanager
async def reconciled(database: Database, url: str) -> AsyncIterator[tuple[Relay, Reconciler]]:
    async with relay(database, url) as running:
        reconciler = Reconciler(
            database, running.broker, lambda: datetime.now(UTC), [PaymentFailed]
        )
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        yield running, reconciler


async def publish(database: Database, running: Relay, count: int) -> list[str]:
    return await publish_these(database, running, events(count))


async def publish_these(
    database: Database, running: Relay, outbound: list[envelope.OutboundEvent]
) -> list[str]:
    await store(database, outbound, *running.claim(datetime.now(UTC)))
    running.offer(outbound)
    await asyncio.wait_for(running.drained(), 10)
    await all_published(database)
    return [each.event_id for each in outbound]


async def held(nats_server: NatsServer, stream: Stream) -> dict[str, int]:
    """The first sequence of each event that the stream holds."""
    found: dict[str, int] = {}
    async with nats_server.jetstream() as jetstream:
        sequence = 1
        while True:
            try:
                message = await jetstream.get_msg(
                    stream.name, seq=sequence, subject=stream.subjects, direct=True, next=True
                )
            except NotFoundError:
                return found
            found.setdefault((message.headers or {})[envelope.EVENT_ID], message.seq or 0)
            sequence = (message.seq or 0) + 1


async def test_intact_stream_needs_no_publication(
    database: Database, nats_server: NatsServer
) -> None:
    async with reconciled(database, nats_server.url) as (running, reconciler):
        assert await reconciler.check(SAGA) == 0  # with nothing published yet
        await publish(database, running, 30)
        assert await reconciler.check(SAGA) == 0


async def test_deleted_store_is_filled_again(database: Database, nats_server: NatsServer) -> None:
    async with reconciled(database, nats_server.url) as (running, reconciler):
        ids = await publish(database, running, 300)
        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        assert await reconciler.check(SAGA) == 300
        await all_published(database)
        assert await reconciler.check(SAGA) == 0
    assert await stream(nats_server.url) == ids


@pytest.mark.parametrize("kept", [1, 20, 49])
async def test_store_that_was_set_back_gets_the_missing_events(
    database: Database, nats_server: NatsServer, tmp_path: Path, kept: int
) -> None:
    async with reconciled(database, nats_server.url) as (running, reconciler):
        first = await publish(database, running, kept)
        await nats_server.stop()
        shutil.copytree(nats_server.folder, tmp_path / "copy")
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        then = await publish(database, running, 50 - kept)
        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        shutil.copytree(tmp_path / "copy", nats_server.folder)
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        assert await reconciler.check(SAGA) == 50 - kept
        await all_published(database)
    assert await stream(nats_server.url) == first + then


async def test_other_events_at_the_same_sequences_are_not_mistaken(
    database: Database, nats_server: NatsServer
) -> None:
    """After a loss the stream grows again and holds other events at the same sequences."""
    async with reconciled(database, nats_server.url) as (running, reconciler):
        ids = await publish(database, running, 10)
        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        others = [running.outgoing(each) for each in events(25)]
        await running.broker.publish(others)
        assert await reconciler.check(SAGA) == 10
        await all_published(database)
    assert (await stream(nats_server.url))[25:] == ids


async def test_loss_is_noticed_although_the_stream_has_grown_past_it(
    database: Database, nats_server: NatsServer
) -> None:
    """The last row is stored where it should be, but the probe of the previous check is not."""
    async with reconciled(database, nats_server.url) as (running, reconciler):
        lost = await publish(database, running, 10)
        assert await reconciler.check(SAGA) == 0
        async with nats_server.jetstream() as jetstream:
            await jetstream.delete_stream("SAGA")
        assert isinstance(running.broker, JetStream)
        await running.broker.declare()
        then = await publish(database, running, 40)
        assert await reconciler.check(SAGA) == 10
        await all_published(database)
    assert await stream(nats_server.url) == then + lost


async def test_another_store_is_noticed_although_its_last_event_is_the_same(
    database: Database, nats_server: NatsServer, tmp_path: Path
) -> None:
    """The store from before a loss comes back, with the same events in another order."""
    outbound = events(10)
    async with reconciled(database, nats_server.url) as (running, reconciler):
        swapped = [outbound[1], outbound[0], *outbound[2:]]
        await running.broker.publish([running.outgoing(each) for each in swapped])
        await nats_server.stop()
        shutil.copytree(nats_server.folder, tmp_path / "copy")
        shutil.rmtree(nats_server.folder)
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        await publish_these(database, running, outbound)
        assert await reconciler.check(SAGA) == 0
        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        shutil.copytree(tmp_path / "copy", nats_server.folder)
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        assert await reconciler.check(SAGA, is_new_connection=True) == 2
        await all_published(database)
        assert await reconciler.check(SAGA, is_new_connection=True) == 0


async def test_expired_messages_are_not_lost(database: Database, nats_server: NatsServer) -> None:
    async with reconciled(database, nats_server.url) as (running, reconciler):
        await publish(database, running, 10)
        async with nats_server.jetstream() as jetstream:
            config = (await jetstream.stream_info("SAGA")).config
            await jetstream.update_stream(config.evolve(max_age=1, duplicate_window=1))

            async def is_empty() -> bool:
                return (await jetstream.stream_info("SAGA")).state.messages == 0

            await wait_until(is_empty, "all messages have expired")
        assert await reconciler.check(SAGA, is_thorough=True) == 0


async def test_messages_that_a_full_stream_removed_are_not_published_again(
    database: Database, nats_server: NatsServer
) -> None:
    """An operator's limit, with which the stream removes its oldest messages."""
    async with reconciled(database, nats_server.url) as (running, reconciler):
        await publish(database, running, 10)
        async with nats_server.jetstream() as jetstream:
            config = (await jetstream.stream_info("SAGA")).config
            await jetstream.update_stream(config.evolve(max_msgs=4))
        assert await reconciler.check(SAGA, is_thorough=True) == 0


Delete = Callable[[JetStreamContext, str], Awaitable[object]]

DELETIONS: dict[str, tuple[Delete, int]] = {
    "all": (lambda jetstream, _: jetstream.purge_stream("SAGA"), 300),
    "up to a sequence": (lambda jetstream, _: jetstream.purge_stream("SAGA", seq=201), 200),
    "all but the last": (lambda jetstream, _: jetstream.purge_stream("SAGA", keep=120), 180),
    "one saga": (lambda jetstream, key: jetstream.purge_stream("SAGA", subject=f"saga.{key}.*"), 1),
    "one message": (lambda jetstream, _: jetstream.delete_msg("SAGA", 77), 1),
}


@pytest.mark.parametrize("which", DELETIONS)
async def test_deleted_messages_are_published_again(
    either_database: Database, nats_server: NatsServer, which: str
) -> None:
    """The broker drops the same message for two minutes, although it has deleted it."""
    delete, deleted = DELETIONS[which]
    async with reconciled(either_database, nats_server.url) as (running, reconciler):
        outbound = events(300)
        await publish_these(either_database, running, outbound)
        assert await reconciler.check(SAGA) == 0
        async with nats_server.jetstream() as jetstream:
            await delete(jetstream, outbound[150].key)
        assert await reconciler.check(SAGA) == deleted
        await all_published(either_database)
        assert await reconciler.check(SAGA, is_thorough=True) == 0
    assert await held(nats_server, SAGA) == await published(either_database)


async def test_deletion_that_does_not_change_the_number_of_gaps_is_noticed(
    either_database: Database, nats_server: NatsServer
) -> None:
    """Another gap has left the stream since. The thorough check reads which gaps there are."""
    async with reconciled(either_database, nats_server.url) as (running, reconciler):
        await running.broker.publish([running.outgoing(each) for each in events(3)])
        await publish(either_database, running, 10)
        async with nats_server.jetstream() as jetstream:
            await jetstream.delete_msg("SAGA", 2)
            assert await reconciler.check(SAGA) == 0  # of no row
            await jetstream.purge_stream("SAGA", seq=3)
            await jetstream.delete_msg("SAGA", 7)
        assert await reconciler.check(SAGA) == 0
        assert await reconciler.check(SAGA, is_thorough=True) == 1
        await all_published(either_database)
        assert await reconciler.check(SAGA, is_thorough=True) == 0


async def test_deletion_is_noticed_although_the_publication_is_recorded_later(
    either_database: Database, nats_server: NatsServer
) -> None:
    """The gap was looked up while no row had its sequence yet."""
    async with reconciled(either_database, nats_server.url) as (running, reconciler):
        await publish(either_database, running, 3)
        [late] = outbound = events(1)
        [sequence] = await running.broker.publish([running.outgoing(late)])
        await publish(either_database, running, 3)
        async with nats_server.jetstream() as jetstream:
            await jetstream.delete_msg("SAGA", sequence or 0)
        assert await reconciler.check(SAGA, is_thorough=True) == 0
        await store(either_database, outbound, *running.claim(datetime.now(UTC)))
        now = datetime.now(UTC)
        recorded = update(tables.outbox).where(tables.outbox.c.event_id == late.event_id)
        values = {"published_at": now, "stream_sequence": sequence}
        await either_database.run(lambda connection: connection.execute(recorded.values(values)))
        assert await reconciler.check(SAGA, is_thorough=True) == 1
        await all_published(either_database)
        assert await reconciler.check(SAGA, is_thorough=True) == 0
    assert await held(nats_server, SAGA) == await published(either_database)


async def test_loss_is_noticed_although_another_instance_has_filled_the_stream_again(
    database: Database, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is marked between the other instance's check and that of its own."""
    monkeypatch.setattr("chassis.outbox.relay.MARK_SECONDS", 3600)

    async def mark(running: Relay) -> None:
        with running.acknowledgements() as taken:
            await database.run(partial(mark_published, taken))

    async with reconciled(database, nats_server.url) as (running, reconciler):
        late = events(1)
        await store(database, late, *running.claim(datetime.now(UTC)))
        running.offer(late)
        await asyncio.wait_for(running.drained(), 10)
        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        others = events(PROBES + 1)
        sequences = await running.broker.publish([running.outgoing(each) for each in others])
        now = datetime.now(UTC)
        claim = {"claimed_by": "another", "claimed_until": now, "published_at": now}
        rows = [
            msgspec.structs.asdict(each) | claim | {"stream_sequence": sequence}
            for each, sequence in zip(others, sequences, strict=True)
        ]
        await database.run(lambda connection: connection.execute(insert(tables.outbox), rows))
        await mark(running)
        await running.forget_acknowledgements()
        await reconciler.check_all(is_new_connection=True)

        async def is_there() -> bool:
            return late[0].event_id in await held(nats_server, SAGA)

        await wait_until(is_there, "the lost event is published again")
        await mark(running)
    assert await held(nats_server, SAGA) == await published(database)


async def test_periodic_check_notices_a_loss(
    database: Database, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.outbox.reconciliation.CHECK_SECONDS", 0.1)
    async with reconciled(database, nats_server.url) as (running, reconciler):
        ids = await publish(database, running, 5)
        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        await nats_server.start()
        task = asyncio.create_task(reconciler.run())

        async def refilled() -> bool:
            return len(await stream(nats_server.url)) == 5

        await asyncio.wait_for(running.broker.wait_connected(), 10)
        await wait_until(refilled, "the stream is filled again")
        await all_published(database)
        task.cancel()
        assert await stream(nats_server.url) == ids


async def make_stream(nats_server: NatsServer, made: Stream) -> None:
    """One that the payment service does not use and therefore does not create."""
    async with nats_server.jetstream() as jetstream:
        await jetstream.add_stream(stream_config(made, 1))


async def make_catalogue(nats_server: NatsServer) -> None:
    await make_stream(nats_server, CATALOG)


def changed(product_id: str, version: int) -> envelope.OutboundEvent:
    event = ProductChanged(
        product_id=product_id,
        version=version,
        name="Cake",
        price=version,
        status=ProductStatus.ACTIVE,
    )
    return envelope.encode(event, datetime.now(UTC))


async def test_older_message_that_came_later_is_replaced_again(
    database: Database, nats_server: NatsServer
) -> None:
    """Two instances publish at the same time, and the newer event arrived first."""
    older, newer = (changed("cake", version) for version in (1, 2))
    await make_catalogue(nats_server)
    async with reconciled(database, nats_server.url) as (running, reconciler):
        await publish_these(database, running, [changed("pie", 1), newer])
        await running.broker.publish([running.outgoing(older)])
        assert await reconciler.check(CATALOG) == 1
        await all_published(database)
        assert await reconciler.check(CATALOG) == 0
    async with nats_server.jetstream() as jetstream:
        held = await jetstream.get_last_msg(CATALOG.name, newer.subject)
        assert (held.headers or {})[envelope.EVENT_ID] == newer.event_id


async def test_message_replaced_by_a_newer_one_is_not_lost(
    database: Database, nats_server: NatsServer
) -> None:
    """The catalogue keeps only the newest message of a product."""
    first, second = str(uuid4()), str(uuid4())
    await make_catalogue(nats_server)
    async with reconciled(database, nats_server.url) as (running, reconciler):
        for version in range(1, 6):
            await publish_these(database, running, [changed(first, version)])
            assert await reconciler.check(CATALOG) == 0
        await publish_these(database, running, [changed(second, 1)])
        assert await reconciler.check(CATALOG) == 0

        await nats_server.stop()
        shutil.rmtree(nats_server.folder)
        await nats_server.start()
        await make_catalogue(nats_server)
        await asyncio.wait_for(running.broker.wait_connected(), 10)

        assert await reconciler.check(CATALOG) == 2
        await all_published(database)
        assert await reconciler.check(CATALOG) == 0


@pytest.mark.parametrize("is_hidden", [False, True])
async def test_deleted_newest_message_is_published_again(
    either_database: Database, nats_server: NatsServer, is_hidden: bool
) -> None:
    """Fewer messages show it; a new key hides that from all checks but the thorough ones."""
    deleted, *others = (str(uuid4()) for _ in range(30))
    await make_catalogue(nats_server)
    async with reconciled(either_database, nats_server.url) as (running, reconciler):
        await publish_these(
            either_database, running, [changed(each, 1) for each in (deleted, *others)]
        )
        await publish_these(either_database, running, [changed(each, 2) for each in others])
        assert await reconciler.check(CATALOG, is_thorough=True) == 0
        async with nats_server.jetstream() as jetstream:
            await jetstream.purge_stream("CATALOG", subject=f"catalog.{deleted}.*")
        if is_hidden:
            await publish_these(either_database, running, [changed(str(uuid4()), 1)])
        assert await reconciler.check(CATALOG, is_thorough=is_hidden) == 1
        await all_published(either_database)
        assert await reconciler.check(CATALOG, is_thorough=True) == 0
    assert (await published(either_database)).items() >= (await held(nats_server, CATALOG)).items()


def shipped(customer: str) -> envelope.OutboundEvent:
    address = Address(street="1 Road", postal_code="1", city="Seoul")
    given = ShippingAddressGiven(customer_id=customer, order_id=str(uuid4()), address=address)
    return envelope.encode(given, datetime.now(UTC))


@pytest.mark.parametrize("others", [0, 7], ids=["alone", "beside those of another service"])
async def test_deleted_entry_of_a_key_is_published_again(
    either_database: Database, nats_server: NatsServer, others: int
) -> None:
    """Each entry is kept, and messages of another service make up for no deleted one."""
    customer = str(uuid4())
    await make_stream(nats_server, PERSONAL)
    async with reconciled(either_database, nats_server.url) as (running, reconciler):
        own = [shipped(customer) for _ in range(5)]
        await publish_these(either_database, running, own)
        assert await reconciler.check(PERSONAL, is_thorough=True) == 0
        async with nats_server.jetstream() as jetstream:
            for _ in range(others):
                subject = f"personal.{customer}.AddressChanged.{uuid4()}"
                await jetstream.publish(subject, b"")
            assert await reconciler.check(PERSONAL, is_thorough=True) == 0
            await jetstream.purge_stream("PERSONAL", subject=own[2].subject)
        assert await reconciler.check(PERSONAL, is_thorough=bool(others)) == 1
        await all_published(either_database)
        assert await reconciler.check(PERSONAL, is_thorough=True) == 0


@pytest.mark.parametrize("is_lost", [False, True], ids=["intact store", "lost store"])
async def test_erased_key_is_not_published_again(
    either_database: Database, nats_server: NatsServer, is_lost: bool
) -> None:
    erased, kept = str(uuid4()), str(uuid4())
    await make_stream(nats_server, PERSONAL)
    async with reconciled(either_database, nats_server.url) as (running, reconciler):
        remaining = [shipped(kept) for _ in range(3)]
        await publish_these(
            either_database, running, [*remaining, *(shipped(erased) for _ in range(3))]
        )
        assert await reconciler.check(PERSONAL, is_thorough=True) == 0
        await either_database.run(lambda connection: erase(connection, CONTRACT, {erased}))
        if is_lost:
            await nats_server.stop()
            shutil.rmtree(nats_server.folder)
            await nats_server.start()
            await make_stream(nats_server, PERSONAL)
            await asyncio.wait_for(running.broker.wait_connected(), 10)
        else:
            await running.broker.purge("PERSONAL", PERSONAL.subjects_of(erased))
        assert await reconciler.check(PERSONAL, is_thorough=True) == (3 if is_lost else 0)
        await all_published(either_database)
        assert await reconciler.check(PERSONAL, is_thorough=True) == 0
    held_ids = set(await held(nats_server, PERSONAL))
    assert held_ids == {each.event_id for each in remaining}


async def test_row_that_was_erased_while_the_broker_was_away_is_never_published(
    database: Database, nats_server: NatsServer
) -> None:
    """An instance without a broker has it in memory, while another one handles the erasure."""
    erased, kept = shipped(str(uuid4())), shipped(str(uuid4()))
    await make_stream(nats_server, PERSONAL)
    async with relay(database, nats_server.url) as running:
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        await nats_server.stop()
        await store(database, [erased, kept], *running.claim(datetime(2020, 1, 1, tzinfo=UTC)))
        running.offer([erased, kept])
        await database.run(lambda connection: erase(connection, CONTRACT, {erased.key}))
        await running.forget_acknowledgements()  # as the outbox does before it publishes again
        await nats_server.start()
        await asyncio.wait_for(running.broker.wait_connected(), 10)
        await all_published(database)
        await asyncio.wait_for(running.drained(), 10)
    assert set(await held(nats_server, PERSONAL)) == {kept.event_id}
