"""What clients do in a schedule: the base of each choreography's own workload."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

from chassis.processing.messages import Done, IdempotencyKey
from saga.errors import Refused, RetryLater
from tests.correctness.simulation.machines import Cluster


class Workload:
    """Clients of one schedule, which lasts `busy_seconds`.

    `placed` are the sagas that were accepted, by the client's name for them. `retry_codes` are
    refusals that only mean that an event has not arrived yet. `facts` are commands whose effect is
    in no event.
    """

    retry_codes: frozenset[str] = frozenset()
    facts: tuple[type, ...] = ()

    def __init__(self, cluster: Cluster, busy_seconds: float) -> None:
        self.cluster = cluster
        self.chance = cluster.chance
        self.busy_seconds = busy_seconds
        self.placed: dict[str, str] = {}
        self.violations: list[str] = []

    async def prepare(self) -> None:
        """Put there what sagas need, by commands, as over HTTP."""
        raise NotImplementedError

    def clients(self) -> list[Coroutine[Any, Any, None]]:
        """What clients do. Each begins at a random moment."""
        raise NotImplementedError

    def observe(self) -> Iterable[str]:
        """What is wrong at this moment, as a client may see it at any time."""
        raise NotImplementedError

    def unsettled(self) -> Iterable[str]:
        """What is under way, beside sagas and messages."""
        return ()

    def at_rest(self) -> Iterable[str]:
        """What does not hold at rest."""
        raise NotImplementedError

    def ends(self) -> Counter[str]:
        """The sagas by their status."""
        raise NotImplementedError

    async def insist(
        self, service: str, command: object, key: IdempotencyKey | None = None
    ) -> Done | None:
        """Send a command until it is answered. None when a rule refuses it.

        A client whose key was forgotten, because the database was restored, gives up. A fact counts
        from here on: it may be executed although its answer is lost.
        """
        restored = self.cluster.restored[service]
        if isinstance(command, self.facts):
            self.cluster.facts[service].append(command)
        while key is None or self.cluster.restored[service] == restored:
            target = self.cluster.one(service)
            if target is not None:
                try:
                    return await target.ask(command, key)
                except (RetryLater, TimeoutError, RuntimeError):
                    pass  # it may have been executed all the same
                except Refused as refusal:
                    if refusal.code not in self.retry_codes:
                        return None
            await asyncio.sleep(0.2 + self.chance.random())
        return None
