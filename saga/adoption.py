"""Rules by which a participant with a restored database adopts the events that it has published.

What a participant published after its backup stands in the stream, and others have acted on it. A
second decision could be another one: the restored rows may lack something. So the participant has a
rule for each event that it owns:

    adoptions = Adoptions(CONTRACT)

    @adoptions.rule
    def adopt_room(event: RoomHeld, uow: HotelUnitOfWork) -> str | None:
        '''The trip has its room.'''

A rule brings the rows to the state in which the event was published, even if a reaction would
refuse that today. It returns what the restored rows lack for it, in a sentence for operators, or
None. `uow.now` is the time of the event. A rule that needs the event which caused the decision
takes it as its third argument, `cause: Event | None`; None: the stream does not hold it any more.

Events are adopted in the order of the stream. After a loss of the broker's store that need not be
the order in which they were published: a rule that needs the rows of another event raises
CannotAdopt and is asked again after all others, and a rule whose event is older than what the rows
tell leaves them as they are.
"""

from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import msgspec

from saga.event import Contract, Event
from saga.hints import WrongHints, types_in

F = TypeVar("F", bound=Callable[..., str | None])


class CannotAdopt(Exception):
    """A rule can't bring the rows to the state in which an event was published, and why."""


class Rule(msgspec.Struct, frozen=True):
    """`needs_cause`: the function takes the causing event as its third argument."""

    function: Callable[..., str | None]
    needs_cause: bool


class Adoptions:
    """The rules of one participant, by the event that each adopts."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.rules: dict[type[Event], Rule] = {}

    def rule(self, function: F) -> F:
        """Register a rule. Raises WrongHints when its type hints are not those of one."""
        hints = get_type_hints(function)
        if hints.pop("return", None) != str | None or len(hints) not in (2, 3):
            raise WrongHints(f"{function.__name__}: a rule is (event, uow[, cause]) -> str | None")
        for event in types_in(next(iter(hints.values()))):
            if event not in self._contract:
                raise WrongHints(f"{function.__name__}: {event} is no event of the contract")
            if event in self.rules:
                raise WrongHints(f"{function.__name__}: a second rule for {event.__name__}")
            self.rules[event] = Rule(function, needs_cause=len(hints) == 3)
        return function

    def adopt(self, event: Event, uow: Any, cause: Event | None) -> str | None:
        """Bring the rows to the state in which this event was published.

        Returns what they lack for it. Raises CannotAdopt, and whatever the rule raises.
        """
        rule = self.rules.get(type(event))
        if rule is None:
            raise CannotAdopt(f"there is no rule for {type(event).__name__}")
        return rule.function(event, uow, cause) if rule.needs_cause else rule.function(event, uow)
