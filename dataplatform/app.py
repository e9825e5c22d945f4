"""Builds the data platform's sender: participant, client of the platform and routes."""

from litestar import Litestar
from msgspec.structs import replace

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.web import app
from chassis.web.document import Vocabulary
from chassis.web.error_codes import codes_of
from chassis.web.keys import PublishedKeys
from dataplatform import errors, store, tables
from dataplatform.domain import UNSETTLED
from dataplatform.reactions import reactions
from dataplatform.routes import ROUTES
from dataplatform.sender import Sender
from dataplatform.settings import Settings
from dataplatform.unit_of_work import DeliveryUnitOfWork
from events.contract import SigningKeyPublished
from events.descriptions import DESCRIPTIONS
from events.examples import EXAMPLES
from events.messages import FOLDER
from events.roles import AGENTS

POLL_SECONDS = 0.25
"""How often the sender looks for due deliveries."""

participant: Participant[DeliveryUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.deliveries_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    sender = Sender(settings.data_platform_url, ports.clock)
    with_timer = replace(participant, timers=(Timer(sender.find_due, POLL_SECONDS),))
    service = Service(
        with_timer, settings, ports, sender, components=(sender, PublishedKeys(SigningKeyPublished))
    )
    return app.build(
        service,
        ROUTES,
        title="dataplatform",
        description="Completed orders and their delivery to the data platform.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
