"""Stock by hand: once for each key, never below zero, and a ledger that tells all of it."""

import asyncio
from uuid import uuid4

from tests.e2e.api.raw_http import Wire, nothing_stored, refused
from tests.kit.client import Response, Shop, order


async def book(shop: Shop, product: str, key: str, delta: int, **more: object) -> Response:
    path = f"/api/v1/products/{product}/stock"
    return await shop.call("product", "PATCH", path, {"delta": delta} | more, idempotency_key=key)


async def test_in_and_out(shop: Shop) -> None:
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


async def test_the_same_key_again(wire: Wire) -> None:
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


async def test_too_little_stock(wire: Wire) -> None:
    shop = wire.shop
    product = await shop.create_product(price=10, stock=7)
    async with nothing_stored(shop):
        answer = await book(shop, product, "much", -8)
    refused(answer, 400, "INSUFFICIENT_STOCK")
    assert answer.body["details"] == {"available": 7, "delta": -8}
    # A refusal does not use up the key.
    assert (await book(shop, product, "much", -7)).body["stock"] == 0


async def test_many_at_once_under_one_key(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=7)
    answers = await asyncio.gather(*(book(shop, product, "once", 5) for _ in range(20)))
    assert {(answer.status, answer.body["stock"]) for answer in answers} == {(200, 12)}
    assert await shop.stock(product) == (12, 0)


async def test_many_at_once_never_take_too_much(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=7)
    answers = await asyncio.gather(*(book(shop, product, f"k{i}", -1) for i in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [400] * 13
    assert {answer.body["stock"] for answer in answers if answer.status == 200} == set(range(7))
    assert await shop.stock(product) == (0, 0)


async def test_the_sagas_own_keys(wire: Wire) -> None:
    """A booking of the saga can be asked for again; nobody else can book under such a key."""
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


async def test_a_key_that_was_sent_before_the_saga_used_it_stops_no_order(shop: Shop) -> None:
    rich, product = await shop.create_wallet(1000), await shop.create_product(price=10, stock=7)
    order_id = await shop.place(order(rich, (product, 2)))
    early = await book(shop, product, f"INC-{order_id}", 2)
    refused(early, 400, "VALIDATION_ERROR")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(product) == (5, 0)
