"""Carts: changing them, their prices, and their checkout."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.api.raw_http import Wire, complaint, nothing_stored, refused
from tests.e2e.api.routes import UUID_EXAMPLE
from tests.e2e.api.test_every_route import BAD_IDS
from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import Response, Shop, open_shop, order, wait_until
from tests.kit.service_instances import second_instances

REPLAYED = "Idempotency-Replayed"


def cart(customer: str) -> str:
    return f"/api/v1/carts/{customer}"


async def add(
    shop: Shop, customer: str, product: str, quantity: int = 1, **headers: str
) -> Response:
    body = {"productId": product, "quantity": quantity}
    return await shop.call("order", "POST", f"{cart(customer)}/items", body, **headers)


async def fill(shop: Shop, customer: str, *lines: tuple[str, int]) -> str:
    """Add these lines to the customer's cart. Returns the customer."""
    for product, quantity in lines:
        answer = await add(shop, customer, product, quantity)
        assert answer.status == 200, answer
    return customer


async def check_out(shop: Shop, customer: str, options: Any = None, **headers: str) -> Response:
    path = f"{cart(customer)}/checkout"
    return await shop.call("order", "POST", path, options or {}, **headers)


async def check_out_and_wait(shop: Shop, customer: str, **options: Any) -> Any:
    """Check out a cart that is accepted. Returns the order at its end."""
    answer = await check_out(shop, customer, options)
    assert answer.status == 202, answer
    return await shop.wait_until_ended(answer.body["orderId"])


async def quantities(shop: Shop, customer: str) -> dict[str, int]:
    """The cart's quantity of each product."""
    found = await shop.get("order", cart(customer))
    return {item["productId"]: item["quantity"] for item in found["items"]}


# ---------------------------------------------------------------- changing it


async def test_cart_shows_every_field(shop: Shop) -> None:
    customer = str(uuid4())
    cake, tart = (
        await shop.create_product(price=30, stock=1),
        await shop.create_product(7, 0, "Tart"),
    )
    await fill(shop, customer, (cake, 2), (tart, 1))
    answer = await add(shop, customer, cake, 3)
    assert answer.status == 200
    assert answer.body == await shop.get("order", cart(customer))
    assert answer.body == {
        "customerId": customer,
        "items": [
            {
                "productId": product,
                "name": name,
                "quantity": quantity,
                "price": price,
                "amount": amount,
                "available": problem is None,
                "problem": problem,
            }
            for product, name, quantity, price, amount, problem in (
                (cake, "Cake", 5, 30, 150, None),
                (tart, "Tart", 1, 7, 7, "SOLD_OUT"),
            )
        ],
        "totalAmount": 157,
    }
    assert await shop.stock(cake) == (1, 0)  # a cart reserves nothing


async def test_lines_are_changed_and_removed(shop: Shop) -> None:
    customer = str(uuid4())
    cake, tart = (
        await shop.create_product(price=30, stock=10),
        await shop.create_product(7, 10, "Tart"),
    )
    await fill(shop, customer, (cake, 2), (tart, 1))
    path = f"{cart(customer)}/items"
    changed = await shop.call("order", "PATCH", f"{path}/{cake.upper()}", {"quantity": 9})
    assert changed.status == 200
    assert changed.body == await shop.get("order", cart(customer))
    assert await quantities(shop, customer) == {cake: 9, tart: 1}
    for _ in range(2):
        gone = await shop.call("order", "DELETE", f"{path}/{cake}")
        assert (gone.status, gone.body) == (204, "")
    assert await quantities(shop, customer) == {tart: 1}
    missing = await shop.call("order", "PATCH", f"{path}/{cake}", {"quantity": 1})
    refused(missing, 404, "CART_ITEM_NOT_FOUND")
    for _ in range(2):
        emptied = await shop.call("order", "DELETE", cart(customer))
        assert (emptied.status, emptied.body) == (204, "")
    empty = await shop.get("order", cart(customer.upper()))
    assert empty == {"customerId": customer, "items": [], "totalAmount": 0}


async def test_repeated_add_with_a_key_adds_nothing(wire: Wire) -> None:
    shop, customer = wire.shop, str(uuid4())
    cake = await shop.create_product(price=30, stock=10)
    first = await add(shop, customer, cake, 2, idempotency_key="add")
    assert first.status == 200
    assert REPLAYED not in first.headers
    await fill(shop, customer, (cake, 5))
    async with nothing_stored(shop):
        again = await add(shop, customer, cake, 2, idempotency_key="add")
        other = await add(shop, customer, cake, 3, idempotency_key="add")
    assert (again.status, again.body, again.headers[REPLAYED]) == (200, first.body, "true")
    refused(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert await quantities(shop, customer) == {cake: 7}


async def test_unknown_product_and_excessive_quantity_are_refused(wire: Wire) -> None:
    shop, customer = wire.shop, str(uuid4())
    cake, missing = await shop.create_product(price=30, stock=10), str(uuid4())
    await fill(shop, customer, (cake, 10**9 - 1))
    async with nothing_stored(shop):
        unknown = await add(shop, customer, missing)
        too_many = await add(shop, customer, cake, 2)
    refused(unknown, 404, "PRODUCT_NOT_FOUND")
    assert unknown.body["details"] == {"productId": missing}
    refused(too_many, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/carts/{}", None),
        ("DELETE", "/api/v1/carts/{}", None),
        ("DELETE", "/api/v1/carts/{}/items/" + UUID_EXAMPLE, None),
        ("DELETE", f"/api/v1/carts/{UUID_EXAMPLE}/items/" + "{}", None),
        ("POST", "/api/v1/carts/{}/checkout", {}),
    ],
)
async def test_malformed_id_answers_400(wire: Wire, method: str, path: str, body: Any) -> None:
    wrong = {}
    async with nothing_stored(wire.shop):
        for bad in BAD_IDS:
            answer = await wire.send_json("order", method, path.replace("{}", bad), body)
            if problem := complaint(answer, 400, "VALIDATION_ERROR"):
                wrong[bad] = problem
    assert wrong == {}


async def test_concurrent_adds_of_fifty_clients_add_up(shop: Shop) -> None:
    customer = str(uuid4())
    cake, tart = (
        await shop.create_product(price=30, stock=10),
        await shop.create_product(7, 10, "Tart"),
    )
    answers = await asyncio.gather(
        *(add(shop, customer, (cake, tart)[at % 2], 1 + at % 3) for at in range(50))
    )
    assert {answer.status for answer in answers} == {200}
    right = Counter[str]()
    for at in range(50):
        right[(cake, tart)[at % 2]] += 1 + at % 3
    assert await quantities(shop, customer) == right


async def test_two_instances_change_the_same_cart(shop: Shop) -> None:
    customer, cake = str(uuid4()), await shop.create_product(price=30, stock=10)
    async with (
        second_instances(shop.environment, ["order"]) as addresses,
        open_shop(addresses) as two,
    ):
        instances = (shop, two)
        answers = await asyncio.gather(
            *(add(instances[at % 2], customer, cake, 2) for at in range(60))
        )
        assert {answer.status for answer in answers} == {200}
        for each in instances:
            assert await quantities(each, customer) == {cake: 120}


# ---------------------------------------------------------------- prices


async def test_cart_shows_a_line_as_sold_out_until_stock_is_back(shop: Shop) -> None:
    cake, customer = await shop.create_product(price=30, stock=1), await shop.create_wallet(1000)
    await fill(shop, customer, (cake, 1))

    async def shows(problem: str | None) -> bool:
        [item] = (await shop.get("order", cart(customer)))["items"]
        return bool(item["problem"] == problem and item["available"] == (problem is None))

    assert await shows(None)
    sold = await shop.buy(order(customer, (cake, 1)))
    await wait_until(lambda: shows("SOLD_OUT"), "the last unit is sold")
    path = f"/api/v1/orders/{sold['orderId']}/cancel"
    assert (await shop.call("order", "POST", path)).status == 200
    await wait_until(lambda: shows(None), "the unit is back")


async def test_cart_follows_price_changes_and_discontinued_products(wire: Wire) -> None:
    """A discontinued product is shown, costs nothing, and stops a checkout."""
    shop = wire.shop
    cake, tart = (
        await shop.create_product(price=30, stock=10),
        await shop.create_product(7, 10, "Tart"),
    )
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2), (tart, 3))
    await shop.call("product", "PATCH", f"/api/v1/products/{cake}", {"price": 50})
    await shop.call("product", "DELETE", f"/api/v1/products/{tart}")

    async def is_projected() -> bool:
        shown = await shop.get("order", cart(customer))
        return bool(shown["totalAmount"] == 100)

    await wait_until(is_projected, "the cart has the new price and the discontinued product")
    shown = (await shop.get("order", cart(customer)))["items"]
    assert [(item["available"], item["problem"]) for item in shown] == [
        (True, None),
        (False, "PRODUCT_DISCONTINUED"),
    ]
    assert [(item["price"], item["amount"]) for item in shown] == [(50, 100), (7, 21)]
    async with nothing_stored(shop):
        for answer in (await add(shop, customer, tart), await check_out(shop, customer)):
            refused(answer, 400, "PRODUCT_DISCONTINUED")
            assert answer.body["details"] == {"productId": tart}
    await shop.call("order", "DELETE", f"{cart(customer)}/items/{tart}")
    found = await check_out_and_wait(shop, customer, price=100)
    assert (found["status"], found["payableAmount"]) == ("COMPLETED", 100)


# ---------------------------------------------------------------- checkout


async def test_checkout_places_an_order(shop: Shop) -> None:
    customer = await shop.create_wallet(5000)
    cake, tart = (
        await shop.create_product(price=1500, stock=10),
        await shop.create_product(7, 10, "Tart"),
    )
    await fill(shop, customer, (cake, 2), (tart, 1))
    options = {
        "couponId": await shop.create_coupon(customer),
        "address": {"street": "1 Sejong-daero", "postalCode": "04524", "city": "서울"},
        "paymentMethod": "WALLET",
        "onShortage": "REJECT",
        "price": 3007,
    }
    answer = await check_out(shop, customer, options)
    order_id = answer.body["orderId"]
    assert answer.status == 202
    assert answer.body == {
        "orderId": order_id,
        "orderTrackingId": order_id,
        "status": "PENDING",
        "totalAmount": 3007,
    }
    assert answer.headers["Location"] == f"/api/v1/orders/{order_id}"
    found = await shop.wait_until_ended(order_id)
    assert found["items"] == [
        {"productId": cake, "quantity": 2, "price": 1500},
        {"productId": tart, "quantity": 1, "price": 7},
    ]
    assert (found["status"], found["payableAmount"]) == ("COMPLETED", 2007)
    assert (found["couponId"], found["address"]) == (options["couponId"], options["address"])
    assert await quantities(shop, customer) == {}
    assert await shop.balance(customer) == 2993


async def test_checkout_can_wait_for_the_end_of_its_order(shop: Shop) -> None:
    cake = await shop.create_product(price=30, stock=10)
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2))
    answer = await check_out(shop, customer, prefer="wait=20")
    assert (answer.status, answer.body["status"]) == (200, "COMPLETED")
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_completed_order_removes_its_quantities_from_the_cart(
    breakable_shop: Shop,
) -> None:
    """Two checkouts are two orders. Quantities that were added later stay in the cart."""
    shop = breakable_shop
    cake, tart = (
        await shop.create_product(price=30, stock=10),
        await shop.create_product(7, 10, "Tart"),
    )
    pie = await shop.create_product(price=5, stock=10, name="Pie")
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2), (tart, 3), (pie, 4))
    await asyncio.to_thread(shop.command, "stop", "coupon")
    try:
        first = await check_out(shop, customer)
        assert await quantities(shop, customer) == {cake: 2, tart: 3, pie: 4}
        await fill(shop, customer, (cake, 5))
        await shop.call("order", "PATCH", f"{cart(customer)}/items/{tart}", {"quantity": 1})
        await shop.call("order", "DELETE", f"{cart(customer)}/items/{pie}")
        second = await check_out(shop, customer)
        await fill(shop, customer, (pie, 9))
    finally:
        await asyncio.to_thread(shop.command, "start", "coupon")
    ended = [await shop.wait_until_ended(answer.body["orderId"]) for answer in (first, second)]
    assert [each["status"] for each in ended] == ["COMPLETED"] * 2
    assert [each["totalAmount"] for each in ended] == [101, 217]
    # 7 cakes less 2 less 7; 1 tart less 3 less 1; of the 9 pies added last, the first order had 4.
    assert await quantities(shop, customer) == {pie: 5}


async def test_failed_order_leaves_the_cart_as_it_was(shop: Shop) -> None:
    cake = await shop.create_product(price=30, stock=1)
    customer = await fill(shop, await shop.create_wallet(0), (cake, 2))
    short = await check_out_and_wait(shop, customer)
    await shop.call("order", "PATCH", f"{cart(customer)}/items/{cake}", {"quantity": 1})
    poor = await check_out_and_wait(shop, customer)
    assert [short["failReason"], poor["failReason"]] == [
        "INSUFFICIENT_STOCK",
        "INSUFFICIENT_BALANCE",
    ]
    assert await quantities(shop, customer) == {cake: 1}


async def test_order_without_checkout_leaves_the_cart_as_it_was(shop: Shop) -> None:
    cake = await shop.create_product(price=30, stock=10)
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2))
    assert (await shop.buy(order(customer, (cake, 2))))["status"] == "COMPLETED"
    assert await quantities(shop, customer) == {cake: 2}


async def test_refused_checkout_stores_nothing(wire: Wire) -> None:
    shop = wire.shop
    cake = await shop.create_product(price=30, stock=10)
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2))
    emptied = await fill(shop, str(uuid4()), (cake, 1))
    await shop.call("order", "DELETE", cart(emptied))
    async with nothing_stored(shop):
        mismatch = await check_out(shop, customer, {"price": 59}, idempotency_key="refused")
        wait = await check_out(shop, customer, {"onShortage": "wait"})
        never_filled = await check_out(shop, str(uuid4()))
        empty = await check_out(shop, emptied)
    refused(mismatch, 400, "PRICE_MISMATCH")
    assert mismatch.body["details"] == {"sent": 59, "price": 60}
    refused(wait, 400, "VALIDATION_ERROR")
    refused(never_filled, 400, "CART_EMPTY")
    refused(empty, 400, "CART_EMPTY")


async def test_repeated_checkout_gets_the_first_answer_whatever_the_cart_has(wire: Wire) -> None:
    shop = wire.shop
    cake = await shop.create_product(price=30, stock=10)
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2))
    first = await check_out(shop, customer, idempotency_key="once")
    assert REPLAYED not in first.headers
    assert (await shop.wait_until_ended(first.body["orderId"]))["status"] == "COMPLETED"
    for then in ({}, {cake: 1}):
        await fill(shop, customer, *then.items())
        async with nothing_stored(shop):
            again = await check_out(shop, customer, idempotency_key="once")
            other = await check_out(shop, customer, {"price": 60}, idempotency_key="once")
        assert (again.status, again.body) == (202, first.body)
        assert again.headers[REPLAYED] == "true"
        refused(other, 422, "IDEMPOTENCY_KEY_REUSED")
        assert await quantities(shop, customer) == then
    # An order under the same key is another request.
    placed = await shop.place(order(customer, (cake, 1)), idempotency_key="once")
    assert placed != first.body["orderId"]


async def test_concurrent_checkouts_with_one_key_place_one_order(shop: Shop) -> None:
    cake = await shop.create_product(price=30, stock=100)
    customer = await fill(shop, await shop.create_wallet(1000), (cake, 2))
    answers = await asyncio.gather(
        *(check_out(shop, customer, idempotency_key="one") for _ in range(20))
    )
    assert {answer.status for answer in answers} == {202}
    [order_id] = {answer.body["orderId"] for answer in answers}
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    assert (await shop.get("order", f"/api/v1/orders?customerId={customer}"))["total"] == 1
    assert await quantities(shop, customer) == {}


async def test_checkout_takes_leases_of_a_hot_product(shop: Shop) -> None:
    product, customer = await shop.create_product(price=10, stock=3), await shop.create_wallet(1000)
    hot = await shop.call("order", "POST", f"/api/v1/admin/products/{product}/hot")
    assert hot.body["limit"] == 3
    await fill(shop, customer, (product, 4))
    answer = await check_out(shop, customer)
    refused(answer, 400, "INSUFFICIENT_STOCK")
    assert answer.body["details"] == {"reason": "SOLD_OUT", "productId": product, "available": 3}
    await shop.call("order", "PATCH", f"{cart(customer)}/items/{product}", {"quantity": 3})
    first = await check_out(shop, customer, idempotency_key="hot")
    assert (await shop.wait_until_ended(first.body["orderId"]))["status"] == "COMPLETED"
    await fill(shop, customer, (product, 1))
    again = await check_out(shop, customer, idempotency_key="hot")
    assert (again.status, again.body) == (202, first.body)


async def test_concurrent_adds_and_checkouts_lose_nothing(breakable_shop: Shop) -> None:
    """Every unit that left a cart was sold."""
    shop = breakable_shop
    cake = await shop.create_product(price=10, stock=60)
    customers = [await shop.create_wallet(100_000) for _ in range(5)]

    async def go_shopping(customer: str) -> None:
        for _ in range(10):
            await fill(shop, customer, (cake, 2))
            await check_out(shop, customer)

    await asyncio.gather(*map(go_shopping, customers))
    for customer in customers:
        await shop.count_ends(customer)
    await shop.wait_until_idle()
    sold = 60 - (await shop.stock(cake))[0]
    left = [(await quantities(shop, customer)).get(cake, 0) for customer in customers]
    assert 0 < sold <= 60
    assert all(0 <= each <= 20 for each in left)
    assert sum(left) >= 100 - sold
    assert await found_wrong(shop) == []
