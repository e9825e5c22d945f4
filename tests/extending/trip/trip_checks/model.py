"""The trip's model: `python -m tests.correctness.model --of trip_checks.model`."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from car.commands import PickUpCar
from car.domain import RentalState, Station
from car.unit_of_work import CarUnitOfWork
from flight.commands import CancelTrip
from flight.domain import Flight, Trip, TripState
from flight.unit_of_work import FlightUnitOfWork
from hotel.domain import Hotel, StayState
from hotel.unit_of_work import HotelUnitOfWork
from tests.correctness.model.description import (
    NOW,
    Local,
    Locals,
    Move,
    Scenario,
    ServiceModel,
    Violations,
    short,
    table,
)
from trip_checks.ends import ENDS, FORWARD, HOLDS
from trip_events.contract import TRIPS, SeatHeld

TRIP_IDS = (str(UUID(int=1)), str(UUID(int=2)))
CUSTOMER, FLIGHT, HOTEL, STATION = (str(UUID(int=n)) for n in (11, 12, 13, 14))
CANCELS = "cancels"


class TripScenario(Scenario, frozen=True, kw_only=True):
    """`trips` hold seats of one flight, and want rooms of one hotel and cars of one station."""

    trips: int = 1
    rooms: int = 1
    cars: int = 1
    cancels: int = 1
    may_pick_up: bool = True

    @property
    def bounds(self) -> dict[str, int]:
        return {CANCELS: self.cancels}

    def beginning(self) -> Locals:
        """The seats are held; no other service has handled the trips."""
        trips = {trip_id: _trip(trip_id) for trip_id in TRIP_IDS[: self.trips]}
        held = tuple(
            SeatHeld(
                trip_id=trip_id,
                customer_id=CUSTOMER,
                flight_id=FLIGHT,
                hotel_id=HOTEL,
                station_id=STATION,
            )
            for trip_id in trips
        )
        flight = Flight(flight_id=FLIGHT, seats=self.trips, free=0)
        hotel = Hotel(hotel_id=HOTEL, rooms=self.rooms, free=self.rooms)
        station = Station(station_id=STATION, cars=self.cars, free=self.cars)
        return {
            "flight": Local((table({FLIGHT: flight}), table(trips)), (), self.inbox, held),
            "hotel": Local((table({HOTEL: hotel}), ()), (), self.inbox),
            "car": Local((table({STATION: station}), ()), (), self.inbox),
        }

    def commands(self, service: str, local: Local, left: Mapping[str, int]) -> Iterator[Move]:
        for trip_id, row in SERVICES[service].sagas(local).items():
            if row.state is TripState.BOOKED and left[CANCELS]:
                cancel = CancelTrip(trip_id=trip_id)
                yield Move(f"trip {short(trip_id)} is cancelled", cancel, CANCELS)
            if row.state is RentalState.BOOKED and self.may_pick_up:
                pick_up = PickUpCar(trip_id=trip_id)
                yield Move(f"the car of trip {short(trip_id)} is picked up", pick_up)


def _trip(trip_id: str) -> Trip:
    return Trip(
        trip_id=trip_id,
        customer_id=CUSTOMER,
        flight_id=FLIGHT,
        state=TripState.PENDING,
        attempt=0,
        fail_reason=None,
        updated_at=NOW,
    )


SERVICES = {
    "flight": ServiceModel(
        tables=("flights", "trips"),
        unit_of_work=FlightUnitOfWork,
        saga_rows="trips",
        unsettled=frozenset({TripState.PENDING, TripState.CANCELLING}),
    ),
    "hotel": ServiceModel(
        tables=("hotels", "stays"),
        unit_of_work=HotelUnitOfWork,
        saga_rows="stays",
        unsettled=frozenset({StayState.HELD}),
    ),
    "car": ServiceModel(
        tables=("stations", "rentals"),
        unit_of_work=CarUnitOfWork,
        saga_rows="rentals",
        unsettled=frozenset(),
    ),
}


class TripModel:
    saga = "trip"
    streams = (TRIPS,)
    services = SERVICES
    small = (
        TripScenario(name="one trip", duplicates=0),
        TripScenario(name="delivered twice", cancels=2, retransmits=False),
        TripScenario(name="no room", rooms=0),
        TripScenario(name="no car", cars=0),
        TripScenario(name="no inbox", with_inbox=False, duplicates=2, cancels=2, retransmits=False),
        TripScenario(name="a loss", losses=1, duplicates=0, retransmits=False),
        TripScenario(name="two trips, one room", trips=2, cars=2, duplicates=0, retransmits=False),
        TripScenario(name="two trips, one car", trips=2, rooms=2, duplicates=0, retransmits=False),
    )
    full = (
        *small,
        TripScenario(name="one trip, delivered twice", cancels=2),
        TripScenario(name="a loss without inbox", losses=1, with_inbox=False, retransmits=False),
        TripScenario(name="two losses", losses=2, duplicates=0, cancels=2),
        TripScenario(name="a loss, noticed", losses=1, republishes=True, retransmits=False),
        TripScenario(name="two trips and a loss", trips=2, losses=1, duplicates=0, cancels=0),
    )

    def wrong_step(self, service: str, before: Local, after: Local) -> Violations:
        """A trip that moves where it may not."""
        if service != "flight":
            return
        rows = SERVICES[service].sagas(before)
        for trip_id, row in SERVICES[service].sagas(after).items():
            seen = rows[trip_id].state
            if row.state is not seen and (seen, row.state) not in FORWARD:
                yield f"trip {short(trip_id)} went from {seen} to {row.state}"

    def wrong_local(self, service: str, local: Local) -> Violations:
        """A seat, room or car that is neither free nor taken up by a trip."""
        resource: Any
        [(_, resource)] = local.tables[0]
        taken = sum(row.state in HOLDS[service] for row in SERVICES[service].sagas(local).values())
        capacity = getattr(resource, _CAPACITY[service])
        if not 0 <= resource.free == capacity - taken:
            yield f"{service} has {resource.free} of {capacity} free, {taken} are taken up"

    def wrong_at_rest(self, locals_: Locals, _: object) -> Violations:
        """A trip that is neither all done nor all undone."""
        for trip_id, trip in SERVICES["flight"].sagas(locals_["flight"]).items():
            for service, states in ENDS[trip.state].items():
                row = SERVICES[service].sagas(locals_[service]).get(trip_id)
                state = row.state if row else None
                if state not in states:
                    yield f"trip {short(trip_id)} is {trip.state}, {service} has {state}"


_CAPACITY = {"flight": "seats", "hotel": "rooms", "car": "cars"}

MODEL = TripModel()
