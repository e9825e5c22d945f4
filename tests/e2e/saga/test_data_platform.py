"""Every completed order is sent to the data platform, and no order waits for the platform."""

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


async def complete_orders(shop: Shop, count: int = 1) -> list[str]:
    """Place `count` concurrent orders, which complete. Returns their ids."""
    product, customer = await shop.create_product(100, count), await shop.create_wallet(100 * count)
    body = order(customer, (product, 1))
    ended = await asyncio.gather(*(shop.buy(body) for _ in range(count)))
    assert {each["status"] for each in ended} == {"COMPLETED"}
    return [each["orderId"] for each in ended]


async def delivery(shop: Shop, order_id: str) -> Json:
    body: Json = await shop.get("dataplatform", f"/api/v1/deliveries/{order_id}")
    return body


async def wait_until_sent(shop: Shop, *order_ids: str, timeout_seconds: float = 60) -> None:
    """Wait until the dataplatform service knows that these were accepted."""

    async def all_sent() -> bool:
        path = "/api/v1/deliveries/{}"
        answers = [await shop.call("dataplatform", "GET", path.format(each)) for each in order_ids]
        return all(each.status == 200 and each.body["status"] == "SENT" for each in answers)

    await wait_until(all_sent, "all orders are sent", timeout_seconds)


async def set_behaviour(shop: Shop, does: str, **more: object) -> None:
    await behave(shop.environment["PLATFORM_URL"], does, **more)


async def test_completed_order_is_sent_with_all_fields(shop: Shop) -> None:
    product = await shop.create_product(100, 5)
    customer = await shop.create_wallet(1_000)
    coupon = await shop.create_coupon(customer, discountValue=50)
    ended = await shop.buy(order(customer, (product, 3), couponId=coupon))
    await wait_until_sent(shop, ended["orderId"])

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


async def test_failed_order_is_never_sent(shop: Shop) -> None:
    product, pauper = await shop.create_product(100, 5), await shop.create_wallet(0)
    failed = await shop.buy(order(pauper, (product, 1)))
    assert failed["status"] == "FAILED"
    [later] = await complete_orders(shop)
    await wait_until_sent(shop, later)
    assert failed["orderId"] not in await accepted(shop)
    path = f"/api/v1/deliveries/{failed['orderId']}"
    missing = await shop.call("dataplatform", "GET", path)
    assert (missing.status, missing.body["error"]) == (404, "DELIVERY_NOT_FOUND")


@pytest.mark.parametrize("does", ["DROP", "ERROR", "HANG", "OVERLOADED"])
async def test_orders_complete_while_the_platform_fails(shop: Shop, does: str) -> None:
    """Exactly the completed orders are accepted afterwards, each once."""
    before = await accepted(shop)
    await set_behaviour(shop, does, seconds=1)
    orders = await complete_orders(shop, 30)

    async def has_failed() -> bool:
        page = await shop.get("dataplatform", "/api/v1/deliveries?status=PENDING&size=100")
        waiting = [each for each in page["items"] if each["lastError"]]
        return {each["orderId"] for each in page["items"]} == set(orders) and bool(waiting)

    await wait_until(has_failed, "all are recorded, and some attempts failed")
    assert await accepted(shop) == before
    orders += await complete_orders(shop, 5)  # while the platform is known to fail

    await forget(shop.environment["PLATFORM_URL"])
    await wait_until_sent(shop, *orders)

    after = await accepted(shop)
    assert after.keys() - before.keys() == set(orders)
    assert {after[each] for each in orders} == {1}


@pytest.mark.parametrize("does", ["ACCEPT_THEN_HANG", "ACCEPT_THEN_ERROR", "ACCEPT_THEN_DROP"])
async def test_delivery_without_an_answer_is_repeated_under_its_key(shop: Shop, does: str) -> None:
    await set_behaviour(shop, does, times=2, seconds=20)
    orders = await complete_orders(shop, 2)
    await wait_until_sent(shop, *orders)
    counts = await accepted(shop)
    assert [counts[each] for each in orders] == [2, 2]


async def test_refused_delivery_is_shown_and_retried(shop: Shop) -> None:
    await set_behaviour(shop, "REFUSE", times=3)
    [refused] = await complete_orders(shop)

    async def refusal_is_shown() -> bool:
        answer = await shop.call("dataplatform", "GET", f"/api/v1/deliveries/{refused}")
        return answer.status == 200 and "answered 400" in (answer.body["lastError"] or "")

    await wait_until(refusal_is_shown, "the refusal is shown")
    assert refused in {each["orderId"] for each in await shop.unsettled("dataplatform")}
    figures = (await shop.call("dataplatform", "GET", "/metrics")).body
    assert 'shop_deliveries_total{outcome="refused"}' in figures
    await wait_until_sent(shop, refused)
    assert (await delivery(shop, refused))["attempts"] == 4


async def test_delivery_is_executed_again_after_a_crash(shop: Shop) -> None:
    await set_behaviour(shop, "ACCEPT_THEN_HANG", times=1, seconds=20)
    [first] = await complete_orders(shop)

    async def is_accepted() -> bool:
        return first in await accepted(shop)

    await wait_until(is_accepted, "the platform has accepted the order")
    await asyncio.to_thread(shop.command, "kill", "dataplatform")
    others = await complete_orders(shop, 5)  # no order needs the killed service
    await shop.wait_until_ready("dataplatform")
    await wait_until_sent(shop, first, *others)
    counts = await accepted(shop)
    assert counts[first] == 2
    assert {counts[each] for each in others} == {1}


async def test_redelivered_event_sends_no_second_delivery(shop: Shop) -> None:
    """Also under another message id, and to a new durable consumer."""
    [order_id] = await complete_orders(shop)
    await wait_until_sent(shop, order_id)
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


async def test_order_cancelled_later_is_sent_even_so(shop: Shop) -> None:
    await set_behaviour(shop, "ERROR", times=1)
    [order_id] = await complete_orders(shop)
    cancelled = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
    assert cancelled.body["status"] == "CANCELLED"
    await wait_until_sent(shop, order_id)
    assert (await accepted(shop))[order_id] == 1


async def test_lists_show_sent_and_pending_deliveries(shop: Shop) -> None:
    sent = await complete_orders(shop, 3)
    await wait_until_sent(shop, *sent)
    await set_behaviour(shop, "ERROR")
    [waiting] = await complete_orders(shop)

    async def page(query: str) -> Json:
        body: Json = await shop.get("dataplatform", f"/api/v1/deliveries?{query}")
        return body

    async def one_is_pending() -> bool:
        return bool((await page("status=PENDING"))["total"])

    await wait_until(one_is_pending, "a delivery is pending")
    pending = await page("status=PENDING")
    assert [each["orderId"] for each in pending["items"]] == [waiting]
    newest = await page("size=2")
    assert newest["items"][0]["orderId"] == waiting
    assert newest["total"] == pending["total"] + (await page("status=SENT"))["total"]
    following = await page("status=SENT&size=2&page=1")
    ids = [each["orderId"] for each in (await page("status=SENT&size=4"))["items"]]
    assert [each["orderId"] for each in following["items"]] == ids[2:4]


async def test_audit_is_clean_after_all_failures(shop: Shop) -> None:
    assert await found_wrong(shop) == []


# ---------------------------------------------------------------- other instances


async def test_deliveries_are_pending_until_the_platform_has_an_address(shop: Shop) -> None:
    """An instance without DATA_PLATFORM_URL replaces that of the stack."""
    before = await accepted(shop)
    await asyncio.to_thread(shop.command, "stop", "dataplatform")
    async with (
        second_instances(shop.environment, ["dataplatform"], DATA_PLATFORM_URL="") as addresses,
        open_shop(addresses) as other_instance,
    ):
        orders = await complete_orders(shop, 3)

        async def recorded() -> bool:
            page = await other_instance.get("dataplatform", "/api/v1/deliveries?status=PENDING")
            return {each["orderId"] for each in page["items"]} == set(orders)

        await wait_until(recorded, "all deliveries are recorded")
        await other_instance.wait_until_ready("dataplatform")
        assert (await delivery(other_instance, orders[0]))["attempts"] == 0
    assert await accepted(shop) == before
    await asyncio.to_thread(shop.command, "start", "dataplatform")
    await wait_until_sent(shop, *orders)
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
    """All deliveries are pending while the platform fails; then both instances send."""
    before = await accepted(shop)
    await set_behaviour(shop, "ERROR")
    orders = await complete_orders(shop, 100)
    await forget(shop.environment["PLATFORM_URL"])
    await wait_until_sent(shop, *orders)
    counts = await accepted(shop)
    assert counts.keys() - before.keys() == set(orders)
    assert {counts[each] for each in orders} == {1}
