"""A mixed load on a whole stack, while its processes are killed, hung, locked out and emptied."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from time import monotonic

import msgspec

from infra.stack.config import SIMULATORS
from ops.audit import CannotRead, Discrepancy, Verdict, judge
from tests.correctness.chaos import losses
from tests.correctness.chaos.faults import DATABASE_HELD, STORE_LOST, Fault, command
from tests.correctness.chaos.restores import RESTORED, Restores
from tests.correctness.chaos.shoppers import Shoppers
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import SERVICES, Shop, wait_until

CUSTOMERS = 8
SETTLED_SECONDS = 240
REFILLED_SECONDS = 120
PAUSES_SECONDS = 0.5, 3.0
TIMES = {
    "ORDER_TIMEOUT_SECONDS": "30",
    "REPEAT_AFTER_SECONDS": "5",
    "WAIT_TIMEOUT_SECONDS": "15",
}
"""The settings of a stack under chaos: time-outs and retransmissions come sooner."""

APART = STORE_LOST | {DATABASE_HELD}
"""The faults that do not happen while a database is restored."""


class StormReport(msgspec.Struct, kw_only=True):
    """The figures of a run.

    `settled_seconds`: by fault, the time from its end until every order that was open then had
    ended. `restore_seconds`: from the loss of a service's database to the release. `gone`: orders
    whose OrderCreated a lost database had not published; `lost`: others that are not there any
    more, or ended otherwise than a client had seen.
    """

    seconds: float
    faults: dict[str, int]
    settled_seconds: dict[str, list[float]]
    restore_seconds: dict[str, list[float]]
    booked: dict[str, int]
    refused: dict[str, int]
    ends: dict[str, int]
    answers: dict[str, int]
    post_seconds: list[float]
    gone: list[str]
    lost: list[str]
    not_ended: list[str]
    unsettled: dict[str, int]
    dead_letters: dict[str, int]
    discrepancies: list[Discrepancy]

    @property
    def is_clean(self) -> bool:
        wrong = (self.not_ended, self.lost, self.discrepancies)
        return not any(wrong) and not any((*self.unsettled.values(), *self.dead_letters.values()))


class Storm:
    """Faults, one after the other, while customers buy and cancel.

    A restore of a database takes longer than the other faults, which go on meanwhile. `pauses`: the
    least and the longest time between two faults, in seconds. `customers` buy at the same time.
    """

    def __init__(
        self,
        shop: Shop,
        chance: random.Random,
        faults: Mapping[str, Fault],
        pauses: tuple[float, float] = PAUSES_SECONDS,
        customers: int = CUSTOMERS,
        report_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._shop = shop
        self._chance = chance
        self._faults = faults
        self._kinds = sorted([*faults, *RESTORED])
        self._pauses = pauses
        self._customers = customers
        self._report_progress = report_progress
        self._shoppers = Shoppers(shop, chance)
        self._restores = Restores(shop, chance, self._shoppers.facts)
        self._restoring: asyncio.Task[None] | None = None
        self._is_store_lost = False
        self._counts = Counter[str]()
        self._settled: dict[str, list[float]] = defaultdict(list)
        self._watching: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> StormReport:
        """Inject each kind of fault once, in a random order, then random ones for the time left."""
        began = monotonic()
        await self._shoppers.prepare()
        await self._restores.back_up()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._customers):
                group.create_task(self._shoppers.keep_buying())
            group.create_task(self._shoppers.keep_charging())
            group.create_task(self._shoppers.keep_stocked())
            ending = group.create_task(
                self._shoppers.watch_orders(lambda: self._restores.recovering == "order")
            )
            backing_up = group.create_task(self._restores.keep_backing_up())
            due = self._chance.sample(self._kinds, len(self._kinds))
            while due or monotonic() - began < seconds:
                kind = self._next(due) if due else self._chance.choice(self._kinds)
                await self._inject(group, kind)
            await self._restored()
            backing_up.cancel()
            self._shoppers.is_closing.set()
            await self._calm()
            not_ended = await self._until_ended()
            ending.cancel()
        for task in self._watching:
            task.cancel()
        return await self._report(monotonic() - began, not_ended)

    def _next(self, due: list[str]) -> str:
        """Take one that need not wait for the end of a restore, if there is one."""
        is_restoring = self._restoring is not None and not self._restoring.done()
        apart = APART | RESTORED.keys() if is_restoring else frozenset[str]()
        kind = next((each for each in due if each not in apart), due[0])
        due.remove(kind)
        return kind

    async def _inject(self, group: asyncio.TaskGroup, kind: str) -> None:
        self._counts[kind] += 1
        self._report_progress(kind)
        if kind in APART or kind in RESTORED:
            await self._restored()
        if kind in RESTORED:
            await self._refilled()
            self._restoring = group.create_task(self._restore(kind))
        else:
            await self._faults[kind](self._shop, self._chance)
            self._is_store_lost = self._is_store_lost or kind in STORE_LOST
            self._watch_settling(kind)
        await asyncio.sleep(self._chance.uniform(*self._pauses))

    async def _restore(self, kind: str) -> None:
        await self._restores.restore(RESTORED[kind])
        self._watch_settling(kind)

    async def _restored(self) -> None:
        """Wait for the end of the restore that is under way."""
        if self._restoring is not None:
            await self._restoring

    async def _refilled(self) -> None:
        """Wait until the stream has again all that the broker had lost.

        What is lost in the stream and in its producer's database at once is nowhere.
        """

        async def is_whole() -> bool:
            try:
                report = await asyncio.to_thread(
                    judge,
                    self._shop.environment,
                    wait_seconds=REFILLED_SECONDS / 4,
                    quiet_seconds=0,
                )
            except CannotRead:
                return False
            return report.verdict is Verdict.CLEAN

        if self._is_store_lost:
            self._shoppers.may_buy.clear()
            await wait_until(is_whole, "the stream holds all again", REFILLED_SECONDS)
            self._shoppers.may_buy.set()
        self._is_store_lost = False

    def _watch_settling(self, kind: str) -> None:
        watch = asyncio.create_task(self._watch(kind, monotonic(), set(self._shoppers.open)))
        self._watching.add(watch)
        watch.add_done_callback(self._watching.discard)

    async def _watch(self, kind: str, over_at: float, waiting: set[str]) -> None:
        """Measure how long the orders that were open at the fault take to end."""
        while waiting & self._shoppers.open:
            await asyncio.sleep(0.05)
        self._settled[kind].append(monotonic() - over_at)

    async def _calm(self) -> None:
        """End all faults, with everything running."""
        await self._shop.wait_until_ready()
        for simulator in SIMULATORS:
            await self._shop.call(simulator, "DELETE", "/control/behaviours")
        await wait_until(self._is_all_healthy, "`make status` shows every part healthy")

    async def _is_all_healthy(self) -> bool:
        """By `make status`, whose health checks of 2 s can fail while the machine is busy."""
        try:
            await command(self._shop, "status")
        except AssertionError:
            return False
        return True

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
        shop, shoppers, restores = self._shop, self._shoppers, self._restores
        wrong = await found_wrong(shop)
        gone, lost = await asyncio.to_thread(
            losses.find, shop.environment, shoppers.ended, shoppers.gone
        )
        return StormReport(
            seconds=seconds,
            faults=dict(self._counts),
            settled_seconds=dict(self._settled),
            restore_seconds=dict(restores.seconds),
            booked=dict(restores.booked),
            refused=dict(restores.refused),
            ends=dict(Counter(shoppers.ended.values())),
            answers=dict(shoppers.answers),
            post_seconds=shoppers.post_seconds,
            gone=gone,
            lost=lost,
            not_ended=not_ended,
            unsettled=await self._unsettled(),
            dead_letters={each: len(await shop.dead_letters(each)) for each in SERVICES},
            discrepancies=wrong,
        )
