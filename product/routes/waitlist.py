"""HTTP routes of the queues for stock."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get

from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.schemas import View, refusals
from product import store
from product.errors import PRODUCT_NOT_FOUND
from product.routes import SHOPKEEPERS, ProductService
from product.routes.products import ProductId, find


class PlaceView(View):
    """`position` counts from 1, in the whole queue. `quantity` in units, `since` when it joined."""

    order_id: str
    position: int
    quantity: int
    since: datetime


QueuePage = Annotated[Page[PlaceView], shown_as("QueuePage")]


class QueueController(Controller):
    path = "/products"
    tags = ("products",)

    @get(
        "/{productId:str}/queue",
        summary="The orders that wait for this product's stock, first to last",
        guards=[SHOPKEEPERS],
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def list_product_queue(
        self,
        product_id: ProductId,
        service: ProductService,
        paging: Paging,
    ) -> QueuePage:
        """An order of several products is in the queue of each."""
        await find(service, product_id)
        async with service.reading() as connection:
            found, total = await store.queue(
                connection, str(product_id), offset=paging.offset, size=paging.size
            )
        items = [
            PlaceView.of(place, position=position)
            for position, place in enumerate(found, start=paging.offset + 1)
        ]
        return paging.of(items, total)


ROUTES = [QueueController]
