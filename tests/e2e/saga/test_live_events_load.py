"""A thousand clients follow their orders at once, at little memory for each."""

import asyncio
import resource
import socket
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.e2e.saga.event_chains import COMPLETED
from tests.e2e.saga.listeners import listeners, subscriptions
from tests.kit.client import Shop, free_port, open_shop, order, wait_until
from tests.kit.order_events import follow_order
from tests.kit.service_instances import is_ready, start_second_instance

CLIENTS = 1_000
AT_ONCE = 100
MAX_KILOBYTES = 100
"""The service's memory for one client that follows an order."""


@pytest.fixture
async def order_instance(breakable_shop: Shop) -> AsyncIterator[tuple[Shop, int]]:
    """An instance of the order service that admits every order, and its process id.

    It may open connections for all clients: half of them are for clients of live events.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * CLIENTS), hard))
    port = free_port()
    process = start_second_instance(breakable_shop.environment, "order", port, LATE_SECONDS="0")
    try:
        addresses = {**breakable_shop.environment, "ORDER_URL": f"http://127.0.0.1:{port}"}
        async with open_shop(addresses) as shop:
            await wait_until(partial(is_ready, shop, "order"), "the instance is ready", 60)
            yield shop, process.pid
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_thousand_clients_follow_their_orders(order_instance: tuple[Shop, int]) -> None:
    """A client that reads nothing does not disturb the others."""
    shop, pid = order_instance
    customer, product = (
        await shop.create_wallet(10 * CLIENTS),
        await shop.create_product(10, CLIENTS + 1),
    )
    idle = await subscriptions(shop)
    await asyncio.to_thread(shop.command, "stop", "payment")
    try:
        turn = asyncio.Semaphore(AT_ONCE)

        async def place() -> str:
            async with turn:
                return await shop.place(order(customer, (product, 1)))

        order_ids = await asyncio.gather(*(place() for _ in range(CLIENTS)))
        await asyncio.gather(
            *(shop.wait_for_events(each, "StockDecremented") for each in order_ids[-AT_ONCE:])
        )
        before = kilobytes(pid)
        silent = connect_without_reading(shop, order_ids[0])
        waiting = 0

        async def follow(order_id: str) -> list[str]:
            nonlocal waiting
            async with follow_order(shop, order_id) as client:
                await client.wait_for("StockDecremented")
                waiting += 1
                return await client.read_to_end()

        clients = [asyncio.create_task(follow(each)) for each in order_ids]

        async def all_wait() -> bool:
            return waiting == CLIENTS or any(each.done() for each in clients)

        await wait_until(all_wait, "all clients wait", 120)
        assert waiting == CLIENTS
        assert await listeners(shop) == CLIENTS + 1
        assert await subscriptions(shop) == idle + CLIENTS + 1
        each_takes = (kilobytes(pid) - before) / CLIENTS
        assert each_takes < MAX_KILOBYTES
    finally:
        await asyncio.to_thread(shop.command, "start", "payment")

    assert await asyncio.gather(*clients) == [COMPLETED] * CLIENTS
    silent.close()

    async def all_are_gone() -> bool:
        return (await listeners(shop), await subscriptions(shop)) == (0, idle)

    await wait_until(all_are_gone, "no listener and no subscription is left")


def connect_without_reading(shop: Shop, order_id: str) -> socket.socket:
    """A client that sends a request and reads nothing."""
    port = urlsplit(shop.environment["ORDER_URL"]).port
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /api/v1/orders/{order_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def kilobytes(pid: int) -> int:
    """The memory of a process."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)]))
