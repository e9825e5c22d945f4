"""Lists: pages without repeated or skipped rows, order, filters, and empty pages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.integration.test_product_search import FOLDED
from tests.kit.client import Json, Shop, order

PAGE = {"items", "page", "size", "total"}
COUNT = 7


async def orders(shop: Shop) -> tuple[str, str, str, list[Any]]:
    customer, cake = await shop.create_wallet(10**6), await shop.create_product(price=3, stock=100)
    made = [await shop.place(order(customer, (cake, 1))) for _ in range(COUNT)]
    for each in made:
        await shop.wait_until_ended(each)
    return "order", f"/api/v1/orders?customerId={customer}", "orderId", made


async def coupons(shop: Shop) -> tuple[str, str, str, list[Any]]:
    customer = str(uuid4())
    made = [await shop.create_coupon(customer) for _ in range(COUNT)]
    return "coupon", f"/api/v1/issued-coupons?customerId={customer}", "issuedCouponId", made


async def charges(shop: Shop) -> tuple[str, str, str, list[Any]]:
    customer = await shop.create_wallet(0)
    for amount in range(1, COUNT + 1):
        path = f"/api/v1/wallets/{customer}/charge"
        assert (await shop.call("payment", "POST", path, {"amount": amount})).status == 200
    path = f"/api/v1/wallets/{customer}/transactions?"
    return "payment", path, "delta", list(range(1, COUNT + 1))


async def bookings(shop: Shop) -> tuple[str, str, str, list[Any]]:
    product = await shop.create_product(price=3, stock=0)
    path = f"/api/v1/products/{product}/stock"
    for delta in range(1, COUNT + 1):
        body = {"delta": delta}
        key = f"list-{delta}"
        booked = await shop.call("product", "PATCH", path, body, idempotency_key=key)
        assert booked.status == 200
    return "product", f"{path}/history?", "delta", list(range(1, COUNT + 1))


Make = Callable[[Shop], Awaitable[tuple[str, str, str, list[Any]]]]


@pytest.mark.parametrize("make", [orders, coupons, charges, bookings])
async def test_pages_neither_repeat_nor_skip_rows(shop: Shop, make: Make) -> None:
    """Newest first; the stock ledger oldest first."""
    service, path, name, made = await make(shop)
    in_order = made if make is bookings else made[::-1]

    async def page(number: int, size: int) -> Json:
        found: Json = await shop.get(service, f"{path}&page={number}&size={size}")
        assert set(found) == PAGE
        assert (found["page"], found["size"], found["total"]) == (number, size, COUNT)
        return found

    whole: Json = await shop.get(service, path)
    assert (whole["page"], whole["size"], whole["total"]) == (0, 20, COUNT)
    assert [each[name] for each in whole["items"]] == in_order
    for size in (1, 3, COUNT, COUNT + 1, 100):
        count = -(-COUNT // size)
        pages = [await page(number, size) for number in range(count)]
        assert [each[name] for one in pages for each in one["items"]] == in_order
        assert (await page(count, size))["items"] == []
    assert (await page(1_000_000, 100))["items"] == []


async def test_concurrent_orders_are_all_listed(shop: Shop) -> None:
    """They may have the same time of creation. Pages do not overlap even so."""
    customer, cake = await shop.create_wallet(10**6), await shop.create_product(price=3, stock=100)
    made = await asyncio.gather(*(shop.place(order(customer, (cake, 1))) for _ in range(30)))
    await asyncio.gather(*(shop.wait_until_ended(each) for each in made))
    found = []
    for number in range(8):
        path = f"/api/v1/orders?customerId={customer}&page={number}&size=4"
        found += [each["orderId"] for each in (await shop.get("order", path))["items"]]
    assert sorted(found) == sorted(made)


async def test_orders_are_filtered_by_customer_and_status(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(50), await shop.create_product(price=30, stock=100)
    other = await shop.create_wallet(1000)
    done = await shop.buy(order(customer, (cake, 1)))
    failed = await shop.buy(order(customer, (cake, 1)))
    others = await shop.buy(order(other, (cake, 1)))
    assert (done["status"], failed["status"]) == ("COMPLETED", "FAILED")

    async def listed(query: str) -> list[Json]:
        found: Json = await shop.get("order", f"/api/v1/orders?{query}")
        assert found["total"] >= len(found["items"])
        items: list[Json] = found["items"]
        return items

    assert await listed(f"customerId={customer}") == [failed, done]
    assert await listed(f"customerId={customer.upper()}&status=FAILED") == [failed]
    assert await listed(f"customerId={customer}&status=COMPLETED") == [done]
    assert await listed(f"customerId={customer}&status=PENDING") == []
    assert await listed(f"customerId={uuid4()}") == []
    assert (await listed("size=1")) == [others]
    assert {each["status"] for each in await listed("status=FAILED")} == {"FAILED"}


async def product(shop: Shop, name: str, category: str) -> Json:
    await shop.create_category(category)
    body = {"name": name, "price": 3, "stock": 2, "category": category}
    made = await shop.call("product", "POST", "/api/v1/products", body)
    assert made.status == 201, made
    result: Json = made.body
    return result


async def found_products(shop: Shop, **query: str) -> list[Json]:
    path = "&".join(f"{name}={value}" for name, value in ({"size": "100"} | query).items())
    found: Json = await shop.get("product", f"/api/v1/products?{path}")
    assert set(found) == PAGE
    assert found["total"] == len(found["items"])
    items: list[Json] = found["items"]
    return sorted(items, key=lambda each: str(each["name"]))


async def test_products_are_filtered_by_category_and_status(shop: Shop) -> None:
    category = f"c-{uuid4()}"
    tea, pie = [await product(shop, name, category) for name in ("Tea", "Pie")]
    await product(shop, "Tea", f"{category}x")
    assert await found_products(shop, category=category) == [pie, tea]
    assert await found_products(shop, category=category, status="ACTIVE") == [pie, tea]
    assert await found_products(shop, category=category, status="DISCONTINUED") == []
    await shop.call("product", "DELETE", f"/api/v1/products/{pie['productId']}")
    assert await found_products(shop, category=category) == [tea]
    gone = pie | {"status": "DISCONTINUED"}
    assert await found_products(shop, category=category, status="DISCONTINUED") == [gone]
    assert await found_products(shop, category=str(uuid4())) == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tea", ["Green TEA", "tea"]),
        ("EE", ["Green TEA"]),
        ("100%25", ["100% juice"]),
        ("%25", ["100% juice"]),
        ("_", ["snake_cake"]),
        ("e_c", ["snake_cake"]),
        ("%5C", ["back\\slash"]),
        ("'", ["it's"]),
        ("%25%25", []),
        ("__", []),
        ("100_", []),
    ],
)
async def test_products_are_found_by_part_of_the_name(
    shop: Shop, query: str, names: list[str]
) -> None:
    """In upper or lower case; percent sign and underscore have no special meaning."""
    category = f"c-{uuid4()}"
    for name in ("tea", "Green TEA", "100% juice", "snake_cake", "back\\slash", "it's", "1000"):
        await product(shop, name, category)
    found = await found_products(shop, category=category, query=query)
    assert [each["name"] for each in found] == names


async def test_products_are_found_in_any_case_and_normal_form(shop: Shop) -> None:
    category = f"c-{uuid4()}"
    for name in FOLDED:
        await product(shop, name, category)
    for name, texts in FOLDED.items():
        for text in texts:
            found = await found_products(shop, category=category, query=quote(text))
            assert [each["name"] for each in found] == [name], text


async def test_products_are_paged(shop: Shop) -> None:
    category = f"c-{uuid4()}"
    made = [(await product(shop, "Tea", category))["productId"] for _ in range(COUNT)]
    found = []
    for number in range(3):
        path = f"/api/v1/products?category={category}&page={number}&size=3"
        body = await shop.get("product", path)
        assert (body["page"], body["size"], body["total"]) == (number, 3, COUNT)
        found += [each["productId"] for each in body["items"]]
    assert sorted(found) == sorted(made)
