"""`make chaos [SECONDS=180] [SEED=...] [CLUSTER=3]`: random faults on a stack of its own.

Prints the figures. Ends with 0 when every order has ended as clients saw it, nothing is unsettled,
there is no dead letter and the audit is clean; with 1 otherwise.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import monotonic

from rich.console import Console

from infra.stack import tables
from tests.correctness.chaos.faults import CLUSTER_FAULTS, FAULTS, Fault
from tests.correctness.chaos.storm import TIMES, Storm, StormReport
from tests.kit.client import open_shop, running_stack


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.correctness.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--cluster", type=int, choices=(1, 3), default=1, help="brokers")
    arguments = parser.parse_args()
    cluster = {"CLUSTER": str(arguments.cluster)}
    faults = FAULTS if arguments.cluster == 1 else CLUSTER_FAULTS
    console = Console()
    brokers = "one broker" if arguments.cluster == 1 else "three brokers"
    console.print(f"seed {arguments.seed}, {arguments.seconds:g} s of faults, {brokers}")
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        running_stack(Path(folder), **TIMES, **cluster) as environment,
    ):
        report = asyncio.run(_run(environment, faults, arguments))
    _show(report, console)
    return 0 if report.is_clean else 1


async def _run(
    environment: Mapping[str, str], faults: Mapping[str, Fault], arguments: argparse.Namespace
) -> StormReport:
    async with open_shop(environment) as shop:
        began = monotonic()

        def show(kind: str) -> None:
            print(f"{monotonic() - began:7.1f} s  {kind}", flush=True)

        storm = Storm(shop, random.Random(arguments.seed), faults, report_progress=show)
        return await storm.run(arguments.seconds)


def _show(report: StormReport, console: Console) -> None:
    rows = [
        (kind, str(times), *_spread(report.settled_seconds.get(kind, [])))
        for kind, times in sorted(report.faults.items())
    ]
    settled = [each for kind in report.settled_seconds.values() for each in kind]
    rows.append(("all", str(sum(report.faults.values())), *_spread(settled)))
    columns = ("fault", "times", "settled p50 (s)", "settled max (s)")
    tables.show(console, columns, rows, right=columns[1:])
    for service, seconds in sorted(report.restore_seconds.items()):
        console.print(
            f"{service} restored {len(seconds)} times, from the loss to the release p50 "
            f"{median(seconds):.0f} s, max {max(seconds):.0f} s; "
            f"{report.booked.get(service, 0)} bookings"
        )
    console.print(f"refused commands of the operator: {report.refused}")
    orders = sum(report.ends.values())
    console.print(f"{orders:,} orders in {report.seconds:.0f} s: {report.ends}")
    console.print(f"HTTP answers: {report.answers}")
    p50, most = _spread([1000 * each for each in report.post_seconds])
    console.print(f"POST /orders, where it was answered: p50 {p50} ms, max {most} ms")
    console.print(f"accepted, not published, and gone with a lost database: {len(report.gone)}")
    console.print(f"lost: {report.lost or 0}")
    console.print(f"not ended: {report.not_ended or 0}, unsettled: {report.unsettled}")
    console.print(f"dead letters: {report.dead_letters}")
    console.print(f"audit: {len(report.discrepancies)} discrepancies")
    for discrepancy in report.discrepancies[:50]:
        console.print(str(discrepancy), markup=False, highlight=False)


def _spread(values: Sequence[float]) -> tuple[str, str]:
    return (f"{median(values):.1f}", f"{max(values):.1f}") if values else ("-", "-")


if __name__ == "__main__":
    sys.exit(main())
