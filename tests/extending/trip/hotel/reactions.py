"""What the hotel service does for each event and command."""

from hotel.adoption import adoptions
from hotel.commands import AddHotel
from hotel.domain import Hotel, StayState
from hotel.unit_of_work import HotelUnitOfWork
from saga.reactions import Reactions
from trip_events.contract import (
    CONTRACT,
    CarBooked,
    CarRefused,
    CarReleased,
    Refusal,
    RoomHeld,
    RoomRefused,
    RoomReleased,
    SeatHeld,
)

reactions = Reactions("hotel", CONTRACT, adoptions)


@reactions.on
def hold_room(event: SeatHeld, uow: HotelUnitOfWork) -> RoomHeld | RoomRefused | None:
    """Hold a room for the trip, or refuse it."""
    if event.trip_id in uow.stays:
        return None
    hotel = uow.hotels.get(event.hotel_id)
    if hotel is None or not hotel.free:
        uow.record(event.trip_id, event.hotel_id, StayState.REFUSED)
        return RoomRefused(trip_id=event.trip_id, reason=Refusal.NO_ROOM)
    uow.hotels[hotel.hotel_id] = hotel.hold_one()
    uow.record(event.trip_id, event.hotel_id, StayState.HELD)
    return RoomHeld(trip_id=event.trip_id, station_id=event.station_id)


@reactions.on
def book(event: CarBooked, uow: HotelUnitOfWork) -> None:
    """The trip is booked, and its room with it."""
    stay = uow.stays.get(event.trip_id)
    if stay is not None and stay.state is StayState.HELD:
        uow.stays[stay.trip_id] = stay.move_to(StayState.BOOKED, uow.now)


@reactions.compensation
def release_room(event: CarRefused | CarReleased, uow: HotelUnitOfWork) -> RoomReleased | None:
    """There is no car, or the customer cancelled: the room is free again."""
    stay = uow.stays.get(event.trip_id)
    if stay is None or stay.state not in (StayState.HELD, StayState.BOOKED):
        return None
    uow.hotels[stay.hotel_id] = uow.hotels[stay.hotel_id].release_one()
    uow.stays[stay.trip_id] = stay.move_to(StayState.RELEASED, uow.now)
    reason = event.reason if isinstance(event, CarRefused) else None
    return RoomReleased(trip_id=stay.trip_id, reason=reason)


@reactions.command
def add_hotel(command: AddHotel, uow: HotelUnitOfWork) -> Hotel:
    """Add a hotel, with all of its rooms free."""
    hotel = Hotel(hotel_id=command.hotel_id, rooms=command.rooms, free=command.rooms)
    uow.hotels[hotel.hotel_id] = hotel
    return hotel
