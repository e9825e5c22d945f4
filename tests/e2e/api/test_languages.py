"""Messages in Korean where `Accept-Language` asks for it; codes and details stay as they are."""

import re
from uuid import uuid4

import pytest

from tests.e2e.api.raw_http import Wire
from tests.e2e.api.routes import ROUTES, UUID_EXAMPLE, Route, valid
from tests.kit.client import SERVICES, Response, Shop, order

HANGUL = re.compile("[가-힣]")
KOREAN = {"accept_language": "ko-KR,ko;q=0.9,en;q=0.5"}
WITH_ID = [route for route in ROUTES if route.unknown]


def assert_korean(answer: Response) -> None:
    assert HANGUL.search(answer.body["message"]), answer
    assert "{" not in answer.body["message"]
    assert answer.headers["Content-Language"] == "ko"
    assert answer.headers["Vary"] == "Accept-Language"


@pytest.mark.parametrize("route", WITH_ID, ids=lambda route: route.name)
async def test_unknown_id_is_named_in_korean(wire: Wire, route: Route) -> None:
    body = valid(route.body) if route.body else None
    sent = {"idempotency_key": f"{uuid4()}", **KOREAN}
    answer = await wire.shop.call(route.service, route.method, route.address, body, **sent)
    assert (answer.status, answer.body["error"]) == (404, route.unknown)
    assert_korean(answer)


@pytest.mark.parametrize("service", SERVICES)
async def test_refusals_of_the_framework_are_in_korean(shop: Shop, service: str) -> None:
    for method, path, code in (
        ("GET", "/api/v1/nothing", "NOT_FOUND"),
        ("GET", "/schema/nothing", "NOT_FOUND"),
        ("PUT", "/health/live", "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/ops/dead-letters?page=-1", "VALIDATION_ERROR"),
    ):
        answer = await shop.call(service, method, path, **KOREAN)
        assert answer.body["error"] == code
        assert_korean(answer)


async def test_order_is_refused_in_korean_on_the_fast_path_too(shop: Shop) -> None:
    product = await shop.create_product(price=1_000, stock=1)
    customer = f"{uuid4()}"
    path = "/api/v1/orders"
    unknown = order(customer, (UUID_EXAMPLE, 1))
    for body, code in (
        (order(customer, (product, 1), price=7), "PRICE_MISMATCH"),
        (order(customer, (product, 0)), "VALIDATION_ERROR"),
        (unknown, "PRODUCT_NOT_FOUND"),
    ):
        answer = await shop.call("order", "POST", path, body, **KOREAN)
        assert answer.body["error"] == code
        assert_korean(answer)
    english = await shop.call("order", "POST", path, unknown, accept_language="en,ko;q=0.9")
    assert english.body["message"] == f"there is no product {UUID_EXAMPLE}"
    assert english.headers["Content-Language"] == "en"
    assert english.headers["Vary"] == "Accept-Language"


async def test_short_stock_is_named_in_korean(shop: Shop) -> None:
    product = await shop.create_product(price=1_000, stock=3)
    path = f"/api/v1/products/{product}/stock"
    sent = {"idempotency_key": f"{uuid4()}", **KOREAN}
    answer = await shop.call("product", "PATCH", path, {"delta": -4}, **sent)
    assert (answer.status, answer.body["error"]) == (400, "INSUFFICIENT_STOCK")
    assert answer.body["message"] == "재고가 부족합니다. 남은 수량은 3개입니다."
    assert answer.body["details"] == {"available": 3, "delta": -4}
    assert_korean(answer)


async def test_rules_are_named_in_korean(shop: Shop) -> None:
    """One refusal for each rule that a client can easily break."""
    customer = await shop.create_wallet(0)
    product = await shop.create_product(price=1_000, stock=3)
    waiting = await shop.buy(order(customer, (product, 1)))
    coupon = await shop.create_coupon(customer)
    definition = (await shop.get("coupon", f"/api/v1/issued-coupons/{coupon}"))["couponId"]
    issue = f"/api/v1/coupons/{definition}/issue"
    category = await shop.create_category("named in Korean")
    cart = f"/api/v1/carts/{uuid4()}"
    cancel = f"/api/v1/orders/{waiting['orderId']}/cancel"
    new = {"name": "x", "price": 1, "category": f"{uuid4()}"}
    too_far = {"name": "x", "discountType": "RATE", "discountValue": 101, "quantity": 1}
    for service, method, path, body, code in (
        ("order", "POST", cancel, None, "INVALID_STATE"),
        ("order", "POST", f"{cart}/checkout", {}, "CART_EMPTY"),
        ("coupon", "POST", issue, {"customerId": customer}, "COUPON_ALREADY_ISSUED"),
        ("coupon", "POST", issue, {"customerId": f"{uuid4()}"}, "COUPON_EXHAUSTED"),
        ("coupon", "POST", "/api/v1/coupons", too_far, "VALIDATION_ERROR"),
        ("product", "POST", "/api/v1/categories", {"name": category}, "CATEGORY_EXISTS"),
        ("product", "POST", "/api/v1/products", new, "CATEGORY_NOT_FOUND"),
    ):
        answer = await shop.call(service, method, path, body, **KOREAN)
        assert answer.body["error"] == code, answer
        assert_korean(answer)
