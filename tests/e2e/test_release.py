"""`make release` runs the audit first, and refuses while it finds anything wrong."""

import asyncio
import sqlite3
import subprocess
import sys
from functools import partial

from ops.audit import Verdict, judge
from tests.e2e.audit_fixtures import database_file, found_wrong
from tests.kit.client import ROOT, Shop, order, wait_until


def release(shop: Shop, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", "release", "payment", *words],
        cwd=ROOT,
        env=dict(shop.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def add_to_balance(shop: Shop, customer: str, amount: int) -> None:
    """Change a wallet without its ledger."""
    database = sqlite3.connect(database_file(shop.environment, "payment"), timeout=20)
    with database:
        statement = "UPDATE wallets SET balance = balance + ? WHERE customer_id = ?"
        assert database.execute(statement, (amount, customer)).rowcount == 1
    database.close()


async def unpublished(shop: Shop, service: str) -> int:
    return int((await shop.get(service, "/api/v1/ops/outbox"))["total"])


async def test_release_waits_for_nothing_but_its_own_service(breakable_shop: Shop) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(1_000, 50), await shop.create_wallet(20_000)
    await shop.wait_until_idle()
    await asyncio.to_thread(shop.command, "quarantine", "payment")
    order_id = await shop.place(order(customer, (product, 1)))

    async def is_decided() -> bool:
        waiting = [await unpublished(shop, each) for each in ("order", "coupon", "product")]
        return await unpublished(shop, "payment") == 1 and not any(waiting)

    await wait_until(is_decided, "payment alone has decided and not published")

    # However long ago: with a limit of 0 s everything unsettled counts as lost.
    look = partial(judge, shop.environment, wait_seconds=10, quiet_seconds=0, limit_seconds=0)
    lost = await asyncio.to_thread(look)
    assert {each.order_id for each in lost.discrepancies} == {order_id}
    held = await asyncio.to_thread(look, recovering="payment")
    assert list(held.discrepancies) == []
    assert (held.verdict, held.waiting) == (Verdict.CLEAN, (order_id,))
    of_another = await asyncio.to_thread(look, recovering="coupon")
    assert of_another.verdict is Verdict.WRONG

    await asyncio.to_thread(add_to_balance, shop, customer, 7)
    refused = await asyncio.to_thread(release, shop)
    assert refused.returncode == 1
    assert "payment stays in recovery mode: 1 discrepancy" in refused.stderr.replace("\n", " ")
    assert f"wallet {customer} has 19007 KRW, its ledger adds up to 19000" in refused.stdout
    assert await unpublished(shop, "payment") == 1

    forced = await asyncio.to_thread(release, shop, "--force")
    assert forced.returncode == 0, forced.stderr
    assert "FORCE=1 overrides: 1 discrepancy" in forced.stdout
    assert (await shop.wait_until_ended(order_id))["status"] == "COMPLETED"
    await asyncio.to_thread(add_to_balance, shop, customer, -7)

    await asyncio.to_thread(shop.command, "quarantine", "payment")
    let = await asyncio.to_thread(release, shop)
    assert (let.returncode, "FORCE" in let.stdout) == (0, False)
    await shop.wait_until_ready()
    assert await found_wrong(shop) == []
