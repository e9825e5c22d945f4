"""GET /products/popular: the best-selling products, as counted over the orders themselves.

The stack is shared, so these tests sell more units of their own products than any other test does.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from tests.kit.client import Json, Shop, order, wait_until

POPULAR = "/api/v1/products/popular"
MANY = 1_000_000
Ranking = list[tuple[str, int]]


async def popular(shop: Shop, query: str = "limit=100") -> Json:
    found: Json = await shop.get("product", f"{POPULAR}?{query}")
    return found


async def count_units(shop: Shop, customers: list[str]) -> Ranking:
    """Units by product in the customers' completed orders, most units first, then by id."""
    units = Counter[str]()
    for customer in customers:
        path = f"/api/v1/orders?customerId={customer}&status=COMPLETED&size=100"
        found = await shop.get("order", path)
        assert found["total"] <= 100
        for each in found["items"]:
            for line in each["items"]:
                units[line["productId"]] += line["quantity"]
    return sorted(units.items(), key=lambda item: (-item[1], item[0]))


def ranking_of(found: Json, products: Collection[str]) -> Ranking:
    """The units of these products in the response."""
    return [
        (each["productId"], each["units"])
        for each in found["items"]
        if each["productId"] in products
    ]


async def wait_for_ranking(shop: Shop, products: Collection[str], expected: Ranking) -> None:
    """A ranking may be some seconds old."""

    async def is_current() -> bool:
        return ranking_of(await popular(shop), products) == expected

    await wait_until(is_current, f"the ranking is {expected}")


async def test_ranking_counts_completed_orders(shop: Shop) -> None:
    """Concurrent orders; some can't be paid or served, and some are cancelled meanwhile."""
    chance = random.Random(3)
    products = [await shop.create_product(price=1, stock=60 * MANY) for _ in range(6)]
    customers = [await shop.create_wallet(MANY * 1_000) for _ in range(4)]
    customers.append(await shop.create_wallet(MANY))

    async def go_shopping(customer: str) -> None:
        lines = [(each, MANY * chance.randint(1, 5)) for each in chance.sample(products, 2)]
        ended = await shop.buy(order(customer, *lines))
        if ended["status"] == "COMPLETED" and chance.random() < 0.3:
            assert (await shop.cancel(ended["orderId"])).status in (200, 202)

    await asyncio.gather(*(go_shopping(customer) for customer in customers for _ in range(16)))
    await shop.wait_until_idle()

    expected = await count_units(shop, customers)
    assert len(expected) == 6
    await wait_for_ranking(shop, products, expected)
    for query, count in (("days=3&limit=2", 2), ("", 5)):
        best = await popular(shop, query)
        assert len(best["items"]) == count
        assert ranking_of(best, products) == expected[:count]


async def test_ranking_shows_current_price_and_name_and_no_discontinued_product(shop: Shop) -> None:
    first, second = await shop.create_product(1, MANY), await shop.create_product(1, MANY)
    customer = await shop.create_wallet(MANY)
    await shop.buy(order(customer, (first, 900_000), (second, 100_000)))
    expected = [(first, 900_000), (second, 100_000)]
    await wait_for_ranking(shop, (first, second), expected)
    changed = {"price": 11, "name": "Tart"}
    assert (await shop.call("product", "PATCH", f"/api/v1/products/{first}", changed)).status == 200

    async def shows_the_change() -> bool:
        shown = changed | {"productId": first, "units": 900_000}
        return shown in (await popular(shop))["items"]

    await wait_until(shows_the_change, "the ranking shows the current price and name")
    assert (await shop.call("product", "DELETE", f"/api/v1/products/{first}")).status == 204
    await wait_for_ranking(shop, (first, second), expected[1:])


async def test_ranking_names_its_window(shop: Shop) -> None:
    for days in (1, 3, 90):
        found = await popular(shop, f"days={days}&limit=1")
        assert set(found) == {"days", "since", "items"}
        assert found["days"] == days
        assert len(found["items"]) <= 1
        since = datetime.fromisoformat(found["since"])
        assert (since.minute, since.second, since.microsecond) == (0, 0, 0)
        age = datetime.now(UTC) - since
        assert timedelta(days=days) <= age < timedelta(days=days, hours=1, minutes=1)
