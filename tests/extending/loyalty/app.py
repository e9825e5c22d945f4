"""Where the loyalty service is put together."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.settings import Settings
from chassis.web import app
from loyalty import store
from loyalty.domain import UNSETTLED, Rewards
from loyalty.reactions import reactions
from loyalty.routes import ROUTES

participant: Participant[Rewards] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    saga_rows=store.rewards_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return app.build(
        service, ROUTES, title="loyalty", description="Points that customers get for their orders."
    )
