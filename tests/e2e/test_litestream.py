"""Continuous copies of the databases: what was committed seconds ago is restored."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from infra.stack import config, processes
from ops.backup import litestream
from tests.e2e.audit_fixtures import database_file, found_wrong
from tests.kit.client import Shop, open_shop, order, running_stack, wait_until

COPIED_SECONDS = 10
"""The most that the copies may be behind (docs/operations.md)."""

pytestmark = pytest.mark.skipif(
    config.program("litestream") is None, reason="Litestream is not installed (make litestream)"
)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path / "stack", LITESTREAM="1") as environment:
        yield environment


async def test_newest_copy_is_restored(
    stack: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIR", stack["STATE_DIR"])
    async with open_shop(stack) as shop:
        product, customer = await shop.create_product(1_000, 50), await shop.create_wallet(20_000)
        await shop.buy(order(customer, (product, 1)))
        await wait_until_copied(customer, tmp_path)
        await kill_and_corrupt(shop)

        words = ("restore", "payment", "--from", "litestream", "--stack")
        await asyncio.to_thread(shop.command, *words)

        assert await shop.balance(customer) == 19_000
        await asyncio.to_thread(shop.command, "release", "payment")
        await shop.wait_until_ready()
        assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"
        assert await found_wrong(shop) == []
        await wait_until_copied(customer, tmp_path, balance=18_000)  # also of the restored one


async def wait_until_copied(customer: str, folder: Path, *, balance: int = 19_000) -> None:
    def copied() -> bool:
        copy = litestream.fetch("payment", folder)
        try:
            with closing(sqlite3.connect(copy)) as connection:
                query = "SELECT balance FROM wallets WHERE customer_id = ?"
                return connection.execute(query, (customer,)).fetchall() == [(balance,)]
        finally:
            copy.unlink()

    async def is_copied() -> bool:
        return await asyncio.to_thread(copied)

    await wait_until(is_copied, "the copy has the payment", timeout_seconds=COPIED_SECONDS)


async def kill_and_corrupt(shop: Shop) -> None:
    """The service is killed, and the file is spoiled before the supervisor starts it again."""
    recorded = config.recorded(Path(shop.environment["STATE_DIR"]))
    assert recorded is not None
    await asyncio.to_thread(processes.kill, recorded, "payment")
    database_file(shop.environment, "payment").write_bytes(b"spoiled" * 1000)
