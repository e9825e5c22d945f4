"""One service in the model: its rows, its inbox and its outbox, moved by the production reactions.

A local state is a value. What a service does with a message depends on its local state and the
message alone, so each such step is computed once, by the service's own `react` or `execute` on a
unit of work made from the rows, and remembered.

Time stands still: it would only multiply the states. Whatever a rule does at a certain time (a
deadline, an external call that is begun again) is a command of its own here.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from saga import envelope
from saga.event import Event, Stream
from saga.reactions import Reactions
from saga.unit_of_work import Rows, UnitOfWork
from tests.correctness.model.description import NOW, Local, ServiceModel, Table, table


class Step(msgspec.Struct, frozen=True):
    """What a message led to. `emitted` are the events that had not been emitted before."""

    local: Local
    emitted: tuple[Event, ...] = ()
    external_calls: tuple[Any, ...] = ()


class Service:
    """A service's registry, which may be a broken one, and what it does in each situation."""

    def __init__(
        self, registry: Reactions, model: ServiceModel, streams: Collection[Stream]
    ) -> None:
        self.registry = registry
        self._model = model
        self._streams = streams

    def handle(self, local: Local, event: Event) -> Step:
        """Handle an event; one that is in the inbox changes nothing."""
        identity = envelope.event_id(event)
        if local.inbox is not None and identity in local.inbox:
            return Step(local)
        inbox = None if local.inbox is None else local.inbox | {identity}
        return self._do(local, inbox, lambda uow: self.registry.react(event, uow))

    def execute(self, local: Local, command: object) -> Step:
        """Execute a command."""

        def events(uow: UnitOfWork) -> tuple[Event, ...]:
            return self.registry.execute(command, uow).events

        return self._do(local, local.inbox, events)

    def adopt(self, backup: Local, own: Sequence[Event], published: Sequence[Event]) -> Local:
        """The backup with its `own` published events adopted. `published` are those of all."""
        local = backup
        for event in own:
            if event not in backup.outbox:
                cause = next((each for each in published if self._may_cause(each, event)), None)
                local = self._adopted(local, event, cause)
        return local

    def _may_cause(self, cause: Event, event: Event) -> bool:
        reaction = self.registry.reactions.get(type(cause))
        return reaction is not None and cause.key == event.key and type(event) in reaction.emits

    def _adopted(self, local: Local, event: Event, cause: Event | None) -> Local:
        def adopt(uow: UnitOfWork) -> tuple[Event, ...]:
            self.registry.adoptions.adopt(event, uow, cause)
            return (event,)

        return self._do(local, local.inbox, adopt).local

    def answers_to(self, local: Local, event: Event) -> tuple[Event, ...]:
        """What it publishes again when a retransmission brought nothing new."""
        reaction = self.registry.reactions.get(type(event))
        emits = reaction.emits if reaction else frozenset()
        return tuple(
            emitted
            for emitted in local.outbox
            if emitted.key == event.key and type(emitted) in emits
        )

    def last_event(self, local: Local, key: str) -> Event | None:
        """What it retransmits about a saga that it waits for."""
        return next((emitted for emitted in reversed(local.outbox) if emitted.key == key), None)

    def _do(
        self,
        local: Local,
        inbox: frozenset[str] | None,
        work: Callable[[UnitOfWork], tuple[Event, ...]],
    ) -> Step:
        uow = self._model.unit_of_work(NOW, *(Rows(dict(each)) for each in local.tables))
        emitted = tuple(event for event in work(uow) if event.stream in self._streams)
        uow.release()
        erased = {each.key for each in uow.erased}
        known = {envelope.event_id(event) for event in local.outbox}
        new = tuple(event for event in emitted if envelope.event_id(event) not in known)
        after = Local(
            tables=tuple(
                self._table_after(before, uow, name, erased)
                for before, name in zip(local.tables, self._model.tables, strict=True)
            ),
            ledger=tuple(sorted([*local.ledger, *self._model.entries(uow)], key=str)),
            inbox=inbox,
            outbox=tuple(
                event
                for event in (*local.outbox, *new)
                if not (event.stream.is_personal and event.key in erased)
            ),
        )
        return Step(after, new, tuple(uow.external_calls))

    def _table_after(
        self, before: Table, uow: UnitOfWork, name: str, erased: Collection[str]
    ) -> Table:
        rows: Rows[str, Any] = getattr(uow, name)
        changed = {key: self._model.timeless(rows.get(key)) for key in rows.changed_keys}
        after = dict(before) | changed
        if person := self._model.personal.get(name):
            after = {key: row for key, row in after.items() if getattr(row, person) not in erased}
        return table(after)
