"""HTTP routes of payments."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.params import PathParameter, QueryParameter

from chassis.web.schemas import View, refusals
from events.contract import FailReason, PaymentMethod
from payment import store
from payment.domain import Payment, PaymentState
from payment.errors import PAYMENT_NOT_FOUND
from payment.routes import PaymentService
from saga.errors import NotFound

PaymentId = Annotated[UUID, PathParameter(name="paymentId")]


class PaymentStatus(StrEnum):
    """What a client sees of a payment's state: it never goes backwards."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REFUNDED = "REFUNDED"


_STATUS = {
    PaymentState.INTENT: PaymentStatus.PENDING,
    PaymentState.CAPTURED: PaymentStatus.COMPLETED,
    PaymentState.FAILED: PaymentStatus.FAILED,
    PaymentState.REFUNDING: PaymentStatus.COMPLETED,
    PaymentState.REFUNDED: PaymentStatus.REFUNDED,
}


class PaymentView(View):
    """A payment of an order."""

    payment_id: str
    order_id: str
    customer_id: str
    method: PaymentMethod
    amount: int
    status: PaymentStatus
    fail_reason: FailReason | None
    created_at: datetime
    updated_at: datetime


class Payments(View):
    """The payments of one order, the oldest first."""

    items: list[PaymentView]


class PaymentController(Controller):
    path = "/payments"
    tags = ("payments",)

    @get(summary="The payments of an order", responses=refusals())
    async def list_payments(
        self,
        service: PaymentService,
        order_id: Annotated[UUID, QueryParameter(name="orderId")],
    ) -> Payments:
        """Failed and refunded ones, too: each stays as history."""
        async with service.reading() as connection:
            found = await store.payments_of(connection, str(order_id))
        return Payments(items=[_view(each) for each in found])

    @get("/{paymentId:str}", summary="One payment", responses=refusals(PAYMENT_NOT_FOUND))
    async def get_payment(self, payment_id: PaymentId, service: PaymentService) -> PaymentView:
        """A payment keeps its id when it fails or is refunded."""
        async with service.reading() as connection:
            payment = await store.find_payment(connection, str(payment_id))
        if payment is None:
            raise NotFound(f"there is no payment {payment_id}", code="PAYMENT_NOT_FOUND")
        return _view(payment)


def _view(payment: Payment) -> PaymentView:
    return PaymentView.of(payment, status=_STATUS[payment.state])


ROUTES = [PaymentController]
