"""A coupon is judged by the time at which its order was accepted, as prices are."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.e2e.saga.broker_stream import body_of, messages, name_of, publish, republish
from tests.kit.client import Json, Shop, order, wait_until


async def test_coupon_that_ends_while_its_order_is_on_the_way_is_honoured(
    breakable_shop: Shop,
) -> None:
    """And one that begins meanwhile is not. The stopped broker holds both orders."""
    shop = breakable_shop
    product, customer = await shop.create_product(1_000, 5), await shop.create_wallet(5_000)
    await asyncio.to_thread(shop.command, "stop", "nats")
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    ending = await shop.create_coupon(customer, validUntil=soon)
    beginning = await shop.create_coupon(customer, validFrom=soon)
    honoured, early = [
        await shop.place(order(customer, (product, 2), couponId=each))
        for each in (ending, beginning)
    ]
    assert datetime.now(UTC).isoformat() < soon, "accepted before it"

    async def has_expired() -> bool:
        return await shop.coupon_status(ending) == ("EXPIRED", None)

    await wait_until(has_expired, "the coupon has expired")
    await asyncio.to_thread(shop.command, "start", "nats")

    ended = await shop.wait_until_ended(honoured)
    assert (ended["status"], ended["discountAmount"]) == ("COMPLETED", 1_000)
    assert await shop.coupon_status(ending) == ("USED", honoured)
    failed = await shop.wait_until_ended(early)
    assert (failed["status"], failed["failReason"]) == ("FAILED", "COUPON_NOT_YET_VALID")
    assert failed["stage"] == "CREATED"
    await shop.wait_until_idle()
    assert await shop.balance(customer) == 4_000

    await republish(shop, honoured)
    await shop.wait_until_idle()
    assert await shop.coupon_status(ending) == ("USED", honoured)
    late = await shop.buy(order(customer, (product, 1), couponId=ending))
    assert late["failReason"] == "COUPON_ALREADY_USED"


async def test_order_of_the_future_uses_no_coupon_early(forged_shop: Shop) -> None:
    shop = forged_shop
    customer = await shop.create_wallet(5_000)
    tomorrow, later = ((datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (1, 2))
    coupon = await shop.create_coupon(customer, validFrom=tomorrow)
    order_id = str(uuid4())
    line = {"productId": await shop.create_product(1_000, 5), "quantity": 1, "price": 1_000}
    created: Json = {
        "orderId": order_id,
        "customerId": customer,
        "items": [line],
        "totalAmount": 1_000,
        "couponId": coupon,
        "acceptedAt": later,
    }
    async with shop.nats() as client:
        await publish(client, f"saga.{order_id}.OrderCreated", created)
    await shop.wait_until_idle()
    found = {name_of(message): body_of(message) for message in await messages(shop, order_id)}
    assert found["CouponRejected"]["reason"] == "COUPON_NOT_YET_VALID"
