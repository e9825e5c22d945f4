"""The headers that browsers act on, on every answer: of routes, of the fast path, and of errors.

They name the pages that may call the service (CORS, the setting `CORS_ORIGINS`), and what a browser
must not do with an answer. This stands in front of the fast path and the framework, so that neither
leaves an answer out: a page has to be able to read why its request was refused (decision 39).
"""

from collections.abc import Iterable, Sequence

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    Message,
    Receive,
    Scope,
    Send,
)

from chassis.settings import ANY_ORIGIN, Settings

Header = tuple[bytes, bytes]

EXPOSED = (
    *("Allow", "Idempotency-Replayed", "Location", "Preference-Applied", "Retry-After"),
    *("WWW-Authenticate", "X-Cache"),
)
"""Headers of answers that scripts may read, beside those that every browser lets them read."""

TAKEN = (
    *("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "Last-Event-ID"),
    *("Prefer", "traceparent"),
)
"""Headers of requests that scripts may set, beside those that every browser lets them set."""

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
PREFLIGHT_SECONDS = 600
HSTS_SECONDS = 365 * 24 * 3600

CONTENT_SECURITY = "content-security-policy"
_ALLOWED = b"access-control-allow-origin"
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_OF_API = ((b"cache-control", b"no-store"),)
_CLOSED_PAGE = (CONTENT_SECURITY.encode(), b"default-src 'none'; frame-ancestors 'none'")
_HSTS = (b"strict-transport-security", b"max-age=%d" % HSTS_SECONDS)
_VARY = (b"vary", b"Origin")
_CREDENTIALS = (b"access-control-allow-credentials", b"true")
_EXPOSED = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_PERMISSION = (
    (b"access-control-allow-methods", ", ".join(METHODS).encode()),
    (b"access-control-allow-headers", ", ".join(TAKEN).encode()),
    (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
)


class Browsers:
    """ASGI application: another one, with these headers on its answers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = frozenset(each.encode() for each in settings.cors_origins)
        self._is_open = ANY_ORIGIN in settings.cors_origins
        is_selective = bool(self._origins) and not self._is_open
        self._always = [
            _NO_SNIFFING,
            *([_HSTS] if settings.behind_tls else []),
            *([_VARY] if is_selective else []),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        added = self.headers(scope["headers"]) if self._origins else self._always
        is_of_api = scope["path"].startswith("/api/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message["headers"]
                due = _due(given, is_of_api=is_of_api)
                message = _start(message["status"], [*given, *added, *due])
            await send(message)

        if scope["method"] == "OPTIONS" and self._is_preflight(scope["headers"]):
            await send(_start(204, [*added, *_PERMISSION]))
            await send(_NO_BODY)
        else:
            await self._app(scope, receive, send_with_headers)

    def headers(self, sent: Iterable[Header]) -> Sequence[Header]:
        """What is on any answer to a request with these headers."""
        origin = self._permitted_origin(sent)
        if origin is None:
            return self._always
        if self._is_open:
            return [*self._always, (_ALLOWED, ANY_ORIGIN.encode()), _EXPOSED]
        return [*self._always, (_ALLOWED, origin), _CREDENTIALS, _EXPOSED]

    def _permitted_origin(self, sent: Iterable[Header]) -> bytes | None:
        """The origin of the page that sends this, where it may call the service."""
        for name, value in sent:
            if name == b"origin":
                return value if self._is_open or value in self._origins else None
        return None

    def _is_preflight(self, sent: Iterable[Header]) -> bool:
        """The browser asks whether a page may send a request, and the page may."""
        is_asked = any(name == b"access-control-request-method" for name, _ in sent)
        return is_asked and self._permitted_origin(sent) is not None


_NO_BODY: HTTPResponseBodyEvent = {"type": "http.response.body", "body": b"", "more_body": False}


def _start(status: int, headers: Iterable[Header]) -> HTTPResponseStartEvent:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _due(given: Iterable[Header], *, is_of_api: bool) -> Sequence[Header]:
    """What an answer lacks: one of the API is for its receiver alone, and no page loads anything.

    A route may have set another value.
    """
    wanted = _OF_API if is_of_api else ()
    for name, value in given:
        if name == b"cache-control":
            wanted = ()
        elif name == b"content-type" and value.startswith(b"text/html"):
            has_policy = any(each == _CLOSED_PAGE[0] for each, _ in given)
            return wanted if has_policy else (*wanted, _CLOSED_PAGE)
    return wanted
