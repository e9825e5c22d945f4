"""Every event that was committed: is it published, in the stream, and in every inbox for it?"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import text

from events.contract import CONTRACT
from ops.audit.findings import Discrepancy, Result, result
from ops.audit.sources import Databases, moment
from ops.audit.stream import Contents, Floors
from saga.choreography.graph import Choreography

PUBLISHED = "events: each committed event is published"
IN_STREAM = "events: each is in the stream where its outbox says"
REACHED = "events: each reached every inbox that listens for it"

_STREAM_OF = {stream.prefix: stream.name for stream in CONTRACT.streams.values()}
_NEWEST_ONLY = {stream.name for stream in CONTRACT.streams.values() if stream.newest_only}


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """When the audit began, and what it still takes for being on its way then.

    `inbox_seconds` is how long an inbox remembers an event, `wait_seconds` how long an order may
    wait for stock.
    """

    began_at: datetime
    quiet_seconds: float
    limit_seconds: float
    inbox_seconds: float
    wait_seconds: float

    def is_quiet(self, time: datetime) -> bool:
        return self._age(time) >= self.quiet_seconds

    def is_over(self, time: datetime) -> bool:
        return self._age(time) >= self.limit_seconds

    def may_wait(self, since: datetime) -> bool:
        return self._age(since) < self.wait_seconds + self.limit_seconds

    def may_be_forgotten(self, time: datetime, kept_seconds: float) -> bool:
        """Kept for so long, 0 for ever. A tenth less: rows may go while the audit reads."""
        return bool(kept_seconds) and self._age(time) >= 0.9 * kept_seconds

    def age_text(self, time: datetime) -> str:
        return f"{self._age(time):.0f} s"

    def _age(self, time: datetime) -> float:
        return (self.began_at - time) / timedelta(seconds=1)


class Emitted(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an outbox. `sequence` is None until it is noted as published."""

    event_id: str
    service: str
    name: str
    key: str
    subject: str
    created_at: datetime
    sequence: int | None

    @property
    def stream(self) -> str:
        return _STREAM_OF.get(self.subject.partition(".")[0], "")

    @property
    def order_id(self) -> str | None:
        return self.key if self.stream == "SAGA" else None

    def discrepancy(self, check: str, what: str) -> Discrepancy:
        about = "" if self.order_id else f" of {self.key}"
        return Discrepancy(
            check=check,
            order_id=self.order_id,
            event=self.name,
            what=f"{self.name}{about} (id {self.event_id}) of {self.service} {what}",
        )


class Deliveries:
    """What was said and heard, as the services' databases have it."""

    def __init__(
        self, databases: Databases, choreography: Choreography, floors: Floors, patience: Patience
    ) -> None:
        self._consumers = {
            event.__name__: choreography.consumers(event) for event in choreography.contract
        }
        self._floors = floors
        self._patience = patience
        self.emitted = list(_emitted(databases))
        self._inboxes = {
            service: set(connection.execute(text("SELECT event_id FROM inbox")).scalars())
            for service, connection in databases.by_service.items()
        }
        self._set_aside = dict(_set_aside(databases))
        self._newest = {row.subject: row.event_id for row in self.emitted}
        waiting = [row for row in self.emitted if self._is_under_way(row)]
        self.under_way = {row.key for row in waiting}
        waiting_ids = {row.event_id for row in waiting}
        self._judged = [
            row
            for row in self.emitted
            if patience.is_quiet(row.created_at) and row.event_id not in waiting_ids
        ]

    def _is_under_way(self, row: Emitted) -> bool:
        """It has not arrived everywhere, and there is nothing wrong with that yet."""
        if self._patience.is_over(row.created_at):
            return False
        return row.sequence is None or any(
            row.sequence > self._floors.get((row.stream, service), 0)
            for service in self._deaf_to(row)
        )

    def _deaf_to(self, row: Emitted) -> list[str]:
        """The services that listen for it and do not have it in their inbox."""
        return [
            service
            for service in self._consumers.get(row.name, [])
            if row.event_id not in self._inboxes[service]
        ]

    def checks(self, streams: Mapping[str, Contents]) -> list[Result]:
        unpublished = (
            row.discrepancy(PUBLISHED, f"has waited for {self._patience.age_text(row.created_at)}")
            for row in self._judged
            if row.sequence is None
        )
        return [
            result(PUBLISHED, len(self._judged), unpublished),
            result(IN_STREAM, len(self._judged), self._not_in_stream(streams)),
            result(REACHED, len(self._judged), self._not_heard()),
        ]

    def _not_in_stream(self, streams: Mapping[str, Contents]) -> Iterator[Discrepancy]:
        for row in self._judged:
            stream = streams.get(row.stream, Contents(0, {}))
            held = None if row.sequence is None else stream.messages.get(row.sequence)
            if row.sequence is None or self._replaced(row) or self._may_be_put_right(row):
                continue
            if held is None:
                if not self._patience.may_be_forgotten(row.created_at, stream.max_age_seconds):
                    where = f"is not in the stream {row.stream} at {row.sequence}"
                    yield row.discrepancy(IN_STREAM, where)
            elif (held.subject, held.event_id) != (row.subject, row.event_id):
                other = f"{held.subject} (id {held.event_id})"
                where = f"should be in the stream {row.stream} at {row.sequence}: there is {other}"
                yield row.discrepancy(IN_STREAM, where)

    def _not_heard(self) -> Iterator[Discrepancy]:
        for row in self._judged:
            forgotten = self._patience.may_be_forgotten(
                row.created_at, self._patience.inbox_seconds
            )
            if row.sequence is None or self._replaced(row) or forgotten:
                continue  # one that is not published is named for that, once
            for service in self._deaf_to(row):
                letter = self._set_aside.get((service, row.subject))
                aside = f", which set it aside as dead letter {letter}" if letter else ""
                yield row.discrepancy(REACHED, f"is not in the inbox of {service}{aside}")

    def _replaced(self, row: Emitted) -> bool:
        """The catalogue's stream keeps a product's newest message only: others may be missed."""
        return row.stream in _NEWEST_ONLY and self._newest[row.subject] != row.event_id

    def _may_be_put_right(self, row: Emitted) -> bool:
        """An older message, sent later by another instance, may have taken its place: the services
        look for that every few seconds."""
        return row.stream in _NEWEST_ONLY and not self._patience.is_over(row.created_at)


def _emitted(databases: Databases) -> Iterator[Emitted]:
    query = """
        SELECT event_id, name, key, subject, created_at, published_at, stream_sequence
        FROM outbox ORDER BY id
    """
    for service, connection in databases.by_service.items():
        for row in connection.execute(text(query)):
            yield Emitted(
                event_id=row.event_id,
                service=service,
                name=row.name,
                key=row.key,
                subject=row.subject,
                created_at=moment(row.created_at),
                sequence=row.stream_sequence if row.published_at is not None else None,
            )


def _set_aside(databases: Databases) -> Iterator[tuple[tuple[str, str], int]]:
    """The dead letters by service and subject."""
    for service, connection in databases.by_service.items():
        for row in connection.execute(text("SELECT id, subject FROM dead_letters ORDER BY id")):
            yield (service, row.subject), row.id
