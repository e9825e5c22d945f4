"""`make simulate [SEEDS=1000] [FIRST=0] [SEED=7]`: run schedules, and print what happened in them.

With SEED one schedule is replayed and described. A failure prints its seed and the fewest faults
with which it still fails. Ctrl-C ends the run and prints its figures so far; FIRST continues it.
Ends with 1 when there was a failure.
"""

import argparse
import importlib
import os
import signal
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter

from rich.console import Console

from infra.stack import tables
from tests.correctness.model.world import all_edges
from tests.correctness.simulation.awaits import all_awaits
from tests.correctness.simulation.checks import Edge
from tests.correctness.simulation.description import Simulation
from tests.correctness.simulation.faults import PHASES
from tests.correctness.simulation.schedule import ScheduleResult, run, silence

SHOP = "tests.correctness.simulation.shop"

_CHUNK = 10
_REPORT_AFTER = 10_000


def main() -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings is a part of what has to be the same again.
        command = [sys.executable, "-m", "tests.correctness.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606
    parser = argparse.ArgumentParser(
        prog="python -m tests.correctness.simulation", description=__doc__
    )
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--of", default=SHOP, help="the module with a choreography's SIMULATION")
    arguments = parser.parse_args()
    console = Console()
    if arguments.seed is not None:
        return _replay(_load(arguments.of), arguments.seed, console)
    return _many(arguments, console)


def _load(module: str) -> Simulation:
    simulation: Simulation = importlib.import_module(module).SIMULATION
    return simulation


def _replay(simulation: Simulation, seed: int, console: Console) -> int:
    with silence():
        outcome = run(simulation, seed)
        again = run(simulation, seed)
    for fault in outcome.faults:
        console.print(str(fault), highlight=False)
    console.print(
        f"{outcome.sagas} {simulation.saga}s: {dict(outcome.ends)}, {outcome.kills} kills"
    )
    same = "the same twice" if outcome.history == again.history else "NOT THE SAME TWICE"
    console.print(f"history {outcome.history[:16]}, {same}")
    for violation in outcome.violations:
        console.print(f"[bold red]{violation}[/]", highlight=False)
    return 1 if outcome.violations or outcome.history != again.history else 0


def _many(arguments: argparse.Namespace, console: Console) -> int:
    began = perf_counter()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    chunks = [seeds[i : i + _CHUNK] for i in range(0, len(seeds), _CHUNK)]
    simulation = _load(arguments.of)
    total = Total(simulation)
    pool = ProcessPoolExecutor(arguments.processes)
    try:
        for outcomes in pool.map(partial(_chunk, arguments.of), chunks):
            for outcome in outcomes:
                total.add(outcome)
                for violation in outcome.violations[:1]:
                    console.print(f"seed {outcome.seed}: {violation[:200]}", highlight=False)
            if total.schedules % _REPORT_AFTER == 0:
                console.print(f"{total.schedules:,} schedules, {len(total.failed)} failed")
    except KeyboardInterrupt:
        console.print("interrupted; so far:")
    pool.shutdown(cancel_futures=True)
    total.show(console, perf_counter() - began)
    for outcome in total.failed[:5]:
        _show_failure(simulation, outcome, console)
    return 1 if total.failed else 0


def _chunk(module: str, seeds: range) -> list[ScheduleResult]:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    simulation = _load(module)
    with silence():
        return [run(simulation, seed) for seed in seeds]


def _show_failure(simulation: Simulation, outcome: ScheduleResult, console: Console) -> None:
    console.print(f"[bold red]seed {outcome.seed}[/]: {outcome.violations[0]}", highlight=False)
    with silence():
        shrunk = shrink(simulation, outcome)
    for fault in shrunk.faults:
        console.print(f"    {fault}", highlight=False)
    console.print(f"    make simulate SEED={outcome.seed}", highlight=False)


def shrink(simulation: Simulation, outcome: ScheduleResult) -> ScheduleResult:
    """The fewest faults with which the schedule still fails: each is left out if it can be."""
    smallest = outcome
    for fault in outcome.faults:
        fewer = [each for each in smallest.faults if each != fault]
        tried = run(simulation, outcome.seed, faults=fewer)
        if tried.violations:
            smallest = tried
    return smallest


class Total:
    """The figures of many schedules."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.schedules = self.sagas = self.kills = 0
        self.ends = Counter[str]()
        self.faults = Counter[str]()
        self.places = Counter[str]()
        self.phases = Counter[str]()
        self.edges: set[Edge] = set()
        self.failed: list[ScheduleResult] = []
        self._settled: list[float] = []

    def add(self, outcome: ScheduleResult) -> None:
        self.schedules += 1
        self.sagas += outcome.sagas
        self.kills += outcome.kills
        self.ends += outcome.ends
        self.faults += Counter(fault.kind for fault in outcome.faults) + outcome.message_faults
        self.places += outcome.places
        self.phases += outcome.phases
        self.edges |= outcome.edges
        self._settled.append(outcome.settled_seconds)
        if outcome.violations:
            self.failed.append(outcome)

    def show(self, console: Console, seconds: float) -> None:
        for title, counted in (
            ("fault", self.faults),
            ("killed at a commit", self.phases),
            ("killed at an await", self.places),
        ):
            rows = [(name, f"{times:,}") for name, times in sorted(counted.items())]
            tables.show(console, (title, "times"), rows, right=("times",))
        participants = self._simulation.participants
        edges = all_edges(each.reactions for each in participants.values())
        awaits = all_awaits()
        for place in awaits:
            if not self.places[place]:
                console.print(f"[yellow]never killed at[/] {place}", highlight=False)
        console.print(
            f"{self.schedules:,} schedules, {self.sagas:,} {self._simulation.saga}s "
            f"{dict(self.ends)}, {self.kills:,} kills\n"
            f"killed at {len(self.places)} of {len(awaits)} awaits of the chassis and at "
            f"{len(self.phases)} of {len(participants) * len(PHASES)} phases of a commit; "
            f"{len(self.faults)} kinds of faults\n"
            f"{len(self.edges & edges)} of {len(edges)} edges of the choreography walked "
            "(by new events; answers to retransmissions are not counted)\n"
            f"settled after the last fault within {median(self._settled):.0f} s (p50), "
            f"{max(self._settled):.0f} s (max) of virtual time\n"
            f"violations: {len(self.failed)}; {seconds:.0f} s",
            highlight=False,
        )


if __name__ == "__main__":
    sys.exit(main())
