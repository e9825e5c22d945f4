"""Leases on counted resources: which holders are admitted before the database decides.

A resource has so many units. Redis holds its *limit*, which is what the database has available, and
a *lease* for each holder that the database has not decided yet:

    free = limit - live leases

One script leases all units that a holder wants, or none. The database's decision on a holder ends
its lease and renews the limit in one step, so no unit is counted twice. A lease whose holder never
reaches the database expires.

Correctness does not depend on it: the database decides in any case, and leases keep away the
holders that it would refuse. Where Redis is slow or away or has lost its data, every holder is
admitted.
"""

import asyncio
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from redis.commands.core import AsyncScript

from chassis.redis.connection import GuardedRedis

LEASE_SECONDS = 60
"""Longer than a holder takes to reach the database when all is well. In a longer outage too many
are admitted, and the database refuses them."""

REDIS_TIMEOUT_SECONDS = 0.25
FAILURES_TO_OPEN = 3
"""A stall of the own event loop is a time-out too, and must not admit everything for a while."""

RECOVERY_SECONDS = 0.5
MAX_BATCH = 256

PREFIX = "saga:{leases}:"
"""The braces keep all keys on one node of a Redis cluster."""

_ENABLED = f"{PREFIX}enabled"
_LOSS = f"{PREFIX}loss"
_LUA = Path(__file__).parent / "lua"


class LeaseStatus(StrEnum):
    """`OPEN`: no resource has a limit, or Redis does not answer. `KNOWN`: a lease was given under
    this marker before, so the first answer stands."""

    OPEN = "OPEN"
    LEASED = "LEASED"
    KNOWN = "KNOWN"
    SOLD_OUT = "SOLD_OUT"


class LeaseResult(msgspec.Struct, frozen=True):
    """Of SOLD_OUT: which resource has too few units, and how many of them are free."""

    status: LeaseStatus
    resource: str = ""
    free: int = 0


class CountedLeases:
    """The leases in one Redis. While that is slow or away, every holder is admitted.

    `marker_seconds`: how long the marker under which a lease was given is remembered.
    """

    def __init__(self, redis_url: str, *, marker_seconds: float) -> None:
        self._marker_seconds = round(marker_seconds)
        self._redis = GuardedRedis(
            redis_url,
            timeout_seconds=REDIS_TIMEOUT_SECONDS,
            failures_to_open=FAILURES_TO_OPEN,
            recovery_seconds=RECOVERY_SECONDS,
            decode_responses=True,
        )
        self._waiting: list[tuple[list[Any], asyncio.Future[LeaseResult]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._lease, self._end, self._renew, self._disable = (
            self._script(name) for name in ("lease", "end", "renew", "disable")
        )

    async def enable(self, resources: Iterable[str]) -> int:
        """Count these; before their first `renew` every lease is OPEN. Returns how many are new."""
        ids = list(resources)
        return await self._redis.call(self._redis.client.sadd, _ENABLED, *ids) or 0 if ids else 0

    async def disable(self, resource: str) -> None:
        """Count it no longer, and forget its leases."""
        await self._run(self._disable, resource)

    async def lease(self, holder: str, units: Mapping[str, int], marker: str = "") -> LeaseResult:
        """Lease the units of each counted resource for this holder, or none of them.

        `marker` stands for the request's idempotency key.
        """
        wanted = [each for line in units.items() for each in line]
        arguments = [marker, holder, round(LEASE_SECONDS * 1000), self._marker_seconds, *wanted]
        result: asyncio.Future[LeaseResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((arguments, result))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return await result

    async def end(self, holders: Iterable[str], marker: str = "") -> None:
        """These holders need their leases no longer; the marker is forgotten with them."""
        await self._run(self._end, marker, *holders)

    async def renew(self, resource: str, available: int, decided: Iterable[str] = ()) -> int:
        """Set the limit to what the database has available, and end the leases that it decided.

        Returns by how many units the limit was off.
        """
        return int(await self._run(self._renew, resource, available, *decided) or 0)

    async def enabled(self) -> frozenset[str]:
        """The resources that are counted; none when Redis does not answer."""
        return frozenset(await self._redis.call(self._redis.client.smembers, _ENABLED) or ())

    async def state(self, resource: str) -> tuple[int, int] | None:
        """The limit and the live leases, in units; None without a limit."""
        hmget = self._redis.client.hmget
        found = await self._redis.call(hmget, f"{PREFIX}{resource}", "limit", "leased")
        return (int(found[0]), int(found[1] or 0)) if found and found[0] is not None else None

    async def record_loss(self) -> None:
        """Redis has lost its data: markers may be missing."""
        await self._redis.call(self._redis.client.set, _LOSS, 1, ex=self._marker_seconds)

    async def may_lack_markers(self) -> bool:
        """Has Redis lost data within the time that markers are kept?"""
        return bool(await self._redis.call(self._redis.client.exists, _LOSS))

    async def close(self) -> None:
        if self._sending is not None:
            await self._sending
        await self._redis.close()

    async def _send(self) -> None:
        """Ask for all waiting leases in one pipeline; those that come meanwhile take the next."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            answers = await self._redis.call(self._lease_all, [each for each, _ in batch])
            for (_, result), answer in zip(batch, answers or [None] * len(batch), strict=True):
                if not result.done():  # its client may have gone
                    result.set_result(_result(answer))
        self._sending = None

    async def _lease_all(self, batch: list[list[Any]]) -> list[Any]:
        async with self._redis.client.pipeline(transaction=False) as pipeline:
            for arguments in batch:
                await self._lease(args=arguments, client=pipeline)
            return await pipeline.execute()

    async def _run(self, script: AsyncScript, *arguments: Any) -> Any:
        return await self._redis.call(script, args=arguments)

    def _script(self, name: str) -> AsyncScript:
        parts = (f"local prefix = '{PREFIX}'\n", _lua("leases"), _lua(name))
        return self._redis.client.register_script("".join(parts))


def _lua(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text()


def _result(answer: list[Any] | None) -> LeaseResult:
    if answer is None:
        return LeaseResult(LeaseStatus.OPEN)
    return LeaseResult(LeaseStatus(answer[0]), *answer[1:])
