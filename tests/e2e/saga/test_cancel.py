"""Cancel: money, stock and coupon are restored once, and only of a COMPLETED order."""

import asyncio
from collections import Counter
from uuid import uuid4

import aiohttp
import pytest

from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.event_chains import CANCELLED, COMPLETED
from tests.kit.client import Json, Shop, order, wait_until


async def test_cancel_compensates_payment_product_and_coupon(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    bought = await shop.buy(order(customer, (product, 2), couponId=coupon))
    assert (bought["status"], bought["cancellation"]) == ("COMPLETED", None)

    answer = await shop.cancel(bought["orderId"])

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
    await shop.wait_for_events(bought["orderId"], *CANCELLED)
    trace = await shop.trace(bought["orderId"])
    assert [event["name"] for event in trace] == [*COMPLETED, *CANCELLED]
    causes = {event["id"]: event["name"] for event in trace}
    assert [causes.get(event["cause"]) for event in trace[-4:]] == CANCELLED[:4]


async def test_order_without_a_coupon_is_cancelled(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    assert (await shop.cancel(bought["orderId"])).status == 200
    assert await shop.balance(customer) == 10_000


async def test_concurrent_cancels_have_one_effect(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 50), await shop.create_wallet(100_000)
    bought = await shop.buy(order(customer, (product, 3)))
    answers = await asyncio.gather(*(shop.cancel(bought["orderId"]) for _ in range(20)))
    # A request during the cancel gets its result; a request after its end is refused.
    assert set(Counter(answer.status for answer in answers)) <= {200, 400}
    assert answers[0].status == 200
    assert await shop.balance(customer) == 100_000
    assert await shop.stock(product) == (50, 0)
    assert (await shop.event_names(bought["orderId"])).count("PaymentRefunded") == 1


async def test_restored_stock_and_money_can_be_used_again(shop: Shop) -> None:
    product, customer = await shop.create_product(9_000, 1), await shop.create_wallet(9_000)
    for _ in range(3):
        bought = await shop.buy(order(customer, (product, 1)))
        assert bought["status"] == "COMPLETED"
        assert (await shop.cancel(bought["orderId"])).status == 200


async def test_failed_or_unknown_order_cannot_be_cancelled(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(0)
    failed = await shop.buy(order(customer, (product, 1)))
    answer = await shop.cancel(failed["orderId"])
    assert (answer.status, answer.body["error"]) == (400, "INVALID_STATE")
    assert answer.body["details"] == {"status": "FAILED"}
    unknown = await shop.cancel(str(uuid4()))
    assert (unknown.status, unknown.body["error"]) == (404, "ORDER_NOT_FOUND")


async def test_second_cancel_is_refused(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    assert (await shop.cancel(bought["orderId"])).status == 200
    again = await shop.cancel(bought["orderId"])
    assert (again.status, again.body["error"]) == (400, "INVALID_STATE")
    found = await shop.get("order", f"/api/v1/orders?customerId={customer}&status=CANCELLED")
    assert [each["orderId"] for each in found["items"]] == [bought["orderId"]]


async def test_cancel_waits_for_a_stopped_service(breakable_shop: Shop) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    await asyncio.to_thread(shop.command, "stop", "product")

    answer = await shop.cancel(bought["orderId"])

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


@pytest.mark.parametrize("service", ["payment", "product", "coupon", "order"])
async def test_crash_during_cancels_loses_none(breakable_shop: Shop, service: str) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(100, 100), await shop.create_wallet(10_000)
    bought = [await shop.place(order(customer, (product, 1))) for _ in range(40)]
    for order_id in bought:
        assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"

    cancels = asyncio.gather(*(cancel_until_received(shop, order_id) for order_id in bought))
    await asyncio.to_thread(shop.command, "kill", service)
    await cancels
    await shop.wait_until_ready()

    async def all_cancelled() -> bool:
        path = f"/api/v1/orders?customerId={customer}&status=CANCELLED"
        return bool((await shop.get("order", path))["total"] == len(bought))

    await wait_until(all_cancelled, "all orders are cancelled", 60)
    assert await shop.balance(customer) == 10_000
    assert await shop.stock(product) == (100, 0)
    assert await found_wrong(shop) == []


async def cancel_until_received(shop: Shop, order_id: str) -> None:
    """Send the cancel until the answer shows that it was received."""

    async def is_received() -> bool:
        try:
            answer = await shop.cancel(order_id)
        except aiohttp.ClientError:
            return False
        return answer.status in (200, 202, 400)

    await wait_until(is_received, f"the cancel of {order_id} is received", 60)
