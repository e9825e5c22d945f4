"""Cached reads: their source, their age, and reads while Redis is away."""

import asyncio

import pytest

from chassis.redis.read_cache import MAX_ENTRIES, TTL_SECONDS, ReadCache, Source
from saga.errors import NotFound
from tests.integration.redis_server import RedisServer
from tests.kit.client import wait_until


class Shelf:
    """The source: its value now, and the number of reads."""

    def __init__(self) -> None:
        self.units = 5
        self.reads = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def read(self) -> int:
        self.reads += 1
        seen = self.units
        await self.may_go_on.wait()
        return seen


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_read_goes_to_memory_then_redis_then_the_source(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    clock = Clock()
    mine, other = (ReadCache("stock", int, redis_server.url, clock) for _ in range(2))
    assert await mine.get("cake", shelf.read) == (5, Source.DATABASE)
    assert await mine.get("cake", shelf.read) == (5, Source.MEMORY)
    assert await other.get("cake", shelf.read) == (5, Source.REDIS)
    assert await other.get("cake", shelf.read) == (5, Source.MEMORY)
    assert shelf.reads == 1
    await mine.close()
    await other.close()


async def test_value_is_never_older_than_twice_the_ttl(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    """Even without a call of `forget`."""
    loop = asyncio.get_running_loop()
    mine, other = (ReadCache("stock", int, redis_server.url) for _ in range(2))
    await mine.get("cake", shelf.read)
    shelf.units, changed_at = 4, loop.time()

    async def seen() -> bool:
        values = [(await each.get("cake", shelf.read))[0] for each in (mine, other)]
        return values == [4, 4]

    await wait_until(seen, "every instance has the new value")
    assert loop.time() - changed_at < 2 * TTL_SECONDS + 0.15
    await mine.close()
    await other.close()


async def test_forgotten_value_is_read_from_the_source_at_once(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    mine = ReadCache("stock", int, redis_server.url)
    for units in range(20):
        shelf.units = units
        mine.forget(["cake"])
        assert await mine.get("cake", shelf.read) == (units, Source.DATABASE)
    await mine.close()


async def test_value_read_before_a_change_is_not_kept(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    mine = ReadCache("stock", int, redis_server.url)
    shelf.may_go_on.clear()
    early = asyncio.create_task(mine.get("cake", shelf.read))
    await wait_until(lambda: _is(shelf.reads == 1), "the source is being read")
    shelf.units = 4
    mine.forget(["cake"])
    late = asyncio.create_task(mine.get("cake", shelf.read))
    await wait_until(lambda: _is(shelf.reads == 2), "it is read again")
    shelf.may_go_on.set()
    assert (await early)[0] == 5
    assert (await late)[0] == 4
    assert (await mine.get("cake", shelf.read))[0] == 4
    await mine.close()


async def test_concurrent_reads_are_one_read_of_the_source(
    redis_server: RedisServer, shelf: Shelf
) -> None:
    mine = ReadCache("stock", int, redis_server.url)
    found = await asyncio.gather(*(mine.get("cake", shelf.read) for _ in range(500)))
    assert {value for value, _ in found} == {5}
    assert shelf.reads == 1
    await mine.close()


async def test_error_is_not_kept(redis_server: RedisServer) -> None:
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


async def test_without_redis_there_are_memory_and_the_source(shelf: Shelf) -> None:
    none = ReadCache("stock", int, None)
    found = [(await none.get("cake", shelf.read))[1] for _ in range(2)]
    assert found == [Source.DATABASE, Source.MEMORY]
    await none.close()


async def test_source_is_read_while_redis_is_away(redis_server: RedisServer, shelf: Shelf) -> None:
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
