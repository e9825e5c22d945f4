"""Is a part fit for work? Asked the way its users would ask it."""

from collections.abc import Iterable
from functools import cache

import httpx
import redis

from infra.stack.config import SERVICES, SIMULATORS, Stack
from infra.stack.waiting import wait_until

_TIMEOUT_SECONDS = 2.0


def ready(stack: Stack, part: str) -> bool:
    """True when the part would serve a request now, with all that it depends on."""
    if part == "redis":
        return _redis_answers(stack)
    if part == "nats":
        return _is_ok(f"http://127.0.0.1:{stack.ports['nats_monitor']}/healthz")
    path = "/health" if part in SIMULATORS else "/health/ready"
    return _is_ok(f"{stack.url(part)}{path}")


def alive(stack: Stack, part: str) -> bool:
    """True when the part itself runs, whatever it may still be waiting for."""
    if part in SERVICES:
        return _is_ok(f"{stack.url(part)}/health/live")
    return ready(stack, part)


def wait_until_ready(stack: Stack, parts: Iterable[str], deadline_seconds: float) -> list[str]:
    """Wait for all parts. Returns those that were still not ready at the deadline."""
    waiting = list(parts)

    def none_left() -> bool:
        waiting[:] = [part for part in waiting if not ready(stack, part)]
        return not waiting

    wait_until(none_left, deadline_seconds)
    return waiting


def _is_ok(url: str) -> bool:
    try:
        return _client().get(url).status_code == 200
    except httpx.HTTPError:
        return False


@cache
def _client() -> httpx.Client:
    """One for all: each would read the system's certificates anew, a hundred times as long as to
    ask. It keeps no connection open, for what it asks may be about to stop."""
    unkept = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=_TIMEOUT_SECONDS, limits=unkept, trust_env=False)


def _redis_answers(stack: Stack) -> bool:
    if stack.redis_url is None:
        return False
    try:
        with redis.Redis.from_url(stack.redis_url, socket_timeout=_TIMEOUT_SECONDS) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
