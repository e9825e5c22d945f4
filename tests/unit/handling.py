"""One message handled as the processor does it, and a check on the events that are emitted."""

from collections.abc import Sequence

from saga.envelope import event_id
from saga.errors import Refused
from saga.event import Event
from saga.reactions import Reactions
from saga.unit_of_work import UnitOfWork


def handle(reactions: Reactions, message: object, uow: UnitOfWork) -> tuple[Event, ...]:
    """Handle an event, or execute a command. Returns the events that are emitted.

    A command that is refused is rolled back and emits none.
    """
    try:
        if isinstance(message, Event):
            emitted = reactions.react(message, uow)
        else:
            emitted = reactions.execute(message, uow).events
    except Refused:
        uow.roll_back()
        return ()
    uow.release()
    return emitted


def is_distinct(emitted: Sequence[Event]) -> bool:
    """Was each event emitted once? An outbox has one row for each event id."""
    return len({event_id(event) for event in emitted}) == len(emitted)
