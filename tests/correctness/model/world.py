"""All that may happen in a scenario, as states and steps.

A state is a handful of small numbers: each service's local state, the deliveries under way as bits,
the external world, and what is left of the scenario's bounds. A message may be delivered in any
order and more than once; a loss takes all that is under way.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from importlib import import_module
from typing import Any, Generic, TypeVar

import msgspec

from saga.event import Event, Stream
from saga.reactions import Reactions
from tests.correctness.model.description import (
    ExternalWorld,
    Local,
    Model,
    Move,
    Registries,
    Scenario,
    short,
)
from tests.correctness.model.stepping import Service, Step

H = TypeVar("H", bound=Hashable)
State = tuple[int, ...]
"""Local states in the order of the services, then the deliveries' bits, the external world, and
the bounds."""

FLIGHT, EXTERNAL, BOUNDS = -3, -2, -1

Edge = tuple[str, str, str]
"""An event, the service that handles it, and an event that the service emits on that.

A reaction that never emits an event is an edge to NOTHING.
"""

NOTHING = "nothing"


class Delivery(msgspec.Struct, frozen=True):
    """An event on its way to the service of this number."""

    consumer: int
    event: Event
    is_retransmission: bool


class Bounds(msgspec.Struct, frozen=True):
    """How often what may still happen. `may_republish` are the services that noticed a loss.

    `backup` is the number of the local state that the scenario's `restored` service may be restored
    to; None before it is made. `may_restore`: it is not restored yet.
    """

    losses: int
    duplicates: int
    clients: tuple[tuple[str, int], ...]
    may_republish: tuple[int, ...] = ()
    may_restore: bool = False
    backup: int | None = None

    def without_duplicate(self) -> "Bounds":
        return msgspec.structs.replace(self, duplicates=self.duplicates - 1)

    def without(self, name: str) -> "Bounds":
        clients = tuple((each, left - (each == name)) for each, left in self.clients)
        return msgspec.structs.replace(self, clients=clients)


class Wrong(Exception):
    """A step of a service that breaks an invariant."""


class Interned(Generic[H]):
    """Values as small numbers."""

    def __init__(self) -> None:
        self.values: list[H] = []
        self._numbers: dict[H, int] = {}

    def number(self, value: H) -> int:
        known = self._numbers.get(value)
        if known is None:
            known = self._numbers[value] = len(self.values)
            self.values.append(value)
        return known


def production(model: Model) -> dict[str, Reactions]:
    """The registries that run in the services."""
    return {name: import_module(f"{name}.reactions").reactions for name in model.services}


def all_edges(registries: Iterable[Reactions]) -> frozenset[Edge]:
    """All edges of a choreography between two events, by the type hints."""
    return frozenset(
        (handled.__name__, registry.service, emitted.__name__)
        for registry in registries
        for handled, reaction in registry.reactions.items()
        for emitted in reaction.emits
    )


def edges_within(registries: Iterable[Reactions], streams: Collection[Stream]) -> frozenset[Edge]:
    """All edges of a choreography between events of these streams, and those to NOTHING."""
    return frozenset(
        (handled.__name__, registry.service, emitted.__name__ if emitted else NOTHING)
        for registry in registries
        for handled, reaction in registry.reactions.items()
        for emitted in reaction.emits or (() if reaction.emits_of_others else (None,))
        if handled.stream in streams and (emitted is None or emitted.stream in streams)
    )


def _about(event: Event) -> str:
    """What an event is about, in words: `order 1`."""
    return f"{event.stream.key.removesuffix('Id')} {short(event.key)}"


class World:
    """All that may happen in a scenario, step by step.

    `retransmits` and `answers` can be taken away, to see that they are needed.
    """

    def __init__(
        self,
        model: Model,
        scenario: Scenario,
        registries: Registries | None = None,
        *,
        retransmits: bool = True,
        answers: bool = True,
    ) -> None:
        known = registries or production(model)
        self.scenario = scenario
        self.edges: set[Edge] = set()
        self._model = model
        self._retransmits = retransmits
        self._answers = answers
        self._names = list(model.services)
        self._services = [
            Service(known[name], each, model.streams) for name, each in model.services.items()
        ]
        self._consumers = {
            event: [i for i, name in enumerate(self._names) if event in known[name].handles]
            for registry in known.values()
            for event in registry.emits
        }
        self._locals = [Interned[Local]() for _ in self._names]
        self._deliveries = Interned[Delivery]()
        self._worlds = Interned[ExternalWorld]()
        self._bounds = Interned[Bounds]()
        self._retransmissions = 0
        self._memory: dict[Any, Any] = {}

    def beginning(self) -> State:
        scenario = self.scenario
        locals_ = scenario.beginning()
        bounds = Bounds(
            scenario.losses,
            scenario.duplicates,
            tuple(scenario.bounds.items()),
            may_restore=scenario.restored is not None,
        )
        flight = 0
        for local in locals_.values():
            flight |= self._under_way(local.outbox, is_retransmission=False)
        return (
            *(self._locals[i].number(locals_[name]) for i, name in enumerate(self._names)),
            flight,
            self._worlds.number(scenario.external_world()),
            self._bounds.number(bounds),
        )

    def following(self, state: State) -> Iterator[tuple[str | int, State]]:
        """Every state that may come next, labelled by words or by a delivery's number."""
        yield from self._delivering(state)
        yield from self._retransmitting(state)
        yield from self._commands(state)
        yield from self._external(state)
        yield from self._losses(state)
        yield from self._restores(state)

    def wrong_at_rest(self, state: State) -> list[str] | None:
        """None while something is under way; else what does not hold."""
        if state[FLIGHT]:
            return None
        key = ("rest", state[:FLIGHT], state[EXTERNAL])
        known: list[str] | None = self._remember(key, lambda: self._wrong_at_rest(state))
        return known

    def words(self, label: str | int) -> str:
        if isinstance(label, str):
            return label
        delivery = self._deliveries.values[label]
        again = " (retransmitted)" if delivery.is_retransmission else ""
        name = type(delivery.event).__name__
        about = _about(delivery.event)
        return f"{self._names[delivery.consumer]} handles {name} of {about}{again}"

    # ------------------------------------------------------------ what may happen

    def _delivering(self, state: State) -> Iterator[tuple[str | int, State]]:
        flight, bounds = state[FLIGHT], self._bounds.values[state[BOUNDS]]
        waiting = flight
        while waiting:
            bit = waiting & -waiting
            waiting ^= bit
            number = bit.bit_length() - 1
            consumer = self._deliveries.values[number].consumer
            local, adds, calls = self._delivered(consumer, state[consumer], number)
            world = self._asked(state[EXTERNAL], calls)
            yield number, self._moved(state, consumer, local, (flight ^ bit) | adds, world)
            if bounds.duplicates:
                again = self._moved(state, consumer, local, flight | adds, world)
                yield number, self._bounded(again, bounds.without_duplicate())

    def _delivered(self, consumer: int, local: int, number: int) -> tuple[int, int, Any]:
        def work() -> tuple[int, int, Any]:
            delivery = self._deliveries.values[number]
            service, before = self._services[consumer], self._locals[consumer].values[local]
            step = service.handle(before, delivery.event)
            self._check(consumer, before, step)
            adds = self._under_way(step.emitted, is_retransmission=False)
            if delivery.is_retransmission and self._answers and not step.emitted:
                answers = service.answers_to(step.local, delivery.event)
                adds |= self._under_way(answers, is_retransmission=True)
                self._walk(delivery, answers)
            self._walk(delivery, step.emitted)
            return self._locals[consumer].number(step.local), adds, step.external_calls

        known: tuple[int, int, Any] = self._remember((consumer, local, number), work)
        return known

    def _walk(self, delivery: Delivery, emitted: tuple[Event, ...]) -> None:
        handled, consumer = type(delivery.event).__name__, self._names[delivery.consumer]
        self.edges.update((handled, consumer, type(event).__name__) for event in emitted)
        reaction = self._services[delivery.consumer].registry.reactions[type(delivery.event)]
        if not (reaction.emits or reaction.emits_of_others):
            self.edges.add((handled, consumer, NOTHING))

    def _retransmitting(self, state: State) -> Iterator[tuple[str | int, State]]:
        """One retransmission at a time: the next one begins when it has come to rest."""
        bounds = self._bounds.values[state[BOUNDS]]
        if not self._retransmits or state[FLIGHT] & self._retransmissions:
            return
        if not self.scenario.retransmits and bounds.losses == self.scenario.losses:
            return
        for i, name in enumerate(self._names):
            for about, event in self._last_events(i, state[i]):
                words = f"{name} retransmits about {about}"
                yield words, _with(state, FLIGHT, state[FLIGHT] | event)

    def _last_events(self, service: int, number: int) -> list[tuple[str, int]]:
        def work() -> list[tuple[str, int]]:
            local = self._locals[service].values[number]
            found = []
            for key in self._model.services[self._names[service]].waiting(local):
                event = self._services[service].last_event(local, key)
                if event is not None:
                    bits = self._under_way((event,), is_retransmission=True)
                    found.append((_about(event), bits))
            return found

        known: list[tuple[str, int]] = self._remember(("last", service, number), work)
        return known

    def _commands(self, state: State) -> Iterator[tuple[str | int, State]]:
        bounds = self._bounds.values[state[BOUNDS]]
        for i in range(len(self._names)):
            for move in self._moves(i, state[i], bounds.clients):
                after = self._executed(state, i, move.command)
                if move.spends is not None:
                    after = self._bounded(after, bounds.without(move.spends))
                if after != state:
                    yield move.words, after

    def _moves(self, service: int, number: int, clients: tuple[tuple[str, int], ...]) -> list[Move]:
        def work() -> list[Move]:
            local = self._locals[service].values[number]
            return list(self.scenario.commands(self._names[service], local, dict(clients)))

        known: list[Move] = self._remember(("commands", service, number, clients), work)
        return known

    def _external(self, state: State) -> Iterator[tuple[str | int, State]]:
        world = self._worlds.values[state[EXTERNAL]]
        bounds = self._bounds.values[state[BOUNDS]]
        for words, number in self._external_moves(state[EXTERNAL]):
            yield words, _with(state, EXTERNAL, number)
        for answer in world.answers:
            service = self._names.index(answer.service)
            rest = _with(state, EXTERNAL, self._worlds.number(world.without(answer)))
            yield answer.words, self._executed(rest, service, answer.command)
            if bounds.duplicates:
                again = self._bounded(state, bounds.without_duplicate())
                yield answer.words, self._executed(again, service, answer.command)

    def _external_moves(self, number: int) -> list[tuple[str, int]]:
        def work() -> list[tuple[str, int]]:
            world = self._worlds.values[number]
            return [(words, self._worlds.number(after)) for words, after in world.moves()]

        known: list[tuple[str, int]] = self._remember(("external", number), work)
        return known

    def _losses(self, state: State) -> Iterator[tuple[str | int, State]]:
        bounds = self._bounds.values[state[BOUNDS]]
        replace = msgspec.structs.replace
        if bounds.losses and state[FLIGHT]:
            noticed = tuple(range(len(self._names))) if self.scenario.republishes else ()
            fewer = replace(bounds, losses=bounds.losses - 1, may_republish=noticed)
            yield "the broker loses everything", self._bounded(_with(state, FLIGHT, 0), fewer)
        for i in bounds.may_republish:
            rest = tuple(each for each in bounds.may_republish if each != i)
            outbox = self._locals[i].values[state[i]].outbox
            all_emitted = self._under_way(outbox, is_retransmission=False)
            after = _with(state, FLIGHT, state[FLIGHT] | all_emitted)
            words = f"{self._names[i]} publishes all again"
            yield words, self._bounded(after, replace(bounds, may_republish=rest))

    def _restores(self, state: State) -> Iterator[tuple[str | int, State]]:
        """A service is backed up, then loses its database and recovers from the backup."""
        bounds, replace = self._bounds.values[state[BOUNDS]], msgspec.structs.replace
        name = self.scenario.restored
        if name is None or not bounds.may_restore:
            return
        service = self._names.index(name)
        if bounds.backup is None:
            backed_up = replace(bounds, backup=state[service])
            yield f"{name} is backed up", self._bounded(state, backed_up)
            return
        if bounds.backup != state[service]:
            spent = replace(bounds, may_restore=False, backup=None)
            yield (
                f"{name} is restored",
                self._bounded(self._recovered(state, service, bounds.backup), spent),
            )

    def _recovered(self, state: State, service: int, backup: int) -> State:
        """It adopts its own events; those of others that the backup lacks are delivered again."""
        locals_ = [self._locals[i].values[state[i]] for i in range(len(self._names))]
        published = [event for local in locals_ for event in local.outbox]
        restored = self._services[service].adopt(
            self._locals[service].values[backup], locals_[service].outbox, published
        )
        self._check_local(service, restored)
        replayed = 0
        for event in published:
            if service in self._consumers.get(type(event), ()):
                number = self._deliveries.number(Delivery(service, event, is_retransmission=False))
                replayed |= 1 << number
        number = self._locals[service].number(restored)
        return self._moved(state, service, number, state[FLIGHT] | replayed, state[EXTERNAL])

    # ------------------------------------------------------------ how a state changes

    def _executed(self, state: State, service: int, command: object) -> State:
        def work() -> tuple[int, int, Any]:
            before = self._locals[service].values[state[service]]
            step = self._services[service].execute(before, command)
            self._check(service, before, step)
            adds = self._under_way(step.emitted, is_retransmission=False)
            return self._locals[service].number(step.local), adds, step.external_calls

        local, adds, calls = self._remember((service, state[service], command), work)
        world = self._asked(state[EXTERNAL], calls)
        return self._moved(state, service, local, state[FLIGHT] | adds, world)

    def _asked(self, world: int, calls: Any) -> int:
        if not calls:
            return world
        return self._worlds.number(self._worlds.values[world].asked(*calls))

    def _bounded(self, state: State, bounds: Bounds) -> State:
        return (*state[:BOUNDS], self._bounds.number(bounds))

    @staticmethod
    def _moved(state: State, service: int, local: int, flight: int, world: int) -> State:
        locals_ = (*state[:service], local, *state[service + 1 : FLIGHT])
        return (*locals_, flight, world, state[BOUNDS])

    def _under_way(self, events: tuple[Event, ...], *, is_retransmission: bool) -> int:
        bits = 0
        for event in events:
            for consumer in self._consumers.get(type(event), ()):
                bits |= 1 << self._deliveries.number(Delivery(consumer, event, is_retransmission))
        if is_retransmission:
            self._retransmissions |= bits
        return bits

    def _check(self, service: int, before: Local, step: Step) -> None:
        name = self._names[service]
        for wrong in self._model.wrong_step(name, before, step.local):
            raise Wrong(wrong)
        self._check_local(service, step.local)

    def _check_local(self, service: int, local: Local) -> None:
        for wrong in self._model.wrong_local(self._names[service], local):
            raise Wrong(wrong)

    def _wrong_at_rest(self, state: State) -> list[str] | None:
        world = self._worlds.values[state[EXTERNAL]]
        locals_ = {name: self._locals[i].values[state[i]] for i, name in enumerate(self._names)}
        services = self._model.services
        if not world.is_quiet or any(
            services[name].waiting(each) for name, each in locals_.items()
        ):
            return None
        return list(self._model.wrong_at_rest(locals_, world))

    def _remember(self, key: Any, work: Callable[[], Any]) -> Any:
        known = self._memory.get(key)
        if known is None:
            known = self._memory[key] = (work(),)
        return known[0]


def _with(state: State, place: int, number: int) -> State:
    place %= len(state)
    return (*state[:place], number, *state[place + 1 :])
