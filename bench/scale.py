"""Two instances of every service, and PostgreSQL: what they change on one machine."""

import statistics
from collections.abc import Callable, Mapping

import msgspec
import uvloop

from bench import shop
from bench.generator import at_once
from tests.kit.client import Shop, open_shop
from tests.kit.postgres import create_database, running_postgres
from tests.kit.service_instances import second_instances

UNDER_WAY = 1_000


class Run(msgspec.Struct, frozen=True):
    """`shares`: how much of a service's messages its second instance has worked on, 0 to 1."""

    name: str
    rounds: list[float]
    shares: dict[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def measure(rounds: int, seconds: float, say: Callable[[str], None]) -> list[Run]:
    """Both databases in each round, each time a new stack; `shares` are of the last round."""
    found: dict[str, Run] = {}
    with running_postgres() as server:
        for number in range(1, rounds + 1):
            urls = {
                f"{service.upper()}_DATABASE_URL": create_database(server, f"{service}s_{number}")
                for service in shop.SAGA_SERVICES
            }
            for each in (*_runs("SQLite", {}, seconds), *_runs("PostgreSQL", urls, seconds)):
                say(f"round {number}: {each}")
                before = found[each.name].rounds if each.name in found else []
                found[each.name] = Run(each.name, before + each.rounds, each.shares)
    return list(found.values())


def _runs(database: str, settings: Mapping[str, str], seconds: float) -> list[Run]:
    with shop.stack(**settings) as environment:
        return uvloop.run(_one_and_two(database, environment, seconds))


async def _one_and_two(database: str, environment: Mapping[str, str], seconds: float) -> list[Run]:
    async with shop.opened(environment) as (opened, target):
        alone = await at_once(target, UNDER_WAY, seconds)
        async with (
            second_instances(environment, shop.SAGA_SERVICES) as addresses,
            open_shop(addresses) as twin,
        ):
            before = [await _worked_on(each) for each in (opened, twin)]
            # The load goes through the first door alone: the events are shared all the same.
            together = await at_once(target, UNDER_WAY, seconds)
            after = [await _worked_on(each) for each in (opened, twin)]
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


async def _worked_on(opened: Shop) -> dict[str, float]:
    """Events that each service's instance has heard."""
    found: dict[str, float] = {}
    for service in shop.SAGA_SERVICES:
        lines = (await opened.get(service, "/metrics")).splitlines()
        found[service] = sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("saga_events_heard_total{")
        )
    return found
