"""The product service's side of the gate for hot products: it alone knows what is available.

After each commit it says what is left and which orders are decided, in the order of the commits.
Twice a second it says what is left all the same, for a word may have been lost.
"""

import asyncio
import logging
from collections.abc import Mapping

from chassis.components import Component
from chassis.observability import metrics
from chassis.redis.leases import CountedLeases
from chassis.service import Service
from product import store
from product.domain import Shelves
from product.settings import Settings
from saga.errors import RetryLater

log = logging.getLogger(__name__)

TELL_SECONDS = 0.5


class StockPublisher(Component[Shelves]):
    """One per instance. Without REDIS_URL there is nobody to tell."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url
        self._leases = CountedLeases(url, marker_seconds=0) if url else None
        self._hot: frozenset[str] = frozenset()
        self._words: asyncio.Queue[tuple[Mapping[str, int], list[str]]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def committed(self, shelves: Shelves) -> None:
        """Tell what a batch has changed."""
        if not self._hot:
            return
        available = {
            product_id: shelves.products[product_id].available
            for product_id in self._hot.intersection(shelves.products.changed_keys)
        }
        decided = list(shelves.holds.changed_keys)
        if available or decided:
            self._words.put_nowait((available, decided))

    async def start(self, service: Service[Shelves]) -> None:
        if self._leases is not None:
            tell, look = self._tell(self._leases), self._look(service, self._leases)
            self._tasks = [asyncio.create_task(tell), asyncio.create_task(look)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._leases is not None:
            await self._leases.close()

    async def _tell(self, leases: CountedLeases) -> None:
        while True:
            available, decided = await self._words.get()
            for product_id, units in available.items():
                await leases.renew(product_id, units, decided)
            if set(available) != self._hot:  # a refusal changes no stock, and ends a lease too
                await leases.end(decided)

    async def _look(self, service: Service[Shelves], leases: CountedLeases) -> None:
        """Say again what is available, and note by how much the gate was off."""
        while True:
            self._hot = await leases.products()
            try:
                async with service.reading() as connection:
                    products = await store.find_products(connection, self._hot)
                drift = [await leases.renew(each.product_id, each.available) for each in products]
                metrics.hot_product_drift.set(sum(map(abs, drift)))
            except RetryLater:
                log.warning("what is available can't be read; trying again")
            await asyncio.sleep(TELL_SECONDS)
