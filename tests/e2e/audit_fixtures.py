"""Orders of every kind on a new stack, and corruptions of what the services wrote about them."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ops.audit import Discrepancy, audit
from tests.kit.client import ROOT, SERVICES, Shop, open_shop, order, run_stack, wait_until

Names = dict[str, str]
"""The parameters of a corruption's SQL: ids of orders, products, customers and coupons by name."""


def make_orders(environment: Mapping[str, str]) -> Names:
    """Place one order of each kind, and wait until nothing is under way."""
    return asyncio.run(_make_orders(environment))


async def _make_orders(environment: Mapping[str, str]) -> Names:
    async with open_shop(environment) as shop:
        names = await _things(shop) | {"long_ago": "2020-01-01 00:00:00.000000"}
        names["erased"] = await _erased_user(shop)
        customer, product, coupon = names["customer"], names["product"], names["coupon"]
        bodies = {
            "paid": order(customer, (product, 2), (names["other"], 1), couponId=coupon),
            "plain": order(customer, (product, 3)),
            "free": order(customer, (product, 1), couponId=await shop.create_coupon(customer)),
            "short": order(customer, (product, 1), (names["other"], 99), couponId=names["spare"]),
            "poor": order(names["pauper"], (product, 1)),
            "refused": order(names["pauper"], (product, 1), couponId=coupon),
            "card": order(names["pauper"], (product, 1), paymentMethod="CARD"),
            "waiting": order(customer, (product, 1), (names["other"], 99), onShortage="WAIT"),
            "cancelled": order(customer, (product, 1), couponId=await shop.create_coupon(customer)),
            "refunded": order(names["pauper"], (product, 1), paymentMethod="CARD"),
        }
        for name, body in bodies.items():
            names[name] = (await shop.buy(body))["orderId"]
        for name in ("cancelled", "refunded"):
            path = f"/api/v1/orders/{names[name]}/cancel"
            assert (await shop.call("order", "POST", path)).status == 200
        await shop.call(
            "product",
            "PATCH",
            f"/api/v1/products/{product}/stock",
            {"delta": -1, "reason": "broken", "orderId": names["plain"]},
            idempotency_key="broken",
        )
        await shop.wait_until_idle()

        async def is_erased() -> bool:
            return not (await shop.get("user", "/api/v1/ops/owed"))["items"]

        await wait_until(is_erased, "the user is erased", timeout_seconds=60)
        return names


async def _erased_user(shop: Shop) -> str:
    account = {"email": "erased@shop.test", "password": "seven red umbrellas", "name": "Kim"}
    user_id: str = (await shop.send("user", "POST", "/api/v1/users", account))["userId"]
    await shop.send("user", "DELETE", f"/api/v1/users/{user_id}")
    return user_id


async def _things(shop: Shop) -> Names:
    customer = await shop.create_wallet(100_000)
    return {
        "customer": customer,
        "pauper": await shop.create_wallet(1),
        "product": await shop.create_product(1_000, 50),
        "other": await shop.create_product(5_000, 7, "Pie"),
        "coupon": await shop.create_coupon(customer, discountType="RATE", discountValue=10),
        "spare": await shop.create_coupon(customer),
    }


def stop_services(environment: Mapping[str, str]) -> None:
    """From here on the test is the only writer of the databases."""
    for service in SERVICES:
        run_stack(environment, "stop", service)


def settled(environment: Mapping[str, str]) -> list[Discrepancy]:
    """The audit of a stack on which everything has ended: nothing may be under way."""
    return audit(environment, quiet_seconds=0, limit_seconds=0)


async def found_wrong(shop: Shop) -> list[Discrepancy]:
    """The same for a test in an event loop, once nothing is under way."""
    await shop.wait_until_idle()
    return await asyncio.to_thread(settled, shop.environment)


def database_file(environment: Mapping[str, str], service: str) -> Path:
    return Path(environment["STATE_DIR"]) / "db" / f"{service}.db"


@contextmanager
def corrupted(file: Path, sql: str, names: Names) -> Iterator[None]:
    """Change a stopped service's database by these statements, and restore it afterwards."""
    database = sqlite3.connect(file, isolation_level=None)
    before = sqlite3.connect(":memory:")
    database.backup(before)
    # Without the tables' own checks, which would refuse much of this.
    database.execute("PRAGMA ignore_check_constraints = ON")
    try:
        for statement in sql.split(";"):
            changed = database.execute(statement, names).rowcount
            assert changed != 0, f"changed nothing: {statement}"
        yield
    finally:
        before.backup(database)
        database.close()
        before.close()


def run_audit(
    environment: Mapping[str, str], *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """The command `python -m ops audit`, with more variables."""
    return subprocess.run(
        [sys.executable, "-m", "ops", "audit", "--quiet-seconds", "0", *words],
        cwd=ROOT,
        env=dict(environment) | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
