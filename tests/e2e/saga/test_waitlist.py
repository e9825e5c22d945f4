"""Orders that wait for stock: first come, first served, whatever brings the stock."""

import asyncio
from uuid import uuid4

from chassis.outbox.reconciliation import CHECK_SECONDS
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import Shop, order, wait_until
from tests.kit.waitlist import brings, every_unit_goes_to_the_next, finished, queue, waits


async def test_an_order_waits_and_an_arrival_of_stock_serves_it(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 1), await shop.create_wallet(10_000)
    first = await waits(shop, customer, (product, 2))
    second = await waits(shop, customer, (product, 1))

    found = await shop.get("order", f"/api/v1/orders/{second}")
    assert (found["queuePosition"], found["failReason"]) == (2, None)
    assert await queue(shop, product) == [first, second]
    path = f"/api/v1/orders?customerId={customer}&status=WAITING"
    assert (await shop.get("order", path))["total"] == 2
    assert await shop.stock(product) == (1, 0)

    await brings(shop, product, 1)
    assert (await finished(shop, first))["status"] == "COMPLETED"
    assert await queue(shop, product) == [second]
    await brings(shop, product, 5)
    ended = await finished(shop, second)
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


async def test_who_does_not_wait_may_take_what_nobody_can_use_yet(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 2), await shop.create_wallet(50_000)
    large = await waits(shop, customer, (product, 5))
    small = await waits(shop, customer, (product, 1))
    hasty = await shop.buy(order(customer, (product, 2)))
    late = await shop.buy(order(customer, (product, 1)))
    assert hasty["status"] == "COMPLETED"
    assert (late["status"], late["failReason"]) == ("FAILED", "INSUFFICIENT_STOCK")
    assert await queue(shop, product) == [large, small]
    await brings(shop, product, 6)
    for order_id in (large, small):
        assert (await finished(shop, order_id))["status"] == "COMPLETED"


async def test_an_order_of_several_lines_holds_no_part_of_them(shop: Shop) -> None:
    cake, pie = await shop.create_product(1_000, 1), await shop.create_product(500, 0, "Pie")
    customer = await shop.create_wallet(50_000)
    both = await waits(shop, customer, (cake, 1), (pie, 1))
    one = await waits(shop, customer, (cake, 1))
    await brings(shop, cake, 1)
    assert await queue(shop, cake) == [both, one]
    assert await shop.stock(cake) == (2, 0)
    await brings(shop, pie, 1)
    for order_id in (both, one):
        assert (await finished(shop, order_id))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(cake) == await shop.stock(pie) == (0, 0)


async def test_what_a_cancel_or_a_failed_payment_gives_back_serves_the_queue(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 2), await shop.create_wallet(50_000)
    bought = await shop.buy(order(customer, (product, 2)))
    poor = await waits(shop, await shop.create_wallet(10), (product, 1))
    rich = await waits(shop, customer, (product, 2))
    last = await waits(shop, customer, (product, 1))

    path = f"/api/v1/orders/{bought['orderId']}/cancel"
    assert (await shop.call("order", "POST", path)).status == 200

    ended = await finished(shop, poor)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "INSUFFICIENT_BALANCE")
    assert (await finished(shop, rich))["status"] == "COMPLETED"
    assert await queue(shop, product) == [last]
    await shop.wait_until_idle()
    assert await shop.stock(product) == (0, 0)
    assert await shop.balance(customer) == 48_000
    await brings(shop, product, 1)
    assert (await finished(shop, last))["status"] == "COMPLETED"


async def test_an_order_that_waits_cant_be_cancelled(shop: Shop) -> None:
    product, customer = await shop.create_product(1_000, 0), await shop.create_wallet(10_000)
    order_id = await waits(shop, customer, (product, 1))
    answer = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert (answer.status, answer.body["error"]) == (400, "INVALID_STATE")
    assert answer.body["details"] == {"status": "WAITING"}
    await brings(shop, product, 1)
    assert (await finished(shop, order_id))["status"] == "COMPLETED"


async def test_nobody_waits_for_a_product_that_is_taken_off_the_shop(shop: Shop) -> None:
    cake, pie = await shop.create_product(1_000, 0), await shop.create_product(500, 1, "Pie")
    customer = await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    both = await waits(shop, customer, (cake, 1), (pie, 1), couponId=coupon)
    behind = await waits(shop, customer, (pie, 1))
    assert (await shop.call("product", "DELETE", f"/api/v1/products/{cake}")).status == 204
    ended = await finished(shop, both)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "PRODUCT_DISCONTINUED")
    assert (await finished(shop, behind))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await queue(shop, cake) == await queue(shop, pie) == []


async def test_the_queue_of_a_product_that_nobody_knows(shop: Shop) -> None:
    answer = await shop.call("product", "GET", f"/api/v1/products/{uuid4()}/queue")
    assert (answer.status, answer.body["error"]) == (404, "PRODUCT_NOT_FOUND")


async def test_a_wait_runs_out_and_the_coupon_comes_back(impatient_shop: Shop) -> None:
    shop = impatient_shop
    product, customer = await shop.create_product(1_000, 1), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    large = await waits(shop, customer, (product, 2), couponId=coupon)
    ended = await finished(shop, large)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "WAIT_EXPIRED")
    assert await found_wrong(shop) == []
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await shop.stock(product) == (1, 0)
    assert await queue(shop, product) == []


async def test_whoever_stood_behind_is_served_when_a_wait_runs_out(impatient_shop: Shop) -> None:
    shop = impatient_shop
    product, customer = await shop.create_product(1_000, 1), await shop.create_wallet(10_000)
    large = await waits(shop, customer, (product, 2))
    small = await shop.place(order(customer, (product, 1), onShortage="WAIT"))
    assert (await finished(shop, large))["failReason"] == "WAIT_EXPIRED"
    assert (await finished(shop, small))["status"] == "COMPLETED"


async def test_payment_ends_an_order_that_product_has_left_waiting(impatient_shop: Shop) -> None:
    """Product is away when the wait should run out: the order asks payment at its own deadline."""
    shop = impatient_shop
    product, customer = await shop.create_product(1_000, 0), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    order_id = await waits(shop, customer, (product, 1), couponId=coupon)
    await asyncio.to_thread(shop.command, "stop", "product")
    ended = await finished(shop, order_id, timeout_seconds=40)
    assert (ended["status"], ended["failReason"]) == ("FAILED", "ORDER_TIMED_OUT")
    await asyncio.to_thread(shop.command, "start", "product")
    await shop.wait_until_ready()
    assert await found_wrong(shop) == []
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await queue(shop, product) == []


async def test_many_wait_at_two_instances_and_every_unit_goes_to_the_next(
    breakable_shop: Shop,
) -> None:
    await every_unit_goes_to_the_next(breakable_shop)

    async def nothing_is_wrong() -> bool:
        # The catalogue may hold an older word of one instance behind a newer one of the other, for
        # as long as it takes until somebody looks.
        return await found_wrong(breakable_shop) == []

    await wait_until(nothing_is_wrong, "nothing is wrong", timeout_seconds=6 * CHECK_SECONDS)
