"""Where the loyalty service is put together."""

from litestar import Litestar

from infra import web
from infra.batch import Participant
from infra.ports import REAL, Ports
from infra.service import Service
from infra.settings import Settings
from loyalty import store
from loyalty.domain import UNSETTLED, Rewards
from loyalty.reactions import reactions
from loyalty.routes import ROUTES

participant: Participant[Rewards] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    order_rows=store.rewards_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return web.build(
        service, ROUTES, title="loyalty", description="Points that customers get for their orders."
    )
