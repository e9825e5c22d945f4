"""Thousands follow their orders at once: all are told everything, and it costs little memory."""

import asyncio
import resource
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from infra.stack import pids
from tests.e2e.saga.live_client import following, listeners, subscriptions
from tests.kit.client import Shop, open_shop, order, running_stack, wait_until

BOUGHT = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]
OVERLOAD = 2_000
AT_ONCE = 100
MAX_KILOBYTES = 100
"""So much memory of the service a listener may take, all told."""


@pytest.fixture(scope="module")
def overloaded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """With connections for all of them: half of what a process may open is for listeners."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * OVERLOAD), hard))
    with running_stack(tmp_path_factory.mktemp("live"), LATE_SECONDS="0") as environment:
        yield environment
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def overloaded_shop(overloaded_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(overloaded_stack) as shop:
        yield shop


async def test_a_crowd_follows_its_orders(overloaded_shop: Shop) -> None:
    """One of them reads nothing at all, which is nobody else's trouble."""
    shop = overloaded_shop
    customer, product = (
        await shop.create_wallet(10 * OVERLOAD),
        await shop.create_product(10, OVERLOAD + 1),
    )
    idle = await subscriptions(shop)
    await asyncio.to_thread(shop.command, "stop", "payment")
    try:
        turn = asyncio.Semaphore(AT_ONCE)

        async def place() -> str:
            async with turn:
                return await shop.place(order(customer, (product, 1)))

        order_ids = await asyncio.gather(*(place() for _ in range(OVERLOAD)))
        await asyncio.gather(
            *(shop.wait_for_events(each, "StockDecremented") for each in order_ids[-AT_ONCE:])
        )
        before = kilobytes(shop)
        sleeper = deaf_client(shop, order_ids[0])
        waiting = 0

        async def follow(order_id: str) -> list[str]:
            nonlocal waiting
            async with following(shop, order_id) as client:
                await client.until("StockDecremented")
                waiting += 1
                return await client.to_the_end()

        overload = [asyncio.create_task(follow(each)) for each in order_ids]

        async def all_wait() -> bool:
            return waiting == OVERLOAD or any(each.done() for each in overload)

        await wait_until(all_wait, "everybody waits", 120)
        assert waiting == OVERLOAD
        assert await listeners(shop) == OVERLOAD + 1
        assert await subscriptions(shop) == idle + OVERLOAD + 1
        each_takes = (kilobytes(shop) - before) / OVERLOAD
        print(f"\na listener takes {each_takes:.1f} kB")
        assert each_takes < MAX_KILOBYTES
    finally:
        await asyncio.to_thread(shop.command, "start", "payment")

    assert await asyncio.gather(*overload) == [BOUGHT] * OVERLOAD
    sleeper.close()

    async def all_are_gone() -> bool:
        return (await listeners(shop), await subscriptions(shop)) == (0, idle)

    await wait_until(all_are_gone, "nothing is left of them")


def deaf_client(shop: Shop, order_id: str) -> socket.socket:
    """A client that asks, and then reads nothing."""
    port = int(shop.environment["ORDER_PORT"])
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /api/v1/orders/{order_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def kilobytes(shop: Shop) -> int:
    """The memory of the order service's process."""
    pid = pids.alive(Path(shop.environment["STATE_DIR"]), "order")
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)]))
