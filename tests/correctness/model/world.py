"""All that may happen in a scenario, as states and steps.

A state is a handful of small numbers: each service's local state, the gateway's, what is left of
duplicates, losses and cancels, and the deliveries under way as bits. A message may be delivered in
any order and again; a loss takes all that is under way.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

import msgspec

from events.participants import PARTICIPANTS
from order.commands import CancelOrder, ExpireOrder
from order.domain import EXPIRES, OrderState
from payment.commands import ResumePayment
from product.commands import BookStock, EndWait
from product.domain import HoldState
from saga.event import Event
from saga.reactions import Reactions
from tests.correctness.model import invariants
from tests.correctness.model.locals import Local, Service, Step
from tests.correctness.model.outside import Outside
from tests.correctness.model.scenarios import PRODUCT, Scenario

H = TypeVar("H", bound=Hashable)
State = tuple[int, int, int, int, int, int, int]
"""Local states in the order of SERVICES, the deliveries' bits, the outside, the budget."""

SERVICES = ("order", "coupon", "product", "payment")
ORDER, STOCK, PAYMENT = map(SERVICES.index, ("order", "product", "payment"))
Registries = Mapping[str, Reactions]


class Delivery(msgspec.Struct, frozen=True):
    """An event on its way to a service. `again`: somebody who misses an answer has repeated it."""

    consumer: int
    event: Event
    again: bool

    def __str__(self) -> str:
        words = f"{SERVICES[self.consumer]} hears {type(self.event).__name__}"
        repeated = " (said again)" if self.again else ""
        return f"{words} of order {self.event.key[-1]}{repeated}"


class Budget(msgspec.Struct, frozen=True):
    """What may still happen. `may_republish` are the services that have noticed a loss."""

    losses: int
    duplicates: int
    cancels: int
    arrivals: int
    may_republish: tuple[int, ...] = ()


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


def production() -> dict[str, Reactions]:
    """The registries that run in the services."""
    return {name: import_module(f"{name}.reactions").reactions for name in PARTICIPANTS}


def all_edges() -> frozenset[tuple[str, str, str]]:
    """Who may say what on hearing what, in the whole choreography."""
    return frozenset(
        (received.__name__, service, emitted.__name__)
        for service, registry in production().items()
        for received, reaction in registry.reactions.items()
        for emitted in reaction.emits
    )


class World:
    """All that may happen in a scenario, step by step.

    `asks` and `answers` can be taken away, to see that they are needed.
    """

    def __init__(
        self,
        scenario: Scenario,
        registries: Registries | None = None,
        *,
        asks: bool = True,
        answers: bool = True,
    ) -> None:
        known = registries or production()
        self.scenario = scenario
        self.edges: set[tuple[str, str, str]] = set()
        self._asks = asks
        self._answers = answers
        self._services = [Service(known[name]) for name in SERVICES]
        self._consumers = {
            event: [i for i, name in enumerate(SERVICES) if event in known[name].handles]
            for registry in known.values()
            for event in registry.emits
        }
        self.locals = [Interned[Local]() for _ in SERVICES]
        self.deliveries = Interned[Delivery]()
        self.outsides = Interned[Outside]()
        self.budgets = Interned[Budget]()
        self._repeats = 0
        self._memory: dict[Any, Any] = {}

    def beginning(self) -> State:
        scenario = self.scenario
        locals_ = scenario.beginning()
        budget = Budget(scenario.losses, scenario.duplicates, scenario.cancels, scenario.arrivals)
        numbers = [self.locals[i].number(locals_[name]) for i, name in enumerate(SERVICES)]
        flight = self._on_the_way(locals_["order"].outbox, again=False)
        outside = self.outsides.number(Outside(refusals_left=scenario.refusals))
        return (*numbers, flight, outside, self.budgets.number(budget))  # type: ignore[return-value]

    def following(self, state: State) -> Iterator[tuple[str | int, State]]:
        """Every state that may come next. A delivery's number stands for its words."""
        yield from self._deliveries(state)
        yield from self._asking(state)
        yield from self._commands(state)
        yield from self._outside(state)
        yield from self._losses(state)

    def wrong_at_rest(self, state: State) -> list[str] | None:
        """None while something is under way; else what does not hold."""
        if state[4]:
            return None
        key = ("rest", state[:4], state[5])
        known: list[str] | None = self._remember(key, lambda: self._wrong_at_rest(state))
        return known

    def words(self, label: str | int) -> str:
        return label if isinstance(label, str) else str(self.deliveries.values[label])

    # ------------------------------------------------------------ what may happen

    def _deliveries(self, state: State) -> Iterator[tuple[str | int, State]]:
        flight, budget = state[4], self.budgets.values[state[6]]
        waiting = flight
        while waiting:
            bit = waiting & -waiting
            waiting ^= bit
            number = bit.bit_length() - 1
            consumer = self.deliveries.values[number].consumer
            local, adds, external_calls = self._delivered(consumer, state[consumer], number)
            outside = self._asked(state[5], external_calls)
            yield number, self._moved(state, consumer, local, (flight ^ bit) | adds, outside)
            if budget.duplicates:
                fewer = msgspec.structs.replace(budget, duplicates=budget.duplicates - 1)
                again = self._moved(state, consumer, local, flight | adds, outside)
                yield number, (*again[:6], self.budgets.number(fewer))

    def _delivered(self, consumer: int, local: int, number: int) -> tuple[int, int, Any]:
        def work() -> tuple[int, int, Any]:
            delivery = self.deliveries.values[number]
            service, before = self._services[consumer], self.locals[consumer].values[local]
            step = service.hear(before, delivery.event)
            self._check(consumer, before, step)
            adds = self._on_the_way(step.emitted, again=False)
            if delivery.again and self._answers and not step.emitted:
                answers = service.answers_to(step.local, delivery.event)
                adds |= self._on_the_way(answers, again=True)
                self._walk(delivery, answers)
            self._walk(delivery, step.emitted)
            return self.locals[consumer].number(step.local), adds, step.external_calls

        known: tuple[int, int, Any] = self._remember((consumer, local, number), work)
        return known

    def _walk(self, delivery: Delivery, emitted: tuple[Event, ...]) -> None:
        received, consumer = type(delivery.event).__name__, SERVICES[delivery.consumer]
        self.edges.update((received, consumer, type(event).__name__) for event in emitted)

    def _asking(self, state: State) -> Iterator[tuple[str | int, State]]:
        """One question at a time: until it has come to rest, nobody asks another."""
        budget = self.budgets.values[state[6]]
        if not self._asks or state[4] & self._repeats:
            return
        if not self.scenario.asks and budget.losses == self.scenario.losses:
            return
        for i, name in enumerate(SERVICES):
            for order_id, word in self._last_words(i, state[i]):
                asked = (*state[:4], state[4] | word, *state[5:])
                yield f"{name} asks again about order {order_id[-1]}", asked

    def _last_words(self, service: int, number: int) -> list[tuple[str, int]]:
        def work() -> list[tuple[str, int]]:
            local = self.locals[service].values[number]
            found = []
            for order_id in invariants.unsettled(SERVICES[service], local):
                word = self._services[service].last_word(local, order_id)
                if word is not None:
                    found.append((order_id, self._on_the_way((word,), again=True)))
            return found

        known: list[tuple[str, int]] = self._remember(("ask", service, number), work)
        return known

    def _commands(self, state: State) -> Iterator[tuple[str | int, State]]:
        budget = self.budgets.values[state[6]]
        rows = invariants.participants("order", self.locals[ORDER].values[state[ORDER]])
        for order_id, order in rows.items():
            name = order_id[-1]
            if order.state in EXPIRES and self.scenario.may_expire:
                late = ExpireOrder(order_id=order_id)
                yield f"order {name}'s deadline comes", self._obeyed(state, ORDER, late)
            if order.state is OrderState.COMPLETED and budget.cancels:
                fewer = msgspec.structs.replace(budget, cancels=budget.cancels - 1)
                done = self._obeyed(state, ORDER, CancelOrder(order_id=order_id))
                yield f"order {name} is cancelled", (*done[:6], self.budgets.number(fewer))
        yield from self._stock_commands(state, budget)
        payments = invariants.participants("payment", self.locals[PAYMENT].values[state[PAYMENT]])
        for order_id, payment in payments.items():
            if payment.retry_at is not None:
                again = self._obeyed(state, PAYMENT, ResumePayment(order_id=order_id))
                if again != state:
                    yield f"payment sends for order {order_id[-1]} again", again

    def _stock_commands(self, state: State, budget: Budget) -> Iterator[tuple[str | int, State]]:
        holds = invariants.participants("product", self.locals[STOCK].values[state[STOCK]])
        for order_id, hold in holds.items():
            if hold.state is HoldState.WAITING:
                ended = self._obeyed(state, STOCK, EndWait(order_id=order_id))
                yield f"order {order_id[-1]} has waited long enough", ended
        if budget.arrivals:
            fewer = msgspec.structs.replace(budget, arrivals=budget.arrivals - 1)
            book = BookStock(
                product_id=PRODUCT,
                request_id=f"arrival {budget.arrivals}",
                delta=1,
                reason="",
                order_id=None,
            )
            arrived = self._obeyed(state, STOCK, book)
            yield "a unit comes in", (*arrived[:6], self.budgets.number(fewer))

    def _outside(self, state: State) -> Iterator[tuple[str | int, State]]:
        outside = self.outsides.values[state[5]]
        for words, number in self._remember(("moves", state[5]), lambda: self._moves(outside)):
            yield words, (*state[:5], number, state[6])
        budget = self.budgets.values[state[6]]
        for answer in outside.answers:
            words = f"payment is told {answer.outcome} of order {answer.order_id[-1]}"
            rest = self.outsides.number(outside.without(answer))
            yield words, self._obeyed((*state[:5], rest, state[6]), PAYMENT, answer)
            if budget.duplicates:
                fewer = msgspec.structs.replace(budget, duplicates=budget.duplicates - 1)
                number = self.budgets.number(fewer)
                yield words, self._obeyed((*state[:6], number), PAYMENT, answer)

    def _moves(self, outside: Outside) -> list[tuple[str, int]]:
        return [(words, self.outsides.number(after)) for words, after in outside.moves()]

    def _losses(self, state: State) -> Iterator[tuple[str | int, State]]:
        budget = self.budgets.values[state[6]]
        if budget.losses and state[4]:
            noticed = tuple(range(len(SERVICES))) if self.scenario.republishes else ()
            fewer = msgspec.structs.replace(budget, losses=budget.losses - 1, may_republish=noticed)
            number = self.budgets.number(fewer)
            yield "the broker loses everything", (*state[:4], 0, state[5], number)
        for i in budget.may_republish:
            rest = tuple(each for each in budget.may_republish if each != i)
            number = self.budgets.number(msgspec.structs.replace(budget, may_republish=rest))
            all_emitted = self._on_the_way(self.locals[i].values[state[i]].outbox, again=False)
            words = f"{SERVICES[i]} publishes all again"
            yield words, (*state[:4], state[4] | all_emitted, state[5], number)

    # ------------------------------------------------------------ how a state changes

    def _obeyed(self, state: State, service: int, command: object) -> State:
        def work() -> tuple[int, int, Any]:
            before = self.locals[service].values[state[service]]
            step = self._services[service].execute(before, command)
            self._check(service, before, step)
            adds = self._on_the_way(step.emitted, again=False)
            return self.locals[service].number(step.local), adds, step.external_calls

        local, adds, external_calls = self._remember((service, state[service], command), work)
        outside = self._asked(state[5], external_calls)
        return self._moved(state, service, local, state[4] | adds, outside)

    def _asked(self, outside: int, external_calls: Any) -> int:
        if not external_calls:
            return outside
        return self.outsides.number(self.outsides.values[outside].asked(*external_calls))

    @staticmethod
    def _moved(state: State, service: int, local: int, flight: int, outside: int) -> State:
        numbers = (*state[:service], local, *state[service + 1 : 4])
        return (*numbers, flight, outside, state[6])  # type: ignore[return-value]

    def _on_the_way(self, events: tuple[Event, ...], *, again: bool) -> int:
        bits = 0
        for event in events:
            for consumer in self._consumers.get(type(event), ()):
                bits |= 1 << self.deliveries.number(Delivery(consumer, event, again))
        if again:
            self._repeats |= bits
        return bits

    def _check(self, service: int, before: Local, step: Step) -> None:
        name = SERVICES[service]
        for wrong in invariants.wrong_step(name, before, step.local):
            raise Wrong(wrong)
        for wrong in invariants.wrong_local(name, step.local):
            raise Wrong(wrong)

    def _wrong_at_rest(self, state: State) -> list[str] | None:
        outside = self.outsides.values[state[5]]
        locals_ = {name: self.locals[i].values[state[i]] for i, name in enumerate(SERVICES)}
        if not outside.is_quiet:
            return None
        if any(invariants.unsettled(name, local) for name, local in locals_.items()):
            return None
        return list(invariants.wrong_at_rest(locals_, outside))

    def _remember(self, key: Any, work: Callable[[], Any]) -> Any:
        known = self._memory.get(key)
        if known is None:
            known = self._memory[key] = (work(),)
        return known[0]
