"""Rankings in memory: how old they get, who waits, and what becomes of a failure."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from product.ranking import FRESH_SECONDS, MAX_AGE_SECONDS, Ranking, Rankings
from saga.errors import RetryLater

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


class Source:
    """Makes rankings, each told apart by its time, when it is let; or fails."""

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
    """Let what was begun behind somebody come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_new_one_is_kept() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    for _ in range(3):
        assert number(await rankings.get(3, source.read)) == 1
    clock.seconds = FRESH_SECONDS - 0.01
    assert number(await rankings.get(3, source.read)) == 1
    assert number(await rankings.get(7, source.read)) == 2
    assert source.reads == 2


async def test_an_old_one_is_given_while_it_is_read_anew() -> None:
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


async def test_one_that_is_too_old_is_waited_for_once() -> None:
    clock, source = Clock(), Source()
    rankings = Rankings(clock)
    await rankings.get(3, source.read)
    clock.seconds = MAX_AGE_SECONDS
    found = await asyncio.gather(*(rankings.get(3, source.read) for _ in range(10)))
    assert {number(each) for each in found} == {2}
    assert source.reads == 2


async def test_its_age_counts_from_the_beginning_of_the_reading() -> None:
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


async def test_who_waits_gets_the_error_and_the_next_one_tries_again() -> None:
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
    assert number(await rankings.get(3, source.read)) == 3  # who need not wait does not see it
    await settled()
    clock.seconds = MAX_AGE_SECONDS
    with pytest.raises(RetryLater):
        await rankings.get(3, source.read)


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    source, rankings = Source(), Rankings(Clock())
    source.open.clear()
    first, second = (asyncio.create_task(rankings.get(3, source.read)) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    source.open.set()
    assert number(await second) == 1


async def test_the_end_waits_for_nobody() -> None:
    source, rankings = Source(), Rankings(Clock())
    source.open.clear()
    asked = asyncio.create_task(rankings.get(3, source.read))
    await settled()
    await rankings.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
