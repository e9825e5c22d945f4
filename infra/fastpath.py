"""The fast path: what the framework works out for each request, worked out once.

    @post(middleware=[FastPath])

Nearly all requests of a route under load are alike: a JSON body in one piece, no query, each header
once. They go straight to the route's function. Whatever is unusual, and all that is wrong with a
request, takes the framework's way as if nobody had looked at it before: what is refused, and how,
is said in one place (decision 18).
"""

from functools import cache
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.types import (
    ASGIApp,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
)

from infra.reading import StrictRequest
from infra.web import to_response

LONGEST_HEADER = 255
"""No route takes a longer value of what it limits."""

_TYPE = b"content-type"
_JSON = b"application/json"
_encode = msgspec.json.Encoder().encode


class FastPath:
    """ASGI middleware, the innermost, of a route that takes a JSON body, optional headers and the
    service, and answers with a `Response` of a struct.

    A route that takes anything else raises TypeError at each request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _route(scope["route_handler"])
        message = await receive()
        taken = route.read(scope, message)
        if taken is None:
            await self._app(scope, _again(message, receive), send)
            return
        try:
            response = await route.call(service=scope["litestar_app"].state["service"], **taken)
        except Exception as error:  # noqa: BLE001 - as the framework does, and in the same words
            request = StrictRequest(scope, receive, send)
            refusal = to_response(request, error).to_asgi_response(None, request)
            await refusal(scope, receive, send)
        else:
            await _answer(response, send)


class _Route:
    """A route's function, and what it takes from a request."""

    def __init__(self, handler: HTTPRouteHandler) -> None:
        self.call: Any = handler.fn
        self._largest = handler.resolve_request_max_body_size() or 0
        self._headers: dict[bytes, str | None] = {_TYPE: None}
        for name, field in handler.parsed_fn_signature.parameters.items():
            declared = field.kwarg_definition
            if name == "data":
                self._decode = msgspec.json.Decoder(field.annotation).decode
            elif isinstance(declared, HeaderParameter) and field.annotation == str | None:
                self._headers[(declared.name or name).lower().encode()] = name
            elif name != "service":
                raise TypeError(f"{handler}: the fast path can't read {name}")

    def read(self, scope: Scope, message: ReceiveMessage) -> dict[str, Any] | None:
        """What the function takes, without the service; None for a request that is not as usual."""
        if message["type"] != "http.request" or message.get("more_body") or scope["query_string"]:
            return None
        headers = [(name, value) for name, value in scope["headers"] if name in self._headers]
        found = dict(headers)
        if len(found) < len(headers) or found.pop(_TYPE, None) != _JSON:
            return None
        body = message["body"]
        if len(body) > self._largest or any(len(each) > LONGEST_HEADER for each in found.values()):
            return None
        taken: dict[str, Any] = {
            str(self._headers[name]): value.decode("latin-1") for name, value in found.items()
        }
        try:
            taken["data"] = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return taken


_route = cache(_Route)


def _again(message: ReceiveMessage, receive: Receive) -> Receive:
    """Receive, with the message that was taken out already first."""
    taken = [message]

    async def receive_again() -> ReceiveMessage:
        return taken.pop() if taken else await receive()

    return receive_again


async def _answer(response: Response[Any], send: Send) -> None:
    body = _encode(response.content)
    headers = [(_TYPE, _JSON), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": response.status_code or 200,
        "headers": headers,
    }
    whole: HTTPResponseBodyEvent = {
        "type": "http.response.body",
        "body": body,
        "more_body": False,
    }
    await send(start)
    await send(whole)
