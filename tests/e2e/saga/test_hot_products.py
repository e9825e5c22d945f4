"""The gate in front of hot products: what there is gets sold, and the sold-out cost nothing."""

import asyncio
from collections import Counter
from uuid import uuid4

from tests.kit.client import Response, Shop, order, wait_until
from tests.kit.waitlist import brings, finished, waits

HOT = "/api/v1/admin/products/{}/hot"


async def enable(shop: Shop, product: str) -> None:
    """Load the gate, and wait for product's word."""
    answer = await shop.call("order", "POST", HOT.format(product))
    assert answer.status == 200, answer
    assert answer.body["limit"] is not None


async def place(
    shop: Shop, customer: str, product: str, quantity: int = 1, **headers: str
) -> Response:
    body = order(customer, (product, quantity))
    return await shop.call("order", "POST", "/api/v1/orders", body, **headers)


async def gate(shop: Shop, product: str) -> tuple[int, int]:
    body = (await shop.call("order", "POST", HOT.format(product))).body
    return body["limit"], body["leased"]


def means(answers: list[Response]) -> Counter[str]:
    """How many were accepted, and how many the gate sent away."""
    found = Counter[str]()
    for answer in answers:
        if answer.status == 202:
            found["accepted"] += 1
        else:
            assert (answer.status, answer.body["error"]) == (400, "INSUFFICIENT_STOCK"), answer
            assert answer.body["details"]["reason"] == "SOLD_OUT"
            found["sold out"] += 1
    return found


async def placed(shop: Shop) -> float:
    """How many orders have reached the order service's database."""
    text = (await shop.call("order", "GET", "/metrics")).body
    lines = [line for line in text.splitlines() if line.startswith("saga_commands_total")]
    return sum(float(line.split()[-1]) for line in lines if 'command="PlaceOrder"' in line)


async def test_a_crowd_buys_what_there_is_and_the_others_cost_nothing(shop: Shop) -> None:
    product, customer = (
        await shop.create_product(price=10, stock=50),
        await shop.create_wallet(100_000),
    )
    await enable(shop, product)
    before = await placed(shop)

    answers = await asyncio.gather(*(place(shop, customer, product) for _ in range(1_000)))

    assert means(list(answers)) == {"accepted": 50, "sold out": 950}
    assert await shop.count_ends(customer) == {"COMPLETED": 50, "FAILED": 0}
    assert await placed(shop) - before == 50
    assert await shop.stock(product) == (0, 0)
    await shop.wait_until_idle()
    assert await gate(shop, product) == (0, 0)


async def test_what_comes_back_can_be_sold_again(shop: Shop) -> None:
    product, poor = await shop.create_product(price=10, stock=1), await shop.create_wallet(0)
    rich = await shop.create_wallet(100)
    await enable(shop, product)
    failed = await shop.buy(order(poor, (product, 1)))
    assert failed["failReason"] == "INSUFFICIENT_BALANCE"

    async def bought() -> bool:
        return (await place(shop, rich, product)).status == 202

    await wait_until(bought, "the unit is on sale again")
    assert await shop.count_ends(rich) == {"COMPLETED": 1, "FAILED": 0}
    await shop.wait_until_idle()
    assert await gate(shop, product) == (0, 0)


async def test_an_order_that_is_refused_gives_its_lease_back(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    for _ in range(3):
        body = order(customer, (product, 1), price=11)
        wrong = await shop.call("order", "POST", "/api/v1/orders", body, idempotency_key="k")
        assert wrong.body["error"] == "PRICE_MISMATCH"
    assert await gate(shop, product) == (1, 0)
    assert (await place(shop, customer, product)).status == 202


async def test_an_order_that_fails_before_product_gives_its_lease_back(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    failed = await shop.buy(order(customer, (product, 1), couponId=str(uuid4())))
    assert failed["failReason"] == "COUPON_NOT_FOUND"

    async def free() -> bool:
        return await gate(shop, product) == (1, 0)

    await wait_until(free, "its lease has ended")


async def test_an_order_that_would_wait_is_not_refused_at_the_gate(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    assert means([await place(shop, customer, product)]) == {"accepted": 1}
    assert means([await place(shop, customer, product)]) == {"sold out": 1}
    waiting = await waits(shop, customer, (product, 2))
    await brings(shop, product, 2)
    assert (await finished(shop, waiting))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await gate(shop, product) == (0, 0)


async def test_a_winners_replay_is_answered_as_the_winners(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    first = await place(shop, customer, product, idempotency_key="mine")
    assert first.status == 202
    assert means([await place(shop, customer, product)]) == {"sold out": 1}
    again = await place(shop, customer, product, idempotency_key="mine")
    assert (again.status, again.body) == (202, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await place(shop, customer, product, 2, idempotency_key="mine")
    assert other.body["error"] == "IDEMPOTENCY_KEY_REUSED"


async def test_more_than_is_left_is_said(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=3), await shop.create_wallet(100)
    await enable(shop, product)
    answer = await place(shop, customer, product, 5)
    assert answer.body["details"] == {
        "reason": "SOLD_OUT",
        "productId": product,
        "available": 3,
    }
    assert (await place(shop, customer, product, 3)).status == 202


async def test_redis_goes_and_comes_back_in_the_middle_of_a_sale(breakable_shop: Shop) -> None:
    shop = breakable_shop
    product, customer = (
        await shop.create_product(price=10, stock=30),
        await shop.create_wallet(100_000),
    )
    await enable(shop, product)
    winner = await place(shop, customer, product, idempotency_key="mine")
    await asyncio.to_thread(shop.command, "kill", "redis")
    answers = await asyncio.gather(*(place(shop, customer, product) for _ in range(100)))
    assert {each.status for each in answers} <= {202, 400}
    found = await shop.count_ends(customer)
    assert found["COMPLETED"] == 30

    async def stands_again() -> bool:
        return means([await place(shop, customer, product)]) == {"sold out": 1}

    await wait_until(stands_again, "the gate stands again")
    await shop.wait_until_idle()

    async def exact() -> bool:
        return await gate(shop, product) == (0, 0)

    await wait_until(exact, "the gate is exact again")
    again = await place(shop, customer, product, idempotency_key="mine")
    assert (again.status, again.body) == (202, winner.body)


async def test_without_the_gate_the_database_decides(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    unloaded = await shop.call("order", "DELETE", HOT.format(product))
    assert unloaded.status == 204
    answers = [await place(shop, customer, product) for _ in range(3)]
    assert [each.status for each in answers] == [202] * 3
    assert await shop.count_ends(customer) == {"COMPLETED": 1, "FAILED": 2}
    assert (await shop.call("order", "DELETE", HOT.format(uuid4()))).status == 404
