"""The order service's side of the gate for hot products (`chassis/redis/leases.py`).

Every order passes `through`. One without a line of a hot product costs nothing here; each of the
others takes a lease first, and who finds nothing free is refused before any database is asked.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from hashlib import sha256

from chassis.components import Component
from chassis.observability import metrics
from chassis.processing.messages import Done, IdempotencyKey
from chassis.redis.leases import CountedLeases, LeaseResult, LeaseStatus
from chassis.service import Service
from events.contract import OnShortage
from order import store
from order.domain import OPEN, Orders, PlaceOrder, sold_out
from order.settings import Settings
from saga.errors import Refused, RetryLater

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How soon an instance notices what became hot by another, and that Redis came back empty."""

Ask = Callable[[], Awaitable[Done]]


class HotProductAdmission(Component[Orders]):
    """One per instance. Without REDIS_URL everybody passes."""

    def __init__(self, settings: Settings) -> None:
        self._leases: CountedLeases | None = None
        if settings.redis_url:
            self._leases = CountedLeases(
                settings.redis_url, marker_seconds=settings.retention_seconds
            )
        self._hot: set[str] = set()
        self._may_have_forgotten = False
        self._looking: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def through(
        self, service: Service[Orders], command: PlaceOrder, key: IdempotencyKey | None, ask: Ask
    ) -> Done:
        """Place an order that finds its units free. Raises Refused where it does not."""
        units = self._hot_units(command)
        if self._leases is None or not units:
            return await ask()
        marker = _marker(key)
        answer = await self._leases.lease(command.order_id, units, marker)
        metrics.gate.labels(answer.status).inc()
        if answer.status is LeaseStatus.SOLD_OUT:
            if key is None or not await self._was_answered(service, key):
                raise sold_out(answer.product_id, answer.free)
            return await ask()
        return await self._place(self._leases, command, marker, answer, ask)

    async def set_hot(self, product_id: str, *, hot: bool) -> None:
        """Put the gate up, or take it away, here and now; other instances follow."""
        if hot:
            self._hot.add(product_id)
        else:
            self._hot.discard(product_id)
        if self._leases is not None:
            await (self._leases.enable([product_id]) if hot else self._leases.disable(product_id))

    async def state(self, product_id: str) -> tuple[int, int] | None:
        """The limit and the leases, in units; None without a gate, or before product's word."""
        return await self._leases.state(product_id) if self._leases else None

    def committed(self, orders: Orders) -> None:
        """Orders that came to their end need no lease any more."""
        if self._leases is None or not self._hot:
            return
        ended = [
            order_id
            for order_id in orders.orders.changed_keys
            if orders.orders[order_id].state not in OPEN
        ]
        if ended:
            task = asyncio.create_task(self._leases.end(ended))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def start(self, service: Service[Orders]) -> None:
        if self._leases is not None:
            self._looking = asyncio.create_task(self._look(service, self._leases))

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, *self._ending, return_exceptions=True)
        if self._leases is not None:
            await self._leases.close()

    def _hot_units(self, command: PlaceOrder) -> Counter[str]:
        """None for an order that would wait: it is not to be refused, and takes its turn."""
        units = Counter[str]()
        if self._hot and command.on_shortage is not OnShortage.WAIT:
            for line in command.items:
                if line.product_id in self._hot:
                    units[line.product_id] += line.quantity
        return units

    async def _place(
        self, leases: CountedLeases, command: PlaceOrder, marker: str, answer: LeaseResult, ask: Ask
    ) -> Done:
        leased = answer.status is LeaseStatus.LEASED
        try:
            done = await ask()
        except Refused:
            if leased:
                await leases.end([command.order_id], marker)
            raise
        if leased and done.result.order_id != command.order_id:  # the key's first order stands
            await leases.end([command.order_id])
        return done

    async def _was_answered(self, service: Service[Orders], key: IdempotencyKey) -> bool:
        """Redis knows each winner's key; the database is asked only where Redis lost its own."""
        if not self._may_have_forgotten:
            return False
        try:
            async with service.reading() as connection:
                return await store.is_known(connection, key.scope, key.key)
        except RetryLater:
            return True  # the mailbox will tell, or say: later

    async def _look(self, service: Service[Orders], leases: CountedLeases) -> None:
        """Know what is hot, and put gates up again in a Redis that has lost them."""
        while True:
            try:
                async with service.reading() as connection:
                    self._hot = await store.hot_products(connection)
                if await leases.enable(self._hot):
                    log.warning("redis had lost the gate; it stands again")
                    await leases.note_loss()
                self._may_have_forgotten = bool(self._hot) and await leases.may_have_forgotten()
            except RetryLater:
                log.warning("what is hot can't be read; trying again")
            await asyncio.sleep(LOOK_SECONDS)


def _marker(key: IdempotencyKey | None) -> str:
    return sha256(f"{key.scope} {key.key}".encode()).hexdigest()[:32] if key else ""
