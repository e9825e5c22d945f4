"""Cached reads: where they come from, how old they may be, and what happens without Redis."""

import asyncio

import pytest

from chassis.redis.read_cache import MAX_ENTRIES, TTL_SECONDS, ReadCache, Source
from saga.errors import NotFound
from tests.integration.redis_server import RedisServer
from tests.kit.client import wait_until


class Shelf:
    """The source: what is there now, and how often it was asked."""

    def __init__(self) -> None:
        self.units = 5
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def read(self) -> int:
        self.asked += 1
        seen = self.units
        await self.may_answer.wait()
        return seen


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_memory_then_redis_then_the_source(redis_server: RedisServer, shelf: Shelf) -> None:
    clock = Clock()
    mine, other = (ReadCache("stock", int, redis_server.url, clock) for _ in range(2))
    assert await mine.get("cake", shelf.read) == (5, Source.DATABASE)
    assert await mine.get("cake", shelf.read) == (5, Source.MEMORY)
    assert await other.get("cake", shelf.read) == (5, Source.REDIS)
    assert await other.get("cake", shelf.read) == (5, Source.MEMORY)
    assert shelf.asked == 1
    await mine.close()
    await other.close()


async def test_nothing_is_older_than_twice_what_is_kept(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    """Even where nobody says that it has changed."""
    loop = asyncio.get_running_loop()
    mine, other = (ReadCache("stock", int, redis_server.url) for _ in range(2))
    await mine.get("cake", shelf.read)
    shelf.units, changed_at = 4, loop.time()

    async def seen() -> bool:
        values = [(await each.get("cake", shelf.read))[0] for each in (mine, other)]
        return values == [4, 4]

    await wait_until(seen, "the change is seen everywhere")
    assert loop.time() - changed_at < 2 * TTL_SECONDS + 0.15
    await mine.close()
    await other.close()


async def test_a_change_of_ours_is_seen_at_once(redis_server: RedisServer, shelf: Shelf) -> None:
    mine = ReadCache("stock", int, redis_server.url)
    for units in range(20):
        shelf.units = units
        mine.forget(["cake"])
        assert await mine.get("cake", shelf.read) == (units, Source.DATABASE)
    await mine.close()


async def test_what_was_read_before_a_change_is_not_kept_after_it(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    mine = ReadCache("stock", int, redis_server.url)
    shelf.may_answer.clear()
    early = asyncio.create_task(mine.get("cake", shelf.read))
    await wait_until(lambda: _is(shelf.asked == 1), "the source is being read")
    shelf.units = 4
    mine.forget(["cake"])
    late = asyncio.create_task(mine.get("cake", shelf.read))
    await wait_until(lambda: _is(shelf.asked == 2), "it is read again")
    shelf.may_answer.set()
    assert (await early)[0] == 5
    assert (await late)[0] == 4
    assert (await mine.get("cake", shelf.read))[0] == 4
    await mine.close()


async def test_many_who_ask_at_once_are_one_read(redis_server: RedisServer, shelf: Shelf) -> None:
    mine = ReadCache("stock", int, redis_server.url)
    found = await asyncio.gather(*(mine.get("cake", shelf.read) for _ in range(500)))
    assert {value for value, _ in found} == {5}
    assert shelf.asked == 1
    await mine.close()


async def test_what_is_not_there_is_not_kept(redis_server: RedisServer) -> None:
    mine = ReadCache("stock", int, redis_server.url)

    async def missing() -> int:
        raise NotFound("no such thing")

    async def there() -> int:
        return 1

    for _ in range(2):
        with pytest.raises(NotFound):
            await mine.get("cake", missing)
    assert await mine.get("cake", there) == (1, Source.DATABASE)
    await mine.close()


async def test_without_redis_it_is_memory_and_the_source(shelf: Shelf) -> None:
    none = ReadCache("stock", int, None)
    found = [(await none.get("cake", shelf.read))[1] for _ in range(2)]
    assert found == [Source.DATABASE, Source.MEMORY]
    await none.close()


async def test_redis_goes_and_comes_back(redis_server: RedisServer, shelf: Shelf) -> None:
    clock = Clock()
    mine = ReadCache("stock", int, redis_server.url, clock)
    await mine.get("cake", shelf.read)
    await redis_server.kill()
    for units in range(10):
        shelf.units = units
        clock.seconds += 1
        assert await mine.get("cake", shelf.read) == (units, Source.DATABASE)
    await redis_server.start()

    async def used() -> bool:
        clock.seconds += 1
        return (await mine.get("cake", shelf.read))[1] is Source.REDIS

    await wait_until(used, "Redis is used again")
    await mine.close()


async def test_memory_is_bounded(shelf: Shelf) -> None:
    mine = ReadCache("stock", int, None)
    for number in range(MAX_ENTRIES + 100):
        await mine.get(f"{number}", shelf.read)
    assert len(mine._kept) == MAX_ENTRIES
    await mine.close()


async def _is(condition: bool) -> bool:
    return condition
