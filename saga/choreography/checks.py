"""What can be wrong with a choreography, found before it runs.

An event with two owners; an event that is emitted and handled by no participant, unless it is
declared final; one that is awaited and never emitted; a failure that a participant which had done
its part does not compensate; an event that its owner could not adopt; a cycle.
"""

from collections.abc import Iterable

from saga.choreography.graph import Choreography
from saga.event import Event


def flaws(flow: Choreography) -> list[str]:
    """Everything that is wrong with the flow, a sentence each; empty when it is sound."""
    return [
        *_owners(flow),
        *_loose_ends(flow),
        *_not_compensated(flow),
        *_not_adopted(flow),
        *_cycles(flow),
    ]


def _owners(flow: Choreography) -> Iterable[str]:
    for event in flow.contract:
        owners = flow.producers(event)
        if len(owners) > 1:
            yield f"{event.__name__} has two owners: {', '.join(owners)}"


def _loose_ends(flow: Choreography) -> Iterable[str]:
    for event in flow.contract:
        producers, consumers = flow.producers(event), flow.consumers(event)
        if producers and not consumers and not event.final:
            yield f"{event.__name__} is emitted by {producers[0]}, but no participant handles it"
        if consumers and not producers:
            names = ", ".join(consumers)
            yield f"{event.__name__} is handled by {names}, but no participant emits it"


def _not_compensated(flow: Choreography) -> Iterable[str]:
    """After a failure, each participant that had done its part must compensate."""
    for failure in filter(lambda event: event.failure, flow.contract):
        for producer in flow.producers(failure):
            compensators = _compensators(flow, failure)
            for name in sorted(_done_before(flow, failure) - {producer} - compensators):
                yield f"{name} did its part before {failure.__name__}, but undoes nothing"


def _done_before(flow: Choreography, failure: type[Event]) -> set[str]:
    """The participants that emitted one of the forward events that lead to the failure."""
    done: set[str] = set()
    waiting, seen = [failure], {failure}
    while waiting:
        for cause in flow.causes(waiting.pop()):
            if cause not in seen and not cause.failure:
                seen.add(cause)
                waiting.append(cause)
                done.update(flow.producers(cause))
    return done


def _compensators(flow: Choreography, failure: type[Event]) -> set[str]:
    """The participants that compensate on the failure, or on something that follows from it."""
    found: set[str] = set()
    waiting, seen = [failure], {failure}
    while waiting:
        handled = waiting.pop()
        for name, registry in flow.registries.items():
            reaction = registry.reactions.get(handled)
            if reaction is None:
                continue
            if reaction.compensates:
                found.add(name)
            new = reaction.emits - seen
            seen |= new
            waiting.extend(new)
    return found


def _not_adopted(flow: Choreography) -> Iterable[str]:
    """A participant with a restored database must not decide a second time what it published."""
    for name, registry in flow.registries.items():
        for event in flow.contract:
            if event in registry.emits and event not in registry.adoptions.rules:
                yield f"{name} emits {event.__name__}, but has no rule to adopt it"


def _cycles(flow: Choreography) -> Iterable[str]:
    """An event that can cause itself would never come to rest."""
    done: set[type[Event]] = set()

    def walk(event: type[Event], path: tuple[type[Event], ...]) -> Iterable[str]:
        if event in path:
            around = [*path[path.index(event) :], event]
            yield "a cycle: " + " -> ".join(step.__name__ for step in around)
        elif event not in done:
            for following in flow.following(event):
                yield from walk(following, (*path, event))
            done.add(event)

    for event in flow.contract:
        yield from walk(event, ())
