"""GET /products/{id}/stock: cached for less than a second, and right without Redis."""

import asyncio
from uuid import uuid4

from tests.kit.client import Response, Shop, order, wait_until


async def read(shop: Shop, product: str, **headers: str) -> Response:
    return await shop.call("product", "GET", f"/api/v1/products/{product}/stock", **headers)


async def test_header_names_the_cache_that_answered(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=7)
    seen: list[str] = []

    async def expired_and_was_cached_again() -> bool:
        answer = await read(shop, product)
        assert answer.body["available"] == 7
        seen.append(answer.headers["X-Cache"])
        return len(seen) > 1 and seen[-2] in ("REDIS", "DATABASE")

    await wait_until(expired_and_was_cached_again, "a cached value expired and was read again")
    assert seen[-1] == "MEMORY"
    assert set(seen) <= {"MEMORY", "REDIS", "DATABASE"}
    fresh = await read(shop, product, cache_control="no-cache")
    assert (fresh.body["available"], fresh.headers["X-Cache"]) == (7, "DATABASE")


async def test_client_reads_its_own_change_at_once(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=0)
    path = f"/api/v1/products/{product}/stock"
    for units in range(1, 30):
        booked = await shop.call(
            "product", "PATCH", path, {"delta": 1}, idempotency_key=str(uuid4())
        )
        assert booked.body["stock"] == units
        assert (await read(shop, product)).body == {
            "productId": product,
            "available": units,
            "reserved": 0,
        }


async def test_sale_is_visible_within_a_second(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=7), await shop.create_wallet(100)
    assert (await read(shop, product)).body["available"] == 7
    await shop.buy(order(customer, (product, 2)))
    ended_at = asyncio.get_running_loop().time()

    async def is_visible() -> bool:
        body = (await read(shop, product)).body
        return (body["available"], body["reserved"]) == (5, 0)

    await wait_until(is_visible, "the sale is visible")
    assert asyncio.get_running_loop().time() - ended_at < 1


async def test_unknown_product_answers_404_each_time(shop: Shop) -> None:
    for _ in range(3):
        answer = await read(shop, str(uuid4()))
        assert (answer.status, answer.body["error"]) == (404, "PRODUCT_NOT_FOUND")


async def test_stock_is_right_without_redis(breakable_shop: Shop) -> None:
    shop = breakable_shop
    product = await shop.create_product(price=10, stock=0)
    await asyncio.to_thread(shop.command, "stop", "redis")
    try:
        path = f"/api/v1/products/{product}/stock"
        for units in range(1, 10):
            await shop.call("product", "PATCH", path, {"delta": 1}, idempotency_key=str(uuid4()))
            answers = await asyncio.gather(*(read(shop, product) for _ in range(10)))
            assert {each.body["available"] for each in answers} == {units}
            assert {each.headers["X-Cache"] for each in answers} <= {"MEMORY", "DATABASE"}
    finally:
        await asyncio.to_thread(shop.command, "start", "redis")
    assert (await read(shop, product)).body["available"] == 9
