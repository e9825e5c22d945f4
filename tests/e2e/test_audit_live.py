"""The audit beside live traffic: what is under way does not count as lost."""

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from ops.audit import Verdict, coupons, delivery, inspect, orders, stock, wallets
from tests.e2e.audit_fixtures import (
    found_wrong,
    make_orders,
    run_audit,
    settled,
    stop_services,
)
from tests.kit.client import COFFEE, RICH, ROOT, SERVICES, Shop, order, running_stack, wait_until
from tests.kit.postgres import create_database, program, running_postgres

BUSY_AUDITS = 2
"""In so many audits orders must have been under way."""

MAX_OVERLOADS = 10
"""On a slow machine a load may end before the audit has read the first database."""


async def placing(shop: Shop) -> asyncio.subprocess.Process:
    """A load of orders, placed by a process of its own, which ends when they have."""
    words = ("-m", "ops", "load", "--orders", "1200", "--concurrency", "50", "--json")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=ROOT,
        env=dict(shop.environment),
        stdout=asyncio.subprocess.DEVNULL,
    )


async def test_audit_beside_live_load_raises_no_false_alarm(breakable_shop: Shop) -> None:
    shop = breakable_shop
    busy = 0
    for _ in range(MAX_OVERLOADS):
        load = await placing(shop)

        async def runs_or_has_ended(load: asyncio.subprocess.Process = load) -> bool:
            pending = await shop.get("order", "/api/v1/orders?status=PENDING&size=1")
            return pending["total"] > 0 or load.returncode is not None

        while load.returncode is None:
            await wait_until(runs_or_has_ended, "orders are under way")
            # Without a quiet time every order is checked, unless it is seen to be under way.
            report = await asyncio.to_thread(inspect, shop.environment, quiet_seconds=0)
            assert list(report.discrepancies) == []
            busy += len(report.unjudged) > 0
        assert load.returncode == 0
        if busy >= BUSY_AUDITS:
            break
    assert busy >= BUSY_AUDITS
    assert await found_wrong(shop) == []


async def test_order_that_waits_for_a_stopped_service_is_under_way(breakable_shop: Shop) -> None:
    shop = breakable_shop
    shop.command("stop", "coupon")
    order_id = await shop.place(order(RICH, (COFFEE, 1)))

    async def published() -> bool:
        return not (await shop.get("order", "/api/v1/ops/outbox"))["total"]

    await wait_until(published, "the order service has marked its event as published")

    report = await asyncio.to_thread(inspect, shop.environment, quiet_seconds=0)
    assert (list(report.discrepancies), report.verdict) == ([], Verdict.NOT_JUDGED)
    assert {each.key: each.why for each in report.unjudged} == {
        order_id: "coupon has not handled OrderCreated"
    }
    ended = await asyncio.to_thread(run_audit, shop.environment, "--wait-seconds", "0")
    assert ended.returncode == 3
    assert "1 not judged: coupon has not handled OrderCreated. Wait, start it if" in ended.stdout
    assert "clean" not in ended.stdout
    assert re.fullmatch(
        r"not everything judged \([0-9,]+ orders, 1 not judged\)", ended.stdout.splitlines()[-1]
    )

    found = await asyncio.to_thread(settled, shop.environment)
    named = {(each.check, each.order_id, each.event) for each in found}
    assert (delivery.REACHED, order_id, "OrderCreated") in named
    assert (orders.TIMELY, order_id, "CouponUsed or CouponRejected") in named

    shop.command("start", "coupon")
    await shop.wait_until_ended(order_id)
    assert await found_wrong(shop) == []


# ---------------------------------------------------------------- PostgreSQL


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with running_postgres() as server:
        urls = {
            f"{name.upper()}_DATABASE_URL": create_database(server, name + "_db")
            for name in SERVICES
        }
        with running_stack(tmp_path / "stack", **urls) as environment:
            yield environment


@pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed (make postgres)")
def test_postgres_databases_are_audited_alike(
    on_postgres: Mapping[str, str], tmp_path: Path
) -> None:
    names = make_orders(on_postgres)
    assert settled(on_postgres) == []
    outside = {name: url.replace("+psycopg", "") for name, url in on_postgres.items()}
    outside |= {"NATS_URL": outside["NATS_URL_OBSERVER"], "STATE_DIR": str(tmp_path / "none")}
    assert settled(outside) == []
    stop_services(on_postgres)
    for service, statement in (
        ("payment", "UPDATE wallets SET balance = balance + 7 WHERE customer_id = %(customer)s"),
        ("payment", "DELETE FROM wallet_ledger WHERE order_id = %(paid)s"),
        ("product", "UPDATE products SET reserved = 3 WHERE product_id = %(product)s"),
        ("product", "DELETE FROM stock_ledger WHERE request_id = 'DEC-' || %(plain)s"),
        ("product", "UPDATE stock_ledger SET delta = 9 WHERE request_id = 'broken'"),
        ("coupon", "UPDATE coupons SET issued = 0"),
        ("coupon", "UPDATE holds SET issued_coupon_id = %(coupon)s WHERE order_id = %(plain)s"),
        ("coupon", "UPDATE holds SET state = 'HELD' WHERE order_id = %(poor)s"),
        ("order", "UPDATE orders SET total_amount = 1 WHERE order_id = %(paid)s"),
        ("order", "DELETE FROM inbox WHERE key = %(refused)s"),
        ("order", "UPDATE outbox SET stream_sequence = 9999 WHERE key = %(short)s"),
    ):
        url = on_postgres[f"{service.upper()}_DATABASE_URL"].replace("+psycopg", "")
        with psycopg.connect(url) as database:
            assert database.execute(statement, names).rowcount
    found = settled(on_postgres)
    assert {each.check for each in found} == {
        wallets.SUM,
        wallets.RUNNING,
        wallets.BOOKED,
        stock.SUM,
        stock.RUNNING,
        stock.RESERVED,
        stock.CONSERVED,
        stock.BOOKED,
        coupons.ISSUED,
        coupons.ONE_ORDER,
        coupons.BOTH_SIDES,
        orders.SAME,
        orders.ENDED,
        orders.TIMELY,
        delivery.IN_STREAM,
        delivery.REACHED,
    }
