"""The messages in a mailbox: events that were delivered, and commands that clients wait for."""

import asyncio
from typing import Any

import msgspec

from chassis.actions import RequestedAction
from chassis.ports import DeliveredMessage
from saga import envelope
from saga.envelope import InboundEvent, MalformedMessage, OutboundEvent
from saga.errors import Refused
from saga.event import Contract


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A client's key for one request. The same key with another fingerprint is a mistake."""

    scope: str
    key: str
    fingerprint: str


class DeadLetterReason(msgspec.Struct, frozen=True):
    """Why a message becomes a dead letter. `code` is for programs, `error` for people."""

    code: str
    error: str


class EventMessage:
    """A delivered event. `dead_letter_reason` is set when it can't be handled."""

    __slots__ = ("attempts", "dead_letter_reason", "delivery", "inbound")

    def __init__(self, delivery: DeliveredMessage, contract: Contract) -> None:
        self.delivery = delivery
        self.attempts = 0
        self.inbound: InboundEvent | None = None
        self.dead_letter_reason: DeadLetterReason | None = None
        try:
            self.inbound = envelope.decode(
                contract, delivery.subject, delivery.body, delivery.headers
            )
        except MalformedMessage as error:
            self.dead_letter_reason = DeadLetterReason("UNREADABLE", str(error))

    @property
    def content(self) -> object:
        return self.inbound.event if self.inbound and not self.dead_letter_reason else None


class CommandMessage:
    """A command and the future that its caller waits for.

    `abandoned`: the caller was told to retry later, so the command must not be executed any more.
    `action`: what the caller does by it, if that is for the audit log.
    """

    __slots__ = ("abandoned", "action", "attempts", "command", "future", "idempotency", "trace")

    def __init__(
        self,
        command: object,
        future: "asyncio.Future[Done]",
        idempotency: IdempotencyKey | None = None,
        trace: str | None = None,
        action: RequestedAction | None = None,
    ) -> None:
        self.command = command
        self.action = action
        self.future = future
        self.idempotency = idempotency
        self.trace = trace
        self.attempts = 0
        self.abandoned = False

    @property
    def content(self) -> object:
        return self.command

    def succeed(self, done: "Done") -> None:
        if not self.future.done():
            self.future.set_result(done)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


Message = EventMessage | CommandMessage


class Done(msgspec.Struct, frozen=True):
    """A message was handled and committed. `replayed`: it had been before."""

    result: Any = None
    emitted: tuple[OutboundEvent, ...] = ()
    replayed: bool = False


class Declined(msgspec.Struct, frozen=True):
    """A rule refused a command; nothing of it was kept."""

    error: Refused


class Raised(msgspec.Struct, frozen=True):
    """The code raised; nothing of the message was kept.

    `is_blamed`: the message was the only one that can have been the reason.
    """

    error: Exception
    is_blamed: bool = True


Outcome = Done | Declined | Raised
