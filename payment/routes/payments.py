"""HTTP routes of payments."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.params import PathParameter, QueryParameter

from chassis.web.access import SIGNED_IN, CurrentCaller
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.error_codes import USER_NOT_FOUND
from chassis.web.errors import invalid
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
    """A payment of an order. `failDetail` is the gateway's reason for what it refused last.

    `paidAt` and `refundedAt` are when the shop learned it; null also for payments from before these
    fields, and `gatewayTransactionId` for those that were adopted after a loss of the database.
    """

    payment_id: str
    order_id: str
    customer_id: str
    method: PaymentMethod
    amount: int
    status: PaymentStatus
    fail_reason: FailReason | None
    fail_detail: str | None
    gateway_transaction_id: str | None
    created_at: datetime
    updated_at: datetime
    paid_at: datetime | None
    refunded_at: datetime | None


PaymentPage = Annotated[Page[PaymentView], shown_as("PaymentPage")]


class PaymentController(Controller):
    path = "/payments"
    tags = ("payments",)

    @get(
        summary="The payments of an order or a customer, newest first",
        guards=[SIGNED_IN],
        responses=refusals(USER_NOT_FOUND),
    )
    async def list_payments(
        self,
        service: PaymentService,
        caller: CurrentCaller,
        paging: Paging,
        order_id: Annotated[UUID | None, QueryParameter(name="orderId")] = None,
        customer_id: Annotated[UUID | None, QueryParameter(name="customerId")] = None,
    ) -> PaymentPage:
        """Failed and refunded ones, too: each stays as history.

        At least one of `orderId` and `customerId` is required, unless a customer is signed in, who
        sees their own alone.
        """
        customer = caller.own(str(customer_id) if customer_id else None)
        if order_id is None and customer is None:
            raise invalid("orderId", "send orderId or customerId", "query")
        async with service.reading() as connection:
            found, total = await store.page_of_payments(
                connection,
                order_id=str(order_id) if order_id else None,
                customer_id=customer,
                offset=paging.offset,
                size=paging.size,
            )
        return paging.of([_view(each) for each in found], total)

    @get(
        "/{paymentId:str}",
        summary="One payment",
        guards=[SIGNED_IN],
        responses=refusals(PAYMENT_NOT_FOUND),
    )
    async def get_payment(
        self, payment_id: PaymentId, service: PaymentService, caller: CurrentCaller
    ) -> PaymentView:
        """A payment keeps its id when it fails or is refunded."""
        async with service.reading() as connection:
            payment = await store.find_payment(connection, str(payment_id))
        if payment is None:
            raise _no_payment(payment_id)
        caller.find(payment.customer_id, lambda: _no_payment(payment_id))
        return _view(payment)


def _no_payment(payment_id: UUID) -> NotFound:
    return NotFound(
        f"there is no payment {payment_id}",
        code="PAYMENT_NOT_FOUND",
        values={"paymentId": payment_id},
    )


def _view(payment: Payment) -> PaymentView:
    return PaymentView.of(payment, status=_STATUS[payment.state])


ROUTES = [PaymentController]
