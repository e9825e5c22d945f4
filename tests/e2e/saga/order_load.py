"""Orders that are placed while parts of the stack fail, and the sums that they must result in."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import aiohttp

from tests.e2e.saga.broker_stream import subjects
from tests.e2e.saga.event_chains import COMPLETED, NOT_PAID
from tests.kit.client import SERVICES, Shop, order, wait_until


def is_poor(key: str) -> bool:
    """Every fourth order is of a poor customer, as its key shows."""
    return key < "4"


class OrderLoad:
    """Orders that can be paid and orders that can't. Each is sent until it is accepted."""

    def __init__(self, shop: Shop, rich: str, poor: str, product: str) -> None:
        self.shop = shop
        self.rich = rich
        self.poor = poor
        self.product = product
        self.charged = 10_000_000
        self.stocked = 10_000
        self.accepted: dict[str, str] = {}

    async def place(self, count: int) -> None:
        for _ in range(count):
            await self._place_one()

    @asynccontextmanager
    async def keep_placing(self) -> AsyncIterator[None]:
        """Three clients place orders until the block ends."""
        stopped = asyncio.Event()

        async def place_until_stopped() -> None:
            while not stopped.is_set():
                # Each client waits for the end of its order, which limits the rate.
                await self._place_one(prefer="wait=1")

        async with asyncio.TaskGroup() as clients:
            for _ in range(3):
                clients.create_task(place_until_stopped())
            try:
                yield
            finally:
                stopped.set()

    async def wait_for_more(self, count: int) -> None:
        """Wait until `count` more orders are accepted."""
        wanted = len(self.accepted) + count

        async def enough() -> bool:
            return len(self.accepted) >= wanted

        await wait_until(enough, f"{count} more orders are accepted", 60)

    async def _place_one(self, **headers: str) -> None:
        """Place an order, again under its key until it is accepted."""
        key = str(uuid4())
        accepted = partial(self._is_accepted, key, headers)
        await wait_until(accepted, "an order is accepted", 60)

    async def _is_accepted(self, key: str, headers: Mapping[str, str]) -> bool:
        body = order(self.poor if is_poor(key) else self.rich, (self.product, 1))
        try:
            answer = await self.shop.call(
                "order", "POST", "/api/v1/orders", body, idempotency_key=key, **headers
            )
        except aiohttp.ClientError:
            return False
        assert answer.status in (200, 202, 503), answer
        if answer.status != 503:
            self.accepted[key] = answer.body["orderId"]
        return answer.status != 503

    async def assert_all_ended(self, timeout_seconds: float = 20) -> None:
        """Assert that each order has its end, and that stock, money and events add up."""
        shop = self.shop
        poor = sum(map(is_poor, self.accepted))
        rich = len(self.accepted) - poor
        assert len(set(self.accepted.values())) == len(self.accepted)
        assert await shop.count_ends(self.rich, timeout_seconds) == {"COMPLETED": rich, "FAILED": 0}
        assert await shop.count_ends(self.poor, timeout_seconds) == {"COMPLETED": 0, "FAILED": poor}
        await shop.wait_until_idle()
        assert await shop.stock(self.product) == (self.stocked - rich, 0)
        assert await shop.balance(self.rich) == self.charged - 100 * rich
        assert await shop.balance(self.poor) == 0
        held = await subjects(shop)
        for order_id in self.accepted.values():
            assert set(held[order_id].values()) == {1}, held[order_id]
            assert set(held[order_id]) in (set(COMPLETED), set(NOT_PAID)), held[order_id]
        for service in SERVICES:
            assert await shop.dead_letters(service) == []
            assert await shop.unsettled(service) == []


async def start_load(shop: Shop) -> OrderLoad:
    product = await shop.create_product(price=100, stock=10_000)
    return OrderLoad(
        shop, await shop.create_wallet(10_000_000), await shop.create_wallet(0), product
    )
