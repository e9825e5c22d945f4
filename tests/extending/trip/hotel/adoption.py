"""How the hotel service adopts what it had published before its database was restored."""

from hotel.domain import StayState
from hotel.unit_of_work import HotelUnitOfWork
from saga.adoption import Adoptions, CannotAdopt
from saga.event import Event
from trip_events.contract import CONTRACT, RoomHeld, RoomRefused, RoomReleased, SeatHeld

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_held(event: RoomHeld, uow: HotelUnitOfWork, cause: Event | None) -> str | None:
    """The trip has its room, even one more than there are."""
    if event.trip_id in uow.stays:
        return None
    hotel = uow.hotels.get(cause.hotel_id) if isinstance(cause, SeatHeld) else None
    if hotel is None:
        raise CannotAdopt("the hotel is not in the backup, or its SeatHeld not in the stream")
    held = uow.hotels[hotel.hotel_id] = hotel.hold_one()
    uow.record(event.trip_id, hotel.hotel_id, StayState.HELD)
    return f"hotel {hotel.hotel_id} is overbooked by {-held.free}" if held.free < 0 else None


@adoptions.rule
def adopt_refused(event: RoomRefused, uow: HotelUnitOfWork, cause: Event | None) -> str | None:
    """There was no room."""
    if event.trip_id not in uow.stays:
        if not isinstance(cause, SeatHeld):
            raise CannotAdopt("the trip's SeatHeld is not in the stream")
        uow.record(event.trip_id, cause.hotel_id, StayState.REFUSED)
    return None


@adoptions.rule
def adopt_released(event: RoomReleased, uow: HotelUnitOfWork) -> str | None:
    """The room is free again."""
    stay = uow.stays.get(event.trip_id)
    if stay is None:
        raise CannotAdopt("neither the database nor the stream has the trip's stay")
    if stay.state in (StayState.HELD, StayState.BOOKED):
        uow.hotels[stay.hotel_id] = uow.hotels[stay.hotel_id].release_one()
        uow.stays[stay.trip_id] = stay.move_to(StayState.RELEASED, uow.now)
    return None
