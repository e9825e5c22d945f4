"""The tables of docs/performance.md: each goal with its figure, and all measurements."""

from pathlib import Path

import msgspec

from bench import goals
from bench.compare import Series
from bench.generator import Result
from bench.growth import Growth
from bench.hot import BUYERS, UNITS, Hot
from bench.offered import Offered
from bench.scale import Run

BEGIN, END = "<!-- figures: written by make bench -->\n", "<!-- end of figures -->"


class Figures(msgspec.Struct):
    compare: list[Series]
    offered: Offered
    hot: Hot
    scale: list[Run]
    growth: Growth
    machine: dict[str, str]
    measured_on: str


def write(figures: Figures, docs: Path) -> None:
    """Write the tables between the marks of docs/performance.md."""
    page = docs / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = (_goals, _comparison, _offered, _hot, _growth, _scale, _machine)
    tables = "\n".join(part(figures) for part in parts)
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}")


def _goals(figures: Figures) -> str:
    """Each goal, its measured figure, and whether it is met."""
    found = [
        *goals.throughput(figures.compare, figures.offered),
        *goals.latency(figures.offered),
        *goals.overload(figures.offered),
        *goals.hot(figures.hot),
        *goals.growth(figures.growth),
        *goals.scale(figures.scale),
    ]
    lines = ["| goal | wanted | measured | |", "|---|---|---|---|"]
    lines += [
        f"| {each.what} | {each.wanted} | {each.measured} | {'met' if each.met else '**missed**'} |"
        for each in found
    ]
    return "\n".join(lines) + "\n"


def _comparison(figures: Figures) -> str:
    lines = ["## Compared with others\n", "| | orders/s, median | each round |", "|---|---|---|"]
    for each in sorted(figures.compare, key=lambda each: -each.median if each.rounds else 0):
        if each.missing:
            lines.append(f"| {each.name} | not measured: {each.missing} | |")
        else:
            rounds = ", ".join(f"{one:,.0f}" for one in each.rounds)
            lines.append(f"| {each.name} | {each.median:,.0f} | {rounds} |")
    return "\n".join(lines) + "\n"


def _offered(figures: Figures) -> str:
    offered = figures.offered
    lines = [
        "## Latency against offered load\n",
        "![Throughput and latency against offered load](performance.svg)\n",
        "| offered | COMPLETED/s | POST p50 | p99 | order p50 | p99 |",
        "|---|---|---|---|---|---|",
        _row("one at a time", offered.lone),
        *(_row(f"{each.offered_per_second:,.0f}/s", each) for each in offered.curve),
        _row("1,000 in flight", offered.best),
        _row("twice that", offered.overload.result),
        _row("1,000 in flight, again", offered.best_again),
    ]
    over = offered.overload
    memory = ", ".join(
        f"{part} {over.memory_before_mib[part]:.0f} to {mib:.0f}"
        for part, mib in over.max_memory_mib.items()
    )
    results = ", ".join(f"{count:,} {name}" for name, count in over.result.results.items())
    lines.append(
        f"\nLatencies in ms. At twice the load, for {over.result.seconds:.0f} s: {results}. All "
        f"admitted orders had ended {over.drained_seconds} s after the last one. "
        f"Memory in MiB: {memory}."
    )
    return "\n".join(lines) + "\n"


def _row(name: str, result: Result) -> str:
    if result.post is None:
        return f"| {name} | 0 | | | | |"
    post, order = result.post, goals.order_times(result)
    times = f"{post.p50:.1f} | {post.p99:.1f} | {order.p50:.1f} | {order.p99:.1f}"
    return f"| {name} | {result.per_second:,.0f} | {times} |"


def _hot(figures: Figures) -> str:
    lines = [
        "## Hot products\n",
        "| | seconds | results | units left |",
        "|---|---|---|---|",
    ]
    for name, rush in (
        (f"{BUYERS:,} buyers, {UNITS} units", figures.hot.without_admission),
        ("the same with hot-product admission", figures.hot.with_admission),
    ):
        results = ", ".join(f"{count:,} {end}" for end, count in sorted(rush.results.items()))
        lines.append(f"| {name} | {rush.seconds} | {results} | {rush.available} |")
    return "\n".join(lines) + "\n"


def _growth(figures: Figures) -> str:
    growth = figures.growth
    lines = [
        "## Growth\n",
        "| orders in the databases | COMPLETED/s | CPU per order | a new stack's | memory (MiB) |",
        "|---|---|---|---|---|",
    ]
    for each in (*growth.stages, growth.after_queue):
        memory = ", ".join(f"{part} {mib:.0f}" for part, mib in each.memory_mib.items())
        cpu = f"{each.cpu_milliseconds:.2f} ms"
        new = f"{each.new_per_second:,.0f}/s, {each.new_cpu_milliseconds:.2f} ms"
        lines.append(f"| {each.orders:,} | {each.per_second:,.0f} | {cpu} | {new} | {memory} |")
    queue, disk = growth.queue, growth.disk_bytes_an_order
    lines.append(
        f"\n{queue.waiting:,} orders were placed while product was stopped; once it ran again, "
        f"{queue.drained_per_second:,.0f} per second were COMPLETED, at "
        f"{queue.cpu_milliseconds:.2f} ms of CPU each. An order takes "
        f"{disk['db'] / 1000:.1f} kB in the four databases and {disk['nats'] / 1000:.1f} kB in the "
        "stream, which deletes it after a week."
    )
    return "\n".join(lines) + "\n"


def _scale(figures: Figures) -> str:
    lines = [
        "## More instances, PostgreSQL\n",
        "| | COMPLETED/s, median | each round | the second instances' share of the events |",
        "|---|---|---|---|",
    ]
    for run in figures.scale:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in run.shares.items())
        rounds = ", ".join(f"{one:,.0f}" for one in run.rounds)
        lines.append(f"| {run.name} | {run.median:,.0f} | {rounds} | {shares} |")
    return "\n".join(lines) + "\n"


def _machine(figures: Figures) -> str:
    about = ", ".join(f"{name} {what}" for name, what in figures.machine.items())
    return f"Measured on {figures.measured_on}: {about}.\n"
