"""An order's events, live: all of them, once, in order, up to its end."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.run import GRACE_SECONDS
from tests.e2e.saga.broker_stream import publish, written_by_hand
from tests.e2e.saga.live_client import followed, following, listeners, retransmitted, subscriptions
from tests.e2e.saga.test_card_payments import gateway
from tests.kit.client import COFFEE, Json, Shop, open_shop, order, wait_until
from tests.kit.service_instances import second_instances

BOUGHT = ["OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted", "OrderCompleted"]
UNWOUND = [
    "OrderCancelRequested",
    "PaymentRefunded",
    "StockRestored",
    "CouponRestored",
    "OrderCancelled",
]
PROMPT_SECONDS = 8
"""Long before a heartbeat, with which it would look by itself."""


@asynccontextmanager
async def without(shop: Shop, part: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The part is stopped, until it is called back or the test is over."""
    await asyncio.to_thread(shop.command, "stop", part)
    is_back = False

    async def back() -> None:
        nonlocal is_back
        is_back = True
        await asyncio.to_thread(shop.command, "start", part)

    try:
        yield back
    finally:
        if not is_back:
            await back()


async def basket(shop: Shop, balance: int = 1_000, **more: str) -> Json:
    """An order of one unit at 100 won, to be placed."""
    customer, product = await shop.create_wallet(balance), await shop.create_product(100, 500)
    return order(customer, (product, 1), **more)


async def bought(shop: Shop, method: str = "WALLET") -> str:
    order_id = await shop.place(await basket(shop, paymentMethod=method))
    await shop.wait_for_events(order_id, "OrderCompleted")
    return order_id


async def refusal(shop: Shop, order_id: str, **headers: str) -> tuple[int, str]:
    answer = await shop.call("order", "GET", f"/api/v1/orders/{order_id}/events", **headers)
    return answer.status, answer.body and answer.body["error"]


# ---------------------------------------------------------------- what is told


async def test_past_events_and_then_each_new_one_up_to_the_end(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment") as back:
        order_id = await shop.place(body)
        await shop.wait_for_events(order_id, "StockDecremented")
        async with following(shop, order_id) as client:
            await client.until("StockDecremented")
            await back()
            await client.until("PaymentCompleted")
            late = datetime.now(UTC) - datetime.fromisoformat(client.told[-1].data["time"])
            assert late < timedelta(seconds=PROMPT_SECONDS)
            assert await client.to_the_end() == BOUGHT
    assert [each.data for each in client.told] == await shop.trace(order_id)
    assert all(
        (each.id, each.event) == (each.data["id"], each.data["name"]) for each in client.told
    )


async def test_an_order_that_fails(shaken_shop: Shop) -> None:
    shop = shaken_shop
    order_id = await shop.place(await basket(shop, balance=0))
    names = [each.event for each in await followed(shop, order_id)]
    assert names[:3] == BOUGHT[:3]
    assert "PaymentFailed" in names
    assert "OrderFailed" in names
    # Who asks again gets what was undone after the end.
    await shop.wait_for_events(order_id, "OrderFailed", "StockRestored", "CouponRestored")
    whole = await followed(shop, order_id)
    assert [each.data for each in whole] == await shop.trace(order_id)
    [failed] = [each for each in whole if each.event == "OrderFailed"]
    rest = whole[whole.index(failed) + 1 :]
    if rest:
        assert await followed(shop, order_id, failed.id) == rest


async def test_an_order_that_is_cancelled(shaken_shop: Shop) -> None:
    """COMPLETED is its end no more once a cancel is on its way."""
    shop = shaken_shop
    order_id = await bought(shop)
    async with without(shop, "product") as back:
        answer = await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
        assert answer.status == 202
        async with following(shop, order_id) as client:
            await client.until("PaymentRefunded")
            await back()
            assert await client.to_the_end() == [*BOUGHT, *UNWOUND]


async def test_a_cancel_that_is_refused(shaken_shop: Shop) -> None:
    """No event of the order service says so: the order is COMPLETED again, that is all."""
    shop = shaken_shop
    order_id = await bought(shop, "CARD")
    async with without(shop, "payment") as back, gateway(shop, "refund", "REFUSE"):
        await shop.call("order", "POST", f"/api/v1/orders/{order_id}/cancel")
        async with following(shop, order_id) as client:
            await client.until("OrderCancelRequested")
            await back()
            assert await client.to_the_end() == [
                *BOUGHT,
                "OrderCancelRequested",
                "PaymentRefundFailed",
            ]


async def test_what_was_said_again_is_told_once(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment") as back:
        order_id = await shop.place(body)
        await shop.wait_for_events(order_id, "StockDecremented")
        assert await retransmitted(shop, order_id) == 3
        async with following(shop, order_id) as client:
            await client.until("StockDecremented")
            await retransmitted(shop, order_id)
            await back()
            assert await client.to_the_end() == BOUGHT


async def test_what_is_no_event_is_not_told(rough_shop: Shop) -> None:
    shop = rough_shop
    order_id = await bought(shop)
    forged = {"ce-id": "x\r\n data: forged", "ce-type": "PaymentFailed"}
    async with shop.nats() as client:
        await publish(client, f"saga.{order_id}.PaymentFailed", b"no JSON", forged)
        await publish(client, f"saga.{order_id}.Nonsense", {"orderId": order_id})
        await publish(client, f"saga.{order_id}.PaymentFailed", {"orderId": str(uuid4())})
    assert [each.event for each in await followed(shop, order_id)] == BOUGHT


# ---------------------------------------------------------------- going on where it ended


async def test_going_on_behind_an_event_gives_exactly_the_rest(shaken_shop: Shop) -> None:
    shop = shaken_shop
    order_id = await bought(shop)
    whole = await followed(shop, order_id)
    assert [each.event for each in whole] == BOUGHT
    for count, last in enumerate(whole[:-1], 1):
        assert await followed(shop, order_id, last.id) == whole[count:]
    assert await followed(shop, order_id, str(uuid4())) == whole
    assert await refusal(shop, order_id, last_event_id=whole[-1].id) == (204, "")


async def test_going_on_while_the_order_does(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment") as back:
        order_id = await shop.place(body)
        async with following(shop, order_id) as client:
            await client.until("CouponUsed")
        async with following(shop, order_id, client.told[-1].id) as again:
            await again.until("StockDecremented")
            await back()
            assert await again.to_the_end() == BOUGHT[2:]


@pytest.mark.parametrize("bad", ["x", "null", "1", "0" * 40, "é", f"{COFFEE}0"])
async def test_a_last_event_id_that_can_not_be_one(shaken_shop: Shop, bad: str) -> None:
    order_id = await bought(shaken_shop)
    assert await refusal(shaken_shop, order_id, last_event_id=bad) == (400, "VALIDATION_ERROR")


async def test_an_order_that_the_stream_has_forgotten(rough_shop: Shop) -> None:
    shop = rough_shop
    order_id = await bought(shop)
    async with shop.nats() as client:
        await client.jetstream().purge_stream("SAGA", subject=f"saga.{order_id}.*")
    with written_by_hand(shop, "order") as database:
        database.execute(
            "UPDATE orders SET updated_at = '2020-01-01 00:00:00.000000' WHERE order_id = ?",
            (order_id,),
        )
    assert await refusal(shop, order_id) == (204, "")


# ---------------------------------------------------------------- outages


async def test_two_instances_tell_the_same(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with (
        second_instances(shop.environment, ["order"]) as addresses,
        open_shop(addresses) as twin,
        without(shop, "payment") as back,
    ):
        order_id = await shop.place(body)
        async with following(shop, order_id) as here, following(twin, order_id) as there:
            await here.until("StockDecremented")
            await there.until("StockDecremented")
            await back()
            assert await here.to_the_end() == await there.to_the_end() == BOUGHT
    assert here.told == there.told


async def test_the_broker_is_killed_in_the_middle(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment") as back:
        order_id = await shop.place(body)
        async with following(shop, order_id) as client:
            await client.until("StockDecremented")
            await asyncio.to_thread(shop.command, "kill", "nats")
            await back()
            assert await client.to_the_end() == BOUGHT


async def test_the_broker_is_away_at_the_beginning(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "nats") as back:
        order_id = await shop.place(body)
        async with following(shop, order_id) as client:
            assert client.told == []
            await back()
            assert await client.to_the_end() == BOUGHT


async def test_the_broker_has_lost_its_store(shaken_shop: Shop) -> None:
    """Its sequences begin again; what the services say again is not told again."""
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment") as payment_back:
        others = [await shop.place(body) for _ in range(5)]
        order_id = await shop.place(body)
        await shop.wait_for_events(order_id, "StockDecremented")
        async with following(shop, order_id) as client:
            await client.until("StockDecremented")
            async with without(shop, "nats"):
                shutil.rmtree(Path(shop.environment["STATE_DIR"]) / "nats")
            await payment_back()
            assert sorted(await client.to_the_end()) == sorted(BOUGHT)
        for each in others:
            assert sorted(told.event for told in await followed(shop, each)) == sorted(BOUGHT)


async def test_a_service_that_stops_ends_its_streams(shaken_shop: Shop) -> None:
    """At once, instead of waiting for them; the client goes on when it is back."""
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment") as back:
        order_id = await shop.place(body)
        async with following(shop, order_id) as client:
            await client.until("StockDecremented")
            started = time.monotonic()
            async with without(shop, "order"):
                assert await client.to_the_end() == BOUGHT[:3]
                assert time.monotonic() - started < GRACE_SECONDS
        await shop.wait_until_ready("order")
        async with following(shop, order_id, client.told[-1].id) as again:
            await back()
            assert await again.to_the_end() == BOUGHT[3:]


# ---------------------------------------------------------------- many


async def test_who_goes_away_leaves_nothing_behind(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    before = await subscriptions(shop)

    async def nobody_is_left() -> bool:
        return (await listeners(shop), await subscriptions(shop)) == (0, before)

    await wait_until(nobody_is_left, "those of other tests are gone")
    async with without(shop, "payment"):
        order_id = await shop.place(body)
        await shop.wait_for_events(order_id, "StockDecremented")

        async def come_and_go() -> None:
            async with following(shop, order_id) as client:
                await client.until("StockDecremented")
                await everybody_is_here.wait()

        everybody_is_here = asyncio.Barrier(31)
        async with asyncio.TaskGroup() as clients:
            for _ in range(30):
                clients.create_task(come_and_go())

            async def all_are_counted() -> bool:
                return (await listeners(shop), await subscriptions(shop)) == (30, before + 30)

            await wait_until(all_are_counted, "30 are listening")
            await everybody_is_here.wait()
        await wait_until(nobody_is_left, "all are gone")


async def test_an_instance_takes_so_many_listeners(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    settings = {**shop.environment, "MOST_LISTENERS": "2"}
    async with (
        without(shop, "payment") as back,
        second_instances(settings, ["order"]) as addresses,
        open_shop(addresses) as twin,
    ):
        order_id = await twin.place(body)
        async with following(twin, order_id) as first:
            async with following(twin, order_id) as second:
                await second.until("StockDecremented")
                path = f"/api/v1/orders/{order_id}/events"
                third = await twin.call("order", "GET", path)
                assert (third.status, third.body["error"]) == (503, "RETRY_LATER")
                assert int(third.headers["Retry-After"]) >= 1

            async def one_is_left() -> bool:
                return await listeners(twin) == 1

            await wait_until(one_is_left, "the second is gone")
            async with following(twin, order_id) as another:
                await another.until("StockDecremented")
                await back()
                assert await another.to_the_end() == BOUGHT
            assert await first.to_the_end() == BOUGHT


async def test_a_long_stream_is_no_slow_request(shaken_shop: Shop) -> None:
    shop = shaken_shop
    body = await basket(shop)
    async with without(shop, "payment"):
        order_id = await shop.place(body)
        async with following(shop, order_id) as client:
            await client.until("StockDecremented")
            opened = time.monotonic()

            async def a_while() -> bool:
                return time.monotonic() - opened > 3

            await wait_until(a_while, "it is long")
            before = await seconds(shop)

    async def counted() -> bool:
        return (await seconds(shop))[0] > before[0]

    await wait_until(counted, "the stream is counted")
    count, total = await seconds(shop)
    assert total - before[1] < 3 * (count - before[0])


async def seconds(shop: Shop) -> tuple[float, float]:
    """How many requests for live events there were, and how long they took together."""
    metrics: str = await shop.get("order", "/metrics")
    of_route = [line for line in metrics.splitlines() if "/orders/{orderId}/events" in line]
    found = [
        sum(float(line.rpartition(" ")[2]) for line in of_route if line.startswith(name))
        for name in ("http_request_seconds_count", "http_request_seconds_sum")
    ]
    return found[0], found[1]
