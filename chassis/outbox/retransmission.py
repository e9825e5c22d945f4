"""Retransmission with back-off: every saga ends, whatever the broker has lost.

A participant whose row has waited too long publishes its last event about the saga again, at
growing intervals. A participant that receives a retransmission of an event that it has handled
publishes its own events again, those that its reaction to the event may emit. So a request travels
down the choreography to a participant that missed the event, or the decision comes back. The
choreography has no cycle, so retransmissions end.

A retransmission has the event's own id, which every inbox knows, and another `Nats-Msg-Id`, so that
the broker does not drop it as a duplicate. A lost retransmission is followed by the next one.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, bindparam, func, or_, select

from chassis.observability import metrics
from chassis.participant import Participant
from chassis.ports import Broker, Clock, OutgoingMessage
from chassis.storage.database import Database
from chassis.storage.statements import Statement, among, inserting_new, updating
from chassis.storage.tables import in_range, in_states, outbox, repeats
from saga import envelope
from saga.due import due_ranges, implausible_after
from saga.envelope import InboundEvent, OutboundEvent
from saga.errors import Outage

log = logging.getLogger(__name__)

MAX_INTERVAL_SECONDS = 600
MAX_JITTER = 1.25
LOOK_SECONDS = 5
AT_ONCE = 200
MAX_PENDING_ANSWERS = 2_000


_events = select(*(outbox.c[name] for name in OutboundEvent.__struct_fields__)).order_by(
    outbox.c.id
)
_of_keys = among(outbox.c.key, "keys")
_last = select(func.max(outbox.c.id)).where(_of_keys).group_by(outbox.c.key)
_last_events = Statement(_events.where(outbox.c.id.in_(_last)))
_all_events = Statement(_events.where(_of_keys))
# Two instances may find the same saga, when the first one commits between the second one's reads of
# the rows and of the locks. Then both retransmit the same events.
_asked_first = inserting_new(repeats, ("saga_key", "times", "next_at"))
_asked_again = updating(repeats, ("times", "next_at"), ("saga_key",))


class Backoff(msgspec.Struct, frozen=True):
    """A row of `repeats`: how often a saga was retransmitted, and when it is due again."""

    saga_key: str
    times: int
    next_at: datetime


class Retransmission(msgspec.Struct, frozen=True):
    """An event to publish again. `token` distinguishes it from its other retransmissions."""

    outbound: OutboundEvent
    token: str


class Retransmitter:
    """`after_seconds`: how long a row waits before its first retransmission.

    `is_calm`: little waits in the mailbox. Under load a waiting row is no sign of a lost event.
    """

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        broker: Broker,
        clock: Clock,
        *,
        after_seconds: float,
        is_calm: Callable[[], bool],
    ) -> None:
        self._participant = participant
        self._database = database
        self._broker = broker
        self._clock = clock
        self._after_seconds = after_seconds
        self._is_calm = is_calm
        self._waiting = _waiting(participant.saga_rows, participant.saga_key, participant.unsettled)
        self._requests: asyncio.Queue[InboundEvent] = asyncio.Queue(MAX_PENDING_ANSWERS)

    def answer_later(self, request: InboundEvent) -> None:
        """Answer a retransmission of a handled event. Beyond `MAX_PENDING_ANSWERS` drop it."""
        if not self._requests.full():
            self._requests.put_nowait(request)

    async def run(self) -> None:
        """Retransmit what is overdue, and answer retransmissions, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._retransmit_overdue())
            group.create_task(self._answer_requests())

    async def _retransmit_overdue(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self._after_seconds / 2))
            await self._broker.wait_connected()
            if self._is_calm():
                await self._publish(self._overdue)

    async def _answer_requests(self) -> None:
        while True:
            requests = [await self._requests.get()]
            while not self._requests.empty() and len(requests) < AT_ONCE:
                requests.append(self._requests.get_nowait())
            await self._publish(partial(self._answers_on, requests))

    async def _publish(self, find: Callable[[Connection], list[Retransmission]]) -> None:
        try:
            retransmissions = await self._database.run(find)
        except Outage:  # the database logs it
            return
        if retransmissions:
            metrics.retransmitted.inc(len(retransmissions))
            log.info("retransmitting", extra={"events": len(retransmissions)})
            await self._broker.publish(
                [self._outgoing(retransmission) for retransmission in retransmissions]
            )

    def _outgoing(self, retransmission: Retransmission) -> OutgoingMessage:
        headers = envelope.headers(
            retransmission.outbound, self._participant.name, retransmission=retransmission.token
        )
        return OutgoingMessage(
            retransmission.outbound.subject, retransmission.outbound.body, headers
        )

    # ------------------------------------------------------------ what is overdue

    def _overdue(self, connection: Connection) -> list[Retransmission]:
        """The last events about the sagas that have waited too long and are due."""
        now = self._clock()
        times = self._due(connection, now)
        if not times:
            return []
        retransmissions = _outbound(_last_events.fetch(connection, keys=list(times)))
        return [
            Retransmission(outbound, f"asked-{times[outbound.key]}") for outbound in retransmissions
        ]

    def _due(self, connection: Connection, now: datetime) -> dict[str, int]:
        """The sagas that are due, with the number of their retransmissions including this one."""
        seconds = self._after_seconds
        next_until = implausible_after(now, MAX_INTERVAL_SECONDS * MAX_JITTER)
        found = [
            row
            for waited in due_ranges(now, waited_seconds=seconds, longest_seconds=seconds)
            for row in self._waiting.fetch(connection, now=now, implausible=next_until, **waited)
        ]
        due = [
            Backoff(key, (times or 0) + 1, self._next_at(now, times or 0)) for key, times in found
        ]
        _asked_again.execute_many(connection, (each for each in due if each.times > 1))
        _asked_first.execute_many(connection, (each for each in due if each.times == 1))
        return {each.saga_key: each.times for each in due}

    def _next_at(self, now: datetime, times: int) -> datetime:
        pause_seconds = min(self._after_seconds * 2.0 ** min(times, 20), MAX_INTERVAL_SECONDS)
        jitter = random.uniform(0.75, MAX_JITTER)  # noqa: S311 - spreads the load, guards nothing
        return now + timedelta(seconds=pause_seconds * jitter)

    # ------------------------------------------------------------ answers

    def _answers_on(
        self, requests: Sequence[InboundEvent], connection: Connection
    ) -> list[Retransmission]:
        """Our events about these sagas that answer the requests."""
        wanted = {
            (request.event.key, name): _token(request)
            for request in requests
            for name in self._answers_to(request)
        }
        keys = sorted({key for key, _ in wanted})
        retransmissions = _outbound(_all_events.fetch(connection, keys=keys)) if keys else []
        return [
            Retransmission(outbound, wanted[outbound.key, outbound.name])
            for outbound in retransmissions
            if (outbound.key, outbound.name) in wanted
        ]

    def _answers_to(self, request: InboundEvent) -> Iterable[str]:
        reaction = self._participant.reactions.reactions.get(type(request.event))
        return sorted(event.__name__ for event in reaction.emits) if reaction else ()


def _token(request: InboundEvent) -> str:
    """The same for a request that is delivered twice, so that it is answered once."""
    return f"answer-{sha256(request.message_id.encode()).hexdigest()[:16]}"


def _outbound(rows: Iterable[Sequence[Any]]) -> list[OutboundEvent]:
    return [
        OutboundEvent(**dict(zip(OutboundEvent.__struct_fields__, row, strict=True)))
        for row in rows
    ]


@cache
def _waiting(rows: Table, key: Column[str], states: frozenset[str]) -> Statement:
    """The sagas that have waited since a time of the range, and are due, with their `times`."""
    query = (
        select(key, repeats.c.times)
        .outerjoin_from(rows, repeats, repeats.c.saga_key == key)
        .where(
            in_states(rows, states),
            in_range(rows.c.updated_at),
            or_(
                repeats.c.next_at.is_(None),
                repeats.c.next_at <= bindparam("now"),
                repeats.c.next_at > bindparam("implausible"),
            ),
        )
        .order_by(rows.c.updated_at)
        .limit(AT_ONCE)
        .with_for_update(of=rows, skip_locked=True)
    )
    return Statement(query)
