"""Calls under one key that are made at the same time are one call."""

import asyncio

import pytest

from chassis.single_flight import SingleFlight


class Source:
    """Gives 1, 2, 3 and so on, or raises, once it may."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.may_end = asyncio.Event()

    async def read(self) -> int:
        self.calls += 1
        value = self.calls
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return value


async def test_concurrent_calls_share_one_result() -> None:
    flights, source = SingleFlight[str, int](), Source()
    tasks = [flights.start("cake", source.read) for _ in range(10)]
    other = flights.start("pie", source.read)
    source.may_end.set()
    assert set(await asyncio.gather(*tasks)) == {1}
    assert await other == 2


async def test_next_call_after_the_end_is_a_new_one() -> None:
    flights, source = SingleFlight[str, int](), Source()
    source.may_end.set()
    assert [await flights.start("cake", source.read) for _ in range(2)] == [1, 2]


async def test_call_after_forget_is_a_new_one_and_outlives_the_old_one() -> None:
    flights, old_source, new_source = SingleFlight[str, int](), Source(), Source()
    old = flights.start("cake", old_source.read)
    flights.forget("cake")
    new = flights.start("cake", new_source.read)
    old_source.may_end.set()
    await old
    assert flights.start("cake", new_source.read) is new
    new_source.may_end.set()
    assert await new == 1


async def test_error_reaches_everyone_who_waits_and_is_not_kept() -> None:
    flights, source = SingleFlight[str, int](), Source()
    source.error = LookupError("no such cake")
    tasks = [flights.start("cake", source.read) for _ in range(3)]
    source.may_end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results == [source.error] * 3
    source.error = None
    assert await flights.start("cake", source.read) == 2


async def test_caller_that_gives_up_does_not_end_the_call_of_others() -> None:
    flights, source = SingleFlight[str, int](), Source()

    async def ask() -> int:
        return await asyncio.shield(flights.start("cake", source.read))

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.may_end.set()
    assert await second == 1


async def test_close_cancels_what_is_under_way() -> None:
    flights, source = SingleFlight[str, int](), Source()
    task = flights.start("cake", source.read)
    await asyncio.sleep(0)
    await flights.close()
    assert task.cancelled()
