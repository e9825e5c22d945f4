"""The relay: publishes what was committed, retries without end, and never skips a row.

A batch hands its events over in memory, so a lone event is published at once. A sweep finds all
other rows (after a crash, after a long outage, of a dead instance) by their state, `published_at IS
NULL`. It does not look for "ids above the last one", because ids become visible out of order.

A claim names the instance that publishes a row, and until when. It only avoids double work: a row
that is published twice has the same `Nats-Msg-Id`, and the same `ce-id` for every inbox.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

import msgspec
from sqlalchemy import Connection, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.ports import Broker, Clock, OutgoingMessage
from chassis.storage.database import Database
from chassis.storage.statements import Statement, updating
from chassis.storage.tables import outbox
from saga import envelope
from saga.due import implausible_after
from saga.envelope import OutboundEvent
from saga.errors import Outage

log = logging.getLogger(__name__)

CLAIM_SECONDS = 10
SWEEP_SECONDS = 1.0
SWEPT_AT_ONCE = 1000
MAX_BACKLOG = 10_000
IN_FLIGHT = 2000
MARK_SECONDS = 1.0
"""How long an acknowledgement waits for a batch that marks it, before it is marked alone."""

RETRY_SECONDS = 0.2

_mark_rows = updating(outbox, ("published_at", "stream_sequence"), ("event_id",))
_unclaimed = Statement(
    select(outbox.c.id, *(outbox.c[name] for name in OutboundEvent.__struct_fields__))
    .where(
        outbox.c.published_at.is_(None),
        or_(
            outbox.c.claimed_until <= bindparam("now"),
            outbox.c.claimed_until > bindparam("implausible"),
        ),
    )
    .order_by(outbox.c.id)
    .limit(SWEPT_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_claim = updating(outbox, ("claimed_by", "claimed_until"), ("id",))
_unmark = Statement(
    update(outbox)
    .where(outbox.c.event_id == bindparam("event_id"))
    .values(published_at=None, stream_sequence=None, claimed_until=bindparam("now"))
)
_free_mine = Statement(
    update(outbox)
    .where(outbox.c.published_at.is_(None), outbox.c.claimed_by == bindparam("instance"))
    .values(claimed_until=bindparam("now"))
)


class Mark(msgspec.Struct, frozen=True):
    """The columns of an outbox row that the broker has stored."""

    event_id: str
    published_at: datetime
    stream_sequence: int


class Acknowledgements(msgspec.Struct, frozen=True):
    """What the broker acknowledged on one connection, to be marked in the outbox."""

    connection: int
    marks: dict[str, Mark]


class Relay:
    """One per instance. `instance` must be the same after a restart, to find its own claims.

    `personal` are the streams with personal data, whose rows an erasure deletes. `marked`: the ids
    of the rows that were marked since the last check of the streams began.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: Clock,
        *,
        service: str,
        instance: str,
        personal: Collection[str] = (),
    ) -> None:
        self._database = database
        self._personal = personal
        self.broker = broker
        self._clock = clock
        self._service = service
        self._instance = instance
        self._backlog: dict[str, OutboundEvent] = {}
        self._in_flight: set[str] = set()
        self._published: dict[str, Mark] = {}
        self._connection = 0
        self._being_marked: list[Acknowledgements] = []
        self._uncertain: list[str] = []
        self.marked: list[str] = []
        self._unmarked = asyncio.Event()
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def claim(self, now: datetime) -> tuple[str, datetime]:
        """The claim of a new row. It has expired already when this instance is overloaded."""
        overloaded = len(self._backlog) >= MAX_BACKLOG
        return self._instance, now if overloaded else now + timedelta(seconds=CLAIM_SECONDS)

    def offer(self, emitted: Iterable[OutboundEvent]) -> None:
        """Publish what was just committed. Beyond `MAX_BACKLOG` the sweep publishes it."""
        for outbound in emitted:
            if len(self._backlog) < MAX_BACKLOG:
                self._backlog[outbound.event_id] = outbound
        self._wake()

    async def drained(self) -> None:
        """Wait until the backlog is published."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publish, mark what was published, and sweep, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            group.create_task(self._mark_published())
            group.create_task(self._sweep())

    @contextmanager
    def acknowledgements(self) -> Iterator[Acknowledgements]:
        """The new acknowledgements, to be marked by the transaction in the block.

        If that raises, they are kept for the next one.
        """
        taken = Acknowledgements(self._connection, self._published)
        self._published = {}
        self._being_marked.append(taken)
        try:
            yield taken
        except BaseException:
            if taken.connection == self._connection:
                self._published = taken.marks | self._published
                self._unmarked.set()
            raise
        else:
            self.marked += taken.marks
        finally:
            self._being_marked.remove(taken)

    async def forget_acknowledgements(self) -> None:
        """The connection was lost, and perhaps the broker's store with it.

        Rows that it acknowledged and that are not marked yet count as unpublished: marked after the
        check of the streams, they would count as stored although they may be lost. Rows that are
        being marked, or were since this instance's last check, are unmarked: another instance may
        have noticed the loss, and published again, before they were marked. Rows with personal data
        are read from the outbox again: a person may have been erased meanwhile. Raises Outage: then
        call it again.
        """
        self._connection += 1
        self._backlog = {
            event_id: each
            for event_id, each in self._backlog.items()
            if each.stream not in self._personal
        }
        self._wake()
        self._uncertain += self._published
        self._uncertain += [each for taken in self._being_marked for each in taken.marks]
        self._uncertain += self.marked
        self._published, self.marked = {}, []
        if uncertain := list(self._uncertain):
            rows = [{"event_id": event_id} for event_id in uncertain]
            now = self._clock()
            await self._database.run(
                lambda connection: _unmark.execute_many(connection, rows, now=now)
            )
            del self._uncertain[: len(uncertain)]

    async def _publish(self) -> None:
        """Send what is not in flight. Several batches may be in flight at the same time."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                self._work.clear()
                await self.broker.wait_connected()
                room = IN_FLIGHT - len(self._in_flight)
                idle = (
                    row for row in self._backlog.values() if row.event_id not in self._in_flight
                )
                if chosen := list(islice(idle, room)):
                    self._in_flight.update(row.event_id for row in chosen)
                    group.create_task(self._send(chosen))

    async def _send(self, chosen: list[OutboundEvent]) -> None:
        sequences = await self.broker.publish([self.outgoing(each) for each in chosen])
        event_ids = [each.event_id for each in chosen]
        now = self._clock()
        for event_id, sequence in zip(event_ids, sequences, strict=True):
            if sequence is not None:
                self._backlog.pop(event_id, None)
                self._published[event_id] = Mark(event_id, now, sequence)
                self._unmarked.set()
        if None in sequences:
            await asyncio.sleep(RETRY_SECONDS)
        self._in_flight.difference_update(event_ids)
        self._wake()

    def outgoing(self, outbound: OutboundEvent) -> OutgoingMessage:
        """The message that carries an event."""
        return OutgoingMessage(
            outbound.subject, outbound.body, envelope.headers(outbound, self._service)
        )

    async def _mark_published(self) -> None:
        """Mark acknowledged rows that no batch has marked."""
        while True:
            await self._unmarked.wait()
            self._unmarked.clear()
            await asyncio.sleep(MARK_SECONDS)
            with suppress(Outage), self.acknowledgements() as acknowledgements:
                if acknowledgements.marks:
                    await self._database.run(partial(mark_published, acknowledgements))

    async def _sweep(self) -> None:
        while True:
            await self.broker.wait_connected()
            if len(self._backlog) < SWEPT_AT_ONCE:
                rows = await self._swept()
                self._adopt(rows)
                if len(rows) == SWEPT_AT_ONCE:
                    continue
            await asyncio.sleep(SWEEP_SECONDS)

    async def _swept(self) -> Sequence[OutboundEvent]:
        try:
            return await self._database.run(self._claim_free)
        except Outage:  # the database logs it
            return []

    def forget_claims(self, connection: Connection) -> None:
        """Free the rows that this instance had claimed before its end."""
        _free_mine.execute(connection, now=self._clock(), instance=self._instance)

    def _claim_free(self, connection: Connection) -> Sequence[OutboundEvent]:
        now = self._clock()
        implausible = implausible_after(now, CLAIM_SECONDS)
        rows = _unclaimed.fetch(connection, now=now, implausible=implausible)
        _claim.execute_many(
            connection,
            ({"id": row_id} for row_id, *_ in rows),
            claimed_by=self._instance,
            claimed_until=now + timedelta(seconds=CLAIM_SECONDS),
        )
        fields = OutboundEvent.__struct_fields__
        return [OutboundEvent(**dict(zip(fields, row[1:], strict=True))) for row in rows]

    def _adopt(self, rows: Sequence[OutboundEvent]) -> None:
        for outbound in rows:
            if outbound.event_id not in self._published:
                self._backlog[outbound.event_id] = outbound
        self._wake()

    def _wake(self) -> None:
        if self._backlog:
            self._empty.clear()
            self._work.set()
        else:
            self._empty.set()


def mark_published(acknowledgements: Acknowledgements, connection: Connection) -> None:
    """Mark published rows, with their sequences in the stream."""
    _mark_rows.execute_many(connection, acknowledgements.marks.values())


async def backlog(connection: AsyncConnection) -> tuple[int, datetime | None]:
    """The number of rows that are not published yet, and the time of the oldest one."""
    unpublished = select(func.count(), func.min(outbox.c.created_at)).where(
        outbox.c.published_at.is_(None)
    )
    count, oldest = (await connection.execute(unpublished)).one()
    return count, oldest
