"""Deliveries to the data platform over HTTP, sent and pending: for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from chassis.service import Service
from chassis.web.access import READERS
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.schemas import View, refusals
from dataplatform import store
from dataplatform.commands import no_delivery
from dataplatform.domain import CompletedOrder, Delivery, DeliveryState
from dataplatform.errors import DELIVERY_NOT_FOUND
from dataplatform.unit_of_work import DeliveryUnitOfWork

DeliveryService = NamedDependency[Service[DeliveryUnitOfWork]]
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


DeliveryPage = Annotated[Page[DeliveryView], shown_as("DeliveryPage")]


class DeliveryController(Controller):
    path = "/deliveries"
    tags = ("deliveries",)

    @get(
        summary="Completed orders, sent and pending, newest first",
        guards=[READERS],
        responses=refusals(),
    )
    async def list_deliveries(
        self,
        service: DeliveryService,
        paging: Paging,
        status: Status = None,
    ) -> DeliveryPage:
        """One for each completed order, of one status or of all."""
        async with service.reading() as connection:
            found, total = await store.list_deliveries(
                connection, state=status, offset=paging.offset, size=paging.size
            )
        return paging.of([_view(each) for each in found], total)

    @get(
        "/{orderId:str}",
        summary="One order's delivery",
        guards=[READERS],
        responses=refusals(DELIVERY_NOT_FOUND),
    )
    async def get_delivery(self, order_id: OrderId, service: DeliveryService) -> DeliveryView:
        """404 for an order that is not completed, or whose OrderCompleted is not handled yet."""
        async with service.reading() as connection:
            delivery = await store.find_delivery(connection, str(order_id))
        if delivery is None:
            raise no_delivery(str(order_id))
        return _view(delivery)


def _view(delivery: Delivery) -> DeliveryView:
    return DeliveryView.of(delivery, status=delivery.state)


ROUTES = [DeliveryController]
