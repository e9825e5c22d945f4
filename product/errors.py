"""The product service's own error codes, as clients get them."""

from chassis.web.error_codes import ErrorCode

INSUFFICIENT_STOCK = ErrorCode(
    "INSUFFICIENT_STOCK",
    400,
    "A booking takes out more units than are available.",
    "Take out at most `details.available` units.",
)
PRODUCT_NOT_FOUND = ErrorCode(
    "PRODUCT_NOT_FOUND",
    404,
    "There is no product of this id.",
    "Search the products: `GET /api/v1/products`.",
)
