"""Where the payment service is put together."""

from litestar import Litestar

from infra import web
from infra.batch import Participant
from infra.ports import REAL, Ports
from infra.service import Service
from infra.settings import Settings
from infra.timers import Timer
from payment import gateway, store
from payment.domain import SEED, UNSETTLED, Wallets
from payment.reactions import reactions
from payment.routes import ROUTES

participant: Participant[Wallets] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    order_rows=store.payments_table,
    unsettled=UNSETTLED,
    seed=SEED,
    timers=(Timer(store.unanswered),),
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    outside = ports.outside or gateway.connect(settings, ports.clock)
    service = Service(participant, settings, ports, outside)
    return web.build(
        service,
        ROUTES,
        title="payment",
        description="Wallets, and the payments that orders make from them or by card.",
    )
