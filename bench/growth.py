"""What an order costs when there are many already, and when many are waiting.

The machine itself is slower in some minutes than in others, so each stage is measured between two
windows of a fresh stack, and its cost is said beside theirs.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from statistics import mean
from time import perf_counter

import msgspec

from bench import shop
from bench.generator import CLEAR_ANSWERS, COMPLETED, at_once, ends_of, flood
from tests.kit.client import Shop

UNDER_WAY = 1_000
WINDOW_SECONDS = 20.0
FRESH_WINDOW_SECONDS = 8.0
QUEUED = 100_000
SHARES = (0, 0.05, 0.1, 0.2, 0.5, 1)
"""Of the most orders, at how many to look. A broker's stream of up to a million subjects, which is
200,000 orders, costs more the more there are (docs/performance.md)."""


class Stage(msgspec.Struct, frozen=True):
    """A window of load: `orders` in the databases when it began, and what an order cost in it, and
    on a fresh stack just before and after."""

    orders: int
    per_second: float
    cpu_milliseconds: float
    fresh_per_second: float
    fresh_cpu_milliseconds: float
    memory_mib: dict[str, float]
    disk_bytes: dict[str, int]


class Queue(msgspec.Struct, frozen=True):
    """`waiting` orders stood before a product service that was away. `drained_per_second`: how many
    were COMPLETED a second once it was back; the CPU is that of accepting and completing them."""

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
    environment: Mapping[str, str], max_orders: int, say: Callable[[str], None]
) -> Growth:
    """Place orders until there are so many, looking at a window now and then."""
    stages: list[Stage] = []
    async with shop.opened(environment) as (opened, target):
        await at_once(target, UNDER_WAY, 3)  # warm
        for mark in (int(share * max_orders) for share in SHARES):
            while (orders := await _orders(opened)) < mark:
                await at_once(target, UNDER_WAY, _seconds_for(mark - orders), warm_up_seconds=0)
            stages.append(await _stage(environment, opened, target))
            say(f"growth: {stages[-1]}")
        queue = await _queue(environment, opened, target)
        say(f"queued: {queue}")
        after_queue = await _stage(environment, opened, target)
        say(f"after that: {after_queue}")
    return Growth(stages, queue, after_queue)


async def _stage(environment: Mapping[str, str], opened: Shop, target: shop.ShopTarget) -> Stage:
    orders = await _orders(opened)
    async with _fresh() as (fresh_environment, fresh):
        before = await _window(fresh_environment, fresh, FRESH_WINDOW_SECONDS)
        per_second, cpu_milliseconds = await _window(environment, target, WINDOW_SECONDS)
        after = await _window(fresh_environment, fresh, FRESH_WINDOW_SECONDS)
    fresh_per_second, fresh_cpu_milliseconds = map(mean, zip(before, after, strict=True))
    return Stage(
        orders,
        per_second,
        cpu_milliseconds,
        round(fresh_per_second, 1),
        round(fresh_cpu_milliseconds, 3),
        {part: round(use.memory_mib, 1) for part, use in shop.use(environment).items()},
        shop.disk_bytes(environment),
    )


@asynccontextmanager
async def _fresh() -> AsyncIterator[tuple[Mapping[str, str], shop.ShopTarget]]:
    """A stack without orders, but warm."""
    with shop.stack() as environment:
        async with shop.opened(environment) as (_, target):
            await at_once(target, UNDER_WAY, 1, warm_up_seconds=0)
            yield environment, target


async def _window(
    environment: Mapping[str, str], target: shop.ShopTarget, seconds: float
) -> tuple[float, float]:
    """Orders COMPLETED a second, and CPU an order in milliseconds.

    When orders end later than the door allows, it turns some away for a moment.
    """
    before = shop.use(environment)
    result = await at_once(target, UNDER_WAY, seconds, warm_up_seconds=0)
    after = shop.use(environment)
    if not {COMPLETED} <= set(result.results) <= CLEAR_ANSWERS:
        raise AssertionError(f"not every order was COMPLETED or turned away: {result.results}")
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
    before["product"] = shop.Use(0, 0)  # it was started anew
    cost = _cpu_milliseconds(before, after, QUEUED)
    return Queue(QUEUED, round(QUEUED / seconds, 1), cost, memory)


def _cpu_milliseconds(
    before: Mapping[str, shop.Use], after: Mapping[str, shop.Use], orders: int
) -> float:
    """Of all parts together, for an order."""
    seconds = sum(after[part].cpu_seconds - before[part].cpu_seconds for part in after)
    return round(1000 * seconds / orders, 3)


async def _orders(opened: Shop) -> int:
    return int((await opened.get("order", "/api/v1/orders?size=1"))["total"])


def _seconds_for(orders: int) -> float:
    """About as long as so many take, but not so long that a mark is far overshot."""
    return max(2.0, min(60.0, orders / 2_000))
