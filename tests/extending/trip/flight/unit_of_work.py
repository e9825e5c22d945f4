"""What the reactions and commands of the flight service work on."""

from datetime import datetime

from flight.domain import Flight, Trip, TripState
from saga.unit_of_work import Rows, UnitOfWork


class FlightUnitOfWork(UnitOfWork):
    """The rows of a batch."""

    def __init__(self, now: datetime, flights: Rows[str, Flight], trips: Rows[str, Trip]) -> None:
        super().__init__(now, flights, trips)
        self.flights = flights
        self.trips = trips

    def in_state(self, trip_id: str, *states: TripState) -> Trip | None:
        """The trip, if it is in one of these states."""
        trip = self.trips.get(trip_id)
        return trip if trip is not None and trip.state in states else None

    def release_seat(self, trip: Trip) -> None:
        self.flights[trip.flight_id] = self.flights[trip.flight_id].release_one()
