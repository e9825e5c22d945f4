"""The commands of the car service."""

import msgspec


class AddStation(msgspec.Struct, frozen=True, kw_only=True):
    station_id: str
    cars: int


class PickUpCar(msgspec.Struct, frozen=True, kw_only=True):
    trip_id: str
