"""A product's prices in order: a row for each new price, none for any other change."""

import asyncio

from tests.e2e.api.raw_http import assert_utc
from tests.kit.client import Json, Shop

PRODUCTS = "/api/v1/products"


async def prices(shop: Shop, product: str, query: str = "") -> Json:
    found: Json = await shop.get("product", f"{PRODUCTS}/{product}/prices?{query}")
    return found


async def change(shop: Shop, product: str, **changes: object) -> None:
    answer = await shop.call("product", "PATCH", f"{PRODUCTS}/{product}", changes)
    assert answer.status == 200, answer


async def test_each_new_price_is_a_row(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=7)
    category = await shop.create_category("pies")
    for changes in (
        {"price": 12},
        {"name": "Pie", "category": category, "description": "d"},
        {"price": 12, "name": "Tart"},
        {"price": 10, "name": "Cake"},
        {"status": "DISCONTINUED"},
        {"price": 11},
    ):
        await change(shop, product, **changes)
    found = await prices(shop, product)
    assert (found["page"], found["size"], found["total"]) == (0, 20, 4)
    assert [each["price"] for each in found["items"]] == [10, 12, 10, 11]
    since = [assert_utc(each["since"]) for each in found["items"]]
    assert since == sorted(set(since))
    assert {frozenset(each) for each in found["items"]} == {frozenset({"price", "since"})}


async def test_prices_are_paged(shop: Shop) -> None:
    product = await shop.create_product(price=1, stock=0)
    for price in range(2, 8):
        await change(shop, product, price=price)
    pages = [await prices(shop, product, f"page={page}&size=3") for page in range(4)]
    assert [[each["price"] for each in page["items"]] for page in pages] == [
        [1, 2, 3],
        [4, 5, 6],
        [7],
        [],
    ]
    assert {page["total"] for page in pages} == {7}


async def test_concurrent_price_changes_are_all_kept(shop: Shop) -> None:
    """Each is a row, and the last row is the current price."""
    product = await shop.create_product(price=1, stock=0)
    await asyncio.gather(*(change(shop, product, price=price) for price in range(2, 32)))
    found = (await prices(shop, product, "size=100"))["items"]
    assert sorted(each["price"] for each in found) == list(range(1, 32))
    now = await shop.get("product", f"{PRODUCTS}/{product}")
    assert found[-1]["price"] == now["price"]


async def test_refused_change_adds_no_price(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=7)
    answer = await shop.call("product", "PATCH", f"{PRODUCTS}/{product}", {"price": 0})
    assert answer.status == 400
    assert (await prices(shop, product))["total"] == 1
