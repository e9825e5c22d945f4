"""The stage of an order: which step it has reached, also while it can't go on."""

import asyncio

import pytest

from tests.kit.client import Shop, order, wait_until


async def test_stage_follows_an_order_from_service_to_service(breakable_shop: Shop) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(1_000, 5), await shop.create_wallet(5_000)

    async def command(*words: str) -> None:
        await asyncio.to_thread(shop.command, *words)

    async def wait_for_stage(stage: str) -> None:
        async def is_reached() -> bool:
            found = await shop.get("order", f"/api/v1/orders/{order_id}")
            return bool(found["stage"] == stage)

        await wait_until(is_reached, f"the order is at {stage}")

    for service in ("coupon", "product", "payment"):
        await command("stop", service)
    order_id = await shop.place(order(customer, (product, 1)))
    await wait_for_stage("CREATED")
    await command("start", "coupon")
    await wait_for_stage("COUPON_USED")
    await command("start", "product")
    await wait_for_stage("STOCK_DECREMENTED")
    [listed] = (await shop.get("order", f"/api/v1/orders?customerId={customer}"))["items"]
    assert (listed["stage"], listed["status"]) == ("STOCK_DECREMENTED", "PENDING")
    await command("start", "payment")
    await wait_for_stage("PAID")
    ended = await shop.wait_until_ended(order_id)
    assert ended["status"] == "COMPLETED"
    cancelled = await shop.send("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert cancelled["stage"] == "PAID"


@pytest.mark.parametrize(("stock", "stage"), [(0, "COUPON_USED"), (1, "STOCK_DECREMENTED")])
async def test_stage_of_a_failed_order_is_where_it_ended(
    shop: Shop, stock: int, stage: str
) -> None:
    product, customer = await shop.create_product(1_000, stock), await shop.create_wallet(0)
    ended = await shop.buy(order(customer, (product, 1)))
    assert (ended["status"], ended["stage"]) == ("FAILED", stage)
