"""Two instances of every service, and PostgreSQL, on one machine."""

import statistics
from collections.abc import Callable, Mapping

import msgspec
import uvloop

from bench import shop
from bench.generator import at_once
from tests.kit.client import Shop, open_shop
from tests.kit.postgres import create_database, running_postgres
from tests.kit.service_instances import second_instances

IN_FLIGHT = 1_000


class Run(msgspec.Struct, frozen=True):
    """`shares`: the second instance's share of a service's events, 0 to 1."""

    name: str
    rounds: list[float]
    shares: dict[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def measure(rounds: int, seconds: float, report: Callable[[str], None]) -> list[Run]:
    """Both databases in each round, on a new stack each; `shares` are of the last round."""
    found: dict[str, Run] = {}
    with running_postgres() as server:
        for number in range(1, rounds + 1):
            urls = {
                f"{service.upper()}_DATABASE_URL": create_database(server, f"{service}s_{number}")
                for service in shop.SAGA_SERVICES
            }
            for each in (*_runs("SQLite", {}, seconds), *_runs("PostgreSQL", urls, seconds)):
                report(f"round {number}: {each}")
                before = found[each.name].rounds if each.name in found else []
                found[each.name] = Run(each.name, before + each.rounds, each.shares)
    return list(found.values())


def _runs(database: str, settings: Mapping[str, str], seconds: float) -> list[Run]:
    with shop.stack(**settings) as environment:
        return uvloop.run(_one_and_two(database, environment, seconds))


async def _one_and_two(database: str, environment: Mapping[str, str], seconds: float) -> list[Run]:
    async with shop.opened(environment) as (opened, target):
        alone = await at_once(target, IN_FLIGHT, seconds)
        async with (
            second_instances(environment, shop.SAGA_SERVICES) as addresses,
            open_shop(addresses) as twin,
        ):
            before = [await _handled(each) for each in (opened, twin)]
            # The load goes to the first instance alone; both instances share the events even so.
            together = await at_once(target, IN_FLIGHT, seconds)
            after = [await _handled(each) for each in (opened, twin)]
    done = [
        {name: new[name] - old[name] for name in shop.SAGA_SERVICES}
        for old, new in zip(before, after, strict=True)
    ]
    first, second = done
    shares = {
        name: round(second[name] / (first[name] + second[name]), 2) for name in shop.SAGA_SERVICES
    }
    return [
        Run(f"{database}, an instance of each service", [alone.per_second], {}),
        Run(f"{database}, two of each", [together.per_second], shares),
    ]


async def _handled(opened: Shop) -> dict[str, float]:
    """The number of events that each service's instance has handled."""
    found: dict[str, float] = {}
    for service in shop.SAGA_SERVICES:
        lines = (await opened.get(service, "/metrics")).splitlines()
        found[service] = sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("saga_events_consumed_total{")
        )
    return found
