"""Where the order service is put together."""

from litestar import Litestar

from chassis.ports import REAL, Ports
from chassis.processing.batch import Participant
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.settings import Settings
from chassis.web import app
from order import store
from order.domain import UNSETTLED, Orders
from order.hot_products import HotProductAdmission
from order.live import Live
from order.load_shedding import OrderLoadShedding
from order.reactions import reactions
from order.routes import carts, hot_products, live
from order.routes.orders import ROUTES

participant: Participant[Orders] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    order_rows=store.orders_table,
    unsettled=UNSETTLED,
    timers=(Timer(store.overdue),),
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    parts = (HotProductAdmission(settings), OrderLoadShedding(settings), Live(settings))
    return app.build(
        Service(participant, settings, ports, parts=parts),
        [*ROUTES, *carts.ROUTES, *live.ROUTES, *hot_products.ROUTES],
        title="order",
        description="Orders: placing, following, listing and cancelling them; and carts.",
    )
