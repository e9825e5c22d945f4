"""Repeat and answer: what the broker has lost is asked for, and every order still ends.

Single messages are taken out of the stream here, which nobody notices: the stream's end is as each
service remembers it. So all that can help is that those who wait ask again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.e2e.saga.broker_stream import lose, until_in_stream
from tests.kit.client import SERVICES, Json, Shop, open_shop, order, running_stack, wait_until


@pytest.fixture(scope="module")
def asking_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A stack on which those who wait ask again after a second."""
    folder = tmp_path_factory.mktemp("asking")
    with running_stack(folder, REPEAT_AFTER_SECONDS="1") as environment:
        yield environment


@pytest.fixture
async def asking(asking_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(asking_stack) as shop:
        yield shop


RETRANSMITTED = "saga_events_said_again_total "


async def nothing_unsettled(shop: Shop) -> None:
    async def settled() -> bool:
        owed = [(await shop.get(each, "/api/v1/ops/owed"))["items"] for each in SERVICES]
        return not any(owed)

    await wait_until(settled, "nobody owes an answer", 60)


@pytest.mark.parametrize(
    ("cause", "event", "deaf"),
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
async def test_a_lost_event_is_asked_for(
    asking: Shop, cause: str | None, event: str, deaf: list[str]
) -> None:
    shop = asking
    product, customer = await shop.create_product(2_000, 50), await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)
    body = order(customer, (product, 1), couponId=coupon)
    order_id = await lost_on_its_way(shop, body, cause, event, deaf)

    assert (await shop.wait_until_ended(order_id, 60))["status"] == "COMPLETED"
    await nothing_unsettled(shop)
    assert await shop.balance(customer) == 9_000
    assert await shop.stock(product) == (49, 0)
    assert await shop.coupon_status(coupon) == ("USED", order_id)
    assert len(await shop.payments(order_id)) == 1


PRODUCER = {"CouponUsed": "coupon", "StockDecremented": "product", "PaymentCompleted": "payment"}


async def lost_on_its_way(
    shop: Shop, body: Json, cause: str | None, event: str, deaf: list[str]
) -> str:
    """Place an order and lose one event of it before these services hear it."""
    if cause is None:
        await asyncio.to_thread(shop.command, "stop", *deaf)
        order_id = await shop.place(body)
    else:
        await asyncio.to_thread(shop.command, "stop", PRODUCER[event])
        order_id = await shop.place(body)
        await until_in_stream(shop, order_id, cause)
        for service in deaf:
            await asyncio.to_thread(shop.command, "stop", service)
        await asyncio.to_thread(shop.command, "start", PRODUCER[event])
    await until_in_stream(shop, order_id, event)
    await lose(shop, order_id, event)
    for service in deaf:
        await asyncio.to_thread(shop.command, "start", service)
    await shop.wait_until_ready()
    return order_id


async def test_a_cancel_whose_answer_was_lost_is_asked_for(asking: Shop) -> None:
    shop = asking
    product, customer = await shop.create_product(2_000, 5), await shop.create_wallet(10_000)
    bought = await shop.buy(order(customer, (product, 1)))
    order_id = bought["orderId"]
    await asyncio.to_thread(shop.command, "stop", "product")
    asked = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert asked.status == 202
    await until_in_stream(shop, order_id, "PaymentRefunded")
    await lose(shop, order_id, "PaymentRefunded")
    await asyncio.to_thread(shop.command, "start", "product")

    async def cancelled() -> bool:
        found = await shop.get("order", f"/api/v1/orders/{order_id}")
        return bool(found["status"] == "CANCELLED")

    await wait_until(cancelled, "the order is cancelled", 60)
    assert await shop.balance(customer) == 10_000
    assert await shop.stock(product) == (5, 0)


async def test_nobody_asks_while_nothing_is_missing(shop: Shop) -> None:
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
