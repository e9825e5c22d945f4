"""Deliveries to the data platform: one for each completed order. Pure: no clock, no I/O.

    NONE -> PENDING -> SENT

A delivery is PENDING until the platform has accepted it, however long that takes. An instance
leases a delivery before it sends it, so that no other instance sends it at the same time. A failed
attempt postpones the delivery, by a longer pause each time.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import AmountKrw, Line
from saga.due import is_due
from saga.event import Id

LEASE_SECONDS = 30
"""A leased delivery without an outcome by then is sent again."""

FIRST_PAUSE_SECONDS = 1
MAX_PAUSE_SECONDS = 300
MAX_SPREAD = 1.25
LONGEST_PAUSE_SECONDS = MAX_PAUSE_SECONDS * MAX_SPREAD


class DeliveryState(StrEnum):
    """PENDING until the platform has accepted it."""

    PENDING = "PENDING"
    SENT = "SENT"


UNSETTLED = frozenset({DeliveryState.PENDING})


class CompletedOrder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The integration event: what is sent to the platform. Amounts in KRW."""

    order_id: Id
    customer_id: Id
    items: tuple[Line, ...]
    total_amount: AmountKrw
    discount_amount: AmountKrw
    payable_amount: AmountKrw
    completed_at: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service.

    `body` is stored as it is sent, so that every attempt sends the same under the same key.
    `attempts` counts the leases, `last_error` is why the last attempt failed, `next_at` when the
    next one is due; None when it is sent.
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
        return self.next_at is not None and is_due(self.next_at, now, LONGEST_PAUSE_SECONDS)

    @property
    def pause_seconds(self) -> float:
        """Until the next attempt: doubled each time, and spread, so that orders don't retry in
        step."""
        doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(self.attempts - 1, 20)
        spread = 0.75 + int(self.order_id[-4:], 16) / 0x20000  # 0.75 to 1.25
        return min(doubled, MAX_PAUSE_SECONDS) * spread
