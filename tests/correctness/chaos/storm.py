"""A mixed load on a whole stack, while its parts are killed, hung, locked out and emptied."""

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
"""The settings of a stack that goes through a storm: everything happens sooner."""


class Weathered(msgspec.Struct, kw_only=True, rename="camel"):
    """What came of it. `settled_seconds`: by fault, how long after its end until every order that
    was open then had ended."""

    seconds: float
    faults: dict[str, int]
    settled_seconds: dict[str, list[float]]
    ends: dict[str, int]
    answers: dict[str, int]
    post_seconds: list[float]
    not_ended: list[str]
    owed: dict[str, int]
    dead_letters: dict[str, int]
    discrepancies: list[Discrepancy]

    @property
    def went_well(self) -> bool:
        wrong = (self.not_ended, self.discrepancies)
        return not any(wrong) and not any((*self.owed.values(), *self.dead_letters.values()))


class Storm:
    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self._shop = shop
        self._chance = chance
        self._shoppers = Shoppers(shop, chance)
        self._faults = Counter[str]()
        self._settled: dict[str, list[float]] = defaultdict(list)
        self._watching: set[asyncio.Task[None]] = set()

    async def rage(self, seconds: float, kinds: Iterable[str] = tuple(FAULTS)) -> Weathered:
        """Each kind of fault once, in a random order, and then at random until the time is over."""
        began = monotonic()
        await self._shoppers.arrive()
        async with asyncio.TaskGroup() as group:
            for _ in range(CUSTOMERS):
                group.create_task(self._shoppers.keep_buying())
            group.create_task(self._shoppers.keep_charging())
            group.create_task(self._shoppers.keep_stocked())
            looking = group.create_task(self._shoppers.look_after())
            due = self._chance.sample(sorted(kinds), len(tuple(kinds)))
            while due or monotonic() - began < seconds:
                await self._harm(due.pop() if due else self._chance.choice(sorted(kinds)))
            self._shoppers.closing_time.set()
            await self._calm_down()
            not_ended = await self._until_ended()
            looking.cancel()
        for task in self._watching:
            task.cancel()
        return await self._weathered(monotonic() - began, not_ended)

    async def _harm(self, kind: str) -> None:
        self._faults[kind] += 1
        await FAULTS[kind](self._shop, self._chance)
        watch = asyncio.create_task(self._watch(kind, monotonic(), set(self._shoppers.open)))
        self._watching.add(watch)
        watch.add_done_callback(self._watching.discard)
        await asyncio.sleep(self._chance.uniform(0.5, 3))

    async def _watch(self, kind: str, over_at: float, waiting: set[str]) -> None:
        """How long until the orders that the fault has met have ended."""
        while waiting & self._shoppers.open.keys():
            await asyncio.sleep(0.05)
        self._settled[kind].append(monotonic() - over_at)

    async def _calm_down(self) -> None:
        """Nothing is harmed any more, and everything runs."""
        await self._shop.wait_until_ready()
        for simulator in SIMULATORS:
            await self._shop.call(simulator, "DELETE", "/control/behaviours")
        await command(self._shop, "status")

    async def _until_ended(self) -> list[str]:
        async def all_ended() -> bool:
            return not self._shoppers.open and not any((await self._owed()).values())

        try:
            await wait_until(all_ended, "every order has ended", SETTLED_SECONDS)
        except AssertionError:
            return sorted(self._shoppers.open)
        return []

    async def _owed(self) -> dict[str, int]:
        path = "/api/v1/ops/owed"
        return {each: len((await self._shop.get(each, path))["items"]) for each in SERVICES}

    async def _weathered(self, seconds: float, not_ended: list[str]) -> Weathered:
        shop, shoppers = self._shop, self._shoppers
        return Weathered(
            seconds=seconds,
            faults=dict(self._faults),
            settled_seconds=dict(self._settled),
            ends=dict(shoppers.ends),
            answers=dict(shoppers.answers),
            post_seconds=shoppers.post_seconds,
            not_ended=not_ended,
            owed=await self._owed(),
            dead_letters={each: len(await shop.dead_letters(each)) for each in SERVICES},
            discrepancies=await found_wrong(shop),
        )
