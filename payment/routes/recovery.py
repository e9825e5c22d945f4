"""The operators' route that books money which came in after the backup, before the release."""

from uuid import UUID

from litestar import Controller, Response, post
from litestar.params import JSONBody

from chassis.web.access import OPERATORS
from chassis.web.actions import records
from chassis.web.error_codes import NOT_IN_RECOVERY_MODE
from chassis.web.idempotency import key_of, replay_headers
from chassis.web.operations import check_recovery_mode
from chassis.web.response_headers import REPLAYED
from chassis.web.schemas import Body, RequiredKey, refusals
from events.contract import RequestAmount
from payment.commands import BookCharge
from payment.errors import BALANCE_OUT_OF_RANGE
from payment.routes import PaymentService
from payment.routes.wallets import WalletView


class ChargeBooking(Body):
    """`amount` in KRW. `topUpId` is the gateway's key of the charge, where it went through it."""

    customer_id: UUID
    amount: RequestAmount
    top_up_id: UUID | None = None


class BookingController(Controller):
    path = "/ops/recovery/bookings"
    tags = ("operations",)

    @post(
        status_code=200,
        summary="Book a charge of a wallet that the restored database lacks",
        guards=[OPERATORS],
        opt=records("RECOVERY_BOOK", on="customerId"),
        responses=refusals(BALANCE_OUT_OF_RANGE, NOT_IN_RECOVERY_MODE, 422, body=True),
        response_headers=[REPLAYED],
    )
    async def book_lost_charge(
        self,
        data: JSONBody[ChargeBooking],
        service: PaymentService,
        idempotency_key: RequiredKey,
    ) -> Response[WalletView]:
        """The gateway is not called. A wallet that is missing is opened.

        The same Idempotency-Key, or the same `topUpId`, books once.
        """
        key = key_of("recovery/bookings", idempotency_key, data)
        check_recovery_mode(service)
        command = BookCharge(
            customer_id=str(data.customer_id),
            amount=data.amount,
            top_up_id=str(data.top_up_id) if data.top_up_id else None,
        )
        done = await service.ask(command, key)
        return Response(WalletView.of(done.result), headers=replay_headers(done))


ROUTES = [BookingController]
