"""Every event of a trip, in the order in which a trip meets them.

A seat on a flight, a room in a hotel and a car are booked together or not at all. The flight takes
the customer's request, the car is the pivot: once it is booked, the trip is.

    way forward     SeatHeld -> RoomHeld -> CarBooked -> TripBooked
    no room         RoomRefused -> TripFailed
    no car          CarRefused -> RoomReleased -> TripFailed
    cancel          TripCancelRequested -> CarReleased -> RoomReleased -> TripCancelled
    cancel refused  TripCancelRequested -> CancelRefused
"""

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from saga.event import Contract, Event, Id, Part, Stream

TRIPS = Stream(name="TRIPS", prefix="trips", key="tripId", is_limited=True)

Counter = Annotated[int, msgspec.Meta(ge=1)]


class Refusal(StrEnum):
    """Why a trip could not be booked."""

    NO_ROOM = "NO_ROOM"
    NO_CAR = "NO_CAR"


class TripEvent(Event, frozen=True, kw_only=True):
    """A step of one trip."""

    stream: ClassVar[Stream] = TRIPS

    trip_id: Id

    @property
    def key(self) -> str:
        return self.trip_id


class SeatHeld(TripEvent, frozen=True, kw_only=True):
    """A seat is held for the trip, which wants this hotel and a car of this station too."""

    customer_id: Id
    flight_id: Id
    hotel_id: Id
    station_id: Id


class RoomHeld(TripEvent, frozen=True, kw_only=True):
    decides: ClassVar[str | None] = "room"

    station_id: Id


class CarBooked(TripEvent, frozen=True, kw_only=True):
    """The last part is booked: from here on the trip is."""

    decides: ClassVar[str | None] = "car"


class TripBooked(TripEvent, frozen=True, kw_only=True):
    final: ClassVar[bool] = True
    decides: ClassVar[str | None] = "trip"

    customer_id: Id


class RoomRefused(TripEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.FAILURE
    failure: ClassVar[bool] = True
    decides: ClassVar[str | None] = "room"

    reason: Refusal


class CarRefused(TripEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.FAILURE
    failure: ClassVar[bool] = True
    decides: ClassVar[str | None] = "car"

    reason: Refusal


class TripFailed(TripEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.FAILURE
    final: ClassVar[bool] = True
    decides: ClassVar[str | None] = "trip"

    customer_id: Id
    reason: Refusal


class TripCancelRequested(TripEvent, frozen=True, kw_only=True):
    """The customer cancels a booked trip. `attempt` counts from 1."""

    part: ClassVar[Part] = Part.REQUEST

    attempt: Counter

    @property
    def occurrence(self) -> int:
        return self.attempt


class CarReleased(TripEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.REQUEST
    failure: ClassVar[bool] = True


class CancelRefused(TripEvent, frozen=True, kw_only=True):
    """The car was picked up already: the trip stays booked."""

    part: ClassVar[Part] = Part.REQUEST

    attempt: Counter

    @property
    def occurrence(self) -> int:
        return self.attempt


class TripCancelled(TripEvent, frozen=True, kw_only=True):
    part: ClassVar[Part] = Part.REQUEST
    final: ClassVar[bool] = True

    customer_id: Id


class RoomReleased(TripEvent, frozen=True, kw_only=True):
    """The hotel has undone its part. `reason` is None where the customer cancelled."""

    part: ClassVar[Part] = Part.UNDONE

    reason: Refusal | None


CONTRACT = Contract(
    SeatHeld,
    RoomHeld,
    CarBooked,
    RoomRefused,
    CarRefused,
    TripCancelRequested,
    CarReleased,
    CancelRefused,
    RoomReleased,
    TripBooked,
    TripFailed,
    TripCancelled,
)
"""Every event by its name, which is also the last token of its subject."""
