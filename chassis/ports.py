"""Everything that is not a pure function of its input comes in through here.

A service gets its clock, ids and broker from `create_app`; a test or a simulation hands in its own
and can replay a run exactly.
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
    """Ids made one after another lie side by side."""
    return ids.timed(time_ns() // 1_000_000, int.from_bytes(urandom(10)))


class Ports(msgspec.Struct, frozen=True):
    """What a service takes from outside. The defaults are the real world's."""

    clock: Clock = system_clock
    new_id: NewId = new_id
    broker: "Broker | None" = None
    """None: JetStream, at the settings' NATS_URL."""
    database: Callable[[str], Database] = Database
    """Opens the database at a URL."""
    outside: "ExternalSystem | None" = None
    """Carries out errands. None: over HTTP, at the address that the settings name."""


REAL = Ports()


class ExternalSystem(Protocol):
    """The way to an outside system."""

    async def __call__(self, call: Any, /) -> object:
        """Make the call. Gives the command that brings its outcome back.

        Raises Outage when the outcome is not known: then the errand will be sent for again.
        """

    def told(self, answer: Any) -> None:
        """What the service answered to that command: a chance to raise an alarm."""

    async def close(self) -> None: ...


class OutgoingMessage(msgspec.Struct, frozen=True):
    """A message for the broker. `headers` carry the id by which the broker knows a repeat."""

    subject: str
    body: bytes
    headers: Mapping[str, str]


class StreamPosition(msgspec.Struct, frozen=True):
    """How far somebody has read in a stream.

    It holds for one `generation`: after an outage the stream may be another one, and is read from
    its start.
    """

    generation: int = 0
    sequence: int = 0


START = StreamPosition()


class DeliveredMessage(Protocol):
    """A message from the broker that waits to be acknowledged."""

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

    async def ack(self) -> None:
        """Done, and committed."""

    async def in_progress(self) -> None:
        """Not done, but not forgotten either: don't deliver it to anybody else yet."""


Receiver = Callable[[DeliveredMessage], Awaitable[None]]


class Broker(Protocol):
    """The event bus, as far as a service needs it."""

    @property
    def connected(self) -> bool: ...

    async def start(
        self, receive: Receiver, room: Callable[[], int], verify: Callable[[], Awaitable[None]]
    ) -> None:
        """Begin to connect and to deliver, never more than `room()` messages ahead.

        Returns at once: a broker that is away is waited for in the background. `verify` runs on
        each new connection before anything is published on it; while it raises BrokerAway or
        Outage, it is tried again.
        """

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[int | None]:
        """Store messages in their streams, in order. Gives each one's sequence in its stream.

        None: not stored, or nobody knows. Publishing it again is safe.
        """

    async def wait_connected(self) -> None: ...

    def resume(self) -> None:
        """Messages were worked off: more may be delivered."""

    async def first_sequence(self, stream: str) -> int:
        """The lowest sequence that the stream still holds, or would give. Raises BrokerAway."""

    async def event_at(self, stream: str, sequence: int) -> str | None:
        """The id of the event that the stream holds there, if any. Raises BrokerAway."""

    async def history(self, subject: str) -> list[OutgoingMessage]:
        """What the stream holds under a subject filter, in order. Raises RetryLater."""

    async def history_since(
        self, subject: str, place: StreamPosition
    ) -> tuple[list[OutgoingMessage], StreamPosition]:
        """What it holds behind a place, and the place behind that. Raises RetryLater."""

    def notifications(self, *subjects: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Set whenever it is time to look again: listening has begun, one of them went by, or the
        stream may have been made anew.

        One that goes by may be in the stream a moment later only.
        """

    async def stop_delivering(self) -> None:
        """Deliver nothing new; publishing and acknowledging still work."""

    async def stop(self) -> None: ...
