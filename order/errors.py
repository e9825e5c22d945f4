"""The order service's own error codes, as clients get them."""

from chassis.web.error_codes import ErrorCode

ACCOUNT_ERASED = ErrorCode(
    "ACCOUNT_ERASED",
    400,
    "An order with an address of a customer whose account is erased.",
    "Sign up again.",
)
ADDRESS_NOT_FOUND = ErrorCode(
    "ADDRESS_NOT_FOUND",
    400,
    "The customer's address book has no address of this id.",
    "Read the address book: `GET /api/v1/users/{userId}/addresses`. A new address can be used a "
    "moment later.",
)
CART_EMPTY = ErrorCode(
    "CART_EMPTY", 400, "A checkout of an empty cart.", "Put a product into the cart first."
)
CART_FULL = ErrorCode(
    "CART_FULL",
    400,
    "The cart holds 100 products already.",
    "Take a product out, or check out first.",
)
INSUFFICIENT_STOCK = ErrorCode(
    "INSUFFICIENT_STOCK",
    400,
    "A product with hot-product admission has fewer units left than ordered.",
    "Order at most `details.available` units, or another product.",
)
INVALID_STATE = ErrorCode(
    "INVALID_STATE",
    400,
    "A cancel of an order that is not COMPLETED.",
    "Read the order: one that is PENDING ends by itself, a FAILED one has cost nothing, and a "
    "CANCELLED one is refunded.",
)
PRICE_MISMATCH = ErrorCode(
    "PRICE_MISMATCH",
    400,
    "A `price` in the order is not the current price.",
    "Show `details.price` to the customer, and order again with it.",
)
PRODUCT_DISCONTINUED = ErrorCode(
    "PRODUCT_DISCONTINUED", 400, "The product is no longer sold.", "Order without the product."
)
CART_ITEM_NOT_FOUND = ErrorCode(
    "CART_ITEM_NOT_FOUND",
    404,
    "The product is not in the cart.",
    "Add it: `POST /api/v1/carts/{customerId}/items`.",
)
ORDER_NOT_FOUND = ErrorCode(
    "ORDER_NOT_FOUND", 404, "There is no order of this id.", "Check the id."
)
PRODUCT_NOT_FOUND = ErrorCode(
    "PRODUCT_NOT_FOUND",
    404,
    "There is no product of this id.",
    "Search the products: `GET /api/v1/products`. A new one can be ordered a moment later.",
)
