"""Idempotency-Key: a repeated request gets the first answer, and has no second effect."""

import asyncio
import json
from uuid import uuid4

from tests.e2e.api.raw_http import Wire, nothing_stored, refused
from tests.kit.client import Shop, order, wait_until

ORDERS = "/api/v1/orders"
REPLAYED = "Idempotency-Replayed"


async def test_repeated_order_gets_the_first_answer(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    first = await wire.send_json("order", "POST", ORDERS, body, idempotency_key="again")
    assert first.status == 202
    assert REPLAYED not in first.headers
    await shop.wait_until_ended(first.body["orderId"])
    async with nothing_stored(shop):
        again = await wire.send_json("order", "POST", ORDERS, body, idempotency_key="again")
    assert (again.status, again.body) == (202, first.body)
    assert again.headers[REPLAYED] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    await shop.wait_until_idle()
    assert await shop.stock(cake) == (9, 0)


async def test_spaces_and_order_of_fields_make_no_other_request(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1), address=None)
    first = await wire.send_json("order", "POST", ORDERS, body, idempotency_key="spaces")
    turned = json.dumps(dict(reversed(body.items())), indent=3).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": "spaces"}
    again = await wire.send("order", "POST", ORDERS, turned, headers)
    assert (again.status, again.body) == (202, first.body)
    assert again.headers[REPLAYED] == "true"


async def test_other_order_under_the_same_key_answers_422(wire: Wire) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    first = await shop.place(order(customer, (cake, 1)), idempotency_key="other")
    coupon = await shop.create_coupon(customer)
    async with nothing_stored(shop):
        for body in (
            order(customer, (cake, 2)),
            order(customer, (cake, 1), price=30),
            order(customer, (cake, 1), couponId=coupon),
            order(customer, (cake, 1), address={"street": "1", "postalCode": "2", "city": "3"}),
        ):
            answer = await wire.send_json("order", "POST", ORDERS, body, idempotency_key="other")
            refused(answer, 422, "IDEMPOTENCY_KEY_REUSED")
    assert (await shop.wait_until_ended(first))["status"] == "COMPLETED"


async def test_customers_may_use_the_same_key(shop: Shop) -> None:
    cake = await shop.create_product(price=30, stock=10)
    one, other = await shop.create_wallet(1000), await shop.create_wallet(1000)
    first = await shop.place(order(one, (cake, 1)), idempotency_key="mine")
    second = await shop.place(order(other, (cake, 1)), idempotency_key="mine")
    assert first != second
    assert await shop.place(order(other, (cake, 1)), idempotency_key="mine") == second


async def test_first_answer_stays_after_a_price_change(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    first = await shop.call("order", "POST", ORDERS, body, idempotency_key="stays")
    await shop.wait_until_ended(first.body["orderId"])
    await shop.call("product", "PATCH", f"/api/v1/products/{cake}", {"price": 50})

    async def known() -> bool:
        probe = order(customer, (cake, 1), price=30)
        return (await shop.call("order", "POST", ORDERS, probe)).status == 400

    await wait_until(known, "the order service knows the new price")
    again = await shop.call("order", "POST", ORDERS, body, idempotency_key="stays")
    assert (again.status, again.body) == (202, first.body)
    assert again.headers[REPLAYED] == "true"


async def test_repeated_charge_gets_the_first_answer(wire: Wire) -> None:
    shop = wire.shop
    customer = await shop.create_wallet(0)
    path = f"/api/v1/wallets/{customer}/charge"
    first = await wire.send_json("payment", "POST", path, {"amount": 70}, idempotency_key="c")
    assert (first.status, first.body) == (200, {"customerId": customer, "balance": 70})
    more = await wire.send_json("payment", "POST", path, {"amount": 5})
    assert more.body["balance"] == 75
    async with nothing_stored(shop):
        again = await wire.send_json("payment", "POST", path, {"amount": 70}, idempotency_key="c")
        other = await wire.send_json("payment", "POST", path, {"amount": 71}, idempotency_key="c")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers[REPLAYED] == "true"
    refused(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert await shop.balance(customer) == 75


async def test_charge_without_a_key_has_an_effect_each_time(shop: Shop) -> None:
    customer = await shop.create_wallet(0)
    path = f"/api/v1/wallets/{customer}/charge"
    for _ in range(3):
        assert (await shop.call("payment", "POST", path, {"amount": 5})).status == 200
    assert await shop.balance(customer) == 15


async def test_concurrent_charges_with_one_key_charge_once(shop: Shop) -> None:
    customer = await shop.create_wallet(0)
    path = f"/api/v1/wallets/{customer}/charge"
    answers = await asyncio.gather(
        *(
            shop.call("payment", "POST", path, {"amount": 9}, idempotency_key="one")
            for _ in range(20)
        )
    )
    assert {(answer.status, answer.body["balance"]) for answer in answers} == {(200, 9)}
    assert await shop.balance(customer) == 9


async def test_repeated_product_and_coupon_get_the_first_answer(wire: Wire) -> None:
    product = {"name": "Pie", "price": 9, "stock": 3}
    coupon = {"name": "off", "discountType": "FIXED", "discountValue": 5, "quantity": 2}
    # Each service has its own keys: the same key in both is no conflict.
    key = f"made-once-{uuid4()}"
    for service, path, body in (
        ("product", "/api/v1/products", product),
        ("coupon", "/api/v1/coupons", coupon),
    ):
        first = await wire.send_json(service, "POST", path, body, idempotency_key=key)
        assert first.status == 201
        async with nothing_stored(wire.shop):
            again = await wire.send_json(service, "POST", path, body, idempotency_key=key)
            other = await wire.send_json(
                service, "POST", path, body | {"name": "else"}, idempotency_key=key
            )
        assert (again.status, again.body) == (201, first.body)
        refused(other, 422, "IDEMPOTENCY_KEY_REUSED")
