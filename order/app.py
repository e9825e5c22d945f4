"""Where the order service is put together."""

from litestar import Litestar

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.web import app
from order import store
from order.domain import UNSETTLED, Orders
from order.hot_products import HotProductAdmission
from order.live import Live
from order.load_shedding import OrderLoadShedding
from order.reactions import reactions
from order.routes import carts, hot_products, live
from order.routes.orders import ROUTES
from order.settings import Settings

participant: Participant[Orders] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    saga_rows=store.orders_table,
    unsettled=UNSETTLED,
    timers=(Timer(store.overdue),),
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    components = (HotProductAdmission(settings), OrderLoadShedding(settings), Live(settings))
    return app.build(
        Service(participant, settings, ports, components=components),
        [*ROUTES, *carts.ROUTES, *live.ROUTES, *hot_products.ROUTES],
        title="order",
        description="Orders: placing, following, listing and cancelling them; and carts.",
    )
