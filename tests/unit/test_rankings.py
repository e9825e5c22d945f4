"""Rankings in memory: their age, the requests that wait, and failed reads."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from product.ranking import FRESH_SECONDS, MAX_AGE_SECONDS, Ranking, Rankings
from saga.errors import RetryLater

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


class Source:
    """Reads rankings, numbered by their time, while `open` is set; or fails."""

    def __init__(self) -> None:
        self.reads = 0
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def read(self) -> Ranking:
        self.reads += 1
        number = self.reads
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return Ranking(BEGIN + timedelta(hours=number), ())


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def number(ranking: Ranking) -> int:
    return (ranking.since - BEGIN) // timedelta(hours=1)


async def settled() -> None:
    """Let background reads end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_fresh_ranking_is_kept() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    for _ in range(3):
        assert number(await rankings.get(3, source.read)) == 1
    clock.seconds = FRESH_SECONDS - 0.01
    assert number(await rankings.get(3, source.read)) == 1
    assert number(await rankings.get(7, source.read)) == 2
    assert source.reads == 2


async def test_stale_ranking_is_returned_while_it_is_read_again() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    await rankings.get(3, source.read)
    source.open.clear()
    clock.seconds = FRESH_SECONDS
    for _ in range(3):
        assert number(await rankings.get(3, source.read)) == 1
    source.open.set()
    await settled()
    assert number(await rankings.get(3, source.read)) == 2
    assert source.reads == 2


async def test_requests_share_one_read_of_an_expired_ranking() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    await rankings.get(3, source.read)
    clock.seconds = MAX_AGE_SECONDS
    found = await asyncio.gather(*(rankings.get(3, source.read) for _ in range(10)))
    assert {number(each) for each in found} == {2}
    assert source.reads == 2


async def test_age_counts_from_the_beginning_of_the_read() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    source.open.clear()
    asked = asyncio.create_task(rankings.get(3, source.read))
    await settled()
    clock.seconds = FRESH_SECONDS
    source.open.set()
    assert number(await asked) == 1
    await rankings.get(3, source.read)
    await settled()
    assert source.reads == 2


async def test_failed_read_is_raised_to_waiting_requests_and_tried_again() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    source.error = RetryLater("not now")
    for _ in range(2):
        with pytest.raises(RetryLater):
            await rankings.get(3, source.read)
    source.error = None
    assert number(await rankings.get(3, source.read)) == 3
    source.error = RetryLater("not now")
    clock.seconds = FRESH_SECONDS
    assert number(await rankings.get(3, source.read)) == 3  # a stale ranking hides the failure
    await settled()
    clock.seconds = MAX_AGE_SECONDS
    with pytest.raises(RetryLater):
        await rankings.get(3, source.read)


async def test_cancelled_request_does_not_cancel_the_shared_read() -> None:
    source, rankings = Source(), Rankings(Clock())
    source.open.clear()
    first, second = (asyncio.create_task(rankings.get(3, source.read)) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    source.open.set()
    assert number(await second) == 1


async def test_close_cancels_reads() -> None:
    source, rankings = Source(), Rankings(Clock())
    source.open.clear()
    asked = asyncio.create_task(rankings.get(3, source.read))
    await settled()
    await rankings.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
