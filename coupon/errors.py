"""The coupon service's own error codes, as clients get them."""

from chassis.web.error_codes import ErrorCode

COUPON_NOT_FOUND = ErrorCode(
    "COUPON_NOT_FOUND", 404, "There is no coupon, or issued coupon, of this id.", "Check the id."
)
COUPON_ALREADY_ISSUED = ErrorCode(
    "COUPON_ALREADY_ISSUED",
    409,
    "The customer has this coupon already.",
    "Use the one that is there: `GET /api/v1/issued-coupons?customerId=`.",
)
COUPON_EXHAUSTED = ErrorCode(
    "COUPON_EXHAUSTED", 409, "All of these coupons are given out.", "Take another coupon."
)
COUPON_EXPIRED = ErrorCode(
    "COUPON_EXPIRED",
    409,
    "The coupon's time is over, so no more are issued.",
    "Take another coupon.",
)
COUPON_STOPPED = ErrorCode(
    "COUPON_STOPPED",
    409,
    "The coupon's definition is stopped, so no more are issued.",
    "Take another coupon.",
)
COUPON_ALREADY_USED = ErrorCode(
    "COUPON_ALREADY_USED",
    409,
    "An order uses the coupon, so it can't be revoked.",
    "Revoke it when the order in `details.orderId` is cancelled or has failed.",
)
