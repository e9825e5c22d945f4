"""The commands of the flight service."""

import msgspec


class AddFlight(msgspec.Struct, frozen=True, kw_only=True):
    flight_id: str
    seats: int


class BookTrip(msgspec.Struct, frozen=True, kw_only=True):
    trip_id: str
    customer_id: str
    flight_id: str
    hotel_id: str
    station_id: str


class CancelTrip(msgspec.Struct, frozen=True, kw_only=True):
    trip_id: str
