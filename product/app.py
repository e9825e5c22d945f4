"""Wires the product service."""

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
from product import errors, store, tables
from product.commands import SEED, BookStock
from product.domain import UNSETTLED
from product.hot_products import StockPublisher
from product.ranking import Rankings
from product.reactions import reactions
from product.routes import categories, popular, recovery, stock_history, waitlist
from product.routes.products import ROUTES, StockCache
from product.settings import Settings
from product.unit_of_work import ProductUnitOfWork

participant: Participant[ProductUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.holds_table,
    unsettled=UNSETTLED,
    seed=SEED,
    bookings=(BookStock,),
    timers=(Timer(store.find_expired_waits), Timer(store.find_shown_wrongly, 5.0)),
    upgrades=tables.UPGRADES,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    components = (
        StockCache(settings.redis_url),
        StockPublisher(settings),
        Rankings(),
        PublishedKeys(SigningKeyPublished),
    )
    return app.build(
        Service(participant, settings, ports, components=components),
        [
            *ROUTES,
            *categories.ROUTES,
            *popular.ROUTES,
            *stock_history.ROUTES,
            *waitlist.ROUTES,
            *recovery.ROUTES,
        ],
        title="product",
        description="Products and prices, their stock, and its ledger.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
