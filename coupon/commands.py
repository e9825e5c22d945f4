"""The commands of the coupon service, and the refusals that they are answered with."""

from datetime import datetime

import msgspec

from coupon.domain import DefinitionStatus, DiscountType
from saga.errors import Conflict, NotFound


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


class ChangeCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """Change a definition for the coupons that it issues from now on. None leaves a field as it is.

    An issued coupon keeps the terms with which it was issued.
    """

    coupon_id: str
    name: str | None = None
    quantity: int | None = None
    valid_until: datetime | None = None
    status: DefinitionStatus | None = None

    def changes(self) -> dict[str, object]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__[1:]}
        return {name: value for name, value in fields.items() if value is not None}


class RevokeIssued(msgspec.Struct, frozen=True, kw_only=True):
    """Revoke a customer's coupon that no order uses. Idempotent."""

    issued_coupon_id: str


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
    values = {"couponId": coupon_id}
    return NotFound(f"there is no coupon {coupon_id}", code="COUPON_NOT_FOUND", values=values)


def no_issued_coupon(issued_coupon_id: str) -> NotFound:
    return NotFound(
        f"there is no issued coupon {issued_coupon_id}",
        code="COUPON_NOT_FOUND",
        values={"couponId": issued_coupon_id},
    )


def already_issued() -> Conflict:
    return Conflict("this customer has the coupon already", code="COUPON_ALREADY_ISSUED")
