"""What the data platform is owed: a delivery for each completed order. Pure: no clock, no I/O.

    NONE -> PENDING -> SENT

A delivery is PENDING until the platform has accepted it, however long that takes. Whoever tries it
takes it in hand first, for a while in which nobody else does (a *lease*); a try that failed puts it
off, for longer each time.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from events.contract import AmountKrw, Line, OrderCompleted
from saga.event import Id
from saga.unit_of_work import Rows, UnitOfWork

LEASE_SECONDS = 30
"""A delivery that was taken in hand and of which nobody has heard by then is tried again."""

FIRST_PAUSE_SECONDS = 1
MAX_PAUSE_SECONDS = 300


class DeliveryState(StrEnum):
    PENDING = "PENDING"
    SENT = "SENT"


UNSETTLED = frozenset({DeliveryState.PENDING})


class CompletedOrder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the platform is sent, field by field: the contract with the outside. Amounts in won."""

    order_id: Id
    customer_id: Id
    items: tuple[Line, ...]
    total_amount: AmountKrw
    discount_amount: AmountKrw
    payable_amount: AmountKrw
    completed_at: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service.

    `body` is kept as it is sent: under one key the platform always sees the same. `attempts` counts
    how often it was taken in hand, `last_error` is why the last try failed, `next_at` when it is
    due again; None once it is sent.
    """

    order_id: str
    state: DeliveryState
    body: CompletedOrder
    attempts: int
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None
    sent_at: datetime | None

    def is_due(self, now: datetime) -> bool:
        return self.next_at is not None and self.next_at <= now

    @property
    def pause_seconds(self) -> float:
        """Until the next try: twice as long each time. Orders differ, so that they spread."""
        doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(self.attempts - 1, 20)
        spread = 0.75 + int(self.order_id[-4:], 16) / 0x20000  # 0.75 to 1.25
        return min(doubled, MAX_PAUSE_SECONDS) * spread


class Deliveries(UnitOfWork):
    """What a batch works on."""

    def __init__(self, now: datetime, rows: Rows[str, Delivery]) -> None:
        super().__init__(now, rows)
        self.rows = rows

    def record(self, event: OrderCompleted) -> None:
        """Write down what is owed for an order; it is due at once."""
        body = {name: getattr(event, name) for name in CompletedOrder.__struct_fields__}
        self.rows[event.order_id] = Delivery(
            order_id=event.order_id,
            state=DeliveryState.PENDING,
            body=CompletedOrder(**body),
            attempts=0,
            last_error=None,
            created_at=self.now,
            updated_at=self.now,
            next_at=self.now,
            sent_at=None,
        )

    def pending(self, order_id: str) -> Delivery | None:
        """The order's delivery, if it is not sent yet."""
        delivery = self.rows.get(order_id)
        return delivery if delivery and delivery.state is DeliveryState.PENDING else None

    def move(self, delivery: Delivery, **changes: object) -> None:
        moved = msgspec.structs.replace(delivery, updated_at=self.now, **changes)
        self.rows[delivery.order_id] = moved

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)


# ---------------------------------------------------------------- commands


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """This delivery is due."""

    order_id: str


class DeliveryAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The platform has it."""

    order_id: str


class DeliveryFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The platform does not have it, or nobody knows. `wait_seconds` is what it asked for."""

    order_id: str
    error: str
    wait_seconds: int = 0
