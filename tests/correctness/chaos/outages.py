"""`make outages`: how `POST /orders` answers while something behind it is away for half a minute.

A steady load of orders, by wallet and by card, on a stack of its own: first with everything there,
then with the broker away, with product away, and with a gateway that hangs. Each POST must be
answered with 202. Ends with 1 when an order was refused or has not ended, or when the audit finds a
discrepancy.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import quantiles
from time import monotonic
from uuid import uuid4

import msgspec
from rich.console import Console

from infra.stack import pids, tables
from tests.correctness.chaos.faults import command
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import SERVICES, Shop, open_shop, order, running_stack, wait_until

ORDERS_PER_SECOND = 40
HANG = {"operation": "charge", "does": "HANG", "seconds": 60}
SETTLED_SECONDS = 180


class Phase(msgspec.Struct, frozen=True):
    name: str
    answers: dict[int, int]
    post_milliseconds: list[float]
    settled_seconds: float
    memory_mib: dict[str, float]


class Load:
    """Places orders at a steady rate, however they are answered."""

    def __init__(self, shop: Shop, product: str, customer: str) -> None:
        self._shop = shop
        self._product = product
        self._customer = customer
        self.placed: list[str] = []
        self.answers: dict[int, int] = {}
        self.post_seconds: list[float] = []

    async def run(self, seconds: float) -> None:
        ends_at = monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while monotonic() < ends_at:
                group.create_task(self._place(len(self.post_seconds) % 4 == 0))
                await asyncio.sleep(1 / ORDERS_PER_SECOND)

    async def _place(self, by_card: bool) -> None:
        method = "CARD" if by_card else "WALLET"
        body = order(self._customer, (self._product, 1), paymentMethod=method)
        began = monotonic()
        answer = await self._shop.call(
            "order", "POST", "/api/v1/orders", body, idempotency_key=str(uuid4())
        )
        self.post_seconds.append(monotonic() - began)
        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
        if answer.status == 202:
            self.placed.append(answer.body["orderId"])


async def measure(shop: Shop, seconds: float) -> list[Phase]:
    product, customer = (
        await shop.create_product(100, 1_000_000),
        await shop.create_wallet(900_000_000),
    )
    phases: list[Phase] = []
    for name in ("all is well", "the broker is away", "product is away", "the gateway hangs"):
        load = Load(shop, product, customer)
        await _begin(shop, name)
        await load.run(seconds)
        memory = {service: _memory_mib(shop, service) for service in SERVICES}
        await _end(shop, name)
        began = monotonic()
        await _all_ended(shop, customer)
        milliseconds = [1000 * each for each in load.post_seconds]
        settled = monotonic() - began
        phases.append(Phase(name, load.answers, milliseconds, settled, memory))
    return phases


async def _begin(shop: Shop, name: str) -> None:
    if name == "the broker is away":
        await command(shop, "stop", "nats")
    elif name == "product is away":
        await command(shop, "stop", "product")
    elif name == "the gateway hangs":
        await shop.call("gateway", "POST", "/control/behaviours", HANG)


async def _end(shop: Shop, name: str) -> None:
    if name == "the broker is away":
        await command(shop, "start", "nats")
    elif name == "product is away":
        await command(shop, "start", "product")
    elif name == "the gateway hangs":
        await shop.call("gateway", "DELETE", "/control/behaviours")


async def _all_ended(shop: Shop, customer: str) -> None:
    async def none_pending() -> bool:
        path = f"/api/v1/orders?customerId={customer}&status=PENDING&size=1"
        return bool((await shop.get("order", path))["total"] == 0)

    await wait_until(none_pending, "every order has ended", SETTLED_SECONDS)


def _memory_mib(shop: Shop, service: str) -> float:
    """The process's resident memory (Linux); 0 where that is unknown."""
    pid = pids.alive(Path(shop.environment["STATE_DIR"]), service)
    status = Path(f"/proc/{pid}/status")
    if pid is None or not status.exists():
        return 0.0
    line = next(each for each in status.read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.correctness.chaos.outages", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory(prefix="outages-") as folder,
        running_stack(Path(folder)) as environment,
    ):
        phases, wrong = asyncio.run(_run(environment, seconds))
    _show(phases, Console())
    for discrepancy in wrong:
        print(discrepancy)
    print(f"audit: {len(wrong)} discrepancies")
    refused = any(set(phase.answers) != {202} for phase in phases)
    return 1 if refused or wrong else 0


async def _run(environment: Mapping[str, str], seconds: float) -> tuple[list[Phase], list[object]]:
    async with open_shop(environment) as shop:
        phases = await measure(shop, seconds)
        return phases, [*await found_wrong(shop)]


def _show(phases: list[Phase], console: Console) -> None:
    rows: list[tuple[str, ...]] = []
    for phase in phases:
        cuts = quantiles(phase.post_milliseconds, n=100)
        memory = ", ".join(f"{name} {mib:.0f}" for name, mib in phase.memory_mib.items() if mib)
        milliseconds = (f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(phase.post_milliseconds):.0f}")
        settled = f"{phase.settled_seconds:.1f}"
        rows.append((phase.name, str(phase.answers), *milliseconds, settled, memory))
    columns = ("while", "answers", "POST p50 (ms)", "p99 (ms)", "max (ms)", "settled after (s)")
    tables.show(console, (*columns, "memory (MiB)"), rows, right=columns[2:])


if __name__ == "__main__":
    sys.exit(main())
