"""A Redis that is away or hangs costs little: its circuit breaker opens."""

import logging
import time
from collections.abc import AsyncIterator

import pytest

from chassis.redis.connection import GuardedRedis
from tests.integration.redis_server import RedisServer
from tests.kit.client import wait_until

TIMEOUT_SECONDS = 0.2
RECOVERY_SECONDS = 0.4


@pytest.fixture
async def guarded(redis_server: RedisServer) -> AsyncIterator[GuardedRedis]:
    guarded = GuardedRedis(
        redis_server.url,
        timeout_seconds=TIMEOUT_SECONDS,
        failures_to_open=2,
        recovery_seconds=RECOVERY_SECONDS,
        decode_responses=True,
    )
    yield guarded
    await guarded.close()


async def get(guarded: GuardedRedis) -> str | None:
    found: str | None = await guarded.call(guarded.client.get, "key")
    return found


async def test_answer_of_redis_is_returned(guarded: GuardedRedis) -> None:
    assert await get(guarded) is None
    assert await guarded.call(guarded.client.set, "key", "value", px=60_000)
    assert await get(guarded) == "value"
    assert not guarded.breaker_is_open


async def test_hanging_redis_is_not_called_while_the_breaker_is_open(
    guarded: GuardedRedis, redis_server: RedisServer
) -> None:
    await guarded.call(guarded.client.set, "key", "value")
    with redis_server.hanging():
        started = time.monotonic()
        for _ in range(50):
            assert await get(guarded) is None
        assert guarded.breaker_is_open
        assert time.monotonic() - started < 50 * TIMEOUT_SECONDS / 2
    assert await get(guarded) is None  # the breaker is still open

    async def back() -> bool:
        return await get(guarded) == "value"

    await wait_until(back, "Redis is called again")
    assert not guarded.breaker_is_open


async def test_failed_trial_opens_the_breaker_again(
    guarded: GuardedRedis, redis_server: RedisServer
) -> None:
    await redis_server.kill()
    for _ in range(2):
        await get(guarded)
    assert guarded.breaker_is_open

    async def over() -> bool:
        return not guarded.breaker_is_open

    await wait_until(over, "the breaker lets a call through")
    await get(guarded)
    assert guarded.breaker_is_open


async def test_outage_is_logged_once(
    guarded: GuardedRedis, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await redis_server.kill()
    with caplog.at_level(logging.WARNING, "chassis.redis.connection"):
        for _ in range(10):
            await get(guarded)
    assert [each.message for each in caplog.records] == ["redis does not answer"]
