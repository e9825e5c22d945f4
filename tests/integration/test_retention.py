"""Retention: what is settled goes after its time, and nothing of a saga that is under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import insert, select

from chassis.ports import Clock
from chassis.processing import retention
from chassis.processing.batch import Batch
from chassis.processing.messages import EventMessage
from chassis.processing.retention import Retention
from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import (
    CONTRACT,
    FailReason,
    PaymentFailed,
    PaymentMethod,
    ProductChanged,
    ProductStatus,
    StockDecremented,
)
from payment.app import participant
from saga import envelope
from saga.event import Event
from tests.integration.deliveries import Delivered
from tests.kit.client import wait_until
from tests.kit.settings import settings_of

LONG_AGO = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SETTINGS = settings_of("payment", {})
EXPIRED = LONG_AGO + timedelta(seconds=SETTINGS.retention_seconds + 1)


@asynccontextmanager
async def removing(
    database: Database, now: datetime, clock: Clock | None = None
) -> AsyncIterator[None]:
    """Retention at work, at this time."""
    work = Retention(participant, database, clock or (lambda: now), SETTINGS)
    task = asyncio.create_task(work.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(retention, "STEADY_SECONDS", 0.1)


async def begin_payment(database: Database, order_id: str) -> None:
    """A card's payment that the gateway has not decided: the saga is under way here."""
    event = StockDecremented(
        order_id=order_id,
        customer_id=str(uuid4()),
        items=(),
        total_amount=5,
        discount_amount=0,
        payable_amount=5,
        payment_method=PaymentMethod.CARD,
    )
    message = EventMessage(Delivered(envelope.encode(event, LONG_AGO)), CONTRACT)
    batch = Batch(participant, lambda now: ("test", now), LONG_AGO)
    await database.run(lambda connection: batch.run(connection, [message]))


async def publish(database: Database, event: Event, sequence: int) -> None:
    """An outbox row that was published long ago."""
    row = msgspec.structs.asdict(envelope.encode(event, LONG_AGO)) | {
        "claimed_by": "test",
        "claimed_until": LONG_AGO,
        "published_at": LONG_AGO,
        "stream_sequence": sequence,
    }
    await database.run(lambda connection: connection.execute(insert(tables.outbox).values(row)))


async def kept(database: Database) -> set[str]:
    query = select(tables.outbox.c.key)
    return set(await database.run(lambda connection: connection.scalars(query).all()))


async def test_events_of_settled_sagas_are_removed_and_no_others(database: Database) -> None:
    settled, under_way, product = (str(uuid4()) for _ in range(3))
    await begin_payment(database, under_way)
    for number, order_id in enumerate((settled, under_way), start=1):
        failed = PaymentFailed(order_id=order_id, reason=FailReason.SYSTEM_ERROR)
        await publish(database, failed, number)
    changed = ProductChanged(
        product_id=product,
        version=1,
        name="x",
        price=1,
        status=ProductStatus.ACTIVE,
        sold_out=False,
    )
    await publish(database, changed, 1)

    async def settled_is_gone() -> bool:
        return settled not in await kept(database)

    async with removing(database, EXPIRED):
        await wait_until(settled_is_gone, "the settled saga's event is removed")
    assert await kept(database) == {under_way, product}


async def test_nothing_is_removed_before_its_time(database: Database) -> None:
    expired, fresh = (
        PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR) for _ in range(2)
    )
    await publish(database, fresh, 1)
    await database.run(
        lambda connection: connection.execute(
            tables.outbox.update().values(published_at=EXPIRED - timedelta(seconds=1))
        )
    )
    await publish(database, expired, 2)

    async def expired_is_gone() -> bool:
        return expired.order_id not in await kept(database)

    async with removing(database, EXPIRED):
        await wait_until(expired_is_gone, "the expired event is removed")
    assert await kept(database) == {fresh.order_id}


async def test_nothing_is_removed_while_the_clock_is_wrong_for_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a clock that is a year ahead everything looks old."""
    monkeypatch.setattr(retention, "STEADY_SECONDS", 0.2)
    event = PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR)
    await publish(database, event, 1)
    looks = 0

    def clock() -> datetime:
        nonlocal looks
        looks += 1
        return LONG_AGO if looks % 10 else EXPIRED  # wrong for a moment, again and again

    async def has_looked() -> bool:
        return looks > 60

    async with removing(database, EXPIRED, clock):
        await wait_until(has_looked, "retention has looked many times")
    assert await kept(database) == {event.order_id}


async def test_old_rows_are_removed_once_the_clock_is_steady(database: Database) -> None:
    event = PaymentFailed(order_id=str(uuid4()), reason=FailReason.SYSTEM_ERROR)
    await publish(database, event, 1)
    times = iter([LONG_AGO] * 3)

    async def is_gone() -> bool:
        return not await kept(database)

    async with removing(database, EXPIRED, lambda: next(times, EXPIRED)):
        await wait_until(is_gone, "the row is removed")
