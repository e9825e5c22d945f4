"""Telling a service something, and what holds for whatever it says."""

from collections.abc import Sequence

from saga.envelope import event_id
from saga.errors import Refused
from saga.event import Event
from saga.reactions import Reactions
from saga.unit_of_work import UnitOfWork


def tell(reactions: Reactions, message: object, at: UnitOfWork) -> tuple[Event, ...]:
    """What the service says to an event or a command. A command that it refuses leaves no trace."""
    try:
        if isinstance(message, Event):
            emitted = reactions.react(message, at)
        else:
            emitted = reactions.execute(message, at).events
    except Refused:
        at.roll_back()
        return ()
    at.release()
    return emitted


def is_distinct(emitted: Sequence[Event]) -> bool:
    """Was no word said twice? An outbox has room for each once."""
    return len({event_id(event) for event in emitted}) == len(emitted)
