"""Where the product service is put together."""

from litestar import Litestar

from infra import web
from infra.batch import Participant
from infra.ports import REAL, Ports
from infra.read_cache import ReadCache
from infra.service import Service
from infra.settings import Settings
from product import store
from product.domain import SEED, UNSETTLED, Shelves
from product.gate import Teller
from product.reactions import reactions
from product.routes import ROUTES, Availability

participant: Participant[Shelves] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=store.schema,
    order_rows=store.holds_table,
    unsettled=UNSETTLED,
    seed=SEED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    stock_cache = ReadCache("stock", Availability, settings.redis_url)
    teller = Teller(settings)

    def committed(shelves: Shelves) -> None:
        stock_cache.forget(shelves.products.kept)
        teller.committed(shelves)

    return web.build(
        Service(participant, settings, ports, committed=committed),
        ROUTES,
        title="product",
        description="Products and prices, their stock, and its ledger.",
        provides={"stock_cache": stock_cache, "teller": teller},
    )
