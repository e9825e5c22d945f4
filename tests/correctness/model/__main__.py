"""`make modelcheck`: search every scenario through, and say how much there was to see.

Ends with 1 when an invariant is broken or an order can't end, and tells the shortest way there.
"""

import argparse
import sys

from rich import box
from rich.console import Console
from rich.table import Table

from tests.correctness.model.checker import Result, check
from tests.correctness.model.scenarios import FULL, SMALL, Scenario
from tests.correctness.model.world import all_edges


def main() -> int:
    arguments = _parser().parse_args()
    console = Console()
    chosen = [each for each in _bound(arguments.bound) if arguments.only in each.name]
    results: list[Result] = []
    for scenario in chosen:
        result = check(scenario)
        results.append(result)
        if result.violation is not None:
            console.print(f"[bold red]{scenario.name}[/]")
            console.print(str(result.violation), markup=False, highlight=False, soft_wrap=True)
            return 1
    _show(results, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.correctness.model", description=__doc__)
    parser.add_argument("--bound", choices=["small", "full"], default="full")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    return parser


def _bound(name: str) -> tuple[Scenario, ...]:
    return SMALL if name == "small" else FULL


def _show(results: list[Result], console: Console) -> None:
    table = Table("scenario", box=box.SIMPLE_HEAD)
    for column in ("states", "steps", "seconds"):
        table.add_column(column, justify="right")
    for each in results:
        table.add_row(
            each.scenario, f"{each.states:,}", f"{each.transitions:,}", f"{each.seconds:.1f}"
        )
    sums = [sum(getattr(each, name) for each in results) for name in ("states", "transitions")]
    table.add_row(
        "all", *(f"{number:,}" for number in sums), f"{sum(r.seconds for r in results):.0f}"
    )
    console.print(table)
    walked = frozenset().union(*(each.edges for each in results))
    edges = all_edges()
    console.print(f"{len(walked & edges)} of {len(edges)} edges of the choreography walked")
    for received, service, emitted in sorted(edges - walked):
        console.print(f"  not walked: {received} -> {service} -> {emitted}", highlight=False)
    console.print("[bold green]no violation; from every state every order can end[/]")


def _figures(states: int, steps: int, seconds: float) -> tuple[str, str, str]:
    return f"{states:,}", f"{steps:,}", f"{seconds:.1f}"


if __name__ == "__main__":
    sys.exit(main())
