"""How the car service adopts what it had published before its database was restored."""

from car.domain import Rental, RentalState
from car.unit_of_work import CarUnitOfWork
from saga.adoption import Adoptions, CannotAdopt
from saga.event import Event
from trip_events.contract import (
    CONTRACT,
    CancelRefused,
    CarBooked,
    CarRefused,
    CarReleased,
    RoomHeld,
)

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_booked(event: CarBooked, uow: CarUnitOfWork, cause: Event | None) -> str | None:
    """The trip has its car, even one more than there are."""
    if event.trip_id in uow.rentals:
        return None
    station = uow.stations.get(cause.station_id) if isinstance(cause, RoomHeld) else None
    if station is None:
        raise CannotAdopt("the station is not in the backup, or its RoomHeld not in the stream")
    booked = uow.stations[station.station_id] = station.book_one()
    uow.record(event.trip_id, station.station_id, RentalState.BOOKED)
    lacks = f"station {station.station_id} is overbooked by {-booked.free}"
    return lacks if booked.free < 0 else None


@adoptions.rule
def adopt_refused(event: CarRefused, uow: CarUnitOfWork, cause: Event | None) -> str | None:
    """There was no car."""
    if event.trip_id not in uow.rentals:
        if not isinstance(cause, RoomHeld):
            raise CannotAdopt("the trip's RoomHeld is not in the stream")
        uow.record(event.trip_id, cause.station_id, RentalState.REFUSED)
    return None


@adoptions.rule
def adopt_released(event: CarReleased, uow: CarUnitOfWork) -> str | None:
    """The car is free again."""
    rental = _rental_of(event, uow)
    if rental.state is not RentalState.RELEASED:
        uow.stations[rental.station_id] = uow.stations[rental.station_id].release_one()
        uow.rentals[rental.trip_id] = rental.move_to(RentalState.RELEASED, uow.now)
    return None


@adoptions.rule
def adopt_cancel_refused(event: CancelRefused, uow: CarUnitOfWork) -> str | None:
    """The car had been picked up, which is in no other event."""
    rental = _rental_of(event, uow)
    uow.rentals[rental.trip_id] = rental.move_to(RentalState.PICKED_UP, uow.now)
    return None


def _rental_of(event: CarReleased | CancelRefused, uow: CarUnitOfWork) -> Rental:
    rental = uow.rentals.get(event.trip_id)
    if rental is None:
        raise CannotAdopt("neither the database nor the stream has the trip's rental")
    return rental
