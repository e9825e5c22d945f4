"""Rental stations, and the trips that have a car of one. Pure: no clock, no I/O, no framework.

A trip's row moves forward only; a car that was picked up can't be released:

    NONE -> BOOKED -> PICKED_UP
     |        |
     v        v
    REFUSED  RELEASED
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class RentalState(StrEnum):
    BOOKED = "BOOKED"
    PICKED_UP = "PICKED_UP"
    REFUSED = "REFUSED"
    RELEASED = "RELEASED"


UNSETTLED: frozenset[str] = frozenset()
"""The pivot decides at once, and waits for no other participant."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    station_id: str
    cars: int
    free: int

    def book_one(self) -> "Station":
        return msgspec.structs.replace(self, free=self.free - 1)

    def release_one(self) -> "Station":
        return msgspec.structs.replace(self, free=self.free + 1)


class Rental(msgspec.Struct, frozen=True, kw_only=True):
    """A trip's row in this service."""

    trip_id: str
    station_id: str
    state: RentalState
    updated_at: datetime

    def move_to(self, state: RentalState, now: datetime) -> "Rental":
        return msgspec.structs.replace(self, state=state, updated_at=now)
