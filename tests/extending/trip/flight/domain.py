"""Flights, and the trips that hold a seat on one. Pure: no clock, no I/O, no framework.

A trip's row moves like this:

    PENDING -> BOOKED <-> CANCELLING -> CANCELLED
       |
       v
    FAILED
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from trip_events.contract import Refusal


class TripState(StrEnum):
    PENDING = "PENDING"
    BOOKED = "BOOKED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


UNSETTLED = frozenset({TripState.PENDING, TripState.CANCELLING})


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    flight_id: str
    seats: int
    free: int

    def hold_one(self) -> "Flight":
        return msgspec.structs.replace(self, free=self.free - 1)

    def release_one(self) -> "Flight":
        return msgspec.structs.replace(self, free=self.free + 1)


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """A trip's row in this service. `attempt` counts the customer's attempts to cancel."""

    trip_id: str
    customer_id: str
    flight_id: str
    state: TripState
    attempt: int
    fail_reason: Refusal | None
    updated_at: datetime

    def move_to(self, state: TripState, now: datetime) -> "Trip":
        return msgspec.structs.replace(self, state=state, updated_at=now)

    def fail(self, reason: Refusal, now: datetime) -> "Trip":
        moved = self.move_to(TripState.FAILED, now)
        return msgspec.structs.replace(moved, fail_reason=reason)

    def request_cancel(self, now: datetime, attempt: int) -> "Trip":
        moved = self.move_to(TripState.CANCELLING, now)
        return msgspec.structs.replace(moved, attempt=attempt)
