"""The commands of the coupon service, and the refusals that they are answered with."""

from datetime import datetime

import msgspec

from coupon.domain import MAX_RATE, DiscountType
from saga.errors import Conflict, Invalid, NotFound


class DefineCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """Define a coupon. Amounts in KRW; `discount_value` of a RATE in whole percent."""

    coupon_id: str
    name: str
    discount_type: DiscountType
    discount_value: int
    min_order_amount: int
    quantity: int
    valid_from: datetime | None
    valid_until: datetime | None

    def check(self) -> None:
        """Raises Invalid when the terms contradict each other."""
        if self.discount_type is DiscountType.RATE and self.discount_value > MAX_RATE:
            raise Invalid(f"discountValue: a RATE is at most {MAX_RATE} percent")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise Invalid("validFrom: must be before validUntil")


class IssueCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """Give a customer one of the coupons."""

    issued_coupon_id: str
    coupon_id: str
    customer_id: str


class BookIssued(msgspec.Struct, frozen=True, kw_only=True):
    """Book, in recovery mode, a coupon that was issued after the backup. Idempotent."""

    issued_coupon_id: str
    coupon_id: str
    customer_id: str
    definition: DefineCoupon | None


# ---------------------------------------------------------------- refusals


def no_coupon(coupon_id: str) -> NotFound:
    return NotFound(f"there is no coupon {coupon_id}", code="COUPON_NOT_FOUND")


def no_issued_coupon(issued_coupon_id: str) -> NotFound:
    return NotFound(f"there is no issued coupon {issued_coupon_id}", code="COUPON_NOT_FOUND")


def already_issued() -> Conflict:
    return Conflict("this customer has the coupon already", code="COUPON_ALREADY_ISSUED")
