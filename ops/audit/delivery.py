"""Every event that was committed: is it published, in the stream, and in every inbox for it?"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import text

from ops.audit.findings import Discrepancy, Result, Unjudged, result
from ops.audit.sources import Databases, moment
from ops.audit.stream import Contents, Floors
from ops.audit.tolerance import Tolerance
from saga.choreography.graph import Choreography
from saga.event import Stream

PUBLISHED = "events: each committed event is published"
IN_STREAM = "events: each is in the stream where its outbox says"
REACHED = "events: each reached the inbox of every consumer"


class Emitted(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an outbox. `sequence` is None until it is marked as published.

    `newest_only`: its stream keeps the newest event of a key alone. Otherwise the key is a saga's.
    """

    event_id: str
    service: str
    name: str
    key: str
    subject: str
    created_at: datetime
    sequence: int | None
    stream: str
    newest_only: bool
    is_personal: bool = False

    def discrepancy(self, check: str, what: str, age: str | None = None) -> Discrepancy:
        about = f" of {self.key}" if self.newest_only else ""
        return Discrepancy(
            check=check,
            order_id=None if self.newest_only else self.key,
            event=self.name,
            entity=self.event_id,
            age=age,
            what=f"{self.name}{about} (id {self.event_id}) of {self.service} {what}",
        )


class Deliveries:
    """What was emitted and received, by the services' databases."""

    def __init__(
        self,
        databases: Databases,
        choreography: Choreography,
        floors: Floors,
        tolerance: Tolerance,
    ) -> None:
        self._consumers = {
            event.__name__: choreography.consumers(event) for event in choreography.contract
        }
        self._floors = floors
        self._tolerance = tolerance
        self.emitted = list(_emitted(databases, choreography.contract.streams))
        self._inboxes = {
            service: set(connection.execute(text("SELECT event_id FROM inbox")).scalars())
            for service, connection in databases.items()
        }
        self._dead_letters = dict(_dead_letters(databases))
        self._newest = {row.subject: row.event_id for row in self.emitted}
        waiting = {row.event_id: why for row in self.emitted if (why := self._under_way(row))}
        self.under_way = {
            row.key: waiting[row.event_id] for row in self.emitted if row.event_id in waiting
        }
        """Why the keys whose events have not arrived everywhere are not checked yet."""
        self.held_back = {
            row.key for row in self.emitted if row.event_id in waiting and self._is_held_back(row)
        }
        """The keys with an event that the service in recovery mode keeps until its release."""
        self._checked = [
            row
            for row in self.emitted
            if tolerance.is_quiet(row.created_at) and row.event_id not in waiting
        ]

    def unjudged(self) -> Iterator[Unjudged]:
        """Events that are not about an order and can't be judged yet."""
        checked = {row.event_id for row in self._checked}
        keys = {
            row.key
            for row in self.emitted
            if row.newest_only and row.event_id not in checked and not self._is_replaced(row)
        }
        for key in sorted(keys - self.held_back):
            yield Unjudged.of(key, self.under_way)

    def _under_way(self, row: Emitted) -> str | None:
        """Why it has not arrived everywhere, where that is no fault yet."""
        if self._is_held_back(row):
            return f"{row.service} is in recovery mode and has not published {row.name}"
        is_over = self._tolerance.is_over(row.created_at)
        if row.sequence is None:
            return None if is_over else f"{row.service} has not published {row.name}"
        for service in self._missing_at(row):
            is_late = row.sequence > self._floors.get((row.stream, service), 0)
            if is_late and (not is_over or service == self._tolerance.recovering):
                return f"{service} has not handled {row.name}"
        return None

    def _is_held_back(self, row: Emitted) -> bool:
        return row.sequence is None and row.service == self._tolerance.recovering

    def _missing_at(self, row: Emitted) -> list[str]:
        """The consumers that do not have it in their inbox."""
        return [
            service
            for service in self._consumers.get(row.name, [])
            if row.event_id not in self._inboxes[service]
        ]

    def checks(self, streams: Mapping[str, Contents], erased: Collection[str] = ()) -> list[Result]:
        """`erased`: the users whose events a purge removes, also since the databases were read."""
        unpublished = (
            row.discrepancy(PUBLISHED, "is not published", self._tolerance.age_text(row.created_at))
            for row in self._checked
            if row.sequence is None
        )
        return [
            result(PUBLISHED, len(self._checked), unpublished),
            result(IN_STREAM, len(self._checked), self._not_in_stream(streams, erased)),
            result(REACHED, len(self._checked), self._not_received()),
        ]

    def _not_in_stream(
        self, streams: Mapping[str, Contents], erased: Collection[str]
    ) -> Iterator[Discrepancy]:
        for row in self._checked:
            stream = streams.get(row.stream, Contents(0, {}))
            held = None if row.sequence is None else stream.messages.get(row.sequence)
            if row.sequence is None or self._is_replaced(row) or self._may_be_repaired(row):
                continue
            if row.is_personal:
                if row.subject not in stream.subjects and row.key not in erased:
                    yield row.discrepancy(IN_STREAM, f"is not in the stream {row.stream}")
                continue
            if held is None:
                if not self._tolerance.may_be_removed(row.created_at, stream.max_age_seconds):
                    where = f"is not in the stream {row.stream} at {row.sequence}"
                    yield row.discrepancy(IN_STREAM, where)
            elif (held.subject, held.event_id) != (row.subject, row.event_id):
                other = f"{held.subject} (id {held.event_id})"
                where = f"should be in the stream {row.stream} at {row.sequence}: there is {other}"
                yield row.discrepancy(IN_STREAM, where)

    def _not_received(self) -> Iterator[Discrepancy]:
        for row in self._checked:
            forgotten = self._tolerance.may_be_removed(
                row.created_at, self._tolerance.inbox_seconds
            )
            if row.sequence is None or self._is_replaced(row) or forgotten:
                continue  # one that is not published is reported for that alone
            for service in self._missing_at(row):
                letter = self._dead_letters.get((service, row.subject))
                where = f", where it is dead letter {letter}" if letter else ""
                yield row.discrepancy(REACHED, f"is not in the inbox of {service}{where}")

    def _is_replaced(self, row: Emitted) -> bool:
        """Where a stream keeps the newest message of a key alone, older ones may be missed."""
        return row.newest_only and self._newest[row.subject] != row.event_id

    def _may_be_repaired(self, row: Emitted) -> bool:
        """An older message, published later by another instance, may have replaced it. The
        services' reconciliation repairs that within seconds."""
        return row.newest_only and not self._tolerance.is_over(row.created_at)


def _emitted(databases: Databases, streams: Mapping[str, Stream]) -> Iterator[Emitted]:
    query = """
        SELECT event_id, name, key, stream, subject, created_at, published_at, stream_sequence
        FROM outbox ORDER BY id
    """
    for service, connection in databases.items():
        for row in connection.execute(text(query)):
            yield Emitted(
                event_id=row.event_id,
                service=service,
                name=row.name,
                key=row.key,
                subject=row.subject,
                created_at=moment(row.created_at),
                sequence=row.stream_sequence if row.published_at is not None else None,
                stream=row.stream,
                newest_only=row.stream in streams and streams[row.stream].newest_only,
                is_personal=row.stream in streams and streams[row.stream].is_personal,
            )


def _dead_letters(databases: Databases) -> Iterator[tuple[tuple[str, str], int]]:
    """The dead letters by service and subject."""
    for service, connection in databases.items():
        for row in connection.execute(text("SELECT id, subject FROM dead_letters ORDER BY id")):
            yield (service, row.subject), row.id
