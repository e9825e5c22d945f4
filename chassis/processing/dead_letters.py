"""Messages that can't be handled, stored with the reason before they are acknowledged.

Only two things make a dead letter: a malformed message, and one on which the code keeps raising. A
refusal is an event, an outage is waited out: neither ever becomes one.

    OPEN, FAILED_AGAIN -> REDRIVEN      a redrive has handled it
    OPEN, FAILED_AGAIN -> FAILED_AGAIN  a redrive has failed too
    OPEN, FAILED_AGAIN -> DISMISSED     an operator has given it up, with a reason

The transaction that handles the message writes the outcome of a redrive. REDRIVEN and DISMISSED are
final, whichever instance was first.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Update, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.actions import RequestedAction
from chassis.ports import DeliveredMessage
from chassis.processing.messages import EventMessage
from chassis.storage.tables import LETTERS_NOT_DONE, dead_letters, in_states

MAX_ID = 2**63 - 1


class LetterStatus(StrEnum):
    """What has become of a dead letter. REDRIVEN and DISMISSED are final."""

    OPEN = "OPEN"
    REDRIVEN = "REDRIVEN"
    FAILED_AGAIN = "FAILED_AGAIN"
    DISMISSED = "DISMISSED"

    @property
    def is_done(self) -> bool:
        """Nothing is left to do with it."""
        return self not in LETTERS_NOT_DONE


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A dead letter and its reason.

    `body` is shown as text, whatever it is. `attempts` counts redrives with a known outcome,
    `redriven_at` is the last of them. `reason` and `error` are those of the last failure.
    """

    id: int
    status: LetterStatus
    stream: str
    sequence: int
    subject: str
    headers: dict[str, str]
    body: str
    reason: str
    error: str
    attempts: int
    created_at: datetime
    redriven_at: datetime | None
    dismissed_at: datetime | None
    dismiss_reason: str | None


class Redelivery:
    """A dead letter on its way through the mailbox once more.

    The transaction that handles it writes its outcome, so after a crash it can be redriven again.
    `is_settled` is set once that is committed. `action`: of the request that redrives it.
    """

    def __init__(self, row: RowMapping, action: RequestedAction | None = None) -> None:
        self.action = action
        self.letter_id: int = row["id"]
        self.stream: str = row["stream"]
        self.sequence: int = row["sequence"]
        self.subject: str = row["subject"]
        self.body: bytes = row["body"]
        self.headers: dict[str, str] = row["headers"]
        self.is_settled = asyncio.Event()

    def ack(self) -> None:
        """The broker's message was acknowledged when the letter was stored."""
        self.is_settled.set()

    async def in_progress(self) -> None:
        """The broker does not wait for it."""


def digest(delivery: DeliveredMessage) -> str:
    """Identifies a delivery, to store it once. A new stream counts from 1 again: hence the body."""
    place = f"{delivery.stream}/{delivery.sequence}/{_storable(delivery.subject)}/".encode()
    return sha256(place + delivery.body).hexdigest()


def store(connection: Connection, dead_lettered: Sequence[EventMessage], now: datetime) -> None:
    """Store dead letters. One that is stored already gets its newest reason.

    A redriven one has failed again, if it was not done meanwhile.
    """
    letters = {m.delivery.letter_id: m for m in dead_lettered if m.delivery.letter_id is not None}
    for letter_id, message in letters.items():
        again = _attempted(letter_id, LetterStatus.FAILED_AGAIN, now)
        connection.execute(again.values(_reason(message)))
    _store_new(connection, [m for m in dead_lettered if m.delivery.letter_id is None], now)


def _store_new(connection: Connection, delivered: Sequence[EventMessage], now: datetime) -> None:
    messages = {digest(message.delivery): message for message in delivered}
    known = select(dead_letters.c.digest).where(dead_letters.c.digest.in_(messages))
    for again in list(connection.scalars(known)):
        newest = update(dead_letters).where(dead_letters.c.digest == again)
        connection.execute(newest.values(_reason(messages.pop(again))))
    if messages:
        rows = [{"digest": key, **_row(each, now)} for key, each in messages.items()]
        connection.execute(insert(dead_letters), rows)


def _row(message: EventMessage, now: datetime) -> dict[str, Any]:
    delivery = message.delivery
    return {
        "stream": delivery.stream,
        "sequence": delivery.sequence,
        "subject": _storable(delivery.subject),
        "headers": dict(delivery.headers or {}),
        "body": delivery.body,
        "created_at": now,
        **_reason(message),
    }


def _reason(message: EventMessage) -> dict[str, str]:
    reason = message.dead_letter_reason
    assert reason is not None
    return {"reason": reason.code, "error": _storable(reason.error)}


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL in a text."""
    return text.replace("\0", "\\0")


_not_done = in_states(dead_letters, LETTERS_NOT_DONE)


def lock_not_done(connection: Connection, letter_ids: Iterable[int | None]) -> set[int]:
    """Those of the letters that are not done, locked until the transaction ends."""
    wanted = {each for each in letter_ids if each is not None}
    if not wanted:
        return set()
    query = select(dead_letters.c.id).where(dead_letters.c.id.in_(wanted), _not_done)
    return set(connection.scalars(query.order_by(dead_letters.c.id).with_for_update()))


def mark_redriven(connection: Connection, letter_ids: Sequence[int], now: datetime) -> None:
    for letter_id in letter_ids:
        connection.execute(_attempted(letter_id, LetterStatus.REDRIVEN, now))


def _attempted(letter_id: int, status: LetterStatus, now: datetime) -> Update:
    """The outcome of a redrive; it changes no letter that is done."""
    return (
        update(dead_letters)
        .where(dead_letters.c.id == letter_id, _not_done)
        .values(state=status, attempts=dead_letters.c.attempts + 1, redriven_at=now)
    )


def dismiss(connection: Connection, letter_id: int, reason: str, now: datetime) -> bool:
    """Give a letter up, if it is not done. False: it was done."""
    dismissed = connection.execute(
        update(dead_letters)
        .where(dead_letters.c.id == letter_id, _not_done)
        .values(state=LetterStatus.DISMISSED, dismissed_at=now, dismiss_reason=reason)
    )
    return dismissed.rowcount > 0


async def page(
    connection: AsyncConnection, *, offset: int, size: int
) -> tuple[list[DeadLetter], int]:
    """Dead letters, newest first, and how many there are."""
    newest = select(dead_letters).order_by(dead_letters.c.id.desc()).offset(offset).limit(size)
    rows = (await connection.execute(newest)).mappings()
    total = await connection.scalar(select(func.count()).select_from(dead_letters))
    return [view(row) for row in rows], total or 0


async def count_not_done(connection: AsyncConnection) -> int:
    """How many letters wait for an operator."""
    query = select(func.count()).select_from(dead_letters).where(_not_done)
    return await connection.scalar(query) or 0


async def find(connection: AsyncConnection, letter_id: int) -> RowMapping | None:
    """The row of a dead letter."""
    if not 0 < letter_id <= MAX_ID:
        return None
    found = await connection.execute(select(dead_letters).where(dead_letters.c.id == letter_id))
    return found.mappings().one_or_none()


def view(row: RowMapping) -> DeadLetter:
    """A dead letter as operators see it."""
    changed = {"body": row["body"].decode(errors="replace"), "status": LetterStatus(row["state"])}
    names = (name for name in DeadLetter.__struct_fields__ if name not in changed)
    return DeadLetter(**changed, **{name: row[name] for name in names})
