"""Telling a service something, and what holds for whatever it says."""

from collections.abc import Sequence

from events.contract import Event
from saga.envelope import event_id
from saga.errors import Refused
from saga.reactions import Reactions
from saga.unit_of_work import WorkingSet


def tell(reactions: Reactions, message: object, at: WorkingSet) -> tuple[Event, ...]:
    """What the service says to an event or a command. A command that it refuses leaves no trace."""
    try:
        if isinstance(message, Event):
            said = reactions.react(message, at)
        else:
            said = reactions.carry_out(message, at).events
    except Refused:
        at.undo()
        return ()
    at.keep()
    return said


def is_distinct(said: Sequence[Event]) -> bool:
    """Was no word said twice? An outbox has room for each once."""
    return len({event_id(event) for event in said}) == len(said)
