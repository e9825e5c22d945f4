"""Load: a number of orders in flight, or a number of orders per second.

An order counts at the moment when the client knows that it is COMPLETED.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from time import perf_counter
from typing import Protocol

import msgspec

from bench.wire import Connection

COMPLETED = "COMPLETED"
CLEAR_ANSWERS = {COMPLETED, "503 RETRY_LATER with Retry-After"}


class Target(Protocol):
    """A system that accepts orders over HTTP at `url`."""

    url: str

    async def post(self, connection: Connection) -> Awaitable[str]:
        """Place one order. Returns its later result: COMPLETED, or another one, such as
        `503 RETRY_LATER`."""
        ...


class Percentiles(msgspec.Struct, frozen=True):
    """In milliseconds, by nearest rank: each is a measured latency, not an interpolated one."""

    p50: float
    p99: float
    maximum: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`per_second`: orders COMPLETED within the measured time, by its length.

    `post` and `order`: from when an order was due to its HTTP answer, and to its COMPLETED.
    """

    offered_per_second: float | None
    seconds: float
    results: dict[str, int]
    per_second: float
    post: Percentiles | None
    order: Percentiles | None


class Tally:
    """Counts orders that end between `begins_at` and `ends_at`; earlier ones are warm-up."""

    def __init__(self, begins_at: float, ends_at: float) -> None:
        self.begins_at = begins_at
        self.ends_at = ends_at
        self._results = Counter[str]()
        self._in_time = 0
        self._post_seconds: list[float] = []
        self._order_seconds: list[float] = []

    def count(self, result: str, due: float, answered_at: float) -> None:
        now = perf_counter()
        if now < self.begins_at:
            return
        self._results[result] += 1
        if result == COMPLETED:
            self._in_time += now <= self.ends_at
            self._post_seconds.append(answered_at - due)
            self._order_seconds.append(now - due)

    def result(self, offered_per_second: float | None = None) -> Result:
        seconds = self.ends_at - self.begins_at
        return Result(
            offered_per_second=offered_per_second,
            seconds=round(seconds, 1),
            results=dict(sorted(self._results.items())),
            per_second=round(self._in_time / seconds, 1),
            post=percentiles(self._post_seconds),
            order=percentiles(self._order_seconds),
        )


async def at_once(
    target: Target, in_flight: int, seconds: float, *, warm_up_seconds: float = 3
) -> Result:
    """Keep `in_flight` orders in flight: the end of an order starts the next one."""
    connections = [await Connection.open(target.url) for _ in range(in_flight)]
    begins_at = perf_counter() + warm_up_seconds
    tally = Tally(begins_at, begins_at + seconds)

    async def work(connection: Connection) -> None:
        while (due := perf_counter()) < tally.ends_at:
            end = await target.post(connection)
            answered_at = perf_counter()
            tally.count(await end, due, answered_at)

    try:
        await asyncio.gather(*(work(connection) for connection in connections))
    finally:
        for connection in connections:
            connection.close()
    return tally.result()


async def at_rate(
    target: Target, per_second: float, seconds: float, *, connections: int = 256
) -> Result:
    """Place orders when they are due, and wait for the end of each.

    Latencies are measured from the due time, so waiting for a free connection counts. Otherwise a
    slow server would get fewer requests and appear fast.
    """
    opened = [await Connection.open(target.url) for _ in range(connections)]
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in opened:
        free.put_nowait(connection)
    begins_at = perf_counter()
    tally = Tally(begins_at, begins_at + seconds)

    async def place(due: float) -> None:
        connection = await free.get()
        end = await target.post(connection)
        answered_at = perf_counter()
        free.put_nowait(connection)
        tally.count(await end, due, answered_at)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_second * seconds)):
                due = begins_at + number / per_second
                if (ahead := due - perf_counter()) > 0:
                    await asyncio.sleep(ahead)
                group.create_task(place(due))
    finally:
        for connection in opened:
            connection.close()
    return tally.result(per_second)


async def flood(target: Target, orders: int, *, connections: int = 500) -> list[Awaitable[str]]:
    """Place orders as fast as the connections can, without waiting for their ends."""
    opened = [await Connection.open(target.url) for _ in range(connections)]
    to_come = iter(range(orders))
    ends: list[Awaitable[str]] = []

    async def work(connection: Connection) -> None:
        ends.extend([await target.post(connection) for _ in to_come])

    try:
        await asyncio.gather(*(work(connection) for connection in opened))
    finally:
        for connection in opened:
            connection.close()
    return ends


async def ends_of(ends: Iterable[Awaitable[str]]) -> dict[str, int]:
    """The number of orders by result, once all are known."""
    return dict(Counter([await end for end in ends]))


async def one_by_one(target: Target, orders: int) -> Result:
    """A single order at a time, each after the end of the one before."""
    connection = await Connection.open(target.url)
    tally = Tally(perf_counter(), math.inf)
    began_at = perf_counter()
    try:
        for _ in range(orders):
            due = perf_counter()
            end = await target.post(connection)
            answered_at = perf_counter()
            tally.count(await end, due, answered_at)
    finally:
        connection.close()
    tally.ends_at = tally.begins_at + perf_counter() - began_at
    return tally.result()


def percentiles(seconds: Sequence[float]) -> Percentiles | None:
    if not seconds:
        return None
    in_order = sorted(seconds)
    ranks = (math.ceil(len(in_order) * share) - 1 for share in (0.5, 0.99, 1))
    return Percentiles(*(round(in_order[rank] * 1000, 2) for rank in ranks))
