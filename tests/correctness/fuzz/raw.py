"""Publishing to the broker byte by byte: a client library would refuse to send most of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.correctness.fuzz.messages import Message

_INBOX = b"_INBOX.fuzz"
_TIMEOUT_SECONDS = 5


class Position(NamedTuple):
    """Where a stream holds a message."""

    stream: str
    sequence: int


class RawConnection:
    """A connection that uses the broker's protocol directly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def log_in(self, user: str, password: str) -> None:
        """Log in, and subscribe to the answers."""
        options = {"verbose": False, "headers": True, "user": user, "pass": password}
        await self._reader.readline()
        self._writer.write(b"CONNECT %s\r\n" % json.dumps(options).encode())
        self._writer.write(b"SUB %s 1\r\n" % _INBOX)

    async def publish(self, message: Message) -> Position | None:
        """Publish it. Returns its position, or None when the broker refuses it."""
        subject, headers, body, _ = message
        size = len(headers) + len(body)
        if headers:
            self._writer.write(b"HPUB %s %s %d %d\r\n" % (subject, _INBOX, len(headers), size))
        else:
            self._writer.write(b"PUB %s %s %d\r\n" % (subject, _INBOX, size))
        self._writer.write(headers + body + b"\r\n")
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            answer = await self._answer()
        return None if "error" in answer else Position(answer["stream"], answer["seq"])

    async def _answer(self) -> dict[str, Any]:
        while not (line := await self._reader.readline()).startswith(b"MSG"):
            assert line, "the broker has hung up"
            if line.startswith(b"PING"):
                self._writer.write(b"PONG\r\n")
        size = int(line.split()[-1])
        answer: dict[str, Any] = json.loads((await self._reader.readexactly(size + 2))[:size])
        return answer


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RawConnection]:
    """A connection to this broker, as the user that the URL names."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        connection = RawConnection(reader, writer)
        await connection.log_in(place.username or "", place.password or "")
        yield connection
    finally:
        writer.close()
