"""The best sold products, over HTTP."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from chassis.service import Service
from chassis.web.schemas import View, refusals
from product.domain import Shelves
from product.ranking import LONGEST, Ranking, Rankings, best_sold

MAX_DAYS = 90

Days = Annotated[int, QueryParameter(ge=1, le=MAX_DAYS, description="how far to look back")]
Limit = Annotated[int, QueryParameter(ge=1, le=LONGEST, description="products at the most")]


class PopularProduct(View):
    """`price` is today's; `units` are those of completed orders, without those cancelled since."""

    product_id: str
    name: str
    price: int
    units: int


class PopularProducts(View):
    """`since` is when the window begins: so many days ago, on the hour."""

    days: int
    since: datetime
    items: list[PopularProduct]


class PopularController(Controller):
    path = "/products"
    tags = ("products",)

    @get("/popular", summary="The best sold products, the best first", responses=refusals())
    async def popular(
        self, service: Service[Shelves], days: Days = 3, limit: Limit = 5
    ) -> PopularProducts:
        """Of the orders completed in the last so many days: from the hour in which the window
        begins up to now. Cancelled orders are taken off; products that are off the shop, or of
        which nothing was sold, are left out. Equal ones stand in the order of their ids. An answer
        may be a few seconds old.
        """

        async def read() -> Ranking:
            async with service.reading() as connection:
                return await best_sold(connection, service.clock(), days)

        ranking = await service.components.of_type(Rankings).get(days, read)
        items = [PopularProduct.of(each) for each in ranking.products[:limit]]
        return PopularProducts(days=days, since=ranking.since, items=items)


ROUTES = [PopularController]
