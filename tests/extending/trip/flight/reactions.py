"""What the flight service does for each event and command."""

from flight.adoption import adoptions
from flight.commands import AddFlight, BookTrip, CancelTrip
from flight.domain import Flight, Trip, TripState
from flight.unit_of_work import FlightUnitOfWork
from saga.errors import Conflict, NotFound
from saga.reactions import Reactions, Result
from trip_events.contract import (
    CONTRACT,
    CancelRefused,
    CarBooked,
    RoomRefused,
    RoomReleased,
    SeatHeld,
    TripBooked,
    TripCancelled,
    TripCancelRequested,
    TripFailed,
)

reactions = Reactions("flight", CONTRACT, adoptions)


@reactions.on
def confirm(event: CarBooked, uow: FlightUnitOfWork) -> TripBooked | None:
    """All three parts are booked: the trip is."""
    trip = uow.in_state(event.trip_id, TripState.PENDING)
    if trip is None:
        return None
    uow.trips[trip.trip_id] = trip.move_to(TripState.BOOKED, uow.now)
    return TripBooked(trip_id=trip.trip_id, customer_id=trip.customer_id)


@reactions.compensation
def fail(event: RoomRefused, uow: FlightUnitOfWork) -> TripFailed | None:
    """There is no room: release the seat."""
    trip = uow.in_state(event.trip_id, TripState.PENDING)
    if trip is None:
        return None
    uow.release_seat(trip)
    uow.trips[trip.trip_id] = trip.fail(event.reason, uow.now)
    return TripFailed(trip_id=trip.trip_id, customer_id=trip.customer_id, reason=event.reason)


@reactions.compensation
def end(event: RoomReleased, uow: FlightUnitOfWork) -> TripFailed | TripCancelled | None:
    """Car and hotel have undone their parts: release the seat, which ends the trip."""
    trip = uow.in_state(event.trip_id, TripState.PENDING, TripState.CANCELLING)
    if trip is None:
        return None
    uow.release_seat(trip)
    if event.reason is not None:
        uow.trips[trip.trip_id] = trip.fail(event.reason, uow.now)
        return TripFailed(trip_id=trip.trip_id, customer_id=trip.customer_id, reason=event.reason)
    uow.trips[trip.trip_id] = trip.move_to(TripState.CANCELLED, uow.now)
    return TripCancelled(trip_id=trip.trip_id, customer_id=trip.customer_id)


@reactions.on
def keep(event: CancelRefused, uow: FlightUnitOfWork) -> None:
    """The car was picked up: the trip stays booked. An older attempt's refusal is void."""
    trip = uow.in_state(event.trip_id, TripState.CANCELLING)
    if trip is not None and trip.attempt == event.attempt:
        uow.trips[trip.trip_id] = trip.move_to(TripState.BOOKED, uow.now)


@reactions.command
def add_flight(command: AddFlight, uow: FlightUnitOfWork) -> Flight:
    """Add a flight, with all of its seats free."""
    flight = Flight(flight_id=command.flight_id, seats=command.seats, free=command.seats)
    uow.flights[flight.flight_id] = flight
    return flight


@reactions.command
def book_trip(command: BookTrip, uow: FlightUnitOfWork) -> Result[Trip, SeatHeld]:
    """Hold a seat and begin the trip's saga. Raises NotFound, and Conflict when none is free."""
    flight = uow.flights.get(command.flight_id)
    if flight is None:
        raise NotFound(f"there is no flight {command.flight_id}", code="FLIGHT_NOT_FOUND")
    if not flight.free:
        raise Conflict("the flight has no free seat", code="NO_SEAT")
    uow.flights[flight.flight_id] = flight.hold_one()
    trip = Trip(
        trip_id=command.trip_id,
        customer_id=command.customer_id,
        flight_id=command.flight_id,
        state=TripState.PENDING,
        attempt=0,
        fail_reason=None,
        updated_at=uow.now,
    )
    uow.trips[trip.trip_id] = trip
    held = SeatHeld(
        trip_id=trip.trip_id,
        customer_id=trip.customer_id,
        flight_id=trip.flight_id,
        hotel_id=command.hotel_id,
        station_id=command.station_id,
    )
    return Result(trip, held)


@reactions.command
def cancel_trip(command: CancelTrip, uow: FlightUnitOfWork) -> Result[Trip, TripCancelRequested]:
    """Ask for the car's release. A second request joins the cancel that is under way.

    Raises NotFound, and Conflict for a trip that is not booked.
    """
    trip = uow.trips.get(command.trip_id)
    if trip is None:
        raise NotFound(f"there is no trip {command.trip_id}", code="TRIP_NOT_FOUND")
    if trip.state in (TripState.CANCELLING, TripState.CANCELLED):
        return Result(trip)
    if trip.state is not TripState.BOOKED:
        raise Conflict(f"the trip is {trip.state}, not BOOKED", code="INVALID_STATE")
    trip = trip.request_cancel(uow.now, trip.attempt + 1)
    uow.trips[trip.trip_id] = trip
    return Result(trip, TripCancelRequested(trip_id=trip.trip_id, attempt=trip.attempt))
