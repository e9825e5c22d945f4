"""Builds the car service: participant and routes."""

from litestar import Litestar

from car import store, tables
from car.commands import PickUpCar
from car.domain import UNSETTLED
from car.reactions import reactions
from car.routes import ROUTES
from car.settings import Settings
from car.unit_of_work import CarUnitOfWork
from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.web import app

participant: Participant[CarUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.rentals_table,
    unsettled=UNSETTLED,
    bookings=(PickUpCar,),
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return app.build(service, ROUTES, title="car", description="Rental cars for trips.")
