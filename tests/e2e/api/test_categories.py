"""Categories: created, listed and renamed; a product names one that is there."""

from uuid import uuid4

import pytest

from tests.e2e.api.raw_http import Wire, nothing_stored, refused
from tests.kit.client import Json, Shop

CATEGORIES, PRODUCTS = "/api/v1/categories", "/api/v1/products"


async def create(shop: Shop, name: str) -> Json:
    made = await shop.call("product", "POST", CATEGORIES, {"name": name})
    assert made.status == 201, made
    assert made.headers["Location"] == f"{CATEGORIES}/{made.body['categoryId']}"
    assert await shop.get("product", made.headers["Location"]) == made.body
    body: Json = made.body
    return body


async def test_categories_are_listed_by_name(shop: Shop) -> None:
    start = f"{uuid4()}"
    made = [await create(shop, f"{start} {name}") for name in ("b", "a")]
    page = await shop.get("product", f"{CATEGORIES}?size=100")
    assert [each for each in page["items"] if each["name"].startswith(start)] == made[::-1]
    assert {"drinks", "meals"} <= {each["name"] for each in page["items"]}, "the first data"
    assert page["total"] == len(page["items"])


async def test_category_has_a_name_of_its_own(wire: Wire) -> None:
    one, other = [await create(wire.shop, f"{uuid4()}") for _ in range(2)]
    path = f"{CATEGORIES}/{other['categoryId']}"
    async with nothing_stored(wire.shop):
        for method, address in (("POST", CATEGORIES), ("PATCH", path)):
            answer = await wire.send_json("product", method, address, {"name": one["name"]})
            refused(answer, 409, "CATEGORY_EXISTS")


async def test_same_key_creates_one_category(shop: Shop) -> None:
    key, body = f"{uuid4()}", {"name": f"{uuid4()}"}
    first, again = [
        await shop.call("product", "POST", CATEGORIES, body, idempotency_key=key) for _ in range(2)
    ]
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body


async def test_product_names_a_category_that_is_there(wire: Wire) -> None:
    shop = wire.shop
    category = f"{uuid4()}"
    body = {"name": "Tea", "price": 3, "category": category}
    product = f"{PRODUCTS}/{await shop.create_product(price=3, stock=1)}"
    async with nothing_stored(shop):
        for method, path in (("POST", PRODUCTS), ("PATCH", product)):
            answer = await wire.send_json("product", method, path, body)
            refused(answer, 400, "CATEGORY_NOT_FOUND")
    await create(shop, category)
    changed = await shop.send("product", "PATCH", product, {"category": category})
    assert changed["category"] == category
    cleared = await shop.send("product", "PATCH", product, {"category": ""})
    assert cleared["category"] == ""


@pytest.mark.parametrize("count", [1, 3])
async def test_renamed_category_keeps_its_products(shop: Shop, count: int) -> None:
    old, new = f"{uuid4()}", f"{uuid4()}"
    category = await create(shop, old)
    products = [
        await shop.send("product", "POST", PRODUCTS, {"name": "x", "price": 3, "category": old})
        for _ in range(count)
    ]
    path = f"{CATEGORIES}/{category['categoryId']}"
    for _ in range(2):
        assert await shop.send("product", "PATCH", path, {"name": new}) == category | {"name": new}
    found = await shop.get("product", f"{PRODUCTS}?category={new}")
    assert found["items"] == [each | {"category": new} for each in products]
    assert (await shop.get("product", f"{PRODUCTS}?category={old}"))["total"] == 0


async def test_seeding_leaves_a_renamed_category_as_it_is(shop: Shop) -> None:
    listed = await shop.get("product", f"{CATEGORIES}?size=100")
    drinks = next(each for each in listed["items"] if each["name"] == "drinks")
    path = f"{CATEGORIES}/{drinks['categoryId']}"
    renamed = await shop.send("product", "PATCH", path, {"name": f"{uuid4()}"})
    try:
        await shop.send("product", "POST", "/api/v1/ops/seed")
        assert await shop.get("product", path) == renamed
    finally:
        await shop.send("product", "PATCH", path, {"name": "drinks"})
