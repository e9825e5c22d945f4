"""Concurrent requests: no stock, money or coupon is used twice."""

import asyncio
from collections import Counter
from uuid import uuid4

from tests.e2e.saga.broker_stream import names
from tests.kit.client import Response, Shop, open_shop, order
from tests.kit.service_instances import second_instances


async def test_hundred_orders_for_fifty_units_sell_exactly_fifty(shop: Shop) -> None:
    product = await shop.create_product(price=100, stock=50)
    customer = await shop.create_wallet(20_000)

    await asyncio.gather(*(shop.place(order(customer, (product, 1))) for _ in range(100)))

    assert await shop.count_ends(customer) == {"COMPLETED": 50, "FAILED": 50}
    await shop.wait_until_idle()
    assert await shop.stock(product) == (0, 0)
    assert await shop.balance(customer) == 15_000


async def test_concurrent_orders_of_several_lines_get_all_of_them_or_none(shop: Shop) -> None:
    """The orders list their lines in opposite order."""
    first, second = await shop.create_product(100, 30), await shop.create_product(10, 30)
    customer = await shop.create_wallet(1_000_000)
    lines = [(first, 1), (second, 2)]
    bodies = [order(customer, *lines[:: 1 if at % 2 else -1]) for at in range(40)]

    await asyncio.gather(*map(shop.place, bodies))

    assert await shop.count_ends(customer) == {"COMPLETED": 15, "FAILED": 25}
    await shop.wait_until_idle()
    assert await shop.stock(first) == (15, 0)
    assert await shop.stock(second) == (0, 0)
    assert await shop.balance(customer) == 1_000_000 - 15 * 120


async def test_coupon_in_concurrent_orders_is_used_once(shop: Shop) -> None:
    product = await shop.create_product(price=2_000, stock=100)
    for count in (2, 10):
        customer = await shop.create_wallet(100_000)
        coupon = await shop.create_coupon(customer)
        body = order(customer, (product, 1), couponId=coupon)

        ids = await asyncio.gather(*(shop.place(body) for _ in range(count)))

        ended = [await shop.wait_until_ended(order_id) for order_id in ids]
        [winner] = [each for each in ended if each["status"] == "COMPLETED"]
        losers = [each["failReason"] for each in ended if each is not winner]
        assert losers == ["COUPON_ALREADY_USED"] * (count - 1)
        assert await shop.coupon_status(coupon) == ("USED", winner["orderId"])
        assert await shop.balance(customer) == 99_000
    await shop.wait_until_idle()
    assert await shop.stock(product) == (98, 0)


async def test_hundred_coupons_are_issued_to_five_hundred_customers(shop: Shop) -> None:
    terms = {"name": "few", "discountType": "FIXED", "discountValue": 1_000, "quantity": 100}
    coupon = (await shop.call("coupon", "POST", "/api/v1/coupons", terms)).body["couponId"]
    path = f"/api/v1/coupons/{coupon}"
    customers = [str(uuid4()) for _ in range(500)]

    answers = await asyncio.gather(
        *(
            shop.call("coupon", "POST", f"{path}/issue", {"customerId": customer})
            for customer in customers
        )
    )

    assert outcomes(answers) == {(201, None): 100, (409, "COUPON_EXHAUSTED"): 400}
    given = {answer.body["issuedCouponId"] for answer in answers if answer.status == 201}
    assert len(given) == 100
    definition = await shop.get("coupon", path)
    assert (definition["issued"], definition["remaining"]) == (100, 0)
    for customer, answer in zip(customers, answers, strict=True):
        held = await shop.get("coupon", f"/api/v1/issued-coupons?customerId={customer}")
        assert held["total"] == (answer.status == 201)


async def test_customer_gets_a_coupon_once(shop: Shop) -> None:
    terms = {"name": "once", "discountType": "FIXED", "discountValue": 1_000, "quantity": 100}
    coupon = (await shop.call("coupon", "POST", "/api/v1/coupons", terms)).body["couponId"]
    path, request = f"/api/v1/coupons/{coupon}", {"customerId": str(uuid4())}

    answers = await asyncio.gather(
        *(shop.call("coupon", "POST", f"{path}/issue", request) for _ in range(20))
    )

    assert outcomes(answers) == {(201, None): 1, (409, "COUPON_ALREADY_ISSUED"): 19}
    assert (await shop.get("coupon", path))["issued"] == 1


async def test_concurrent_orders_of_one_customer_have_a_running_balance(shop: Shop) -> None:
    product = await shop.create_product(price=700, stock=100)
    customer = await shop.create_wallet(7_000)

    ids = await asyncio.gather(*(shop.place(order(customer, (product, 1))) for _ in range(10)))

    assert await shop.count_ends(customer) == {"COMPLETED": 10, "FAILED": 0}
    assert await shop.balance(customer) == 0
    entries = await shop.wallet_entries(customer)
    assert [entry["balanceAfter"] for entry in entries] == [*range(0, 7_000, 700), 7_000]
    assert {entry["orderId"] for entry in entries[:-1]} == set(ids)


async def test_concurrent_requests_with_one_key_place_one_order(shop: Shop) -> None:
    product = await shop.create_product(price=700, stock=100)
    customer, other = await shop.create_wallet(70_000), await shop.create_wallet(70_000)
    body, key = order(customer, (product, 2)), str(uuid4())

    answers = await asyncio.gather(
        *(
            shop.call("order", "POST", "/api/v1/orders", body, idempotency_key=key)
            for _ in range(20)
        )
    )

    assert {answer.status for answer in answers} == {202}
    [order_id] = {answer.body["orderId"] for answer in answers}
    assert all(answer.body == answers[0].body for answer in answers)
    replayed = Counter(answer.headers.get("Idempotency-Replayed") for answer in answers)
    assert replayed == {"true": 19, None: 1}
    assert await shop.count_ends(customer) == {"COMPLETED": 1, "FAILED": 0}

    changed = order(customer, (product, 3))
    refused = await shop.call("order", "POST", "/api/v1/orders", changed, idempotency_key=key)
    assert (refused.status, refused.body["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    again = await shop.call("order", "POST", "/api/v1/orders", body, idempotency_key=key)
    assert again.body["orderId"] == order_id
    assert again.headers["Idempotency-Replayed"] == "true"
    # Another customer may use the same key.
    others = await shop.place(order(other, (product, 2)), idempotency_key=key)
    assert others != order_id
    assert (await shop.wait_until_ended(others))["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(product) == (96, 0)
    assert await shop.balance(customer) == 68_600


async def test_concurrent_requests_with_one_key_and_different_bodies_place_one_order(
    shop: Shop,
) -> None:
    product = await shop.create_product(price=1, stock=100)
    customer, key = await shop.create_wallet(100), str(uuid4())

    answers = await asyncio.gather(
        *(
            shop.call(
                "order",
                "POST",
                "/api/v1/orders",
                order(customer, (product, quantity)),
                idempotency_key=key,
            )
            for quantity in range(1, 11)
        )
    )

    assert outcomes(answers) == {(202, None): 1, (422, "IDEMPOTENCY_KEY_REUSED"): 9}
    assert await shop.count_ends(customer) == {"COMPLETED": 1, "FAILED": 0}


async def test_concurrent_changes_with_one_key_change_the_stock_once(shop: Shop) -> None:
    product = await shop.create_product(price=700, stock=10)
    path, key = f"/api/v1/products/{product}/stock", str(uuid4())

    answers = await asyncio.gather(
        *(
            shop.call("product", "PATCH", path, {"delta": -3}, idempotency_key=key)
            for _ in range(20)
        )
    )

    assert {answer.status for answer in answers} == {200}
    assert {answer.body["stock"] for answer in answers} == {7}
    assert await shop.stock(product) == (7, 0)
    assert [entry["delta"] for entry in await shop.stock_entries(product)] == [10, -3]


async def test_concurrent_changes_never_remove_too_much_stock(shop: Shop) -> None:
    product = await shop.create_product(price=700, stock=10)
    path = f"/api/v1/products/{product}/stock"

    answers = await asyncio.gather(
        *(
            shop.call("product", "PATCH", path, {"delta": -3}, idempotency_key=str(uuid4()))
            for _ in range(20)
        )
    )

    assert outcomes(answers) == {(200, None): 3, (400, "INSUFFICIENT_STOCK"): 17}
    assert await shop.stock(product) == (1, 0)


async def test_two_instances_of_every_service_sell_exactly_the_stock(shop: Shop) -> None:
    product = await shop.create_product(price=100, stock=150)
    customers = [await shop.create_wallet(100_000) for _ in range(4)]
    async with second_instances(shop.environment) as addresses, open_shop(addresses) as twin:
        instances = (shop, twin)

        placed = await asyncio.gather(
            *(instances[at % 2].place(order(customers[at % 4], (product, 1))) for at in range(200))
        )
        key, body = str(uuid4()), order(customers[0], (product, 1000))
        twice = await asyncio.gather(
            *(instances[at % 2].place(body, idempotency_key=key) for at in range(20))
        )
        ended = [await twin.count_ends(customer) for customer in customers]

        assert len(set(placed)) == 200
        assert len(set(twice)) == 1
        total = sum(ended, Counter())
        assert total == {"COMPLETED": 150, "FAILED": 51}
        await shop.wait_until_idle()
        for instance in instances:
            assert await instance.stock(product) == (0, 0)
            paid = [100_000 - await instance.balance(customer) for customer in customers]
            assert paid == [100 * each["COMPLETED"] for each in ended]
        assert (await shop.stock_entries(product))[-1]["balanceAfter"] == 0
        for order_id in placed:
            found = await names(shop, order_id)
            assert len(found) == len(set(found)) == 5, found


def outcomes(answers: list[Response]) -> Counter[tuple[int, str | None]]:
    """The number of answers by status and error code."""
    return Counter((answer.status, answer.body.get("error")) for answer in answers)
