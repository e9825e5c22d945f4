"""A service whose database was restored replays the streams before it publishes."""

import asyncio
import shutil
from pathlib import Path

from tests.e2e.audit_fixtures import found_wrong
from tests.kit.client import Shop, order, wait_until


async def test_restored_database_catches_up_in_recovery_mode(
    breakable_shop: Shop, tmp_path: Path
) -> None:
    shop = breakable_shop
    product, customer = await shop.create_product(1_000, 50), await shop.create_wallet(20_000)
    database, backup = Path(shop.environment["STATE_DIR"]) / "db", tmp_path / "backup"
    before = [(await shop.buy(order(customer, (product, 1))))["orderId"] for _ in range(3)]
    await shop.wait_until_idle()
    await asyncio.to_thread(shop.command, "stop", "payment")
    shutil.copytree(database, backup)
    await asyncio.to_thread(shop.command, "start", "payment")
    await shop.wait_until_ready()
    after = [(await shop.buy(order(customer, (product, 2))))["orderId"] for _ in range(3)]
    await shop.wait_until_idle()

    await asyncio.to_thread(shop.command, "stop", "payment")
    for file in database.glob("payment.db*"):
        file.unlink()
    for file in backup.glob("payment.db*"):
        shutil.copy2(file, database)
    await asyncio.to_thread(shop.command, "quarantine", "payment")

    async def has_caught_up() -> bool:
        return await shop.balance(customer) == 20_000 - 3 * 1_000 - 3 * 2_000

    await wait_until(has_caught_up, "payment has handled again what its backup lacks")
    for order_id in (*before, *after):
        assert len(await shop.payments(order_id)) == 1
    path = f"/api/v1/wallets/{customer}/charge"
    refused = await shop.call("payment", "POST", path, {"amount": 1})
    assert (refused.status, refused.body["error"]) == (503, "RETRY_LATER")
    assert (await shop.get("payment", "/api/v1/ops/outbox"))["total"] == 0

    await asyncio.to_thread(shop.command, "release", "payment")
    await shop.wait_until_ready()
    assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"
    assert await found_wrong(shop) == []
