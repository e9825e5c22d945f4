"""The broker's store is deleted, replaced by an older copy, or purged, while orders are pending."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import subjects
from tests.e2e.saga.event_chains import COMPLETED, NOT_PAID
from tests.e2e.saga.order_load import OrderLoad, start_load
from tests.kit.client import Shop, wait_until


def delete(store: Path, copy: Path) -> None:
    shutil.rmtree(store)


def replace_by_copy(store: Path, copy: Path) -> None:
    shutil.rmtree(store)
    shutil.copytree(copy, store)


@pytest.mark.parametrize("damage", [delete, replace_by_copy])
async def test_every_order_ends_although_the_broker_lost_its_store(
    breakable_shop: Shop, damage: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    shop, copy = breakable_shop, tmp_path / "copy"
    store = Path(shop.environment["STATE_DIR"]) / "nats"
    orders = await start_load(shop)
    async with orders.keep_placing():
        await orders.wait_for_more(30)
        await asyncio.to_thread(shop.command, "stop", "nats")
        shutil.copytree(store, copy)
        await asyncio.to_thread(shop.command, "start", "nats")
        await orders.wait_for_more(60)
        await asyncio.to_thread(shop.command, "stop", "nats")
        damage(store, copy)
        await asyncio.to_thread(shop.command, "start", "nats")
        await orders.wait_for_more(30)

    await assert_all_ended_with_all_events(orders)


async def test_every_order_ends_although_the_stream_was_purged(breakable_shop: Shop) -> None:
    """First the messages of one order, then the first ones, then all."""
    shop = breakable_shop
    orders = await start_load(shop)
    async with orders.keep_placing(), shop.nats() as client:
        jetstream = client.jetstream()
        await orders.wait_for_more(30)
        one = next(iter(orders.accepted.values()))
        await jetstream.purge_stream("SAGA", subject=f"saga.{one}.*")
        await jetstream.purge_stream("CATALOG")
        await orders.wait_for_more(30)
        await jetstream.purge_stream("SAGA", keep=50)
        await orders.wait_for_more(30)
        await jetstream.purge_stream("SAGA")
        await orders.wait_for_more(30)
    await assert_all_ended_with_all_events(orders)


async def assert_all_ended_with_all_events(orders: OrderLoad) -> None:
    async def has_all_events() -> bool:
        held = await subjects(orders.shop)
        wanted = (set(COMPLETED), set(NOT_PAID))
        return all(set(held[order_id]) in wanted for order_id in orders.accepted.values())

    await wait_until(has_all_events, "the stream has every event again", 60)
    await orders.assert_all_ended()
    assert await found_wrong(orders.shop) == []
