"""Counts and times HTTP requests, by route rather than by path, so that ids don't become labels."""

from functools import cache
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Histogram

_requests = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
_seconds = Histogram(
    "http_request_seconds",
    "From a request to the last byte of its answer; of a stream, to its first.",
    ["method", "route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)

_STREAM = b"text/event-stream"


@cache
def _of(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Cached: finding a metric by its labels takes longer than counting."""
    return _requests.labels(method, route, status), _seconds.labels(method, route)


class RequestMetrics:
    """ASGI middleware around every route, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        status = 500
        started = perf_counter()
        stream_began: float | None = None

        async def watch(message: Message) -> None:
            nonlocal status, stream_began
            if message["type"] == "http.response.start":
                status = message["status"]
                if any(value.startswith(_STREAM) for _, value in message["headers"]):
                    stream_began = perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = scope.get("path_template") or "unknown"
            count, seconds = _of(scope["method"], route, status)
            count.inc()
            seconds.observe((stream_began or perf_counter()) - started)
