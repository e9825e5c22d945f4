"""Builds the newservice service: participant and routes."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.web import app
from chassis.web.document import Vocabulary
from chassis.web.error_codes import codes_of
from chassis.web.keys import PublishedKeys
from events.contract import SigningKeyPublished
from events.descriptions import DESCRIPTIONS
from events.examples import EXAMPLES
from events.roles import AGENTS
from newservice import errors, store, tables
from newservice.domain import UNSETTLED
from newservice.reactions import reactions
from newservice.routes import ROUTES
from newservice.settings import Settings
from newservice.unit_of_work import NewserviceUnitOfWork

participant: Participant[NewserviceUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.orders_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(
        participant, settings, ports, components=(PublishedKeys(SigningKeyPublished),)
    )
    return app.build(
        service,
        ROUTES,
        title="newservice",
        description="Completed orders, counted for each customer.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
    )
