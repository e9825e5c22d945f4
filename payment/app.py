"""Where the payment service is put together."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.web import app
from payment import gateway, store
from payment.alarms import OrphanedCaptureAlarm
from payment.domain import SEED, UNSETTLED, Wallets
from payment.reactions import reactions
from payment.routes import ROUTES
from payment.settings import Settings

participant: Participant[Wallets] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    saga_rows=store.payments_table,
    unsettled=UNSETTLED,
    seed=SEED,
    timers=(Timer(store.unanswered),),
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    external_system = ports.external_system or gateway.connect(settings, ports.clock)
    service = Service(
        participant, settings, ports, external_system, components=(OrphanedCaptureAlarm(),)
    )
    return app.build(
        service,
        ROUTES,
        title="payment",
        description="Wallets, and the payments that orders make from them or by card.",
    )
