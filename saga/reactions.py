"""The registry in which a service writes down what it does when it hears an event.

A reaction is a plain function whose type hints are the flow:

    reactions = Reactions("coupon")

    @reactions.on
    def use_coupon(event: OrderCreated, coupons: Coupons) -> CouponUsed | CouponRejected:
        '''Spend the coupon on this order, or refuse it.'''

says that the coupon service hears OrderCreated and may say CouponUsed or CouponRejected. The second
argument is the service's *working set*: the rows that the current batch needs, loaded beforehand
and saved afterwards by somebody else. A reaction is synchronous and pure: no clock, no I/O.

What it may say of other orders than the one it heard of is marked, `OfOthers[StockDecremented]`:
stock that one order gives back may serve another that waits for it. Such an event begins another
order's next step and is no answer to this one's.

A command is what a client asks for over HTTP. It has an answer for the client, or refuses by
raising; when it also says events, its hint is `Answer[TheAnswer, TheEvents]`.
"""

from collections.abc import Callable, Collection, Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from events.contract import EVENTS, Event

V_co = TypeVar("V_co", covariant=True)
E_co = TypeVar("E_co", bound=Event, covariant=True)
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., Any])

_OF_OTHERS = "of other orders"
OfOthers = Annotated[E, _OF_OTHERS]
"""An event, in a hint, that is said of other orders than the one that was heard of."""


class Result(Generic[V_co, E_co]):
    """What a command tells its caller, together with the events that it says.

    `cause_id` is the id of the event that they follow from, where a command brings an answer that
    was long in coming.
    """

    __slots__ = ("cause_id", "events", "value")

    def __init__(self, value: V_co, *events: E_co, cause_id: str | None = None) -> None:
        self.value = value
        self.events = events
        self.cause_id = cause_id


class WrongHints(TypeError):
    """A reaction whose type hints do not say what it hears and says. Raised at import."""


class UndeclaredEvent(RuntimeError):
    """A reaction said an event that its hints do not allow."""


class Reaction(msgspec.Struct, frozen=True):
    """One edge bundle of the flow: `function` hears `handles` and may say `emits`.

    `emits_of_others` is what it may say of other orders than the one that it hears of.
    """

    function: Callable[..., Any]
    handles: type
    emits: frozenset[type[Event]]
    emits_of_others: frozenset[type[Event]] = frozenset()
    compensates: bool = False
    answer: Any = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def purpose(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


class Reactions:
    """All reactions and commands of one service.

    `follows`: streams of which it shows clients every event as it goes by, also those that it does
    not react to.
    """

    def __init__(self, service: str, *, follows: Collection[str] = ()) -> None:
        self.service = service
        self.follows = frozenset(follows)
        self.reactions: dict[type[Event], Reaction] = {}
        self.commands: dict[type, Reaction] = {}

    def on(self, function: F) -> F:
        """Register a step forward. The function itself is returned as it is."""
        return self._hear(function, compensates=False)

    def compensation(self, function: F) -> F:
        """Register a reaction that undoes what the service has done for the order."""
        return self._hear(function, compensates=True)

    def command(self, function: F) -> F:
        """Register what a client may ask for."""
        handled, returned = _hints(function)
        answer, emitted = returned, NoneType
        if get_origin(returned) is Result:
            answer, emitted = get_args(returned)
        for command in _members(handled):
            if command in self.commands:
                raise WrongHints(f"{self.service}: two functions for the command {command}")
            self.commands[command] = Reaction(
                function, command, *_emitted(function, emitted), answer=answer
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

    def result_type(self, command: object) -> Any:
        """What a command of this kind is answered with, to decode a stored answer."""
        return self.commands[type(command)].answer

    def react(self, event: Event, uow: Any) -> tuple[Event, ...]:
        """What the service says to an event. Raises Undeclared, and whatever a reaction raises."""
        reaction = self.reactions[type(event)]
        emitted = reaction.function(event, uow)
        if emitted is None:
            return ()
        events = (emitted,) if isinstance(emitted, Event) else tuple(emitted)
        for each in events:
            _check_declared(reaction, each, of_others=each.key != event.key)
        return events

    def execute(self, command: object, uow: Any) -> Result[Any, Event]:
        """The answer to a command and what the service says with it."""
        reaction = self.commands[type(command)]
        result = reaction.function(command, uow)
        answer = result if isinstance(result, Result) else Result(result)
        for each in answer.events:
            _check_declared(reaction, each, of_others=type(each) in reaction.emits_of_others)
        return answer

    def _hear(self, function: F, *, compensates: bool) -> F:
        handled, returned = _hints(function)
        for event in _events(function, _members(handled)):
            if event in self.reactions:
                raise WrongHints(f"{self.service}: two reactions to {event.__name__}")
            self.reactions[event] = Reaction(
                function, event, *_emitted(function, returned), compensates
            )
        return function


def _check_declared(reaction: Reaction, event: Event, *, of_others: bool) -> None:
    """Raises Undeclared for what its hints do not allow, or allow of other orders alone."""
    declared = reaction.emits_of_others if of_others else reaction.emits
    if type(event) not in declared:
        raise UndeclaredEvent(f"{reaction.name} said {type(event).__name__} without declaring it")


def _hints(function: Callable[..., Any]) -> tuple[Any, Any]:
    hints = get_type_hints(function, include_extras=True)
    if "return" not in hints or len(hints) != 3:
        raise WrongHints(f"{function.__name__}: both arguments and the return need a type hint")
    first, _, returned = hints.values()
    return first, returned


def _emitted(
    function: Callable[..., Any], hint: Any
) -> tuple[frozenset[type[Event]], frozenset[type[Event]]]:
    """What a hint says of the order that was heard of, and what of others."""
    members = list(_opened(hint))
    own = _events(function, (member for member, of_others in members if not of_others))
    others = _events(function, (member for member, of_others in members if of_others))
    return frozenset(own), frozenset(others)


def _members(hint: Any) -> Iterable[Any]:
    return (member for member, _ in _opened(hint))


def _opened(hint: Any, *, of_others: bool = False) -> Iterable[tuple[Any, bool]]:
    """The types in a hint, and whether each is marked `OfOthers`.

    Unions and sequences are opened, None is left out.
    """
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *marks = get_args(hint)
        yield from _opened(inner, of_others=of_others or _OF_OTHERS in marks)
    elif origin in (Union, UnionType) or origin in (list, tuple):
        for argument in get_args(hint):
            if argument is not Ellipsis:
                yield from _opened(argument, of_others=of_others)
    elif hint is not NoneType and hint is not None:
        yield hint, of_others


def _events(function: Callable[..., Any], members: Iterable[Any]) -> tuple[type[Event], ...]:
    found = tuple(members)
    for member in found:
        if EVENTS.get(getattr(member, "__name__", "")) is not member:
            raise WrongHints(f"{function.__name__}: {member} is no event of events/contract.py")
    return found
