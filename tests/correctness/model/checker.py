"""Walks every interleaving: breadth first over all states that can be reached, then back again.

It looks for two things. A state in which an invariant does not hold: reported with the shortest way
there. And a state from which no state at rest can be reached: a saga that never ends.
"""

from array import array
from collections import deque
from itertools import pairwise
from time import perf_counter

import msgspec

from tests.correctness.model.description import Model, Registries, Scenario
from tests.correctness.model.world import Edge, State, World, Wrong

NO_END = "from here on a saga can never end"


class Violation(msgspec.Struct, frozen=True):
    """What is wrong, and the shortest way to it."""

    what: str
    schedule: list[str]

    def __str__(self) -> str:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(self.schedule, 1))
        return f"{self.what}\n{steps}"


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """`edges` are those of the choreography that were walked."""

    scenario: str
    states: int
    transitions: int
    seconds: float
    violation: Violation | None
    edges: frozenset[Edge]


def check(
    model: Model,
    scenario: Scenario,
    registries: Registries | None = None,
    *,
    retransmits: bool = True,
    answers: bool = True,
) -> SearchResult:
    """Search a scenario through. Stops at the first violation."""
    began = perf_counter()
    world = World(model, scenario, registries, retransmits=retransmits, answers=answers)
    search = _Search(world)
    violation = search.run()
    return SearchResult(
        scenario=scenario.name,
        states=len(search.states),
        transitions=len(search.sources),
        seconds=perf_counter() - began,
        violation=violation,
        edges=frozenset(world.edges),
    )


class _Search:
    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers: dict[State, int] = {}
        self.states: list[State] = []
        self._parents = array("q")
        self._at_rest: list[int] = []
        self.sources, self.targets = array("I"), array("I")

    def run(self) -> Violation | None:
        self._add(self._world.beginning(), -1)
        number = 0
        while number < len(self.states):
            wrong = self._expand(number)
            if wrong:
                return self._violation(wrong, number)
            number += 1
        stuck = self._stuck()
        if stuck is None:
            return None
        return self._violation(NO_END, stuck)

    def _expand(self, number: int) -> str | None:
        state = self.states[number]
        found = self._world.wrong_at_rest(state)
        if found:
            return found[0]
        if found is not None:
            self._at_rest.append(number)
        try:
            for _, following in self._world.following(state):
                self.sources.append(number)
                self.targets.append(self._add(following, number))
        except Wrong as wrong:
            return str(wrong)
        return None

    def _add(self, state: State, parent: int) -> int:
        known = self._numbers.get(state)
        if known is None:
            known = self._numbers[state] = len(self.states)
            self.states.append(state)
            self._parents.append(parent)
        return known

    def _stuck(self) -> int | None:
        """The first state from which none at rest can be reached."""
        count = len(self.states)
        first, following = array("q", [-1]) * count, array("q", [-1]) * len(self.sources)
        for edge, target in enumerate(self.targets):  # the edges into each state, as a linked list
            following[edge], first[target] = first[target], edge
        reaches = bytearray(count)
        waiting = deque(self._at_rest)
        for number in waiting:
            reaches[number] = True
        while waiting:
            edge = first[waiting.pop()]
            while edge >= 0:
                source = self.sources[edge]
                if not reaches[source]:
                    reaches[source] = True
                    waiting.append(source)
                edge = following[edge]
        stuck = reaches.find(0)
        return stuck if stuck >= 0 else None

    def _violation(self, what: str, number: int) -> Violation:
        way = [number]
        while self._parents[way[-1]] >= 0:
            way.append(self._parents[way[-1]])
        way.reverse()
        steps = [
            self._words(self.states[before], self.states[after]) for before, after in pairwise(way)
        ]
        return Violation(what, steps)

    def _words(self, before: State, after: State) -> str:
        following = self._world.following(before)
        return next(self._world.words(label) for label, state in following if state == after)
