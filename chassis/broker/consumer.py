"""Pulling from a durable consumer that all instances of a service share.

One pull request is always open while there is room: the broker delivers what it has and, later,
what arrives, so an event never waits for a poll. A request ends when its batch is full, when it
expires, or with a status of the broker. After a restart of the broker it may never end: a request
without heartbeats is replaced.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.broker.nats_client import NatsClient
from chassis.observability.outage_log import OutageLog
from chassis.ports import Receiver

MAX_PULL = 512
EXPIRES_SECONDS = 30
HEARTBEAT_SECONDS = 2
SILENCE_SECONDS = 3 * HEARTBEAT_SECONDS
GONE_SECONDS = 0.5
STOP_SECONDS = 2
_NANOSECONDS = 1_000_000_000
_HEARTBEAT = "100"
_EXPIRED = "408"


class JetStreamDelivery:
    """A `DeliveredMessage`. Its sequence is part of the subject that it is acknowledged on."""

    __slots__ = ("_client", "_message", "stream")

    def __init__(self, client: NatsClient, message: Msg, stream: str) -> None:
        self._client = client
        self._message = message
        self.stream = stream

    @property
    def sequence(self) -> int:
        return self._message.metadata.sequence.stream

    @property
    def subject(self) -> str:
        return self._message.subject

    @property
    def body(self) -> bytes:
        return self._message.data

    @property
    def headers(self) -> Mapping[str, str] | None:
        return self._message.headers

    @property
    def letter_id(self) -> int | None:
        return None

    def ack(self) -> None:
        # If it is lost with the connection, the message is delivered again and the inbox knows it.
        self._client.piggyback(self._message.reply, b"+ACK")

    async def in_progress(self) -> None:
        with suppress(NatsError):
            await self._client.publish(self._message.reply, b"+WPI")


class Consumer:
    """Consumes one stream. `room` returns how many more messages the service can take now.

    `declare` creates the stream and the durable where they are missing; it raises NatsError and
    TimeoutError.
    """

    def __init__(
        self,
        client: NatsClient,
        stream: str,
        durable: str,
        receive: Receiver,
        room: Callable[[], int],
        declare: Callable[[], Awaitable[None]],
    ) -> None:
        self._declare = declare
        self._client = client
        self._stream = stream
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._receive = receive
        self._room = room
        self._task: asyncio.Task[None] | None = None
        self._more_room = asyncio.Event()
        self._progress = asyncio.Event()
        self._inbox = ""
        self._expected = 0
        self._gone = False
        self._stopping = False
        self._outage = OutageLog(f"consuming {stream}")

    async def start(self) -> None:
        """Begin, or replace the pull request of the connection before this one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        self._expected = 0
        self._progress.set()

    async def stop(self) -> None:
        """Request no more. The task ends by itself: a cancelled call would end nats-py's writer."""
        self._stopping = True
        self._expected = 0
        self._progress.set()
        self._more_room.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
            self._task.cancel()

    def resume(self) -> None:
        """There is room for more messages."""
        self._more_room.set()

    async def _run(self) -> None:
        inbox = self._inbox = self._client.new_inbox()
        await self._client.subscribe(inbox, cb=self._on_message)
        while not self._stopping:
            self._more_room.clear()
            room = min(self._room(), MAX_PULL)
            if room <= 0:
                await self._more_room.wait()
                continue
            if not self._client.is_connected:  # the client would send the request later
                await asyncio.sleep(GONE_SECONDS)
                continue
            self._expected = room
            try:
                await self._client.publish(self._next, _request(room), reply=inbox)
                await self._until_ended()
                if self._gone:
                    self._gone = False
                    await asyncio.sleep(GONE_SECONDS)  # it may come back by itself
                    await self._declare()
            except (NatsError, TimeoutError) as error:
                self._outage.failed(error)
                await asyncio.sleep(GONE_SECONDS)

    async def _until_ended(self) -> None:
        while self._expected > 0:
            self._progress.clear()
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._progress.wait()
            except TimeoutError:
                self._outage.failed("a pull request is silent: replaced")
                return

    async def _on_message(self, message: Msg) -> None:
        # An event has its own subject, a status of the pull request the subject of the inbox.
        status = (message.headers or {}).get("Status") if message.subject == self._inbox else None
        if message.subject != self._inbox:
            self._expected -= 1
            self._receive(JetStreamDelivery(self._client, message, self._stream))
        elif status != _HEARTBEAT:
            self._expected = 0
            self._gone = status != _EXPIRED  # the durable or its stream was deleted, or moves
        if not self._gone:
            self._outage.ended()
        self._progress.set()


def _request(batch: int) -> bytes:
    return json.dumps(
        {
            "batch": batch,
            "expires": EXPIRES_SECONDS * _NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_SECONDS * _NANOSECONDS,
        }
    ).encode()
