"""Messages that can't be worked on, stored with the reason before they are acknowledged.

Only two things make a dead letter: a message that nobody can read, and one on which our code keeps
raising. A refusal is an event, an outage is waited for: neither ever comes here.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.ports import DeliveredMessage
from chassis.processing.messages import DeadLetterReason, EventMessage
from chassis.storage.tables import dead_letters
from saga.errors import Outage

log = logging.getLogger(__name__)

MAX_ID = 2**63 - 1


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was set aside and why. `body` is shown as text, whatever it is."""

    id: int
    stream: str
    sequence: int
    subject: str
    headers: dict[str, str]
    body: str
    reason: str
    error: str
    created_at: datetime
    redriven_at: datetime | None


class Redelivery:
    """A dead letter that goes through the mailbox once more.

    Only when that is committed it counts as redriven (`note`): one that a crash cut short can be
    seen, and redriven again.
    """

    def __init__(self, row: RowMapping, note: Callable[[], Awaitable[None]]) -> None:
        self._note = note
        self.stream: str = row["stream"]
        self.sequence: int = row["sequence"]
        self.subject: str = row["subject"]
        self.body: bytes = row["body"]
        self.headers: dict[str, str] = row["headers"]

    async def ack(self) -> None:
        """The broker was told when the letter was stored."""
        try:
            await self._note()
        except Outage as outage:
            log.warning("a redrive could not be noted", extra={"error": str(outage)})

    async def in_progress(self) -> None:
        """Nothing to do: the broker does not wait for it."""


def digest(delivery: DeliveredMessage) -> str:
    """Names a delivery, to set it aside once. A new stream counts from 1 again: hence the body."""
    subject = _storable(delivery.subject)  # as it will be when it is redriven
    place = f"{delivery.stream}/{delivery.sequence}/{subject}/".encode()
    return sha256(place + delivery.body).hexdigest()


def store(connection: Connection, dead_lettered: Sequence[EventMessage], now: datetime) -> None:
    """Set messages aside. One that already is gets its reason anew."""
    rows = {digest(message.delivery): _row(message, now) for message in dead_lettered}
    known = select(dead_letters.c.digest).where(dead_letters.c.digest.in_(rows))
    for again in list(connection.scalars(known)):
        row = rows.pop(again)
        changes = {"reason": row["reason"], "error": row["error"]}
        connection.execute(
            update(dead_letters).where(dead_letters.c.digest == again).values(changes)
        )
    if rows:
        connection.execute(insert(dead_letters), list(rows.values()))


def _row(message: EventMessage, now: datetime) -> dict[str, Any]:
    delivery, dead_letter_reason = (
        message.delivery,
        message.dead_letter_reason or DeadLetterReason("UNKNOWN", ""),
    )
    return {
        "digest": digest(delivery),
        "stream": delivery.stream,
        "sequence": delivery.sequence,
        "subject": _storable(delivery.subject),
        "headers": dict(delivery.headers or {}),
        "body": delivery.body,
        "reason": dead_letter_reason.reason,
        "error": _storable(dead_letter_reason.error),
        "created_at": now,
    }


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL in a text."""
    return text.replace("\0", "\\0")


async def page(
    connection: AsyncConnection, *, offset: int, size: int
) -> tuple[list[DeadLetter], int]:
    """Dead letters, newest first, and how many there are."""
    newest = select(dead_letters).order_by(dead_letters.c.id.desc()).offset(offset).limit(size)
    rows = (await connection.execute(newest)).mappings()
    total = await connection.scalar(select(func.count()).select_from(dead_letters))
    return [_view(row) for row in rows], total or 0


async def find(connection: AsyncConnection, letter_id: int) -> RowMapping | None:
    if not 0 < letter_id <= MAX_ID:
        return None
    found = await connection.execute(select(dead_letters).where(dead_letters.c.id == letter_id))
    return found.mappings().one_or_none()


def mark_redriven(connection: Connection, letter_id: int, now: datetime) -> None:
    connection.execute(
        update(dead_letters).where(dead_letters.c.id == letter_id).values(redriven_at=now)
    )


def _view(row: RowMapping) -> DeadLetter:
    fields = {name: row[name] for name in DeadLetter.__struct_fields__ if name != "body"}
    return DeadLetter(body=row["body"].decode(errors="replace"), **fields)
