"""A customer cancels: money, stock and coupon come back, once, and only from a COMPLETED order."""

import asyncio
from collections import Counter
from uuid import uuid4

import aiohttp
import pytest

from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import Json, Response, Shop, order, wait_until

UNWOUND = [
    "OrderCancelRequested",
    "PaymentRefunded",
    "StockRestored",
    "CouponRestored",
    "OrderCancelled",
]
BOUGHT = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]


async def cancel(shop: Shop, order_id: str) -> Response:
    return await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")


async def test_a_cancel_unwinds_payment_product_coupon_and_order(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    bought = await shop.buy(order(customer, (product, 2), couponId=coupon))
    assert (bought["status"], bought["cancellation"]) == ("COMPLETED", None)

    answer = await cancel(shop, bought["orderId"])

    assert answer.status == 200
    assert answer.body["status"] == "CANCELLED"
    assert answer.body["cancellation"] == {"state": "DONE", "attempt": 1}
    assert await shop.balance(customer) == 10_000
    assert await shop.stock(product) == (5, 0)
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    [payment] = await shop.payments(bought["orderId"])
    assert (payment["status"], payment["amount"]) == ("REFUNDED", 3_000)
    kinds = [entry["kind"] for entry in await shop.wallet_entries(customer)]
    assert kinds[:2] == ["REFUND", "PAYMENT"]
    await shop.wait_for_events(bought["orderId"], *UNWOUND)
    trace = await shop.trace(bought["orderId"])
    assert [event["name"] for event in trace] == [*BOUGHT, *UNWOUND]
    causes = {event["id"]: event["name"] for event in trace}
    assert [causes.get(event["cause"]) for event in trace[-4:]] == UNWOUND[:4]


async def test_an_order_without_a_coupon_is_cancelled_too(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    assert (await cancel(shop, bought["orderId"])).status == 200
    assert await shop.balance(customer) == 10_000


async def test_parallel_cancels_take_effect_once(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 50), await shop.create_wallet(100_000)
    bought = await shop.buy(order(customer, (product, 3)))
    answers = await asyncio.gather(*(cancel(shop, bought["orderId"]) for _ in range(20)))
    # Who came while it was on its way has joined it; who came after it was done is refused.
    assert set(Counter(answer.status for answer in answers)) <= {200, 400}
    assert answers[0].status == 200
    assert await shop.balance(customer) == 100_000
    assert await shop.stock(product) == (50, 0)
    assert (await shop.event_names(bought["orderId"])).count("PaymentRefunded") == 1


async def test_what_came_back_can_be_bought_again(shop: Shop) -> None:
    product, customer = await shop.create_product(9_000, 1), await shop.create_wallet(9_000)
    for _ in range(3):
        bought = await shop.buy(order(customer, (product, 1)))
        assert bought["status"] == "COMPLETED"
        assert (await cancel(shop, bought["orderId"])).status == 200


async def test_only_a_completed_order_can_be_cancelled(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(0)
    failed = await shop.buy(order(customer, (product, 1)))
    answer = await cancel(shop, failed["orderId"])
    assert (answer.status, answer.body["error"]) == (400, "INVALID_STATE")
    assert answer.body["details"] == {"status": "FAILED"}
    unknown = await cancel(shop, str(uuid4()))
    assert (unknown.status, unknown.body["error"]) == (404, "ORDER_NOT_FOUND")


async def test_a_cancelled_order_stays_cancelled(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    assert (await cancel(shop, bought["orderId"])).status == 200
    again = await cancel(shop, bought["orderId"])
    assert (again.status, again.body["error"]) == (400, "INVALID_STATE")
    found = await shop.get("order", f"/api/v1/orders?customerId={customer}&status=CANCELLED")
    assert [each["orderId"] for each in found["items"]] == [bought["orderId"]]


async def test_a_cancel_waits_for_a_service_that_is_away(breakable_shop: Shop) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    await asyncio.to_thread(shop.command, "stop", "product")

    answer = await cancel(shop, bought["orderId"])

    assert answer.status == 202
    assert answer.body["status"] == "COMPLETED"
    assert answer.body["cancellation"] == {"state": "REQUESTED", "attempt": 1}
    await asyncio.to_thread(shop.command, "start", "product")

    async def cancelled() -> bool:
        found: Json = await shop.get("order", f"/api/v1/orders/{bought['orderId']}")
        return bool(found["status"] == "CANCELLED")

    await wait_until(cancelled, "the order is cancelled")
    assert await shop.balance(customer) == 10_000
    assert await found_wrong(shop) == []


@pytest.mark.parametrize("crashes", ["payment", "product", "coupon", "order"])
async def test_a_crash_in_the_middle_of_cancels_loses_none(
    breakable_shop: Shop, crashes: str
) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(100, 100), await shop.create_wallet(10_000)
    bought = [await shop.place(order(customer, (product, 1))) for _ in range(40)]
    for order_id in bought:
        assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"

    asking = asyncio.gather(*(patiently(shop, order_id) for order_id in bought))
    await asyncio.to_thread(shop.command, "kill", crashes)
    await asking
    await shop.wait_until_ready()

    async def all_cancelled() -> bool:
        path = f"/api/v1/orders?customerId={customer}&status=CANCELLED"
        return bool((await shop.get("order", path))["total"] == len(bought))

    await wait_until(all_cancelled, "all orders are cancelled", 60)
    assert await shop.balance(customer) == 10_000
    assert await shop.stock(product) == (100, 0)
    assert await found_wrong(shop) == []


async def patiently(shop: Shop, order_id: str) -> None:
    """Ask until the answer says that the cancel is done or on its way."""

    async def received() -> bool:
        try:
            answer = await cancel(shop, order_id)
        except aiohttp.ClientError:
            return False
        return answer.status in (200, 202, 400)

    await wait_until(received, f"a cancel of {order_id} is heard", 60)
