"""The operators' routes: their token, dead letters, unsettled orders and the outbox."""

from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.api.raw_http import Wire, assert_utc, nothing_stored, refused
from tests.e2e.api.routes import ROUTES, Route
from tests.kit.client import SERVICES, Json, Shop, open_shop, order, wait_until
from tests.kit.service_instances import second_instances

TOKEN = "open-sesame"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
OPERATIONS = [route for route in ROUTES if "/ops/" in route.path or "/deliveries" in route.path]
DEAD_LETTER_FIELDS = {
    *("id", "stream", "sequence", "subject", "headers", "body", "reason", "error"),
    *("status", "attempts", "createdAt", "redrivenAt", "dismissedAt", "dismissReason"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded_addresses(stack: Mapping[str, str]) -> AsyncIterator[Mapping[str, str]]:
    async with second_instances(stack, SERVICES, OPS_TOKEN=TOKEN) as addresses:
        yield addresses


@pytest.fixture
async def guarded(guarded_addresses: Mapping[str, str]) -> AsyncIterator[Wire]:
    """Instances that require the operators' token, beside those of the shared stack."""
    async with open_shop(guarded_addresses) as shop, aiohttp.ClientSession() as http:
        yield Wire(shop, http)


# ---------------------------------------------------------------- the token


@pytest.mark.parametrize("route", OPERATIONS, ids=lambda route: route.name)
async def test_operator_route_without_token_answers_401(
    guarded: Wire, shop: Shop, route: Route
) -> None:
    attempts: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer 열려라참깨"},
    )
    async with nothing_stored(shop):
        for headers in attempts:
            answer = await guarded.send(route.service, route.method, route.address, headers=headers)
            refused(answer, 401, "UNAUTHENTICATED")
            assert TOKEN not in str(answer.body)


@pytest.mark.parametrize("route", OPERATIONS, ids=lambda route: route.name)
async def test_operator_route_with_token_answers(guarded: Wire, route: Route) -> None:
    answer = await guarded.send(route.service, route.method, route.address, headers=WITH_TOKEN)
    if route.body:
        refused(answer, 400, "VALIDATION_ERROR")  # it was let through, without a body
    elif route.unknown:
        refused(answer, 404, route.unknown)
    else:
        assert answer.status in (200, 204), answer


@pytest.mark.parametrize("service", SERVICES)
async def test_health_metrics_and_schema_need_no_token(guarded: Wire, service: str) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/schema", "/schema/openapi.json"):
        assert (await guarded.send(service, "GET", path)).status == 200


async def test_operator_routes_are_open_where_no_token_is_set(shop: Shop) -> None:
    for service in SERVICES:
        letters = await shop.get(service, "/api/v1/ops/dead-letters")
        assert set(letters) == {"items", "page", "size", "total"}
        assert set(await shop.get(service, "/api/v1/ops/owed")) == {"items"}
        assert set(await shop.get(service, "/api/v1/ops/outbox")) == {"items", "total", "oldestAt"}


async def test_seeding_is_idempotent(guarded: Wire, shop: Shop) -> None:
    async with nothing_stored(shop):
        for service in SERVICES:
            answer = await guarded.send(service, "POST", "/api/v1/ops/seed", headers=WITH_TOKEN)
            assert (answer.status, answer.body) == (204, "")


# ---------------------------------------------------------------- what they show


async def test_dead_letter_is_listed_and_redriven(forged_shop: Shop) -> None:
    shop = forged_shop
    malformed, headers = b'{"orderId": 3, \xff', {"x-who": "a test"}
    subject = f"saga.{uuid4()}.OrderCreated"
    async with shop.nats() as client:
        published = await client.jetstream().publish(subject, malformed, headers=headers)

    async def letters() -> list[Json]:
        return [each for each in await shop.dead_letters("coupon") if each["subject"] == subject]

    async def is_listed() -> bool:
        return bool(await letters())

    await wait_until(is_listed, "the message is a dead letter")
    (letter,) = await letters()
    assert set(letter) == DEAD_LETTER_FIELDS
    assert (letter["stream"], letter["sequence"]) == ("SAGA", published.seq)
    assert letter["body"] == malformed.decode(errors="replace")
    assert letter["headers"]["x-who"] == "a test"
    assert (letter["reason"], letter["redrivenAt"]) == ("UNREADABLE", None)
    assert letter["error"]
    assert_utc(letter["createdAt"])

    path = f"/api/v1/ops/dead-letters/{letter['id']}/redrive"
    again = await shop.call("coupon", "POST", path)
    assert again.status == 200
    assert again.headers["Content-Type"] == "application/json"
    (after,) = await letters()
    assert again.body == after
    assert_utc(after["redrivenAt"])
    changed = {"status": "FAILED_AGAIN", "attempts": 1, "redrivenAt": after["redrivenAt"]}
    assert after == letter | changed


async def test_dismissed_dead_letter_is_counted_and_redriven_no_more(forged_shop: Shop) -> None:
    shop, subject = forged_shop, f"saga.{uuid4()}.OrderCreated"
    before = await open_letters(shop)
    async with shop.nats() as client:
        await client.jetstream().publish(subject, b"not json")

    async def is_counted() -> bool:
        return await open_letters(shop) == before + 1

    await wait_until(is_counted, "the gauge counts the letter")
    [letter] = [each for each in await shop.dead_letters("coupon") if each["subject"] == subject]
    path = f"/api/v1/ops/dead-letters/{letter['id']}"
    dismissed = await shop.call("coupon", "POST", f"{path}/dismiss", {"reason": "a test"})
    assert dismissed.status == 200
    assert_utc(dismissed.body["dismissedAt"])
    changed = {"status": "DISMISSED", "dismissReason": "a test"}
    assert dismissed.body == letter | changed | {"dismissedAt": dismissed.body["dismissedAt"]}
    assert await open_letters(shop) == before
    refused(await shop.call("coupon", "POST", f"{path}/redrive"), 409, "DEAD_LETTER_DONE")
    preview = await shop.get("coupon", f"{path}/preview")
    assert preview["summary"] == "would do nothing: the dead letter is DISMISSED"


async def open_letters(shop: Shop) -> int:
    metrics = str((await shop.call("coupon", "GET", "/metrics")).body)
    [line] = [each for each in metrics.splitlines() if each.startswith("saga_dead_letters_open ")]
    return int(float(line.split()[1]))


async def test_emitted_events_are_shown_with_their_causes(shop: Shop) -> None:
    customer, product = await shop.create_wallet(1000), await shop.create_product(30, 10)
    order_id = (await shop.buy(order(customer, (product, 1))))["orderId"]
    await shop.wait_until_idle()
    emitted = {
        service: (await shop.get(service, f"/api/v1/ops/events/{order_id}"))["items"]
        for service in SERVICES
    }
    assert [(each["name"], each["service"]) for each in emitted["order"]] == [
        ("OrderCreated", "order"),
        ("OrderCompleted", "order"),
    ]
    [used] = emitted["coupon"]
    assert used["cause"] == emitted["order"][0]["id"]
    assert_utc(used["time"])
    assert_utc(used["publishedAt"])


async def test_dead_letters_are_paged_newest_first(forged_shop: Shop) -> None:
    subjects = [f"saga.{uuid4()}.PaymentFailed" for _ in range(3)]

    async def page(number: int) -> Json:
        found = await forged_shop.get("product", f"/api/v1/ops/dead-letters?page={number}&size=2")
        return dict(found)

    before = (await page(0))["total"]
    async with forged_shop.nats() as client:
        for subject in subjects:
            await client.jetstream().publish(subject, b"no event")

    async def all_are_listed() -> bool:
        return bool((await page(0))["total"] >= before + 3)

    await wait_until(all_are_listed, "the three messages are dead letters")
    first, second = await page(0), await page(1)
    assert (first["page"], first["size"], second["page"]) == (0, 2, 1)
    found = [each["subject"] for each in first["items"] + second["items"]]
    assert found[:3] == subjects[::-1]


async def test_unsettled_order_is_listed_until_it_ends(breakable_shop: Shop) -> None:
    shop = breakable_shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    await shop.wait_until_idle()
    shop.command("stop", "coupon")
    order_id = await shop.place(order(customer, (cake, 1)))
    (unsettled,) = await shop.unsettled("order")
    assert_utc(unsettled.pop("since"))
    assert unsettled == {"orderId": order_id, "state": "PENDING"}
    path = "/api/v1/ops/owed?olderThanSeconds="
    assert (await shop.get("order", f"{path}3600"))["items"] == []
    assert await shop.unsettled("product") == []

    async def is_a_second_old() -> bool:
        return bool((await shop.get("order", f"{path}1"))["items"])

    await wait_until(is_a_second_old, "the order was unsettled for a second")
    shop.command("start", "coupon")
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    assert await shop.unsettled("order") == []


async def test_outbox_lists_events_while_the_broker_is_stopped(breakable_shop: Shop) -> None:
    shop = breakable_shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)

    async def outbox() -> Json:
        return dict(await shop.get("order", "/api/v1/ops/outbox"))

    async def is_empty() -> bool:
        return await outbox() == {"items": [], "total": 0, "oldestAt": None}

    await wait_until(is_empty, "all events are published")
    shop.command("stop", "nats")
    try:
        order_id = await shop.place(order(customer, (cake, 1)))
        found = await outbox()
        (row,) = found["items"]
        assert found["total"] == 1
        assert set(row) == {"eventId", "name", "subject", "createdAt", "claimedBy"}
        assert row["name"] == "OrderCreated"
        assert row["subject"] == f"saga.{order_id}.OrderCreated"
        assert found["oldestAt"] == row["createdAt"]
        assert_utc(row["createdAt"])

        async def shows_it() -> bool:
            answer = await shop.call("order", "GET", "/health/ready")
            return answer.status == 200 and not answer.body["checks"]["broker"]["ok"]

        await wait_until(shows_it, "the order service shows that the broker is missing")
        trace = await shop.call("order", "GET", f"/api/v1/orders/{order_id}/trace")
        refused(trace, 503, "RETRY_LATER")
        assert int(trace.headers["Retry-After"]) >= 1
    finally:
        shop.command("start", "nats")
    assert (await shop.wait_until_ended(order_id, timeout_seconds=40))["status"] == "COMPLETED"
    await wait_until(is_empty, "all events are published")
