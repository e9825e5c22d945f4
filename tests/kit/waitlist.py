"""Orders that wait for stock, and what serves them."""

import asyncio
from uuid import uuid4

from tests.kit.client import Json, Shop, open_shop, order, wait_until
from tests.kit.service_instances import second_instances


async def waits(shop: Shop, customer: str, *lines: tuple[str, int], **more: object) -> str:
    """Place an order that has to wait. Returns its id once it stands in the queue."""
    order_id = await shop.place(order(customer, *lines, onShortage="WAIT", **more))
    assert (await shop.wait_until_ended(order_id))["status"] == "WAITING"
    return order_id


async def brings(shop: Shop, product: str, delta: int) -> None:
    path = f"/api/v1/products/{product}/stock"
    body = {"delta": delta, "reason": "delivery"}
    answer = await shop.call("product", "PATCH", path, body, idempotency_key=str(uuid4()))
    assert answer.status == 200, answer


async def finished(shop: Shop, order_id: str, timeout_seconds: float = 20) -> Json:
    """The order, once it neither is on its way nor waits."""
    found: Json = {}

    async def over() -> bool:
        nonlocal found
        found = await shop.get("order", f"/api/v1/orders/{order_id}")
        return found["status"] not in ("PENDING", "WAITING")

    await wait_until(over, f"order {order_id} is over", timeout_seconds)
    return found


async def queue(shop: Shop, product: str) -> list[str]:
    body = await shop.get("product", f"/api/v1/products/{product}/queue?size=100")
    assert [each["position"] for each in body["items"]] == list(range(1, len(body["items"]) + 1))
    return [each["orderId"] for each in body["items"]]


async def every_unit_goes_to_the_next(shop: Shop) -> None:
    """Many orders wait for two products at two instances, and stock comes in at both."""
    cake, pie = await shop.create_product(100, 0), await shop.create_product(100, 0, "Pie")
    customer = await shop.create_wallet(1_000_000)
    wanted = [((cake, 1),), ((pie, 1),), ((cake, 1), (pie, 1)), ((cake, 2),)] * 20
    async with second_instances(shop.environment) as addresses, open_shop(addresses) as twin:
        doors = (shop, twin)
        placed = await asyncio.gather(
            *(
                doors[number % 2].place(order(customer, *lines, onShortage="WAIT"))
                for number, lines in enumerate(wanted)
            )
        )
        await asyncio.gather(*(shop.wait_until_ended(order_id) for order_id in placed))
        by_queue = await queue(shop, cake)
        assert sorted({*by_queue, *await queue(shop, pie)}) == sorted(placed)
        half = (brings(doors[number % 2], each, 1) for number in range(20) for each in (cake, pie))
        await asyncio.gather(*half)
        await shop.wait_until_idle()
        served = [each for each in by_queue if each not in await queue(shop, cake)]
        assert 0 < len(served) < len(by_queue)
        assert served == by_queue[: len(served)]
        more = (brings(doors[number % 2], each, 2) for number in range(40) for each in (cake, pie))
        await asyncio.gather(*more)
        ends = await asyncio.gather(*(finished(shop, order_id, 60) for order_id in placed))
        assert {end["status"] for end in ends} == {"COMPLETED"}
        await shop.wait_until_idle()
    sold = {
        product: sum(quantity for lines in wanted for each, quantity in lines if each == product)
        for product in (cake, pie)
    }
    assert await shop.stock(cake) == (100 - sold[cake], 0)
    assert await shop.stock(pie) == (100 - sold[pie], 0)
