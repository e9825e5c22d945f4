"""HTTP routes of coupons: defining, issuing and validating them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from chassis.service import Service
from chassis.web.access import SIGNED_IN, Caller, CurrentCaller
from chassis.web.actions import RECORDS_NOTHING, records, records_for_others
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.error_codes import USER_NOT_FOUND
from chassis.web.errors import invalid
from chassis.web.idempotency import key_of, replay_headers
from chassis.web.schemas import Body, Instant, OptionalKey, Text, View, created, refusals, utc
from coupon import store
from coupon.commands import (
    ChangeCoupon,
    DefineCoupon,
    IssueCoupon,
    RevokeIssued,
    no_coupon,
    no_issued_coupon,
)
from coupon.domain import Coupon, CouponStatus, DefinitionStatus, DiscountType, IssuedCoupon
from coupon.errors import (
    COUPON_ALREADY_ISSUED,
    COUPON_ALREADY_USED,
    COUPON_EXHAUSTED,
    COUPON_EXPIRED,
    COUPON_NOT_FOUND,
    COUPON_STOPPED,
)
from coupon.routes import SHOPKEEPERS, CouponService
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import MAX_AMOUNT, RequestAmount, RequestTotal

CouponId = Annotated[UUID, PathParameter(name="couponId")]
IssuedCouponId = Annotated[UUID, PathParameter(name="issuedCouponId")]


class NewCoupon(Body):
    """`discountValue`: KRW for FIXED, whole percent for RATE."""

    name: Text
    discount_type: DiscountType
    discount_value: RequestAmount
    quantity: RequestAmount
    min_order_amount: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)] = 0
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class CouponChanges(Body):
    """What is left out stays. Coupons that are issued already keep their terms.

    `status` STOPPED: no more are issued.
    """

    name: Text | None = None
    quantity: RequestAmount | None = None
    valid_until: Instant | None = None
    status: DefinitionStatus | None = None


class ForCustomer(Body):
    """The customer who gets a coupon."""

    customer_id: UUID


class Trial(Body):
    """An order that a coupon is tried on."""

    customer_id: UUID
    order_amount: RequestTotal


class CouponView(View):
    """A coupon's definition."""

    coupon_id: str
    name: str
    discount_type: DiscountType
    discount_value: int
    min_order_amount: int
    quantity: int
    issued: int
    remaining: int
    valid_from: datetime | None
    valid_until: datetime | None
    status: DefinitionStatus


class IssuedView(View):
    """`orderId` is the order that has used the coupon, or holds it while it is unsettled."""

    issued_coupon_id: str
    coupon_id: str
    customer_id: str
    status: CouponStatus
    order_id: str | None
    discount_type: DiscountType
    discount_value: int
    min_order_amount: int
    valid_from: datetime | None
    valid_until: datetime | None
    issued_at: datetime
    used_at: datetime | None


CouponPage = Annotated[Page[CouponView], shown_as("CouponPage")]
IssuedPage = Annotated[Page[IssuedView], shown_as("IssuedPage")]


class Validity(View):
    """The effect of the coupon on an order now. `reason` is why it can't be used."""

    valid: bool
    reason: str | None
    discount_amount: int
    payable_amount: int


class CouponController(Controller):
    path = "/coupons"
    tags = ("coupons",)

    @post(
        summary="Define a coupon",
        guards=[SHOPKEEPERS],
        opt=records("COUPON_DEFINE", on="couponId"),
        responses=refusals(422, body=True),
    )
    async def define_coupon(
        self,
        data: JSONBody[NewCoupon],
        service: CouponService,
        idempotency_key: OptionalKey = None,
    ) -> Response[CouponView]:
        """No customer has the coupon until it is issued."""
        command = definition(service.new_id(), data)
        done = await service.ask(command, key_of("coupons", idempotency_key, data))
        path = f"/coupons/{done.result.coupon_id}"
        return created(_view_coupon(done.result), path, headers=replay_headers(done))

    @get(summary="All definitions, newest first", guards=[SHOPKEEPERS], responses=refusals())
    async def list_coupons(self, service: CouponService, paging: Paging) -> CouponPage:
        """Also those that are stopped or expired."""
        async with service.reading() as connection:
            found, total = await store.list_coupons(
                connection, offset=paging.offset, size=paging.size
            )
        return paging.of([_view_coupon(each) for each in found], total)

    @patch(
        "/{couponId:str}",
        summary="Change or stop a coupon",
        guards=[SHOPKEEPERS],
        opt=records("COUPON_CHANGE", on="couponId"),
        responses=refusals(COUPON_NOT_FOUND, body=True),
    )
    async def change_coupon(
        self, coupon_id: CouponId, data: JSONBody[CouponChanges], service: CouponService
    ) -> CouponView:
        """For the coupons that are issued from now on. Issued ones keep their terms."""
        command = ChangeCoupon(
            coupon_id=str(coupon_id),
            name=data.name,
            quantity=data.quantity,
            valid_until=utc(data.valid_until, "validUntil"),
            status=data.status,
        )
        return _view_coupon((await service.ask(command)).result)

    @get(
        "/{couponId:str}",
        summary="One coupon's definition",
        guards=[SIGNED_IN],
        responses=refusals(COUPON_NOT_FOUND),
    )
    async def get_coupon(self, coupon_id: CouponId, service: CouponService) -> CouponView:
        """The definition, and how many are issued."""
        async with service.reading() as connection:
            coupon = await store.find_coupon(connection, str(coupon_id))
        if coupon is None:
            raise no_coupon(str(coupon_id))
        return _view_coupon(coupon)

    @post(
        "/{couponId:str}/issue",
        summary="Give a customer one, first come, first served",
        guards=[SIGNED_IN],
        opt=records_for_others("COUPON_ISSUE", on="couponId"),
        responses=refusals(
            COUPON_NOT_FOUND,
            COUPON_ALREADY_ISSUED,
            COUPON_EXHAUSTED,
            COUPON_EXPIRED,
            COUPON_STOPPED,
            body=True,
        ),
    )
    async def issue_coupon(
        self,
        coupon_id: CouponId,
        data: JSONBody[ForCustomer],
        service: CouponService,
        caller: CurrentCaller,
    ) -> Response[IssuedView]:
        """One to each customer, first come, first served, and never more than `quantity`."""
        caller.check(str(data.customer_id))
        command = IssueCoupon(
            issued_coupon_id=service.new_id(),
            coupon_id=str(coupon_id),
            customer_id=str(data.customer_id),
        )
        issued: IssuedCoupon = (await service.ask(command)).result
        view = view_issued(issued, service.clock())
        return created(view, f"/issued-coupons/{issued.issued_coupon_id}")


class IssuedCouponController(Controller):
    path = "/issued-coupons"
    tags = ("coupons",)

    @get(
        summary="A customer's coupons, newest first",
        guards=[SIGNED_IN],
        responses=refusals(USER_NOT_FOUND),
    )
    async def list_issued_coupons(
        self,
        service: CouponService,
        caller: CurrentCaller,
        paging: Paging,
        customer_id: Annotated[UUID | None, QueryParameter(name="customerId")] = None,
    ) -> IssuedPage:
        """Also those that are used or expired.

        `customerId` is required, unless a customer is signed in, who sees their own.
        """
        customer = caller.own(str(customer_id) if customer_id else None)
        if customer is None:
            raise invalid("customerId", "is missing", "query")
        async with service.reading() as connection:
            found, total = await store.list_issued(
                connection, customer, offset=paging.offset, size=paging.size
            )
        items = [view_issued(each, service.clock()) for each in found]
        return paging.of(items, total)

    @get(
        "/{issuedCouponId:str}",
        summary="One customer's coupon",
        guards=[SIGNED_IN],
        responses=refusals(COUPON_NOT_FOUND),
    )
    async def get_issued_coupon(
        self, issued_coupon_id: IssuedCouponId, service: CouponService, caller: CurrentCaller
    ) -> IssuedView:
        """Also one that is used or expired."""
        coupon = await _find_issued(service, caller, issued_coupon_id)
        return view_issued(coupon, service.clock())

    @delete(
        "/{issuedCouponId:str}",
        summary="Revoke a customer's coupon",
        guards=[SHOPKEEPERS],
        opt=records("COUPON_REVOKE", on="issuedCouponId"),
        responses=refusals(COUPON_NOT_FOUND, COUPON_ALREADY_USED),
    )
    async def revoke_issued_coupon(
        self, issued_coupon_id: IssuedCouponId, service: CouponService
    ) -> None:
        """Orders on their way to it fail as COUPON_REVOKED; 409 when an order uses it."""
        await service.ask(RevokeIssued(issued_coupon_id=str(issued_coupon_id)))

    @post(
        "/{issuedCouponId:str}/validate",
        status_code=200,
        summary="Check if it can be used for an order",
        guards=[SIGNED_IN],
        opt=RECORDS_NOTHING,
        responses=refusals(COUPON_NOT_FOUND, body=True),
    )
    async def validate_issued_coupon(
        self,
        issued_coupon_id: IssuedCouponId,
        data: JSONBody[Trial],
        service: CouponService,
        caller: CurrentCaller,
    ) -> Validity:
        """Holds nothing: another order may use the coupon before this one is placed."""
        coupon = await _find_issued(service, caller, issued_coupon_id)
        caller.check(str(data.customer_id))
        reason = coupon.objection(str(data.customer_id), data.order_amount, service.clock())
        discount = 0 if reason else coupon.discount(data.order_amount)
        return Validity(
            valid=reason is None,
            reason=reason,
            discount_amount=discount,
            payable_amount=data.order_amount - discount,
        )


async def _find_issued(
    service: Service[CouponUnitOfWork], caller: Caller, issued_coupon_id: UUID
) -> IssuedCoupon:
    """Raises NotFound also for another customer's coupon."""
    async with service.reading() as connection:
        coupon = await store.find_issued(connection, str(issued_coupon_id))
    if coupon is None:
        raise no_issued_coupon(str(issued_coupon_id))
    caller.find(coupon.customer_id, lambda: no_issued_coupon(str(issued_coupon_id)))
    return coupon


def definition(coupon_id: str, data: NewCoupon) -> DefineCoupon:
    return DefineCoupon(
        coupon_id=coupon_id,
        name=data.name,
        discount_type=data.discount_type,
        discount_value=data.discount_value,
        min_order_amount=data.min_order_amount,
        quantity=data.quantity,
        valid_from=utc(data.valid_from, "validFrom"),
        valid_until=utc(data.valid_until, "validUntil"),
    )


def _view_coupon(coupon: Coupon) -> CouponView:
    return CouponView.of(coupon, remaining=coupon.quantity - coupon.issued)


def view_issued(coupon: IssuedCoupon, now: datetime) -> IssuedView:
    return IssuedView.of(coupon, status=coupon.status(now))


ROUTES = [CouponController, IssuedCouponController]
