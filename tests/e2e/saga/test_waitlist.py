"""Orders that wait for stock: in the order of arrival, wherever the stock comes from."""

import asyncio
from uuid import uuid4

from chassis.outbox.reconciliation import CHECK_SECONDS
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import Shop, order, wait_until
from tests.kit.waitlist import (
    assert_queue_is_served_in_order,
    place_waiting,
    queue,
    wait_until_finished,
)


async def test_waiting_order_is_served_by_a_delivery(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 1), await shop.create_wallet(10_000)
    first = await place_waiting(shop, customer, (product, 2))
    second = await place_waiting(shop, customer, (product, 1))

    found = await shop.get("order", f"/api/v1/orders/{second}")
    assert (found["queuePosition"], found["failReason"]) == (2, None)
    assert await queue(shop, product) == [first, second]
    path = f"/api/v1/orders?customerId={customer}&status=WAITING"
    assert (await shop.get("order", path))["total"] == 2
    assert await shop.stock(product) == (1, 0)

    await shop.add_stock(product, 1)
    assert (await wait_until_finished(shop, first))["status"] == "COMPLETED"
    assert await queue(shop, product) == [second]
    await shop.add_stock(product, 5)
    ended = await wait_until_finished(shop, second)
    assert (ended["status"], ended["queuePosition"]) == ("COMPLETED", 2)
    assert await shop.event_names(second) == [
        "OrderCreated",
        "CouponUsed",
        "StockWaitlisted",
        "StockDecremented",
        "PaymentCompleted",
        "OrderCompleted",
    ]
    await shop.wait_until_idle()
    assert await shop.stock(product) == (4, 0)
    assert await shop.balance(customer) == 7_000


async def test_order_without_waiting_may_take_stock_that_is_too_little_for_the_queue(
    shop: Shop,
) -> None:
    product, customer = await shop.create_product(1_000, 2), await shop.create_wallet(50_000)
    large = await place_waiting(shop, customer, (product, 5))
    small = await place_waiting(shop, customer, (product, 1))
    immediate = await shop.buy(order(customer, (product, 2)))
    late = await shop.buy(order(customer, (product, 1)))
    assert immediate["status"] == "COMPLETED"
    assert (late["status"], late["failReason"]) == ("FAILED", "INSUFFICIENT_STOCK")
    assert await queue(shop, product) == [large, small]
    await shop.add_stock(product, 6)
    for order_id in (large, small):
        assert (await wait_until_finished(shop, order_id))["status"] == "COMPLETED"


async def test_waiting_order_of_several_lines_reserves_none_of_them(shop: Shop) -> None:
    cake, pie = await shop.create_product(1_000, 1), await shop.create_product(500, 0, "Pie")
    customer = await shop.create_wallet(50_000)
    both = await place_waiting(shop, customer, (cake, 1), (pie, 1))
    one = await place_waiting(shop, customer, (cake, 1))
    await shop.add_stock(cake, 1)
    assert await queue(shop, cake) == [both, one]
    assert await shop.stock(cake) == (2, 0)
    await shop.add_stock(pie, 1)
    for order_id in (both, one):
        assert (await wait_until_finished(shop, order_id))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(cake) == await shop.stock(pie) == (0, 0)


async def test_restored_stock_serves_the_queue(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 2), await shop.create_wallet(50_000)
    bought = await shop.buy(order(customer, (product, 2)))
    poor = await place_waiting(shop, await shop.create_wallet(10), (product, 1))
    rich = await place_waiting(shop, customer, (product, 2))
    last = await place_waiting(shop, customer, (product, 1))

    path = f"/api/v1/orders/{bought['orderId']}/cancel"
    assert (await shop.call("order", "POST", path)).status == 200

    ended = await wait_until_finished(shop, poor)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "INSUFFICIENT_BALANCE")
    assert (await wait_until_finished(shop, rich))["status"] == "COMPLETED"
    assert await queue(shop, product) == [last]
    await shop.wait_until_idle()
    assert await shop.stock(product) == (0, 0)
    assert await shop.balance(customer) == 48_000
    await shop.add_stock(product, 1)
    assert (await wait_until_finished(shop, last))["status"] == "COMPLETED"


async def test_waiting_order_cannot_be_cancelled(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 0), await shop.create_wallet(10_000)
    order_id = await place_waiting(shop, customer, (product, 1))
    answer = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert (answer.status, answer.body["error"]) == (400, "INVALID_STATE")
    assert answer.body["details"] == {"status": "WAITING"}
    await shop.add_stock(product, 1)
    assert (await wait_until_finished(shop, order_id))["status"] == "COMPLETED"


async def test_discontinued_product_fails_its_waiting_orders(shop: Shop) -> None:
    cake, pie = await shop.create_product(1_000, 0), await shop.create_product(500, 1, "Pie")
    customer = await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    both = await place_waiting(shop, customer, (cake, 1), (pie, 1), couponId=coupon)
    behind = await place_waiting(shop, customer, (pie, 1))
    assert (await shop.call("product", "DELETE", f"/api/v1/products/{cake}")).status == 204
    ended = await wait_until_finished(shop, both)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "PRODUCT_DISCONTINUED")
    assert (await wait_until_finished(shop, behind))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await queue(shop, cake) == await queue(shop, pie) == []


async def test_queue_of_an_unknown_product_answers_404(shop: Shop) -> None:
    answer = await shop.call("product", "GET", f"/api/v1/products/{uuid4()}/queue")
    assert (answer.status, answer.body["error"]) == (404, "PRODUCT_NOT_FOUND")


async def test_expired_wait_fails_the_order_and_restores_the_coupon(timeout_shop: Shop) -> None:
    shop = timeout_shop
    product, customer = await shop.create_product(1_000, 1), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    large = await place_waiting(shop, customer, (product, 2), couponId=coupon)
    ended = await wait_until_finished(shop, large)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "WAIT_EXPIRED")
    assert await found_wrong(shop) == []
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await shop.stock(product) == (1, 0)
    assert await queue(shop, product) == []


async def test_expired_wait_lets_the_next_order_be_served(timeout_shop: Shop) -> None:
    shop = timeout_shop
    product, customer = await shop.create_product(1_000, 1), await shop.create_wallet(10_000)
    large = await place_waiting(shop, customer, (product, 2))
    small = await shop.place(order(customer, (product, 1), onShortage="WAIT"))
    assert (await wait_until_finished(shop, large))["failReason"] == "WAIT_EXPIRED"
    assert (await wait_until_finished(shop, small))["status"] == "COMPLETED"


async def test_waiting_order_times_out_while_product_is_stopped(timeout_shop: Shop) -> None:
    """Product is stopped when the wait expires, so the order's own time-out decides."""
    shop = timeout_shop
    product, customer = await shop.create_product(1_000, 0), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    order_id = await place_waiting(shop, customer, (product, 1), couponId=coupon)
    await asyncio.to_thread(shop.command, "stop", "product")
    ended = await wait_until_finished(shop, order_id, timeout_seconds=40)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "ORDER_TIMED_OUT")
    await asyncio.to_thread(shop.command, "start", "product")
    await shop.wait_until_ready()
    assert await found_wrong(shop) == []
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await queue(shop, product) == []


async def test_two_instances_serve_the_queue_in_order(
    breakable_shop: Shop,
) -> None:
    await assert_queue_is_served_in_order(breakable_shop)

    async def audit_is_clean() -> bool:
        # In the catalogue an older event of one instance may follow a newer one of the other, until
        # reconciliation compares them.
        return await found_wrong(breakable_shop) == []

    await wait_until(audit_is_clean, "the audit is clean", timeout_seconds=6 * CHECK_SECONDS)
