"""The parts of a service, put together, and how events, commands and reads reach them."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import actions
from chassis.audit_log import AuditLog
from chassis.broker.jetstream import JetStream
from chassis.components import Component, Components
from chassis.loops import Loops
from chassis.outbox.outbox import Outbox
from chassis.participant import Participant, U
from chassis.ports import DeliveredMessage, ExternalSystem, Ports
from chassis.processing.ack_extension import AckExtension
from chassis.processing.after_commit import AfterCommit
from chassis.processing.external_calls import NO_EXTERNAL_SYSTEM, ExternalCalls
from chassis.processing.mailbox import Mailbox
from chassis.processing.messages import Done, EventMessage, IdempotencyKey
from chassis.processing.processor import Processor
from chassis.processing.redriving import Redriving
from chassis.processing.retention import Retention
from chassis.processing.transaction import Transaction
from chassis.recovery.recovery import Recovery
from chassis.settings import Settings
from saga.errors import RetryLater


class Parts(Generic[U]):
    """Everything is made here, and nothing begins. `components` live as long as the mailbox."""

    def __init__(
        self,
        participant: Participant[U],
        settings: Settings,
        ports: Ports,
        external_system: ExternalSystem = NO_EXTERNAL_SYSTEM,
        components: Sequence[Component[U]] = (),
    ) -> None:
        self.participant = participant
        self.settings = settings
        self.clock = ports.clock
        self.new_id = ports.new_id
        self.leaving = asyncio.Event()
        """Set when it will stop soon: what has no end of its own, such as a stream, ends then."""
        self.is_draining = False
        """It was told to stop: it still takes requests, but a balancer shall send it no more."""
        self.has_started = False
        self.components = Components(components)
        self.broker = ports.broker or JetStream(participant.reactions, settings)
        self.database = ports.database(settings.database_url)
        self.audit_log = AuditLog(self.database)
        self.mailbox = Mailbox(
            capacity=settings.mailbox_capacity,
            command_timeout_seconds=settings.command_timeout_seconds,
        )
        self.external_calls = ExternalCalls(
            external_system, self.ask, is_paused=settings.recovery_mode
        )
        around = participant, self.database, self.broker, ports.clock, settings
        self.outbox = Outbox(*around, self.mailbox.is_calm)
        self.recovery = Recovery(*around, self.outbox.verify)
        self.ack_extension = AckExtension()
        transaction = Transaction(
            participant,
            self.database,
            self.outbox.relay,
            ports.clock,
            self.external_calls,
            self.components,
            self.recovery.batch_type,
        )
        after_commit = AfterCommit(
            self.outbox, self.ack_extension, self.broker, participant.reactions.contract
        )
        self.processor = Processor(self.mailbox, transaction, after_commit)
        self.redriving = Redriving(
            participant, self.database, self.reading, self.receive, ports.clock
        )
        self.retention = Retention(participant, self.database, ports.clock, settings)
        self.loops = Loops()

    async def ask(
        self, command: object, idempotency: IdempotencyKey | None = None, trace: str | None = None
    ) -> Done:
        """Execute a command in its turn; committed when this returns. See `Mailbox.ask`.

        The first command of a request is the one that does the request's action.
        """
        self._refuse_early()
        if self.settings.recovery_mode and not isinstance(command, self.participant.bookings):
            raise RetryLater("the service is in recovery mode until an operator releases it")
        return await self.mailbox.ask(command, idempotency, trace, actions.take())

    def receive(self, delivery: DeliveredMessage) -> None:
        """Put a delivered event into the mailbox."""
        message = EventMessage(delivery, self.participant.reactions.contract)
        self.ack_extension.watch(message)
        self.mailbox.put(message)

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Raises RetryLater."""
        self._refuse_early()
        return self.database.reading()

    def _refuse_early(self) -> None:
        if not self.has_started:
            raise RetryLater("the service waits for its database; try again")
