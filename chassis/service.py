"""A service put together: mailbox, writer, inbox, outbox and bus around one participant."""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.broker.jetstream import ACK_WAIT_SECONDS, JetStream
from chassis.observability import metrics
from chassis.observability.logs import EACH, about
from chassis.outbox.reconciliation import Reconciler
from chassis.outbox.relay import Relay, mark_published
from chassis.outbox.retransmission import Retransmitter
from chassis.ports import DeliveredMessage, ExternalSystem, Ports
from chassis.processing import dead_letters
from chassis.processing.batch import Batch, Participant, W, W_contra
from chassis.processing.external_calls import NO_EXTERNAL_SYSTEM, ExternalCalls
from chassis.processing.mailbox import MAX_BATCH, Mailbox
from chassis.processing.messages import Done, EventMessage, IdempotencyKey, Message, Outcome
from chassis.processing.timers import Timer
from chassis.settings import Settings
from chassis.storage import tables
from events.contract import SAGA
from saga.errors import Outage, RetryLater

log = logging.getLogger(__name__)

EVENTS_AHEAD = 2_000
"""How many delivered events may wait in memory; the others wait at the broker."""

SMALL_BATCH = 32
"""So many messages are written sooner than handed to another thread."""

DRAIN_SECONDS = 3
CLEAN_UP_SECONDS = 60
CLEANED_AT_ONCE = 500


class BackgroundComponent(Protocol[W_contra]):
    """Something of a service's own beside the mailbox, such as a cache of what it reads."""

    async def start(self, service: Any, /) -> None: ...

    def committed(self, uow: W_contra, /) -> None:
        """Told after each commit what the batch has worked on. May not raise."""

    async def close(self) -> None: ...


P = TypeVar("P")


class Service(Generic[W]):
    """One instance of one service."""

    def __init__(
        self,
        participant: Participant[W],
        settings: Settings,
        ports: Ports,
        outside: ExternalSystem = NO_EXTERNAL_SYSTEM,
        parts: Sequence[BackgroundComponent[W]] = (),
    ) -> None:
        """`parts` live beside the mailbox, for as long as the service does."""
        clock = ports.clock
        self.participant = participant
        self.settings = settings
        self.clock = clock
        self.new_id = ports.new_id
        self.broker = ports.broker or JetStream(
            settings.nats_url,
            participant.reactions,
            instance=settings.instance,
            replicas=settings.nats_replicas,
            from_the_start=settings.recovery_mode,
        )
        self.database = ports.database(settings.database_url)
        self.relay = Relay(
            self.database,
            self.broker,
            clock,
            service=participant.name,
            instance=settings.instance,
        )
        self.reconciler = Reconciler(
            self.database, self.broker, clock, {e.stream for e in participant.reactions.emits}
        )
        self.mailbox = Mailbox(
            self._transact,
            self._committed,
            capacity=settings.mailbox_capacity,
            command_timeout_seconds=settings.command_timeout_seconds,
        )
        self.retransmitter = Retransmitter(
            participant,
            self.database,
            self.broker,
            clock,
            after_seconds=settings.retransmit_after_seconds,
            idle=lambda: len(self.mailbox) < MAX_BATCH,
        )
        self.external_calls = ExternalCalls(outside, self.ask)
        self._parts: dict[type[Any], BackgroundComponent[W]] = {type(part): part for part in parts}
        self.leaving = asyncio.Event()
        self._held: set[EventMessage] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Make the tables, then work. The broker may come later."""
        await self.database.create(tables.metadata, self.participant.schema)
        await self.database.run(self.relay.forget_claims)
        self._tasks = [asyncio.create_task(loop) for loop in self._loops()]
        for task in self._tasks:
            task.add_done_callback(_stop_if_broken)
        for part in self._parts.values():
            await part.start(self)
        await self.broker.start(
            self._receive,
            lambda: EVENTS_AHEAD - self.mailbox.events,
            self._verify,
        )

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        """What a service does all the time. In quarantine it listens, and says nothing."""
        notifications = [self.mailbox.run(), self.mailbox.tell(), self._stay_in_progress()]
        if self.settings.recovery_mode:
            log.warning("in quarantine: it hears the whole stream again, and says nothing")
            return notifications
        working = [self._clean_up(), *(self._watch(timer) for timer in self.participant.timers)]
        if not self.participant.reactions.emits:  # it has nothing to publish, or to say again
            return [*notifications, *working]
        return [
            *notifications,
            *working,
            self.relay.run(),
            self.reconciler.run(),
            self.retransmitter.run(),
        ]

    async def stop(self) -> None:
        """Finish what was begun, as far as that goes quickly, and let go of everything.

        What is not committed by then is delivered again, what is not published is swept up.
        """
        await self.broker.stop_delivering()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.mailbox.drained()
                await self.external_calls.drained()
                await self.relay.drained()
        await self.broker.stop()
        await self.external_calls.close()
        for part in self._parts.values():
            await part.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Outage), self.relay.acknowledgements() as acknowledgements:
            await self.database.run(partial(mark_published, acknowledgements))
        await self.database.close()

    def leave(self) -> None:
        """It will stop soon: what has no end of its own, such as a stream to a client, ends now."""
        self.leaving.set()

    @property
    def alive(self) -> bool:
        """False when one of the loops has ended, which none ever should."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def ask(
        self,
        command: object,
        idempotency: IdempotencyKey | None = None,
        trace: str | None = None,
    ) -> Done:
        """Carry out a command in its turn; committed when this returns. See `Mailbox.ask`."""
        if self.settings.recovery_mode:
            raise RetryLater("the service is in quarantine until an operator releases it")
        name = type(command).__name__
        try:
            done = await self.mailbox.ask(command, idempotency, trace)
        except Exception as error:
            metrics.of_command(name, type(error).__name__).inc()
            raise
        metrics.of_command(name, "replayed" if done.replayed else "done").inc()
        return done

    def part(self, kind: type[P]) -> P:
        """The service's part of this type."""
        part = self._parts[kind]
        assert isinstance(part, kind)
        return part

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self.database.reading()

    async def redrive(self, letter_id: int) -> bool:
        """Put a dead letter into the mailbox once more. False when there is none of this id."""
        async with self.reading() as connection:
            row = await dead_letters.find(connection, letter_id)
        if row is None:
            return False

        async def note_it() -> None:
            now = self.clock()
            await self.database.run(lambda db: dead_letters.mark_redriven(db, letter_id, now))

        await self._receive(dead_letters.Redelivery(row, note_it))
        return True

    async def _verify(self) -> None:
        """On a new connection: is in the streams what we believe to be there?"""
        await self.relay.forget_acknowledgements()
        if not self.settings.recovery_mode:
            await self.reconciler.check_all(anew=True)

    async def _receive(self, delivery: DeliveredMessage) -> None:
        consumed = EventMessage(delivery)
        self._held.add(consumed)
        self.mailbox.put(consumed)

    async def _transact(self, messages: Sequence[Message]) -> list[Outcome]:
        """One transaction: the batch, and what the relay has published."""
        batch = Batch(self.participant, self.relay.claim, self.clock())
        started = perf_counter()
        with self.relay.acknowledgements() as acknowledgements:

            def work(connection: Connection) -> list[Outcome]:
                mark_published(acknowledgements, connection)
                return batch.run(connection, messages)

            is_small = len(messages) <= SMALL_BATCH
            outcomes = await self.database.run(work, is_small=is_small)
        for part in self._parts.values():
            part.committed(batch.uow)
        if not self.settings.recovery_mode:
            self.external_calls.offer(batch.external_calls)
        metrics.batch_seconds.observe(perf_counter() - started)
        metrics.batch_size.observe(len(messages))
        return outcomes

    async def _committed(self, done: Sequence[tuple[Message, Done]]) -> None:
        """After the commit: publish, acknowledge, and tell."""
        emitted = [outbound for _, outcome in done for outbound in outcome.emitted]
        self.relay.offer(emitted)
        for message, outcome in done:
            if isinstance(message, EventMessage):
                self._held.discard(message)
                await message.delivery.ack()
                _count(message, outcome)
                if message.inbound and message.inbound.is_retransmission and not outcome.emitted:
                    self.retransmitter.answer_later(message.inbound)
        for name, count in Counter(outbound.name for outbound in emitted).items():
            metrics.emitted.labels(name).inc(count)
        if emitted:
            log.info("said", extra={EACH: [about(outbound) for outbound in emitted]})
        metrics.waiting.set(len(self.mailbox))
        self.broker.resume()

    async def _stay_in_progress(self) -> None:
        """Tell the broker of what takes long, so that it is not delivered to somebody else too."""
        held_before: set[EventMessage] = set()
        while True:
            await asyncio.sleep(ACK_WAIT_SECONDS / 3)
            for consumed in held_before & self._held:
                await consumed.delivery.in_progress()
            held_before = set(self._held)

    async def _watch(self, timer: Timer) -> None:
        """Hand what has become due to the mailbox. What can't be done now is found again."""
        while True:
            await asyncio.sleep(timer.every_seconds)
            with suppress(RetryLater):
                async with self.reading() as connection:
                    due = await timer.find(connection, self.clock(), self.settings)
                ends = await asyncio.gather(*map(self.ask, due), return_exceptions=True)
                for end in ends:
                    if isinstance(end, Exception) and not isinstance(end, RetryLater):
                        log.error("what was due could not be done", exc_info=end)

    async def _clean_up(self) -> None:
        """Forget, in small steps, what has been settled for longer than the retention time."""
        while True:
            await asyncio.sleep(CLEAN_UP_SECONDS)
            with suppress(Outage):
                while await self.database.run(self._clean_up_some):
                    pass  # each step waits for its turn behind the batches

    def _clean_up_some(self, connection: Connection) -> int:
        before = self.clock() - timedelta(seconds=self.settings.retention_seconds)
        rows, inbox, outbox = self.participant.order_rows, tables.inbox, tables.outbox
        keys, repeats = tables.idempotency_keys, tables.repeats
        open_rows = tables.in_states(rows, self.participant.unsettled)
        unsettled = select(rows.c.order_id).where(open_rows)
        of_an_order = outbox.c.stream == SAGA
        spent = (outbox.c.published_at < before) & of_an_order & outbox.c.key.not_in(unsettled)
        removed = 0
        for condition, *key in (
            (inbox.c.received_at < before, inbox.c.event_id),
            (spent, outbox.c.event_id),
            (keys.c.created_at < before, keys.c.key, keys.c.scope),
            (repeats.c.next_at < before, repeats.c.order_id),
        ):
            some = select(*key).where(condition).limit(CLEANED_AT_ONCE)
            gone = delete(key[0].table).where(tuple_(*key).in_(some))
            removed += connection.execute(gone).rowcount
        return removed


def _stop_if_broken(task: asyncio.Task[None]) -> None:
    """A loop that ended by itself is a bug: half a service is worse than one that is restarted."""
    if not task.cancelled():
        log.critical("a loop of the service has ended; stopping", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _count(message: EventMessage, outcome: Done) -> None:
    if message.dead_letter_reason is not None:
        metrics.dead.labels(message.dead_letter_reason.reason).inc()
        where: dict[str, Any] = {"subject": message.delivery.subject}
        log.error("dead letter", extra=where | {"reason": message.dead_letter_reason.error})
    elif outcome.replayed:
        metrics.repeated.inc()
    elif message.inbound is not None:
        metrics.of_consumed(message.inbound.name).inc()
