"""The fast path of a busy route. To remove it: delete this file, its test and its two imports.

    @post(opt=FAST_PATH)

What the framework works out for each request, such as a route's parameters and middleware, is
worked out once here. The usual request (a JSON body in one piece, no query, each header once) goes
around the framework, through the route's middleware, to its function. Any other request, and every
wrong one, takes the framework's way, so errors are reported in one place (decision 18).
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

from chassis.web import actions
from chassis.web.access import access_of, caller_of
from chassis.web.actions import answer_error
from chassis.web.reading import StrictRequest

FAST_PATH = {"fast_path": True}
"""The `opt` of a route that takes a JSON body, optional headers, the service and the caller, and
answers with a `Response` of a struct."""

MAX_HEADER_LENGTH = 255
"""A longer value takes the framework's way: no route that limits a header admits one."""

_VALUES = "fast_path.values"
_TYPE = b"content-type"
_ENCODING = b"content-encoding"
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

    @property
    def routes(self) -> list[tuple[object, object]]:
        """Method and path of the routes that are marked."""
        return list(self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope.get("method"), scope.get("path")))
        if route is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        values = route.read(scope, message)
        if values is None:
            await self._app(scope, _with_first(message, receive), send)
        else:
            await route.answer(scope, receive, send, values)


class _Route:
    """A route's function, its parameters, and the middleware before it."""

    def __init__(self, app: Litestar, path: str, handler: HTTPRouteHandler) -> None:
        self._app = app
        self._path = path
        self._handler = handler
        self._call_function: Any = handler.fn
        self._access = access_of(handler)
        self._status = handler.status_code
        self._max_body_bytes = handler.resolve_request_max_body_size() or 0
        self._headers: dict[bytes, str | None] = {_TYPE: None, _ENCODING: None}
        parameters = handler.parsed_fn_signature.parameters
        if "data" not in parameters:
            raise TypeError(f"{handler}: the fast path is for routes that take a body")
        self._takes_caller = "caller" in parameters
        for name, field in parameters.items():
            declared = field.kwarg_definition
            if name == "data":
                self._decode = msgspec.json.Decoder(field.annotation).decode
            elif isinstance(declared, HeaderParameter) and field.annotation == str | None:
                self._headers[(declared.name or name).lower().encode()] = name
            elif name not in ("service", "caller"):
                raise TypeError(f"{handler}: the fast path can't read {name}")
        self._entry: ASGIApp = self._call
        for middleware in handler.resolve_middleware():
            wrap: Any = middleware
            self._entry = wrap(self._entry)

    def read(self, scope: Scope, message: ReceiveMessage) -> dict[str, Any] | None:
        """The function's arguments from the request; None for one that is unusual."""
        if message["type"] != "http.request" or message.get("more_body") or scope["query_string"]:
            return None
        headers = [(name, value) for name, value in scope["headers"] if name in self._headers]
        found = dict(headers)
        if len(found) < len(headers) or found.pop(_TYPE, None) != _JSON or _ENCODING in found:
            return None
        body = message["body"]
        if len(body) > self._max_body_bytes or any(
            len(each) > MAX_HEADER_LENGTH for each in found.values()
        ):
            return None
        values: dict[str, Any] = {
            str(self._headers[name]): value.decode("latin-1") for name, value in found.items()
        }
        try:
            values["data"] = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return values

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, values: dict[str, Any]
    ) -> None:
        """Through the middleware, which finds in the scope what the framework puts there."""
        found: Any = scope
        found |= {
            "litestar_app": self._app,
            "path_template": self._path,
            "route_handler": self._handler,
            _VALUES: values,
        }
        await self._entry(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: Any = scope
        values = found[_VALUES]
        try:
            self._access.check(scope)
            actions.begin(scope, self._handler, self._app.state["service"])
            if self._takes_caller:
                values["caller"] = caller_of(scope)
            response = await self._call_function(service=self._app.state["service"], **values)
        except Exception as error:  # noqa: BLE001 - the same translation as the framework's
            request = StrictRequest(scope, receive, send)
            refusal = answer_error(request, error).to_asgi_response(None, request)
            await refusal(scope, receive, send)
        else:
            await _answer(response, response.status_code or self._status, send)


def _with_first(message: ReceiveMessage, receive: Receive) -> Receive:
    """Receive, with a message that was received before as the first one."""
    first = [message]

    async def receive_again() -> ReceiveMessage:
        return first.pop() if first else await receive()

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
