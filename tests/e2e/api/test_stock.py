"""Stock changes by hand: once for each key, never below zero, all in the ledger."""

from uuid import uuid4

from tests.e2e.api.raw_http import Wire, nothing_stored, refused
from tests.kit.client import Response, Shop, order


async def book(shop: Shop, product: str, key: str, delta: int, **more: object) -> Response:
    path = f"/api/v1/products/{product}/stock"
    return await shop.call("product", "PATCH", path, {"delta": delta} | more, idempotency_key=key)


async def test_stock_is_added_and_removed(shop: Shop) -> None:
    product, about = await shop.create_product(price=10, stock=7), str(uuid4())
    came = await book(shop, product, "in", 5, reason="DELIVERY", orderId=about)
    went = await book(shop, product, "out", -12)
    assert (came.status, came.body) == (200, {"productId": product, "stock": 12})
    assert (went.status, went.body) == (200, {"productId": product, "stock": 0})
    _, into, out = await shop.stock_entries(product)
    assert (into["delta"], into["reason"], into["orderId"]) == (5, "DELIVERY", about)
    assert (into["requestId"], into["balanceAfter"]) == ("in", 12)
    assert (out["delta"], out["orderId"], out["requestId"]) == (-12, None, "out")
    assert await shop.stock(product) == (0, 0)


async def test_repeated_key_gets_the_first_answer(wire: Wire) -> None:
    shop = wire.shop
    product = await shop.create_product(price=10, stock=7)
    first = await book(shop, product, "again", 5)
    await book(shop, product, "between", -1)
    async with nothing_stored(shop):
        again = await book(shop, product, "again", 5)
        refused(await book(shop, product, "again", 6), 422, "IDEMPOTENCY_KEY_REUSED")
        refused(await book(shop, product, "again", -5), 422, "IDEMPOTENCY_KEY_REUSED")
    assert (again.status, again.body) == (200, first.body)
    assert await shop.stock(product) == (11, 0)


async def test_removing_more_than_available_is_refused(wire: Wire) -> None:
    shop = wire.shop
    product = await shop.create_product(price=10, stock=7)
    async with nothing_stored(shop):
        answer = await book(shop, product, "much", -8)
    refused(answer, 400, "INSUFFICIENT_STOCK")
    assert answer.body["details"] == {"available": 7, "delta": -8}
    # The key of a refused request can be used again.
    assert (await book(shop, product, "much", -7)).body["stock"] == 0


async def test_keys_of_the_saga_are_refused_for_clients(wire: Wire) -> None:
    """The saga's entry is returned for its key; a new entry under such a key is refused."""
    shop = wire.shop
    poor, product = await shop.create_wallet(0), await shop.create_product(price=10, stock=7)
    order_id = (await shop.buy(order(poor, (product, 2))))["orderId"]
    async with nothing_stored(shop):
        taken = await book(shop, product, f"DEC-{order_id}", -2)
        back = await book(shop, product, f"INC-{order_id}", 2)
        assert (taken.status, taken.body) == (200, {"productId": product, "stock": 5})
        assert (back.status, back.body) == (200, {"productId": product, "stock": 7})
        for key, delta in ((f"DEC-{order_id}", -3), (f"INC-{order_id}", 1)):
            refused(await book(shop, product, key, delta), 422, "IDEMPOTENCY_KEY_REUSED")
        for key in (f"DEC-{uuid4()}", f"INC-{uuid4()}", "DEC-", "INC-x"):
            refused(await book(shop, product, key, 1), 400, "VALIDATION_ERROR")


async def test_client_key_like_a_saga_key_stops_no_order(shop: Shop) -> None:
    rich, product = await shop.create_wallet(1000), await shop.create_product(price=10, stock=7)
    order_id = await shop.place(order(rich, (product, 2)))
    early = await book(shop, product, f"INC-{order_id}", 2)
    refused(early, 400, "VALIDATION_ERROR")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(product) == (5, 0)
