"""The commands of the hotel service."""

import msgspec


class AddHotel(msgspec.Struct, frozen=True, kw_only=True):
    hotel_id: str
    rooms: int
