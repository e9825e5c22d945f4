"""HTTP routes of a product's stock ledger and of its prices.

Oldest first: rows are only added at the end, so a full page stays as it is while others are booked,
and a client that reads page after page gets each row once.
"""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from chassis.web.access import PUBLIC
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.errors import invalid
from chassis.web.schemas import View, instant, refusals
from product import store
from product.errors import PRODUCT_NOT_FOUND
from product.routes import SHOPKEEPERS, ProductService
from product.routes.products import ProductId, find

From = Annotated[str | None, QueryParameter(name="from", description="RFC 3339, included")]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339, not included")]


class EntryView(View):
    """`bookedBy` is null for entries of the shop itself: a first stock, and the orders' entries."""

    delta: int
    reason: str
    order_id: str | None
    request_id: str
    booked_by: str | None
    balance_after: int
    created_at: datetime


EntryPage = Annotated[Page[EntryView], shown_as("EntryPage")]


class PriceView(View):
    """`price` in KRW for one unit, from that time on."""

    price: int
    since: datetime


PricePage = Annotated[Page[PriceView], shown_as("PricePage")]


class HistoryController(Controller):
    path = "/products"
    tags = ("products",)

    @get(
        "/{productId:str}/stock/history",
        summary="The stock ledger, oldest first",
        guards=[SHOPKEEPERS],
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def list_product_stock_history(
        self,
        product_id: ProductId,
        service: ProductService,
        paging: Paging,
        since: From = None,
        until: To = None,
    ) -> EntryPage:
        """Entries that are booked between two pages neither repeat a row nor skip one."""
        start, end = instant("from", since), instant("to", until)
        if start and end and start > end:
            raise invalid("from", "is after to; send the earlier time as from", "query")
        await find(service, product_id)
        async with service.reading() as connection:
            found, total = await store.history(
                connection,
                str(product_id),
                since=start,
                until=end,
                offset=paging.offset,
                size=paging.size,
            )
        items = [EntryView.of(each) for each in found]
        return paging.of(items, total)

    @get(
        "/{productId:str}/prices",
        summary="A product's prices, oldest first",
        guards=[PUBLIC],
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def list_product_prices(
        self,
        product_id: ProductId,
        service: ProductService,
        paging: Paging,
    ) -> PricePage:
        """A row for the first price, and for each change."""
        await find(service, product_id)
        async with service.reading() as connection:
            found, total = await store.price_history(
                connection, str(product_id), offset=paging.offset, size=paging.size
            )
        items = [PriceView.of(each) for each in found]
        return paging.of(items, total)


ROUTES = [HistoryController]
