"""The flow as a whole, derived from the services' registries: checked, drawn, and used.

    python -m saga.choreography            write docs/CHOREOGRAPHY.md and infra/nats-users.conf
    python -m saga.choreography --check    fail when a flaw is found or either file is stale

Nobody runs this flow: no process holds it. It is only what the services' type hints add up to.
"""

import argparse
import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from events.contract import EVENTS, Event
from saga.choreography.diagram import document
from saga.choreography.permissions import users_conf
from saga.reactions import Reactions

ROOT = Path(__file__).parents[2]
PARTICIPANTS = ("order", "product", "coupon", "payment", "dataplatform")
"""The services: the packages whose `reactions` module takes part. A new one is added here."""


class Choreography:
    """Who says and who hears what."""

    def __init__(
        self, registries: Iterable[Reactions], contract: Mapping[str, type[Event]]
    ) -> None:
        self.registries = {registry.service: registry for registry in registries}
        self.contract = contract

    def producers(self, event: type[Event]) -> list[str]:
        return [name for name, registry in self.registries.items() if event in registry.emits]

    def consumers(self, event: type[Event]) -> list[str]:
        return [name for name, registry in self.registries.items() if event in registry.handles]

    def reserved(self) -> list[type[Event]]:
        """Events that the contract names and that no service says or hears yet."""
        return [
            e for e in self.contract.values() if not self.producers(e) and not self.consumers(e)
        ]

    def flaws(self) -> list[str]:
        """Everything that is wrong with the flow, a sentence each; empty when it is sound."""
        return [*self._one_owner(), *self._said_and_heard(), *self._undone(), *self._cycles()]

    def _one_owner(self) -> Iterable[str]:
        for event in self.contract.values():
            owners = self.producers(event)
            if len(owners) > 1:
                yield f"{event.__name__} has two owners: {', '.join(owners)}"

    def _said_and_heard(self) -> Iterable[str]:
        for event in self.contract.values():
            emitted, handled = self.producers(event), self.consumers(event)
            if emitted and not handled and not event.final:
                yield f"{event.__name__} is said by {emitted[0]}, but heard by nobody"
            if handled and not emitted:
                yield f"{event.__name__} is awaited by {', '.join(handled)}, but said by nobody"

    def _undone(self) -> Iterable[str]:
        """After a failure, each service that had done its part must hear of it and compensate."""
        for failure in filter(lambda event: event.failure, self.contract.values()):
            for producer in self.producers(failure):
                undoing = self._compensators(failure)
                for service in sorted(self._done_before(failure) - {producer} - undoing):
                    yield f"{service} did its part before {failure.__name__}, but undoes nothing"

    def _done_before(self, failure: type[Event]) -> set[str]:
        """The services that said one of the forward events that lead to the failure."""
        done: set[str] = set()
        waiting, seen = [failure], {failure}
        while waiting:
            for cause in self._causes(waiting.pop()):
                if cause not in seen and not cause.failure:
                    seen.add(cause)
                    waiting.append(cause)
                    done.update(self.producers(cause))
        return done

    def _causes(self, event: type[Event]) -> Iterable[type[Event]]:
        for registry in self.registries.values():
            for handled, reaction in registry.reactions.items():
                if event in reaction.emits:
                    yield handled

    def _compensators(self, failure: type[Event]) -> set[str]:
        """The services that compensate on the failure or on something that follows from it."""
        found: set[str] = set()
        waiting, seen = [failure], {failure}
        while waiting:
            handled = waiting.pop()
            for service, registry in self.registries.items():
                reaction = registry.reactions.get(handled)
                if reaction is None:
                    continue
                if reaction.compensates:
                    found.add(service)
                new = reaction.emits - seen
                seen |= new
                waiting.extend(new)
        return found

    def _cycles(self) -> Iterable[str]:
        """An event that can cause itself would never come to rest."""
        done: set[type[Event]] = set()

        def walk(event: type[Event], path: tuple[type[Event], ...]) -> Iterable[str]:
            if event in path:
                around = [*path[path.index(event) :], event]
                yield "a cycle: " + " -> ".join(step.__name__ for step in around)
            elif event not in done:
                for following in self.following(event):
                    yield from walk(following, (*path, event))
                done.add(event)

        for event in self.contract.values():
            yield from walk(event, ())

    def following(self, event: type[Event]) -> list[type[Event]]:
        """The events that services may say when they hear this one, in the contract's order."""
        emitted = {
            following
            for registry in self.registries.values()
            if (reaction := registry.reactions.get(event)) is not None
            for following in reaction.emits
        }
        return [event for event in self.contract.values() if event in emitted]


def load(participants: Iterable[str] = PARTICIPANTS) -> Choreography:
    """Import the participants' registries. The one place here that reaches for the services."""
    modules = [importlib.import_module(f"{name}.reactions") for name in participants]
    return Choreography([module.reactions for module in modules], EVENTS)


def generated(choreography: Choreography) -> dict[str, str]:
    """The files that follow from the flow, with what they should hold."""
    return {
        "docs/CHOREOGRAPHY.md": document(choreography),
        "infra/nats-users.conf": users_conf(choreography.registries.values()),
    }


def stale(choreography: Choreography, root: Path) -> list[str]:
    """The generated files below `root` that do not hold what they should."""
    return [
        file
        for file, text in generated(choreography).items()
        if not (root / file).exists() or (root / file).read_text() != text
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m saga.choreography", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check = parser.parse_args().check
    choreography = load()
    complaints = choreography.flaws()
    for file in stale(choreography, ROOT):
        if check:
            complaints.append(f"{file} is stale: run make choreography")
        else:
            (ROOT / file).write_text(generated(choreography)[file])
            print(f"wrote {file}")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        services = ", ".join(choreography.registries)
        print(f"the choreography of {services} is sound: {len(choreography.contract)} events")
    return 1 if complaints else 0
