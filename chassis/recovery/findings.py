"""What a recovery found: for operators, in tables of the service's own database."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.statements import Statement, inserting_new
from chassis.storage.tables import recoveries, recovery_findings

MAX_FINDINGS = 1000


class Kind(StrEnum):
    """SHORT: adopted, but the restored rows lack something for it. NOT_ADOPTED: no rule could.

    REFUSED: the service decided otherwise than what it has published. That is never published.
    """

    SHORT = "SHORT"
    NOT_ADOPTED = "NOT_ADOPTED"
    REFUSED = "REFUSED"


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`name` and `key` are those of the event, `what` is a sentence."""

    kind: Kind
    event_id: str
    name: str
    key: str
    what: str


class LastRecovery(msgspec.Struct, frozen=True, kw_only=True):
    """The last recovery. `adopted` events had been published after the backup."""

    began_at: datetime
    adopted: int
    released_at: datetime | None


_add = inserting_new(recovery_findings, (*Finding.__struct_fields__, "created_at"))
_last = select(func.max(recoveries.c.id)).scalar_subquery()
_open = recoveries.c.id == _last, recoveries.c.released_at.is_(None)
_count = Statement(
    update(recoveries).where(*_open).values(adopted=recoveries.c.adopted + bindparam("more"))
)


def is_open(connection: Connection) -> bool:
    """Has a recovery begun that is not released yet?"""
    return connection.execute(select(recoveries.c.id).where(*_open)).first() is not None


def begin(connection: Connection, now: datetime) -> None:
    """Begin a recovery, or go on with the one that is open."""
    if not is_open(connection):
        connection.execute(insert(recoveries).values(began_at=now, adopted=0))


def lock(connection: Connection) -> None:
    """Let one instance adopt at a time: an event that two adopted would be booked twice."""
    connection.execute(select(recoveries.c.id).where(*_open).with_for_update())


def release(connection: Connection, now: datetime) -> bool:
    """False: another instance has released it."""
    released = connection.execute(update(recoveries).where(*_open).values(released_at=now))
    return released.rowcount > 0


def add(
    connection: Connection, findings: Iterable[Finding], now: datetime, *, adopted: int = 0
) -> None:
    """Store what was found; the same finding once."""
    _add.execute_many(connection, findings, created_at=now)
    if adopted:
        _count.execute(connection, more=adopted)


async def last_recovery(connection: AsyncConnection) -> LastRecovery | None:
    columns = [recoveries.c[name] for name in LastRecovery.__struct_fields__]
    query = select(*columns).where(recoveries.c.id == _last)
    row = (await connection.execute(query)).mappings().first()
    return LastRecovery(**row) if row else None


async def listed(connection: AsyncConnection) -> list[Finding]:
    """The findings of all recoveries that are kept, the oldest first; at most MAX_FINDINGS."""
    columns = [recovery_findings.c[name] for name in Finding.__struct_fields__]
    query = select(*columns).order_by(recovery_findings.c.created_at, recovery_findings.c.event_id)
    rows = (await connection.execute(query.limit(MAX_FINDINGS))).mappings()
    return [Finding(**{**row, "kind": Kind(row["kind"])}) for row in rows]
