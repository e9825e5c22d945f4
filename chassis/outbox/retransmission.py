"""Repeat and answer: brings every order to its end, whatever the broker has lost.

A service whose row has waited for too long says its last word about the order again, at growing
intervals. A service that hears a repeat of something it has already decided says its own words
again: those that its reaction to the event may say. So a question goes down the choreography until
it meets whoever has not heard it, or the verdict comes back. The choreography has no cycle, so a
repeat comes to rest.

A repeat has the event's own id, by which every inbox knows it, and another `Nats-Msg-Id`, so that
the broker does not take it for a duplicate. It is said once: if it is lost too, the next one comes.
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
from sqlalchemy import Connection, Table, bindparam, func, or_, select

from chassis.observability import metrics
from chassis.ports import Broker, Clock, OutgoingMessage
from chassis.processing.batch import Participant
from chassis.storage.database import Database
from chassis.storage.statements import Statement, among, inserting_new, updating
from chassis.storage.tables import in_states, outbox, repeats
from saga import envelope
from saga.envelope import InboundEvent, OutboundEvent
from saga.errors import Outage

log = logging.getLogger(__name__)

MAX_INTERVAL_SECONDS = 600
LOOK_SECONDS = 5
AT_ONCE = 200
MAX_PENDING_ANSWERS = 2_000


_events = select(*(outbox.c[name] for name in OutboundEvent.__struct_fields__)).order_by(
    outbox.c.id
)
_of_keys = among(outbox.c.key, "keys")
_last = select(func.max(outbox.c.id)).where(_of_keys).group_by(outbox.c.key)
_last_events = Statement(_events.where(outbox.c.id.in_(_last)), "keys")
_all_events = Statement(_events.where(_of_keys), "keys")
# Two instances may find the same order: the one's lock may end, and its note be committed, between
# the other's look at the notes and at the locks. Both ask then, with the same words.
_asked_first = inserting_new(repeats, ("times", "next_at", "order_id"))
_asked_again = updating(repeats, ("times", "next_at"), ("order_id",))


class Retransmission(msgspec.Struct, frozen=True):
    """An event of ours that is said again. `token` tells this time from the others."""

    outbound: OutboundEvent
    token: str


class Retransmitter:
    """`after_seconds` is how long a row waits before it asks. `idle` says that little is in hand:
    while much is, orders wait for a good reason."""

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        broker: Broker,
        clock: Clock,
        *,
        after_seconds: float,
        idle: Callable[[], bool],
    ) -> None:
        self._participant = participant
        self._database = database
        self._broker = broker
        self._clock = clock
        self._after_seconds = after_seconds
        self._idle = idle
        self._waiting = _waiting(participant.order_rows, participant.unsettled)
        self._requests: asyncio.Queue[InboundEvent] = asyncio.Queue(MAX_PENDING_ANSWERS)

    def answer_later(self, request: InboundEvent) -> None:
        """A repeat was heard that brought nothing new. Beyond what can be answered it is left."""
        if not self._requests.full():
            self._requests.put_nowait(request)

    async def run(self) -> None:
        """Ask and answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._retransmit_overdue())
            group.create_task(self._answer_requests())

    async def _retransmit_overdue(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self._after_seconds / 2))
            await self._broker.wait_connected()
            if self._idle():
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
        except Outage as outage:
            log.warning("nothing can be said again now", extra={"error": str(outage)})
            return
        if retransmissions:
            metrics.retransmitted.inc(len(retransmissions))
            log.info("saying again", extra={"events": len(retransmissions)})
            await self._broker.publish(
                [self._outgoing(retransmission) for retransmission in retransmissions]
            )

    def _outgoing(self, retransmission: Retransmission) -> OutgoingMessage:
        headers = envelope.headers(
            retransmission.outbound, self._participant.name, repeat=retransmission.token
        )
        return OutgoingMessage(
            retransmission.outbound.subject, retransmission.outbound.body, headers
        )

    # ------------------------------------------------------------ asking

    def _overdue(self, connection: Connection) -> list[Retransmission]:
        """The last words about the orders that have waited for too long, and are due again."""
        now = self._clock()
        times = self._due(connection, now)
        if not times:
            return []
        retransmissions = _outbound(_last_events.rows(connection, list(times)))
        return [
            Retransmission(outbound, f"asked-{times[outbound.key]}") for outbound in retransmissions
        ]

    def _due(self, connection: Connection, now: datetime) -> dict[str, int]:
        """The orders that ask now, with how often each has asked, this time included."""
        waited_since = now - timedelta(seconds=self._after_seconds)
        found = self._waiting.rows(connection, waited_since, now)
        asks = [((times or 0) + 1, self._next_at(now, times or 0), each) for each, times in found]
        _asked_again.run(connection, (ask for ask in asks if ask[0] > 1))
        _asked_first.run(connection, (ask for ask in asks if ask[0] == 1))
        return {order_id: (times or 0) + 1 for order_id, times in found}

    def _next_at(self, now: datetime, times: int) -> datetime:
        pause_seconds = min(self._after_seconds * 2.0 ** min(times, 20), MAX_INTERVAL_SECONDS)
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - spreads the repeats, guards nothing
        return now + timedelta(seconds=pause_seconds * jitter)

    # ------------------------------------------------------------ answering

    def _answers_on(
        self, requests: Sequence[InboundEvent], connection: Connection
    ) -> list[Retransmission]:
        """What we have said about these orders that answers what was asked."""
        wanted = {
            (request.event.key, name): _token(request)
            for request in requests
            for name in self._answers_to(request)
        }
        keys = sorted({key for key, _ in wanted})
        retransmissions = _outbound(_all_events.rows(connection, keys)) if keys else []
        return [
            Retransmission(outbound, wanted[outbound.key, outbound.name])
            for outbound in retransmissions
            if (outbound.key, outbound.name) in wanted
        ]

    def _answers_to(self, request: InboundEvent) -> Iterable[str]:
        reaction = self._participant.reactions.reactions.get(type(request.event))
        return sorted(event.__name__ for event in reaction.emits) if reaction else ()


def _token(request: InboundEvent) -> str:
    """The same for a repeat that is delivered twice: it is answered once."""
    return f"answer-{sha256(request.message_id.encode()).hexdigest()[:16]}"


def _outbound(rows: Iterable[Sequence[Any]]) -> list[OutboundEvent]:
    return [
        OutboundEvent(**dict(zip(OutboundEvent.__struct_fields__, row, strict=True)))
        for row in rows
    ]


@cache
def _waiting(rows: Table, states: frozenset[str]) -> Statement:
    """The orders that have waited since `waited_since` and are due `now`, with their `times`."""
    query = (
        select(rows.c.order_id, repeats.c.times)
        .outerjoin_from(rows, repeats, repeats.c.order_id == rows.c.order_id)
        .where(
            in_states(rows, states),
            rows.c.updated_at <= bindparam("waited_since"),
            or_(repeats.c.next_at.is_(None), repeats.c.next_at <= bindparam("now")),
        )
        .order_by(rows.c.updated_at)
        .limit(AT_ONCE)
        .with_for_update(of=rows, skip_locked=True)
    )
    return Statement(query, "waited_since", "now")
