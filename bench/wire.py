"""A minimal HTTP/1.1 client: prepared requests, and answers without decoding.

The load generator runs on the same two cores as the services, so its own cost lowers the figures.
aiohttp uses about five times as much CPU for a request.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: bool


class Connection:
    """A connection with one request at a time. It is opened again when the server has closed it."""

    def __init__(self, url: str, wire: "_Wire") -> None:
        self._url = url
        self._wire = wire

    @classmethod
    async def open(cls, url: str) -> "Connection":
        """Connect to the server of an `http://` address. Raises OSError."""
        return cls(url, await _connect(url))

    async def send(self, request: bytes) -> Answer:
        """Send a request and wait for its answer without a time-out.

        A request on a connection that the server was closing is sent once more. Raises
        ConnectionError when that has no answer either.
        """
        if not self._wire.is_closed:
            try:
                return await self._wire.send(request)
            except ConnectionError:
                self._wire.close()
        self._wire = await _connect(self._url)
        return await self._wire.send(request)

    def close(self) -> None:
        self._wire.close()


class _Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._body: list[bytes] = []
        self._retry_after = False

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def send(self, request: bytes) -> Answer:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # ------------------------------------------------------------ called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of this class, but have its methods.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("closed before the answer"))

    # ------------------------------------------------------------ called by the parser

    def on_message_begin(self) -> None:
        self._body = []
        self._retry_after = False

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = True

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(status, b"".join(self._body), self._retry_after))


async def _connect(url: str) -> _Wire:
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(_Wire, str(place.hostname), place.port or 80)
    return wire


def request(
    method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a request; `body` is sent as JSON."""
    place = urlsplit(url)
    target = place.path + (f"?{place.query}" if place.query else "")
    content = b"" if body is None else msgspec.json.encode(body)
    named = {"Host": place.netloc, "Content-Length": str(len(content))} | dict(headers or {})
    if content:
        named["Content-Type"] = "application/json"
    return _head(f"{method} {target} HTTP/1.1", named.items()) + content


def _head(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
