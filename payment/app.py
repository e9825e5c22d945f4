"""Wires the payment service."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.web import app
from chassis.web.document import Vocabulary
from chassis.web.error_codes import codes_of
from chassis.web.keys import PublishedKeys
from events.contract import SigningKeyPublished
from events.descriptions import DESCRIPTIONS
from events.examples import EXAMPLES
from events.messages import FOLDER
from events.roles import AGENTS

# gateway, store, tables
from payment import errors, gateway, store, tables
from payment.alarms import OrphanedCaptureAlarm
from payment.commands import SEED, BookCharge
from payment.domain import UNSETTLED
from payment.reactions import reactions
from payment.routes import payments, recovery, wallets
from payment.settings import Settings
from payment.unit_of_work import PaymentUnitOfWork

participant: Participant[PaymentUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.payments_table,
    unsettled=UNSETTLED,
    seed=SEED,
    bookings=(BookCharge,),
    timers=(Timer(store.find_overdue_calls),),
    upgrades=tables.UPGRADES,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    external_system = ports.external_system or gateway.connect(settings, ports.clock)
    service = Service(
        participant,
        settings,
        ports,
        external_system,
        components=(OrphanedCaptureAlarm(), PublishedKeys(SigningKeyPublished)),
    )
    return app.build(
        service,
        [*wallets.ROUTES, *payments.ROUTES, *recovery.ROUTES],
        title="payment",
        description="Wallets, and the payments that orders make from them or by card.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
