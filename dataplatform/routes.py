"""Deliveries to the data platform over HTTP, sent and pending: for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.params import PathParameter, QueryParameter

from chassis.service import Service
from chassis.web.operations import operators_only
from chassis.web.schemas import Page, Size, View, refusals
from dataplatform import store
from dataplatform.commands import no_delivery
from dataplatform.domain import CompletedOrder, Delivery, DeliveryState
from dataplatform.unit_of_work import DeliveryUnitOfWork

OrderId = Annotated[UUID, PathParameter(name="orderId")]
Status = Annotated[DeliveryState | None, QueryParameter(name="status")]


class DeliveryView(View):
    """`body` is what is sent. `lastError` is why the last of the `attempts` failed, `nextAt` when
    the next one is due."""

    order_id: str
    status: DeliveryState
    attempts: int
    last_error: str | None
    created_at: datetime
    next_at: datetime | None
    sent_at: datetime | None
    body: CompletedOrder


class DeliveryPage(View):
    items: list[DeliveryView]
    page: int
    size: int
    total: int


class DeliveryController(Controller):
    path = "/deliveries"
    tags = ("deliveries",)
    guards = (operators_only,)

    @get(summary="Completed orders, sent and pending, newest first", responses=refusals(401))
    async def list_all(
        self,
        service: Service[DeliveryUnitOfWork],
        status: Status = None,
        page: Page = 0,
        size: Size = 20,
    ) -> DeliveryPage:
        async with service.reading() as connection:
            found, total = await store.list_deliveries(
                connection, state=status, offset=page * size, size=size
            )
        return DeliveryPage(
            items=[_view(each) for each in found], page=page, size=size, total=total
        )

    @get("/{orderId:str}", summary="One order's delivery", responses=refusals(401, 404))
    async def read(self, order_id: OrderId, service: Service[DeliveryUnitOfWork]) -> DeliveryView:
        """404 for an order that is not completed, or whose OrderCompleted is not handled yet."""
        async with service.reading() as connection:
            delivery = await store.find_delivery(connection, str(order_id))
        if delivery is None:
            raise no_delivery(str(order_id))
        return _view(delivery)


def _view(delivery: Delivery) -> DeliveryView:
    return DeliveryView.of(delivery, status=delivery.state)


ROUTES = [DeliveryController]
