"""HTTP routes of the queues for stock."""

from datetime import datetime

from litestar import Controller, get

from chassis.service import Service
from chassis.web.schemas import Page, Size, View, refusals
from product import store
from product.routes.products import ProductId, find
from product.unit_of_work import ProductUnitOfWork


class PlaceView(View):
    """`position` counts from 1, in the whole queue. `quantity` in units, `since` when it joined."""

    order_id: str
    position: int
    quantity: int
    since: datetime


class QueuePage(View):
    items: list[PlaceView]
    page: int
    size: int
    total: int


class QueueController(Controller):
    path = "/products"
    tags = ("products",)

    @get(
        "/{productId:str}/queue",
        summary="The orders that wait for this product's stock, first to last",
        responses=refusals(404),
    )
    async def queue(
        self,
        product_id: ProductId,
        service: Service[ProductUnitOfWork],
        page: Page = 0,
        size: Size = 20,
    ) -> QueuePage:
        """An order of several products is in the queue of each."""
        await find(service, product_id)
        async with service.reading() as connection:
            found, total = await store.queue(
                connection, str(product_id), offset=page * size, size=size
            )
        items = [
            PlaceView.of(place, position=position)
            for position, place in enumerate(found, start=page * size + 1)
        ]
        return QueuePage(items=items, page=page, size=size, total=total)


ROUTES = [QueueController]
