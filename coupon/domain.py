"""Coupons, and what an order does with one. Pure: no clock, no I/O, no framework.

An order's row here moves forward only:

    NONE -> HELD -> SETTLED
     |       |       |
     v       v       v
    REFUSED  RELEASED    <- NONE (a tombstone: the order failed before its OrderCreated arrived)

A paid order's coupon is SETTLED; when the order is cancelled, the customer gets it back.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from events.contract import FailReason
from saga.errors import Conflict, Invalid

MAX_RATE = 100
"""The largest `discount_value` of a RATE, in percent."""


HONOURED_FOR = timedelta(days=1)
"""How long after its end, by this service's clock, an order that was accepted before it may still
use a coupon. An order waits less than that for its coupon: before, its own deadline has come."""


class DiscountType(StrEnum):
    """FIXED: an amount in KRW. RATE: whole per cent, rounded down."""

    FIXED = "FIXED"
    RATE = "RATE"


class CouponStatus(StrEnum):
    """What a customer can do with an issued coupon."""

    ISSUED = "ISSUED"
    USED = "USED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class DefinitionStatus(StrEnum):
    """A STOPPED definition issues no more. What it has issued can be used."""

    ACTIVE = "ACTIVE"
    STOPPED = "STOPPED"


_OBJECTIONS = {
    CouponStatus.USED: FailReason.COUPON_ALREADY_USED,
    CouponStatus.REVOKED: FailReason.COUPON_REVOKED,
    CouponStatus.EXPIRED: FailReason.COUPON_EXPIRED,
}


class HoldState(StrEnum):
    HELD = "HELD"
    SETTLED = "SETTLED"
    REFUSED = "REFUSED"
    RELEASED = "RELEASED"


UNSETTLED = frozenset({HoldState.HELD})


class IssuedCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's coupon. `order_id` is the order that holds or has used it.

    It has a copy of its definition's terms, which must not change for the customer afterwards.
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
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> CouponStatus:
        if self.order_id is not None:
            return CouponStatus.USED
        if self.revoked_at is not None:
            return CouponStatus.REVOKED
        if self.valid_until is not None and now >= self.valid_until:
            return CouponStatus.EXPIRED
        return CouponStatus.ISSUED

    def objection(self, customer_id: str, amount: int, at: datetime) -> FailReason | None:
        """Why this customer can't use it on an order of this amount; None if they can.

        `at` is the time that decides whether it is valid.
        """
        if self.customer_id != customer_id:
            return FailReason.COUPON_NOT_OWNED
        status = self.status(at)
        if status is not CouponStatus.ISSUED:
            return _OBJECTIONS[status]
        if self.valid_from is not None and at < self.valid_from:
            return FailReason.COUPON_NOT_YET_VALID
        if amount < self.min_order_amount:
            return FailReason.COUPON_MIN_AMOUNT
        return None

    def discount(self, amount: int) -> int:
        """The discount on this amount, both in KRW: at most the amount, a rate rounded down."""
        if self.discount_type is DiscountType.FIXED:
            return min(self.discount_value, amount)
        return amount * self.discount_value // MAX_RATE

    def use(self, order_id: str, now: datetime) -> "IssuedCoupon":
        return msgspec.structs.replace(self, order_id=order_id, used_at=now)

    def give_back(self) -> "IssuedCoupon":
        return msgspec.structs.replace(self, order_id=None, used_at=None)

    def revoke(self, now: datetime) -> "IssuedCoupon":
        """Raises Conflict for one that an order has used, or holds."""
        if self.order_id is not None:
            message = f"order {self.order_id} uses this coupon; revoke it when that is cancelled"
            raise Conflict(message, code="COUPON_ALREADY_USED", details={"orderId": self.order_id})
        return self if self.revoked_at else msgspec.structs.replace(self, revoked_at=now)


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon's definition. `discount_value`: KRW for FIXED, whole percent for RATE."""

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
    status: DefinitionStatus = DefinitionStatus.ACTIVE

    def check(self) -> None:
        """Raises Invalid when the terms contradict each other, or what was issued."""
        if self.discount_type is DiscountType.RATE and self.discount_value > MAX_RATE:
            raise Invalid.field("discountValue", f"a RATE is at most {MAX_RATE} percent")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise Invalid.field("validFrom", "must be before validUntil")
        if self.quantity < self.issued:
            message = f"at least {self.issued}, for so many are issued already"
            raise Invalid.field("quantity", message)

    def check_new(self, now: datetime) -> None:
        """Raises Invalid also where none could be issued any more."""
        self.check()
        if self.valid_until and self.valid_until <= now:
            raise Invalid.field("validUntil", "must be in the future")

    def issue_one(self, now: datetime) -> "Coupon":
        """First come, first served. Raises Conflict when it is stopped, expired or none is left."""
        if self.status is DefinitionStatus.STOPPED:
            raise Conflict("this coupon is not issued any more", code="COUPON_STOPPED")
        if self.valid_until is not None and now >= self.valid_until:
            raise Conflict("this coupon can't be used any more", code="COUPON_EXPIRED")
        if self.issued >= self.quantity:
            raise Conflict("all of these coupons are given out", code="COUPON_EXHAUSTED")
        return msgspec.structs.replace(self, issued=self.issued + 1)

    def count_issued(self) -> "Coupon":
        """One more was issued, before the database was restored: no rule is asked any more."""
        return msgspec.structs.replace(self, issued=min(self.issued + 1, self.quantity))

    def copy_for(self, customer_id: str, issued_coupon_id: str, now: datetime) -> IssuedCoupon:
        return IssuedCoupon(
            issued_coupon_id=issued_coupon_id,
            coupon_id=self.coupon_id,
            customer_id=customer_id,
            discount_type=self.discount_type,
            discount_value=self.discount_value,
            min_order_amount=self.min_order_amount,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            order_id=None,
            issued_at=now,
            used_at=None,
        )


def deciding_time(accepted_at: datetime | None, now: datetime) -> datetime:
    """The time by which an order's coupon is judged: when the order was accepted.

    Not after now, and not before `HONOURED_FOR`, whatever the event has in it: neither a wrong
    clock nor a replayed or forged event makes a coupon valid for ever.
    """
    if accepted_at is None:
        return now
    return min(max(accepted_at, now - HONOURED_FOR), now)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An order's row in this service; an order without a coupon has one too."""

    order_id: str
    state: HoldState
    issued_coupon_id: str | None
    discount_amount: int
    updated_at: datetime

    def holds(self, issued_coupon_id: str) -> bool:
        """Does the order hold this coupon, or has it used it?"""
        is_held = self.state in (HoldState.HELD, HoldState.SETTLED)
        return is_held and self.issued_coupon_id == issued_coupon_id

    def move_to(self, state: HoldState, now: datetime) -> "Hold":
        return msgspec.structs.replace(self, state=state, updated_at=now)
