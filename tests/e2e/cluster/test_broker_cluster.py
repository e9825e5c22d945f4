"""Servers of the broker's cluster fail under load: every order is accepted and ends."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.stack import config, health, pids
from infra.stack.config import BROKERS
from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.cluster.steady_load import SteadyLoad, steady_load, until_whole
from tests.kit.client import Shop, wait_until
from tests.kit.disks import fill, small_file_system

MAX_CUT_OFF_SECONDS = 15
AWAY_SECONDS = 3
DISK_BYTES = 256 * 1024 * 1024


@pytest.fixture
def shop(cluster_shop: Shop) -> Shop:
    return cluster_shop


@asynccontextmanager
async def all_is_well_after(shop: Shop) -> AsyncIterator[SteadyLoad]:
    """A steady load around the block. Then every order ends and the audit is clean."""
    async with steady_load(shop) as load:
        await load.place_some(5)
        yield load
        await until_whole(shop)
        await shop.wait_until_ready()
        await load.place_some(5)
    assert {each["status"] for each in await load.ended()} == {"COMPLETED"}
    assert await found_wrong(shop) == []
    seconds, service = load.longest_cut_off
    assert seconds < MAX_CUT_OFF_SECONDS, service


async def command(shop: Shop, *words: str) -> None:
    await asyncio.to_thread(shop.command, *words)


async def leader(shop: Shop) -> str:
    """The server that leads the stream SAGA."""
    async with shop.nats() as client:
        cluster = (await client.jetstream().stream_info("SAGA")).cluster
    assert cluster is not None
    assert cluster.leader is not None
    return cluster.leader


async def test_every_stream_and_durable_has_three_copies(shop: Shop) -> None:
    async with shop.nats() as client:
        jetstream = client.jetstream()
        for stream in ("SAGA", "CATALOG"):
            assert (await jetstream.stream_info(stream)).config.num_replicas == len(BROKERS)
            for durable in await jetstream.consumers_info(stream):
                assert durable.cluster is not None
                assert len(durable.cluster.replicas or []) == len(BROKERS) - 1


async def test_command_applies_the_number_of_replicas(shop: Shop) -> None:
    async with shop.nats() as client:
        jetstream = client.jetstream()
        config = (await jetstream.stream_info("CATALOG")).config
        await jetstream.update_stream(config.evolve(num_replicas=1))
        printed = await asyncio.to_thread(shop.command, "streams")
        assert "CATALOG: changed. num_replicas is 1, and should be 3" in printed
        assert (await jetstream.stream_info("CATALOG")).config.num_replicas == 3
    await until_whole(shop)
    assert await asyncio.to_thread(shop.command, "streams") == "Every stream has its settings.\n"


async def test_killed_leader(shop: Shop) -> None:
    async with all_is_well_after(shop):
        await command(shop, "kill", await leader(shop))


async def test_wiped_server(shop: Shop) -> None:
    async with all_is_well_after(shop) as load:
        server = await leader(shop)
        await command(shop, "stop", server)
        shutil.rmtree(Path(shop.environment["STATE_DIR"]) / "cluster" / server)
        await load.place_some(5)
        await command(shop, "start", server)


async def test_two_servers_away(shop: Shop) -> None:
    """One server stores no events alone: orders are accepted, and end once the others are back."""
    async with all_is_well_after(shop) as load:
        first = await leader(shop)
        second = next(each for each in BROKERS if each != first)
        await asyncio.gather(*(command(shop, "stop", each) for each in (first, second)))
        await load.place_some(5 * AWAY_SECONDS)
        await asyncio.gather(*(command(shop, "start", each) for each in (first, second)))
        load.count_cut_off_from_now()


async def test_rolling_restart(shop: Shop) -> None:
    async with all_is_well_after(shop) as load:
        for server in BROKERS:
            await command(shop, "stop", server)
            await load.place_some(3)
            await command(shop, "start", server)
            await until_whole(shop)


async def test_full_disk_of_one_server(shop: Shop) -> None:
    """The other two go on. The server is restarted once its disk has room, and catches up."""
    stack = config.recorded(Path(shop.environment["STATE_DIR"]))
    assert stack is not None
    leading = await leader(shop)
    server = next(each for each in BROKERS if each != leading)
    store = stack.state_dir / "cluster" / server
    await command(shop, "stop", server)
    shutil.rmtree(store)
    with small_file_system(store, DISK_BYTES) as is_mounted:
        if not is_mounted:
            await command(shop, "start", server)
            pytest.skip("a small file system can't be mounted here: it needs Linux and root")
        await command(shop, "start", server)
        await until_whole(shop)
        process = pids.alive(stack.state_dir, server)

        async def stores_nothing() -> bool:
            return bool(await asyncio.to_thread(health.problem_of_broker, stack, server))

        async def is_restarted() -> bool:
            return pids.alive(stack.state_dir, server) != process

        async with all_is_well_after(shop) as load:
            fill(store / "filler")
            await wait_until(stores_nothing, f"{server} can't write", 60)
            await load.place_some(20)
            (store / "filler").unlink()
            await wait_until(is_restarted, f"{server} is restarted")
        await command(shop, "stop", server)
    shutil.rmtree(store)
    await command(shop, "start", server)
    await until_whole(shop)
