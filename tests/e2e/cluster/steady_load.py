"""A steady load of orders, and each service's connection to the broker while it lasts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.kit.client import SERVICES, Json, Shop, order

ORDERS_PER_SECOND = 5
POLLS_PER_SECOND = 5


class SteadyLoad:
    """Orders at a fixed rate, each sent once: an order that is not accepted is a failure."""

    def __init__(self, shop: Shop, customer: str, product: str) -> None:
        self.accepted: list[str] = []
        self._shop = shop
        self._body = order(customer, (product, 1))
        self._cut_off_since: dict[str, float] = {}
        self._cut_off_seconds = dict.fromkeys(SERVICES, 0.0)

    @property
    def longest_cut_off(self) -> tuple[float, str]:
        """The longest time for which a service was not connected to the broker, in seconds."""
        return max((seconds, service) for service, seconds in self._cut_off_seconds.items())

    def count_cut_off_from_now(self) -> None:
        """Forget the time before: too few servers were there to connect to."""
        now = time.monotonic()
        self._cut_off_since = dict.fromkeys(self._cut_off_since, now)
        self._cut_off_seconds = dict.fromkeys(SERVICES, 0.0)

    async def place_some(self, count: int) -> None:
        """Wait until so many more orders are accepted."""
        wanted = len(self.accepted) + count
        async with asyncio.timeout(20):
            while len(self.accepted) < wanted:
                await asyncio.sleep(0.05)

    async def ended(self) -> list[Json]:
        """All orders, once each has ended."""
        return [await self._shop.wait_until_ended(each, 30) for each in self.accepted]

    async def keep_placing(self) -> None:
        while True:
            answer = await self._shop.call("order", "POST", "/api/v1/orders", self._body)
            assert answer.status == 202, answer
            self.accepted.append(answer.body["orderId"])
            await asyncio.sleep(1 / ORDERS_PER_SECOND)

    async def keep_polling(self) -> None:
        while True:
            for service in SERVICES:
                self._note(service, await self._is_connected(service))
            await asyncio.sleep(1 / POLLS_PER_SECOND)

    async def _is_connected(self, service: str) -> bool:
        answer = await self._shop.call(service, "GET", "/health/ready")
        return bool(answer.body["checks"]["broker"]["ok"])

    def _note(self, service: str, is_connected: bool) -> None:
        now = time.monotonic()
        since = self._cut_off_since.setdefault(service, now)
        self._cut_off_seconds[service] = max(self._cut_off_seconds[service], now - since)
        if is_connected:
            del self._cut_off_since[service]


@asynccontextmanager
async def steady_load(shop: Shop) -> AsyncIterator[SteadyLoad]:
    """Orders arrive while the block runs. Raises AssertionError when one is not accepted."""
    customer = await shop.create_wallet(10_000_000)
    load = SteadyLoad(shop, customer, await shop.create_product(price=100, stock=10_000))
    tasks = [asyncio.create_task(load.keep_placing()), asyncio.create_task(load.keep_polling())]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def until_whole(shop: Shop, timeout_seconds: float = 30) -> None:
    """Wait until all servers have all streams."""
    async with asyncio.timeout(timeout_seconds):
        while not await _is_whole(shop):
            await asyncio.sleep(0.1)


async def _is_whole(shop: Shop) -> bool:
    try:
        async with shop.nats() as client:
            infos = [await client.jetstream().stream_info(name) for name in ("SAGA", "CATALOG")]
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
    replicas = [each for info in infos if info.cluster for each in info.cluster.replicas or []]
    return len(replicas) == 4 and all(each.current and not each.offline for each in replicas)
