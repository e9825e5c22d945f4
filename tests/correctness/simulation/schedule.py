"""One schedule: clients and faults drawn from a seed; then all faults end, and the checks run."""

import asyncio
import gc
import hashlib
import logging
import random
import sys
import warnings
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from unittest.mock import patch

import msgspec

from saga.errors import RetryLater
from tests.correctness.simulation import checks
from tests.correctness.simulation.checks import Edge
from tests.correctness.simulation.description import Simulation
from tests.correctness.simulation.faults import KINDS, Fault, draw
from tests.correctness.simulation.loop import SimulatedLoop
from tests.correctness.simulation.machines import Cluster, keep_tasks

BUSY_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""In so many seconds all clients begin: at once, so that batches are large, or one by one."""

MAX_FAULTS = 14
MAX_SETTLING_SECONDS = 900.0
OBSERVE_SECONDS = 1.0


class ScheduleResult(msgspec.Struct, kw_only=True):
    """What a schedule led to. `settled_seconds`: from the last fault to the last end."""

    seed: int
    faults: list[Fault]
    sagas: int
    ends: Counter[str]
    kills: int
    settled_seconds: float
    violations: list[str]
    history: str
    steps: int
    places: Counter[str]
    phases: Counter[str]
    message_faults: Counter[str]
    edges: set[Edge]


@contextmanager
def silence() -> Iterator[None]:
    """Around simulations: killed tasks would complain when they are thrown away."""
    complain, sys.unraisablehook = sys.unraisablehook, lambda _: None
    logging.disable(logging.CRITICAL)
    gc.disable()  # it would walk the whole project again and again: once at the end is enough
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
        sys.unraisablehook = complain


def run(simulation: Simulation, seed: int, *, faults: list[Fault] | None = None) -> ScheduleResult:
    """Run one schedule from its seed. `faults` replaces the drawn ones, to shrink a failure."""
    chance = random.Random(seed)
    random.seed(seed)  # production's jitter
    loop = SimulatedLoop()
    loop.set_task_factory(keep_tasks)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_Schedule(simulation, loop, seed, chance, faults).run())
    finally:
        loop.is_done = True  # killed tasks are thrown away now, and may not go on
        asyncio.set_event_loop(None)


class _Schedule:
    def __init__(
        self,
        simulation: Simulation,
        loop: SimulatedLoop,
        seed: int,
        chance: random.Random,
        faults: list[Fault] | None,
    ) -> None:
        self._loop = loop
        self._seed = seed
        self._chance = chance
        self._busy_seconds = chance.choice(BUSY_SECONDS)
        self._kinds = {**KINDS, **simulation.faults}
        count = chance.randint(0, MAX_FAULTS)
        drawn = draw(self._kinds, chance, count, self._busy_seconds * 1.5)
        self._faults = drawn if faults is None else faults
        twice = Counter({chance.choice(tuple(simulation.participants)): 2})
        self._cluster = Cluster(simulation, loop, chance, twice)
        self._workload = simulation.workload(self._cluster, self._busy_seconds)

    async def run(self) -> ScheduleResult:
        with patch("chassis.loops._stop_the_process", self._report_ended_loop):
            return await self._run()

    def _report_ended_loop(self, loop: asyncio.Task[None]) -> None:
        """A service whose loop ends by itself would stop here: a bug, whatever fault led to it."""
        if not loop.cancelled():
            self._workload.violations.append(f"a loop has ended: {loop.exception()!r}")

    async def _run(self) -> ScheduleResult:
        self._cluster.start()
        await self._workload.prepare()
        work = [self._later(client) for client in self._workload.clients()]
        observing = asyncio.create_task(self._observe())
        await asyncio.gather(*map(self._harm, self._faults))
        await asyncio.gather(*work)
        self._cluster.calm()
        began = self._loop.time()
        settled = await self._settled()
        observing.cancel()
        if settled:
            found = [*self._workload.at_rest(), *checks.violations(self._cluster)]
        else:
            found = [f"not settled: {self._unsettled()}"]
        self._workload.violations += found
        return self._result(self._loop.time() - began)

    def _unsettled(self) -> list[str]:
        return [*checks.unsettled(self._cluster), *self._workload.unsettled()]

    async def _settled(self) -> bool:
        deadline = self._loop.time() + MAX_SETTLING_SECONDS
        while self._loop.time() < deadline:
            self._cluster.external.advance(self._loop.time())
            await self._cluster.redrive()
            if not self._unsettled():
                return True
            await asyncio.sleep(OBSERVE_SECONDS)
        return False

    def _later(self, client: Coroutine[object, object, None]) -> asyncio.Task[None]:
        async def begin() -> None:
            await asyncio.sleep(self._chance.random() * self._busy_seconds)
            await client

        return asyncio.create_task(begin())

    async def _observe(self) -> None:
        while True:
            await asyncio.sleep(OBSERVE_SECONDS)
            self._workload.violations += self._workload.observe()

    async def _harm(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_seconds)
        with suppress(RetryLater):
            await self._kinds[fault.kind](self._cluster, fault)

    def _result(self, settled_seconds: float) -> ScheduleResult:
        cluster = self._cluster
        history, edges = checks.history(cluster)
        digest = hashlib.sha256(f"{history}{self._loop.time()}".encode()).hexdigest()
        return ScheduleResult(
            seed=self._seed,
            faults=self._faults,
            sagas=len(set(self._workload.placed.values())),
            ends=self._workload.ends(),
            kills=cluster.kills,
            settled_seconds=settled_seconds,
            violations=self._workload.violations,
            history=digest,
            steps=self._loop.steps,
            places=cluster.places,
            phases=cluster.phases,
            message_faults=Counter(cluster.hub.faults) + cluster.external.faults,
            edges=edges,
        )
