"""The ranking, on real databases: the same as counting by hand, whatever the window."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import Connection

from chassis.storage import tables
from chassis.storage.database import Database
from events.contract import Line, OrderCancelled, OrderCompleted, ProductStatus
from product import store
from product.domain import Product
from product.ranking import MAX_PRODUCTS, Ranking, best_sold
from product.reactions import reactions
from product.sales import window_start
from product.tables import schema
from product.unit_of_work import ProductUnitOfWork
from tests.kit.postgres import create_database, program, running_postgres
from tests.unit.product_rows import cancelled, completed, product, unit_of_work

NOW = datetime(2030, 3, 1, 10, 20, 30, tzinfo=UTC)
IDS = [str(UUID(int=number)) for number in range(1, 131)]
Sold = OrderCompleted | OrderCancelled


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as server:
        yield create_database(server, "ranking")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql" and program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (make postgres)")
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/product.db"
    return sqlite if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.create(tables.metadata, schema)
    await database.run(empty)
    yield database
    await database.close()


def empty(connection: Connection) -> None:
    for table in schema.sorted_tables:
        connection.execute(table.delete())


def off(product_id: str) -> Product:
    return msgspec.structs.replace(product(product_id, 5), status=ProductStatus.DISCONTINUED)


async def put(database: Database, *products: Product) -> None:
    at = unit_of_work()
    for each in products:
        at.products[each.product_id] = each
    at.release()
    await database.run(partial(save, at))


def save(at: ProductUnitOfWork, connection: Connection) -> None:
    store.save(connection, at)


async def hear(database: Database, *events: Sold) -> None:
    """One batch, loaded and saved as the service does."""

    def work(connection: Connection) -> None:
        at = store.load(connection, events, NOW)
        for event in events:
            reactions.react(event, at)
        at.release()
        store.save(connection, at)

    await database.run(work)


async def ranking(database: Database, days: int = 3, now: datetime = NOW) -> Ranking:
    async with database.reading() as connection:
        return await best_sold(connection, now, days)


async def units(database: Database, days: int = 3, now: datetime = NOW) -> list[tuple[str, int]]:
    return [(each.product_id, each.units) for each in (await ranking(database, days, now)).products]


def line(product_id: str, quantity: int) -> tuple[Line, ...]:
    return (Line(product_id=product_id, quantity=quantity, price=3),)


async def test_as_counting_by_hand(database: Database) -> None:
    """Orders at any time of 90 days, a third of them cancelled, some of that heard first."""
    chance = random.Random(7)
    ids = IDS[:12]
    await put(database, *(product(each, 5) for each in ids[:-1]), off(ids[-1]))
    events: list[Sold] = []
    kept: list[tuple[datetime, Line]] = []
    for _ in range(1500):
        at = NOW - timedelta(days=95 * chance.random() ** 2)
        items = tuple(
            Line(product_id=each, quantity=chance.randint(1, 9), price=3)
            for each in chance.sample(ids, chance.randint(1, 3))
        )
        pair: list[Sold] = [completed(at, items)]
        if chance.random() < 0.33:
            pair.append(cancelled(at, items))
            chance.shuffle(pair)
        else:
            kept += [(at, each) for each in items]
        events += pair
    for start in range(0, len(events), 100):
        await hear(database, *events[start : start + 100])

    for days in (1, 2, 3, 30, 90):
        for now in (NOW, NOW.replace(hour=0, minute=0), NOW.replace(hour=23, minute=59)):
            since = window_start(now, days)
            counts = Counter[str]()
            for at, each in kept:
                if at >= since and each.product_id != ids[-1]:
                    counts[each.product_id] += each.quantity
            by_hand = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            assert await units(database, days, now) == by_hand
            assert (await ranking(database, days, now)).since == since


async def test_two_instances_add_to_the_same_rows(database: Database, url: str) -> None:
    """New rows too, and in whatever order each of them hears: nobody waits for ever."""
    await put(database, *(product(each, 5) for each in IDS[:30]))
    twin, chance = Database(url), random.Random(5)

    async def busy(at: Database) -> None:
        for hour in range(8):
            events = [completed(NOW - timedelta(hours=hour), line(each, 1)) for each in IDS[:30]]
            chance.shuffle(events)
            for start in range(0, 30, 10):
                await hear(at, *events[start : start + 10])

    await asyncio.gather(busy(database), busy(twin))
    await twin.close()
    assert await units(database) == [(each, 16) for each in IDS[:30]]


async def test_the_edge_of_the_window(database: Database) -> None:
    """The hour in which it begins counts as a whole, the one before it not at all."""
    await put(database, *(product(each, 5) for each in IDS[:2]))
    since = window_start(NOW, 3)
    await hear(database, completed(since, line(IDS[0], 1)))
    await hear(database, completed(since - timedelta(microseconds=1), line(IDS[1], 5)))
    assert await units(database) == [(IDS[0], 1)]
    assert await units(database, now=NOW - timedelta(hours=1)) == [(IDS[1], 5), (IDS[0], 1)]
    assert await units(database, now=NOW + timedelta(minutes=39, seconds=29)) == [(IDS[0], 1)]
    assert await units(database, now=NOW + timedelta(hours=1)) == []


async def test_who_is_left_out_and_who_comes_first(database: Database) -> None:
    a, b, c, d, e = IDS[:5]
    await put(database, *(product(each, 5) for each in (e, c, a, b)), off(d))
    counts = ((e, 4), (c, 4), (a, 4), (b, 9), (d, 50))
    await hear(database, *(completed(NOW, line(each, count)) for each, count in counts))
    assert await units(database) == [(b, 9), (a, 4), (c, 4), (e, 4)]
    await hear(database, cancelled(NOW, line(b, 9)), cancelled(NOW, line(a, 5)))
    assert await units(database) == [(c, 4), (e, 4)]  # nothing sold, and a cancel heard too early
    await hear(database, completed(NOW, line(a, 5)))
    assert await units(database) == [(a, 4), (c, 4), (e, 4)]


async def test_the_longest(database: Database) -> None:
    await put(database, *(product(each, 5) for each in IDS))
    counts = {each: 1 + number % 10 for number, each in enumerate(IDS)}
    await hear(database, *(completed(NOW, line(each, count)) for each, count in counts.items()))
    by_hand = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    assert await units(database) == by_hand[:MAX_PRODUCTS]
