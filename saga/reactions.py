"""The registry of a participant: what it does when it handles an event.

A reaction is a plain function whose type hints are the flow:

    reactions = Reactions("hotel", CONTRACT)

    @reactions.on
    def hold_room(event: SeatHeld, uow: HotelUnitOfWork) -> RoomHeld | RoomRefused:
        '''Hold a room for this trip, or refuse it.'''

declares that the hotel service handles SeatHeld and may emit RoomHeld or RoomRefused. The second
argument is the participant's unit of work: the rows that the current batch needs, loaded before the
reaction runs and saved after it. A reaction is synchronous and pure: no clock, no I/O.

Events about other sagas than the handled one are marked, `OfOthers[RoomHeld]`: a room that one trip
releases may serve another trip that waits for one. Such an event begins the other trip's next step
and is no answer to this one's.

A command is what a client asks for over HTTP. It returns a result for the client, or refuses by
raising; when it also emits events, its hint is `Result[TheResult, TheEvents]`.
"""

from collections.abc import Callable, Collection, Iterable
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from saga.adoption import Adoptions
from saga.event import Contract, Event, Stream
from saga.hints import OfOthers, WrongHints, flattened, types_in

V_co = TypeVar("V_co", covariant=True)
E_co = TypeVar("E_co", bound=Event, covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["OfOthers", "Reaction", "Reactions", "Result", "UndeclaredEvent", "WrongHints"]


class Result(Generic[V_co, E_co]):
    """What a command returns to its caller, together with the events that it emits.

    `cause_id` is the id of the event that they follow from, where the command brings the outcome of
    an external call that a reaction began.
    """

    __slots__ = ("cause_id", "events", "value")

    def __init__(self, value: V_co, *events: E_co, cause_id: str | None = None) -> None:
        self.value = value
        self.events = events
        self.cause_id = cause_id


class UndeclaredEvent(RuntimeError):
    """A reaction emitted an event that its hints do not declare."""


class Reaction(msgspec.Struct, frozen=True):
    """Edges of the flow: `function` handles `handles` and may emit `emits`.

    `emits_of_others` are the events that it may emit about other sagas. `result` is the type of a
    command's result.
    """

    function: Callable[..., Any]
    handles: type
    emits: frozenset[type[Event]]
    emits_of_others: frozenset[type[Event]] = frozenset()
    compensates: bool = False
    result: Any = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def purpose(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


class Reactions:
    """All reactions and commands of one participant. `contract` names the events there are.

    `adoptions` are its rules for a restored database. `follows`: streams whose events it shows to
    clients as they pass, reactions or not. `erases`: streams with personal data from which it
    removes all of a person.
    """

    def __init__(
        self,
        service: str,
        contract: Contract,
        adoptions: Adoptions | None = None,
        *,
        follows: Collection[Stream] = (),
        erases: Collection[Stream] = (),
    ) -> None:
        self.service = service
        self.contract = contract
        self.adoptions = adoptions or Adoptions(contract)
        self.follows = frozenset(follows)
        self.erases = _distinct(erases)
        self.reactions: dict[type[Event], Reaction] = {}
        self.commands: dict[type, Reaction] = {}

    def on(self, function: F) -> F:
        """Register a step forward. The function itself is returned as it is."""
        return self._register(function, compensates=False)

    def compensation(self, function: F) -> F:
        """Register a reaction that undoes what the participant did for the saga."""
        return self._register(function, compensates=True)

    def command(self, function: F) -> F:
        """Register what a client may ask for."""
        handled, returned = _hints(function)
        result, emitted = returned, NoneType
        if get_origin(returned) is Result:
            result, emitted = get_args(returned)
        for command in types_in(handled):
            if command in self.commands:
                raise WrongHints(f"{self.service}: two functions for the command {command}")
            self.commands[command] = Reaction(
                function, command, *self._declared(function, emitted), result=result
            )
        return function

    @property
    def handles(self) -> frozenset[type[Event]]:
        return frozenset(self.reactions)

    @property
    def emits(self) -> frozenset[type[Event]]:
        everything = [*self.reactions.values(), *self.commands.values()]
        return frozenset(
            event for reaction in everything for event in reaction.emits | reaction.emits_of_others
        )

    @property
    def streams(self) -> list[Stream]:
        """The streams that it publishes to or consumes from."""
        return _distinct(event.stream for event in self.emits | self.handles)

    @property
    def consumed_streams(self) -> list[Stream]:
        return _distinct(event.stream for event in self.handles)

    @property
    def published_streams(self) -> list[Stream]:
        return _distinct(event.stream for event in self.emits)

    def result_type(self, command: object) -> Any:
        """The type of this command's result, to decode a stored one."""
        return self.commands[type(command)].result

    def react(self, event: Event, uow: Any) -> tuple[Event, ...]:
        """Handle an event. Returns the events that the participant emits.

        Raises UndeclaredEvent, and whatever the reaction raises.
        """
        reaction = self.reactions[type(event)]
        emitted = reaction.function(event, uow)
        if emitted is None:
            return ()
        events = (emitted,) if isinstance(emitted, Event) else tuple(emitted)
        for each in events:
            _check_declared(reaction, each, of_others=each.key != event.key)
        return events

    def execute(self, command: object, uow: Any) -> Result[Any, Event]:
        """Execute a command. Returns its result, with the events that it emits.

        Raises UndeclaredEvent, and whatever the command raises.
        """
        reaction = self.commands[type(command)]
        returned = reaction.function(command, uow)
        result = returned if isinstance(returned, Result) else Result(returned)
        for each in result.events:
            _check_declared(reaction, each, of_others=type(each) in reaction.emits_of_others)
        return result

    def _register(self, function: F, *, compensates: bool) -> F:
        handled, returned = _hints(function)
        for event in self._events(function, types_in(handled)):
            if event in self.reactions:
                raise WrongHints(f"{self.service}: two reactions to {event.__name__}")
            self.reactions[event] = Reaction(
                function, event, *self._declared(function, returned), compensates
            )
        return function

    def _declared(
        self, function: Callable[..., Any], hint: Any
    ) -> tuple[frozenset[type[Event]], frozenset[type[Event]]]:
        """The events in a hint about the handled saga, and those about others."""
        members = list(flattened(hint))
        own = self._events(function, (member for member, of_others in members if not of_others))
        others = self._events(function, (member for member, of_others in members if of_others))
        return frozenset(own), frozenset(others)

    def _events(
        self, function: Callable[..., Any], members: Iterable[Any]
    ) -> tuple[type[Event], ...]:
        found = tuple(members)
        for member in found:
            if member not in self.contract:
                raise WrongHints(f"{function.__name__}: {member} is no event of the contract")
        return found


def _check_declared(reaction: Reaction, event: Event, *, of_others: bool) -> None:
    """Raises UndeclaredEvent for an event that the hints do not declare for this saga."""
    declared = reaction.emits_of_others if of_others else reaction.emits
    if type(event) not in declared:
        raise UndeclaredEvent(
            f"{reaction.name} emitted {type(event).__name__} without declaring it"
        )


def _hints(function: Callable[..., Any]) -> tuple[Any, Any]:
    hints = get_type_hints(function, include_extras=True)
    if "return" not in hints or len(hints) != 3:
        raise WrongHints(f"{function.__name__}: both arguments and the return need a type hint")
    first, _, returned = hints.values()
    return first, returned


def _distinct(streams: Iterable[Stream]) -> list[Stream]:
    return sorted(set(streams), key=lambda stream: stream.name)
