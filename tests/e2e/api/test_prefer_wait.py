"""`Prefer: wait=N`, also for an order whose saga stands still because a service is stopped."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.api.raw_http import Wire
from tests.kit.client import Shop, free_port, open_shop, order, wait_until
from tests.kit.service_instances import is_alive, start_second_instance

ORDERS = "/api/v1/orders"


@pytest.fixture
def stopped_coupon_service(breakable_shop: Shop) -> Iterator[None]:
    """Orders are accepted, and stay PENDING until `start coupon`."""
    breakable_shop.command("stop", "coupon")
    try:
        yield
    finally:
        breakable_shop.command("start", "coupon")


async def test_waiting_answers_200_when_the_order_completes(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    answer = await shop.call("order", "POST", ORDERS, body, prefer="wait=20")
    assert answer.status == 200
    assert answer.body["status"] == "COMPLETED"
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert answer.headers["Location"] == f"{ORDERS}/{answer.body['orderId']}"
    assert answer.body == await shop.get("order", answer.headers["Location"])


async def test_waiting_answers_200_when_the_order_fails(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=1)
    body = order(customer, (cake, 2))
    answer = await shop.call("order", "POST", ORDERS, body, prefer="wait=20")
    assert answer.status == 200
    assert (answer.body["status"], answer.body["failReason"]) == ("FAILED", "INSUFFICIENT_STOCK")
    assert answer.body == await shop.get("order", answer.headers["Location"])


@pytest.mark.parametrize(
    "preference",
    ["respond-async, wait=20", "wait=20, handling=lenient", "wait=99999", 'wait="20"', "Wait=20"],
)
async def test_preference_may_stand_in_a_list_in_any_case_or_quoted(
    shop: Shop, preference: str
) -> None:
    """As RFC 7240 defines it."""
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    answer = await shop.call("order", "POST", ORDERS, body, prefer=preference)
    assert (answer.status, answer.body["status"]) == (200, "COMPLETED")


@pytest.mark.parametrize(
    "preference",
    ["wait=0", "wait=-1", "wait=abc", "wait=", "wait", "nowait=20", "return=minimal", "", "=", "é"],
)
async def test_other_preference_is_ignored(wire: Wire, preference: str) -> None:
    shop = wire.shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    answer = await wire.send_json("order", "POST", ORDERS, body, prefer=preference)
    assert answer.status == 202
    assert set(answer.body) == {"orderId", "orderTrackingId", "status", "totalAmount"}
    assert "Preference-Applied" not in answer.headers
    assert (await shop.wait_until_ended(answer.body["orderId"]))["status"] == "COMPLETED"


async def test_instance_without_a_broker_reads_the_order_again_after_the_wait(shop: Shop) -> None:
    """Another instance publishes its events and stores the end of the order in the database."""
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    port, nowhere = free_port(), f"nats://127.0.0.1:{free_port()}"
    process = start_second_instance(shop.environment, "order", port, NATS_URL=nowhere)
    try:
        addresses = {**shop.environment, "ORDER_URL": f"http://127.0.0.1:{port}"}
        async with open_shop(addresses) as cut_off:
            await wait_until(partial(is_alive, cut_off, "order"), "the instance accepts orders", 60)
            body = order(customer, (cake, 1))
            answer = await cut_off.call("order", "POST", ORDERS, body, prefer="wait=15")
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
    assert (answer.status, answer.body["status"]) == (200, "COMPLETED")


async def test_invalid_order_is_refused_without_waiting(shop: Shop) -> None:
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    started = time.monotonic()
    body = order(customer, (cake, 1), price=29)
    answer = await shop.call("order", "POST", ORDERS, body, prefer="wait=20")
    assert answer.status == 400
    assert time.monotonic() - started < 10


async def test_repeated_request_with_a_key_gets_the_ended_order(shop: Shop) -> None:
    """The order is placed once; each answer has its end."""
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    body = order(customer, (cake, 1))
    first, again = [
        await shop.call("order", "POST", ORDERS, body, prefer="wait=20", idempotency_key="waiting")
        for _ in range(2)
    ]
    assert (first.status, again.status) == (200, 200)
    assert first.body == again.body
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    later = await shop.call("order", "POST", ORDERS, body, idempotency_key="waiting")
    assert (later.status, later.body["orderId"]) == (202, first.body["orderId"])
    assert await shop.stock(cake) == (9, 0)


async def test_order_completes_at_its_price_once_a_stopped_service_is_back(
    breakable_shop: Shop, stopped_coupon_service: None
) -> None:
    """The wait ends with 202, and later changes of the price do not apply to the order.

    A single test, because stopping a service takes longer than the rest.
    """
    shop = breakable_shop
    customer, cake = await shop.create_wallet(1000), await shop.create_product(price=30, stock=10)
    tart = await shop.create_product(price=7, stock=10, name="Tart")
    lone = await shop.place(order(customer, (tart, 1)))
    started = time.monotonic()
    body = order(customer, (cake, 2), price=60)
    answer = await shop.call("order", "POST", ORDERS, body, prefer="wait=1")
    assert time.monotonic() - started >= 1
    assert (answer.status, answer.body["status"]) == (202, "PENDING")
    assert set(answer.body) == {"orderId", "orderTrackingId", "status", "totalAmount"}
    order_id = answer.body["orderId"]

    unsettled = await shop.unsettled("order")
    assert {lone, order_id} <= {each["orderId"] for each in unsettled}
    pending = await shop.get("order", f"{ORDERS}?customerId={customer}&status=PENDING")
    assert [each["orderId"] for each in pending["items"]] == [order_id, lone]

    await shop.call("product", "PATCH", f"/api/v1/products/{cake}", {"price": 50})
    await shop.call("product", "DELETE", f"/api/v1/products/{tart}")

    async def both_known() -> bool:
        """Requests with a price that is wrong before and after, so that nothing is ordered."""
        dearer = await shop.call("order", "POST", ORDERS, order(customer, (cake, 1), price=1))
        gone = await shop.call("order", "POST", ORDERS, order(customer, (tart, 1), price=1))
        answers = (dearer.body["details"].get("price"), gone.body["error"])
        return answers == (50, "PRODUCT_DISCONTINUED")

    await wait_until(both_known, "the order service knows both changes")
    shop.command("start", "coupon")
    found = await shop.wait_until_ended(order_id)
    assert (found["status"], found["payableAmount"]) == ("COMPLETED", 60)
    assert found["items"] == [{"productId": cake, "quantity": 2, "price": 30}]
    # The product service decides: it does not sell a product that was discontinued meanwhile.
    left = await shop.wait_until_ended(lone)
    assert (left["status"], left["failReason"]) == ("FAILED", "PRODUCT_DISCONTINUED")
    assert await shop.balance(customer) == 940
