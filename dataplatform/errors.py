"""The dataplatform service's own error codes, as clients get them."""

from chassis.web.error_codes import ErrorCode

DELIVERY_NOT_FOUND = ErrorCode(
    "DELIVERY_NOT_FOUND",
    404,
    "The order is not COMPLETED, or its OrderCompleted is not handled yet.",
    "Read the order; if it is COMPLETED, ask again in a moment.",
)
