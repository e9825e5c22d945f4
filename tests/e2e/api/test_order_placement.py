"""POST /orders: its answers, and refusals, which store nothing."""

import asyncio
import re
from uuid import uuid4

from tests.e2e.api.raw_http import Wire, assert_utc, nothing_stored, refused
from tests.kit.client import Shop, order, wait_until

ORDERS = "/api/v1/orders"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WHOLE = {
    *("orderId", "orderTrackingId", "customerId", "status", "failReason", "items", "totalAmount"),
    *("discountAmount", "payableAmount", "couponId", "paymentMethod", "address", "cancellation"),
    *("queuePosition", "stage", "createdAt", "updatedAt"),
}
ADDRESS = {"street": "1 Sejong-daero", "postalCode": "04524", "city": "서울"}


async def test_accepted_order_is_pending(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    answer = await shop.call("order", "POST", ORDERS, order(customer, (cake, 2)))
    assert answer.status == 202
    assert answer.headers["Content-Type"] == "application/json"
    order_id = answer.body["orderId"]
    assert UUID.fullmatch(order_id)
    assert answer.body == {
        "orderId": order_id,
        "orderTrackingId": order_id,
        "status": "PENDING",
        "totalAmount": 60,
    }
    assert answer.headers["Location"] == f"{ORDERS}/{order_id}"
    assert "Idempotency-Replayed" not in answer.headers
    located = await shop.get("order", answer.headers["Location"])
    assert located["orderId"] == order_id


async def test_order_shows_every_field(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(5000), await shop.create_product(price=1500, stock=10)
    coupon = await shop.create_coupon(customer)
    body = order(customer, (cake, 2), couponId=coupon, address=ADDRESS, price=3000)
    found = await shop.buy(body | {"paymentMethod": "WALLET", "onShortage": "REJECT"})
    assert set(found) == WHOLE
    created, updated = assert_utc(found.pop("createdAt")), assert_utc(found.pop("updatedAt"))
    assert created <= updated
    assert found == {
        "orderId": found["orderId"],
        "orderTrackingId": found["orderId"],
        "customerId": customer,
        "status": "COMPLETED",
        "failReason": None,
        "items": [{"productId": cake, "quantity": 2, "price": 1500}],
        "totalAmount": 3000,
        "discountAmount": 1000,
        "payableAmount": 2000,
        "couponId": coupon,
        "paymentMethod": "WALLET",
        "address": ADDRESS,
        "cancellation": None,
        "queuePosition": None,
        "stage": "PAID",
    }


async def test_order_without_optional_fields_is_accepted(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1), couponId=None, address=None, price=None)
    body["items"][0]["price"] = None
    found = await shop.buy(body)
    assert set(found) == WHOLE
    assert found["status"] == "COMPLETED"
    assert found["couponId"] is found["address"] is found["failReason"] is None
    assert found["paymentMethod"] == "WALLET"
    assert (found["discountAmount"], found["payableAmount"]) == (0, 30)


async def test_failed_order_has_a_reason(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(10), await shop.create_product(price=30, stock=10)
    found = await shop.buy(order(customer, (cake, 1)))
    assert set(found) == WHOLE
    assert (found["status"], found["failReason"]) == ("FAILED", "INSUFFICIENT_BALANCE")
    assert found["discountAmount"] == 0
    assert found["cancellation"] is None


async def test_other_price_answers_price_mismatch(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    tart = await shop.create_product(price=7, stock=10, name="Tart")
    line = {"productId": cake, "quantity": 2}
    rest = {"productId": tart, "quantity": 1, "price": 7}
    wrong = [
        {"customerId": customer, "items": [line | {"price": 29}]},
        {"customerId": customer, "items": [line | {"price": 60}]},
        {"customerId": customer, "items": [line | {"price": 30}, rest | {"price": 8}]},
        {"customerId": customer, "items": [line], "price": 59},
        {"customerId": customer, "items": [line], "price": 30},
        {"customerId": customer, "items": [line | {"price": 30}, rest], "price": 60},
        {"customerId": customer, "items": [line | {"price": 31}], "price": 62},
        {"customerId": customer, "items": [line, line | {"price": 29}]},
    ]
    async with nothing_stored(shop):
        for body in wrong:
            answer = await wire.send_json("order", "POST", ORDERS, body)
            refused(answer, 400, "PRICE_MISMATCH")
    right = {"customerId": customer, "items": [line | {"price": 30}, rest], "price": 67}
    assert (await shop.buy(right))["status"] == "COMPLETED"


async def test_largest_price_is_the_largest_total(wire: Wire) -> None:
    """A product costs up to 10^9 KRW, an order up to 10^15. Validation of a coupon knows both."""
    shop, customer = wire.shop, str(uuid4())
    house = await shop.create_product(price=10**9, stock=0)
    largest = order(customer, (house, 10**6), price=10**15)
    accepted = await shop.call("order", "POST", ORDERS, largest)
    assert (accepted.status, accepted.body.get("totalAmount")) == (202, 10**15)
    refused(
        await wire.send_json("order", "POST", ORDERS, largest | {"price": 10**15 + 1}),
        *(400, "VALIDATION_ERROR"),
    )
    coupon = await shop.create_coupon(customer)
    path, asked = f"/api/v1/issued-coupons/{coupon}/validate", {"customerId": customer}
    valid = await shop.call("coupon", "POST", path, asked | {"orderAmount": 10**15})
    assert (valid.status, valid.body.get("payableAmount")) == (200, 10**15 - 1000)


async def test_unknown_product_answers_404(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    missing = str(uuid4())
    async with nothing_stored(shop):
        for lines in ([(missing, 1)], [(cake, 1), (missing, 1)]):
            answer = await wire.send_json("order", "POST", ORDERS, order(customer, *lines))
            refused(answer, 404, "PRODUCT_NOT_FOUND")
            assert answer.body["details"] == {"productId": missing}


async def test_order_above_the_maximum_amount_is_refused(wire: Wire) -> None:
    """Each line is valid, but their total is not."""
    shop = wire.shop
    customer, cake = (
        await shop.create_wallet(1000),
        await shop.create_product(price=10**9 - 1, stock=10),
    )
    async with nothing_stored(shop):
        for lines in ([(cake, 10**9), (cake, 1)], [(cake, 10**9)]):
            answer = await wire.send_json("order", "POST", ORDERS, order(customer, *lines))
            refused(answer, 400, "VALIDATION_ERROR")


async def test_ids_in_upper_case_are_the_same_ids(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    found = await shop.buy(order(customer.upper(), (cake.upper(), 1), (cake, 1)))
    assert (found["status"], found["customerId"]) == ("COMPLETED", customer)
    assert found["items"] == [{"productId": cake, "quantity": 2, "price": 30}]
    assert await shop.get("order", f"{ORDERS}/{found['orderId'].upper()}") == found


async def test_changed_price_reaches_the_price_projection(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    before = await shop.buy(order(customer, (cake, 1)))
    changed = await shop.call("product", "PATCH", f"/api/v1/products/{cake}", {"price": 50})
    assert changed.status == 200

    async def known() -> bool:
        probe = order(customer, (cake, 1), price=1)
        answer = await shop.call("order", "POST", ORDERS, probe)
        return bool(answer.body["details"]["price"] == 50)

    await wait_until(known, "the order service knows the new price")
    after = await shop.buy(order(customer, (cake, 1)))
    assert (before["totalAmount"], after["totalAmount"]) == (30, 50)
    assert (await shop.get("order", f"{ORDERS}/{before['orderId']}")) == before
    assert await shop.balance(customer) == 920


async def test_discontinued_product_is_refused(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    gone = await shop.call("product", "DELETE", f"/api/v1/products/{cake}")
    assert (gone.status, gone.body) == (204, "")
    probe = order(customer, (cake, 1), price=1)

    async def known() -> bool:
        answer = await shop.call("order", "POST", ORDERS, probe)
        return bool(answer.body["error"] != "PRICE_MISMATCH")

    await wait_until(known, "the order service knows that the product is discontinued")
    async with nothing_stored(shop):
        answer = await wire.send_json("order", "POST", ORDERS, order(customer, (cake, 1)))
        refused(answer, 400, "PRODUCT_DISCONTINUED")
        assert answer.body["details"] == {"productId": cake}


async def test_trace_lists_the_events_with_their_causes(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    order_id = await shop.place(order(customer, (cake, 1)))
    await shop.wait_for_events(order_id, "OrderCompleted")
    trace = await shop.get("order", f"{ORDERS}/{order_id}/trace")
    assert set(trace) == {"orderId", "events"}
    assert trace["orderId"] == order_id
    steps = [(step["service"], step["name"]) for step in trace["events"]]
    assert steps == [
        ("order", "OrderCreated"),
        ("coupon", "CouponUsed"),
        ("product", "StockDecremented"),
        ("payment", "PaymentCompleted"),
        ("order", "OrderCompleted"),
    ]
    times = [assert_utc(step["time"]) for step in trace["events"]]
    assert times == sorted(times)
    cause = None
    for step in trace["events"]:
        assert set(step) == {"name", "service", "time", "id", "cause", "times"}
        assert UUID.fullmatch(step["id"])
        assert step["cause"] == cause
        cause = step["id"]


async def test_concurrent_orders_without_a_key_are_separate_orders(shop: Shop) -> None:
    """The same body twice is two orders."""
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    placed = await asyncio.gather(*(shop.place(body) for _ in range(5)))
    assert len(set(placed)) == 5
    ends = await asyncio.gather(*(shop.wait_until_ended(each) for each in placed))
    assert {end["status"] for end in ends} == {"COMPLETED"}
    await shop.wait_until_idle()
    assert await shop.stock(cake) == (5, 0)


async def test_default_content_type_of_curl_is_accepted(shop: Shop) -> None:
    """`curl -d` declares every body a form, and is often a newcomer's first client."""
    cake, customer = await shop.create_product(1_000, 5), await shop.create_wallet(5_000)
    answer = await shop.call(
        "order",
        "POST",
        "/api/v1/orders",
        order(customer, (cake, 1)),
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status == 202
