"""The broker's store is deleted, or set back to an older copy, while orders are on their way."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import subjects
from tests.e2e.saga.order_load import SOLD, UNPAID, overload
from tests.kit.client import Shop, wait_until


def delete(store: Path, copy: Path) -> None:
    shutil.rmtree(store)


def set_back(store: Path, copy: Path) -> None:
    shutil.rmtree(store)
    shutil.copytree(copy, store)


@pytest.mark.parametrize("harm", [delete, set_back])
async def test_every_order_ends_although_the_broker_lost_its_store(
    breakable_shop: Shop, harm: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    shop, copy = breakable_shop, tmp_path / "copy"
    store = Path(shop.environment["STATE_DIR"]) / "nats"
    orders = await overload(shop)
    async with orders.streaming():
        await orders.more(30)
        await asyncio.to_thread(shop.command, "stop", "nats")
        shutil.copytree(store, copy)
        await asyncio.to_thread(shop.command, "start", "nats")
        await orders.more(60)
        await asyncio.to_thread(shop.command, "stop", "nats")
        harm(store, copy)
        await asyncio.to_thread(shop.command, "start", "nats")
        await orders.more(30)

    async def filled_again() -> bool:
        held = await subjects(shop)
        wanted = (set(SOLD), set(UNPAID))
        return all(set(held[order_id]) in wanted for order_id in orders.accepted.values())

    await wait_until(filled_again, "the stream holds every event again", 60)
    await orders.check()
    assert await found_wrong(shop) == []
