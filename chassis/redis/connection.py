"""A connection to a Redis that may be slow or away, behind a circuit breaker."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from circuitbreaker import CircuitBreaker
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

_FAILURES = (RedisError, OSError, TimeoutError)


class GuardedRedis:
    """Calls that are never needed: where Redis gives no answer, the answer is None.

    After `failures_to_open` failures in a row the breaker is open for `recovery_seconds`, and no
    call is made. An outage is logged once.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        failures_to_open: int,
        recovery_seconds: float,
        decode_responses: bool = False,
    ) -> None:
        self.client = Redis.from_url(
            url,
            decode_responses=decode_responses,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
        )
        self._failures_to_open = failures_to_open
        self._breaker = CircuitBreaker(
            failure_threshold=failures_to_open,
            recovery_timeout=recovery_seconds,
            expected_exception=_FAILURES,
            name="redis",
        )

    @property
    def breaker_is_open(self) -> bool:
        """After too many failures no call is made for a while."""
        return bool(self._breaker.opened)

    async def call(
        self, command: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        """What this command of `client` answers, or None."""
        if self.breaker_is_open:
            return None
        try:
            with self._breaker:
                return await command(*arguments, **options)
        except _FAILURES as error:
            if self._breaker.failure_count == self._failures_to_open:
                log.warning("redis does not answer", extra={"error": repr(error)})
            return None

    async def close(self) -> None:
        await self.client.aclose()
