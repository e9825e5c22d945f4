"""The disk of the whole stack is full for a while, and the stream reaches its limit.

Everything heals by itself once there is room again: no part is started by hand.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from nats.aio.client import Client

from infra.stack import config, health, pids, processes
from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.order_load import OrderLoad, start_load
from tests.kit.client import Response, Shop, open_shop, order, running_stack, wait_until
from tests.kit.disks import append, fill, small_file_system

DISK_BYTES = 256 * 1024 * 1024
STREAM_BYTES = 12_000_000
FILLER = "saga.00000000-0000-4000-8000-000000000000.Filler"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A file system of its own; None where none can be mounted."""
    folder = tmp_path_factory.mktemp("small_disk")
    with small_file_system(folder, DISK_BYTES) as is_mounted:
        yield folder if is_mounted else None


@pytest.fixture(scope="module")
def small_stack(
    small_disk: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """A stack on that file system, with a stream that holds about 3,000 orders."""
    folder = (small_disk or tmp_path_factory.mktemp("small_stack")) / "state"
    with running_stack(folder, NATS_STREAM_BYTES=str(STREAM_BYTES)) as environment:
        yield environment


@pytest.fixture
async def shop(small_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(small_stack) as shop:
        await shop.wait_until_ready()
        yield shop


def fill_all(disk: Path, logs: Path) -> None:
    """Write until nothing more can be written, also not to the last pages of the logs."""
    fill(disk / "filler")
    for file in logs.glob("*.log"):
        append(file, b"\n")


async def publish_filler(shop: Shop, is_enough: Callable[[Client], Awaitable[bool]]) -> None:
    """Publish large messages that no service handles."""
    async with shop.nats() as client:
        while not await is_enough(client):
            await client.publish(FILLER, bytes(200_000))
            await client.flush()


async def assert_all_end(orders: OrderLoad) -> None:
    for order_id in orders.accepted.values():
        await orders.shop.wait_until_ended(order_id, 60)
    assert await found_wrong(orders.shop) == []


async def test_full_disk_heals_by_itself(shop: Shop, small_disk: Path | None) -> None:
    """The broker is restarted, and the supervisor survives that it can't write its log."""
    if small_disk is None:
        pytest.skip("a small file system can't be mounted here: it needs Linux and root")
    stack = config.recorded(Path(shop.environment["STATE_DIR"]))
    assert stack is not None
    supervisor, broker = (pids.alive(stack.state_dir, each) for each in (pids.SUPERVISOR, "nats"))
    orders = await start_load(shop)

    async def does_broker_refuse(_: Client) -> bool:
        return "no space left" in await asyncio.to_thread(health.problem_of_broker, stack, "nats")

    coupon = pids.alive(stack.state_dir, "coupon")

    async def has_supervisor_logged_it() -> bool:
        return (await asyncio.to_thread(processes.one, stack, "coupon")).pid != coupon

    async with orders.keep_placing():
        await orders.wait_for_more(20)
        fill_all(small_disk, stack.state_dir / "logs")
        await publish_filler(shop, does_broker_refuse)
        await asyncio.to_thread(shop.command, "kill", "coupon")
        await wait_until(has_supervisor_logged_it, "the supervisor has noticed that coupon ended")
        (small_disk / "filler").unlink()
        await orders.wait_for_more(20)
    await shop.wait_until_ready()
    await assert_all_end(orders)
    assert pids.alive(stack.state_dir, pids.SUPERVISOR) == supervisor
    assert pids.alive(stack.state_dir, "nats") != broker


async def test_orders_are_refused_before_the_stream_is_full(shop: Shop) -> None:
    """The orders that are under way then use the rest."""
    orders = await start_load(shop)
    await asyncio.to_thread(shop.command, "stop", "payment")
    await orders.place(10)

    async def is_nearly_full(client: Client) -> bool:
        state = (await client.jetstream().stream_info("SAGA")).state
        return state.bytes > 0.92 * STREAM_BYTES

    async def place_one() -> Response:
        body = order(orders.rich, (orders.product, 1))
        return await shop.call("order", "POST", "/api/v1/orders", body)

    async def is_refused() -> bool:
        answer = await place_one()
        return answer.status == 503 and "stream is full" in answer.body["message"]

    await publish_filler(shop, is_nearly_full)
    await wait_until(is_refused, "orders are refused")
    await asyncio.to_thread(shop.command, "start", "payment")
    for order_id in orders.accepted.values():
        await shop.wait_until_ended(order_id, 60)
    assert await is_refused()

    async with shop.nats() as client:
        await client.jetstream().purge_stream("SAGA", subject=FILLER)

    async def is_accepted() -> bool:
        return (await place_one()).status == 202

    await wait_until(is_accepted, "orders are accepted again")
    await shop.wait_until_idle()
    await assert_all_end(orders)
