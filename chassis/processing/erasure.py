"""Erases what the chassis keeps of a person: outbox rows and dead letters of personal streams."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, or_

from chassis.storage.tables import dead_letters, outbox
from saga.envelope import OutboundEvent
from saga.event import Contract


def erase(connection: Connection, contract: Contract, keys: Collection[str]) -> None:
    """Delete all rows that hold personal data of these keys, published or not."""
    streams = [stream for stream in contract.streams.values() if stream.is_personal]
    if not keys or not streams:
        return
    names = [stream.name for stream in streams]
    connection.execute(delete(outbox).where(outbox.c.key.in_(keys), outbox.c.stream.in_(names)))
    letters = (
        dead_letters.c.subject.startswith(f"{stream.prefix}.{key}.", autoescape=True)
        for stream in streams
        for key in keys
    )
    connection.execute(delete(dead_letters).where(or_(*letters)))


def without_erased(
    emitted: Iterable[OutboundEvent], contract: Contract, keys: Collection[str]
) -> tuple[OutboundEvent, ...]:
    """The events that hold no personal data of these keys."""
    return tuple(
        each
        for each in emitted
        if each.key not in keys or not contract.streams[each.stream].is_personal
    )
