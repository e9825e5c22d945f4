"""What a mailbox holds: events that were delivered and commands that clients wait for."""

import asyncio
from typing import Any

import msgspec

from chassis.ports import DeliveredMessage
from saga import envelope
from saga.envelope import InboundEvent, MalformedMessage, OutboundEvent
from saga.errors import Refused


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A client's key for one request. The same key with another fingerprint is a mistake."""

    scope: str
    key: str
    fingerprint: str


class DeadLetterReason(msgspec.Struct, frozen=True):
    """Why a message is set aside as a dead letter. `reason` is for programs, `error` for people."""

    reason: str
    error: str


class EventMessage:
    """An event from the broker. `dead_letter_reason` is set when it can't be worked on."""

    __slots__ = ("attempts", "dead_letter_reason", "delivery", "inbound")

    def __init__(self, delivery: DeliveredMessage) -> None:
        self.delivery = delivery
        self.attempts = 0
        self.inbound: InboundEvent | None = None
        self.dead_letter_reason: DeadLetterReason | None = None
        try:
            self.inbound = envelope.decode(delivery.subject, delivery.body, delivery.headers)
        except MalformedMessage as error:
            self.dead_letter_reason = DeadLetterReason("UNREADABLE", str(error))

    @property
    def content(self) -> object:
        return self.inbound.event if self.inbound and not self.dead_letter_reason else None


class CommandMessage:
    """A command and the future that its caller waits for.

    `abandoned`: the caller was told to try again later, so the command must not be begun.
    """

    __slots__ = ("abandoned", "attempts", "command", "future", "idempotency", "trace")

    def __init__(
        self,
        command: object,
        future: "asyncio.Future[Done]",
        idempotency: IdempotencyKey | None = None,
        trace: str | None = None,
    ) -> None:
        self.command = command
        self.future = future
        self.idempotency = idempotency
        self.trace = trace
        self.attempts = 0
        self.abandoned = False

    @property
    def content(self) -> object:
        return self.command


Message = EventMessage | CommandMessage


class Done(msgspec.Struct, frozen=True):
    """A message was worked on and committed. `replayed`: it had been before."""

    answer: Any = None
    emitted: tuple[OutboundEvent, ...] = ()
    replayed: bool = False


class Declined(msgspec.Struct, frozen=True):
    """A command was refused by a rule; nothing of it was kept."""

    error: Refused


class Raised(msgspec.Struct, frozen=True):
    """The code raised; nothing of the message was kept."""

    error: Exception


Outcome = Done | Declined | Raised
