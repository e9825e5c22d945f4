"""Clients that send slowly, nothing, or without an end: on a real server with its HTTP protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from uvicorn.server import ServerState

from chassis.run import server_config
from chassis.web import http_protocol
from chassis.web.http_protocol import MAX_HEAD_BYTES, HttpProtocol
from tests.e2e.api.raw_http import Connection, refused
from tests.kit.settings import settings_of
from tests.kit.stack import free_port

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
LIMIT_SECONDS = 0.3
PATIENCE_SECONDS = 10.0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body; `/stream` begins an answer and never ends it."""
    if scope["path"] == "/stream":
        headers = [(b"content-length", b"9999")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    body = b"%d" % length
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(http_protocol, "REQUEST_SECONDS", LIMIT_SECONDS)
    async with listening(echo) as found:
        yield found


@asynccontextmanager
async def listening(app: Any, **settings: str) -> AsyncIterator[str]:
    """A server as a service runs it."""
    config = server_config(app, settings_of("order", settings))
    config.load()
    protocol = partial(HttpProtocol, config, ServerState(), {})
    port = free_port()
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    yield f"http://127.0.0.1:{port}"
    server.close()


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET",
        HEAD,
        b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n12",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n",
        HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\n12",
    ],
)
async def test_request_that_does_not_end_is_closed(url: str, beginning: bytes) -> None:
    async with Connection.open(url) as connection:
        await connection.write(beginning)
        assert await connection.is_closed_within(PATIENCE_SECONDS)


@pytest.mark.parametrize("beginning", [HEAD, HEAD + b"Content-Length: 99999\r\n\r\n"])
async def test_request_that_arrives_byte_by_byte_is_closed(url: str, beginning: bytes) -> None:
    async with Connection.open(url) as connection:
        await connection.write(beginning)
        closed = asyncio.create_task(connection.is_closed_within(PATIENCE_SECONDS))
        while not closed.done():
            with suppress(ConnectionError):
                await connection.write(b"a")
            await asyncio.wait([closed], timeout=LIMIT_SECONDS / 10)
        assert closed.result()


async def test_second_request_has_the_same_limit(url: str) -> None:
    async with Connection.open(url) as connection:
        await connection.send("GET", "/")
        assert (await connection.receive()).status == 200
        await connection.write(HEAD)
        assert await connection.is_closed_within(PATIENCE_SECONDS)


async def test_connection_between_requests_and_endless_answer_stay(url: str) -> None:
    async with Connection.open(url) as idle, Connection.open(url) as stream:
        await stream.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle.send("GET", "/")
        assert (await idle.receive()).body == "0"
        assert not await idle.is_closed_within(3 * LIMIT_SECONDS)
        await idle.send("POST", "/", b"123")
        assert (await idle.receive()).body == "3"
        await stream.starts()
        assert not await stream.is_closed_within(LIMIT_SECONDS)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"a" * 1000, id="a value without an end"),
        pytest.param(b"a: b\r\n" * 200, id="headers without an end"),
    ],
)
@pytest.mark.parametrize("beginning", [HEAD + b"Cookie: ", b"GET /"])
async def test_head_without_an_end_is_refused(url: str, beginning: bytes, part: bytes) -> None:
    async with Connection.open(url) as connection:
        await connection.write(beginning)
        for _ in range(8 * MAX_HEAD_BYTES // len(part)):
            with suppress(ConnectionError):
                await connection.write(part)
        answer = await connection.receive()
        refused(answer, 400, "VALIDATION_ERROR")
        assert await connection.is_closed_within(PATIENCE_SECONDS)


async def test_long_head_and_pipelined_requests_are_read(url: str) -> None:
    long = {"Cookie": "a" * (MAX_HEAD_BYTES - 1000)}
    requests = [Connection.request("POST", "/", b"12", long) for _ in range(5)]
    async with Connection.open(url) as connection:
        await connection.write(b"".join(requests))
        for _ in requests:
            assert (await connection.receive()).body == "2"


async def address(scope: Any, _: Any, send: Any) -> None:
    """Answers with the client's address."""
    body = scope["client"][0].encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (None, "203.0.113.1", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.1", "127.0.0.1"),
        ("127.0.0.0/8", "203.0.113.1", "203.0.113.1"),
        ("127.0.0.1", "198.51.100.7, 203.0.113.1", "203.0.113.1"),
        ("127.0.0.1,10.0.0.0/8", "198.51.100.7, 203.0.113.1, 10.1.2.3", "203.0.113.1"),
        ("127.0.0.1", "not an address", "not an address"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
async def test_forwarded_address_counts_behind_a_trusted_proxy_alone(
    proxies: str | None, forwarded: str, found: str
) -> None:
    """A client puts what it likes in front; the proxy adds the address that it sees."""
    settings = {"TRUSTED_PROXIES": proxies} if proxies else {}
    async with listening(address, **settings) as url, Connection.open(url) as connection:
        await connection.send("GET", "/", headers={"X-Forwarded-For": forwarded})
        assert (await connection.receive()).body == found
