"""`make chaos [SECONDS=180] [SEED=...]`: a storm over a stack of its own, and its figures.

Ends with 0 when every order has ended, nothing is owed, no message was set aside and the audit is
clean; with 1 otherwise.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from tests.correctness.chaos.storm import TIMES, Storm, Weathered
from tests.kit.client import open_shop, running_stack


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.correctness.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    console = Console()
    console.print(f"seed {arguments.seed}, {arguments.seconds:g} s of faults")
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        running_stack(Path(folder), **TIMES) as environment,
    ):
        weathered = asyncio.run(_rage(environment, arguments.seed, arguments.seconds))
    _show(weathered, console)
    return 0 if weathered.went_well else 1


async def _rage(environment: Mapping[str, str], seed: int, seconds: float) -> Weathered:
    async with open_shop(environment) as shop:
        return await Storm(shop, random.Random(seed)).rage(seconds)


def _show(weathered: Weathered, console: Console) -> None:
    table = Table("fault", box=box.SIMPLE_HEAD)
    for column in ("times", "settled p50 (s)", "settled max (s)"):
        table.add_column(column, justify="right")
    for kind, times in sorted(weathered.faults.items()):
        settled = weathered.settled_seconds.get(kind, [])
        table.add_row(kind, str(times), *_spread(settled))
    settled = [each for kind in weathered.settled_seconds.values() for each in kind]
    table.add_row("all", str(sum(weathered.faults.values())), *_spread(settled))
    console.print(table)
    orders = sum(weathered.ends.values())
    console.print(f"{orders:,} orders in {weathered.seconds:.0f} s: {weathered.ends}")
    console.print(f"HTTP answers: {weathered.answers}")
    p50, most = _spread([1000 * each for each in weathered.post_seconds])
    console.print(f"POST /orders, when it was answered: p50 {p50} ms, max {most} ms")
    console.print(f"not ended: {weathered.not_ended or 0}, owed: {weathered.owed}")
    console.print(f"dead letters: {weathered.dead_letters}")
    console.print(f"audit: {len(weathered.discrepancies)} discrepancies")
    for discrepancy in weathered.discrepancies[:50]:
        console.print(str(discrepancy), markup=False, highlight=False)


def _spread(values: Sequence[float]) -> tuple[str, str]:
    return (f"{median(values):.1f}", f"{max(values):.1f}") if values else ("-", "-")


if __name__ == "__main__":
    sys.exit(main())
