"""A mixed load on a whole stack, while its processes are killed, hung, locked out and emptied."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from time import monotonic

import msgspec

from infra.stack.config import SIMULATORS
from ops.audit import Discrepancy
from tests.correctness.chaos.faults import FAULTS, command
from tests.correctness.chaos.shoppers import Shoppers
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import SERVICES, Shop, wait_until

CUSTOMERS = 8
SETTLED_SECONDS = 240
TIMES = {
    "ORDER_TIMEOUT_SECONDS": "30",
    "REPEAT_AFTER_SECONDS": "5",
    "WAIT_TIMEOUT_SECONDS": "15",
}
"""The settings of a stack under chaos: time-outs and retransmissions come sooner."""


class StormReport(msgspec.Struct, kw_only=True, rename="camel"):
    """The figures of a run.

    `settled_seconds`: by fault, the time from its end until every order that was open then had
    ended.
    """

    seconds: float
    faults: dict[str, int]
    settled_seconds: dict[str, list[float]]
    ends: dict[str, int]
    answers: dict[str, int]
    post_seconds: list[float]
    not_ended: list[str]
    unsettled: dict[str, int]
    dead_letters: dict[str, int]
    discrepancies: list[Discrepancy]

    @property
    def is_clean(self) -> bool:
        wrong = (self.not_ended, self.discrepancies)
        return not any(wrong) and not any((*self.unsettled.values(), *self.dead_letters.values()))


class Storm:
    """Faults, one after the other, while customers buy and cancel."""

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self._shop = shop
        self._chance = chance
        self._shoppers = Shoppers(shop, chance)
        self._faults = Counter[str]()
        self._settled: dict[str, list[float]] = defaultdict(list)
        self._watching: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float, kinds: Iterable[str] = tuple(FAULTS)) -> StormReport:
        """Inject each kind of fault once, in a random order, then random ones for the time left."""
        began = monotonic()
        await self._shoppers.prepare()
        async with asyncio.TaskGroup() as group:
            for _ in range(CUSTOMERS):
                group.create_task(self._shoppers.keep_buying())
            group.create_task(self._shoppers.keep_charging())
            group.create_task(self._shoppers.keep_stocked())
            watching = group.create_task(self._shoppers.watch_orders())
            due = self._chance.sample(sorted(kinds), len(tuple(kinds)))
            while due or monotonic() - began < seconds:
                await self._inject(due.pop() if due else self._chance.choice(sorted(kinds)))
            self._shoppers.is_closing.set()
            await self._calm()
            not_ended = await self._until_ended()
            watching.cancel()
        for task in self._watching:
            task.cancel()
        return await self._report(monotonic() - began, not_ended)

    async def _inject(self, kind: str) -> None:
        self._faults[kind] += 1
        await FAULTS[kind](self._shop, self._chance)
        watch = asyncio.create_task(self._watch(kind, monotonic(), set(self._shoppers.open)))
        self._watching.add(watch)
        watch.add_done_callback(self._watching.discard)
        await asyncio.sleep(self._chance.uniform(0.5, 3))

    async def _watch(self, kind: str, over_at: float, waiting: set[str]) -> None:
        """Measure how long the orders that were open at the fault take to end."""
        while waiting & self._shoppers.open.keys():
            await asyncio.sleep(0.05)
        self._settled[kind].append(monotonic() - over_at)

    async def _calm(self) -> None:
        """End all faults, with everything running."""
        await self._shop.wait_until_ready()
        for simulator in SIMULATORS:
            await self._shop.call(simulator, "DELETE", "/control/behaviours")
        await command(self._shop, "status")

    async def _until_ended(self) -> list[str]:
        async def all_ended() -> bool:
            return not self._shoppers.open and not any((await self._unsettled()).values())

        try:
            await wait_until(all_ended, "every order has ended", SETTLED_SECONDS)
        except AssertionError:
            return sorted(self._shoppers.open)
        return []

    async def _unsettled(self) -> dict[str, int]:
        path = "/api/v1/ops/owed"
        return {each: len((await self._shop.get(each, path))["items"]) for each in SERVICES}

    async def _report(self, seconds: float, not_ended: list[str]) -> StormReport:
        shop, shoppers = self._shop, self._shoppers
        return StormReport(
            seconds=seconds,
            faults=dict(self._faults),
            settled_seconds=dict(self._settled),
            ends=dict(shoppers.ends),
            answers=dict(shoppers.answers),
            post_seconds=shoppers.post_seconds,
            not_ended=not_ended,
            unsettled=await self._unsettled(),
            dead_letters={each: len(await shop.dead_letters(each)) for each in SERVICES},
            discrepancies=await found_wrong(shop),
        )
