"""Hot-product admission in the order service; `chassis/redis/leases.py` has the leases.

Every order goes through `admit`. An order without a hot product costs nothing there. Any other
leases its units in Redis first, and is refused before any database is asked when they are sold out.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from hashlib import sha256

import prometheus_client

from chassis.components import Component
from chassis.processing.messages import Done, IdempotencyKey
from chassis.redis.leases import CountedLeases, LeaseResult, LeaseStatus
from chassis.service import Service
from events.contract import OnShortage
from order import store
from order.commands import PlaceOrder, sold_out
from order.domain import OPEN
from order.settings import Settings
from order.unit_of_work import OrderUnitOfWork
from saga.errors import Refused, RetryLater

log = logging.getLogger(__name__)

verdicts = prometheus_client.Counter(
    "shop_hot_product_verdicts_total", "Orders of hot products.", ["verdict"]
)

REFRESH_SECONDS = 0.5
"""How soon an instance notices that another one enabled a product, or that Redis lost its data."""

Placing = Callable[[], Awaitable[Done]]


class HotProductAdmission(Component[OrderUnitOfWork]):
    """One per instance. Without REDIS_URL every order is admitted."""

    def __init__(self, settings: Settings) -> None:
        self._leases: CountedLeases | None = None
        if settings.redis_url:
            self._leases = CountedLeases(
                settings.redis_url, marker_seconds=settings.retention_seconds
            )
        self._hot: set[str] = set()
        self._may_lack_markers = False
        self._refreshing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def admit(
        self,
        service: Service[OrderUnitOfWork],
        command: PlaceOrder,
        key: IdempotencyKey | None,
        place: Placing,
    ) -> Done:
        """Lease the order's hot units, then place it. Raises Refused when they are sold out."""
        units = self._hot_units(command)
        if self._leases is None or not units:
            return await place()
        marker = _marker(key)
        result = await self._leases.lease(command.order_id, units, marker)
        verdicts.labels(result.status).inc()
        if result.status is LeaseStatus.SOLD_OUT:
            if key is None or not await self._was_answered(service, key):
                raise sold_out(result.resource, result.free)
            return await place()
        return await self._place_leased(self._leases, command, marker, result, place)

    async def enable(self, product_id: str) -> None:
        """Admit orders of this product by leases, from now on; other instances follow."""
        self._hot.add(product_id)
        if self._leases is not None:
            await self._leases.enable([product_id])

    async def disable(self, product_id: str) -> None:
        self._hot.discard(product_id)
        if self._leases is not None:
            await self._leases.disable(product_id)

    async def state(self, product_id: str) -> tuple[int, int] | None:
        """The limit and the leased units; None until product has published the limit."""
        return await self._leases.state(product_id) if self._leases else None

    def committed(self, uow: OrderUnitOfWork) -> None:
        """End the leases of orders that have ended."""
        if self._leases is None or not self._hot:
            return
        ended = [
            order_id
            for order_id in uow.orders.changed_keys
            if uow.orders[order_id].state not in OPEN
        ]
        if ended:
            task = asyncio.create_task(self._leases.end(ended))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def start(self, service: Service[OrderUnitOfWork]) -> None:
        if self._leases is not None:
            self._refreshing = asyncio.create_task(self._refresh(service, self._leases))

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, *self._ending, return_exceptions=True)
        if self._leases is not None:
            await self._leases.close()

    def _hot_units(self, command: PlaceOrder) -> Counter[str]:
        """Empty for an order that would wait for stock: product queues it instead."""
        units = Counter[str]()
        if self._hot and command.on_shortage is not OnShortage.WAIT:
            for line in command.items:
                if line.product_id in self._hot:
                    units[line.product_id] += line.quantity
        return units

    async def _place_leased(
        self,
        leases: CountedLeases,
        command: PlaceOrder,
        marker: str,
        result: LeaseResult,
        place: Placing,
    ) -> Done:
        """Place an order, and end its lease if it is refused or was placed before."""
        is_leased = result.status is LeaseStatus.LEASED
        try:
            done = await place()
        except Refused:
            if is_leased:
                await leases.end([command.order_id], marker)
            raise
        if is_leased and done.result.order_id != command.order_id:  # the key's first order stands
            await leases.end([command.order_id])
        return done

    async def _was_answered(self, service: Service[OrderUnitOfWork], key: IdempotencyKey) -> bool:
        """Redis has a marker for each key with a lease; the database is asked after a loss only."""
        if not self._may_lack_markers:
            return False
        try:
            async with service.reading() as connection:
                return await store.is_key_known(connection, key.scope, key.key)
        except RetryLater:
            return True  # then the mailbox finds the stored answer, or raises RetryLater too

    async def _refresh(self, service: Service[OrderUnitOfWork], leases: CountedLeases) -> None:
        """Read again and again which products are hot, and enable those that Redis has lost."""
        while True:
            try:
                async with service.reading() as connection:
                    self._hot = await store.find_hot_products(connection)
                if await leases.enable(self._hot):
                    log.warning("redis had lost hot products; they are enabled again")
                    await leases.record_loss()
                self._may_lack_markers = bool(self._hot) and await leases.may_lack_markers()
            except RetryLater:
                log.warning("the hot products can't be read; trying again")
            await asyncio.sleep(REFRESH_SECONDS)


def _marker(key: IdempotencyKey | None) -> str:
    return sha256(f"{key.scope} {key.key}".encode()).hexdigest()[:32] if key else ""
