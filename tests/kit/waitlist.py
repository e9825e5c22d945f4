"""Orders that wait for stock."""

import asyncio

from tests.kit.client import Json, Shop, open_shop, order
from tests.kit.service_instances import second_instances


async def place_waiting(shop: Shop, customer: str, *lines: tuple[str, int], **more: object) -> str:
    """Place an order that has to wait. Returns its id as soon as it is in the queue."""
    order_id = await shop.place(order(customer, *lines, onShortage="WAIT", **more))
    assert (await shop.wait_until_ended(order_id))["status"] == "WAITING"
    return order_id


async def wait_until_finished(shop: Shop, order_id: str, timeout_seconds: float = 20) -> Json:
    """The order, as soon as it is neither PENDING nor WAITING."""
    not_ended = ("PENDING", "WAITING")
    return await shop.wait_until_ended(order_id, timeout_seconds, not_ended=not_ended)


async def queue(shop: Shop, product: str) -> list[str]:
    """The orders that wait for the product, in order."""
    body = await shop.get("product", f"/api/v1/products/{product}/queue?size=100")
    assert [each["position"] for each in body["items"]] == list(range(1, len(body["items"]) + 1))
    return [each["orderId"] for each in body["items"]]


async def assert_queue_is_served_in_order(shop: Shop) -> None:
    """Many orders wait for two products at two instances, and stock is delivered at both."""
    cake, pie = await shop.create_product(100, 0), await shop.create_product(100, 0, "Pie")
    customer = await shop.create_wallet(1_000_000)
    wanted = [((cake, 1),), ((pie, 1),), ((cake, 1), (pie, 1)), ((cake, 2),)] * 20
    async with second_instances(shop.environment) as addresses, open_shop(addresses) as twin:
        instances = (shop, twin)
        placed = await asyncio.gather(
            *(
                instances[number % 2].place(order(customer, *lines, onShortage="WAIT"))
                for number, lines in enumerate(wanted)
            )
        )
        await asyncio.gather(*(shop.wait_until_ended(order_id) for order_id in placed))
        by_queue = await queue(shop, cake)
        assert sorted({*by_queue, *await queue(shop, pie)}) == sorted(placed)

        async def deliver(times: int, quantity: int) -> None:
            await asyncio.gather(
                *(
                    instances[number % 2].add_stock(product, quantity)
                    for number in range(times)
                    for product in (cake, pie)
                )
            )

        await deliver(20, 1)
        await shop.wait_until_idle()
        served = [each for each in by_queue if each not in await queue(shop, cake)]
        assert 0 < len(served) < len(by_queue)
        assert served == by_queue[: len(served)]
        await deliver(40, 2)
        ends = await asyncio.gather(*(wait_until_finished(shop, each, 60) for each in placed))
        assert {end["status"] for end in ends} == {"COMPLETED"}
        await shop.wait_until_idle()
    sold = {
        product: sum(quantity for lines in wanted for each, quantity in lines if each == product)
        for product in (cake, pie)
    }
    assert await shop.stock(cake) == (100 - sold[cake], 0)
    assert await shop.stock(pie) == (100 - sold[pie], 0)
