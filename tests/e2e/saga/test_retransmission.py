"""Retransmission: an event that did not reach its consumer is published again: every order ends.

The stream holds each event, so reconciliation finds nothing to publish again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.e2e.saga.broker_stream import lose_message, wait_for_message
from tests.kit.client import SERVICES, Json, Shop, open_shop, order, running_stack, wait_until


@pytest.fixture(scope="module")
def retransmitting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A stack that retransmits an event after a second without an answer."""
    folder = tmp_path_factory.mktemp("retransmitting")
    with running_stack(folder, REPEAT_AFTER_SECONDS="1") as environment:
        yield environment


@pytest.fixture
async def retransmitting_shop(retransmitting_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(retransmitting_stack) as shop:
        yield shop


RETRANSMITTED = "saga_events_retransmitted_total "


async def wait_until_settled(shop: Shop) -> None:
    async def is_settled() -> bool:
        return not any([await shop.unsettled(each) for each in SERVICES])

    await wait_until(is_settled, "no order is unsettled", 60)


@pytest.mark.parametrize(
    ("cause", "event", "without"),
    [
        (None, "OrderCreated", ["coupon"]),
        ("OrderCreated", "CouponUsed", ["product"]),
        ("CouponUsed", "StockDecremented", ["payment"]),
        ("StockDecremented", "PaymentCompleted", ["order"]),
        ("StockDecremented", "PaymentCompleted", ["product"]),
        ("StockDecremented", "PaymentCompleted", ["coupon"]),
        ("StockDecremented", "PaymentCompleted", ["order", "product", "coupon"]),
    ],
)
async def test_lost_event_is_retransmitted(
    retransmitting_shop: Shop, cause: str | None, event: str, without: list[str]
) -> None:
    shop = retransmitting_shop
    product, customer = await shop.create_product(2_000, 50), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    body = order(customer, (product, 1), couponId=coupon)
    order_id = await place_and_lose(shop, body, cause, event, without)

    assert (await shop.wait_until_ended(order_id, 60))["status"] == "COMPLETED"
    await wait_until_settled(shop)
    assert await shop.balance(customer) == 9_000
    assert await shop.stock(product) == (49, 0)
    assert await shop.coupon_status(coupon) == ("USED", order_id)
    assert len(await shop.payments(order_id)) == 1


PRODUCER = {"CouponUsed": "coupon", "StockDecremented": "product", "PaymentCompleted": "payment"}


async def place_and_lose(
    shop: Shop, body: Json, cause: str | None, event: str, without: list[str]
) -> str:
    """Place an order, one of whose events is not delivered to these services."""
    if cause is None:
        await asyncio.to_thread(shop.command, "stop", *without)
        order_id = await shop.place(body)
    else:
        await asyncio.to_thread(shop.command, "stop", PRODUCER[event])
        order_id = await shop.place(body)
        await wait_for_message(shop, order_id, cause)
        for service in without:
            await asyncio.to_thread(shop.command, "stop", service)
        await asyncio.to_thread(shop.command, "start", PRODUCER[event])
    await wait_for_message(shop, order_id, event)
    for service in without:
        await lose_message(shop, service, order_id, event)
        await asyncio.to_thread(shop.command, "start", service)
    await shop.wait_until_ready()
    return order_id


async def test_lost_event_of_a_cancel_is_retransmitted(retransmitting_shop: Shop) -> None:
    shop = retransmitting_shop
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    order_id = bought["orderId"]
    await asyncio.to_thread(shop.command, "stop", "product")
    requested = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert requested.status == 202
    await wait_for_message(shop, order_id, "PaymentRefunded")
    await lose_message(shop, "product", order_id, "PaymentRefunded")
    await asyncio.to_thread(shop.command, "start", "product")

    async def cancelled() -> bool:
        found = await shop.get("order", f"/api/v1/orders/{order_id}")
        return bool(found["status"] == "CANCELLED")

    await wait_until(cancelled, "the order is cancelled", 60)
    assert await shop.balance(customer) == 10_000
    assert await shop.stock(product) == (5, 0)


async def test_nothing_is_retransmitted_while_nothing_is_lost(shop: Shop) -> None:
    product, customer = await shop.create_product(2_000, 50), await shop.create_wallet(100_000)
    before = [await retransmitted(shop, service) for service in SERVICES]
    for order_id in [await shop.place(order(customer, (product, 1))) for _ in range(20)]:
        await shop.wait_until_ended(order_id)
    await shop.wait_until_idle()
    assert [await retransmitted(shop, service) for service in SERVICES] == before


async def retransmitted(shop: Shop, service: str) -> str:
    metrics: str = (await shop.call(service, "GET", "/metrics")).body
    [line] = [each for each in metrics.splitlines() if each.startswith(RETRANSMITTED)]
    return line
