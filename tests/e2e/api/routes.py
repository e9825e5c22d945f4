"""Every route of every service with its parameters. A test fails for a route that is missing."""

from typing import Any, NamedTuple

from tests.kit.stack import SERVICES

MAX_AMOUNT = 10**9
MAX_TOTAL = 10**15
UUID_EXAMPLE = "7b0e3a52-6f0c-4c64-9a39-2f1d5f9f8a11"
UNKNOWN_ID = "c5f2f0d4-8a43-4f0e-8f5b-0d2f4c1b9e77"
"""An id that nothing has."""

Json = dict[str, Any]


VALID_BODY_CODES = (
    *("_NOT_FOUND", "CART_EMPTY", "NOT_IN_RECOVERY_MODE", "CATEGORY_EXISTS"),
    *("USER_EXISTS", "BAD_CREDENTIALS", "TOO_MANY_TRIES", "TOKEN_INVALID"),
)
"""Ends of the error codes that a valid body may get: an id or a person is unknown, say."""


class Field(NamedTuple):
    """A field of a body: an example, values that are refused, and whether it is required.

    `nullable`: JSON's null means the same as leaving it out.
    """

    example: Any
    bad: tuple[Any, ...]
    required: bool = True
    nullable: bool = False


class Query(NamedTuple):
    bad: tuple[str, ...]
    required: bool = False


class Route(NamedTuple):
    """`unknown`: the error code for an unknown id, where the path has an id."""

    service: str
    method: str
    path: str
    body: Json | None = None
    unknown: str | None = None
    query: dict[str, Query] = {}  # noqa: RUF012 - a tuple's default, never changed
    key: bool = False
    """The route accepts an Idempotency-Key."""

    @property
    def name(self) -> str:
        return f"{self.service} {self.method} {self.path}"

    @property
    def address(self) -> str:
        """The path, with an unknown id."""
        return self.path.replace("{}", "999999999" if "dead-letters" in self.path else UNKNOWN_ID)

    def with_query(self, name: str, value: str) -> str:
        """The address with this query parameter and all required ones."""
        needed = "".join(
            f"&{other}={UUID_EXAMPLE}"
            for other, query in self.query.items()
            if query.required and other != name
        )
        return f"{self.address}?{name}={value}{needed}"


_NO_STRING: tuple[Any, ...] = (1, 0, 1.5, True, False, [], ["x"], {}, {"a": 1})
_NO_NUMBER: tuple[Any, ...] = ("3", "", "x", True, False, 3.5, [], [3], {}, {"a": 3})
_HUGE = (MAX_AMOUNT + 1, 10**30, -MAX_AMOUNT - 1, -(10**30), 1e300)

_BAD_UUIDS = (*_NO_STRING, "", "x", "null", f"{UUID_EXAMPLE}0", UUID_EXAMPLE[:-1], "x" * 10_000)
_BAD_TIMES: tuple[Any, ...] = (
    *("", "x", "null", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "1893456000"),
    *(1893456000, 1893456000.5, True, [], {}),
)


def _uuid(**more: bool) -> Field:
    return Field(UUID_EXAMPLE, _BAD_UUIDS, **more)


def _amount(example: int = 3, least: int = 1, most: int = MAX_AMOUNT, **more: bool) -> Field:
    too_small = (-1, 0) if least == 1 else (-1,)
    huge = (most + 1, 10**30, -most - 1, -(10**30), 1e300)
    return Field(example, (*_NO_NUMBER, *huge, *too_small), **more)


def _text(longest: int = 200, *, least: int = 1, **more: bool) -> Field:
    empty = ("",) if least else ()
    return Field("some text", (*_NO_STRING, *empty, "x" * (longest + 1)), **more)


def _password() -> Field:
    return Field("seven red umbrellas", (*_NO_STRING, "", "x" * 1025))


def _one_of(*values: str, **more: bool) -> Field:
    return Field(
        values[0], (*_NO_STRING, "", "x", "null", values[0].lower(), f"{values[0]} "), **more
    )


def _time(example: str) -> Field:
    return Field(example, _BAD_TIMES, required=False, nullable=True)


_LEFT_OUT = {"required": False}
_OPTIONAL = {"required": False, "nullable": True}

_NO_COUNT = ("-1", "x", "", "1.5", "1.0", "1e1", "true", "null", "9" * 30)
_PAGING = {"page": Query((*_NO_COUNT, "1000001")), "size": Query((*_NO_COUNT, "0", "101"))}
_BAD_IDS = ("x", "", "null", "1", f"{UUID_EXAMPLE}0", "x" * 1000, "%00", "%ff")
_BAD_STATES = ("x", "", "null", "active", "completed", "1")
_BAD_MOMENTS = (
    *("x", "", "null", "true", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z"),
    *("1893456000", "NaN"),
)

ADDRESS = {"street": _text(), "postalCode": _text(), "city": _text()}
NEW_ORDER = {
    "customerId": _uuid(),
    "items": [
        {"productId": _uuid(), "quantity": _amount(), "price": _amount(**_OPTIONAL)},
    ],
    "price": _amount(9, most=MAX_TOTAL, **_OPTIONAL),
    "couponId": _uuid(**_OPTIONAL),
    "address": ADDRESS,
    "addressId": _uuid(**_OPTIONAL)._replace(example=None),  # instead of an address
    "paymentMethod": _one_of("WALLET", **_LEFT_OUT),
    "onShortage": _one_of("REJECT", **_LEFT_OUT),
}
CHECKOUT = {name: NEW_ORDER[name] for name in NEW_ORDER.keys() - {"customerId", "items"}}
NEW_PRODUCT = {
    "name": _text(),
    "price": _amount(),
    "stock": _amount(least=0, **_LEFT_OUT),
    "description": _text(2000, least=0, **_LEFT_OUT),
    "category": _text(least=0, **_LEFT_OUT),
}
PRODUCT_CHANGES = {
    "name": _text(**_OPTIONAL),
    "price": _amount(**_OPTIONAL),
    "description": _text(2000, least=0, **_OPTIONAL),
    "category": _text(least=0, **_OPTIONAL),
    "status": _one_of("ACTIVE", "DISCONTINUED", **_OPTIONAL),
}
STOCK_CHANGE = {
    "delta": Field(1, (*_NO_NUMBER, *_HUGE, 0)),
    "reason": _text(**_LEFT_OUT),
    "orderId": _uuid(**_OPTIONAL),
    "bookedBy": _text(**_OPTIONAL),
}
NEW_COUPON = {
    "name": _text(),
    "discountType": _one_of("FIXED", "RATE"),
    "discountValue": _amount(),
    "quantity": _amount(),
    "minOrderAmount": _amount(least=0, **_LEFT_OUT),
    "validFrom": _time("2030-01-01T00:00:00Z"),
    "validUntil": _time("2031-01-01T00:00:00Z"),
}
CREDENTIALS = {
    "email": Field("kim@shop.test", (*_NO_STRING, "", "x", "null", "a b@c", "x" * 300)),
    "password": _password(),
}
_FLAG = Field(True, ("true", "", 1, 0, [], {}), required=False)
NEW_ADDRESS = {**ADDRESS, "label": _text(least=0, **_LEFT_OUT), "isDefault": _FLAG}
ADDRESS_CHANGES = {
    **{name: _text(**_OPTIONAL) for name in ADDRESS},
    "label": _text(least=0, **_OPTIONAL),
    "isDefault": _FLAG._replace(nullable=True),
}
NEW_USER = {**CREDENTIALS, "name": _text()}
STOCK_BOOKING = {
    "productId": _uuid(),
    "delta": STOCK_CHANGE["delta"],
    "reason": _text(**_LEFT_OUT),
    "bookedBy": _text(**_OPTIONAL),
}
COUPON_CHANGES = {
    "name": _text(**_OPTIONAL),
    "quantity": _amount(**_OPTIONAL),
    "validUntil": _time("2031-01-01T00:00:00Z"),
    "status": _one_of("ACTIVE", "STOPPED", **_OPTIONAL),
}
ISSUED_BOOKING = {
    "issuedCouponId": _uuid(),
    "couponId": _uuid(),
    "customerId": _uuid(),
    "definition": Field(
        {"name": "Welcome", "discountType": "FIXED", "discountValue": 1, "quantity": 1},
        ({}, [], 1, "x", True, {"name": "Welcome"}),
        required=False,
        nullable=True,
    ),
}
DISMISSAL = {"reason": _text()}
CHARGE_BOOKING = {"customerId": _uuid(), "amount": _amount(), "topUpId": _uuid(**_OPTIONAL)}

_OPERATIONS: tuple[tuple[str, str, str | None, dict[str, Query]], ...] = (
    ("GET", "/api/v1/ops/dead-letters", None, _PAGING),
    ("POST", "/api/v1/ops/dead-letters/{}/redrive", "DEAD_LETTER_NOT_FOUND", {}),
    ("GET", "/api/v1/ops/dead-letters/{}/preview", "DEAD_LETTER_NOT_FOUND", {}),
    ("GET", "/api/v1/ops/events/{}", None, {}),
    ("GET", "/api/v1/ops/owed", None, {"olderThanSeconds": Query(_NO_COUNT)}),
    ("GET", "/api/v1/ops/outbox", None, {}),
    ("POST", "/api/v1/ops/seed", None, {}),
    ("GET", "/api/v1/ops/recovery", None, {}),
    (
        "GET",
        "/api/v1/ops/audit-log",
        None,
        {
            "since": Query(_BAD_MOMENTS),
            "subject": Query(("x" * 256, "%00")),
            "action": Query(("x" * 65, "%00")),
            **_PAGING,
        },
    ),
)

_DISMISS = "/api/v1/ops/dead-letters/{}/dismiss"
_BOOKINGS = "/api/v1/ops/recovery/bookings"
_PRODUCT = "/api/v1/products/{}"
_ADDRESSES = "/api/v1/users/{}/addresses"
_CART = "/api/v1/carts/{}"

ROUTES = (
    Route("order", "POST", "/api/v1/orders", body=NEW_ORDER, key=True),
    Route(
        "order",
        "GET",
        "/api/v1/orders",
        query={"customerId": Query(_BAD_IDS), "status": Query(_BAD_STATES), **_PAGING},
    ),
    Route("order", "GET", "/api/v1/orders/{}", unknown="ORDER_NOT_FOUND"),
    Route("order", "POST", "/api/v1/orders/{}/cancel", unknown="ORDER_NOT_FOUND"),
    Route("order", "GET", "/api/v1/orders/{}/trace", unknown="ORDER_NOT_FOUND"),
    Route("order", "GET", "/api/v1/orders/{}/events", unknown="ORDER_NOT_FOUND"),
    Route("order", "POST", "/api/v1/admin/products/{}/hot", unknown="PRODUCT_NOT_FOUND"),
    Route("order", "DELETE", "/api/v1/admin/products/{}/hot", unknown="PRODUCT_NOT_FOUND"),
    Route("order", "GET", _CART),
    Route("order", "DELETE", _CART),
    Route(
        "order",
        "POST",
        f"{_CART}/items",
        body={"productId": _uuid(), "quantity": _amount()},
        unknown="PRODUCT_NOT_FOUND",
        key=True,
    ),
    Route(
        "order",
        "PATCH",
        f"{_CART}/items/{{}}",
        body={"quantity": _amount()},
        unknown="CART_ITEM_NOT_FOUND",
    ),
    Route("order", "DELETE", f"{_CART}/items/{{}}"),
    Route("order", "POST", f"{_CART}/checkout", body=CHECKOUT, key=True),
    Route("product", "POST", _BOOKINGS, body=STOCK_BOOKING, key=True),
    Route("coupon", "POST", _BOOKINGS, body=ISSUED_BOOKING),
    Route("payment", "POST", _BOOKINGS, body=CHARGE_BOOKING, key=True),
    Route("product", "POST", "/api/v1/products", body=NEW_PRODUCT, key=True),
    Route(
        "product",
        "GET",
        "/api/v1/products",
        query={
            "status": Query(_BAD_STATES),
            "query": Query(("x" * 201,)),
            "category": Query(("x" * 201,)),
            **_PAGING,
        },
    ),
    Route("product", "GET", _PRODUCT, unknown="PRODUCT_NOT_FOUND"),
    Route("product", "PATCH", _PRODUCT, body=PRODUCT_CHANGES, unknown="PRODUCT_NOT_FOUND"),
    Route("product", "DELETE", _PRODUCT, unknown="PRODUCT_NOT_FOUND"),
    Route("product", "GET", f"{_PRODUCT}/stock", unknown="PRODUCT_NOT_FOUND"),
    Route(
        "product",
        "PATCH",
        f"{_PRODUCT}/stock",
        body=STOCK_CHANGE,
        unknown="PRODUCT_NOT_FOUND",
        key=True,
    ),
    Route(
        "product",
        "GET",
        f"{_PRODUCT}/stock/history",
        unknown="PRODUCT_NOT_FOUND",
        query={"from": Query(_BAD_MOMENTS), "to": Query(_BAD_MOMENTS), **_PAGING},
    ),
    Route("product", "GET", "/api/v1/categories", query=_PAGING),
    Route("product", "GET", "/api/v1/categories/{}", unknown="CATEGORY_NOT_FOUND"),
    Route("product", "POST", "/api/v1/categories", body={"name": _text()}, key=True),
    Route(
        "product",
        "PATCH",
        "/api/v1/categories/{}",
        body={"name": _text()},
        unknown="CATEGORY_NOT_FOUND",
    ),
    Route("product", "GET", f"{_PRODUCT}/queue", unknown="PRODUCT_NOT_FOUND", query={**_PAGING}),
    Route("product", "GET", f"{_PRODUCT}/prices", unknown="PRODUCT_NOT_FOUND", query=_PAGING),
    Route(
        "product",
        "GET",
        "/api/v1/products/popular",
        query={
            "days": Query((*_NO_COUNT, "0", "91")),
            "limit": Query((*_NO_COUNT, "0", "101")),
        },
    ),
    Route("coupon", "POST", "/api/v1/coupons", body=NEW_COUPON, key=True),
    Route("coupon", "GET", "/api/v1/coupons", query=_PAGING),
    Route("coupon", "GET", "/api/v1/coupons/{}", unknown="COUPON_NOT_FOUND"),
    Route(
        "coupon",
        "PATCH",
        "/api/v1/coupons/{}",
        body=COUPON_CHANGES,
        unknown="COUPON_NOT_FOUND",
    ),
    Route(
        "coupon",
        "POST",
        "/api/v1/coupons/{}/issue",
        body={"customerId": _uuid()},
        unknown="COUPON_NOT_FOUND",
    ),
    Route(
        "coupon",
        "GET",
        "/api/v1/issued-coupons",
        query={"customerId": Query(_BAD_IDS, required=True), **_PAGING},
    ),
    Route("coupon", "GET", "/api/v1/issued-coupons/{}", unknown="COUPON_NOT_FOUND"),
    Route("coupon", "DELETE", "/api/v1/issued-coupons/{}", unknown="COUPON_NOT_FOUND"),
    Route(
        "coupon",
        "POST",
        "/api/v1/issued-coupons/{}/validate",
        body={"customerId": _uuid(), "orderAmount": _amount(most=MAX_TOTAL)},
        unknown="COUPON_NOT_FOUND",
    ),
    Route("payment", "POST", "/api/v1/wallets", body={"customerId": _uuid()}),
    Route("payment", "GET", "/api/v1/wallets/{}", unknown="WALLET_NOT_FOUND"),
    Route(
        "payment",
        "POST",
        "/api/v1/wallets/{}/charge",
        body={"amount": _amount()},
        unknown="WALLET_NOT_FOUND",
        key=True,
    ),
    Route(
        "payment",
        "GET",
        "/api/v1/wallets/{}/transactions",
        unknown="WALLET_NOT_FOUND",
        query=_PAGING,
    ),
    Route(
        "payment",
        "GET",
        "/api/v1/payments",
        query={"orderId": Query(_BAD_IDS, required=True), "customerId": Query(_BAD_IDS), **_PAGING},
    ),
    Route("payment", "GET", "/api/v1/payments/{}", unknown="PAYMENT_NOT_FOUND"),
    Route(
        "dataplatform",
        "GET",
        "/api/v1/deliveries",
        query={"status": Query(_BAD_STATES), **_PAGING},
    ),
    Route("dataplatform", "GET", "/api/v1/deliveries/{}", unknown="DELIVERY_NOT_FOUND"),
    Route("user", "POST", "/api/v1/users", body=NEW_USER),
    Route(
        "user",
        "POST",
        "/api/v1/admin/users",
        body={
            **NEW_USER,
            "roles": Field(["customer"], (*_NO_NUMBER, [], ["boss"], "customer")),
            "userId": _uuid(**_OPTIONAL),
        },
    ),
    Route("user", "GET", "/api/v1/users/{}", unknown="USER_NOT_FOUND"),
    Route("user", "PATCH", "/api/v1/users/{}", body={"name": _text()}, unknown="USER_NOT_FOUND"),
    Route(
        "user",
        "PUT",
        "/api/v1/users/{}/password",
        body={"current": _password(), "new": _password()},
        unknown="USER_NOT_FOUND",
    ),
    Route("user", "DELETE", "/api/v1/users/{}"),
    Route("user", "GET", "/api/v1/users/{}/export", unknown="USER_NOT_FOUND"),
    Route("user", "GET", _ADDRESSES, unknown="USER_NOT_FOUND"),
    Route("user", "POST", _ADDRESSES, body=NEW_ADDRESS, unknown="USER_NOT_FOUND"),
    Route(
        "user",
        "PATCH",
        f"{_ADDRESSES}/{{}}",
        body=ADDRESS_CHANGES,
        unknown="USER_NOT_FOUND",
    ),
    Route("user", "DELETE", f"{_ADDRESSES}/{{}}", unknown="USER_NOT_FOUND"),
    Route("user", "POST", "/api/v1/auth/login", body=CREDENTIALS),
    Route("user", "POST", "/api/v1/auth/refresh", body={"refreshToken": _text()}),
    Route("user", "POST", "/api/v1/auth/logout", body={"refreshToken": _text()}),
    *(
        Route(service, method, path, unknown=unknown, query=query)
        for service in SERVICES
        for method, path, unknown, query in _OPERATIONS
    ),
    *(
        Route(service, "POST", _DISMISS, body=DISMISSAL, unknown="DEAD_LETTER_NOT_FOUND")
        for service in SERVICES
    ),
    *(
        Route(service, "GET", path)
        for service in SERVICES
        for path in ("/health/live", "/health/ready", "/metrics")
    ),
)

BY_NAME = {route.name: route for route in ROUTES}


def valid(shape: Any) -> Any:
    """A valid body with every field."""
    if isinstance(shape, Field):
        return shape.example
    if isinstance(shape, list):
        return [valid(each) for each in shape]
    return {name: valid(each) for name, each in shape.items()}
