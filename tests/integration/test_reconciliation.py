"""The broker's store is lost or set back after a service has published."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.broker.jetstream import JetStream
from chassis.broker.streams import stream_config
from chassis.outbox.reconciliation import Reconciler
from chassis.outbox.relay import Relay
from chassis.storage.database import Database
from events.contract import CATALOG, SAGA, ProductChanged, ProductStatus
from saga import envelope
from tests.integration.conftest import NatsServer
from tests.integration.test_relay import all_published, events, relay, store, stream
from tests.kit.client import wait_until


@asynccontextmanager
async def reconciled(database: Database, url: str) -> AsyncIterator[tuple[Relay, Reconciler]]:
    async with relay(database, url) as running:
        reconciler = Reconciler(database, running.broker, lambda: datetime.now(UTC), [SAGA])
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
            await jetstream.purge_stream("SAGA", seq=11)
        assert await reconciler.check(SAGA) == 0


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


async def make_catalogue(nats_server: NatsServer) -> None:
    """The stream, which the payment service does not use and therefore does not create."""
    async with nats_server.jetstream() as jetstream:
        await jetstream.add_stream(stream_config(CATALOG, 1))


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
