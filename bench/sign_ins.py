"""`python -m bench.sign_ins`: what a flood of wrong passwords costs orders.

Orders are placed at a steady rate, in turns without and with the flood. The flood comes from a
process of its own, each sign-in for another account and from another address, as a botnet would
send them: no delay stops it, so the threads that hash never rest.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections import Counter
from collections.abc import Mapping
from itertools import count
from time import perf_counter

import msgspec
import uvloop

from bench import shop
from bench.generator import COMPLETED, Percentiles, Result, at_rate
from bench.wire import Connection, request
from tests.kit.stack import ROOT

CONNECTIONS = 128
NICENESS = 10
"""An attacker's machine is another one, and takes no time from the shop's cores."""

PROXY = {"TRUSTED_PROXIES": "127.0.0.1"}
"""The generator names the clients' addresses as a balancer does."""


class Flood(msgspec.Struct, frozen=True):
    """Answers per second, by status."""

    per_second: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.per_second.values())


class Turn(msgspec.Struct, frozen=True):
    """Orders without a flood, and with one. `load`: the machine's load average before each."""

    load: tuple[float, float]
    usual: Result
    flooded: Result
    flood: Flood


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sign_ins", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--orders", type=float, default=50, help="per second")
    parser.add_argument("--sign-ins", type=float, default=2_000, help="per second")
    parser.add_argument("--flood", metavar="URL", help="only send the flood to this user service")
    chosen = parser.parse_args()
    if chosen.flood:
        os.nice(NICENESS)
        found = uvloop.run(_send(chosen.flood, chosen.sign_ins, chosen.seconds))
        sys.stdout.write(msgspec.json.encode(found).decode())
        return
    with shop.stack(**PROXY) as environment:
        turns = uvloop.run(_measure(environment, chosen))
    _print_medians(turns)


async def _measure(environment: Mapping[str, str], chosen: argparse.Namespace) -> list[Turn]:
    turns: list[Turn] = []
    async with shop.opened(environment) as (opened, target):
        await at_rate(target, chosen.orders, chosen.seconds)  # warm
        for number in range(1, chosen.rounds + 1):
            await opened.wait_until_idle(platform=False)
            load = os.getloadavg()[0]
            usual = await at_rate(target, chosen.orders, chosen.seconds)
            load_of_flood = os.getloadavg()[0]
            flood = asyncio.create_task(_flood(environment["USER_URL"], chosen))
            flooded = await at_rate(target, chosen.orders, chosen.seconds)
            turn = Turn((load, load_of_flood), usual, flooded, await flood)
            _print_turn(number, turn)
            turns.append(turn)
    return turns


async def _flood(url: str, chosen: argparse.Namespace) -> Flood:
    """From another process, so that it does not delay the orders' own client."""
    arguments = ["--flood", url, "--sign-ins", str(chosen.sign_ins)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.sign_ins", *arguments, "--seconds", str(chosen.seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return msgspec.json.decode(output, type=Flood)


async def _send(url: str, per_second: float, seconds: float) -> Flood:
    """Sign-ins that are due, and late ones at once, until the time is over."""
    began_at = perf_counter()
    numbers, statuses = count(), Counter[str]()

    async def work(connection: Connection) -> None:
        while perf_counter() < began_at + seconds:
            number = next(numbers)
            ahead = began_at + number / per_second - perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            answer = await connection.send(_sign_in(url, number))
            statuses[str(answer.status)] += 1

    opened = [await Connection.open(url) for _ in range(CONNECTIONS)]
    await asyncio.gather(*map(work, opened))
    for connection in opened:
        connection.close()
    took = perf_counter() - began_at
    return Flood({status: round(n / took, 1) for status, n in sorted(statuses.items())})


def _sign_in(url: str, number: int) -> bytes:
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    body = {"email": f"{os.getpid()}-{number}@shop.test", "password": "a wrong password"}
    headers = {"X-Forwarded-For": address}
    return request("POST", f"{url}/api/v1/auth/login", body, headers)


def _print_turn(number: int, turn: Turn) -> None:
    usual, flooded = _of(turn.usual), _of(turn.flooded)
    print(
        f"{number}: usual p50 {usual.p50} p99 {usual.p99} ms at load {turn.load[0]:.1f}; "
        f"with {turn.flood.total:,.0f} sign-ins/s {turn.flood.per_second} "
        f"p50 {flooded.p50} p99 {flooded.p99} ms at load {turn.load[1]:.1f}",
        flush=True,
    )


def _print_medians(turns: list[Turn]) -> None:
    usual = statistics.median(_of(turn.usual).p99 for turn in turns)
    flooded = statistics.median(_of(turn.flooded).p99 for turn in turns)
    sent = statistics.median(turn.flood.total for turn in turns)
    print(
        f"median p99 of an order: {usual:.1f} ms; {flooded:.1f} ms ({flooded / usual:.2f} times) "
        f"with {sent:,.0f} wrong sign-ins a second"
    )


def _of(result: Result) -> Percentiles:
    assert set(result.results) == {COMPLETED}, result.results
    assert result.order is not None
    return result.order


if __name__ == "__main__":
    main()
