"""The gate for hot products: in Redis, in front of the database, so that the sold-out cost nothing.

It guards nothing: the product service's database alone decides who gets a unit. The gate keeps away
those who can't get one any more. For each hot product Redis holds the *limit*, which is what the
database has available, and a *lease* for each order that the database has not decided yet:

    free = limit - live leases

One script leases all lines of an order or none. Product's word on an order ends its lease and
renews the limit in one step, so no unit is counted twice. A lease whose order never came to be
expires. What is missing or lost counts as no gate: the order goes to the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import msgspec
from circuitbreaker import CircuitBreaker, CircuitBreakerError
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

LEASE_SECONDS = 60
"""Longer than an order takes to reach product, when all is well. After an outage that lasts longer
too many are let in, and the database refuses them."""

REDIS_TIMEOUT_SECONDS = 0.25
REST_SECONDS = 1
AT_ONCE = 256

_PREFIX = "shop:{hot}:"  # as in lua/leases.lua
_PRODUCTS = f"{_PREFIX}products"
_FORGETFUL = f"{_PREFIX}forgetful"
_LUA = Path(__file__).parent / "lua"


class LeaseStatus(StrEnum):
    """`OPEN`: no line is gated, or nobody knows. `KNOWN`: a lease was given under this idempotency
    key before, so its answer stands."""

    OPEN = "OPEN"
    LEASED = "LEASED"
    KNOWN = "KNOWN"
    SOLD_OUT = "SOLD_OUT"


class LeaseResult(msgspec.Struct, frozen=True):
    """What the gate says. Of SOLD_OUT, which product, and how many units of it are free."""

    status: LeaseStatus
    product_id: str = ""
    free: int = 0


class CountedLeases:
    """The gate in one Redis. While that is slow or away, every order is let through.

    `marker_seconds`: how long an idempotency key under which a lease was given is remembered.
    """

    def __init__(self, redis_url: str, *, marker_seconds: float) -> None:
        self._marker_seconds = round(marker_seconds)
        self._redis = Redis.from_url(
            redis_url,
            decode_responses=True,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        )
        self._breaker = CircuitBreaker(
            failure_threshold=1,
            recovery_timeout=REST_SECONDS,
            expected_exception=(RedisError, OSError, TimeoutError),
            name="hot stock",
        )
        self._asking: list[tuple[list[Any], asyncio.Future[LeaseResult]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._lease, self._end, self._renew, self._disable = (
            self._redis.register_script(_script(name)) for name in ("lease", "end", "renew", "cool")
        )

    async def lease(self, order_id: str, units: Mapping[str, int], marker: str = "") -> LeaseResult:
        """Lease the units of each gated product for this order, or none of them.

        `marker` stands for the request's idempotency key.
        """
        lines = [each for line in units.items() for each in line]
        asked = [marker, order_id, round(LEASE_SECONDS * 1000), self._marker_seconds, *lines]
        answer: asyncio.Future[LeaseResult] = asyncio.get_running_loop().create_future()
        self._asking.append((asked, answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return await answer

    async def end(self, order_ids: Iterable[str], marker: str = "") -> None:
        """These orders need nothing any more; the marker is forgotten with them."""
        await self._ask(self._end, marker, *order_ids)

    async def renew(self, product_id: str, available: int, decided: Iterable[str] = ()) -> int:
        """The database's word: so many are available, and these orders are decided.

        Gives by how many units the limit was off.
        """
        return int(await self._ask(self._renew, product_id, available, *decided) or 0)

    async def enable(self, product_ids: Iterable[str]) -> int:
        """Gate these; until product's first word nothing is refused. Says how many are new."""
        ids = list(product_ids)
        return int(await self._ask(self._redis.sadd, _PRODUCTS, *ids) or 0) if ids else 0

    async def disable(self, product_id: str) -> None:
        """Take the gate away."""
        await self._ask(self._disable, product_id)

    async def products(self) -> frozenset[str]:
        """The products that are gated; none when Redis does not answer."""
        return frozenset(await self._ask(self._redis.smembers, _PRODUCTS) or ())

    async def state(self, product_id: str) -> tuple[int, int] | None:
        """The limit and the live leases, in units; None when there is no gate."""
        found = await self._ask(self._redis.hmget, f"{_PREFIX}{product_id}", "limit", "leased")
        return (int(found[0]), int(found[1] or 0)) if found and found[0] is not None else None

    async def note_loss(self) -> None:
        """Redis has lost what it held: markers of winners may be missing."""
        await self._ask(self._set_forgetful)

    async def may_have_forgotten(self) -> bool:
        """Has it lost anything within the time that markers are kept?"""
        return bool(await self._ask(self._redis.exists, _FORGETFUL))

    async def _set_forgetful(self) -> None:
        await self._redis.set(_FORGETFUL, 1, ex=self._marker_seconds)

    async def close(self) -> None:
        if self._sending is not None:
            await self._sending
        await self._redis.aclose()

    async def _send(self) -> None:
        """Ask for all that waits in one go; what arrives meanwhile is the next one."""
        while self._asking:
            batch, self._asking = self._asking[:AT_ONCE], self._asking[AT_ONCE:]
            emitted = await self._ask(self._lease_all, [asked for asked, _ in batch])
            for (_, answer), words in zip(batch, emitted or [None] * len(batch), strict=True):
                if not answer.done():  # its client may have gone
                    answer.set_result(_answer(words))
        self._sending = None

    async def _lease_all(self, batch: list[list[Any]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for asked in batch:
                await self._lease(args=asked, client=pipeline)
            return await pipeline.execute()

    async def _ask(self, call: Any, *arguments: Any) -> Any:
        """What Redis answers; None when it does not, or is being left alone for a while."""
        try:
            if isinstance(call, AsyncScript):
                return await self._breaker.call_async(call, args=list(arguments))
            return await cast("Awaitable[Any]", self._breaker.call_async(call, *arguments))
        except CircuitBreakerError:
            return None
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis does not answer: the gate is open", extra={"error": repr(error)})
            return None


def _answer(words: list[Any] | None) -> LeaseResult:
    return (
        LeaseResult(LeaseStatus(words[0]), *words[1:]) if words else LeaseResult(LeaseStatus.OPEN)
    )


def _script(name: str) -> str:
    return (_LUA / "leases.lua").read_text() + (_LUA / f"{name}.lua").read_text()
