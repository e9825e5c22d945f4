"""An order that is not finished by its deadline asks payment, which alone decides."""

import asyncio

import pytest

from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import lose, names, until_in_stream
from tests.kit.client import Shop, order, wait_until


@pytest.fixture
def shop(impatient_shop: Shop) -> Shop:
    """A stack where orders time out after four seconds."""
    return impatient_shop


@pytest.mark.parametrize("away", ["coupon", "product"])
async def test_an_order_fails_when_its_time_is_over(shop: Shop, away: str) -> None:
    """Whoever was away hears of the order after its death, and does nothing for it."""
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    await asyncio.to_thread(shop.command, "stop", away)
    order_id = await shop.place(order(customer, (product, 1), couponId=coupon))

    ended = await shop.wait_until_ended(order_id)

    assert (ended["status"], ended["failReason"]) == ("FAILED", "ORDER_TIMED_OUT")
    await asyncio.to_thread(shop.command, "start", away)
    await shop.wait_until_ready()
    assert await found_wrong(shop) == []
    assert await shop.stock(product) == (5, 0)
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await shop.balance(customer) == 10_000
    assert {"OrderTimedOut", "PaymentFailed", "OrderFailed"} <= set(await names(shop, order_id))


async def test_a_payment_that_won_the_race_completes_the_order(shop: Shop) -> None:
    """The order's time is over before it hears of its payment: payment's word counts."""
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    await asyncio.to_thread(shop.command, "stop", "coupon")
    order_id = await shop.place(order(customer, (product, 1)))
    await asyncio.to_thread(shop.command, "stop", "order")
    await asyncio.to_thread(shop.command, "start", "coupon")

    async def paid() -> bool:
        return await shop.balance(customer) == 8_000

    await wait_until(paid, "the order is paid")
    await until_in_stream(shop, order_id, "PaymentCompleted")
    await lose(shop, order_id, "PaymentCompleted")
    await asyncio.to_thread(shop.command, "start", "order")

    ended = await shop.wait_until_ended(order_id, 60)

    assert ended["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(product) == (4, 0)
    assert "OrderTimedOut" in await names(shop, order_id)
