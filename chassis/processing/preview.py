"""What a redrive would do: the reaction, run on today's rows, of which nothing is kept."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from chassis.participant import Participant
from chassis.ports import DeliveredMessage
from chassis.processing.messages import EventMessage
from chassis.storage.tables import inbox
from saga.event import Event

Json = dict[str, Any]


class PreviewedEvent(msgspec.Struct, frozen=True, rename="camel"):
    """An event that would be published."""

    name: str
    key: str
    body: Json


class PreviewedChange(msgspec.Struct, frozen=True, rename="camel"):
    """A row that would be written, and what it is now; null for a new one."""

    rows: str
    before: Json | None
    after: Json


class Preview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a redrive would do.

    `summary` is a sentence for people. `calls` are the kinds of calls to external systems that
    would begin. `error`: why it would fail again.
    """

    summary: str
    events: list[PreviewedEvent] = []
    changes: list[PreviewedChange] = []
    calls: list[str] = []
    error: str | None = None


def nothing(why: str) -> Preview:
    """A redrive would have no effect."""
    return Preview(summary=f"would do nothing: {why}")


def failure(error: str) -> Preview:
    """A redrive would fail again."""
    return Preview(summary=f"would fail again: {error}", error=error)


def rehearse(
    participant: Participant[Any],
    delivery: DeliveredMessage,
    now: datetime,
    connection: Connection,
) -> Preview:
    """Load the rows and run the reaction, without saving. Raises what the code raises."""
    message = EventMessage(delivery, participant.reactions.contract)
    if message.dead_letter_reason is not None:
        return failure(message.dead_letter_reason.error)
    assert message.inbound is not None
    event, event_id = message.inbound.event, message.inbound.event_id
    if connection.scalar(select(inbox.c.event_id).where(inbox.c.event_id == event_id)):
        return nothing(f"{message.inbound.name} was handled already")
    uow = participant.load(connection, [event], now)
    emitted = participant.reactions.react(event, uow)
    changes = [
        PreviewedChange(change.rows, _json(change.before), _json(change.after) or {})
        for change in uow.open_changes
    ]
    calls = [type(call).__name__ for _, call in uow.external_calls.open_changes]
    events = [PreviewedEvent(type(e).__name__, e.key, msgspec.to_builtins(e)) for e in emitted]
    return Preview(
        summary=_summary(events, changes, calls) + _state(participant, event, connection),
        events=events,
        changes=changes,
        calls=calls,
    )


def _json(row: msgspec.Struct | None) -> Json | None:
    return None if row is None else msgspec.to_builtins(row)


def _summary(events: list[PreviewedEvent], changes: list[PreviewedChange], calls: list[str]) -> str:
    """One clause for each kind of effect: "would publish TripBooked and change trips"."""
    names = ", ".join(event.name for event in events) or "nothing"
    clauses = [f"would publish {names}"]
    if changes:
        clauses.append("change " + ", ".join(dict.fromkeys(change.rows for change in changes)))
    if calls:
        clauses.append("begin " + ", ".join(calls))
    return ", ".join(clauses[:-1]) + (" and " if clauses[1:] else "") + clauses[-1]


def _state(participant: Participant[Any], event: Event, connection: Connection) -> str:
    """The state of the event's saga at this participant; empty for an event of no saga."""
    rows, column = participant.saga_rows, participant.saga_key
    key = getattr(event, column.name, None)
    if key is None:
        return ""
    saga = column.name.removesuffix("_id")
    state = connection.scalar(select(rows.c.state).where(column == key))
    return f": the {saga} is {state or f'unknown to {participant.name}'}"
