"""Builds the hotel service: participant and routes."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.web import app
from hotel import store, tables
from hotel.domain import UNSETTLED
from hotel.reactions import reactions
from hotel.routes import ROUTES
from hotel.settings import Settings
from hotel.unit_of_work import HotelUnitOfWork

participant: Participant[HotelUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.stays_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return app.build(service, ROUTES, title="hotel", description="Hotels, and rooms for trips.")
