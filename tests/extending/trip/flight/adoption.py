"""How the flight service adopts what it had published before its database was restored."""

from flight.domain import Trip, TripState
from flight.unit_of_work import FlightUnitOfWork
from saga.adoption import Adoptions, CannotAdopt
from trip_events.contract import (
    CONTRACT,
    SeatHeld,
    TripBooked,
    TripCancelled,
    TripCancelRequested,
    TripEvent,
    TripFailed,
)

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_held(event: SeatHeld, uow: FlightUnitOfWork) -> str | None:
    """The trip has its seat, even one more than there are."""
    flight = uow.flights.get(event.flight_id)
    if flight is None:
        raise CannotAdopt(f"flight {event.flight_id} is not in the backup")
    if event.trip_id in uow.trips:
        return None
    uow.trips[event.trip_id] = Trip(
        trip_id=event.trip_id,
        customer_id=event.customer_id,
        flight_id=event.flight_id,
        state=TripState.PENDING,
        attempt=0,
        fail_reason=None,
        updated_at=uow.now,
    )
    held = uow.flights[event.flight_id] = flight.hold_one()
    return f"flight {event.flight_id} is overbooked by {-held.free}" if held.free < 0 else None


@adoptions.rule
def adopt_booked(event: TripBooked, uow: FlightUnitOfWork) -> str | None:
    """All three parts are booked."""
    trip = _trip_of(event, uow)
    if trip.state is TripState.PENDING:
        uow.trips[trip.trip_id] = trip.move_to(TripState.BOOKED, uow.now)
    return None


@adoptions.rule
def adopt_failed(event: TripFailed, uow: FlightUnitOfWork) -> str | None:
    """The trip failed and gave its seat back."""
    trip = _trip_of(event, uow)
    if trip.state is TripState.PENDING:
        uow.release_seat(trip)
        uow.trips[trip.trip_id] = trip.fail(event.reason, uow.now)
    return None


@adoptions.rule
def adopt_cancel_requested(event: TripCancelRequested, uow: FlightUnitOfWork) -> str | None:
    """The customer cancelled."""
    trip = _trip_of(event, uow)
    if trip.attempt < event.attempt:
        uow.trips[trip.trip_id] = trip.request_cancel(uow.now, event.attempt)
    return None


@adoptions.rule
def adopt_cancelled(event: TripCancelled, uow: FlightUnitOfWork) -> str | None:
    """Everything was undone."""
    trip = _trip_of(event, uow)
    if trip.state is not TripState.CANCELLED:
        uow.release_seat(trip)
        uow.trips[trip.trip_id] = trip.move_to(TripState.CANCELLED, uow.now)
    return None


def _trip_of(event: TripEvent, uow: FlightUnitOfWork) -> Trip:
    trip = uow.trips.get(event.trip_id)
    if trip is None:
        raise CannotAdopt("neither the database nor the stream has the trip's beginning")
    return trip
