"""The shop compared with its alternatives, and with the bare pipeline.

The same orders, the same generator, the same machine, in alternating rounds.
"""

import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import msgspec
import uvloop

from bench import bare, shop
from bench.generator import COMPLETED, Target, at_once
from bench.peers import servers

IN_FLIGHT = 1_000
PEERS: dict[str, Callable[[], AbstractContextManager[Target]]] = {
    "Restate, four services": servers.restate_services,
    "Restate, one handler": servers.restate_alone,
    "DBOS on SQLite": servers.dbos_on_sqlite,
    "DBOS on PostgreSQL": servers.dbos_on_postgres,
}
PEERS_IN_FLIGHT = 64
"""Each peer's best number of orders in flight; with more, orders only wait."""

SHOP = "this shop"
BARE = "the bare pipeline"


class Series(msgspec.Struct):
    """Orders COMPLETED per second, one figure for each round. `missing`: why there are none."""

    name: str
    rounds: list[float]
    missing: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def compare(rounds: int, seconds: float, report: Callable[[str], None]) -> list[Series]:
    """Every system in each round, so that the machine's slower minutes affect all of them."""
    series = {name: Series(name, []) for name in (SHOP, *PEERS, BARE)}
    for number in range(1, rounds + 1):
        for name, each in series.items():
            if each.missing is None:
                try:
                    each.rounds.append(_measure(name, seconds))
                except servers.NotInstalled as reason:
                    each.missing = str(reason)
                else:
                    report(f"round {number}: {name}: {each.rounds[-1]:,.0f} orders/s")
    return list(series.values())


def _measure(name: str, seconds: float) -> float:
    if name == BARE:
        return bare.measure(seconds)
    if name == SHOP:
        with shop.stack() as environment:
            return uvloop.run(_shop(environment, seconds))
    with PEERS[name]() as target:
        return uvloop.run(_completed_per_second(target, PEERS_IN_FLIGHT, seconds))


async def _shop(environment: Mapping[str, str], seconds: float) -> float:
    async with shop.opened(environment) as (_, target):
        return await _completed_per_second(target, IN_FLIGHT, seconds)


async def _completed_per_second(target: Target, in_flight: int, seconds: float) -> float:
    result = await at_once(target, in_flight, seconds)
    if set(result.results) != {COMPLETED}:
        raise AssertionError(f"not every order was COMPLETED: {result.results}")
    return result.per_second
