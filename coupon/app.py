"""Where the coupon service is put together."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.service import Service
from chassis.web import app
from coupon import store
from coupon.domain import UNSETTLED, Coupons
from coupon.reactions import reactions
from coupon.routes import ROUTES
from coupon.settings import Settings

participant: Participant[Coupons] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    saga_rows=store.holds_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    service = Service(participant, settings, ports)
    return app.build(
        service,
        ROUTES,
        title="coupon",
        description="Coupons: defining, issuing and validating them. Orders use them.",
    )
