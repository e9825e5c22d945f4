"""The fast path: what the framework works out for each request, worked out once.

    @post(opt=FAST_PATH)

Nearly all requests of a route under load are alike: a JSON body in one piece, no query, each header
once. They go around the framework, through the route's middleware, straight to its function.
Whatever is unusual, and all that is wrong with a request, takes the framework's way as if nobody
had looked at it before: what is refused, and how, is said in one place (decision 18).
"""

from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute
from litestar.types import (
    ASGIApp,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
)

from chassis.web.app import to_response
from chassis.web.reading import StrictRequest

FAST_PATH = {"fast_path": True}
"""The `opt` of a route that takes a JSON body, optional headers and the service, and answers with a
`Response` of a struct."""

LONGEST_HEADER = 255
"""No route takes a longer value of what it limits."""

_TAKEN = "fast_path.taken"
_TYPE = b"content-type"
_JSON = b"application/json"
_encode = msgspec.json.Encoder().encode


class FastPath:
    """ASGI application: the framework's, with a shorter way to the routes marked `FAST_PATH`.

    Raises TypeError for a marked route that takes anything else, or no body.
    """

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._routes: dict[tuple[object, object], _Route] = {
            (method, route.path): _Route(app, route.path, handler)
            for route in app.routes
            if isinstance(route, HTTPRoute)
            for method, (handler, _) in route.route_handler_map.items()
            if FAST_PATH.items() <= handler.opt.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope.get("method"), scope.get("path")))
        if route is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        taken = route.read(scope, message)
        if taken is None:
            await self._app(scope, _again(message, receive), send)
        else:
            await route.answer(scope, receive, send, taken)


class _Route:
    """A route's function, what it takes from a request, and the middleware before it."""

    def __init__(self, app: Litestar, path: str, handler: HTTPRouteHandler) -> None:
        self._app = app
        self._path = path
        self._call_function: Any = handler.fn
        self._status = handler.status_code
        self._max_body_bytes = handler.resolve_request_max_body_size() or 0
        self._headers: dict[bytes, str | None] = {_TYPE: None}
        parameters = handler.parsed_fn_signature.parameters
        if "data" not in parameters:
            raise TypeError(f"{handler}: the fast path is for routes that take a body")
        for name, field in parameters.items():
            declared = field.kwarg_definition
            if name == "data":
                self._decode = msgspec.json.Decoder(field.annotation).decode
            elif isinstance(declared, HeaderParameter) and field.annotation == str | None:
                self._headers[(declared.name or name).lower().encode()] = name
            elif name != "service":
                raise TypeError(f"{handler}: the fast path can't read {name}")
        self._entry: ASGIApp = self._call
        for middleware in handler.resolve_middleware():
            wrap: Any = middleware
            self._entry = wrap(self._entry)

    def read(self, scope: Scope, message: ReceiveMessage) -> dict[str, Any] | None:
        """What the function takes, without the service; None for a request that is not as usual."""
        if message["type"] != "http.request" or message.get("more_body") or scope["query_string"]:
            return None
        headers = [(name, value) for name, value in scope["headers"] if name in self._headers]
        found = dict(headers)
        if len(found) < len(headers) or found.pop(_TYPE, None) != _JSON:
            return None
        body = message["body"]
        if len(body) > self._max_body_bytes or any(
            len(each) > LONGEST_HEADER for each in found.values()
        ):
            return None
        taken: dict[str, Any] = {
            str(self._headers[name]): value.decode("latin-1") for name, value in found.items()
        }
        try:
            taken["data"] = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return taken

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, taken: dict[str, Any]
    ) -> None:
        """Through the middleware, which finds in the scope what the framework puts there."""
        found: Any = scope
        found |= {"litestar_app": self._app, "path_template": self._path, _TAKEN: taken}
        await self._entry(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken: dict[str, Any] = scope[_TAKEN]  # type: ignore[literal-required]
        try:
            response = await self._call_function(service=self._app.state["service"], **taken)
        except Exception as error:  # noqa: BLE001 - as the framework does, and in the same words
            request = StrictRequest(scope, receive, send)
            refusal = to_response(request, error).to_asgi_response(None, request)
            await refusal(scope, receive, send)
        else:
            await _answer(response, response.status_code or self._status, send)


def _again(message: ReceiveMessage, receive: Receive) -> Receive:
    """Receive, with the message that was taken out already first."""
    taken = [message]

    async def receive_again() -> ReceiveMessage:
        return taken.pop() if taken else await receive()

    return receive_again


async def _answer(response: Response[Any], status: int, send: Send) -> None:
    body = _encode(response.content)
    headers = [(_TYPE, _JSON), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": status,
        "headers": headers,
    }
    whole: HTTPResponseBodyEvent = {
        "type": "http.response.body",
        "body": body,
        "more_body": False,
    }
    await send(start)
    await send(whole)
