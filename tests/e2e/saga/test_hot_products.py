"""Hot-product admission: all stock is sold, and a rejected order costs no database and no event."""

import asyncio
from collections import Counter
from uuid import uuid4

from tests.kit.client import Response, Shop, order, wait_until
from tests.kit.waitlist import place_waiting, wait_until_finished

HOT = "/api/v1/admin/products/{}/hot"


async def enable(shop: Shop, product: str) -> None:
    """Enable the admission, which then knows the product's stock."""
    answer = await shop.call("order", "POST", HOT.format(product))
    assert answer.status == 200, answer
    assert answer.body["limit"] is not None


async def place(
    shop: Shop, customer: str, product: str, quantity: int = 1, **headers: str
) -> Response:
    body = order(customer, (product, quantity))
    return await shop.call("order", "POST", "/api/v1/orders", body, **headers)


async def limit_and_leased(shop: Shop, product: str) -> tuple[int, int]:
    body = (await shop.call("order", "POST", HOT.format(product))).body
    return body["limit"], body["leased"]


def count_outcomes(answers: list[Response]) -> Counter[str]:
    """The number of accepted and of rejected orders."""
    found = Counter[str]()
    for answer in answers:
        if answer.status == 202:
            found["accepted"] += 1
        else:
            assert (answer.status, answer.body["error"]) == (400, "INSUFFICIENT_STOCK"), answer
            assert answer.body["details"]["reason"] == "SOLD_OUT"
            found["sold out"] += 1
    return found


async def stored_orders(shop: Shop) -> float:
    """The number of orders that the order service has stored."""
    text = (await shop.call("order", "GET", "/metrics")).body
    lines = [line for line in text.splitlines() if line.startswith("saga_commands_total")]
    return sum(float(line.split()[-1]) for line in lines if 'command="PlaceOrder"' in line)


async def test_rejected_orders_reach_no_database_and_all_stock_is_sold(shop: Shop) -> None:
    product, customer = (
        await shop.create_product(price=10, stock=50),
        await shop.create_wallet(100_000),
    )
    await enable(shop, product)
    before = await stored_orders(shop)

    answers = await asyncio.gather(*(place(shop, customer, product) for _ in range(1_000)))

    assert count_outcomes(list(answers)) == {"accepted": 50, "sold out": 950}
    assert await shop.count_ends(customer) == {"COMPLETED": 50, "FAILED": 0}
    assert await stored_orders(shop) - before == 50
    assert await shop.stock(product) == (0, 0)
    await shop.wait_until_idle()
    assert await limit_and_leased(shop, product) == (0, 0)


async def test_restored_stock_can_be_sold_again(shop: Shop) -> None:
    product, poor = await shop.create_product(price=10, stock=1), await shop.create_wallet(0)
    rich = await shop.create_wallet(100)
    await enable(shop, product)
    failed = await shop.buy(order(poor, (product, 1)))
    assert failed["failReason"] == "INSUFFICIENT_BALANCE"

    async def is_accepted() -> bool:
        return (await place(shop, rich, product)).status == 202

    await wait_until(is_accepted, "the unit is on sale again")
    assert await shop.count_ends(rich) == {"COMPLETED": 1, "FAILED": 0}
    await shop.wait_until_idle()
    assert await limit_and_leased(shop, product) == (0, 0)


async def test_refused_order_releases_its_lease(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    for _ in range(3):
        body = order(customer, (product, 1), price=11)
        wrong = await shop.call("order", "POST", "/api/v1/orders", body, idempotency_key="k")
        assert wrong.body["error"] == "PRICE_MISMATCH"
    assert await limit_and_leased(shop, product) == (1, 0)
    assert (await place(shop, customer, product)).status == 202


async def test_order_that_fails_before_product_releases_its_lease(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    failed = await shop.buy(order(customer, (product, 1), couponId=str(uuid4())))
    assert failed["failReason"] == "COUPON_NOT_FOUND"

    async def is_released() -> bool:
        return await limit_and_leased(shop, product) == (1, 0)

    await wait_until(is_released, "the lease is released")


async def test_order_that_accepts_waiting_is_not_rejected(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    assert count_outcomes([await place(shop, customer, product)]) == {"accepted": 1}
    assert count_outcomes([await place(shop, customer, product)]) == {"sold out": 1}
    waiting = await place_waiting(shop, customer, (product, 2))
    await shop.add_stock(product, 2)
    assert (await wait_until_finished(shop, waiting))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await limit_and_leased(shop, product) == (0, 0)


async def test_repeated_accepted_order_gets_the_first_answer(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    first = await place(shop, customer, product, idempotency_key="mine")
    assert first.status == 202
    assert count_outcomes([await place(shop, customer, product)]) == {"sold out": 1}
    again = await place(shop, customer, product, idempotency_key="mine")
    assert (again.status, again.body) == (202, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await place(shop, customer, product, 2, idempotency_key="mine")
    assert other.body["error"] == "IDEMPOTENCY_KEY_REUSED"


async def test_rejection_names_the_available_units(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=3), await shop.create_wallet(100)
    await enable(shop, product)
    answer = await place(shop, customer, product, 5)
    assert answer.body["details"] == {
        "reason": "SOLD_OUT",
        "productId": product,
        "available": 3,
    }
    assert (await place(shop, customer, product, 3)).status == 202


async def test_sale_continues_while_redis_restarts(breakable_shop: Shop) -> None:
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

    async def is_enabled_again() -> bool:
        return count_outcomes([await place(shop, customer, product)]) == {"sold out": 1}

    await wait_until(is_enabled_again, "the admission is enabled again")
    await shop.wait_until_idle()

    async def is_exact() -> bool:
        return await limit_and_leased(shop, product) == (0, 0)

    await wait_until(is_exact, "the limit is exact again")
    again = await place(shop, customer, product, idempotency_key="mine")
    assert (again.status, again.body) == (202, winner.body)


async def test_disabled_admission_leaves_the_decision_to_the_database(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=1), await shop.create_wallet(100)
    await enable(shop, product)
    disabled = await shop.call("order", "DELETE", HOT.format(product))
    assert disabled.status == 204
    answers = [await place(shop, customer, product) for _ in range(3)]
    assert [each.status for each in answers] == [202] * 3
    assert await shop.count_ends(customer) == {"COMPLETED": 1, "FAILED": 2}
    assert (await shop.call("order", "DELETE", HOT.format(uuid4()))).status == 404
