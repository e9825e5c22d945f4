"""Every completed order reaches the data platform, however it fares, and no order waits for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.e2e.api.raw_http import assert_utc
from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import publish
from tests.kit.client import Json, Shop, open_shop, order, wait_until
from tests.kit.data_platform import accepted, behave, forget, statement
from tests.kit.postgres import create_database, program, running_postgres
from tests.kit.service_instances import second_instances

NO_POSTGRES = pytest.mark.skipif(
    program("initdb") is None, reason="PostgreSQL is not installed (make postgres)"
)


@pytest.fixture
async def shop(breakable_shop: Shop) -> AsyncIterator[Shop]:
    """A stack whose simulated platform behaves well before and after each test."""
    yield breakable_shop
    await forget(breakable_shop.environment["PLATFORM_URL"])


async def completed(shop: Shop, count: int = 1) -> list[str]:
    """So many orders at once, all of which complete. Returns their ids."""
    product, customer = await shop.create_product(100, count), await shop.create_wallet(100 * count)
    body = order(customer, (product, 1))
    ended = await asyncio.gather(*(shop.buy(body) for _ in range(count)))
    assert {each["status"] for each in ended} == {"COMPLETED"}
    return [each["orderId"] for each in ended]


async def delivery(shop: Shop, order_id: str) -> Json:
    body: Json = await shop.get("dataplatform", f"/api/v1/deliveries/{order_id}")
    return body


async def until_sent(shop: Shop, *order_ids: str, timeout_seconds: float = 60) -> None:
    """Wait until the platform's sender knows that these were accepted."""

    async def all_sent() -> bool:
        path = "/api/v1/deliveries/{}"
        answers = [await shop.call("dataplatform", "GET", path.format(each)) for each in order_ids]
        return all(each.status == 200 and each.body["status"] == "SENT" for each in answers)

    await wait_until(all_sent, "all is sent", timeout_seconds)


async def tell(shop: Shop, does: str, **more: object) -> None:
    await behave(shop.environment["PLATFORM_URL"], does, **more)


async def test_a_completed_order_is_sent_with_what_it_is(shop: Shop) -> None:
    product = await shop.create_product(100, 5)
    customer = await shop.create_wallet(1_000)
    coupon = await shop.create_coupon(customer, discountValue=50)
    ended = await shop.buy(order(customer, (product, 3), couponId=coupon))
    await until_sent(shop, ended["orderId"])

    lines = await statement(shop.environment["PLATFORM_URL"])
    [line] = [each for each in lines if each["key"] == ended["orderId"]]
    body = dict(line["body"])
    assert_utc(body.pop("completedAt"))
    same = ("orderId", "customerId", "totalAmount", "discountAmount", "payableAmount")
    assert {name: body.pop(name) for name in same} == {name: ended[name] for name in same}
    assert body == {"items": [{"productId": product, "quantity": 3, "price": 100}]}
    sent = await delivery(shop, ended["orderId"])
    assert (sent["attempts"], sent["lastError"], sent["nextAt"]) == (1, None, None)
    assert sent["body"] == line["body"]


async def test_an_order_that_failed_is_never_sent(shop: Shop) -> None:
    product, pauper = await shop.create_product(100, 5), await shop.create_wallet(0)
    failed = await shop.buy(order(pauper, (product, 1)))
    assert failed["status"] == "FAILED"
    [later] = await completed(shop)
    await until_sent(shop, later)
    assert failed["orderId"] not in await accepted(shop)
    path = f"/api/v1/deliveries/{failed['orderId']}"
    missing = await shop.call("dataplatform", "GET", path)
    assert (missing.status, missing.body["error"]) == (404, "DELIVERY_NOT_FOUND")


@pytest.mark.parametrize("does", ["DROP", "ERROR", "HANG", "OVERLOADED"])
async def test_orders_complete_while_the_platform_is_away(shop: Shop, does: str) -> None:
    """All of them are there once it is back; exactly the completed ones, each accepted once."""
    before = await accepted(shop)
    await tell(shop, does, seconds=1)
    orders = await completed(shop, 30)

    async def has_failed() -> bool:
        page = await shop.get("dataplatform", "/api/v1/deliveries?status=PENDING&size=100")
        waiting = [each for each in page["items"] if each["lastError"]]
        return {each["orderId"] for each in page["items"]} == set(orders) and bool(waiting)

    await wait_until(has_failed, "all are recorded, and some were tried in vain")
    assert await accepted(shop) == before
    orders += await completed(shop, 5)  # with the platform known to be away

    await forget(shop.environment["PLATFORM_URL"])
    await until_sent(shop, *orders)

    after = await accepted(shop)
    assert after.keys() - before.keys() == set(orders)
    assert {after[each] for each in orders} == {1}


@pytest.mark.parametrize("does", ["ACCEPT_THEN_HANG", "ACCEPT_THEN_ERROR", "ACCEPT_THEN_DROP"])
async def test_what_was_accepted_without_our_hearing_of_it_comes_again_under_its_key(
    shop: Shop, does: str
) -> None:
    await tell(shop, does, times=2, seconds=20)
    orders = await completed(shop, 2)
    await until_sent(shop, *orders)
    counts = await accepted(shop)
    assert [counts[each] for each in orders] == [2, 2]


async def test_what_the_platform_refuses_is_shown_and_not_given_up(shop: Shop) -> None:
    await tell(shop, "REFUSE", times=3)
    [refused] = await completed(shop)

    async def shown() -> bool:
        answer = await shop.call("dataplatform", "GET", f"/api/v1/deliveries/{refused}")
        return answer.status == 200 and "answered 400" in (answer.body["lastError"] or "")

    await wait_until(shown, "its refusal is shown")
    assert refused in {
        each["orderId"] for each in (await shop.get("dataplatform", "/api/v1/ops/owed"))["items"]
    }
    figures = (await shop.call("dataplatform", "GET", "/metrics")).body
    assert 'shop_deliveries_total{outcome="refused"}' in figures
    await until_sent(shop, refused)
    assert (await delivery(shop, refused))["attempts"] == 4


async def test_a_crash_in_the_middle_of_a_call_loses_nothing(shop: Shop) -> None:
    await tell(shop, "ACCEPT_THEN_HANG", times=1, seconds=20)
    [caught] = await completed(shop)

    async def has_it() -> bool:
        return caught in await accepted(shop)

    await wait_until(has_it, "the platform has it")
    await asyncio.to_thread(shop.command, "kill", "dataplatform")
    others = await completed(shop, 5)  # nobody needs it for that
    await shop.wait_until_ready("dataplatform")
    await until_sent(shop, caught, *others)
    counts = await accepted(shop)
    assert counts[caught] == 2
    assert {counts[each] for each in others} == {1}


async def test_an_event_that_comes_again_sends_nothing_again(shop: Shop) -> None:
    """Also under another message id, and after the durable was made anew."""
    [order_id] = await completed(shop)
    await until_sent(shop, order_id)
    before = await delivery(shop, order_id)
    await asyncio.to_thread(shop.command, "stop", "dataplatform")
    async with shop.nats() as client:
        jetstream = client.jetstream()
        held = await jetstream.get_last_msg("SAGA", f"saga.{order_id}.OrderCompleted")
        await publish(client, f"saga.{order_id}.OrderCompleted", held.data or b"")
        await jetstream.delete_consumer("SAGA", "dataplatform")
    await asyncio.to_thread(shop.command, "start", "dataplatform")
    await shop.wait_until_ready("dataplatform")
    await shop.wait_until_idle()
    assert await delivery(shop, order_id) == before
    assert (await accepted(shop))[order_id] == 1


async def test_an_order_is_sent_whatever_becomes_of_it_later(shop: Shop) -> None:
    await tell(shop, "ERROR", times=1)
    [order_id] = await completed(shop)
    cancelled = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert cancelled.body["status"] == "CANCELLED"
    await until_sent(shop, order_id)
    assert (await accepted(shop))[order_id] == 1


async def test_the_lists_show_what_is_sent_and_what_waits(shop: Shop) -> None:
    sent = await completed(shop, 3)
    await until_sent(shop, *sent)
    await tell(shop, "ERROR")
    [waiting] = await completed(shop)

    async def page(query: str) -> Json:
        body: Json = await shop.get("dataplatform", f"/api/v1/deliveries?{query}")
        return body

    async def is_there() -> bool:
        return bool((await page("status=PENDING"))["total"])

    await wait_until(is_there, "it waits")
    pending = await page("status=PENDING")
    assert [each["orderId"] for each in pending["items"]] == [waiting]
    newest = await page("size=2")
    assert newest["items"][0]["orderId"] == waiting
    assert newest["total"] == pending["total"] + (await page("status=SENT"))["total"]
    following = await page("status=SENT&size=2&page=1")
    ids = [each["orderId"] for each in (await page("status=SENT&size=4"))["items"]]
    assert [each["orderId"] for each in following["items"]] == ids[2:4]


async def test_the_books_add_up_after_all_this(shop: Shop) -> None:
    assert await found_wrong(shop) == []


# ---------------------------------------------------------------- other stacks


async def test_without_an_address_orders_wait_until_there_is_one(shop: Shop) -> None:
    """As where DATA_PLATFORM_URL is not set: an instance beside the stack's, which is stopped."""
    before = await accepted(shop)
    await asyncio.to_thread(shop.command, "stop", "dataplatform")
    async with (
        second_instances(shop.environment, ["dataplatform"], DATA_PLATFORM_URL="") as addresses,
        open_shop(addresses) as beside,
    ):
        orders = await completed(shop, 3)

        async def recorded() -> bool:
            page = await beside.get("dataplatform", "/api/v1/deliveries?status=PENDING")
            return {each["orderId"] for each in page["items"]} == set(orders)

        await wait_until(recorded, "they are kept")
        await beside.wait_until_ready("dataplatform")
        assert (await delivery(beside, orders[0]))["attempts"] == 0
    assert await accepted(shop) == before
    await asyncio.to_thread(shop.command, "start", "dataplatform")
    await until_sent(shop, *orders)
    assert set(await accepted(shop)) - set(before) == set(orders)


async def test_two_instances_send_each_order_once(shop: Shop) -> None:
    async with second_instances(shop.environment, ["dataplatform"]):
        await assert_each_order_is_sent_once(shop)


@NO_POSTGRES
async def test_two_instances_on_postgresql_send_each_order_once(forged_shop: Shop) -> None:
    """They replace the stack's instance, whose own database then lacks these orders."""
    stack = forged_shop.environment
    await asyncio.to_thread(forged_shop.command, "stop", "dataplatform")
    with running_postgres() as server:
        url = create_database(server, "dataplatform_db")
        async with (
            second_instances(stack, ["dataplatform"], DATAPLATFORM_DATABASE_URL=url),
            second_instances(stack, ["dataplatform"], DATAPLATFORM_DATABASE_URL=url) as addresses,
            open_shop(addresses) as shop,
        ):
            await assert_each_order_is_sent_once(shop)
    await asyncio.to_thread(forged_shop.command, "start", "dataplatform")


async def assert_each_order_is_sent_once(shop: Shop) -> None:
    """All wait while the platform is away, and both instances see it come back."""
    before = await accepted(shop)
    await tell(shop, "ERROR")
    orders = await completed(shop, 100)
    await forget(shop.environment["PLATFORM_URL"])
    await until_sent(shop, *orders)
    counts = await accepted(shop)
    assert counts.keys() - before.keys() == set(orders)
    assert {counts[each] for each in orders} == {1}
