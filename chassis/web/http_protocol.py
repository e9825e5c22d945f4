"""uvicorn's HTTP/1.1 protocol (httptools) with three differences.

- A request that offers an upgrade (`Upgrade: h2c`) is answered as any other. A server may ignore
  the offer (RFC 9110, section 7.8), but httptools ends such a request behind its head, so uvicorn
  would give the application no body. Here its head is parsed again without the offer.
- What the server itself refuses has the error format of the application.
- A request has a limited time to arrive, and its head a limited size: a client that sends slowly,
  nothing, or without an end takes neither a connection for good nor memory.

uvicorn takes a class, and has a setting for none of them (decision 34).
"""

import asyncio
import sys
from array import array
from http import HTTPStatus
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chassis.web.browsers import Browsers
from chassis.web.errors import ReadyMade
from saga.errors import Invalid

REQUEST_SECONDS = 60.0
"""For a whole request, and for the first byte of a connection. Later `KEEP_ALIVE_SECONDS` holds."""

MAX_HEAD_BYTES = 64 * 1024
"""Checked whenever a part of a head has arrived: one read more may be there (256 KiB)."""

_BAD_TARGET = (httptools.HttpParserInvalidURLError, httptools.HttpParserCallbackError)


class HttpProtocol(HttpToolsProtocol):
    """Pass it to uvicorn as `http`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.parser = _Parser(self)
        self._is_in_head, self._head_bytes = False, 0
        self._incomplete_since: float | None = self.loop.time()
        self._check = self.loop.call_later(REQUEST_SECONDS, self._end_when_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._check.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        is_too_long = self._is_in_head and self._head_bytes > MAX_HEAD_BYTES
        if is_too_long and not self.transport.is_closing():
            self._refuse(f"the head of the request is longer than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        self._incomplete_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._is_in_head = False
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._incomplete_since = None
            super().on_message_complete()

    def _end_when_late(self) -> None:
        """One timer for each connection: one for each request would slow all of them down."""
        now = self.loop.time()
        since = now if self._incomplete_since is None else self._incomplete_since
        if now - since >= REQUEST_SECONDS:
            self.transport.abort()
        else:
            self._check = self.loop.call_at(since + REQUEST_SECONDS, self._end_when_late)

    def head_without_offer(self) -> bytes:
        """The head of the newest request, as a client sends it that offers no upgrade."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join((*lines, b"", b""))

    def send_400_response(self, msg: str) -> None:
        """Called while the parser's error is handled, which has the reason."""
        reason = sys.exception()
        message = f"this is no HTTP/1.1 request ({reason or msg})"
        if isinstance(reason, _BAD_TARGET):
            message = "the URL can't be used; send a path, and percent-encode its UTF-8 bytes"
        self._refuse(message)

    def _refuse(self, message: str) -> None:
        start, whole = ReadyMade(Invalid(message)).english
        app = self.config.app
        of_browsers = app.headers(self.headers or ()) if isinstance(app, Browsers) else []
        headers = [*self.server_state.default_headers, *start["headers"], *of_browsers]
        headers.append((b"connection", b"close"))
        status = HTTPStatus(start["status"])
        lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode())]
        lines += [b"%b: %b" % header for header in headers]
        self.transport.write(b"\r\n".join((*lines, b"", whole["body"])))
        self.transport.close()


class _Parser(httptools.HttpRequestParser):
    """Parses a request that offers an upgrade again, without the offer."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        # As uvicorn sets it: a request after one with `Connection: close` is read, and ignored.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: "bytes | bytearray | memoryview | array[int]") -> None:
        while data:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self.get_method() == b"CONNECT":
                    raise httptools.HttpParserInvalidMethodError("CONNECT to a service") from None
                super().feed_data(self._protocol.head_without_offer())
                data = memoryview(data)[offer.args[0] :]
            else:
                return
