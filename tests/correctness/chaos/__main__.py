"""`make chaos [SECONDS=180] [SEED=...]`: random faults on a stack of its own, and the figures.

Ends with 0 when every order has ended, nothing is unsettled, there is no dead letter and the audit
is clean; with 1 otherwise.
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

from tests.correctness.chaos.storm import TIMES, Storm, StormReport
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
        report = asyncio.run(_run(environment, arguments.seed, arguments.seconds))
    _show(report, console)
    return 0 if report.is_clean else 1


async def _run(environment: Mapping[str, str], seed: int, seconds: float) -> StormReport:
    async with open_shop(environment) as shop:
        return await Storm(shop, random.Random(seed)).run(seconds)


def _show(report: StormReport, console: Console) -> None:
    table = Table("fault", box=box.SIMPLE_HEAD)
    for column in ("times", "settled p50 (s)", "settled max (s)"):
        table.add_column(column, justify="right")
    for kind, times in sorted(report.faults.items()):
        settled = report.settled_seconds.get(kind, [])
        table.add_row(kind, str(times), *_spread(settled))
    settled = [each for kind in report.settled_seconds.values() for each in kind]
    table.add_row("all", str(sum(report.faults.values())), *_spread(settled))
    console.print(table)
    orders = sum(report.ends.values())
    console.print(f"{orders:,} orders in {report.seconds:.0f} s: {report.ends}")
    console.print(f"HTTP answers: {report.answers}")
    p50, most = _spread([1000 * each for each in report.post_seconds])
    console.print(f"POST /orders, where it was answered: p50 {p50} ms, max {most} ms")
    console.print(f"not ended: {report.not_ended or 0}, unsettled: {report.unsettled}")
    console.print(f"dead letters: {report.dead_letters}")
    console.print(f"audit: {len(report.discrepancies)} discrepancies")
    for discrepancy in report.discrepancies[:50]:
        console.print(str(discrepancy), markup=False, highlight=False)


def _spread(values: Sequence[float]) -> tuple[str, str]:
    return (f"{median(values):.1f}", f"{max(values):.1f}") if values else ("-", "-")


if __name__ == "__main__":
    sys.exit(main())
