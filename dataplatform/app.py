"""Where the data platform's sender is put together."""

from litestar import Litestar
from msgspec.structs import replace

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.web import app
from dataplatform import store
from dataplatform.domain import UNSETTLED, Deliveries
from dataplatform.reactions import reactions
from dataplatform.routes import ROUTES
from dataplatform.sender import Sender
from dataplatform.settings import Settings

LOOK_SECONDS = 0.25

participant: Participant[Deliveries] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    saga_rows=store.deliveries_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    sender = Sender(settings.data_platform_url, ports.clock)
    sending = replace(participant, timers=(Timer(sender.due, LOOK_SECONDS),))
    service = Service(sending, settings, ports, sender, components=(sender,))
    return app.build(
        service,
        ROUTES,
        title="dataplatform",
        description="Completed orders on their way to the data platform.",
    )
