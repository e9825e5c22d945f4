"""Where the payment service is put together."""

from litestar import Litestar

from infra import web
from infra.batch import Participant
from infra.ports import REAL, Ports
from infra.service import Service
from infra.settings import Settings
from payment import store
from payment.domain import SEED, UNSETTLED, Wallets
from payment.reactions import reactions
from payment.routes import ROUTES

participant: Participant[Wallets] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    rows=store.payments_table,
    unsettled=UNSETTLED,
    seed=SEED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return web.build(
        service,
        ROUTES,
        title="payment",
        description="Wallets, and the payments that orders make from them.",
    )
