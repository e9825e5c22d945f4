"""Answers that are read far more often than they change: from memory, then Redis, then the source.

A value is kept for `TTL_SECONDS` in Redis, and for as long again in the memory of whoever read it
there: so none is ever older than twice that, whichever instance changed it and whatever became of
the word about it. A change that this instance has committed is forgotten at once, here and in
Redis. Redis is never needed: when it is slow or away it is left alone for a while.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from time import monotonic
from typing import Any, Generic, TypeVar

import msgspec
from circuitbreaker import CircuitBreaker, CircuitBreakerError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis.observability import metrics

log = logging.getLogger(__name__)

V = TypeVar("V")

TTL_SECONDS = 0.4
MAX_ENTRIES = 10_000
REDIS_TIMEOUT_SECONDS = 0.1
FAILURES_TO_OPEN = 3
REST_SECONDS = 2


class Source(StrEnum):
    """Where an answer was found: what the header X-Cache says."""

    MEMORY = "MEMORY"
    REDIS = "REDIS"
    DATABASE = "DATABASE"


class ReadCache(Generic[V]):
    """Values of one type under string keys. `name` sets its keys apart in Redis."""

    def __init__(
        self,
        name: str,
        value_type: type[V],
        redis_url: str | None,
        clock_seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._decode = msgspec.json.Decoder(value_type).decode
        self._clock_seconds = clock_seconds
        self._kept: dict[str, tuple[float, V]] = {}
        self._reading: dict[str, asyncio.Future[tuple[V, Source]]] = {}
        self._changes = 0
        self._redis = _connect(redis_url) if redis_url else None
        self._breaker = CircuitBreaker(
            failure_threshold=FAILURES_TO_OPEN,
            recovery_timeout=REST_SECONDS,
            expected_exception=(RedisError, OSError, TimeoutError),
            name=f"{name} in redis",
        )
        self._leaving = Counter[str]()
        self._forgetting: set[asyncio.Task[None]] = set()

    async def get(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        """The value, and where it was. `read` asks the source, once for all who ask meanwhile.

        Raises what `read` raises; that is not kept.
        """
        kept = self._kept.get(key)
        if kept is not None and self._clock_seconds() < kept[0]:
            return self._counted(kept[1], Source.MEMORY)
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.ensure_future(self._read(key, read))
            self._reading[key] = reading
            reading.add_done_callback(lambda done: self._read_done(key, done))
        return self._counted(*await asyncio.shield(reading))

    async def fresh(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        """The value as the source has it now; kept for others."""
        return self._counted(*await self._from_source(key, read))

    def forget(self, keys: Iterable[str]) -> None:
        """These have changed."""
        gone = list(keys)
        if not gone:
            return
        self._changes += 1
        for key in gone:
            self._kept.pop(key, None)
            self._reading.pop(key, None)  # it may have read the source before the change
        if self._redis is not None:
            self._leaving.update(gone)
            task = asyncio.create_task(self._forget_in_redis(self._redis, gone))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        if self._redis is not None:
            await self._redis.aclose()

    async def _read(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        before = self._changes
        found = await self._from_redis(key)
        if found is None:
            return await self._from_source(key, read)
        if self._changes == before:
            self._keep(key, found)
        return found, Source.REDIS

    async def _from_source(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        before = self._changes
        value = await read()
        if self._changes == before:  # else it may be older than a change that was forgotten here
            self._keep(key, value)
            await self._to_redis(key, value)
        return value, Source.DATABASE

    def _keep(self, key: str, value: V) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (self._clock_seconds() + TTL_SECONDS, value)
        while len(self._kept) > MAX_ENTRIES:
            del self._kept[next(iter(self._kept))]  # the oldest

    def _read_done(self, key: str, done: asyncio.Future[tuple[V, Source]]) -> None:
        if self._reading.get(key) is done:
            del self._reading[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody does, nobody misses it

    def _counted(self, value: V, source: Source) -> tuple[V, Source]:
        metrics.cache_reads.labels(self._name, source).inc()
        return value, source

    # ------------------------------------------------------------ redis

    async def _from_redis(self, key: str) -> V | None:
        if self._redis is None or self._leaving[key]:
            return None
        content = await self._guarded(self._redis.get, self._key(key))
        try:
            return None if content is None else self._decode(content)
        except msgspec.DecodeError as error:
            log.warning("a cached value can't be read", extra={"key": key, "error": str(error)})
            return None

    async def _to_redis(self, key: str, value: V) -> None:
        if self._redis is not None:
            content, kept_ms = msgspec.json.encode(value), round(TTL_SECONDS * 1000)
            await self._guarded(self._redis.set, self._key(key), content, px=kept_ms)

    async def _forget_in_redis(self, redis: Redis, keys: list[str]) -> None:
        await self._guarded(redis.delete, *map(self._key, keys))
        self._leaving -= Counter(keys)

    async def _guarded(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What Redis answers; None when it does not, or is being left alone."""
        try:
            return await self._breaker.call_async(call, *arguments, **options)
        except CircuitBreakerError:
            return None
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis does not answer", extra={"error": repr(error)})
            return None

    def _key(self, key: str) -> str:
        return f"shop:{self._name}:{key}"


def _connect(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
