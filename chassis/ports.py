"""The ports of a service: all that is not a pure function of its input comes in through here.

A service gets its clock, ids, broker and database from `create_app`; a test or a simulation hands
in its own and can replay a run exactly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from os import urandom
from time import time_ns
from typing import Any, Protocol

import msgspec

from chassis.storage.database import Database
from saga import ids

Clock = Callable[[], datetime]
"""The time, in UTC."""

NewId = Callable[[], str]
"""A new UUID in its canonical text form."""


def system_clock() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    """Ids that are made one after another lie side by side in an index."""
    return ids.timed(time_ns() // 1_000_000, int.from_bytes(urandom(10)))


class Ports(msgspec.Struct, frozen=True):
    """What a service gets from its environment. The defaults are the real ones."""

    clock: Clock = system_clock
    new_id: NewId = new_id
    broker: "Broker | None" = None
    """None: JetStream, at the settings' NATS_URL."""
    database: Callable[[str], Database] = Database
    """Opens the database at a URL."""
    external_system: "ExternalSystem | None" = None
    """Executes external calls. None: over HTTP, at the address that the settings name."""


REAL = Ports()


class ExternalSystem(Protocol):
    """Executes calls to an external system."""

    async def __call__(self, call: Any, /) -> object:
        """Execute a call. Returns the command that brings its outcome back.

        Raises Outage when the outcome is unknown: then the call is begun again later.
        """

    def problems(self) -> Mapping[str, str | None]:
        """What is wrong with each system that is called, by its name; None where nothing is."""

    async def close(self) -> None: ...


class OutgoingMessage(msgspec.Struct, frozen=True):
    """A message to publish. `headers` carry the id by which the broker recognises a duplicate."""

    subject: str
    body: bytes
    headers: Mapping[str, str]


class StoredMessage(msgspec.Struct, frozen=True):
    """A message that was read back from a stream, and its sequence there."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int


class StreamPosition(msgspec.Struct, frozen=True):
    """How far a stream has been read.

    It holds for one `generation`: after an outage the stream may be another one, and is read from
    its start.
    """

    generation: int = 0
    sequence: int = 0


START = StreamPosition()


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream holds and when it removes it. A missing stream holds nothing.

    `first_sequence`: the lowest that it holds, or gives next. `gaps`: how many sequences between
    its messages are empty. `max_age_seconds`: 0 if messages do not expire. `fill_ratio`: its bytes
    by their limit; 0 without one. `discards_old`: it removes the oldest messages when it is full.
    """

    first_sequence: int = 0
    messages: int = 0
    gaps: int = 0
    max_age_seconds: float = 0
    fill_ratio: float = 0
    discards_old: bool = False


class DeliveredMessage(Protocol):
    """A message from the broker that is not acknowledged yet."""

    @property
    def stream(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str] | None: ...
    @property
    def letter_id(self) -> int | None:
        """The dead letter that is redriven; None for a message that the broker delivered."""

    def ack(self) -> None:
        """Acknowledge: it is committed. Sent with what is sent next; never waits."""

    async def in_progress(self) -> None:
        """Extend the acknowledgement deadline."""


Receiver = Callable[[DeliveredMessage], None]


class Broker(Protocol):
    """The event bus, as far as a participant needs it."""

    @property
    def connected(self) -> bool: ...
    @property
    def is_full(self) -> bool:
        """The last event was refused, because a limit on what is stored is reached."""

    async def start(
        self, receive: Receiver, room: Callable[[], int], verify: Callable[[], Awaitable[None]]
    ) -> None:
        """Begin to connect and to deliver, never more than `room()` messages ahead.

        Returns at once and connects in the background. `verify` runs on each new connection before
        anything is published on it; while it raises BrokerAway or Outage, it is tried again.
        """

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[int | None]:
        """Store messages in their streams, in order. Returns each one's sequence in its stream.

        None: not stored, or unknown. Publishing it again is safe.
        """

    async def wait_connected(self) -> None: ...

    def resume(self) -> None:
        """Messages were settled: more may be delivered."""

    async def stream_state(self, stream: str) -> StreamState:
        """What the stream holds. Raises BrokerAway."""

    async def gaps(self, stream: str) -> Sequence[int]:
        """The empty sequences between the stream's messages. Raises BrokerAway."""

    async def event_at(self, stream: str, sequence: int) -> str | None:
        """The id of the event that the stream holds there, if any. Raises BrokerAway."""

    async def read(self, subjects: Sequence[str], after: int) -> list[StoredMessage]:
        """The next messages behind a sequence under any of these filters of one stream, in order.

        Empty at its end. Raises BrokerAway.
        """

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message that a stream holds under a subject filter. Raises BrokerAway."""

    async def count(self, subject: str) -> int:
        """How many messages the stream holds under a subject filter. Raises BrokerAway.

        A replica may answer that lacks the newest ones.
        """

    async def purge(self, stream: str, subject: str) -> None:
        """Remove what the stream holds under a subject filter. Idempotent. Raises BrokerAway."""

    async def undelivered(self) -> int:
        """How many events this participant has not acknowledged yet.

        Raises BrokerAway, also until the streams are verified on a new connection.
        """

    async def history(self, subject: str) -> list[StoredMessage]:
        """What the stream holds under a subject filter, in order. Raises RetryLater."""

    async def history_since(
        self, subject: str, place: StreamPosition
    ) -> tuple[list[StoredMessage], StreamPosition]:
        """What it holds after a position, and the position after that. Raises RetryLater."""

    def notifications(self, *subjects: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An Event that is set whenever to read the stream again: the subscription has begun, a
        message passed, or the stream may have been recreated.

        A message that passes may be in the stream a moment later only.
        """

    async def stop_delivering(self) -> None:
        """Deliver no new message; publishing and acknowledging still work."""

    async def stop(self) -> None: ...
