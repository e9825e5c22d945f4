"""What the checker has to know of a choreography: its services, scenarios and invariants.

The checker itself knows no choreography. `tests.correctness.model.shop` describes the shop, and
`tests/extending/trip` a trip.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from saga.event import Event, Stream
from saga.reactions import Reactions
from saga.unit_of_work import UnitOfWork

NOW = datetime(2030, 1, 1, tzinfo=UTC)
"""The time, at which the model stands still."""

Table = tuple[tuple[str, msgspec.Struct], ...]
"""Rows by key, sorted: equal tables are equal values."""

Registries = Mapping[str, Reactions]


class Local(msgspec.Struct, frozen=True):
    """What one service has stored. `ledger` is sorted, `outbox` in the order of publication.

    `inbox` is None in a world without one.
    """

    tables: tuple[Table, ...]
    ledger: tuple[tuple[Any, ...], ...] = ()
    inbox: frozenset[str] | None = frozenset()
    outbox: tuple[Event, ...] = ()


Locals = Mapping[str, Local]
Violations = Iterator[str]
"""Sentences; none when an invariant holds."""


class ServiceModel(msgspec.Struct, frozen=True, kw_only=True):
    """How a service's rows become its unit of work.

    `tables` names the `Rows` of the unit of work, in the order in which `unit_of_work` takes them;
    `saga_rows` is the one with a row for each saga, and `unsettled` are the states in which such a
    row waits for an event. `entries` are what a step has added to a ledger. `timeless` leaves out
    of a row what would only multiply the states. `personal` names the tables of which an erasure
    removes a person's rows, each with the field that has the person's id.
    """

    tables: tuple[str, ...]
    unit_of_work: Callable[..., UnitOfWork]
    saga_rows: str
    unsettled: frozenset[Any]
    entries: Callable[[Any], Iterable[tuple[Any, ...]]] = lambda _: ()
    timeless: Callable[[Any], Any] = lambda row: row
    personal: Mapping[str, str] = {}

    def rows(self, local: Local, name: str) -> dict[str, Any]:
        return dict(local.tables[self.tables.index(name)])

    def sagas(self, local: Local) -> dict[str, Any]:
        """The service's row of each saga."""
        return self.rows(local, self.saga_rows)

    def waiting(self, local: Local) -> list[str]:
        """The sagas that this service waits for, or owes an answer to."""
        return [key for key, row in self.sagas(local).items() if row.state in self.unsettled]


class Move(msgspec.Struct, frozen=True):
    """A command that may be executed next. `spends` names the scenario's bound that it uses up."""

    words: str
    command: object
    spends: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The outcome of an external call on its way back to `service`, as a command."""

    words: str
    service: str
    command: Any


class ExternalWorld(Protocol):
    """The external systems, as a value."""

    def __hash__(self) -> int: ...

    @property
    def is_quiet(self) -> bool:
        """Nothing happens there any more by itself."""

    @property
    def answers(self) -> Iterable[Answer]: ...

    def asked(self, *calls: Any) -> "ExternalWorld":
        """After these calls were begun."""

    def without(self, answer: Answer) -> "ExternalWorld":
        """After this answer was delivered."""

    def moves(self) -> "Iterator[tuple[str, ExternalWorld]]":
        """Everything that may happen there next."""


class NoExternalWorld(msgspec.Struct, frozen=True):
    """For a choreography without external calls."""

    is_quiet: bool = True
    answers: tuple[Answer, ...] = ()

    def asked(self, *calls: Any) -> ExternalWorld:
        raise AssertionError(f"no external system takes {calls}")

    def without(self, answer: Answer) -> ExternalWorld:
        raise AssertionError(f"{answer} was never given")

    def moves(self) -> Iterator[tuple[str, ExternalWorld]]:
        return iter(())


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What there is at the beginning, and what may go wrong how often.

    `retransmits`: a service that waits may retransmit at any time; otherwise only after a loss.
    `republishes`: after a loss a service may publish again all that it has published. `restored`: a
    service that is backed up once, at any moment, and restored once, at any later one.
    """

    name: str
    with_inbox: bool = True
    losses: int = 0
    duplicates: int = 1
    retransmits: bool = True
    republishes: bool = False
    restored: str | None = None

    @property
    def inbox(self) -> frozenset[str] | None:
        return frozenset() if self.with_inbox else None

    @property
    def bounds(self) -> dict[str, int]:
        """How often clients may do what `commands` bounds."""
        return {}

    def beginning(self) -> Locals:
        raise NotImplementedError

    def external_world(self) -> ExternalWorld:
        return NoExternalWorld()

    def commands(self, service: str, local: Local, left: Mapping[str, int]) -> Iterable[Move]:
        """What clients and timers may do at this service. `left` are the bounds not used up."""
        raise NotImplementedError


class Model(Protocol):
    """A choreography. `saga` is what its sagas are called: an order, a trip."""

    @property
    def saga(self) -> str: ...
    @property
    def streams(self) -> Collection[Stream]:
        """The streams that are searched; events of others are left out."""

    @property
    def services(self) -> Mapping[str, ServiceModel]: ...
    @property
    def small(self) -> tuple[Scenario, ...]:
        """A minute's worth, for every change."""

    @property
    def full(self) -> tuple[Scenario, ...]:
        """Every kind of trouble, and pairs of them."""

    def wrong_step(self, service: str, before: Local, after: Local) -> Violations:
        """What a client may not see."""

    def wrong_local(self, service: str, local: Local) -> Violations:
        """What must hold in one service at any moment."""

    def wrong_at_rest(self, locals_: Locals, world: Any) -> Violations:
        """What must hold over all services once nothing is under way."""


def table(rows: Mapping[str, msgspec.Struct]) -> Table:
    return tuple(sorted(rows.items()))


def short(key: str) -> str:
    """The number of a saga in words. Keys in the model differ in their last character."""
    return key[-1]
