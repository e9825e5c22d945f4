"""Where the coupon service is put together."""

from litestar import Litestar

from coupon import store
from coupon.domain import UNSETTLED, Coupons
from coupon.reactions import reactions
from coupon.routes import ROUTES
from infra import web
from infra.batch import Participant
from infra.ports import REAL, Ports
from infra.service import Service
from infra.settings import Settings

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
    return web.build(
        service,
        ROUTES,
        title="coupon",
        description="Coupons: defining, issuing and validating them. Orders use them.",
    )
