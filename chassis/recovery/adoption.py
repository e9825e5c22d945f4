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
from chassis.processing import erasure
from chassis.recovery import findings
from chassis.recovery.findings import Finding, Kind
from chassis.recovery.stored import decoded, events_of, time_of
from chassis.storage.database import Database
from chassis.storage.statements import Statement, among, inserting, updating
from chassis.storage.tables import outbox
from saga import envelope
from saga.adoption import CannotAdopt
from saga.envelope import InboundEvent, OutboundEvent, subject_of
from saga.event import Event, Stream

log = logging.getLogger(__name__)

PAGE = 500

_known = Statement(
    select(outbox.c.event_id, outbox.c.stream_sequence).where(among(outbox.c.event_id, "event_ids"))
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


class Published(msgspec.Struct, frozen=True):
    """An own event in a stream, with the event that caused it, if that is still there."""

    event: Event
    cause: Event | None
    row: OutboundEvent
    sequence: int


class Adopter:
    """For one instance in recovery mode."""

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        broker: Broker,
        clock: Clock,
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

    async def _adopt_stream(self, stream: Stream) -> int:
        own = [event for event in self._participant.reactions.emits if event.stream == stream]
        subjects = sorted(map(subject_of, own))
        adopted = after = 0
        postponed: list[Published] = []
        while page := await self._broker.read(subjects, after):
            after = page[-1].sequence
            published = await self._missing(stream, page)
            left = await self._adopt(published)
            adopted += len(published) - len(left)
            postponed += left
        return adopted + await self._adopt_postponed(postponed)

    async def _adopt_postponed(self, postponed: list[Published]) -> int:
        """Adopt events that came before those which they need. Returns how many there are."""
        count, progress = len(postponed), True
        while postponed:
            pages = [postponed[at : at + PAGE] for at in range(0, len(postponed), PAGE)]
            left = [
                each for page in pages for each in await self._adopt(page, is_last=not progress)
            ]
            progress, postponed = len(left) < len(postponed), left
        return count

    async def _missing(self, stream: Stream, page: Sequence[StoredMessage]) -> list[Published]:
        """The events of a page that the database lacks."""
        first: dict[str, tuple[InboundEvent, StoredMessage]] = {}
        for message in page:  # a retransmission is the same event once more
            if (inbound := decoded(self._contract, message)) is not None:
                first.setdefault(inbound.event_id, (inbound, message))
        marks = {
            event_id: _mark_of(time_of(message) or self._clock(), message.sequence)
            for event_id, (_, message) in first.items()
        }
        missing = await self._database.run(partial(_mark_known, marks))
        return [await self._with_cause(stream, *first[event_id]) for event_id in missing]

    async def _adopt(
        self, published: Sequence[Published], *, is_last: bool = False
    ) -> list[Published]:
        """Adopt in one transaction. Returns what no rule can adopt yet; at last it is listed."""
        if not published:
            return []
        return await self._database.run(partial(self._adopt_in, published, is_last))

    async def _with_cause(
        self, stream: Stream, inbound: InboundEvent, message: StoredMessage
    ) -> Published:
        event, cause_id = inbound.event, message.headers.get(envelope.CAUSE)
        rule = self._adoptions.rules.get(type(event))
        cause = None
        if rule is not None and rule.needs_cause and cause_id is not None:
            found = await events_of(self._broker, self._contract, stream, event.key)
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
            created_at=time_of(message) or self._clock(),
        )
        return Published(event, cause, row, message.sequence)

    def _adopt_in(
        self, published: Sequence[Published], is_last: bool, connection: Connection
    ) -> list[Published]:
        """Load, adopt one event after the other, and save. Returns what can't be adopted yet."""
        now = self._clock()
        findings.lock(connection)
        known = dict(_known.fetch(connection, event_ids=[each.row.event_id for each in published]))
        published = [each for each in published if each.row.event_id not in known]
        contents = [each for p in published for each in (p.event, p.cause) if each is not None]
        uow = self._participant.load(connection, contents, now)
        found: list[Finding] = []
        adopted: list[Published] = []
        postponed: list[Published] = []
        for each in published:
            uow.now = each.row.created_at
            try:
                lacks, kind = self._adoptions.adopt(each.event, uow, each.cause), Kind.SHORT
                uow.release()
            except CannotAdopt as error:
                lacks, kind = str(error), Kind.NOT_ADOPTED
                uow.roll_back()
                if not is_last:
                    postponed.append(each)
                    continue
            except Exception as error:
                log.exception("a rule raised", extra={"event": each.row.name, "key": each.row.key})
                lacks, kind = f"the rule raised {error!r}", Kind.NOT_ADOPTED
                uow.roll_back()
            adopted.append(each)
            if lacks:
                found.append(_finding(kind, each.row, lacks))
        uow.now = now
        self._participant.save(connection, uow)
        rows = (
            msgspec.structs.asdict(each.row) | _mark_of(each.row.created_at, each.sequence)
            for each in adopted
        )
        _add.execute_many(connection, rows, claimed_by="", claimed_until=now)
        erasure.erase(connection, self._contract, {each.key for each in uow.erased})
        findings.add(connection, found, now, adopted=len(adopted))
        return postponed


def _finding(kind: Kind, row: OutboundEvent, what: str) -> Finding:
    return Finding(kind=kind, event_id=row.event_id, name=row.name, key=row.key, what=what)


def _mark_of(committed_at: datetime, sequence: int) -> dict[str, Any]:
    """Columns of a published row. Its time is not after that of its publication: what is removed
    from the stream by its age must not pass for deleted."""
    return {"published_at": committed_at, "stream_sequence": sequence}


def _mark_known(marks: dict[str, dict[str, Any]], connection: Connection) -> list[str]:
    """Note where the stream has what the backup knows. Returns what the backup does not know.

    The backup may not have published it yet; and after a loss of the broker's store, by which all
    was published again, it has another place.
    """
    known = dict(_known.fetch(connection, event_ids=sorted(marks)))
    changed = [
        {"event_id": event_id, **marks[event_id]}
        for event_id, sequence in known.items()
        if sequence != marks[event_id]["stream_sequence"]
    ]
    _mark.execute_many(connection, changed)
    return [event_id for event_id in marks if event_id not in known]
