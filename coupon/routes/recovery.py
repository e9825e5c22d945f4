"""The operators' route that books, before the release, coupons issued after the backup."""

from uuid import UUID

from litestar import Controller, post
from litestar.params import JSONBody

from chassis.web.access import OPERATORS
from chassis.web.actions import records
from chassis.web.error_codes import NOT_IN_RECOVERY_MODE
from chassis.web.operations import check_recovery_mode
from chassis.web.schemas import Body, refusals
from coupon.commands import BookIssued
from coupon.errors import COUPON_ALREADY_ISSUED, COUPON_NOT_FOUND
from coupon.routes import CouponService
from coupon.routes.coupons import IssuedView, NewCoupon, definition, view_issued


class IssuedBooking(Body):
    """A customer's coupon under its own ids. `definition` is needed where `couponId` is unknown."""

    issued_coupon_id: UUID
    coupon_id: UUID
    customer_id: UUID
    definition: NewCoupon | None = None


class BookingController(Controller):
    path = "/ops/recovery/bookings"
    tags = ("operations",)

    @post(
        status_code=200,
        summary="Book an issued coupon that the restored database lacks",
        guards=[OPERATORS],
        opt=records("RECOVERY_BOOK", on="issuedCouponId"),
        responses=refusals(
            COUPON_NOT_FOUND, COUPON_ALREADY_ISSUED, NOT_IN_RECOVERY_MODE, body=True
        ),
    )
    async def book_lost_coupon(
        self, data: JSONBody[IssuedBooking], service: CouponService
    ) -> IssuedView:
        """An order that holds it, by what was adopted, is its holder. Idempotent."""
        check_recovery_mode(service)
        coupon_id = str(data.coupon_id)
        command = BookIssued(
            issued_coupon_id=str(data.issued_coupon_id),
            coupon_id=coupon_id,
            customer_id=str(data.customer_id),
            definition=definition(coupon_id, data.definition) if data.definition else None,
        )
        return view_issued((await service.ask(command)).result, service.clock())


ROUTES = [BookingController]
