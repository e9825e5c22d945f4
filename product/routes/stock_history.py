"""HTTP routes of a product's stock ledger and of its prices.

Oldest first: rows are only added at the end, so a full page stays as it is while others are booked,
and a client that reads page after page gets each row once.
"""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from chassis.service import Service
from chassis.web.schemas import Page, Size, View, instant, refusals
from product import store
from product.routes.products import ProductId, find
from product.unit_of_work import ProductUnitOfWork
from saga.errors import Invalid

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


class EntryPage(View):
    items: list[EntryView]
    page: int
    size: int
    total: int


class PriceView(View):
    """`price` in KRW for one unit, from that time on."""

    price: int
    since: datetime


class PricePage(View):
    items: list[PriceView]
    page: int
    size: int
    total: int


class HistoryController(Controller):
    path = "/products"
    tags = ("products",)

    @get(
        "/{productId:str}/stock/history",
        summary="The stock ledger, oldest first",
        responses=refusals(404),
    )
    async def stock(
        self,
        product_id: ProductId,
        service: Service[ProductUnitOfWork],
        since: From = None,
        until: To = None,
        page: Page = 0,
        size: Size = 20,
    ) -> EntryPage:
        """Entries that are booked between two pages neither repeat a row nor skip one."""
        start, end = instant("from", since), instant("to", until)
        if start and end and start > end:
            raise Invalid("from: lies after to; send the earlier time as from")
        await find(service, product_id)
        async with service.reading() as connection:
            found, total = await store.history(
                connection,
                str(product_id),
                since=start,
                until=end,
                offset=page * size,
                size=size,
            )
        items = [EntryView.of(each) for each in found]
        return EntryPage(items=items, page=page, size=size, total=total)

    @get(
        "/{productId:str}/prices",
        summary="A product's prices, oldest first",
        responses=refusals(404),
    )
    async def prices(
        self,
        product_id: ProductId,
        service: Service[ProductUnitOfWork],
        page: Page = 0,
        size: Size = 20,
    ) -> PricePage:
        """A row for the first price, and for each change."""
        await find(service, product_id)
        async with service.reading() as connection:
            found, total = await store.price_history(
                connection, str(product_id), offset=page * size, size=size
            )
        items = [PriceView.of(each) for each in found]
        return PricePage(items=items, page=page, size=size, total=total)


ROUTES = [HistoryController]
