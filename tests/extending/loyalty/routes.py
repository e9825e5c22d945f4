"""The loyalty service over HTTP."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import PathParameter

from chassis.service import Service
from chassis.web.schemas import View, refusals
from loyalty import store
from loyalty.domain import Rewards

LoyaltyService = NamedDependency[Service[Rewards]]
CustomerId = Annotated[UUID, PathParameter(name="customerId")]


class PointsView(View):
    customer_id: str
    points: int


class PointsController(Controller):
    path = "/points"
    tags = ("points",)

    @get("/{customerId:str}", summary="A customer's points", responses=refusals())
    async def read(self, customer_id: CustomerId, service: LoyaltyService) -> PointsView:
        async with service.reading() as connection:
            points = await store.points_of(connection, str(customer_id))
        return PointsView(customer_id=str(customer_id), points=points)


ROUTES = [PointsController]
