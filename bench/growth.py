"""The cost of an order when there are many already, and when many are waiting.

The machine is slower in some minutes than in others, so each stage is measured between two windows
of a new stack, and compared with them.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from statistics import mean
from time import perf_counter

import msgspec

from bench import shop
from bench.generator import CLEAR_ANSWERS, COMPLETED, at_once, ends_of, flood
from tests.kit.client import Shop

IN_FLIGHT = 1_000
WINDOW_SECONDS = 20.0
NEW_WINDOW_SECONDS = 8.0
QUEUED = 100_000
SHARES = (0, 0.05, 0.1, 0.2, 0.5, 1)
"""The stages, as shares of the maximum. A stream costs more up to a million subjects, which
are 200,000 orders (docs/performance.md)."""


class Stage(msgspec.Struct, frozen=True):
    """A window of load: `orders` in the databases at its start, and the cost of an order in it, and
    on a new stack just before and after."""

    orders: int
    per_second: float
    cpu_milliseconds: float
    new_per_second: float
    new_cpu_milliseconds: float
    memory_mib: dict[str, float]
    disk_bytes: dict[str, int]


class Queue(msgspec.Struct, frozen=True):
    """`waiting` orders were placed while product was stopped. `drained_per_second`: those COMPLETED
    per second once it ran again; the CPU is that of accepting and completing them."""

    waiting: int
    drained_per_second: float
    cpu_milliseconds: float
    memory_mib: dict[str, float]


class Growth(msgspec.Struct, frozen=True):
    """`after_queue`: the last stage once more, when the queue was drained."""

    stages: list[Stage]
    queue: Queue
    after_queue: Stage

    @property
    def disk_bytes_an_order(self) -> dict[str, float]:
        """In the databases (`db`) and in the broker's store (`nats`)."""
        first, last = self.stages[0], self.stages[-1]
        orders = last.orders - first.orders
        return {
            place: (last.disk_bytes[place] - first.disk_bytes[place]) / orders
            for place in last.disk_bytes
        }


async def measure(
    environment: Mapping[str, str], max_orders: int, report: Callable[[str], None]
) -> Growth:
    """Place orders up to the maximum, with a window at each stage."""
    stages: list[Stage] = []
    async with shop.opened(environment) as (opened, target):
        await at_once(target, IN_FLIGHT, 3)  # warm
        for mark in (int(share * max_orders) for share in SHARES):
            while (orders := await _orders(opened)) < mark:
                await at_once(target, IN_FLIGHT, _seconds_for(mark - orders), warm_up_seconds=0)
            stages.append(await _stage(environment, opened, target))
            report(f"growth: {stages[-1]}")
        queue = await _queue(environment, opened, target)
        report(f"queued: {queue}")
        after_queue = await _stage(environment, opened, target)
        report(f"after the queue: {after_queue}")
    return Growth(stages, queue, after_queue)


async def _stage(environment: Mapping[str, str], opened: Shop, target: shop.ShopTarget) -> Stage:
    orders = await _orders(opened)
    async with _new_stack() as (new_environment, new_target):
        before = await _window(new_environment, new_target, NEW_WINDOW_SECONDS)
        per_second, cpu_milliseconds = await _window(environment, target, WINDOW_SECONDS)
        after = await _window(new_environment, new_target, NEW_WINDOW_SECONDS)
    new_per_second, new_cpu_milliseconds = map(mean, zip(before, after, strict=True))
    return Stage(
        orders,
        per_second,
        cpu_milliseconds,
        round(new_per_second, 1),
        round(new_cpu_milliseconds, 3),
        {part: round(use.memory_mib, 1) for part, use in shop.use(environment).items()},
        shop.disk_bytes(environment),
    )


@asynccontextmanager
async def _new_stack() -> AsyncIterator[tuple[Mapping[str, str], shop.ShopTarget]]:
    """A stack without orders, after a warm-up."""
    with shop.stack() as environment:
        async with shop.opened(environment) as (_, target):
            await at_once(target, IN_FLIGHT, 1, warm_up_seconds=0)
            yield environment, target


async def _window(
    environment: Mapping[str, str], target: shop.ShopTarget, seconds: float
) -> tuple[float, float]:
    """Orders COMPLETED per second, and CPU per order in milliseconds.

    Load shedding may reject some orders for a moment.
    """
    before = shop.use(environment)
    result = await at_once(target, IN_FLIGHT, seconds, warm_up_seconds=0)
    after = shop.use(environment)
    if not {COMPLETED} <= set(result.results) <= CLEAR_ANSWERS:
        raise AssertionError(f"not every order was COMPLETED or rejected: {result.results}")
    return result.per_second, _cpu_milliseconds(before, after, result.results[COMPLETED])


async def _queue(environment: Mapping[str, str], opened: Shop, target: shop.ShopTarget) -> Queue:
    opened.command("stop", "product")
    before = shop.use(environment)
    ends = await flood(target, QUEUED)
    began_at = perf_counter()
    opened.command("start", "product")
    results = await ends_of(ends)
    seconds = perf_counter() - began_at
    after = shop.use(environment)
    if set(results) != {COMPLETED}:
        raise AssertionError(f"not every queued order was COMPLETED: {results}")
    memory = {part: round(use.memory_mib, 1) for part, use in after.items()}
    before["product"] = shop.Use(0, 0)  # a new process
    cost = _cpu_milliseconds(before, after, QUEUED)
    return Queue(QUEUED, round(QUEUED / seconds, 1), cost, memory)


def _cpu_milliseconds(
    before: Mapping[str, shop.Use], after: Mapping[str, shop.Use], orders: int
) -> float:
    """CPU of all parts per order."""
    seconds = sum(after[part].cpu_seconds - before[part].cpu_seconds for part in after)
    return round(1000 * seconds / orders, 3)


async def _orders(opened: Shop) -> int:
    return int((await opened.get("order", "/api/v1/orders?size=1"))["total"])


def _seconds_for(orders: int) -> float:
    """About the time that these orders take, but never far beyond the next stage."""
    return max(2.0, min(60.0, orders / 2_000))
