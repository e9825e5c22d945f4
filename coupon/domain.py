"""Coupons and what an order may do with them. Pure: no clock, no I/O, no framework.

An order's row here moves forward only:

    NONE -> HELD -> SETTLED
     |       |       |
     v       v       v
    REFUSED  RELEASED    <- NONE (a tombstone: the order died before we heard of it)

A paid order's coupon is SETTLED, and comes back when the order is cancelled.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from events.contract import FailReason
from saga.errors import Conflict, Invalid, NotFound
from saga.unit_of_work import Rows, UnitOfWork

PER_CENT = 100


class DiscountType(StrEnum):
    FIXED = "FIXED"
    RATE = "RATE"


class CouponStatus(StrEnum):
    ISSUED = "ISSUED"
    USED = "USED"
    EXPIRED = "EXPIRED"


class HoldState(StrEnum):
    HELD = "HELD"
    SETTLED = "SETTLED"
    REFUSED = "REFUSED"
    RELEASED = "RELEASED"


UNSETTLED = frozenset({HoldState.HELD})


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon's definition. `discount_value`: won for FIXED, whole per cent for RATE."""

    coupon_id: str
    name: str
    discount_type: DiscountType
    discount_value: int
    min_order_amount: int
    quantity: int
    issued: int
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime

    def issue_one(self, now: datetime) -> "Coupon":
        """First come, first served. Raises Conflict when none is left or its time is over."""
        if self.valid_until is not None and now >= self.valid_until:
            raise Conflict("this coupon can't be used any more", code="COUPON_EXPIRED")
        if self.issued >= self.quantity:
            raise Conflict("all of these coupons are given out", code="COUPON_EXHAUSTED")
        return msgspec.structs.replace(self, issued=self.issued + 1)

    def issued_as(self, command: "IssueCoupon", now: datetime) -> "IssuedCoupon":
        return IssuedCoupon(
            issued_coupon_id=command.issued_coupon_id,
            coupon_id=self.coupon_id,
            customer_id=command.customer_id,
            discount_type=self.discount_type,
            discount_value=self.discount_value,
            min_order_amount=self.min_order_amount,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            order_id=None,
            issued_at=now,
            used_at=None,
        )


class IssuedCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's coupon. `order_id` is the order that holds or has used it.

    It carries its definition's terms: what a customer was given does not change afterwards.
    """

    issued_coupon_id: str
    coupon_id: str
    customer_id: str
    discount_type: DiscountType
    discount_value: int
    min_order_amount: int
    valid_from: datetime | None
    valid_until: datetime | None
    order_id: str | None
    issued_at: datetime
    used_at: datetime | None

    def status(self, now: datetime) -> CouponStatus:
        if self.order_id is not None:
            return CouponStatus.USED
        if self.valid_until is not None and now >= self.valid_until:
            return CouponStatus.EXPIRED
        return CouponStatus.ISSUED

    def objection(self, customer_id: str, amount: int, now: datetime) -> FailReason | None:
        """Why this customer can't use it now on an order of this amount; None if they can."""
        if self.customer_id != customer_id:
            return FailReason.COUPON_NOT_OWNED
        if self.order_id is not None:
            return FailReason.COUPON_ALREADY_USED
        early = self.valid_from is not None and now < self.valid_from
        if early or self.status(now) is CouponStatus.EXPIRED:
            return FailReason.COUPON_EXPIRED
        if amount < self.min_order_amount:
            return FailReason.COUPON_MIN_AMOUNT
        return None

    def discount(self, amount: int) -> int:
        """What it takes off, in won: never more than the amount, a rate rounded down."""
        if self.discount_type is DiscountType.FIXED:
            return min(self.discount_value, amount)
        return amount * self.discount_value // PER_CENT

    def used_by(self, order_id: str, now: datetime) -> "IssuedCoupon":
        return msgspec.structs.replace(self, order_id=order_id, used_at=now)

    def given_back(self) -> "IssuedCoupon":
        return msgspec.structs.replace(self, order_id=None, used_at=None)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service. An order without a coupon has one too."""

    order_id: str
    state: HoldState
    issued_coupon_id: str | None
    discount_amount: int
    updated_at: datetime

    def moved(self, state: HoldState, now: datetime) -> "Hold":
        return msgspec.structs.replace(self, state=state, updated_at=now)


class Coupons(UnitOfWork):
    """What a batch works on."""

    def __init__(
        self,
        now: datetime,
        holds: Rows[str, Hold],
        coupons: Rows[str, Coupon],
        issued: Rows[str, IssuedCoupon],
        issued_to: Rows[tuple[str, str], IssuedCoupon],
    ) -> None:
        super().__init__(now, holds, coupons, issued, issued_to)
        self.holds = holds
        self.coupons = coupons
        self.issued = issued
        self.issued_to = issued_to

    def record(
        self,
        order_id: str,
        state: HoldState,
        coupon: IssuedCoupon | None = None,
        discount_amount: int = 0,
    ) -> None:
        """Write down an order's row; with a coupon, that the order has it."""
        self.holds[order_id] = Hold(
            order_id=order_id,
            state=state,
            issued_coupon_id=coupon.issued_coupon_id if coupon else None,
            discount_amount=discount_amount,
            updated_at=self.now,
        )
        if coupon is not None:
            self.issued[coupon.issued_coupon_id] = coupon.used_by(order_id, self.now)

    def give_back(self, hold: Hold) -> None:
        """Make the order's coupon usable again, but only if this order is the one that holds it."""
        self.holds[hold.order_id] = hold.moved(HoldState.RELEASED, self.now)
        coupon = self.issued.get(hold.issued_coupon_id) if hold.issued_coupon_id else None
        if coupon is not None and coupon.order_id == hold.order_id:
            self.issued[coupon.issued_coupon_id] = coupon.given_back()


# ---------------------------------------------------------------- commands


class DefineCoupon(msgspec.Struct, frozen=True, kw_only=True):
    coupon_id: str
    name: str
    discount_type: DiscountType
    discount_value: int
    min_order_amount: int
    quantity: int
    valid_from: datetime | None
    valid_until: datetime | None

    def check(self) -> None:
        """Raises Invalid when the terms make no sense together."""
        if self.discount_type is DiscountType.RATE and self.discount_value > PER_CENT:
            raise Invalid("discountValue: a RATE is at most 100 per cent")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise Invalid("validFrom: must be before validUntil")


class IssueCoupon(msgspec.Struct, frozen=True, kw_only=True):
    issued_coupon_id: str
    coupon_id: str
    customer_id: str


def no_coupon(coupon_id: str) -> NotFound:
    return NotFound(f"there is no coupon {coupon_id}", code="COUPON_NOT_FOUND")
