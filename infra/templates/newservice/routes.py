"""The newservice service over HTTP."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import PathParameter

from chassis.service import Service
from chassis.web.access import SIGNED_IN, CurrentCaller, no_user
from chassis.web.error_codes import USER_NOT_FOUND
from chassis.web.schemas import View, refusals
from newservice import store
from newservice.unit_of_work import NewserviceUnitOfWork

NewserviceService = NamedDependency[Service[NewserviceUnitOfWork]]
CustomerId = Annotated[UUID, PathParameter(name="customerId")]


class CustomerView(View):
    """A customer, and how many completed orders are counted."""

    customer_id: str
    orders: int


class NewserviceController(Controller):
    path = "/newservice"
    tags = ("newservice",)

    @get(
        "/{customerId:str}",
        summary="A customer's completed orders",
        guards=[SIGNED_IN],
        responses=refusals(USER_NOT_FOUND),
    )
    async def get_customer(
        self, customer_id: CustomerId, service: NewserviceService, caller: CurrentCaller
    ) -> CustomerView:
        """0 for a customer without completed orders."""
        caller.find(str(customer_id), lambda: no_user(str(customer_id)))
        async with service.reading() as connection:
            orders = await store.orders_of(connection, str(customer_id))
        return CustomerView(customer_id=str(customer_id), orders=orders)


ROUTES = [NewserviceController]
