"""The flight service over HTTP."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from chassis.service import Service
from chassis.web.access import PUBLIC, SIGNED_IN
from chassis.web.actions import records, records_for_others
from chassis.web.idempotency import key_of
from chassis.web.schemas import Body, OptionalKey, View, created, refusals
from flight import store
from flight.commands import AddFlight, BookTrip, CancelTrip
from flight.domain import TripState
from flight.unit_of_work import FlightUnitOfWork
from saga.errors import NotFound
from trip_events.contract import Refusal

FlightService = NamedDependency[Service[FlightUnitOfWork]]
FlightId = Annotated[UUID, PathParameter(name="flightId")]
TripId = Annotated[UUID, PathParameter(name="tripId")]


class NewFlight(Body):
    seats: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class NewTrip(Body):
    customer_id: UUID
    flight_id: UUID
    hotel_id: UUID
    station_id: UUID


class FlightView(View):
    flight_id: str
    seats: int
    free: int


class TripView(View):
    """While a cancel is under way the state is CANCELLING; refused, it is BOOKED again."""

    trip_id: str
    customer_id: str
    flight_id: str
    state: TripState
    fail_reason: Refusal | None


class FlightController(Controller):
    path = "/flights"
    tags = ("flights",)

    @post(
        summary="Add a flight",
        guards=[SIGNED_IN],
        opt=records("FLIGHT_ADD", on="flightId"),
        responses=refusals(body=True),
    )
    async def add(self, data: JSONBody[NewFlight], service: FlightService) -> Response[FlightView]:
        command = AddFlight(flight_id=service.new_id(), seats=data.seats)
        flight = (await service.ask(command)).result
        return created(FlightView.of(flight), f"/flights/{flight.flight_id}")

    @get("/{flightId:str}", summary="One flight", guards=[PUBLIC], responses=refusals(404))
    async def read(self, flight_id: FlightId, service: FlightService) -> FlightView:
        async with service.reading() as connection:
            flight = await store.find_flight(connection, str(flight_id))
        if flight is None:
            raise NotFound(f"there is no flight {flight_id}", code="FLIGHT_NOT_FOUND")
        return FlightView.of(flight)


class TripController(Controller):
    path = "/trips"
    tags = ("trips",)

    @post(
        status_code=202,
        summary="Book a trip",
        guards=[SIGNED_IN],
        opt=records_for_others("TRIP_BOOK", on="tripId"),
        responses=refusals(404, 409, 422, body=True),
    )
    async def book(
        self,
        data: JSONBody[NewTrip],
        service: FlightService,
        idempotency_key: OptionalKey = None,
    ) -> TripView:
        command = BookTrip(
            trip_id=service.new_id(),
            customer_id=str(data.customer_id),
            flight_id=str(data.flight_id),
            hotel_id=str(data.hotel_id),
            station_id=str(data.station_id),
        )
        done = await service.ask(command, key_of("trips", idempotency_key, data))
        return TripView.of(done.result)

    @get("/{tripId:str}", summary="One trip", guards=[PUBLIC], responses=refusals(404))
    async def read(self, trip_id: TripId, service: FlightService) -> TripView:
        async with service.reading() as connection:
            trip = await store.find_trip(connection, str(trip_id))
        if trip is None:
            raise NotFound(f"there is no trip {trip_id}", code="TRIP_NOT_FOUND")
        return TripView.of(trip)

    @post(
        "/{tripId:str}/cancel",
        status_code=202,
        summary="Cancel a booked trip",
        guards=[SIGNED_IN],
        opt=records_for_others("TRIP_CANCEL", on="tripId"),
        responses=refusals(404, 409),
    )
    async def cancel(self, trip_id: TripId, service: FlightService) -> TripView:
        return TripView.of((await service.ask(CancelTrip(trip_id=str(trip_id)))).result)


ROUTES = [FlightController, TripController]
