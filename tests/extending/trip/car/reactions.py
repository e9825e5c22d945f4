"""What the car service does for each event and command."""

from car.adoption import adoptions
from car.commands import AddStation, PickUpCar
from car.domain import Rental, RentalState, Station
from car.unit_of_work import CarUnitOfWork
from saga.errors import Conflict, NotFound
from saga.reactions import Reactions
from trip_events.contract import (
    CONTRACT,
    CancelRefused,
    CarBooked,
    CarRefused,
    CarReleased,
    Refusal,
    RoomHeld,
    TripCancelRequested,
)

reactions = Reactions("car", CONTRACT, adoptions)


@reactions.on
def book_car(event: RoomHeld, uow: CarUnitOfWork) -> CarBooked | CarRefused | None:
    """Decide about the trip: book a car, the last part, or refuse it."""
    if event.trip_id in uow.rentals:
        return None
    station = uow.stations.get(event.station_id)
    if station is None or not station.free:
        uow.record(event.trip_id, event.station_id, RentalState.REFUSED)
        return CarRefused(trip_id=event.trip_id, reason=Refusal.NO_CAR)
    uow.stations[station.station_id] = station.book_one()
    uow.record(event.trip_id, event.station_id, RentalState.BOOKED)
    return CarBooked(trip_id=event.trip_id)


@reactions.on
def release_car(
    event: TripCancelRequested, uow: CarUnitOfWork
) -> CarReleased | CancelRefused | None:
    """The customer cancels: release the car, unless it was picked up."""
    rental = uow.rentals.get(event.trip_id)
    if rental is None:
        return None
    if rental.state is RentalState.PICKED_UP:
        return CancelRefused(trip_id=rental.trip_id, attempt=event.attempt)
    if rental.state is not RentalState.BOOKED:
        return None
    uow.stations[rental.station_id] = uow.stations[rental.station_id].release_one()
    uow.rentals[rental.trip_id] = rental.move_to(RentalState.RELEASED, uow.now)
    return CarReleased(trip_id=rental.trip_id)


@reactions.command
def add_station(command: AddStation, uow: CarUnitOfWork) -> Station:
    """Add a rental station, with all of its cars free."""
    station = Station(station_id=command.station_id, cars=command.cars, free=command.cars)
    uow.stations[station.station_id] = station
    return station


@reactions.command
def pick_up_car(command: PickUpCar, uow: CarUnitOfWork) -> Rental:
    """Hand the car over. Raises NotFound, and Conflict when there is no car to pick up."""
    rental = uow.rentals.get(command.trip_id)
    if rental is None:
        raise NotFound(f"there is no rental for trip {command.trip_id}", code="RENTAL_NOT_FOUND")
    if rental.state not in (RentalState.BOOKED, RentalState.PICKED_UP):
        raise Conflict(f"the rental is {rental.state}, not BOOKED", code="INVALID_STATE")
    uow.rentals[rental.trip_id] = rental.move_to(RentalState.PICKED_UP, uow.now)
    return uow.rentals[rental.trip_id]
