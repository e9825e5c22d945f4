"""An order's live events: all of them, once, in order, up to its end."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.run import GRACE_SECONDS
from tests.e2e.saga.broker_stream import publish, republish, written_by_hand
from tests.e2e.saga.event_chains import CANCELLED, COMPLETED
from tests.e2e.saga.listeners import listeners, subscriptions
from tests.e2e.saga.test_card_payments import gateway
from tests.kit.client import COFFEE, SERVICES, Json, Shop, open_shop, order, wait_until
from tests.kit.order_events import events_to_end, follow_order
from tests.kit.service_instances import second_instances

PROMPT_SECONDS = 8
"""Less than the interval of heartbeats, at which a listener reads the stream without a message."""

Start = Callable[[], Awaitable[None]]


@pytest.fixture
def shop(breakable_shop: Shop) -> Shop:
    """A stack whose parts a test may stop and kill."""
    return breakable_shop


@asynccontextmanager
async def stopped(shop: Shop, part: str) -> AsyncIterator[Start]:
    """The part is stopped, until it is started inside or the block ends."""
    await asyncio.to_thread(shop.command, "stop", part)
    is_started = False

    async def start() -> None:
        nonlocal is_started
        is_started = True
        await asyncio.to_thread(shop.command, "start", part)

    try:
        yield start
    finally:
        if not is_started:
            await start()


@asynccontextmanager
async def unpaid_order(shop: Shop) -> AsyncIterator[tuple[str, Start]]:
    """An order up to its StockDecremented, while payment is stopped. Payment can be started."""
    async with unpaid_orders(shop, 1) as ([order_id], start_payment):
        yield order_id, start_payment


@asynccontextmanager
async def unpaid_orders(shop: Shop, count: int) -> AsyncIterator[tuple[list[str], Start]]:
    bodies = [await order_body(shop) for _ in range(count)]
    async with stopped(shop, "payment") as start_payment:
        order_ids = [await shop.place(body) for body in bodies]
        for order_id in order_ids:
            await shop.wait_for_events(order_id, "StockDecremented")
        yield order_ids, start_payment


async def order_body(shop: Shop, balance: int = 1_000, **more: str) -> Json:
    """An order of one unit at 100 KRW, to be placed."""
    customer, product = await shop.create_wallet(balance), await shop.create_product(100, 500)
    return order(customer, (product, 1), **more)


async def completed_order(shop: Shop, method: str = "WALLET") -> str:
    order_id = await shop.place(await order_body(shop, paymentMethod=method))
    await shop.wait_for_events(order_id, "OrderCompleted")
    return order_id


async def refusal(shop: Shop, order_id: str, **headers: str) -> tuple[int, str]:
    answer = await shop.call("order", "GET", f"/api/v1/orders/{order_id}/events", **headers)
    return answer.status, answer.body and answer.body["error"]


# ---------------------------------------------------------------- which events


async def steps_of(shop: Shop, order_id: str) -> list[Json]:
    """The order's trace, without how often each event was published."""
    trace = await shop.trace(order_id)
    return [{name: each[name] for name in each.keys() - {"times"}} for each in trace]


async def test_client_receives_past_events_and_then_new_ones_up_to_the_end(shop: Shop) -> None:
    async with (
        unpaid_order(shop) as (order_id, start_payment),
        follow_order(shop, order_id) as client,
    ):
        await client.wait_for("StockDecremented")
        await start_payment()
        await client.wait_for("PaymentCompleted")
        latency = datetime.now(UTC) - datetime.fromisoformat(client.received[-1].data["time"])
        assert latency < timedelta(seconds=PROMPT_SECONDS)
        assert await client.read_to_end() == COMPLETED
    assert [each.data for each in client.received] == await steps_of(shop, order_id)
    assert all(
        (each.id, each.name) == (each.data["id"], each.data["name"]) for each in client.received
    )


async def test_client_of_a_failed_order_receives_its_compensations(shop: Shop) -> None:
    order_id = await shop.place(await order_body(shop, balance=0))
    names = [each.name for each in await events_to_end(shop, order_id)]
    assert names[:3] == COMPLETED[:3]
    assert "PaymentFailed" in names
    assert "OrderFailed" in names
    # A second request also returns compensations after the end.
    await shop.wait_for_events(order_id, "OrderFailed", "StockRestored", "CouponRestored")
    all_events = await events_to_end(shop, order_id)
    assert [each.data for each in all_events] == await steps_of(shop, order_id)
    [failed] = [each for each in all_events if each.name == "OrderFailed"]
    rest = all_events[all_events.index(failed) + 1 :]
    if rest:
        assert await events_to_end(shop, order_id, failed.id) == rest


async def test_client_of_a_cancelled_order_receives_events_up_to_order_cancelled(
    shop: Shop,
) -> None:
    """OrderCompleted is not the last event once a cancel was requested."""
    order_id = await completed_order(shop)
    async with stopped(shop, "product") as start_product:
        assert (await shop.cancel(order_id)).status == 202
        async with follow_order(shop, order_id) as client:
            await client.wait_for("PaymentRefunded")
            await start_product()
            assert await client.read_to_end() == [*COMPLETED, *CANCELLED]


async def test_refused_cancel_ends_the_live_events(shop: Shop) -> None:
    """The order is COMPLETED again, without another event of the order service."""
    order_id = await completed_order(shop, "CARD")
    async with stopped(shop, "payment") as start_payment, gateway(shop, "refund", "REFUSE"):
        await shop.cancel(order_id)
        async with follow_order(shop, order_id) as client:
            await client.wait_for("OrderCancelRequested")
            await start_payment()
            assert await client.read_to_end() == [
                *COMPLETED,
                "OrderCancelRequested",
                "PaymentRefundFailed",
            ]


async def test_malformed_messages_are_not_sent_to_clients(forged_shop: Shop) -> None:
    shop = forged_shop
    order_id = await completed_order(shop)
    forged = {"ce-id": "x\r\n data: forged", "ce-type": "PaymentFailed"}
    async with shop.nats() as client:
        await publish(client, f"saga.{order_id}.PaymentFailed", b"no JSON", forged)
        await publish(client, f"saga.{order_id}.Nonsense", {"orderId": order_id})
        await publish(client, f"saga.{order_id}.PaymentFailed", {"orderId": str(uuid4())})
    assert [each.name for each in await events_to_end(shop, order_id)] == COMPLETED


# ---------------------------------------------------------------- Last-Event-ID


async def test_last_event_id_continues_after_that_event(shop: Shop) -> None:
    order_id = await completed_order(shop)
    all_events = await events_to_end(shop, order_id)
    assert [each.name for each in all_events] == COMPLETED
    for count, last in enumerate(all_events[:-1], 1):
        assert await events_to_end(shop, order_id, last.id) == all_events[count:]
    assert await events_to_end(shop, order_id, str(uuid4())) == all_events
    assert await refusal(shop, order_id, last_event_id=all_events[-1].id) == (204, "")


async def test_last_event_id_continues_while_the_order_is_pending(shop: Shop) -> None:
    async with unpaid_order(shop) as (order_id, start_payment):
        async with follow_order(shop, order_id) as client:
            await client.wait_for("CouponUsed")
        async with follow_order(shop, order_id, client.received[-1].id) as again:
            await again.wait_for("StockDecremented")
            await start_payment()
            assert await again.read_to_end() == COMPLETED[2:]


@pytest.mark.parametrize("bad", ["x", "null", "1", "0" * 40, "é", f"{COFFEE}0"])
async def test_invalid_last_event_id_is_refused(shop: Shop, bad: str) -> None:
    order_id = await completed_order(shop)
    assert await refusal(shop, order_id, last_event_id=bad) == (400, "VALIDATION_ERROR")


async def test_order_without_events_in_the_stream_answers_204(forged_shop: Shop) -> None:
    shop = forged_shop
    order_id = await completed_order(shop)
    await shop.wait_until_idle()
    for service in SERVICES:  # as after the retention time, or they are published again
        with written_by_hand(shop, service) as database:
            database.execute("DELETE FROM outbox WHERE key = ?", (order_id,))
    async with shop.nats() as client:
        await client.jetstream().purge_stream("SAGA", subject=f"saga.{order_id}.*")
    with written_by_hand(shop, "order") as database:
        database.execute(
            "UPDATE orders SET updated_at = '2020-01-01 00:00:00.000000' WHERE order_id = ?",
            (order_id,),
        )
    assert await refusal(shop, order_id) == (204, "")


# ---------------------------------------------------------------- faults while a client follows


async def republish_events(shop: Shop, order_id: str) -> None:
    await republish(shop, order_id)


async def kill_broker(shop: Shop, order_id: str) -> None:
    await asyncio.to_thread(shop.command, "kill", "nats")


async def lose_broker_store(shop: Shop, order_id: str) -> None:
    """The stream's sequences begin again, and the services publish its events again."""
    async with stopped(shop, "nats"):
        shutil.rmtree(Path(shop.environment["STATE_DIR"]) / "nats")


@pytest.mark.parametrize(
    ("fault", "arrange"),
    [(republish_events, list), (kill_broker, list), (lose_broker_store, sorted)],
    ids=lambda value: value.__name__,
)
async def test_client_receives_each_event_once_despite_a_fault(
    shop: Shop,
    fault: Callable[[Shop, str], Awaitable[None]],
    arrange: Callable[[Iterable[str]], list[str]],
) -> None:
    async with unpaid_orders(shop, 6) as ([order_id, *others], start_payment):
        if fault is republish_events:  # also before the client connects
            assert await republish(shop, order_id) == 3
        async with follow_order(shop, order_id) as client:
            await client.wait_for("StockDecremented")
            await fault(shop, order_id)
            await start_payment()
            assert arrange(await client.read_to_end()) == arrange(COMPLETED)
        for each in others:
            names = [event.name for event in await events_to_end(shop, each)]
            assert arrange(names) == arrange(COMPLETED)


async def test_client_that_connects_without_a_broker_receives_all_events(shop: Shop) -> None:
    body = await order_body(shop)
    async with stopped(shop, "nats") as start_broker:
        order_id = await shop.place(body)
        async with follow_order(shop, order_id) as client:
            assert client.received == []
            await start_broker()
            assert await client.read_to_end() == COMPLETED


async def test_two_instances_send_the_same_events(shop: Shop) -> None:
    async with (
        second_instances(shop.environment, ["order"]) as addresses,
        open_shop(addresses) as twin,
        unpaid_order(shop) as (order_id, start_payment),
        follow_order(shop, order_id) as here,
        follow_order(twin, order_id) as there,
    ):
        await here.wait_for("StockDecremented")
        await there.wait_for("StockDecremented")
        await start_payment()
        assert await here.read_to_end() == await there.read_to_end() == COMPLETED
    assert here.received == there.received


async def test_stopping_service_ends_its_responses_and_clients_continue_later(shop: Shop) -> None:
    async with unpaid_order(shop) as (order_id, start_payment):
        async with follow_order(shop, order_id) as client:
            await client.wait_for("StockDecremented")
            stopping_at = time.monotonic()
            async with stopped(shop, "order"):
                assert await client.read_to_end() == COMPLETED[:3]
                assert time.monotonic() - stopping_at < GRACE_SECONDS
        await shop.wait_until_ready("order")
        async with follow_order(shop, order_id, client.received[-1].id) as again:
            await start_payment()
            assert await again.read_to_end() == COMPLETED[3:]


# ---------------------------------------------------------------- many clients


async def test_disconnected_clients_leave_no_listener_and_no_subscription(shop: Shop) -> None:
    before = await subscriptions(shop)

    async def none_is_left() -> bool:
        return (await listeners(shop), await subscriptions(shop)) == (0, before)

    await wait_until(none_is_left, "listeners of other tests have ended")
    async with unpaid_order(shop) as (order_id, _):
        all_are_connected = asyncio.Barrier(31)

        async def connect() -> None:
            async with follow_order(shop, order_id) as client:
                await client.wait_for("StockDecremented")
                await all_are_connected.wait()

        async with asyncio.TaskGroup() as clients:
            for _ in range(30):
                clients.create_task(connect())

            async def all_are_counted() -> bool:
                return (await listeners(shop), await subscriptions(shop)) == (30, before + 30)

            await wait_until(all_are_counted, "30 listeners are counted")
            await all_are_connected.wait()
        await wait_until(none_is_left, "all listeners have ended")


async def test_instance_rejects_listeners_above_its_limit(shop: Shop) -> None:
    async with (
        second_instances(shop.environment, ["order"], MOST_LISTENERS="2") as addresses,
        open_shop(addresses) as twin,
        unpaid_order(shop) as (order_id, start_payment),
        follow_order(twin, order_id) as first,
    ):
        async with follow_order(twin, order_id) as second:
            await second.wait_for("StockDecremented")
            third = await twin.call("order", "GET", f"/api/v1/orders/{order_id}/events")
            assert (third.status, third.body["error"]) == (503, "RETRY_LATER")
            assert int(third.headers["Retry-After"]) >= 1

        async def one_is_left() -> bool:
            return await listeners(twin) == 1

        await wait_until(one_is_left, "the second listener has ended")
        async with follow_order(twin, order_id) as another:
            await another.wait_for("StockDecremented")
            await start_payment()
            assert await another.read_to_end() == COMPLETED
        assert await first.read_to_end() == COMPLETED


async def test_long_response_does_not_count_as_a_slow_request(shop: Shop) -> None:
    async with unpaid_order(shop) as (order_id, _), follow_order(shop, order_id) as client:
        await client.wait_for("StockDecremented")
        connected_at = time.monotonic()

        async def lasted_three_seconds() -> bool:
            return time.monotonic() - connected_at > 3

        await wait_until(lasted_three_seconds, "the response has lasted for three seconds")
        before = await request_seconds(shop)

    async def is_counted() -> bool:
        return (await request_seconds(shop))[0] > before[0]

    await wait_until(is_counted, "the request is counted")
    count, total = await request_seconds(shop)
    assert total - before[1] < 3 * (count - before[0])


async def request_seconds(shop: Shop) -> tuple[float, float]:
    """The number of requests for live events, and their duration in all."""
    metrics: str = await shop.get("order", "/metrics")
    of_route = [line for line in metrics.splitlines() if "/orders/{orderId}/events" in line]
    found = [
        sum(float(line.rpartition(" ")[2]) for line in of_route if line.startswith(name))
        for name in ("http_request_seconds_count", "http_request_seconds_sum")
    ]
    return found[0], found[1]
