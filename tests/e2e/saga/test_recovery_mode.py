"""A service whose database was restored adopts what it had published, and decides nothing twice.

After the backup each test makes orders that the restored rows alone would decide otherwise: from
money, stock and coupons that came by HTTP after it, and are in no event.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest

from ops.audit import Discrepancy
from ops.audit.delivery import PUBLISHED
from tests.e2e.audit_fixtures import database_file, found_wrong, settled
from tests.kit.client import Json, Shop, open_shop, order, running_stack, wait_until
from tests.kit.waitlist import wait_until_finished


@pytest.fixture(scope="module")
def recovery_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("recovery")) as environment:
        yield environment


@pytest.fixture
async def shop(recovery_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack whose databases are restored. Its audit is clean before and after a test."""
    async with open_shop(recovery_stack) as shop:
        await shop.wait_until_ready()
        yield shop


async def report(shop: Shop, service: str) -> Json:
    found: Json = await shop.get(service, "/api/v1/ops/recovery")
    return found


async def book(shop: Shop, service: str, **body: object) -> Json:
    """What an operator does before the release."""
    path, key = "/api/v1/ops/recovery/bookings", str(uuid4())
    answers = [await shop.call(service, "POST", path, body, idempotency_key=key) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200], answers
    assert answers[0].body == answers[1].body, "the same key books once"
    booked: Json = answers[0].body
    return booked


@asynccontextmanager
async def restored(
    shop: Shop, service: str, backup: Path, *, until_sent: bool = False
) -> AsyncIterator[list[Json]]:
    """From a backup of this service's database to its release. Yields what recovery found.

    The block after `yield` is for the operator's bookings. `until_sent`: it makes external calls
    again after the release, so only then everything adds up.
    """
    await asyncio.to_thread(shop.command, "stop", service)
    database = database_file(shop.environment, service)
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    shutil.copy2(backup, database)
    await asyncio.to_thread(shop.command, "quarantine", service)

    async def has_caught_up() -> bool:
        return bool((await report(shop, service))["undelivered"] == 0)

    await wait_until(has_caught_up, f"{service} has handled all events again")
    found = await report(shop, service)
    assert found["active"]
    assert {each["kind"] for each in found["findings"]} <= {"SHORT"}
    assert found["unpublished"] == 0, "all that it decides is published already"
    yield found["findings"]
    # What a booking emitted is published after the release.
    if not until_sent:
        assert [each for each in await discrepancies(shop) if each.check != PUBLISHED] == []
    await asyncio.to_thread(shop.command, "release", service)
    await shop.wait_until_ready()
    assert (await report(shop, service))["releasedAt"] is not None
    assert await found_wrong(shop) == []


async def discrepancies(shop: Shop) -> list[Discrepancy]:
    return await asyncio.to_thread(settled, shop.environment)


async def backed_up(shop: Shop, service: str, folder: Path) -> Path:
    """A backup of a service's database, made while it runs."""
    await shop.wait_until_idle()
    backup = folder / "backup.db"
    database = database_file(shop.environment, service)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    return backup


async def statuses(shop: Shop, *orders: str) -> list[str]:
    return [(await shop.get("order", f"/api/v1/orders/{each}"))["status"] for each in orders]


async def charge(shop: Shop, customer: str, amount: int) -> str:
    """Bring money in. Returns the gateway's key for it."""
    path = f"/api/v1/wallets/{customer}/charge"
    assert (await shop.call("payment", "POST", path, {"amount": amount})).status == 200
    postings: list[Json] = []
    while page := (await shop.get("gateway", f"/v1/statement?after={len(postings)}"))["items"]:
        postings += page
    key: str = postings[-1]["key"]
    return key


async def test_restored_payment_service_keeps_what_it_was_paid(shop: Shop, tmp_path: Path) -> None:
    product, customer = await shop.create_product(1_000, 50), await shop.create_wallet(2_000)
    before = (await shop.buy(order(customer, (product, 1))))["orderId"]
    backup = await backed_up(shop, "payment", tmp_path)
    top_up = await charge(shop, customer, 5_000)
    newcomer = await shop.create_wallet(0)
    newcomers_top_up = await charge(shop, newcomer, 1_000)
    orders = [
        (await shop.buy(each))["orderId"]
        for each in (
            order(customer, (product, 4)),
            order(newcomer, (product, 1)),
            order(customer, (product, 9)),
            order(customer, (product, 1), paymentMethod="CARD"),
            order(customer, (product, 1)),
        )
    ]
    assert (await shop.cancel(orders[-1])).status == 200
    await shop.wait_until_idle()
    ended = ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED", "CANCELLED"]
    assert await statuses(shop, *orders) == ended

    async with restored(shop, "payment", backup) as findings:
        assert {each["what"] for each in findings} >= {
            f"the wallet of customer {customer} is short by 3000 KRW or more",
            f"the wallet of customer {newcomer} is short by 1000 KRW or more",
        }
        assert await shop.balance(customer) == 1_000 - 4_000
        named = {found.check for found in await discrepancies(shop)}
        assert "wallets: never below zero" in named
        path = f"/api/v1/wallets/{customer}/charge"
        refused = await shop.call("payment", "POST", path, {"amount": 1})
        assert (refused.status, refused.body["error"]) == (503, "RETRY_LATER")
        await book(shop, "payment", customerId=customer, amount=5_000, topUpId=top_up)
        await book(shop, "payment", customerId=newcomer, amount=1_000, topUpId=newcomers_top_up)

    assert await shop.balance(customer) == 2_000
    assert await statuses(shop, before, *orders) == ["COMPLETED", *ended]
    assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"


async def test_restored_product_service_keeps_what_it_sold(shop: Shop, tmp_path: Path) -> None:
    product, customer = await shop.create_product(1_000, 2), await shop.create_wallet(90_000)
    backup = await backed_up(shop, "product", tmp_path)
    waiting = await shop.place(order(customer, (product, 3), onShortage="WAIT"))
    await shop.wait_for_events(waiting, "StockWaitlisted")
    await shop.add_stock(product, 10)
    assert (await wait_until_finished(shop, waiting))["status"] == "COMPLETED"
    new = await shop.create_product(500, 5, "Pie")
    orders = [
        (await shop.buy(each))["orderId"]
        for each in (
            order(customer, (product, 6), (new, 1)),
            order(customer, (product, 99)),
            order(customer, (product, 1)),
        )
    ]
    assert (await shop.cancel(orders[-1])).status == 200
    await shop.wait_until_idle()
    ended = ["COMPLETED", "FAILED", "CANCELLED"]
    assert await statuses(shop, *orders) == ended

    async with restored(shop, "product", backup) as findings:
        assert any(f"product {new} is not in the backup" in each["what"] for each in findings)
        assert await shop.stock(product) == (2 - 3 - 6, 0)
        await book(shop, "product", productId=product, delta=10)
        await book(shop, "product", productId=new, delta=5)

    assert await shop.stock(product) == (3, 0)
    assert await shop.stock(new) == (4, 0)
    assert await statuses(shop, waiting, *orders) == ["COMPLETED", *ended]
    assert (await shop.buy(order(customer, (product, 3))))["status"] == "COMPLETED"


async def test_restored_coupon_service_keeps_what_was_used(shop: Shop, tmp_path: Path) -> None:
    product, customer = await shop.create_product(1_000, 50), await shop.create_wallet(90_000)
    old, returned = await shop.create_coupon(customer), await shop.create_coupon(customer)
    backup = await backed_up(shop, "coupon", tmp_path)
    new = await shop.create_coupon(customer, discountValue=300)
    orders = [
        (await shop.buy(order(customer, (product, 2), couponId=each)))["orderId"]
        for each in (old, new, returned, new)
    ]
    assert (await shop.cancel(orders[2])).status == 200
    await shop.wait_until_idle()
    ended = ["COMPLETED", "COMPLETED", "CANCELLED", "FAILED"]
    assert await statuses(shop, *orders) == ended
    issued = await shop.get("coupon", f"/api/v1/issued-coupons/{new}")

    async with restored(shop, "coupon", backup) as findings:
        assert [each["what"] for each in findings] == [
            f"coupon {new} of customer {customer} is not in the backup"
        ]
        definition = {"name": "new", "discountType": "FIXED", "discountValue": 300, "quantity": 9}
        booking = {"issuedCouponId": new, "couponId": issued["couponId"], "customerId": customer}
        unknown = await shop.call("coupon", "POST", "/api/v1/ops/recovery/bookings", booking)
        assert (unknown.status, unknown.body["error"]) == (404, "COUPON_NOT_FOUND")
        await book(shop, "coupon", definition=definition, **booking)

    assert await shop.coupon_status(old) == ("USED", orders[0])
    assert await shop.coupon_status(new) == ("USED", orders[1])
    assert await shop.coupon_status(returned) == ("ISSUED", None)
    assert await statuses(shop, *orders) == ended


async def test_booking_outside_of_recovery_mode_is_refused(shop: Shop) -> None:
    body = {"customerId": str(uuid4()), "amount": 1}
    path = "/api/v1/ops/recovery/bookings"
    answer = await shop.call("payment", "POST", path, body, idempotency_key=str(uuid4()))
    assert (answer.status, answer.body["error"]) == (409, "NOT_IN_RECOVERY_MODE")


async def test_restored_order_service_knows_its_orders(shop: Shop, tmp_path: Path) -> None:
    product, customer = await shop.create_product(1_000, 5), await shop.create_wallet(90_000)
    pending_before = (await shop.buy(order(customer, (product, 1))))["orderId"]
    backup = await backed_up(shop, "order", tmp_path)
    bodies = [order(customer, (product, quantity)) for quantity in (1, 99, 1)]
    orders = [(await shop.buy(body))["orderId"] for body in bodies]
    for each in (pending_before, orders[-1]):
        assert (await shop.cancel(each)).status == 200
    await shop.wait_until_idle()
    ended = ["CANCELLED", "COMPLETED", "FAILED", "CANCELLED"]
    assert await statuses(shop, pending_before, *orders) == ended
    shown = [await shop.get("order", f"/api/v1/orders/{each}") for each in orders]

    async with restored(shop, "order", backup) as findings:
        assert findings == []

    assert await statuses(shop, pending_before, *orders) == ended
    again = [await shop.get("order", f"/api/v1/orders/{each}") for each in orders]
    times = {"createdAt", "updatedAt"}
    assert [{k: v for k, v in each.items() if k not in times} for each in again] == [
        {k: v for k, v in each.items() if k not in times} for each in shown
    ]


async def test_restored_data_platform_service_sends_each_order_again(
    shop: Shop, tmp_path: Path
) -> None:
    """It emits nothing, so it adopts nothing. The platform knows a delivery by its id."""
    product, customer = await shop.create_product(1_000, 5), await shop.create_wallet(90_000)
    backup = await backed_up(shop, "dataplatform", tmp_path)
    for _ in range(3):
        await shop.buy(order(customer, (product, 1)))
    await shop.wait_until_idle()

    async with restored(shop, "dataplatform", backup, until_sent=True) as findings:
        assert findings == []
