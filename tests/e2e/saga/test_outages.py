"""Parts of the stack fail while orders are pending: all orders end, and nothing is lost."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from infra.stack import pids
from tests.e2e.saga.broker_stream import database_file
from tests.e2e.saga.order_load import start_load
from tests.kit.client import SERVICES, Json, Response, Shop, order

MAX_POST_SECONDS = 1.0  # far above the latency of a POST, far below any time-out behind it


@pytest.fixture
def shop(breakable_shop: Shop) -> Shop:
    """A stack whose parts a test may stop and kill."""
    return breakable_shop


async def command(shop: Shop, *words: str) -> None:
    """Run a command of the stack, while the test's own requests continue."""
    await asyncio.to_thread(shop.command, *words)


async def test_orders_are_accepted_while_the_broker_is_stopped(shop: Shop) -> None:
    orders = await start_load(shop)
    before = await shop.buy(order(orders.rich, (orders.product, 1)))
    orders.accepted["ffff"] = before["orderId"]
    await shop.wait_until_idle()
    await command(shop, "stop", "nats")

    seconds: list[float] = []
    for _ in range(30):
        started = time.perf_counter()
        await orders.place(1)
        seconds.append(time.perf_counter() - started)
    assert max(seconds) < MAX_POST_SECONDS

    for service in SERVICES:
        answer = await shop.call(service, "GET", "/health/ready")
        assert (answer.status, answer.body["status"]) == (200, "ready"), answer
        assert answer.body["checks"]["broker"]["ok"] is False
        assert answer.body["checks"]["broker"]["required"] is False
        assert answer.body["checks"]["database"]["ok"] is True
        assert (await shop.call(service, "GET", "/health/live")).status == 200
    waiting = [
        await shop.get("order", f"/api/v1/orders/{each}") for each in orders.accepted.values()
    ]
    assert Counter(each["status"] for each in waiting) == {"COMPLETED": 1, "PENDING": 30}
    assert (await shop.get("order", "/api/v1/ops/outbox"))["total"] == 30
    assert await shop.stock(orders.product) == (9_999, 0)
    assert await shop.balance(orders.rich) == 9_999_900
    trace = await shop.call("order", "GET", f"/api/v1/orders/{before['orderId']}/trace")
    assert (trace.status, trace.body["error"]) == (503, "RETRY_LATER")
    key = "fff"
    waited = await shop.call(
        "order",
        "POST",
        "/api/v1/orders",
        order(orders.rich, (orders.product, 1)),
        idempotency_key=key,
        prefer="wait=1",
    )
    assert waited.status == 202, waited
    orders.accepted[key] = waited.body["orderId"]

    await command(shop, "start", "nats")
    await orders.assert_all_ended()
    await shop.wait_until_ready()


@pytest.mark.parametrize("service", ["coupon", "product", "payment"])
async def test_orders_wait_for_a_stopped_service(shop: Shop, service: str) -> None:
    """Without the order service, no order is accepted."""
    orders = await start_load(shop)
    await shop.wait_until_idle()
    await command(shop, "stop", service)
    await orders.place(20)
    path = f"/api/v1/orders?customerId={orders.rich}&size=100"
    found = (await shop.get("order", path))["items"]
    assert found
    assert {each["status"] for each in found} == {"PENDING"}

    await command(shop, "start", service)
    await orders.assert_all_ended()


async def test_orders_end_although_each_service_is_killed(shop: Shop) -> None:
    orders = await start_load(shop)

    async with orders.keep_placing():
        for service in SERVICES:
            await orders.wait_for_more(30)
            await command(shop, "kill", service)
        await orders.wait_for_more(30)
    await shop.wait_until_ready()

    await orders.assert_all_ended(timeout_seconds=60)


async def test_orders_end_although_the_broker_is_killed(shop: Shop) -> None:
    orders = await start_load(shop)

    async with orders.keep_placing():
        for _ in range(2):
            await orders.wait_for_more(30)
            await command(shop, "kill", "nats")
        await orders.wait_for_more(30)
    await shop.wait_until_ready()

    await orders.assert_all_ended(timeout_seconds=60)


async def test_log_folder_is_created_again_when_it_is_deleted(shop: Shop) -> None:
    """Running parts log into it again, and a part that ends is started again."""
    logs = Path(shop.environment["STATE_DIR"]) / "logs"
    shutil.rmtree(logs)
    orders = await start_load(shop)
    await command(shop, "kill", "coupon")
    await orders.place(5)
    await orders.assert_all_ended(timeout_seconds=60)
    assert "emitted" in (logs / "order.log").read_text()
    assert "connected to the broker" in (logs / "coupon.log").read_text()


@contextmanager
def hanging(shop: Shop, part: str) -> Iterator[None]:
    """The part answers nothing, but its connections stay open."""
    pid = pids.alive(Path(shop.environment["STATE_DIR"]), part)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_orders_are_accepted_while_the_broker_hangs(shop: Shop) -> None:
    orders = await start_load(shop)
    body = order(orders.rich, (orders.product, 1))
    with hanging(shop, "nats"):
        for headers in ({}, {"prefer": "wait=1"}):
            started = time.perf_counter()
            answer = await shop.call("order", "POST", "/api/v1/orders", body, **headers)
            assert answer.status == 202, answer
            assert time.perf_counter() - started < 1 + MAX_POST_SECONDS
            orders.accepted[f"f{uuid4()}"] = answer.body["orderId"]

    await orders.assert_all_ended()
    await shop.wait_until_ready()


async def test_commands_on_locked_databases_answer_503_and_orders_end_later(shop: Shop) -> None:
    """Another process has the lock, such as a backup by hand."""
    orders = await start_load(shop)
    product, customer = orders.product, orders.rich
    coupon = {"name": "x", "discountType": "FIXED", "discountValue": 1, "quantity": 1}
    body = order(customer, (product, 1))
    requests: list[tuple[str, str, str, Json]] = [
        ("order", "POST", "/api/v1/orders", body),
        ("product", "PATCH", f"/api/v1/products/{product}/stock", {"delta": 5}),
        ("coupon", "POST", "/api/v1/coupons", coupon),
        ("payment", "POST", f"/api/v1/wallets/{customer}/charge", {"amount": 7}),
    ]
    keys = [f"f{uuid4()}" for _ in requests]

    async def send_all() -> list[Response]:
        return await asyncio.gather(
            *(
                shop.call(*each, idempotency_key=key)
                for each, key in zip(requests, keys, strict=True)
            )
        )

    with ExitStack() as locks:
        for service in ("product", "coupon", "payment"):
            locks.enter_context(locked(shop, service))
        await orders.place(20)
        locks.enter_context(locked(shop, "order"))
        for answer in await send_all():
            assert (answer.status, answer.body["error"]) == (503, "RETRY_LATER"), answer
            assert int(answer.headers["Retry-After"]) >= 1
        assert await shop.balance(customer) == 10_000_000
        assert await shop.stock(product) == (10_000, 0)

    again = await send_all()
    assert [answer.status for answer in again] == [202, 200, 201, 200]
    orders.accepted[keys[0]] = again[0].body["orderId"]
    orders.charged += 7
    orders.stocked += 5
    await orders.assert_all_ended()


@contextmanager
def locked(shop: Shop, service: str) -> Iterator[None]:
    """Hold the write lock of a service's database."""
    file = database_file(shop, service)
    with closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
