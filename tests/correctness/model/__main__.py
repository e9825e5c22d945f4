"""`make modelcheck`: search every scenario through, and print how many states there are.

Ends with 1 when an invariant is broken or a saga can't end, and prints the shortest way there.
"""

import argparse
import importlib
import sys

from rich.console import Console

from infra.stack import tables
from tests.correctness.model.checker import SearchResult, check
from tests.correctness.model.description import Model
from tests.correctness.model.world import edges_within, production

SHOP = "tests.correctness.model.shop"


def main() -> int:
    arguments = _parser().parse_args()
    console = Console()
    model: Model = importlib.import_module(arguments.of).MODEL
    scenarios = model.small if arguments.bound == "small" else model.full
    results: list[SearchResult] = []
    for scenario in (each for each in scenarios if arguments.only in each.name):
        result = check(model, scenario)
        results.append(result)
        if result.violation is not None:
            console.print(f"[bold red]{scenario.name}[/]")
            console.print(str(result.violation), markup=False, highlight=False, soft_wrap=True)
            return 1
    _show(model, results, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.correctness.model", description=__doc__)
    parser.add_argument("--bound", choices=["small", "full"], default="full")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    parser.add_argument("--of", default=SHOP, help="the module with the MODEL of a choreography")
    return parser


def _show(model: Model, results: list[SearchResult], console: Console) -> None:
    rows = [
        (each.scenario, f"{each.states:,}", f"{each.transitions:,}", f"{each.seconds:.1f}")
        for each in results
    ]
    states, steps = sum(each.states for each in results), sum(each.transitions for each in results)
    rows.append(("all", f"{states:,}", f"{steps:,}", f"{sum(r.seconds for r in results):.0f}"))
    columns = ("scenario", "states", "steps", "seconds")
    tables.show(console, columns, rows, right=columns[1:])
    walked = frozenset().union(*(each.edges for each in results))
    edges = edges_within(production(model).values(), model.streams)
    console.print(f"{len(walked & edges)} of {len(edges)} edges of the choreography walked")
    for handled, service, emitted in sorted(edges - walked):
        console.print(f"  not walked: {handled} -> {service} -> {emitted}", highlight=False)
    console.print(f"[bold green]no violation; from every state every {model.saga} can end[/]")


if __name__ == "__main__":
    sys.exit(main())
