"""Builds the coupon service: participant and routes."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.web import app
from chassis.web.document import Vocabulary
from chassis.web.error_codes import codes_of
from chassis.web.keys import PublishedKeys
from coupon import errors, store, tables
from coupon.commands import BookIssued
from coupon.domain import UNSETTLED
from coupon.reactions import reactions
from coupon.routes import coupons, recovery
from coupon.settings import Settings
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import SigningKeyPublished
from events.descriptions import DESCRIPTIONS
from events.examples import EXAMPLES
from events.messages import FOLDER
from events.roles import AGENTS

participant: Participant[CouponUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.holds_table,
    unsettled=UNSETTLED,
    bookings=(BookIssued,),
    upgrades=tables.UPGRADES,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(
        participant, settings, ports, components=(PublishedKeys(SigningKeyPublished),)
    )
    return app.build(
        service,
        [*coupons.ROUTES, *recovery.ROUTES],
        title="coupon",
        description="Coupons: defining, issuing and validating them. Orders use them.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
