"""A service: one participant, wired to its broker and its database, and its life cycle."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.broker.jetstream import JetStream
from chassis.components import Component, Components
from chassis.loops import Loops
from chassis.outbox.outbox import Outbox
from chassis.participant import Participant, U
from chassis.ports import DeliveredMessage, ExternalSystem, Ports
from chassis.processing import dead_letters
from chassis.processing.ack_extension import AckExtension
from chassis.processing.after_commit import AfterCommit
from chassis.processing.external_calls import NO_EXTERNAL_SYSTEM, ExternalCalls
from chassis.processing.mailbox import Mailbox
from chassis.processing.messages import Done, EventMessage, IdempotencyKey
from chassis.processing.processor import Processor
from chassis.processing.retention import Retention
from chassis.processing.timers import watch
from chassis.processing.transaction import Transaction
from chassis.recovery.recovery import Recovery
from chassis.settings import Settings
from chassis.storage import tables
from saga.errors import Outage, RetryLater

log = logging.getLogger(__name__)

FINISH_SECONDS = 3
OPEN_AGAIN_SECONDS = 1.0


class Service(Generic[U]):
    """One instance of one service. `components` live beside the mailbox, as long as it does."""

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
        self.retention = Retention(participant, self.database, ports.clock, settings)
        self.loops = Loops()

    async def start(self) -> None:
        """Create the tables, then work. Database and broker may come later.

        Raises ConfigurationError when the database can't be used.
        """
        try:
            await self._open()
        except Outage:
            self.loops.start_later(self._start_later())
        else:
            await self._begin()

    async def _start_later(self) -> None:
        """Wait for the database. Until it is there, requests are answered by RetryLater."""
        while True:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            with suppress(Outage):
                await self._open()
                break
        await self._begin()

    async def _open(self) -> None:
        """Raises Outage. An upgrade's deadlock with an older instance that runs is one too."""
        await self.database.create(
            tables.metadata,
            self.participant.schema,
            history=self.participant.history,
            statements=tables.newest_only_indexes(self.participant.reactions.published_streams),
        )
        await self.outbox.prepare()

    async def _begin(self) -> None:
        self.has_started = True
        self.loops.start(self._coroutines())
        await self.components.start(self)
        await self.broker.start(self.receive, self.mailbox.room_for_events, self.recovery.verify)

    def _coroutines(self) -> list[Coroutine[Any, Any, None]]:
        """What it does all the time. In recovery mode it replays events and publishes nothing."""
        loops = [self.processor.run(), self.ack_extension.run(), self.database.watch()]
        if self.settings.recovery_mode:
            log.warning("in recovery mode: it replays the streams and publishes nothing")
            return loops
        timers = (
            watch(each, self.reading, self.clock, self.settings, self.ask)
            for each in self.participant.timers
        )
        loops += [self.retention.run(), self.recovery.watch(), *timers, *self.outbox.loops()]
        return loops

    async def stop(self) -> None:
        """Finish what was begun, as far as that goes quickly, and release everything.

        What is not committed by then is delivered again, what is not published is swept up.
        """
        if self.has_started:
            await self._finish()
        await self.external_calls.close()
        await self.components.close()
        await self.loops.stop()
        if self.has_started:
            await self.outbox.close()
        await self.database.close()

    async def _finish(self) -> None:
        await self.broker.stop_delivering()
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self.mailbox.drained()
                await self.external_calls.drained()
                await self.outbox.relay.drained()
        await self.broker.stop()

    async def ask(
        self, command: object, idempotency: IdempotencyKey | None = None, trace: str | None = None
    ) -> Done:
        """Execute a command in its turn; committed when this returns. See `Mailbox.ask`."""
        self._refuse_early()
        if self.settings.recovery_mode and not isinstance(command, self.participant.bookings):
            raise RetryLater("the service is in recovery mode until an operator releases it")
        return await self.mailbox.ask(command, idempotency, trace)

    def receive(self, delivery: DeliveredMessage) -> None:
        """Put a delivered event into the mailbox."""
        message = EventMessage(delivery, self.participant.reactions.contract)
        self.ack_extension.watch(message)
        self.mailbox.put(message)

    async def redrive(self, letter_id: int) -> bool:
        """Put a dead letter into the mailbox once more. False when there is none of this id."""
        async with self.reading() as connection:
            letter = await dead_letters.find(connection, letter_id)
        if letter is not None:
            self.receive(letter)
        return letter is not None

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Raises RetryLater."""
        self._refuse_early()
        return self.database.reading()

    def _refuse_early(self) -> None:
        if not self.has_started:
            raise RetryLater("the service waits for its database; try again")
