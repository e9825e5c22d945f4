"""Where the coupon service is put together."""

from litestar import Litestar

from chassis.ports import REAL, Ports
from chassis.processing.batch import Participant
from chassis.service import Service
from chassis.settings import Settings
from chassis.web import app
from coupon import store
from coupon.domain import UNSETTLED, Coupons
from coupon.reactions import reactions
from coupon.routes import ROUTES

participant: Participant[Coupons] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    order_rows=store.holds_table,
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
