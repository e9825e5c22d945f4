"""Calls of one external system over HTTP, behind a circuit breaker.

What goes wrong with one request stays with it: each request has a connection to itself, and that is
closed unless the answer was usable. The breaker counts failures of the system: a 5xx, a time-out or
a broken connection. An answer below 500 shows that the system works, whatever it answers.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any

import aiohttp
from circuitbreaker import CircuitBreaker

from chassis.observability import metrics

_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Unavailable(Exception):
    """The external system gave no usable answer. `wait_seconds`: how long it asks to be left alone.

    What happened to the request is unknown.
    """

    def __init__(self, reason: str, wait_seconds: int = 0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class UnusableAnswer(Unavailable):
    """The system works, but its answer is of no use for this request. The breaker ignores it."""


class BreakerOpen(Unavailable):
    """No request was sent."""


class OutboundClient:
    """The connections to one external system. `name` is its label in the metrics.

    After `failures_to_open` failures in a row the breaker is open for `recovery_seconds`, and no
    call is made; the next call then closes it, or opens it again.
    """

    def __init__(
        self, name: str, *, timeout_seconds: float, failures_to_open: int, recovery_seconds: float
    ) -> None:
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._idle: list[aiohttp.ClientSession] = []
        self._breaker = CircuitBreaker(
            failure_threshold=failures_to_open,
            recovery_timeout=recovery_seconds,
            expected_exception=_is_failure,
            name=name,
        )
        state = metrics.external_breaker_state.labels(name)
        state.set_function(lambda: _BREAKER_STATES[self._breaker.state])

    @property
    def breaker_is_open(self) -> bool:
        """After too many failures no call is made for a while."""
        return bool(self._breaker.opened)

    @property
    def problem(self) -> str | None:
        """Why the last requests failed. None: the last one was answered, or there was none."""
        if self._breaker.last_failure is None:
            return None
        count = self._breaker.failure_count
        return f"away: {count} requests in a row failed, the last one: {self._breaker.last_failure}"

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

        Redirects are not followed. Raise Unavailable inside of the `with` for a response that
        counts as a failure, as a broken connection and a time-out do, and UnusableAnswer for one
        that does not. Raises Unavailable, and BreakerOpen.
        """
        with self._counted(), self._breaker:
            session = self._idle.pop() if self._idle else self._new_session()
            is_reusable = False
            try:
                async with session.request(
                    method, url, allow_redirects=False, **options
                ) as response:
                    yield response
                is_reusable = True
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unavailable(repr(error)) from error
            finally:
                if is_reusable:
                    self._idle.append(session)
                else:
                    await session.close()

    async def close(self) -> None:
        """Close all connections that are not in use; a later request opens new ones."""
        while self._idle:
            await self._idle.pop().close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a request by its outcome. Raises BreakerOpen."""
        if self.breaker_is_open:
            metrics.external_requests.labels(self._name, "not_sent").inc()
            system = self._name.replace("_", " ")
            raise BreakerOpen(f"not called: the circuit breaker of the {system} is open")
        outcome, began = "answered", perf_counter()
        try:
            yield
        except UnusableAnswer:
            outcome = "unusable"
            raise
        except Unavailable:
            outcome = "failed"
            raise
        finally:
            metrics.external_requests.labels(self._name, outcome).inc()
            metrics.external_seconds.labels(self._name).observe(perf_counter() - began)

    def _new_session(self) -> aiohttp.ClientSession:
        """A session of one connection, so that closing it touches no other request."""
        connector = aiohttp.TCPConnector(limit=1)
        return aiohttp.ClientSession(connector=connector, timeout=self._timeout)


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> int:
    """The pause that Retry-After asks for, in seconds or as a date; 0 where it is malformed."""
    text = headers.get("Retry-After", "")
    with suppress(ValueError, TypeError, OverflowError):
        if text.isascii() and text.isdigit():
            return int(text)
        return max(0, int((parsedate_to_datetime(text) - now).total_seconds()))
    return 0


async def read_answer(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body. Raises UnusableAnswer when it is longer."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > max_bytes:
            raise UnusableAnswer(f"answered {answer.status} with more than {max_bytes} bytes")
    return bytes(content)


def excerpt(content: bytes, max_characters: int) -> str:
    """The beginning of a text that an external system sent, as a database can store it."""
    text = content[: 4 * max_characters].decode(errors="replace")
    return text.replace("\0", " ")[:max_characters]  # PostgreSQL can't hold NUL


def _is_failure(kind: type[BaseException], _: BaseException) -> bool:
    return issubclass(kind, Unavailable) and not issubclass(kind, UnusableAnswer)
