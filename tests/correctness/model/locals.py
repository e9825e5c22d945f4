"""One service in the model: its rows, its inbox and its outbox, moved by the production reactions.

A local state is a value. What a service does with a message depends on its local state and the
message alone, so each such step is worked out once, by the service's own `react` or `execute` on
a working set made from the rows, and remembered.

The catalogue is left out: no order's way depends on it. Time stands still: it would only multiply
the states. Whatever a rule does at a certain time is a
command of its own here (a deadline, an errand that is begun again).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from coupon.unit_of_work import CouponUnitOfWork
from events.contract import SAGA
from order.unit_of_work import OrderUnitOfWork
from payment.unit_of_work import PaymentUnitOfWork
from product.domain import Product
from product.queues import Queues
from product.unit_of_work import ProductUnitOfWork
from saga import envelope
from saga.event import Event
from saga.reactions import Reactions
from saga.unit_of_work import Ledger, Rows, UnitOfWork

NOW = datetime(2030, 1, 1, tzinfo=UTC)

Table = tuple[tuple[str, msgspec.Struct], ...]
"""Rows by key, sorted: equal tables are equal values."""


class Local(msgspec.Struct, frozen=True):
    """`inbox` is None in a world without one. `outbox` is in the order in which it was said."""

    tables: tuple[Table, ...]
    ledger: tuple[tuple[str, str | None, int], ...]
    inbox: frozenset[str] | None
    outbox: tuple[Event, ...]


class Step(msgspec.Struct, frozen=True):
    """What a message brought about. `emitted` are the events that had not been said before."""

    local: Local
    emitted: tuple[Event, ...] = ()
    external_calls: tuple[Any, ...] = ()
    is_new: bool = True


class Kind(msgspec.Struct, frozen=True):
    """How a service's rows become its working set. `tables` names its `Rows`, in their order."""

    tables: tuple[str, ...]
    uow: Callable[..., UnitOfWork]


def _coupons(now: datetime, holds: Any, issued: Any) -> CouponUnitOfWork:
    return CouponUnitOfWork(now, holds, Rows(), issued, Rows())


def _product(now: datetime, holds: Any, products: Any, queues: Any) -> ProductUnitOfWork:
    places = {(place.product_id, place.order_id): place for place in queues.loaded}
    return ProductUnitOfWork(now, holds, products, Rows(), Ledger(), Queues(places))


def _payment(now: datetime, wallets: Any, payments: Any) -> PaymentUnitOfWork:
    return PaymentUnitOfWork(now, wallets, payments, Rows(), Ledger())


KINDS = {
    "order": Kind(("orders",), lambda now, orders: OrderUnitOfWork(now, orders, Rows(), Rows())),
    "coupon": Kind(("holds", "issued"), _coupons),
    "product": Kind(("holds", "products", "queues"), _product),
    "payment": Kind(("wallets", "payments"), _payment),
}


def table(rows: Mapping[str, msgspec.Struct]) -> Table:
    return tuple(sorted(rows.items()))


class Service:
    """A service's registry, which may be a broken one, and what it does in each situation."""

    def __init__(self, registry: Reactions) -> None:
        self.registry = registry
        self._kind = KINDS[registry.service]
        self._rows = {name: index for index, name in enumerate(self._kind.tables)}

    def rows(self, local: Local, name: str) -> dict[str, Any]:
        return dict(local.tables[self._rows[name]])

    def hear(self, local: Local, event: Event) -> Step:
        """Work on an event; one that the inbox knows changes nothing."""
        identity = envelope.event_id(event)
        if local.inbox is not None and identity in local.inbox:
            return Step(local, is_new=False)
        inbox = None if local.inbox is None else local.inbox | {identity}
        react = self.registry.react
        return self._do(local, inbox, lambda uow: react(event, uow))

    def execute(self, local: Local, command: object) -> Step:
        def events(uow: UnitOfWork) -> tuple[Event, ...]:
            return self.registry.execute(command, uow).events

        return self._do(local, local.inbox, events)

    def answers_to(self, local: Local, event: Event) -> tuple[Event, ...]:
        """What it retransmits when a repeat brought nothing new."""
        reaction = self.registry.reactions.get(type(event))
        emits = reaction.emits if reaction else frozenset()
        return tuple(
            emitted
            for emitted in local.outbox
            if emitted.key == event.key and type(emitted) in emits
        )

    def last_word(self, local: Local, key: str) -> Event | None:
        return next((emitted for emitted in reversed(local.outbox) if emitted.key == key), None)

    def _do(
        self,
        local: Local,
        inbox: frozenset[str] | None,
        work: Callable[[UnitOfWork], tuple[Event, ...]],
    ) -> Step:
        uow = self._kind.uow(NOW, *(Rows(dict(each)) for each in local.tables))
        emitted = tuple(event for event in work(uow) if event.stream == SAGA)
        uow.release()
        known = {envelope.event_id(event) for event in local.outbox}
        new = tuple(event for event in emitted if envelope.event_id(event) not in known)
        after = Local(
            tables=tuple(self._after(local, uow, name) for name in self._kind.tables),
            ledger=self._ledger_after(local, uow),
            inbox=inbox,
            outbox=(*local.outbox, *new),
        )
        return Step(after, new, tuple(uow.external_calls))

    def _after(self, local: Local, uow: UnitOfWork, name: str) -> Table:
        rows: Rows[str, Any] = getattr(uow, name)
        changed = {key: rows.get(key) for key in rows.changed_keys}
        return table(self.rows(local, name) | {key: _timeless(row) for key, row in changed.items()})

    def _ledger_after(
        self, local: Local, uow: UnitOfWork
    ) -> tuple[tuple[str, str | None, int], ...]:
        """Who booked what for which order. (Which row came first is told by the balance.)"""
        entries = getattr(uow, "ledger", ())
        new = [(_owner(entry), entry.order_id, entry.delta) for entry in entries]
        return tuple(sorted([*local.ledger, *new], key=str))


def _owner(entry: Any) -> str:
    return str(getattr(entry, "customer_id", None) or entry.product_id)


def _timeless(row: Any) -> Any:
    """What is due later may be due at once: the model tries every moment.

    And how often a product sold out is no part of the saga.
    """
    if isinstance(row, Product):
        return msgspec.structs.replace(row, version=1)
    if getattr(row, "retry_at", None) is not None:
        return msgspec.structs.replace(row, retry_at=NOW)
    return row
