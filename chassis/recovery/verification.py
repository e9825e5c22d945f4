"""What is verified on a new connection outside of recovery mode, before anything is published."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, select

from chassis import actions, audit_log
from chassis.actions import Action
from chassis.participant import Participant
from chassis.ports import Broker, Clock, StoredMessage
from chassis.recovery import findings
from chassis.recovery.findings import Finding
from chassis.recovery.stored import decoded, events_of, time_of
from chassis.recovery.verdicts import contradicted, refused
from chassis.storage.database import Database
from chassis.storage.tables import outbox
from saga.envelope import OutboundEvent, subject_of
from saga.errors import ConfigurationError, Outage

_RELEASE = Action("RECOVERY_RELEASE")
_unpublished = select(*(outbox.c[name] for name in OutboundEvent.__struct_fields__)).where(
    outbox.c.published_at.is_(None)
)


class Verification:
    """For one instance. `retention_seconds`: how long published rows stay in the outbox.

    `kept`: how long the audit log has the release of a recovery.
    """

    def __init__(
        self,
        participant: Participant[Any],
        database: Database,
        broker: Broker,
        clock: Clock,
        retention_seconds: float,
        kept: timedelta,
    ) -> None:
        self._participant = participant
        self._contract = participant.reactions.contract
        self._own = participant.reactions.emits
        self._database = database
        self._broker = broker
        self._clock = clock
        self._trusted_age = timedelta(seconds=retention_seconds / 2)
        self._kept = kept
        self._is_older = asyncio.Event()
        self._reason = ""

    async def watch(self) -> None:
        """Raises ConfigurationError once the database is found to be older than its events."""
        await self._is_older.wait()
        raise ConfigurationError(self._reason)

    async def verify(self) -> None:
        """Raises Outage: then nothing may be published on this connection."""
        for event in self._contract:  # in its order: that of a set differs between processes
            if event in self._own and not event.stream.newest_only:
                await self._check_newest(await self._broker.last(subject_of(event)))
        await self._end_recovery()

    async def _check_newest(self, message: StoredMessage | None) -> None:
        """Refuse a database that lacks an event of its own: it was restored, and not recovered.

        A row is committed before it is published, and kept for longer than the stream keeps it.
        """
        event = decoded(self._contract, message) if message else None
        if message is None or event is None or self._may_be_removed(message):
            return
        if not await self._database.run(partial(_is_known, event.event_id)):
            self._reason = (
                f"the stream holds {message.subject}, which this database lacks: it is older than "
                "what the service has published. Start it in recovery mode (QUARANTINE=1; of the "
                f"local stack: make quarantine SERVICE={self._participant.name})"
            )
            self._is_older.set()
            raise Outage(self._reason)

    def _may_be_removed(self, message: StoredMessage) -> bool:
        committed_at = time_of(message)
        return committed_at is None or committed_at < self._clock() - self._trusted_age

    async def _end_recovery(self) -> None:
        """At the release: take what contradicts a published event out of the outbox.

        The stream is asked again, since another instance may have published meanwhile.
        """
        if not await self._database.run(findings.is_open):
            return
        rows = await self._database.run(_waiting)
        found = [
            refused(row, name) for row in rows if (name := await self._contradicted_in_stream(row))
        ]
        await self._database.run(partial(_release, found, self._clock(), self._kept))

    async def _contradicted_in_stream(self, row: OutboundEvent) -> str | None:
        stream = self._contract.streams[row.stream]
        published = [
            (each.event_id, each.name, message.body)
            for each, message in await events_of(self._broker, self._contract, stream, row.key)
            if type(each.event) in self._own
        ]
        return contradicted(self._contract, row, published)


def _is_known(event_id: str, connection: Connection) -> bool:
    query = select(outbox.c.id).where(outbox.c.event_id == event_id)
    return connection.execute(query).first() is not None


def _waiting(connection: Connection) -> list[OutboundEvent]:
    return [OutboundEvent(**row) for row in connection.execute(_unpublished).mappings()]


def _release(
    found: Sequence[Finding], now: datetime, kept: timedelta, connection: Connection
) -> None:
    for each in found:
        connection.execute(delete(outbox).where(outbox.c.event_id == each.event_id))
    findings.add(connection, found, now)
    if findings.release(connection, now):
        audit_log.append(connection, [actions.without_request(_RELEASE, now, kept)])
