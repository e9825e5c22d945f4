"""Where the order service is put together."""

from litestar import Litestar

from infra import web
from infra.batch import Participant
from infra.ports import REAL, Ports
from infra.service import Service
from infra.settings import Settings
from infra.timers import Timer
from order import cart_routes, hot_routes, live_routes, store
from order.domain import UNSETTLED, Orders
from order.door import Door
from order.gate import Gate
from order.live import Live
from order.reactions import reactions
from order.routes import ROUTES

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
    parts = (Gate(settings), Door(settings), Live(settings))
    return web.build(
        Service(participant, settings, ports, parts=parts),
        [*ROUTES, *cart_routes.ROUTES, *live_routes.ROUTES, *hot_routes.ROUTES],
        title="order",
        description="Orders: placing, following, listing and cancelling them; and carts.",
    )
