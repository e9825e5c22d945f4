"""The same services on PostgreSQL, several instances of each, by configuration alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection

from chassis.processing import batch
from chassis.storage import tables
from chassis.storage.database import Database
from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import lose_message, wait_for_message
from tests.kit.client import SERVICES, Shop, open_shop, order, running_stack
from tests.kit.postgres import create_database, program, running_postgres
from tests.kit.service_instances import second_instances
from tests.kit.waitlist import assert_queue_is_served_in_order

pytestmark = pytest.mark.skipif(
    program("initdb") is None, reason="PostgreSQL is not installed (make postgres)"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def stack(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    folder: Path = tmp_path_factory.mktemp("postgres")
    databases = {
        f"{service.upper()}_DATABASE_URL": create_database(server, service + "_db")
        for service in SERVICES
    }
    times = {"ORDER_TIMEOUT_SECONDS": "15", "REPEAT_AFTER_SECONDS": "1"}
    with running_stack(folder / "stack", **databases, **times) as environment:
        yield environment


@pytest.fixture
async def shop(stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(stack) as shop:
        yield shop


async def test_first_batch_finds_its_rows_by_index(server: str) -> None:
    database = Database(create_database(server, "young"))
    await database.create(tables.metadata)

    def plan(connection: Connection) -> str:
        prepared = batch._in_inbox.prepare(connection.dialect)
        [values] = prepared.bind([{"event_ids": [str(n) for n in range(50)]}], {})
        return str(connection.exec_driver_sql(f"EXPLAIN {prepared.text}", tuple(values)).all())

    # PostgreSQL has not counted the rows yet, and keeps to the plan that it makes now.
    assert "Index Scan on inbox_pkey" in await database.run(plan)
    await database.close()


async def test_orders_end_as_on_sqlite(shop: Shop) -> None:
    cake, pie = (
        await shop.create_product(1_000, 5, "Cake"),
        await shop.create_product(500, 1, "Pie"),
    )
    customer = await shop.create_wallet(10_000)
    coupon = await shop.create_coupon(customer)

    completed = await shop.buy(order(customer, (cake, 2), (pie, 1), couponId=coupon))
    short = await shop.buy(order(customer, (cake, 1), (pie, 1)))
    poor = await shop.buy(order(await shop.create_wallet(1), (cake, 1)))

    assert (completed["status"], completed["payableAmount"]) == ("COMPLETED", 1_500)
    assert (short["status"], short["failReason"]) == ("FAILED", "INSUFFICIENT_STOCK")
    assert (poor["status"], poor["failReason"]) == ("FAILED", "INSUFFICIENT_BALANCE")
    await shop.wait_until_idle()
    assert await shop.stock(cake) == (3, 0)
    assert await shop.stock(pie) == (0, 0)
    assert await shop.balance(customer) == 8_500
    assert await shop.coupon_status(coupon) == ("USED", completed["orderId"])


async def test_many_orders_for_few_units_sell_each_unit_once(shop: Shop) -> None:
    cake = await shop.create_product(1_000, 50)
    customers = [await shop.create_wallet(2_500) for _ in range(20)]
    placed = await asyncio.gather(
        *(shop.place(order(customer, (cake, 1))) for customer in customers for _ in range(5))
    )
    ended = [await shop.wait_until_ended(order_id) for order_id in placed]
    reasons = Counter(each["failReason"] for each in ended)
    await shop.wait_until_idle()
    assert sum(reasons.values()) == 100
    sold = reasons[None]
    assert await shop.stock(cake) == (50 - sold, 0)
    assert 0 < sold <= 40  # each customer can pay for two
    spent = [2_500 - await shop.balance(customer) for customer in customers]
    assert sum(spent) == sold * 1_000


@pytest.mark.parametrize("method", ["WALLET", "CARD"])
async def test_cancel_gives_everything_back(shop: Shop, method: str) -> None:
    cake, customer = await shop.create_product(1_000, 5), await shop.create_wallet(3_000)
    coupon = await shop.create_coupon(customer)
    bought = await shop.buy(order(customer, (cake, 2), couponId=coupon, paymentMethod=method))
    path = f"/api/v1/orders/{bought['orderId']}/cancel"
    cancelled = await shop.call("order", "POST", path)
    assert (cancelled.status, cancelled.body["status"]) == (200, "CANCELLED")
    assert await shop.balance(customer) == 3_000
    assert await shop.stock(cake) == (5, 0)
    assert await shop.coupon_status(coupon) == ("ISSUED", None)


async def test_lost_event_is_retransmitted_and_late_order_times_out(shop: Shop) -> None:
    cake, customer = await shop.create_product(1_000, 5), await shop.create_wallet(3_000)
    await asyncio.to_thread(shop.command, "stop", "product")
    lost = await shop.place(order(customer, (cake, 1)))
    await wait_for_message(shop, lost, "CouponUsed")
    await lose_message(shop, "product", lost, "CouponUsed")
    await asyncio.to_thread(shop.command, "start", "product")
    assert (await shop.wait_until_ended(lost, 60))["status"] == "COMPLETED"

    await asyncio.to_thread(shop.command, "stop", "coupon")
    late = await shop.place(order(customer, (cake, 1)))
    assert (await shop.wait_until_ended(late, 60))["failReason"] == "ORDER_TIMED_OUT"
    await asyncio.to_thread(shop.command, "start", "coupon")
    await shop.wait_until_ready()
    await shop.wait_until_idle()
    assert await shop.stock(cake) == (4, 0)
    assert await shop.balance(customer) == 2_000


async def test_two_instances_change_the_same_carts(shop: Shop) -> None:
    """Both also add the first line, for which a row has to be inserted."""
    cake, pie = await shop.create_product(10, 500, "Cake"), await shop.create_product(5, 500, "Pie")
    customers = [await shop.create_wallet(10_000) for _ in range(10)]
    async with (
        second_instances(shop.environment, ["order"]) as addresses,
        open_shop(addresses) as two,
    ):

        async def add(at: int) -> int:
            path = f"/api/v1/carts/{customers[at % 10]}"
            body = {"productId": (cake, pie)[at % 3 == 0], "quantity": 1}
            return (
                await (shop, two)[at // 10 % 2].call("order", "POST", f"{path}/items", body)
            ).status

        assert Counter(await asyncio.gather(*map(add, range(600)))) == {200: 600}
        for customer in customers:
            shown = await two.get("order", f"/api/v1/carts/{customer}")
            assert {each["name"]: each["quantity"] for each in shown["items"]} == {
                "Cake": 40,
                "Pie": 20,
            }
            path = f"/api/v1/carts/{customer}/checkout"
            placed = await two.call("order", "POST", path, {"price": shown["totalAmount"]})
            assert (await shop.wait_until_ended(placed.body["orderId"]))["status"] == "COMPLETED"
            assert (await shop.get("order", f"/api/v1/carts/{customer}"))["items"] == []


async def test_cut_connections_are_replaced(shop: Shop) -> None:
    cake, customer = await shop.create_product(1_000, 5), await shop.create_wallet(10_000)
    await shop.wait_until_idle()
    url = shop.environment["ORDER_DATABASE_URL"].replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as operator:
        cut = await operator.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE usename = 'shop' AND pid <> pg_backend_pid()"
        )
        (connections,) = await cut.fetchone() or (0,)
        assert connections >= len(SERVICES)
    ended = await shop.buy(order(customer, (cake, 2)))
    assert ended["status"] == "COMPLETED"
    await shop.wait_until_idle()
    assert await shop.stock(cake) == (3, 0)


async def test_a_search_and_a_ledger_read_the_same(shop: Shop) -> None:
    cake = await shop.create_product(1_000, 5, "Cake 100%_sure")
    found = await shop.get("product", "/api/v1/products?query=100%25_SURE")
    assert [each["productId"] for each in found["items"]] == [cake]
    booked = await shop.call(
        "product",
        "PATCH",
        f"/api/v1/products/{cake}/stock",
        {"delta": -2, "reason": "broken"},
        idempotency_key="k",
    )
    assert booked.body == {"productId": cake, "stock": 3}
    history = await shop.get("product", f"/api/v1/products/{cake}/stock/history")
    assert [(row["delta"], row["balanceAfter"]) for row in history["items"]] == [(5, 5), (-2, 3)]
    assert history["items"][0]["createdAt"].endswith("Z")


async def test_orders_wait_for_stock_at_two_instances(shop: Shop) -> None:
    await assert_queue_is_served_in_order(shop)
    found = await found_wrong(shop)  # also of orders that other tests have lost in part
    assert [each for each in found if each.check.startswith(("queues", "stock"))] == []
