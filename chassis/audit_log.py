"""The audit log: the entries of what people did, and tried to do (decision 41).

What is done is written in its own transaction, by the batch. What is refused changes nothing, so
that a flood of it costs a client little: here such entries wait in memory for a second and are
written together, so many of each action. What is more is counted, in one entry a minute.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from time import monotonic

import msgspec
from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.actions import AuditEntry
from chassis.observability import metrics
from chassis.storage.database import Database
from chassis.storage.statements import inserting
from chassis.storage.tables import audit_log
from saga.errors import Outage

BURST = 60
"""So many refusals of an action have an entry each at once; then one each `SECONDS_EACH`."""

SECONDS_EACH = 6.0
COUNTED_SECONDS = 60.0
GATHER_SECONDS = 1.0

_insert = inserting(audit_log, AuditEntry.__struct_fields__)


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry of the audit log.

    `subject`: the user who did it; null for a machine, and where no sign-in is asked for. `target`
    is the id of what it was done on. `code`: of the error that the client got. `times` is above 1
    where many refusals are counted in one entry, without who and on what.
    """

    id: int
    at: datetime
    subject: str | None
    roles: str
    client_address: str | None
    action: str
    kind: str | None
    target: str | None
    on_behalf_of: str | None
    outcome: str
    code: str | None
    traceparent: str | None
    times: int


def append(connection: Connection, entries: Iterable[AuditEntry]) -> None:
    """Write entries in the transaction of what they are about."""
    _insert.execute_many(connection, entries)


async def page(
    connection: AsyncConnection,
    *,
    since: datetime | None,
    subject: str | None,
    action: str | None,
    offset: int,
    size: int,
) -> tuple[list[StoredEntry], int]:
    """Entries from a time on, of a subject, of an action; the newest first, and how many."""
    columns = audit_log.c
    wanted = [columns.at >= since] if since else []
    wanted += [columns.subject == subject] if subject else []
    wanted += [columns.action == action] if action else []
    total = await connection.scalar(select(func.count(columns.id)).where(*wanted))
    fields = [columns[name] for name in StoredEntry.__struct_fields__]
    query = select(*fields).where(*wanted).order_by(columns.id.desc()).offset(offset).limit(size)
    rows = (await connection.execute(query)).mappings()
    return [StoredEntry(**row) for row in rows], total or 0


class _Allowance:
    """A token bucket of one action, and the refusals that are only counted."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._filled_at = monotonic()
        self.counted: AuditEntry | None = None
        self.counted_since = 0.0

    def take(self) -> bool:
        now = monotonic()
        self._left = min(float(BURST), self._left + (now - self._filled_at) / SECONDS_EACH)
        self._filled_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def count(self, entry: AuditEntry) -> None:
        """The first one's time and outcome stand for all."""
        if self.counted is None:
            self.counted_since = monotonic()
        times = self.counted.times + 1 if self.counted else 1
        self.counted = msgspec.structs.replace(
            self.counted or entry,
            times=times,
            **dict.fromkeys(("subject", "client_address", "kind", "target"), None),
            **dict.fromkeys(("on_behalf_of", "code", "traceparent"), None),
            roles="",
        )


class AuditLog:
    """Writes what was refused or failed. One for each instance."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: list[AuditEntry] = []
        self._allowances: dict[str, _Allowance] = {}
        self._wanted = asyncio.Event()

    def add(self, entry: AuditEntry) -> None:
        """Write it within a second, or count it. Quick, and never waits."""
        allowance = self._allowances.setdefault(entry.action, _Allowance())
        if allowance.take():
            self._pending.append(entry)
        else:
            allowance.count(entry)
            metrics.audit_log_counted.inc()
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled. While the database is away, the entries wait, which are few."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(GATHER_SECONDS)
            with suppress(Outage):
                await self.flush(counted_before=monotonic() - COUNTED_SECONDS)
            if not (self._pending or any(each.counted for each in self._allowances.values())):
                self._wanted.clear()

    async def flush(self, *, counted_before: float) -> None:
        """Write what waits, with the counts that began by then. Raises Outage."""
        entries, self._pending = self._pending, []
        for each in self._allowances.values():
            if each.counted and each.counted_since <= counted_before:
                entries.append(each.counted)
                each.counted = None
        try:
            if entries:
                await self._database.run(partial(append, entries=entries))
        except Outage:
            self._pending = entries + self._pending
            raise

    async def close(self) -> None:
        """Write what is left."""
        with suppress(Outage):
            await self.flush(counted_before=monotonic())
