"""A restored service reads its own events in the streams, and adopts them by its rules."""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from chassis.participant import Participant
from chassis.ports import Broker, Clock, StoredMessage
from chassis.recovery import findings
from chassis.recovery.findings import Finding, Kind
from chassis.recovery.verdicts import contradicted, refused
from chassis.storage.database import Database
from chassis.storage.statements import Statement, among, inserting, updating
from chassis.storage.tables import outbox
from saga import envelope
from saga.adoption import CannotAdopt
from saga.envelope import InboundEvent, MalformedMessage, OutboundEvent
from saga.event import Event, Stream

log = logging.getLogger(__name__)

_known = Statement(
    select(outbox.c.event_id, outbox.c.published_at).where(among(outbox.c.event_id, "event_ids"))
)
_mark = updating(outbox, ("published_at", "stream_sequence"), ("event_id",))
_add = inserting(
    outbox,
    (
        *OutboundEvent.__struct_fields__,
        "claimed_by",
        "claimed_until",
        "published_at",
        "stream_sequence",
    ),
)
_unpublished = select(*(outbox.c[name] for name in OutboundEvent.__struct_fields__)).where(
    outbox.c.published_at.is_(None)
)


class Published(msgspec.Struct, frozen=True):
    """An own event in a stream, with the event that caused it, if that is still there."""

    event: Event
    cause: Event | None
    row: OutboundEvent
    sequence: int


class Recovery:
    """For one instance. It acts in recovery mode, and at the first start after it."""

    def __init__(
        self, participant: Participant[Any], database: Database, broker: Broker, clock: Clock
    ) -> None:
        self._participant = participant
        self._contract = participant.reactions.contract
        self._adoptions = participant.reactions.adoptions
        self._database = database
        self._broker = broker
        self._clock = clock

    async def adopt_all(self) -> None:
        """Adopt every own event that the restored database lacks. Idempotent. Raises Outage."""
        await self._database.run(lambda connection: findings.begin(connection, self._clock()))
        # An entity's newest event first: a saga's events name entities.
        streams = self._participant.reactions.published_streams
        for stream in sorted(streams, key=lambda stream: not stream.newest_only):
            adopted = await self._adopt_stream(stream)
            log.warning("own events adopted", extra={"stream": stream.name, "events": adopted})

    async def refuse_contradictions(self) -> None:
        """At the release: take what contradicts a published event out of the outbox.

        The stream is asked again, since another instance may have published meanwhile. Raises
        Outage.
        """
        if not await self._database.run(findings.is_open):
            return
        rows = await self._database.run(_waiting)
        found = [
            refused(row, name) for row in rows if (name := await self._contradicted_in_stream(row))
        ]
        await self._database.run(partial(_release, found, self._clock()))

    async def _contradicted_in_stream(self, row: OutboundEvent) -> str | None:
        own = self._participant.reactions.emits
        published = [
            (each.event_id, each.name, message.body)
            for each, message in await self._events_of(self._contract.streams[row.stream], row.key)
            if type(each.event) in own
        ]
        return contradicted(self._contract, row, published)

    async def _adopt_stream(self, stream: Stream) -> int:
        own = [event for event in self._participant.reactions.emits if event.stream == stream]
        subjects = sorted(map(envelope.subject_of, own))
        adopted = after = 0
        while page := await self._broker.read(subjects, after):
            after = page[-1].sequence
            adopted += await self._adopt_page(stream, page)
        return adopted

    async def _adopt_page(self, stream: Stream, page: Sequence[StoredMessage]) -> int:
        """Adopt a page in one transaction. Returns how many events the database lacked."""
        first: dict[str, tuple[InboundEvent, StoredMessage]] = {}
        for message in page:  # a retransmission is the same event once more
            if (inbound := self._decoded(message)) is not None:
                first.setdefault(inbound.event_id, (inbound, message))
        marks = {event_id: message.sequence for event_id, (_, message) in first.items()}
        missing = await self._database.run(partial(_mark_known, marks, self._clock()))
        published = [await self._with_cause(stream, *first[event_id]) for event_id in missing]
        return await self._database.run(partial(self._adopt, published)) if published else 0

    async def _with_cause(
        self, stream: Stream, inbound: InboundEvent, message: StoredMessage
    ) -> Published:
        event, cause_id = inbound.event, message.headers.get(envelope.CAUSE)
        rule = self._adoptions.rules.get(type(event))
        cause = None
        if rule is not None and rule.needs_cause and cause_id is not None:
            found = await self._events_of(stream, event.key)
            cause = next((each.event for each, _ in found if each.event_id == cause_id), None)
        row = OutboundEvent(
            event_id=inbound.event_id,
            name=inbound.name,
            key=event.key,
            stream=stream.name,
            subject=message.subject,
            body=message.body,
            cause_id=cause_id,
            traceparent=inbound.traceparent,
            created_at=_time_of(message) or self._clock(),
        )
        return Published(event, cause, row, message.sequence)

    async def _events_of(
        self, stream: Stream, key: str
    ) -> list[tuple[InboundEvent, StoredMessage]]:
        """Everything that the stream holds about one saga or entity."""
        found, after = [], 0
        while page := await self._broker.read([f"{stream.prefix}.{key}.*"], after):
            found += [(each, m) for m in page if (each := self._decoded(m)) is not None]
            after = page[-1].sequence
        return found

    def _decoded(self, message: StoredMessage) -> InboundEvent | None:
        try:
            return envelope.decode(self._contract, message.subject, message.body, message.headers)
        except MalformedMessage as error:
            place = {"subject": message.subject, "sequence": message.sequence}
            log.warning("a stored message is no event", extra=place | {"reason": str(error)})
            return None

    def _adopt(self, published: Sequence[Published], connection: Connection) -> int:
        """Load, adopt one event after the other, and save, in one transaction."""
        now = self._clock()
        findings.lock(connection)
        known = dict(_known.fetch(connection, event_ids=[each.row.event_id for each in published]))
        published = [each for each in published if each.row.event_id not in known]
        contents = [each for p in published for each in (p.event, p.cause) if each is not None]
        uow = self._participant.load(connection, contents, now)
        found: list[Finding] = []
        for each in published:
            uow.now = each.row.created_at
            try:
                lacks, kind = self._adoptions.adopt(each.event, uow, each.cause), Kind.SHORT
                uow.release()
            except CannotAdopt as error:
                lacks, kind = str(error), Kind.NOT_ADOPTED
                uow.roll_back()
            except Exception as error:
                log.exception("a rule raised", extra={"event": each.row.name, "key": each.row.key})
                lacks, kind = f"the rule raised {error!r}", Kind.NOT_ADOPTED
                uow.roll_back()
            if lacks:
                found.append(_finding(kind, each.row, lacks))
        uow.now = now
        self._participant.save(connection, uow)
        rows = (
            msgspec.structs.asdict(each.row) | {"stream_sequence": each.sequence}
            for each in published
        )
        _add.execute_many(connection, rows, claimed_by="", claimed_until=now, published_at=now)
        findings.add(connection, found, now, adopted=len(published))
        return len(published)


def _finding(kind: Kind, row: OutboundEvent, what: str) -> Finding:
    return Finding(kind=kind, event_id=row.event_id, name=row.name, key=row.key, what=what)


def _mark_known(sequences: dict[str, int], now: datetime, connection: Connection) -> list[str]:
    """Mark what the backup had not published yet. Returns the events that it does not have."""
    known = dict(_known.fetch(connection, event_ids=sorted(sequences)))
    marks = [
        {"event_id": event_id, "stream_sequence": sequences[event_id]}
        for event_id, published_at in known.items()
        if published_at is None
    ]
    _mark.execute_many(connection, marks, published_at=now)
    return [event_id for event_id in sequences if event_id not in known]


def _waiting(connection: Connection) -> list[OutboundEvent]:
    return [OutboundEvent(**row) for row in connection.execute(_unpublished).mappings()]


def _release(found: Sequence[Finding], now: datetime, connection: Connection) -> None:
    for each in found:
        connection.execute(outbox.delete().where(outbox.c.event_id == each.event_id))
    findings.add(connection, found, now)
    findings.release(connection, now)


def _time_of(message: StoredMessage) -> datetime | None:
    """When the event was published; None without a readable header."""
    try:
        return datetime.fromisoformat(message.headers.get(envelope.TIME, ""))
    except ValueError:
        return None
