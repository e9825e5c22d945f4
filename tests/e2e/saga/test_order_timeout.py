"""An order that times out fails, unless payment was faster: payment alone decides."""

import asyncio

import pytest

from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import delete_message, names, wait_for_message
from tests.kit.client import Shop, order, wait_until


@pytest.fixture
def shop(timeout_shop: Shop) -> Shop:
    """A stack where orders time out after four seconds."""
    return timeout_shop


@pytest.mark.parametrize("stopped", ["coupon", "product"])
async def test_order_fails_when_it_times_out(shop: Shop, stopped: str) -> None:
    """The stopped service handles the order's events after its failure, without effect."""
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    await asyncio.to_thread(shop.command, "stop", stopped)
    order_id = await shop.place(order(customer, (product, 1), couponId=coupon))

    ended = await shop.wait_until_ended(order_id)

    assert (ended["status"], ended["failReason"]) == ("FAILED", "ORDER_TIMED_OUT")
    await asyncio.to_thread(shop.command, "start", stopped)
    await shop.wait_until_ready()
    assert await found_wrong(shop) == []
    assert await shop.stock(product) == (5, 0)
    assert await shop.coupon_status(coupon) == ("ISSUED", None)
    assert await shop.balance(customer) == 10_000
    assert {"OrderTimedOut", "PaymentFailed", "OrderFailed"} <= set(await names(shop, order_id))


async def test_order_paid_before_the_time_out_completes(shop: Shop) -> None:
    """The order service times out before it knows of the payment. The payment counts."""
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    await asyncio.to_thread(shop.command, "stop", "coupon")
    order_id = await shop.place(order(customer, (product, 1)))
    await asyncio.to_thread(shop.command, "stop", "order")
    await asyncio.to_thread(shop.command, "start", "coupon")

    async def is_paid() -> bool:
        return await shop.balance(customer) == 8_000

    await wait_until(is_paid, "the order is paid")
    await wait_for_message(shop, order_id, "PaymentCompleted")
    await asyncio.to_thread(shop.command, "stop", "payment")  # or it would publish it again
    await delete_message(shop, order_id, "PaymentCompleted")
    await asyncio.to_thread(shop.command, "start", "order")
    await wait_for_message(shop, order_id, "OrderTimedOut")
    await asyncio.to_thread(shop.command, "start", "payment")

    ended = await shop.wait_until_ended(order_id, 60)

    assert ended["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(product) == (4, 0)
    assert await found_wrong(shop) == []
