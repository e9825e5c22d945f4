"""The connection to the broker: nats-py, quicker with headers, and harder to break."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from nats.aio.client import PING_PROTO, Client
from nats.aio.msg import Msg
from nats.protocol import parser

ALONG_SECONDS = 0.02

_WORD = rb"([^ \r\n]+)"
# nats-py takes a form feed in a subject for its end, though only a space is; and then hangs up.
parser.MSG_RE = re.compile(rb"\AMSG %s %s (%s )?(\d+)\r\n" % (_WORD, _WORD, _WORD))
parser.HMSG_RE = re.compile(rb"\AHMSG %s %s (%s )?(\d+) (\d+)\r\n" % (_WORD, _WORD, _WORD))
_SUBJECT = re.compile(r"[^ \t\r\n]+")
_PLAIN_START = b"NATS/1.0\r\n"
_PLAIN = re.compile(rb"NATS/1\.0\r\n(?:[!-9;-~]++: (?! )[ -~]*+(?<! )\r\n)+\r\n")


class NatsClient(Client):
    """nats-py, quicker with headers, and without three ways in which its read loop dies.

    With that loop goes all that the service hears. A subject may be any bytes: one that is not
    UTF-8 becomes a message that nobody can read. So may what a sayer puts in the place of headers:
    what are none are passed over. And so is an answer to a flush that was given up meanwhile.

    Its `flush` comes back when the broker has read all that was said before it: who has subscribed
    and flushed misses nothing that is published from then on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._along: asyncio.TimerHandle | None = None

    async def read_headers(self, block: bytes) -> dict[str, str]:
        """What stands before a message's body."""
        return await self._process_headers(block) or {}

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        if headers and (plain := _plain_headers(headers)) is not None:
            return plain
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """As nats-py's own, which does whatever is unusual; the usual takes it four calls more."""
        command = _publication(subject, payload, reply, headers)
        if command is None or self._status != self.CONNECTED or len(payload) > self.max_payload:
            await super().publish(subject, payload, reply, headers)
            return
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(payload)
        await self._send_command(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    def publish_along(self, subject: str, payload: bytes) -> None:
        """Send this with what is sent next, and `ALONG_SECONDS` later at the latest.

        For what nobody waits for: each write wakes the broker. Not sent while there is no
        connection.
        """
        command = _publication(subject, payload, "", None)
        if command is None or self._status != self.CONNECTED:
            return
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._along is None:
            loop = asyncio.get_running_loop()
            self._along = loop.call_later(ALONG_SECONDS, self._flush_soon)

    def _flush_soon(self) -> None:
        self._along = None
        queue = self._flush_queue
        if self._pending and queue is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # Behind what waits to be sent; the client's own overtakes it. And without waiting for room:
        # pings are how a connection is found dead that takes nothing any more.
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        self._pending.append(PING_PROTO)
        self._pending_data_size += len(PING_PROTO)
        await self._flush_pending()

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return self.msg_class(
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _client=self,
            _sid=sid,
        )


def _plain_headers(block: bytes) -> dict[str, str] | None:
    """What nearly every message carries, read in half the time: no status, and each line a
    `Name: value` of printable ASCII. None for whatever else there may be."""
    if not block.startswith(_PLAIN_START) or not _PLAIN.fullmatch(block):
        return None
    lines = block[len(_PLAIN_START) : -4].decode("ascii").split("\r\n")
    return dict([line.split(": ", 1) for line in lines])


def _publication(
    subject: str, payload: bytes, reply: str, headers: Mapping[str, str] | None
) -> bytes | None:
    """A message as it goes over the wire (NATS protocol, "PUB" and "HPUB"), or None where it is not
    as plain as nearly all are."""
    if not _SUBJECT.fullmatch(subject) or (reply and not _SUBJECT.fullmatch(reply)):
        return None
    if not headers:
        return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"
    block = _plain_block(headers)
    if block is None:
        return None
    sizes = f"{len(block)} {len(block) + len(payload)}"
    return f"HPUB {subject} {reply} {sizes}\r\n".encode() + block + payload + b"\r\n"


def _plain_block(headers: Mapping[str, str]) -> bytes | None:
    """The same the other way round: the headers as they go over the wire, or None for others."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    block = f"NATS/1.0\r\n{''.join(lines)}\r\n".encode()
    # A value that brings a line of its own would be a header that nobody has set.
    if not _PLAIN.fullmatch(block) or block.count(b"\r\n") != len(lines) + 2:
        return None
    return block
