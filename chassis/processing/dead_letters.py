"""Messages that can't be handled, stored with the reason before they are acknowledged.

Only two things make a dead letter: a malformed message, and one on which the code keeps raising. A
refusal is an event, an outage is waited out: neither ever becomes one.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.ports import DeliveredMessage
from chassis.processing.messages import EventMessage
from chassis.storage.tables import dead_letters

MAX_ID = 2**63 - 1


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A dead letter and its reason. `body` is shown as text, whatever it is."""

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
    """A dead letter on its way through the mailbox once more.

    It counts as redriven by the transaction that handles it: after a crash it can be redriven
    again.
    """

    def __init__(self, row: RowMapping) -> None:
        self.letter_id: int = row["id"]
        self.stream: str = row["stream"]
        self.sequence: int = row["sequence"]
        self.subject: str = row["subject"]
        self.body: bytes = row["body"]
        self.headers: dict[str, str] = row["headers"]

    def ack(self) -> None:
        """The broker's message was acknowledged when the letter was stored."""

    async def in_progress(self) -> None:
        """The broker does not wait for it."""


def digest(delivery: DeliveredMessage) -> str:
    """Identifies a delivery, to store it once. A new stream counts from 1 again: hence the body."""
    subject = _storable(delivery.subject)  # as it will be when it is redriven
    place = f"{delivery.stream}/{delivery.sequence}/{subject}/".encode()
    return sha256(place + delivery.body).hexdigest()


def store(connection: Connection, dead_lettered: Sequence[EventMessage], now: datetime) -> None:
    """Store dead letters. One that is stored already gets its newest reason."""
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
    delivery, reason = message.delivery, message.dead_letter_reason
    assert reason is not None
    return {
        "digest": digest(delivery),
        "stream": delivery.stream,
        "sequence": delivery.sequence,
        "subject": _storable(delivery.subject),
        "headers": dict(delivery.headers or {}),
        "body": delivery.body,
        "reason": reason.code,
        "error": _storable(reason.error),
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


async def find(connection: AsyncConnection, letter_id: int) -> Redelivery | None:
    """A dead letter to be redriven."""
    if not 0 < letter_id <= MAX_ID:
        return None
    found = await connection.execute(select(dead_letters).where(dead_letters.c.id == letter_id))
    row = found.mappings().one_or_none()
    return Redelivery(row) if row else None


def mark_redriven(connection: Connection, letter_ids: Sequence[int], now: datetime) -> None:
    connection.execute(
        update(dead_letters).where(dead_letters.c.id.in_(letter_ids)).values(redriven_at=now)
    )


def _view(row: RowMapping) -> DeadLetter:
    fields = {name: row[name] for name in DeadLetter.__struct_fields__ if name != "body"}
    return DeadLetter(body=row["body"].decode(errors="replace"), **fields)
