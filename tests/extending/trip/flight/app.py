"""Builds the flight service: participant and routes."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.web import app
from flight import store, tables
from flight.domain import UNSETTLED
from flight.reactions import reactions
from flight.routes import ROUTES
from flight.settings import Settings
from flight.unit_of_work import FlightUnitOfWork

participant: Participant[FlightUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.trips_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return app.build(service, ROUTES, title="flight", description="Flights, and trips on them.")
