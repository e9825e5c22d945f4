"""The performance goals, each with its measured figure."""

from collections.abc import Sequence
from statistics import mean

import msgspec

from bench import compare
from bench.compare import Series
from bench.generator import CLEAR_ANSWERS, COMPLETED, Percentiles, Result
from bench.growth import Growth, Stage
from bench.hot import BUYERS, UNITS, Hot
from bench.offered import Offered
from bench.scale import Run

TIMES = {"Restate, four services": 12, "DBOS on SQLite": 30, "DBOS on PostgreSQL": 30}
OF_THE_BARE_PIPELINE = 0.4
SUSTAINED_PER_SECOND = 1_500
FLAT = 0.15
KEPT = 0.9
SOLD_OUT_PER_SECOND = 4_000


class Goal(msgspec.Struct, frozen=True):
    what: str
    wanted: str
    measured: str
    met: bool


def throughput(series: Sequence[Series], offered: Offered) -> list[Goal]:
    medians = {each.name: each.median for each in series if each.rounds}
    shop = medians[compare.SHOP]
    goals = [
        Goal(
            f"throughput, compared with {name}",
            f"{times} times",
            f"{shop / medians[name]:.1f} times",
            shop >= times * medians[name],
        )
        for name, times in TIMES.items()
        if name in medians
    ]
    share, best = shop / medians[compare.BARE], offered.best.per_second
    return [
        *goals,
        Goal(
            "throughput, compared with the bare pipeline",
            f"{OF_THE_BARE_PIPELINE:.0%}",
            f"{share:.0%}",
            share >= OF_THE_BARE_PIPELINE,
        ),
        Goal(
            f"orders COMPLETED, sustained for {offered.best.seconds:.0f} s",
            f"{SUSTAINED_PER_SECOND:,}/s",
            f"{best:,.0f}/s",
            best >= SUSTAINED_PER_SECOND,
        ),
    ]


def latency(offered: Offered) -> list[Goal]:
    by_rate = {each.offered_per_second: each for each in offered.curve}
    hundred = order_times(by_rate[100])
    post = by_rate[1_000].post
    return [
        _quick("a lone order, POST to COMPLETED, p50", 10, order_times(offered.lone).p50),
        _quick("POST to COMPLETED at 100/s, p50", 10, hundred.p50),
        _quick("POST to COMPLETED at 100/s, p99", 50, hundred.p99),
        _quick("POST to 202 at 1,000/s, p50", 5, post.p50 if post else float("inf")),
    ]


def overload(offered: Offered) -> list[Goal]:
    result = offered.overload.result
    kept = result.per_second / mean([offered.best.per_second, offered.best_again.per_second])
    return [
        Goal("throughput kept at twice the load", f"{KEPT:.0%}", f"{kept:.0%}", kept >= KEPT),
        Goal(
            "answers at twice the load",
            "202, or 503 with Retry-After",
            ", ".join(f"{count:,} {name}" for name, count in result.results.items()),
            set(result.results) <= CLEAR_ANSWERS,
        ),
    ]


def hot(found: Hot) -> list[Goal]:
    sold, rejected = found.with_admission.results.get(COMPLETED, 0), found.sold_out
    left = (rejected.new_orders, rejected.new_messages, rejected.new_events_handled)
    return [
        Goal(f"{BUYERS:,} buyers, units sold", f"{UNITS}", f"{sold}", sold == UNITS),
        Goal(
            "sold-out answers",
            f"{SOLD_OUT_PER_SECOND:,}/s",
            f"{rejected.per_second:,.0f}/s",
            rejected.per_second >= SOLD_OUT_PER_SECOND,
        ),
        Goal(
            "their effect on database, stream, product",
            "0, 0, 0",
            ", ".join(map(str, left)),
            not any(left),
        ),
    ]


def growth(found: Growth) -> list[Goal]:
    """Each compared with a new stack just before and after it."""
    dearest = max((*found.stages, found.after_queue), key=_relative_to_new)
    last, queue = found.stages[-1], found.queue
    around = (last.cpu_milliseconds + found.after_queue.cpu_milliseconds) / 2
    return [
        _flat(f"at {last.orders:,} orders, compared with a new stack", _relative_to_new(last) - 1),
        _flat(f"where it is dearest, at {dearest.orders:,}", _relative_to_new(dearest) - 1),
        _flat(f"with {queue.waiting:,} waiting", queue.cpu_milliseconds / around - 1),
    ]


def _relative_to_new(stage: Stage) -> float:
    return stage.cpu_milliseconds / stage.new_cpu_milliseconds


def scale(runs: Sequence[Run]) -> list[Goal]:
    def best(database: str) -> float:
        return max(run.median for run in runs if run.name.startswith(database))

    ratio = best("PostgreSQL") / best("SQLite")
    return [Goal("PostgreSQL compared with SQLite", "as good", f"{ratio:.0%}", ratio >= 1)]


def order_times(result: Result) -> Percentiles:
    """From POST to COMPLETED."""
    assert result.order is not None, "nothing was COMPLETED"
    return result.order


def _quick(what: str, max_milliseconds: float, found_milliseconds: float) -> Goal:
    met = found_milliseconds < max_milliseconds
    return Goal(what, f"{max_milliseconds:g} ms", f"{found_milliseconds:.1f} ms", met)


def _flat(where: str, change: float) -> Goal:
    met = change <= FLAT
    return Goal(f"cost of an order {where}", f"within {FLAT:.0%}", f"{change:+.0%}", met)
