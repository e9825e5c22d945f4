"""GET /products/popular: the best sold, as counted over the orders themselves."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kit.client import COFFEE, PASTA, RICH, Json, Shop, order, wait_until

POPULAR = "/api/v1/products/popular"


async def popular(shop: Shop, query: str = "limit=100") -> Json:
    found: Json = await shop.get("product", f"{POPULAR}?{query}")
    return found


async def counted(shop: Shop, customers: list[str]) -> list[tuple[str, int]]:
    """By the orders: units by product, the most first, then by id."""
    units = Counter[str]()
    for customer in customers:
        path = f"/api/v1/orders?customerId={customer}&status=COMPLETED&size=100"
        found = await shop.get("order", path)
        assert found["total"] <= 100
        for each in found["items"]:
            for line in each["items"]:
                units[line["productId"]] += line["quantity"]
    return sorted(units.items(), key=lambda item: (-item[1], item[0]))


def ranked(found: Json) -> list[tuple[str, int]]:
    return [(each["productId"], each["units"]) for each in found["items"]]


async def until_ranked(shop: Shop, wanted: list[tuple[str, int]]) -> None:
    """An answer may be some seconds old."""

    async def is_so() -> bool:
        return ranked(await popular(shop)) == wanted

    await wait_until(is_so, f"the ranking is {wanted}")


async def test_as_the_orders_say(fresh_shop: Shop) -> None:
    """Many orders at once, some that can't be paid or served, some cancelled while others go on."""
    shop, chance = fresh_shop, random.Random(3)
    products = [await shop.create_product(price=10, stock=60, name=f"Cake {at}") for at in range(6)]
    customers = [await shop.create_wallet(10_000) for _ in range(4)] + [
        await shop.create_wallet(15)
    ]

    async def shopping(customer: str) -> None:
        lines = [(each, chance.randint(1, 5)) for each in chance.sample(products, 2)]
        done = await shop.buy(order(customer, *lines))
        if done["status"] == "COMPLETED" and chance.random() < 0.3:
            path = f"/api/v1/orders/{done['orderId']}/cancel"
            assert (await shop.call("order", "POST", path)).status in (200, 202)

    await asyncio.gather(*(shopping(customer) for customer in customers for _ in range(16)))
    await shop.wait_until_idle()

    wanted = await counted(shop, customers)
    assert len(wanted) == 6
    await until_ranked(shop, wanted)
    best = await popular(shop, "days=3&limit=2")
    assert ranked(best) == wanted[:2]
    assert ranked(await popular(shop, "")) == wanted[:5]


async def test_prices_and_names_are_todays_and_what_is_off_the_shop_is_left_out(
    fresh_shop: Shop,
) -> None:
    shop = fresh_shop
    await shop.buy(order(RICH, (PASTA, 9), (COFFEE, 2)))
    await until_ranked(shop, [(PASTA, 9), (COFFEE, 2)])
    changed = {"price": 11, "name": "Tart"}
    assert (await shop.call("product", "PATCH", f"/api/v1/products/{PASTA}", changed)).status == 200

    async def shows_the_change() -> bool:
        first: Any = (await popular(shop))["items"][0]
        return bool(first == changed | {"productId": PASTA, "units": 9})

    await wait_until(shows_the_change, "the price and the name are today's")
    assert (await shop.call("product", "DELETE", f"/api/v1/products/{PASTA}")).status == 204
    await until_ranked(shop, [(COFFEE, 2)])


async def test_the_window_is_told(shop: Shop) -> None:
    for days in (1, 3, 90):
        found = await popular(shop, f"days={days}&limit=1")
        assert set(found) == {"days", "since", "items"}
        assert found["days"] == days
        assert len(found["items"]) <= 1
        since = datetime.fromisoformat(found["since"])
        assert (since.minute, since.second, since.microsecond) == (0, 0, 0)
        age = datetime.now(UTC) - since
        assert timedelta(days=days) <= age < timedelta(days=days, hours=1, minutes=1)
