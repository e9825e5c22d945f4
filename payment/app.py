"""Where the payment service is put together."""

from litestar import Litestar

from chassis.ports import REAL, Ports
from chassis.processing.batch import Participant
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.settings import Settings
from chassis.web import app
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
    return app.build(
        service,
        ROUTES,
        title="payment",
        description="Wallets, and the payments that orders make from them or by card.",
    )
