"""The graph of a choreography: what the type hints of its participants' reactions add up to.

There is no orchestrator: no process holds this graph. It is derived, to be checked, drawn and used.
"""

import importlib
from collections.abc import Iterable

from saga.event import Contract, Event
from saga.reactions import Reactions


class Choreography:
    """The participants of one contract: which of them emit and which handle each event."""

    def __init__(self, registries: Iterable[Reactions], contract: Contract) -> None:
        self.registries = {registry.service: registry for registry in registries}
        self.contract = contract

    def producers(self, event: type[Event]) -> list[str]:
        return [name for name, registry in self.registries.items() if event in registry.emits]

    def consumers(self, event: type[Event]) -> list[str]:
        return [name for name, registry in self.registries.items() if event in registry.handles]

    def emitted(self) -> list[type[Event]]:
        """The events that a participant emits, in the contract's order."""
        return [event for event in self.contract if self.producers(event)]

    def reserved(self) -> list[type[Event]]:
        """Events that the contract names and that no participant emits or handles yet."""
        return [e for e in self.contract if not self.producers(e) and not self.consumers(e)]

    def following(self, event: type[Event]) -> list[type[Event]]:
        """The events that reactions to this one may emit, in the contract's order."""
        emitted = {
            following
            for registry in self.registries.values()
            if (reaction := registry.reactions.get(event)) is not None
            for following in reaction.emits
        }
        return [event for event in self.contract if event in emitted]

    def causes(self, event: type[Event]) -> Iterable[type[Event]]:
        """The events to which a reaction may answer with this one."""
        for registry in self.registries.values():
            for handled, reaction in registry.reactions.items():
                if event in reaction.emits:
                    yield handled


def load(package: str = "events") -> Choreography:
    """Import a choreography by name: its contract, and the registry of each participant.

    `package` has the modules `contract` (with `CONTRACT`) and `participants` (with `PARTICIPANTS`,
    the packages whose module `reactions` has the registry).
    """
    contract = importlib.import_module(f"{package}.contract").CONTRACT
    participants = importlib.import_module(f"{package}.participants").PARTICIPANTS
    modules = [importlib.import_module(f"{name}.reactions") for name in participants]
    return Choreography([module.reactions for module in modules], contract)
