"""Health checks of the parts, by the interfaces that their clients use."""

from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException

import msgspec

from infra.stack import pids
from infra.stack.config import BROKERS, SERVICES, SIMULATORS, Stack, reachable
from infra.stack.waiting import wait_until

_TIMEOUT_SECONDS = 2.0


def ready(stack: Stack, part: str) -> bool:
    """True when the part can serve a request now, with all that it depends on."""
    if part == "redis":
        return _redis_answers(stack)
    if part in BROKERS:
        return _is_ok(stack.ports[f"{part}_monitor"], "/healthz")
    if part == "litestream":
        return pids.alive(stack.state_dir, part) is not None
    host = reachable(stack.host)
    if part in SIMULATORS:
        return _is_ok(stack.port(part), "/health", host)
    return _is_well(stack.port(part), host)


def problem_of_broker(stack: Stack, part: str) -> str:
    """What the health check of a server of the broker complains about; empty if nothing."""
    status, body = _get(stack.ports[f"{part}_monitor"], "/healthz", "127.0.0.1")
    return body.decode(errors="replace") if status not in (0, 200) else ""


def alive(stack: Stack, part: str) -> bool:
    """True when the part itself runs; what it depends on may be missing."""
    if part in SERVICES:
        return _is_ok(stack.port(part), "/health/live", reachable(stack.host))
    return ready(stack, part)


def wait_until_ready(stack: Stack, parts: Iterable[str], deadline_seconds: float) -> list[str]:
    """Wait for all parts. Returns those that were still not ready at the deadline."""
    waiting = list(parts)

    def none_left() -> bool:
        waiting[:] = [part for part in waiting if not ready(stack, part)]
        return not waiting

    wait_until(none_left, deadline_seconds)
    return waiting


def _is_well(port: int, host: str) -> bool:
    """True when all checks of a service pass: also those with which it is ready all the same.

    What is not the stack's does not count: a start does not wait for an external system.
    """
    status, body = _get(port, "/health/ready", host)
    if status != 200:
        return False
    checks = msgspec.json.decode(body)["checks"].values()
    return all(check["ok"] or check.get("external") for check in checks)


def _is_ok(port: int, path: str, host: str = "127.0.0.1") -> bool:
    return _get(port, path, host)[0] == 200


def _get(port: int, path: str, host: str) -> tuple[int, bytes]:
    """Status and body; 0 when there is no answer."""
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def _redis_answers(stack: Stack) -> bool:
    import redis

    if stack.redis_url is None:
        return False
    try:
        with redis.Redis.from_url(stack.redis_url, socket_timeout=_TIMEOUT_SECONDS) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
