"""The operators' routes, on a stack that asks for the operators' token."""

from collections.abc import AsyncIterator, Iterator, Mapping
from uuid import uuid4

import aiohttp
import pytest

from tests.e2e.api.raw_http import Wire, assert_utc, refused, stored
from tests.e2e.api.routes import ROUTES, Route
from tests.kit.client import SERVICES, Json, Shop, open_shop, order, running_stack, wait_until

TOKEN = "open-sesame"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
OPERATIONS = [route for route in ROUTES if "/ops/" in route.path or "/deliveries" in route.path]
LETTER = {
    *("id", "stream", "sequence", "subject", "headers", "body", "reason", "error"),
    *("createdAt", "redrivenAt"),
}


@pytest.fixture(scope="module")
def guarded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("guarded"), OPS_TOKEN=TOKEN) as environment:
        yield environment


@pytest.fixture
async def guarded(guarded_stack: Mapping[str, str]) -> AsyncIterator[Wire]:
    async with open_shop(guarded_stack) as shop, aiohttp.ClientSession() as http:
        yield Wire(shop, http)


async def asked(wire: Wire, service: str, path: str) -> Json:
    """An operator's GET that must go well."""
    answer = await wire.send(service, "GET", f"/api/v1/ops/{path}", headers=ALLOWED)
    assert answer.status == 200, answer
    body: Json = answer.body
    return body


@pytest.mark.parametrize("route", OPERATIONS, ids=lambda route: route.name)
async def test_without_the_token(guarded: Wire, route: Route) -> None:
    before = stored(guarded.shop)
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer 열려라참깨"},
    ):
        answer = await guarded.send(route.service, route.method, route.address, headers=headers)
        refused(answer, 401, "UNAUTHORIZED")
        assert TOKEN not in str(answer.body)
    assert stored(guarded.shop) == before


@pytest.mark.parametrize("route", OPERATIONS, ids=lambda route: route.name)
async def test_with_the_token(guarded: Wire, route: Route) -> None:
    answer = await guarded.send(route.service, route.method, route.address, headers=ALLOWED)
    if route.unknown:
        refused(answer, 404, route.unknown)
    else:
        assert answer.status in (200, 204), answer


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_else_needs_the_token(guarded: Wire, service: str) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/schema", "/schema/openapi.json"):
        assert (await guarded.send(service, "GET", path)).status == 200


async def test_without_a_token_set_nobody_is_asked(shop: Shop) -> None:
    for service in SERVICES:
        letters = await shop.get(service, "/api/v1/ops/dead-letters")
        assert set(letters) == {"items", "page", "size", "total"}
        assert set(await shop.get(service, "/api/v1/ops/owed")) == {"items"}
        assert set(await shop.get(service, "/api/v1/ops/outbox")) == {"items", "total", "oldestAt"}


async def test_seeding_twice_changes_nothing(guarded: Wire) -> None:
    before = stored(guarded.shop)
    for service in SERVICES:
        answer = await guarded.send(service, "POST", "/api/v1/ops/seed", headers=ALLOWED)
        assert (answer.status, answer.body) == (204, "")
    assert stored(guarded.shop) == before


async def test_a_dead_letter_and_its_second_try(guarded: Wire) -> None:
    shop = guarded.shop
    order_id, poison = str(uuid4()), b'{"orderId": 3, \xff'
    subject = f"saga.{order_id}.OrderCreated"
    async with shop.nats() as client:
        stored_at = await client.jetstream().publish(subject, poison, headers={"x-who": "a test"})

    async def letters() -> list[Json]:
        items: list[Json] = (await asked(guarded, "coupon", "dead-letters?size=100"))["items"]
        return [each for each in items if each["subject"] == subject]

    async def set_aside() -> bool:
        return bool(await letters())

    await wait_until(set_aside, "the poison is set aside")
    (letter,) = await letters()
    assert set(letter) == LETTER
    assert (letter["stream"], letter["sequence"]) == ("SAGA", stored_at.seq)
    assert letter["body"] == poison.decode(errors="replace")
    assert letter["headers"]["x-who"] == "a test"
    assert (letter["reason"], letter["redrivenAt"]) == ("UNREADABLE", None)
    assert letter["error"]
    assert_utc(letter["createdAt"])

    path = f"/api/v1/ops/dead-letters/{letter['id']}/redrive"
    again = await guarded.send("coupon", "POST", path, headers=ALLOWED)
    assert again.status == 202
    assert again.headers.get("Content-Type", "application/json") == "application/json"

    async def tried() -> bool:
        (found,) = await letters()
        return found["redrivenAt"] is not None

    await wait_until(tried, "the letter was tried again")
    (after,) = await letters()
    assert_utc(after.pop("redrivenAt"))
    assert after == {name: value for name, value in letter.items() if name != "redrivenAt"}


async def test_dead_letters_come_in_pages(guarded: Wire) -> None:
    subjects = [f"saga.{uuid4()}.PaymentFailed" for _ in range(3)]
    async with guarded.shop.nats() as client:
        for subject in subjects:
            await client.jetstream().publish(subject, b"no event")

    async def page(number: int) -> Json:
        return await asked(guarded, "product", f"dead-letters?page={number}&size=2")

    async def all_there() -> bool:
        return bool((await page(0))["total"] >= 3)

    await wait_until(all_there, "three letters are set aside")
    first, second = await page(0), await page(1)
    assert (first["page"], first["size"], second["page"]) == (0, 2, 1)
    found = [each["subject"] for each in first["items"] + second["items"]]
    assert found[:3] == subjects[::-1]


async def test_what_is_owed(guarded: Wire) -> None:
    shop = guarded.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    shop.command("stop", "coupon")
    order_id = await shop.place(order(customer, (cake, 1)))
    (owed,) = (await asked(guarded, "order", "owed"))["items"]
    assert_utc(owed.pop("since"))
    assert owed == {"orderId": order_id, "state": "PENDING"}
    assert (await asked(guarded, "order", "owed?olderThanSeconds=3600"))["items"] == []
    assert (await asked(guarded, "product", "owed"))["items"] == []

    async def a_second_old() -> bool:
        return bool((await asked(guarded, "order", "owed?olderThanSeconds=1"))["items"])

    await wait_until(a_second_old, "the order has waited for a second")
    shop.command("start", "coupon")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    assert (await asked(guarded, "order", "owed"))["items"] == []


async def test_what_is_not_published_yet(guarded: Wire) -> None:
    shop = guarded.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)

    async def outbox_of_order() -> Json:
        return await asked(guarded, "order", "outbox")

    async def empty() -> bool:
        return await outbox_of_order() == {"items": [], "total": 0, "oldestAt": None}

    await wait_until(empty, "all is published")
    shop.command("stop", "nats")
    try:
        order_id = await shop.place(order(customer, (cake, 1)))
        waiting = await outbox_of_order()
        (row,) = waiting["items"]
        assert waiting["total"] == 1
        assert set(row) == {"eventId", "name", "subject", "createdAt", "claimedBy"}
        assert row["name"] == "OrderCreated"
        assert row["subject"] == f"saga.{order_id}.OrderCreated"
        assert waiting["oldestAt"] == row["createdAt"]
        assert_utc(row["createdAt"])

        async def broker_missed() -> bool:
            ready = await guarded.send("order", "GET", "/health/ready")
            return ready.status == 503 and not ready.body["checks"]["broker"]["ok"]

        await wait_until(broker_missed, "the order service misses the broker")
        trace = await guarded.send("order", "GET", f"/api/v1/orders/{order_id}/trace")
        refused(trace, 503, "RETRY_LATER")
        assert int(trace.headers["Retry-After"]) >= 1
    finally:
        shop.command("start", "nats")
    assert (await shop.wait_until_ended(order_id, timeout_seconds=40))["status"] == "COMPLETED"
    await wait_until(empty, "all is published")
