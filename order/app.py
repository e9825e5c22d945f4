"""Builds the order service: participant, background components and routes."""

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

# store, tables
from order import errors, store, tables
from order.domain import UNSETTLED
from order.hot_products import HotProductAdmission
from order.live import Listeners
from order.load_shedding import OrderLoadShedding
from order.reactions import reactions
from order.routes import carts, hot_products, live, orders
from order.settings import Settings
from order.unit_of_work import OrderUnitOfWork

participant: Participant[OrderUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.orders_table,
    unsettled=UNSETTLED,
    timers=(Timer(store.find_overdue),),
    upgrades=tables.UPGRADES,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    components = (
        HotProductAdmission(settings),
        OrderLoadShedding(settings),
        Listeners(settings),
        PublishedKeys(SigningKeyPublished),
    )
    return app.build(
        Service(participant, settings, ports, components=components),
        [*orders.ROUTES, *carts.ROUTES, *live.ROUTES, *hot_products.ROUTES],
        title="order",
        description="Orders: placing, following, listing and cancelling them; and carts.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
