"""HTTP routes of the rankings."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from chassis.web.access import PUBLIC
from chassis.web.schemas import View, refusals
from product.ranking import MAX_PRODUCTS, Ranking, Rankings, best_sold
from product.routes import ProductService

MAX_DAYS = 90

Days = Annotated[int, QueryParameter(ge=1, le=MAX_DAYS, description="length of the window")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PRODUCTS, description="length of the ranking")]


class PopularProduct(View):
    """`price` in KRW, as it is now; `units` of paid orders, cancelled ones taken off."""

    product_id: str
    name: str
    price: int
    units: int


class PopularProducts(View):
    """`since` is the beginning of the window: so many days ago, on the hour."""

    days: int
    since: datetime
    items: list[PopularProduct]


class PopularController(Controller):
    path = "/products"
    tags = ("products",)

    @get(
        "/popular",
        summary="The best sold products, best first",
        guards=[PUBLIC],
        responses=refusals(),
    )
    async def list_popular_products(
        self, service: ProductService, days: Days = 3, limit: Limit = 5
    ) -> PopularProducts:
        """Counts the units of orders paid since the hour in which the window begins. Cancelled
        orders are taken off. Discontinued products, and products without sales, are left out.
        Products with equal sales are in the order of their ids. The answer may be five seconds old.
        """

        async def read() -> Ranking:
            async with service.reading() as connection:
                return await best_sold(connection, service.clock(), days)

        ranking = await service.components.of_type(Rankings).get(days, read)
        items = [PopularProduct.of(each) for each in ranking.products[:limit]]
        return PopularProducts(days=days, since=ranking.since, items=items)


ROUTES = [PopularController]
