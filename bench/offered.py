"""Latency against offered load, up to twice the shop's maximum."""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter

import msgspec

from bench import shop
from bench.generator import Result, at_once, at_rate, one_by_one

LONE_ORDERS = 300
RATES = (100, 250, 500, 750, 1_000, 1_250, 1_500)
IN_FLIGHT = 1_000
OVERLOAD = 2
OVERLOAD_CONNECTIONS = 3_000
SAMPLE_SECONDS = 1.0


class Overload(msgspec.Struct, frozen=True):
    """`drained_seconds`: from the last order's due time until every accepted order had ended.

    `max_memory_mib`: the maximum of each process from the first order to the last.
    """

    result: Result
    drained_seconds: float
    memory_before_mib: dict[str, float]
    max_memory_mib: dict[str, float]


class Offered(msgspec.Struct, frozen=True):
    """`best`: with `IN_FLIGHT` orders in flight, for `best.seconds`; and again after the overload,
    because the machine may have become slower or faster."""

    lone: Result
    curve: list[Result]
    best: Result
    overload: Overload
    best_again: Result


async def measure(
    environment: Mapping[str, str],
    seconds: float,
    sustained_seconds: float,
    report: Callable[[str], None],
) -> Offered:
    async with shop.opened(environment) as (opened, target):
        await at_once(target, IN_FLIGHT, seconds)  # warm
        lone = await one_by_one(target, LONE_ORDERS)
        report(f"a lone order: {lone.order}")
        curve: list[Result] = []
        for rate in RATES:
            await opened.wait_until_idle(platform=False)
            curve.append(await at_rate(target, rate, seconds))
            report(f"{rate}/s offered: {curve[-1].per_second}/s COMPLETED, {curve[-1].order}")
        best = await at_once(target, IN_FLIGHT, sustained_seconds)
        report(f"sustained: {best.per_second}/s, {best.order}")
        await opened.wait_until_idle(platform=False)
        overload = await _overload(
            environment, target, OVERLOAD * best.per_second, sustained_seconds
        )
        report(f"overload: {overload}")
        await opened.wait_until_idle(platform=False)
        best_again = await at_once(target, IN_FLIGHT, sustained_seconds)
        report(f"again: {best_again.per_second}/s, {best_again.order}")
    return Offered(lone, curve, best, overload, best_again)


async def _overload(
    environment: Mapping[str, str], target: shop.ShopTarget, rate: float, seconds: float
) -> Overload:
    before = _memory(environment)
    maximum = dict(before)

    async def sample() -> None:
        while True:
            for part, mib in _memory(environment).items():
                maximum[part] = max(maximum[part], mib)
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    began_at = perf_counter()
    result = await at_rate(target, rate, seconds, connections=OVERLOAD_CONNECTIONS)
    drained_seconds = perf_counter() - began_at - seconds
    sampling.cancel()
    return Overload(result, round(drained_seconds, 1), before, maximum)


def _memory(environment: Mapping[str, str]) -> dict[str, float]:
    return {part: round(use.memory_mib, 1) for part, use in shop.use(environment).items()}
