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


class Place(NamedTuple):
    """Where a message is stored."""

    stream: str
    sequence: int


class RawConnection:
    """A connection that speaks the broker's protocol itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def introduce(self, user: str, password: str) -> None:
        """Log in, and listen to the answers to come."""
        options = {"verbose": False, "headers": True, "user": user, "pass": password}
        await self._reader.readline()
        self._writer.write(b"CONNECT %s\r\n" % json.dumps(options).encode())
        self._writer.write(b"SUB %s 1\r\n" % _INBOX)

    async def publish(self, message: Message) -> Place | None:
        """Have a stream store it. None where the broker would not have it."""
        subject, headers, body, _ = message
        size = len(headers) + len(body)
        if headers:
            self._writer.write(b"HPUB %s %s %d %d\r\n" % (subject, _INBOX, len(headers), size))
        else:
            self._writer.write(b"PUB %s %s %d\r\n" % (subject, _INBOX, size))
        self._writer.write(headers + body + b"\r\n")
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            answer = await self._answer()
        return None if "error" in answer else Place(answer["stream"], answer["seq"])

    async def _answer(self) -> dict[str, Any]:
        while not (line := await self._reader.readline()).startswith(b"MSG"):
            assert line, "the broker has hung up"
            if line.startswith(b"PING"):
                self._writer.write(b"PONG\r\n")
        size = int(line.split()[-1])
        answer: dict[str, Any] = json.loads((await self._reader.readexactly(size + 2))[:size])
        return answer


@asynccontextmanager
async def speaking(url: str) -> AsyncIterator[RawConnection]:
    """A connection to this broker, as the user that the URL names."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        connection = RawConnection(reader, writer)
        await connection.introduce(place.username or "", place.password or "")
        yield connection
    finally:
        writer.close()
