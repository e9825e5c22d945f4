"""The stock ledger over HTTP: who booked, time ranges, pages, and sums during other bookings."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from urllib.parse import quote
from uuid import uuid4

from tests.e2e.api.raw_http import Wire, refused
from tests.e2e.api.test_stock import book
from tests.kit.client import Json, Response, Shop, open_shop, order
from tests.kit.service_instances import second_instances


def path_of(product: str) -> str:
    return f"/api/v1/products/{product}/stock/history"


async def history(shop: Shop, product: str, query: str = "") -> list[Json]:
    items: list[Json] = (await shop.get("product", f"{path_of(product)}?{query}"))["items"]
    return items


async def pages(shop: Shop, product: str, size: int) -> list[Json]:
    """Every page, one after the other, up to `total`."""
    found: list[Json] = []
    page, total = 0, 1
    while page * size < total:
        body = await shop.get("product", f"{path_of(product)}?page={page}&size={size}")
        found += body["items"]
        page, total = page + 1, body["total"]
    return found


# ---------------------------------------------------------------- who


async def test_entry_names_who_booked_it(shop: Shop) -> None:
    rich, product = await shop.create_wallet(1000), await shop.create_product(price=10, stock=7)
    for _ in range(2):  # a repeated key keeps the first name
        await book(shop, product, "in", 5, bookedBy="김민지, warehouse 2")
    await book(shop, product, "in", 5, bookedBy="another warehouse")
    await book(shop, product, "out", -1)
    await shop.buy(order(rich, (product, 2)))
    rows = await history(shop, product)
    assert [(each["delta"], each["bookedBy"]) for each in rows] == [
        (7, None),
        (5, "김민지, warehouse 2"),
        (-1, None),
        (-2, None),
    ]


# ---------------------------------------------------------------- when


async def test_entries_are_filtered_by_time(shop: Shop) -> None:
    """`from` is included and `to` is not."""
    product = await shop.create_product(price=10, stock=1)
    for delta in (2, -1, 4):
        await book(shop, product, f"h{delta}", delta)
    rows = await history(shop, product)
    times = [each["createdAt"] for each in rows]
    assert [each["delta"] for each in rows] == [1, 2, -1, 4]
    assert times == sorted(set(times))

    async def deltas(**limits: str) -> list[int]:
        query = "&".join(f"{name.strip('_')}={quote(at)}" for name, at in limits.items())
        return [each["delta"] for each in await history(shop, product, query)]

    assert await deltas(from_=times[1]) == [2, -1, 4]
    assert await deltas(from_=just_after(times[1])) == [-1, 4]
    assert await deltas(to=times[2]) == [1, 2]
    assert await deltas(to=just_after(times[2])) == [1, 2, -1]
    assert await deltas(from_=times[1], to=times[3]) == [2, -1]
    assert await deltas(from_=times[1], to=times[1]) == []
    assert await deltas(from_=times[1], to=just_after(times[1])) == [2]
    assert await deltas(from_="2000-01-01T00:00:00Z", to="2001-01-01T00:00:00Z") == []
    assert await deltas(from_="9999-12-31T23:59:59Z") == []


def just_after(time: str) -> str:
    """A microsecond later, the precision of stored times."""
    return (datetime.fromisoformat(time) + timedelta(microseconds=1)).isoformat()


async def test_entries_between_two_times_are_paged(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=1)
    for delta in range(2, 9):
        await book(shop, product, f"p{delta}", delta)
    rows = await history(shop, product)
    query = f"from={rows[1]['createdAt']}&to={rows[-1]['createdAt']}&size=4"
    first = await shop.get("product", f"{path_of(product)}?{query}&page=0")
    second = await shop.get("product", f"{path_of(product)}?{query}&page=1")
    assert (first["total"], second["total"]) == (6, 6)
    assert [*first["items"], *second["items"]] == rows[1:-1]


async def test_from_after_to_is_refused(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=1)
    query = "from=2026-01-31T09:00:00Z&to=2026-01-31T10:00:00%2B09:00"  # that is 01:00 in UTC
    answer = await shop.call("product", "GET", f"{path_of(product)}?{query}")
    refused(answer, 400, "VALIDATION_ERROR")
    assert "from" in answer.body["message"]


async def test_plus_sign_that_is_not_encoded_is_explained(wire: Wire) -> None:
    product = await wire.shop.create_product(price=3, stock=1)
    path = f"/api/v1/products/{product}/stock/history?from=2026-01-31T10:00:00"
    for time in (path, f"{path}+09:00"):
        answer = await wire.send("product", "GET", time)
        refused(answer, 400, "VALIDATION_ERROR")
        assert "%2B09:00" in answer.body["message"]


async def test_times_of_another_zone_are_the_same_instants(shop: Shop) -> None:
    product = await shop.create_product(price=10, stock=1)
    (row,) = await history(shop, product)
    made = datetime.fromisoformat(row["createdAt"])
    for hours in (-9, 9):
        there = timezone(timedelta(hours=hours))
        before = quote((made - timedelta(seconds=1)).astimezone(there).isoformat())
        after = quote((made + timedelta(seconds=1)).astimezone(there).isoformat())
        found = {
            "from before": await history(shop, product, f"from={before}") == [row],
            "from after": await history(shop, product, f"from={after}") == [],
            "to before": await history(shop, product, f"to={before}") == [],
            "to after": await history(shop, product, f"to={after}") == [row],
        }
        assert found == dict.fromkeys(found, True), hours


# ---------------------------------------------------------------- while others book


async def test_pages_are_consistent_while_others_book(shop: Shop) -> None:
    """With two instances: no row is repeated or skipped, all are in the order of their balances."""
    product = await shop.create_product(price=10, stock=0)
    booked: list[str] = []
    async with (
        second_instances(shop.environment, ["product"]) as addresses,
        open_shop(addresses) as twin,
    ):

        async def book_often(instance: Shop, name: str) -> None:
            for at in range(60):
                key = f"{name}-{at}"
                assert (await book(instance, product, key, 1)).status == 200
                booked.append(key)

        async def read_pages(instance: Shop, size: int) -> None:
            while len(booked) < 240:
                known = set(booked)
                found = await pages(instance, product, size)
                assert [each["balanceAfter"] for each in found] == [*range(1, len(found) + 1)]
                assert known <= {each["requestId"] for each in found}

        await asyncio.gather(
            *(
                book_often(instance, f"{i}{j}")
                for i, instance in enumerate((shop, twin))
                for j in "ab"
            ),
            *(read_pages(instance, size) for instance in (shop, twin) for size in (3, 50)),
        )
    assert Counter(each["requestId"] for each in await pages(shop, product, 11)) == Counter(booked)


async def test_ledger_adds_up_during_orders_and_bookings(shop: Shop) -> None:
    """Concurrent orders, paid, unpaid and cancelled, and bookings in both directions."""
    product = await shop.create_product(price=10, stock=60)
    rich, poor = await shop.create_wallet(10_000), await shop.create_wallet(0)

    async def cancel() -> None:
        done = await shop.buy(order(rich, (product, 3)))
        if done["status"] == "COMPLETED":
            await shop.call("order", "POST", f"/api/v1/orders/{done['orderId']}/cancel")

    async def by_hand(delta: int) -> Response:
        return await book(shop, product, str(uuid4()), delta, bookedBy="me")

    answers = await asyncio.gather(
        *(by_hand(delta) for delta in (4, -3, 9, -11, 2, -1, 25, -30) * 4),
        *(shop.buy(order(rich, (product, 2))) for _ in range(25)),
        *(shop.buy(order(poor, (product, 5))) for _ in range(10)),
        *(cancel() for _ in range(8)),
    )
    await shop.wait_until_idle()

    rows = await shop.stock_entries(product)
    deltas = [each["delta"] for each in rows]
    available, reserved = await shop.stock(product)
    assert [each["balanceAfter"] for each in rows] == [*accumulate(deltas)]
    assert (sum(deltas), 0) == (available, reserved)
    assert min(accumulate(deltas)) >= 0
    kept = [each for each in answers if isinstance(each, Response) and each.status == 200]
    assert len([each for each in rows if each["bookedBy"] == "me"]) == len(kept)
    assert len({each["requestId"] for each in rows}) == len(rows)
