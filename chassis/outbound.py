"""Calls of one external system over HTTP, behind a circuit breaker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from circuitbreaker import CircuitBreaker


class Unavailable(Exception):
    """The external system gave no usable answer. `wait_seconds`: how long it asks to be left alone.

    What happened to the request is unknown.
    """

    def __init__(self, reason: str, wait_seconds: int = 0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class BreakerOpen(Unavailable):
    """No request was sent."""


class OutboundClient:
    """The connections to one external system.

    After `failures_to_open` failures in a row the breaker is open for `recovery_seconds`, and no
    call is made; the next call then closes it, or opens it again.
    """

    def __init__(
        self, name: str, *, timeout_seconds: float, failures_to_open: int, recovery_seconds: float
    ) -> None:
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._breaker = CircuitBreaker(
            failure_threshold=failures_to_open,
            recovery_timeout=recovery_seconds,
            expected_exception=Unavailable,
            name=name,
        )

    @property
    def breaker_is_open(self) -> bool:
        """After too many failures no call is made for a while."""
        return bool(self._breaker.opened)

    def max_calls(self, limit: int) -> int:
        """How many calls may be in flight: none, then one, once the breaker is closed `limit`."""
        if self.breaker_is_open:
            return 0
        return limit if self._breaker.closed else 1

    @asynccontextmanager
    async def request(
        self, method: str, url: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response; `options` are those of `aiohttp.ClientSession.request`.

        Raise Unavailable inside of the `with` for a response that is no usable answer: it counts as
        a failure, as a broken connection and a time-out do. Raises Unavailable, and BreakerOpen.
        """
        if self.breaker_is_open:
            raise BreakerOpen(f"not called: the circuit breaker of {self._name} is open")
        with self._breaker:
            try:
                async with self._open().request(method, url, **options) as response:
                    yield response
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unavailable(repr(error)) from error

    async def close(self) -> None:
        """Close all connections; a later request opens new ones."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session
