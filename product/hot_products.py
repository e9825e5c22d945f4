"""Product's side of hot-product admission: it alone knows how many units are available.

After each commit it publishes to Redis the available units and the orders that are decided, in the
order of the commits. Twice a second it publishes the available units in any case, since an update
may have been lost.
"""

import asyncio
import logging
from collections.abc import Mapping

from prometheus_client import Gauge

from chassis.components import Component
from chassis.redis.leases import CountedLeases
from chassis.service import Service
from product import store
from product.settings import Settings
from product.unit_of_work import ProductUnitOfWork
from saga.errors import RetryLater

log = logging.getLogger(__name__)

drift_units = Gauge(
    "shop_hot_product_drift_units",
    "By how much the limits of all hot products were wrong before they were renewed.",
)

REFRESH_SECONDS = 0.5


class StockPublisher(Component[ProductUnitOfWork]):
    """One for each instance. Without REDIS_URL it does nothing."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url
        self._leases = CountedLeases(url, marker_seconds=0) if url else None
        self._hot: frozenset[str] = frozenset()
        self._updates: asyncio.Queue[tuple[Mapping[str, int], list[str]]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def committed(self, uow: ProductUnitOfWork) -> None:
        """Queue what a batch has changed."""
        if not self._hot:
            return
        available = {
            product_id: uow.products[product_id].available
            for product_id in self._hot.intersection(uow.products.changed_keys)
        }
        decided = list(uow.holds.changed_keys)
        if available or decided:
            self._updates.put_nowait((available, decided))

    async def start(self, service: Service[ProductUnitOfWork]) -> None:
        if self._leases is not None:
            publish, refresh = self._publish(self._leases), self._refresh(service, self._leases)
            self._tasks = [asyncio.create_task(publish), asyncio.create_task(refresh)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._leases is not None:
            await self._leases.close()

    async def _publish(self, leases: CountedLeases) -> None:
        while True:
            available, decided = await self._updates.get()
            for product_id, units in available.items():
                await leases.renew(product_id, units, decided)
            if set(available) != self._hot:  # a refusal changes no stock, and ends a lease too
                await leases.end(decided)

    async def _refresh(self, service: Service[ProductUnitOfWork], leases: CountedLeases) -> None:
        """Publish the available units again, and measure how far off the admission was."""
        while True:
            self._hot = await leases.enabled()
            try:
                async with service.reading() as connection:
                    products = await store.find_products(connection, self._hot)
                drift = [await leases.renew(each.product_id, each.available) for each in products]
                drift_units.set(sum(map(abs, drift)))
            except RetryLater:
                log.warning("the available units can't be read; trying again")
            await asyncio.sleep(REFRESH_SECONDS)
