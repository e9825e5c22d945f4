"""Hotels, and the trips that hold a room in one. Pure: no clock, no I/O, no framework.

A trip's row moves forward only:

    NONE -> HELD -> BOOKED
     |       |        |
     v       v        v
    REFUSED  RELEASED
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class StayState(StrEnum):
    HELD = "HELD"
    BOOKED = "BOOKED"
    REFUSED = "REFUSED"
    RELEASED = "RELEASED"


UNSETTLED = frozenset({StayState.HELD})


class Hotel(msgspec.Struct, frozen=True, kw_only=True):
    hotel_id: str
    rooms: int
    free: int

    def hold_one(self) -> "Hotel":
        return msgspec.structs.replace(self, free=self.free - 1)

    def release_one(self) -> "Hotel":
        return msgspec.structs.replace(self, free=self.free + 1)


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A trip's row in this service."""

    trip_id: str
    hotel_id: str
    state: StayState
    updated_at: datetime

    def move_to(self, state: StayState, now: datetime) -> "Stay":
        return msgspec.structs.replace(self, state=state, updated_at=now)
