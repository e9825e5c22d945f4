"""The car service over HTTP."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from car import store
from car.commands import AddStation, PickUpCar
from car.domain import RentalState
from car.unit_of_work import CarUnitOfWork
from chassis.service import Service
from chassis.web.access import PUBLIC, SIGNED_IN
from chassis.web.actions import records, records_for_others
from chassis.web.schemas import Body, View, created, refusals
from saga.errors import NotFound

CarService = NamedDependency[Service[CarUnitOfWork]]
StationId = Annotated[UUID, PathParameter(name="stationId")]
TripId = Annotated[UUID, PathParameter(name="tripId")]


class NewStation(Body):
    cars: Annotated[int, msgspec.Meta(ge=0, le=1000)]


class StationView(View):
    station_id: str
    cars: int
    free: int


class RentalView(View):
    trip_id: str
    station_id: str
    state: RentalState


class StationController(Controller):
    path = "/stations"
    tags = ("stations",)

    @post(
        summary="Add a rental station",
        guards=[SIGNED_IN],
        opt=records("STATION_ADD", on="stationId"),
        responses=refusals(body=True),
    )
    async def add(self, data: JSONBody[NewStation], service: CarService) -> Response[StationView]:
        command = AddStation(station_id=service.new_id(), cars=data.cars)
        station = (await service.ask(command)).result
        return created(StationView.of(station), f"/stations/{station.station_id}")

    @get("/{stationId:str}", summary="One rental station", guards=[PUBLIC], responses=refusals(404))
    async def read(self, station_id: StationId, service: CarService) -> StationView:
        async with service.reading() as connection:
            station = await store.find_station(connection, str(station_id))
        if station is None:
            raise NotFound(f"there is no station {station_id}", code="STATION_NOT_FOUND")
        return StationView.of(station)


class RentalController(Controller):
    path = "/rentals"
    tags = ("rentals",)

    @post(
        "/{tripId:str}/pick-up",
        status_code=200,
        summary="Hand a trip's car over; the trip can't be cancelled any more",
        guards=[SIGNED_IN],
        opt=records_for_others("TRIP_PICK_UP", on="tripId"),
        responses=refusals(404, 409),
    )
    async def pick_up(self, trip_id: TripId, service: CarService) -> RentalView:
        return RentalView.of((await service.ask(PickUpCar(trip_id=str(trip_id)))).result)


ROUTES = [StationController, RentalController]
