"""HEAD wherever there is GET: the same status and headers, and no body."""

from typing import Any

from litestar.types import ASGIApp, HTTPResponseBodyEvent, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI application: another one, which is asked GET in place of HEAD.

    The framework would need a second handler for each route. The answer ends with its headers, so
    that of an endless stream does, too. The server sends no body for HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "HEAD":
            await self._app(scope, receive, send)
            return
        end: HTTPResponseBodyEvent = {
            "type": "http.response.body",
            "body": b"",
            "more_body": False,
        }

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send(end)

        asked: Any = {**scope, "method": "GET"}
        await self._app(asked, receive, send_headers)
