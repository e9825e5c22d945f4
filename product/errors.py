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
CATEGORY_UNKNOWN = ErrorCode(
    "CATEGORY_NOT_FOUND",
    400,
    "A product names a category that is not there.",
    "Create it, `POST /api/v1/categories`, or name one of `GET /api/v1/categories`.",
)
CATEGORY_NOT_FOUND = ErrorCode(
    "CATEGORY_NOT_FOUND",
    404,
    "There is no category of this id.",
    "List them: `GET /api/v1/categories`.",
)
CATEGORY_EXISTS = ErrorCode(
    "CATEGORY_EXISTS",
    409,
    "There is a category of this name already.",
    "Use that one: `GET /api/v1/categories`.",
)
